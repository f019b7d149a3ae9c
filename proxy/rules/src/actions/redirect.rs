//! Redirections (manual chapter 4.2, `redirect` and `http-request redirect`).

use proxy_lang::{Diagnostics, Word};
use proxy_wire::h1::Head;

use crate::{Context, Exchange, Format, Reply, View};

/// A redirection, resolved.
#[derive(Clone, Debug)]
pub(crate) struct Redirect {
    target: Target,
    status: u16,
    drop_query: bool,
    append_slash: bool,
    cookie: Option<Vec<u8>>,
}

#[derive(Clone, Debug)]
enum Target {
    Location(Format),
    Prefix(Format),
    Scheme(Format),
}

impl Redirect {
    pub(super) fn evaluate(&self, exchange: &Exchange<'_>, view: &dyn View) -> Reply {
        let uri = |format: &Format| format.evaluate_uri(exchange, view, b"", b"");
        let location = match &self.target {
            Target::Location(format) => uri(format),
            Target::Prefix(format) => {
                let mut prefix = uri(format);
                if prefix == b"/" {
                    prefix.clear();
                }
                self.append_own(exchange, &mut prefix);
                prefix
            }
            Target::Scheme(format) => {
                let host = exchange.request.as_deref().and_then(Head::host).unwrap_or_default();
                let mut location = uri(format);
                location.extend_from_slice(b"://");
                proxy_wire::h1::escape(host, b"", &mut location);
                self.append_own(exchange, &mut location);
                location
            }
        };
        let mut headers = vec![(b"location".to_vec(), location)];
        // What holds for now only is not to be kept; the others are kept without being asked.
        if matches!(self.status, 302 | 303 | 307) {
            headers.push((b"cache-control".to_vec(), b"no-cache".to_vec()));
        }
        if let Some(cookie) = &self.cookie {
            headers.push((b"set-cookie".to_vec(), cookie.clone()));
        }
        Reply { status: self.status, headers, is_redirect: true, ..Reply::default() }
    }

    /// Appends what the client asked for: of a target that names a server its path, of one without a path the root.
    fn append_own(&self, exchange: &Exchange<'_>, out: &mut Vec<u8>) {
        let own = match exchange.request.as_deref().map(Head::path_and_query) {
            None | Some(b"") => b"/",
            Some(own) => own,
        };
        let end = own.iter().position(|b| *b == b'?').filter(|_| self.drop_query).unwrap_or(own.len());
        out.extend_from_slice(&own[..end]);
        if self.append_slash && !own[..end].ends_with(b"/") {
            out.push(b'/');
        }
    }
}

/// Reads what stands behind `redirect`; where formats are not understood (`is_rule` is not set) their text is meant.
pub(super) fn redirect(
    name: &Word,
    arguments: &[Word],
    is_rule: bool,
    context: &Context<'_>,
    diagnostics: &mut Diagnostics,
) -> Option<Redirect> {
    let mut target = None;
    let mut redirect = Redirect {
        target: Target::Location(Format::default()),
        status: 302,
        drop_query: false,
        append_slash: false,
        cookie: None,
    };
    let mut rest = arguments;
    while let [keyword, after @ ..] = rest {
        rest = after;
        match keyword.text.as_str() {
            "drop-query" => {
                redirect.drop_query = true;
                continue;
            }
            "append-slash" => {
                redirect.append_slash = true;
                continue;
            }
            _ => {}
        }
        let Some((value, after)) = rest.split_first() else {
            diagnostics.error(keyword.span, format!("'redirect' : '{}' expects an argument", keyword.text));
            return None;
        };
        rest = after;
        let format = |diagnostics: &mut Diagnostics| match is_rule {
            true => Format::parse(value, context, diagnostics),
            false => Some(Format::text(&value.text)),
        };
        match keyword.text.as_str() {
            "location" => target = Some(Target::Location(format(diagnostics)?)),
            "prefix" => target = Some(Target::Prefix(format(diagnostics)?)),
            "scheme" => target = Some(Target::Scheme(format(diagnostics)?)),
            "code" => match value.text.as_str() {
                "301" | "302" | "303" | "307" | "308" => redirect.status = value.text.parse().unwrap_or(302),
                _ => {
                    diagnostics.error(value.span, format!("'redirect' : '{}' is no code of one", value.text));
                    return None;
                }
            },
            "set-cookie" | "clear-cookie" => {
                let end = if keyword.text == "set-cookie" { "; path=/;" } else { "; path=/; Max-Age=0;" };
                let cookie = [value.text.as_bytes(), end.as_bytes()].concat();
                if !super::is_writable(&cookie) {
                    diagnostics.error(value.span, "a cookie cannot hold control characters");
                    return None;
                }
                redirect.cookie = Some(cookie);
            }
            _ => {
                diagnostics.error(keyword.span, format!("'redirect' does not understand '{}'", keyword.text));
                return None;
            }
        }
    }
    let Some(target) = target else {
        diagnostics.error(name.span, "'redirect' expects location, prefix or scheme");
        return None;
    };
    Some(Redirect { target, ..redirect })
}
