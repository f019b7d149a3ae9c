//! Options of `bind` lines.

use proxy_lang::{Arg, Keyword, Sections, Status};

use super::spec;
use crate::draft::BindOptions;
use crate::model::TlsVersion;

const HERE: Sections = Sections::OPTION;

fn version(text: &str) -> TlsVersion {
    if text == "TLSv1.3" { TlsVersion::V1_3 } else { TlsVersion::V1_2 }
}

/// Every option, in the manual's order.
pub(super) const OPTIONS: &[Keyword<BindOptions>] = &[
    Keyword {
        spec: spec!(
            Status::Partial("HTTP/2 is not offered: of the list, clients can choose http/1.1"),
            &["alpn"],
            &[Arg::Word("protocols")],
            "Protocols a client may choose by TLS, separated by commas.",
            "alpn h2,http/1.1"
        ),
        sections: HERE,
        negatable: false,
        apply: |d, a, r| {
            let list: Vec<String> = a.text(0).split(',').map(str::to_owned).collect();
            if list.iter().any(|p| p == "h2") {
                r.warning(a.word(0).span, "HTTP/2 is not built yet: it is not offered to clients");
            }
            d.alpn = list.into_iter().filter(|p| p != "h2").collect();
        },
    },
    Keyword {
        spec: spec!(
            &["backlog"],
            &[Arg::Int("connections", 1, 1_000_000)],
            "Connections that may wait to be accepted.",
            "backlog 1000"
        ),
        sections: HERE,
        negatable: false,
        apply: |d, a, _| d.backlog = u32::try_from(a.int(0)).ok(),
    },
    Keyword {
        spec: spec!(
            &["crt"],
            &[Arg::Word("file")],
            "Certificate chain and key in one PEM file, or a folder of such files; the first is the default.",
            "crt /etc/tandem/site.pem"
        ),
        sections: HERE,
        negatable: false,
        apply: |d, a, _| d.certificates.push(a.word(0).clone()),
    },
    Keyword {
        spec: spec!(
            &["id"],
            &[Arg::Int("id", 1, 2_000_000_000)],
            "The listener's number in its frontend, which no other one has; shown where it has no name.",
            "id 7"
        ),
        sections: HERE,
        negatable: false,
        apply: |d, a, _| d.id = u32::try_from(a.int(0)).ok(),
    },
    Keyword {
        spec: spec!(&["gid"], &[super::global::ID], "Group of the socket's file, by number.", "gid 998"),
        sections: HERE,
        negatable: false,
        apply: |d, a, _| d.file.group = super::global::numbered(a),
    },
    Keyword {
        spec: spec!(&["group"], &[Arg::Word("name")], "Group of the socket's file.", "group www-data"),
        sections: HERE,
        negatable: false,
        apply: |d, a, _| d.file.group = super::global::named(a.word(0)),
    },
    Keyword {
        spec: spec!(&["mode"], &[Arg::Word("octal")], "Mode of the socket's file.", "mode 660"),
        sections: HERE,
        negatable: false,
        apply: |d, a, r| match u32::from_str_radix(&a.text(0), 8) {
            Ok(mode) if mode <= 0o7777 => d.file.mode = Some(mode),
            _ => {
                r.error(
                    a.word(0).span,
                    format!("'{}' is not a mode: an octal number is expected", a.text(0)),
                );
            }
        },
    },
    Keyword {
        spec: spec!(&["uid"], &[super::global::ID], "Owner of the socket's file, by number.", "uid 998"),
        sections: HERE,
        negatable: false,
        apply: |d, a, _| d.file.user = super::global::numbered(a),
    },
    Keyword {
        spec: spec!(&["user"], &[Arg::Word("name")], "Owner of the socket's file.", "user www-data"),
        sections: HERE,
        negatable: false,
        apply: |d, a, _| d.file.user = super::global::named(a.word(0)),
    },
    Keyword {
        spec: spec!(
            &["name"],
            &[Arg::Word("name")],
            "The listener's name in log lines about its connections.",
            "name public"
        ),
        sections: HERE,
        negatable: false,
        apply: |d, a, _| d.name = Some(a.text(0)),
    },
    Keyword {
        spec: spec!(
            Status::Accepted("these protocols are never spoken"),
            &["no-sslv3", "no-tlsv10", "no-tlsv11", "no-tls-tickets"],
            &[],
            "Old protocols that HAProxy can switch off.",
            "no-sslv3"
        ),
        sections: HERE,
        negatable: false,
        apply: |_, _, _| {},
    },
    Keyword {
        spec: spec!(&["ssl"], &[], "Clients speak TLS here.", "ssl crt /etc/tandem/site.pem"),
        sections: HERE,
        negatable: false,
        apply: |d, _, _| d.ssl = true,
    },
    Keyword {
        spec: spec!(
            &["ssl-max-ver"],
            &[Arg::OneOf("version", &["TLSv1.2", "TLSv1.3"])],
            "Newest version of TLS.",
            "ssl-max-ver TLSv1.3"
        ),
        sections: HERE,
        negatable: false,
        apply: |d, a, _| d.newest = Some(version(&a.text(0))),
    },
    Keyword {
        spec: spec!(
            &["ssl-min-ver"],
            &[Arg::OneOf("version", &["TLSv1.0", "TLSv1.1", "TLSv1.2", "TLSv1.3"])],
            "Oldest version of TLS; nothing below 1.2 is ever spoken.",
            "ssl-min-ver TLSv1.2"
        ),
        sections: HERE,
        negatable: false,
        apply: |d, a, r| {
            if matches!(a.text(0).as_str(), "TLSv1.0" | "TLSv1.1") {
                r.warning(a.word(0).span, "nothing below TLSv1.2 is spoken");
            }
            d.oldest = Some(version(&a.text(0)));
        },
    },
    Keyword {
        spec: spec!(
            &["strict-sni"],
            &[],
            "Clients that name no host with a certificate are refused.",
            "strict-sni"
        ),
        sections: HERE,
        negatable: false,
        apply: |d, _, _| d.strict_sni = true,
    },
    Keyword {
        spec: spec!(
            &["v4v6"],
            &[],
            "A socket of IPv6 takes clients of IPv4, too: so it is without the option.",
            "v4v6"
        ),
        sections: HERE,
        negatable: false,
        apply: |d, _, _| d.v6only = false,
    },
    Keyword {
        spec: spec!(&["v6only"], &[], "A socket of IPv6 takes no clients of IPv4.", "v6only"),
        sections: HERE,
        negatable: false,
        apply: |d, _, _| d.v6only = true,
    },
];
