//! Rows about mails on changes. `notify-mail` asks for them, as `notify` asks for a command; the others say how.

use proxy_lang::{Arg, Keyword, Unit};

use super::{Draft, row};
use crate::mail::{Mailbox, USUAL_PORT, is_host, no_mailbox};

/// The rows; those of the section itself are beside them.
pub const TABLE: &[Keyword<Draft>] = &[
    row(
        &["notify-mail"],
        &[Arg::Words("address")],
        "Sends a mail when this node becomes master or backup, or has a fault; subject and text are keepalived's. A fault that is there at the start is no change, and a node that stops sends none.",
        "notify-mail ops@example.com",
        |d, a, diagnostics| {
            for word in a.words(0) {
                if let Err(why) = d.mail.add(&word.text) {
                    diagnostics.error(word.span, why);
                }
            }
        },
    ),
    row(
        &["notify-mail-from"],
        &[Arg::Word("address")],
        "Whom these mails come from; otherwise the program's user at this host.",
        "notify-mail-from lb@example.com",
        |d, a, diagnostics| {
            d.mail.from = Mailbox::parse(&a.text(0));
            if d.mail.from.is_none() {
                diagnostics.error(a.word(0).span, no_mailbox(&a.text(0)));
            }
        },
    ),
    row(
        &["notify-mail-helo"],
        &[Arg::Word("name")],
        "What this host calls itself to the mail server; otherwise its name.",
        "notify-mail-helo lb1.example.com",
        |d, a, diagnostics| {
            d.mail.hello = Some(a.text(0));
            if !is_host(&a.text(0)) {
                diagnostics.error(a.word(0).span, format!("'{}' is no name of a host", a.text(0)));
            }
        },
    ),
    row(
        &["notify-mail-name"],
        &[Arg::Word("name")],
        "What the subject calls this node; otherwise the member's name.",
        "notify-mail-name 'lb1, hall 2'",
        |d, a, _| d.mail.node = Some(a.text(0)),
    ),
    row(
        &["notify-mail-no-faults"],
        &[],
        "Sends no mail about a fault.",
        "notify-mail-no-faults",
        |d, _, _| d.mail.without_faults = true,
    ),
    row(
        &["notify-mail-server"],
        &[Arg::Word("host"), Arg::Optional(&Arg::Int("port", 1, 65_535))],
        "The server that takes the mails, and its port; otherwise 127.0.0.1 and 25. Its name is looked up for each mail.",
        "notify-mail-server mail.example.com 25",
        |d, a, diagnostics| {
            let port = if a.has(1) { u16::try_from(a.int(1)).unwrap_or(USUAL_PORT) } else { USUAL_PORT };
            d.mail.server = Some((a.text(0), port));
            if !is_host(&a.text(0)) {
                diagnostics.error(a.word(0).span, format!("'{}' is no name of a host", a.text(0)));
            }
        },
    ),
    row(
        &["notify-mail-timeout"],
        &[Arg::Duration("timeout", Unit::Seconds)],
        "How long the server may take to be connected, and for each of its answers; otherwise 30 s.",
        "notify-mail-timeout 10s",
        |d, a, diagnostics| {
            d.mail.patience = Some(a.duration(0));
            if a.duration(0).is_zero() {
                diagnostics.error(a.word(0).span, "no server is that fast");
            }
        },
    ),
];
