//! Texts with samples and log fields in them (manual chapter 8.2.6).

use proxy_lang::{Diagnostics, Status, Word, nearest};

use crate::expr::end_of;
use crate::log_fields::{self, Flags, LogField, Scene};
use crate::{Context, Exchange, Expr, Sample, View};

/// HAProxy's `option httplog`.
pub const HTTPLOG: &str = "%ci:%cp [%tr] %ft %b/%s %TR/%Tw/%Tc/%Tr/%Ta %ST %B %CC %CS %tsc %ac/%fc/%bc/%sc/%rc %sq/%bq %hr %hs %{+Q}r";
/// HAProxy's `option tcplog`.
pub const TCPLOG: &str = "%ci:%cp [%t] %ft %b/%s %Tw/%Tc/%Tt %B %ts %ac/%fc/%bc/%sc/%rc %sq/%bq";
/// HAProxy's `option httplog clf`.
pub const CLFLOG: &str = "%{+Q}o %{-Q}ci - - [%trg] %r %ST %B \"\" \"\" %cp %ms %ft %b %s %TR %Tw %Tc %Tr %Ta %tsc %ac %fc %bc %sc %rc %sq %bq %CC %CS %hrl %hsl";

#[derive(Clone, Debug)]
enum Part {
    Text(Vec<u8>),
    Field { row: &'static LogField, flags: Flags },
    Expr { expr: Box<Expr>, flags: Flags },
}

/// A format, ready to be written.
#[derive(Clone, Debug, Default)]
pub struct Format(Vec<Part>);

impl Format {
    /// Reads a format from a word.
    pub fn parse(word: &Word, context: &Context<'_>, diagnostics: &mut Diagnostics) -> Option<Self> {
        let mut parts = Vec::new();
        let mut text = Vec::new();
        let mut rest = word.text.as_str();
        let mut good = true;
        let mut usual = Flags::default();
        while let Some(mark) = rest.find('%') {
            text.extend_from_slice(&rest.as_bytes()[..mark]);
            rest = &rest[mark + 1..];
            if let Some(after) = rest.strip_prefix('%') {
                text.push(b'%');
                rest = after;
                continue;
            }
            if !text.is_empty() {
                parts.push(Part::Text(std::mem::take(&mut text)));
            }
            let mut flags = usual;
            if let Some(after) = rest.strip_prefix('{') {
                let Some((letters, after)) = after.split_once('}') else {
                    diagnostics.error(word.span, "'%{' without a closing '}' in a format");
                    return None;
                };
                match usual.parse(letters) {
                    Ok(read) => flags = read,
                    Err(letter) => {
                        let why = format!("'{letter}' is no flag of a log field");
                        diagnostics.error(word.span, why).help("flags are Q, X, E and M, after a sign");
                        good = false;
                    }
                }
                rest = after;
            }
            let part = if let Some(after) = rest.strip_prefix('[') {
                let (expression, behind) = after.split_at(end_of(after, ']'));
                let Some(behind) = behind.strip_prefix(']') else {
                    diagnostics.error(word.span, "'%[' without a closing ']' in a format");
                    return None;
                };
                rest = behind;
                Expr::parse_text(expression, word, context, diagnostics)
                    .map(|expr| Part::Expr { expr: Box::new(expr), flags })
            } else {
                let length = rest.find(|c: char| !c.is_ascii_alphanumeric()).unwrap_or(rest.len());
                let (name, after) = rest.split_at(length);
                rest = after;
                if name == "o" {
                    usual = flags;
                }
                field(name, word, diagnostics).map(|row| Part::Field { row, flags })
            };
            match part {
                Some(part) => parts.push(part),
                None => good = false,
            }
        }
        text.extend_from_slice(rest.as_bytes());
        if !text.is_empty() {
            parts.push(Part::Text(text));
        }
        good.then_some(Self(parts))
    }

    /// A format that is nothing but this text.
    pub(crate) fn text(text: &str) -> Self {
        Self(vec![Part::Text(text.as_bytes().to_vec())])
    }

    /// Writes the text for a log line.
    pub fn render(&self, exchange: &Exchange<'_>, view: &dyn View, out: &mut Vec<u8>) {
        // Several blanks are one, also around a field that writes nothing.
        let mut parted = true;
        for part in &self.0 {
            let place = out.len();
            match part {
                Part::Text(text) => {
                    for byte in text {
                        if *byte != b' ' || !parted {
                            out.push(*byte);
                        }
                        parted = *byte == b' ';
                    }
                }
                Part::Field { .. } | Part::Expr { .. } => {
                    Self::put(part, true, exchange, view, out);
                    parted &= out.len() == place;
                }
            }
        }
    }

    /// Writes one part; `dashed`: with a dash for what is empty.
    fn put(part: &Part, dashed: bool, exchange: &Exchange<'_>, view: &dyn View, out: &mut Vec<u8>) {
        match part {
            Part::Text(text) => out.extend_from_slice(text),
            Part::Field { row, flags } => {
                let flags = Flags { dashed: flags.dashed || dashed, ..*flags };
                (row.write)(&Scene { exchange, view }, flags, out);
            }
            Part::Expr { expr, flags } => {
                // Samples are quoted in log lines only.
                let flags =
                    Flags { dashed: flags.dashed || dashed, quoted: flags.quoted && dashed, ..*flags };
                match expr.eval(exchange, view) {
                    Some(Sample::Text(text)) => flags.text(&text, out),
                    Some(sample) => {
                        let mut text = Vec::new();
                        sample.write(&mut text);
                        flags.text(&text, out);
                    }
                    None => flags.text(b"", out),
                }
            }
        }
    }

    /// The text for a header or a body.
    #[must_use]
    pub fn evaluate(&self, exchange: &Exchange<'_>, view: &dyn View) -> Vec<u8> {
        self.evaluate_with(exchange, view, |_, part, out| out.extend_from_slice(part))
    }

    /// The text for a part of a URI: bytes that may not stand in one are percent-encoded, and those of
    /// `also`; those of `sampled` only where they are not the file's own words.
    #[must_use]
    pub fn evaluate_uri(
        &self,
        exchange: &Exchange<'_>,
        view: &dyn View,
        also: &[u8],
        sampled: &[u8],
    ) -> Vec<u8> {
        let sampled = [also, sampled].concat();
        self.evaluate_with(exchange, view, |is_own, part, out| {
            proxy_wire::h1::escape(part, if is_own { also } else { &sampled }, out);
        })
    }

    /// Writes each part in turn, and says whether it is the file's own words.
    fn evaluate_with(
        &self,
        exchange: &Exchange<'_>,
        view: &dyn View,
        put: impl Fn(bool, &[u8], &mut Vec<u8>),
    ) -> Vec<u8> {
        let mut out = Vec::new();
        let mut text = Vec::new();
        for part in &self.0 {
            match part {
                Part::Text(text) => put(true, text, &mut out),
                Part::Field { .. } | Part::Expr { .. } => {
                    text.clear();
                    Self::put(part, false, exchange, view, &mut text);
                    put(false, &text, &mut out);
                }
            }
        }
        out
    }
}

fn field(name: &str, word: &Word, diagnostics: &mut Diagnostics) -> Option<&'static LogField> {
    let row = log_fields::LOG_FIELDS.iter().find(|row| row.spec.names.contains(&name));
    if row.is_none() {
        let near = nearest(name, log_fields::LOG_FIELDS.iter().flat_map(|r| r.spec.names.iter().copied()));
        let note = diagnostics.error(word.span, format!("format has no field '%{name}'"));
        note.help(
            near.map_or_else(
                || "write %% for a percent sign".to_owned(),
                |n| format!("did you mean '%{n}'?"),
            ),
        );
    }
    let row = row?;
    if row.spec.status == Status::Later {
        diagnostics.later(word.span, &format!("log field %{name}"));
    }
    Some(row)
}
