//! `capture` lines: what a log line may show of heads.

use proxy_lang::{Arg, Args, Diagnostics, Keyword, Sections};

use super::spec;
use crate::draft::ProxyDraft;
use crate::model::Capture;

const HERE: Sections = Sections::FRONTEND.or(Sections::LISTEN);
const LENGTH: Arg = Arg::Words("len <length>");
/// Longest part of a value that is kept.
const MAX_LENGTH: usize = 16_384;

pub(super) const TABLE: &[Keyword<ProxyDraft>] = &[
    Keyword {
        spec: spec!(
            &["capture request header"],
            &[Arg::Word("name"), LENGTH],
            "Keeps a request header's last value for the log.",
            "capture request header Host len 32"
        ),
        sections: HERE,
        negatable: false,
        apply: |d, a, r| {
            let capture = capture(a, r);
            d.captures.request.extend(capture);
        },
    },
    Keyword {
        spec: spec!(
            &["capture response header"],
            &[Arg::Word("name"), LENGTH],
            "Keeps a response header's last value for the log.",
            "capture response header Content-Length len 10"
        ),
        sections: HERE,
        negatable: false,
        apply: |d, a, r| {
            let capture = capture(a, r);
            d.captures.response.extend(capture);
        },
    },
    Keyword {
        spec: spec!(
            &["capture cookie"],
            &[Arg::Word("name"), LENGTH],
            "Keeps a cookie of the request and of the response for the log.",
            "capture cookie session len 16"
        ),
        sections: HERE,
        negatable: false,
        apply: |d, a, r| {
            let capture = capture(a, r);
            d.captures.cookie = capture;
        },
    },
];

fn capture(args: &Args, diagnostics: &mut Diagnostics) -> Option<Capture> {
    let name = args.text(0);
    match args.words(1) {
        [len, number] if len.text == "len" => match number.text.parse() {
            Ok(length) if (1..=MAX_LENGTH).contains(&length) => Some(Capture { name, length }),
            _ => {
                diagnostics
                    .error(number.span, format!("'{}' is not a length of 1 to {MAX_LENGTH}", number.text));
                None
            }
        },
        words => {
            let span = words.first().map_or(args.span, |w| w.span);
            diagnostics
                .error(span, "'capture' expects 'len' and a length")
                .help("capture request header Host len 32");
            None
        }
    }
}
