//! What `return`, `deny` and `tarpit` answer with (manual chapter 4.2, `http-request return`).

use std::sync::Arc;

use proxy_lang::{Diagnostics, Word};
use proxy_wire::h1::page::{self, ErrorPage};
use proxy_wire::h1::response::PAGES;

use super::parse::field_name;
use crate::{Content, Context, Exchange, Format, Reply, View};

/// An answer, resolved.
#[derive(Clone, Debug)]
pub(crate) struct RuleAnswer {
    status: u16,
    content_type: Vec<u8>,
    headers: Vec<(String, Format)>,
    body: Body,
}

#[derive(Clone, Debug)]
enum Body {
    Empty,
    Fixed(Vec<u8>),
    Format(Format),
    /// The proxy's own page for the status.
    Page,
    /// A file that is a whole response.
    Whole(Arc<ErrorPage>),
}

impl RuleAnswer {
    fn page(status: u16) -> Self {
        Self { status, content_type: Vec::new(), headers: Vec::new(), body: Body::Page }
    }

    /// The answer to this exchange; `None` if it would be no response.
    pub(super) fn evaluate(&self, exchange: &Exchange<'_>, view: &dyn View) -> Option<Box<Reply>> {
        let headers = self.headers.iter().map(|(n, v)| (n.clone().into_bytes(), v.evaluate(exchange, view)));
        let reply = Reply {
            status: self.status,
            content_type: self.content_type.clone(),
            headers: headers.collect(),
            is_redirect: false,
            body: match &self.body {
                Body::Empty => Content::default(),
                Body::Fixed(bytes) => Content::Bytes(bytes.clone()),
                Body::Format(format) => Content::Bytes(format.evaluate(exchange, view)),
                Body::Page => Content::Page,
                Body::Whole(page) => Content::Whole(Arc::clone(page)),
            },
        };
        reply.headers.iter().all(|(_, value)| super::is_writable(value)).then(|| Box::new(reply))
    }
}

/// Reads what stands behind `deny` and `tarpit`. Without more than a `deny_status` it is a page.
pub(super) fn refusal(
    name: &Word,
    arguments: &[Word],
    usual: u16,
    context: &Context<'_>,
    diagnostics: &mut Diagnostics,
) -> Option<RuleAnswer> {
    match arguments {
        [] => Some(RuleAnswer::page(usual)),
        [keyword, value] if keyword.text == "deny_status" => {
            let status = number(name, value, diagnostics)?;
            has_page(status, value, diagnostics).then(|| RuleAnswer::page(status))
        }
        _ => answer(name, arguments, usual, context, diagnostics),
    }
}

/// Reads what stands behind `return`.
pub(super) fn answer(
    name: &Word,
    arguments: &[Word],
    usual: u16,
    context: &Context<'_>,
    diagnostics: &mut Diagnostics,
) -> Option<RuleAnswer> {
    let mut answer =
        RuleAnswer { status: usual, content_type: Vec::new(), headers: Vec::new(), body: Body::Empty };
    let (mut at_status, mut at_type, mut at_header) = (None, None, None);
    let mut content: Option<&Word> = None;
    let mut section = None;
    let mut rest = arguments;
    while let [keyword, after @ ..] = rest {
        rest = after;
        if is_content(&keyword.text)
            && let Some(before) = content.replace(keyword)
        {
            diagnostics.error(
                keyword.span,
                format!("'{}' : '{}' gives the content already", keyword.text, before.text),
            );
            return None;
        }
        if keyword.text == "default-errorfiles" {
            answer.body = Body::Page;
            continue;
        }
        let Some((value, after)) = rest.split_first() else {
            diagnostics.error(keyword.span, format!("'{}' expects an argument", keyword.text));
            return None;
        };
        rest = after;
        match keyword.text.as_str() {
            "status" | "deny_status" if keyword.text == "status" || name.text != "return" => {
                answer.status = number(name, value, diagnostics)?;
                at_status = Some(value);
            }
            "content-type" if value.text.bytes().any(|b| b.is_ascii_control()) => {
                diagnostics.error(value.span, "a content type cannot hold control characters");
                return None;
            }
            "content-type" => {
                answer.content_type = value.text.clone().into_bytes();
                at_type = Some(keyword);
            }
            "hdr" => {
                let Some((format, after)) = rest.split_first() else {
                    diagnostics.error(keyword.span, "'hdr' expects a name and a format");
                    return None;
                };
                rest = after;
                let name = field_name(value, diagnostics);
                answer.headers.push((name?, Format::parse(format, context, diagnostics)?));
                at_header = Some(keyword);
            }
            "errorfiles" => {
                let Some(pages) = context.pages.get(&value.text) else {
                    diagnostics
                        .error(value.span, format!("there is no http-errors section '{}'", value.text));
                    return None;
                };
                section = Some(pages);
                answer.body = Body::Page;
            }
            word if is_content(word) => answer.body = body(keyword, value, context, diagnostics)?,
            other => {
                diagnostics.error(keyword.span, format!("'{}' does not understand '{other}'", name.text));
                return None;
            }
        }
    }
    let ignored = |word: Option<&Word>, why: &str, diagnostics: &mut Diagnostics| {
        if let Some(word) = word {
            diagnostics.warning(word.span, format!("'{}' is ignored: {why}", word.text));
        }
    };
    match &answer.body {
        Body::Empty => ignored(at_type, "there is no content", diagnostics),
        Body::Page | Body::Whole(_) => {
            if matches!(answer.body, Body::Page)
                && !has_page(answer.status, at_status.unwrap_or(name), diagnostics)
            {
                return None;
            }
            ignored(at_type, "an error file is a whole response", diagnostics);
            ignored(at_header, "an error file is a whole response", diagnostics);
        }
        Body::Fixed(bytes) if bytes.is_empty() => ignored(at_type, "the content is empty", diagnostics),
        Body::Fixed(_) | Body::Format(_) => {
            let at = content.unwrap_or(name).span;
            if matches!(answer.status, 204 | 304) {
                diagnostics
                    .error(at, format!("a response with status {} has no body", answer.status))
                    .help("leave the content out, or choose another status (RFC 9110 6.4.1)");
                return None;
            }
            if at_type.is_none() {
                diagnostics
                    .error(at, format!("'{}' has content and no 'content-type'", name.text))
                    .help("for example content-type text/plain");
                return None;
            }
        }
    }
    if let Some(pages) = section {
        let page = pages.get(&answer.status).cloned();
        answer.body = page.map_or(Body::Empty, |page| Body::Whole(Arc::new(page)));
    }
    if let Body::Whole(page) = &answer.body {
        answer.status = page.status;
    }
    Some(answer)
}

/// Whether a word says where the content comes from; there is one of them.
fn is_content(word: &str) -> bool {
    ["string", "lf-string", "file", "lf-file", "errorfile", "errorfiles", "default-errorfiles"]
        .contains(&word)
}

fn body(keyword: &Word, value: &Word, context: &Context<'_>, diagnostics: &mut Diagnostics) -> Option<Body> {
    let is_format = keyword.text.starts_with("lf-");
    let text = if keyword.text.ends_with("string") {
        value.text.clone()
    } else {
        match (context.file)(value) {
            Ok(text) => text,
            Err(why) => {
                diagnostics.error(value.span, format!("cannot read '{}' : {why}", value.text));
                return None;
            }
        }
    };
    if keyword.text == "errorfile" {
        return match page::read(text.as_bytes()) {
            Ok(page) => Some(Body::Whole(Arc::new(page))),
            Err(why) => {
                diagnostics
                    .error(value.span, format!("errorfile '{}' is no HTTP/1 response: {why}", value.text));
                None
            }
        };
    }
    if is_format {
        let word = Word { text, span: value.span, quoted: true };
        return Format::parse(&word, context, diagnostics).map(Body::Format);
    }
    Some(Body::Fixed(text.into_bytes()))
}

fn number(name: &Word, word: &Word, diagnostics: &mut Diagnostics) -> Option<u16> {
    let status = word.text.parse::<u16>().ok().filter(|s| (200..600).contains(s));
    if status.is_none() {
        diagnostics.error(word.span, format!("'{}' expects a status from 200 to 599", name.text));
    }
    status
}

fn has_page(status: u16, word: &Word, diagnostics: &mut Diagnostics) -> bool {
    let has = PAGES.contains(&status);
    if !has {
        let known = PAGES.iter().map(u16::to_string).collect::<Vec<_>>().join(", ");
        diagnostics
            .error(word.span, format!("the proxy has no page for status {status}"))
            .help(format!("there are pages for {known}; 'status {status}' answers without one"));
    }
    has
}
