//! Converters: what stands behind a fetch and changes its sample. None is built yet; they are read, so that a
//! file can be checked.

use proxy_lang::Spec;

use crate::Kind;

/// A row of the registry.
pub struct Converter {
    /// Names, documentation.
    pub spec: Spec,
    /// The type of what comes out.
    pub(crate) yields: Kind,
}

/// The converters, by family.
pub const CONVERTERS: &[Converter] = &[
    waiting(
        Kind::Int,
        &["add", "and", "cpl", "div", "mod", "mul", "neg", "or", "sub", "xor"],
        "Arithmetic.",
        "add(1)",
    ),
    waiting(Kind::Int, &["bool", "even", "not", "odd"], "Truth of numbers.", "not"),
    waiting(
        Kind::Int,
        &["crc32", "crc32c", "djb2", "sdbm", "wt6", "xxh3", "xxh32", "xxh64"],
        "Numbers that stand for bytes.",
        "xxh64",
    ),
    waiting(
        Kind::Text,
        &["b64dec", "base64", "ub64dec", "ub64enc", "be2dec", "be2hex", "hex", "url_dec", "url_enc", "htonl"],
        "Other spellings of bytes.",
        "base64",
    ),
    waiting(
        Kind::Int,
        &["hex2i", "length", "nbsrv", "port_only", "srv_queue", "strcmp"],
        "Numbers about texts.",
        "length",
    ),
    waiting(
        Kind::Text,
        &[
            "add_item",
            "bytes",
            "concat",
            "cut_crlf",
            "field",
            "host_only",
            "iif",
            "json",
            "json_query",
            "language",
            "lower",
            "ltrim",
            "regsub",
            "rtrim",
            "upper",
            "word",
        ],
        "Texts out of texts.",
        "lower",
    ),
    waiting(Kind::Text, &["http_date", "ltime", "utime"], "Times as texts.", "ltime(%H)"),
    waiting(
        Kind::Text,
        &["aes_gcm_dec", "digest", "hmac", "sha1", "sha2"],
        "Digests and ciphers.",
        "sha2(256)",
    ),
    waiting(Kind::Bool, &["secure_memcmp", "jwt_verify"], "Comparisons.", "secure_memcmp(txn.secret)"),
    waiting(
        Kind::Text,
        &["jwt_header_query", "jwt_payload_query"],
        "Parts of tokens.",
        "jwt_payload_query('$.sub')",
    ),
    waiting(Kind::Addr, &["ipmask"], "The network of an address.", "ipmask(24)"),
    waiting(
        Kind::Text,
        &["capture-req", "capture-res", "set-var", "unset-var", "debug"],
        "Keeps a value.",
        "set-var(txn.name)",
    ),
    waiting(
        Kind::Text,
        &[
            "map", "map_beg", "map_dir", "map_dom", "map_end", "map_int", "map_ip", "map_reg", "map_regm",
            "map_str", "map_sub",
        ],
        "Looks a text up in a file.",
        "map(sites.map)",
    ),
    waiting(
        Kind::Int,
        &[
            "map_beg_int",
            "map_dir_int",
            "map_dom_int",
            "map_end_int",
            "map_int_int",
            "map_ip_int",
            "map_reg_int",
            "map_str_int",
            "map_sub_int",
        ],
        "Looks a number up in a file.",
        "map_beg_int(limits.map)",
    ),
    waiting(
        Kind::Addr,
        &[
            "map_beg_ip",
            "map_dir_ip",
            "map_dom_ip",
            "map_end_ip",
            "map_int_ip",
            "map_ip_ip",
            "map_reg_ip",
            "map_str_ip",
            "map_sub_ip",
        ],
        "Looks an address up in a file.",
        "map_str_ip(hosts.map)",
    ),
    waiting(Kind::Bool, &["in_table"], "Whether a table has the key.", "in_table(app)"),
    waiting(
        Kind::Int,
        &[
            "table_bytes_in_rate",
            "table_bytes_out_rate",
            "table_conn_cnt",
            "table_conn_cur",
            "table_conn_rate",
            "table_expire",
            "table_gpc",
            "table_gpc0",
            "table_gpc0_rate",
            "table_gpc1",
            "table_gpc1_rate",
            "table_gpc_rate",
            "table_gpt",
            "table_gpt0",
            "table_http_err_cnt",
            "table_http_err_rate",
            "table_http_fail_cnt",
            "table_http_fail_rate",
            "table_http_req_cnt",
            "table_http_req_rate",
            "table_idle",
            "table_kbytes_in",
            "table_kbytes_out",
            "table_server_id",
            "table_sess_cnt",
            "table_sess_rate",
            "table_trackers",
        ],
        "What a table stores for the key.",
        "table_conn_rate(app)",
    ),
    waiting(
        Kind::Text,
        &["fix_is_valid", "fix_tag_value", "mqtt_field_value", "mqtt_is_valid", "protobuf", "ungrpc"],
        "Fields of binary protocols.",
        "mqtt_is_valid",
    ),
];

const fn waiting(
    yields: Kind,
    names: &'static [&'static str],
    doc: &'static str,
    example: &'static str,
) -> Converter {
    Converter { spec: Spec::later(names, &[], doc, example), yields }
}

/// The converter of this name.
pub(crate) fn named(name: &str) -> Option<&'static Converter> {
    CONVERTERS.iter().find(|row| row.spec.names.contains(&name))
}
