//! Checks that speak a protocol, and the scripts of `http-check` and `tcp-check`.

use proxy_lang::{Arg, Keyword, Sections, Spec};

use crate::draft::ProxyDraft;

const BACK: Sections = Sections::BACKEND.or(Sections::LISTEN);
const BACK_OR_DEFAULTS: Sections = BACK.or(Sections::DEFAULTS);

const SPOE: &str = "there is no SPOE in Tandem";

/// How servers are asked whether they are well.
pub(super) const TABLE: &[Keyword<ProxyDraft>] = &[
    Keyword::inert(
        BACK_OR_DEFAULTS,
        false,
        Spec::later(
            &["external-check command"],
            &[Arg::Word("program")],
            "Program that checks servers.",
            "external-check command /bin/true",
        ),
    ),
    Keyword::inert(
        BACK_OR_DEFAULTS,
        false,
        Spec::later(
            &["external-check path"],
            &[Arg::Word("path")],
            "Where programs are looked for.",
            "external-check path /bin:/usr/bin",
        ),
    ),
    Keyword::inert(
        BACK_OR_DEFAULTS,
        false,
        Spec::later(
            &["http-check comment"],
            &[Arg::Word("text")],
            "A name for the step before it.",
            "http-check comment login",
        ),
    ),
    Keyword::inert(
        BACK_OR_DEFAULTS,
        false,
        Spec::later(
            &["http-check connect"],
            &[Arg::Rest("options")],
            "A step: connects.",
            "http-check connect port 8080",
        ),
    ),
    Keyword::inert(
        BACK_OR_DEFAULTS,
        false,
        Spec::later(
            &["http-check disable-on-404"],
            &[],
            "A check that is answered with 404 drains its server.",
            "http-check disable-on-404",
        ),
    ),
    Keyword::inert(
        BACK_OR_DEFAULTS,
        true,
        Spec::later(
            &["http-check send-state"],
            &[],
            "Checks tell a server what is thought of it.",
            "http-check send-state",
        ),
    ),
    Keyword::inert(
        BACK_OR_DEFAULTS,
        false,
        Spec::later(
            &["http-check set-var", "http-check set-var-fmt"],
            &[Arg::Words("name and expression")],
            "A step: sets a variable.",
            "http-check set-var(check.x) str(1)",
        ),
    ),
    Keyword::inert(
        BACK_OR_DEFAULTS,
        false,
        Spec::later(
            &["http-check unset-var"],
            &[Arg::Word("name")],
            "A step: takes a variable away.",
            "http-check unset-var(check.x)",
        ),
    ),
    Keyword::inert(
        BACK_OR_DEFAULTS,
        true,
        Spec::later(&["option external-check"], &[], "A program checks servers.", "option external-check"),
    ),
    Keyword::inert(
        BACK_OR_DEFAULTS,
        true,
        Spec::later(&["option ldap-check"], &[], "Checks ask over LDAP.", "option ldap-check"),
    ),
    Keyword::inert(
        BACK_OR_DEFAULTS,
        true,
        Spec::later(
            &["option log-health-checks"],
            &[],
            "Every change of a check is logged.",
            "option log-health-checks",
        ),
    ),
    Keyword::inert(
        BACK_OR_DEFAULTS,
        true,
        Spec::later(
            &["option mysql-check"],
            &[Arg::Rest("user and version")],
            "Checks ask over MySQL's protocol.",
            "option mysql-check user check",
        ),
    ),
    Keyword::inert(
        BACK_OR_DEFAULTS,
        true,
        Spec::later(
            &["option pgsql-check"],
            &[Arg::Rest("user")],
            "Checks ask over PostgreSQL's protocol.",
            "option pgsql-check user check",
        ),
    ),
    Keyword::inert(
        BACK_OR_DEFAULTS,
        true,
        Spec::later(&["option redis-check"], &[], "Checks ask over Redis' protocol.", "option redis-check"),
    ),
    Keyword::inert(
        BACK_OR_DEFAULTS,
        true,
        Spec::later(
            &["option smtpchk"],
            &[Arg::Rest("greeting and domain")],
            "Checks ask over SMTP.",
            "option smtpchk HELO lb1.example",
        ),
    ),
    Keyword::inert(
        BACK_OR_DEFAULTS,
        false,
        Spec::absent(SPOE, &["option spop-check"], "Checks ask an SPOE agent."),
    ),
    Keyword::inert(
        BACK_OR_DEFAULTS,
        true,
        Spec::later(
            &["option ssl-hello-chk"],
            &[],
            "Checks send the first message of TLS.",
            "option ssl-hello-chk",
        ),
    ),
    Keyword::inert(
        BACK_OR_DEFAULTS,
        true,
        Spec::later(&["option tcp-check"], &[], "Checks follow a script.", "option tcp-check"),
    ),
    Keyword::inert(
        BACK_OR_DEFAULTS,
        false,
        Spec::later(
            &["tcp-check comment"],
            &[Arg::Word("text")],
            "A name for the step before it.",
            "tcp-check comment greeting",
        ),
    ),
    Keyword::inert(
        BACK_OR_DEFAULTS,
        false,
        Spec::later(
            &["tcp-check connect"],
            &[Arg::Rest("options")],
            "A step: connects.",
            "tcp-check connect port 6379",
        ),
    ),
    Keyword::inert(
        BACK_OR_DEFAULTS,
        false,
        Spec::later(
            &["tcp-check expect"],
            &[Arg::Words("pattern")],
            "A step: what must come.",
            "tcp-check expect string +PONG",
        ),
    ),
    Keyword::inert(
        BACK_OR_DEFAULTS,
        false,
        Spec::later(
            &["tcp-check send"],
            &[Arg::Words("text")],
            "A step: sends a text.",
            "tcp-check send PING\\r\\n",
        ),
    ),
    Keyword::inert(
        BACK_OR_DEFAULTS,
        false,
        Spec::later(
            &["tcp-check send-binary"],
            &[Arg::Words("bytes")],
            "A step: sends bytes.",
            "tcp-check send-binary 50494e47",
        ),
    ),
    Keyword::inert(
        BACK_OR_DEFAULTS,
        false,
        Spec::later(
            &["tcp-check send-lf", "tcp-check send-binary-lf"],
            &[Arg::Words("format")],
            "A step: sends a format.",
            "tcp-check send-lf PING",
        ),
    ),
    Keyword::inert(
        BACK_OR_DEFAULTS,
        false,
        Spec::later(
            &["tcp-check set-var", "tcp-check set-var-fmt"],
            &[Arg::Words("name and expression")],
            "A step: sets a variable.",
            "tcp-check set-var(check.x) str(1)",
        ),
    ),
    Keyword::inert(
        BACK_OR_DEFAULTS,
        false,
        Spec::later(
            &["tcp-check unset-var"],
            &[Arg::Word("name")],
            "A step: takes a variable away.",
            "tcp-check unset-var(check.x)",
        ),
    ),
    Keyword::inert(
        Sections::PROXY,
        false,
        Spec::later(
            &["email-alert from"],
            &[Arg::Word("address")],
            "Sender of mails about servers.",
            "email-alert from lb@example.org",
        ),
    ),
    Keyword::inert(
        Sections::PROXY,
        false,
        Spec::later(
            &["email-alert to"],
            &[Arg::Word("address")],
            "Receiver of mails about servers.",
            "email-alert to ops@example.org",
        ),
    ),
    Keyword::inert(
        Sections::PROXY,
        false,
        Spec::later(
            &["email-alert mailers"],
            &[Arg::Word("section")],
            "Servers that carry these mails.",
            "email-alert mailers office",
        ),
    ),
    Keyword::inert(
        Sections::PROXY,
        false,
        Spec::later(
            &["email-alert level"],
            &[Arg::Word("level")],
            "From which level on a mail is sent.",
            "email-alert level notice",
        ),
    ),
    Keyword::inert(
        Sections::PROXY,
        false,
        Spec::later(
            &["email-alert myhostname"],
            &[Arg::Word("name")],
            "The name these mails are sent under.",
            "email-alert myhostname lb1.example",
        ),
    ),
];
