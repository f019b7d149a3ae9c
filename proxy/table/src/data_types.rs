//! What a stick table can store. One row gives the `store` word, the number in the peers protocol and
//! the family of sample fetches.

use proxy_lang::{Arg, Spec, Unit, parse_duration};

/// A stored data type; its number is its bit in the peers protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum DataType {
    /// The server a client sticks to, by id.
    ServerId = 0,
    /// General purpose tag.
    Gpt0 = 1,
    /// General purpose counter.
    Gpc0 = 2,
    /// Its rate.
    Gpc0Rate = 3,
    /// Connections.
    ConnCnt = 4,
    /// Their rate.
    ConnRate = 5,
    /// Connections now.
    ConnCur = 6,
    /// Sessions accepted by the rules.
    SessCnt = 7,
    /// Their rate.
    SessRate = 8,
    /// Requests.
    HttpReqCnt = 9,
    /// Their rate.
    HttpReqRate = 10,
    /// Requests that ended in a client error.
    HttpErrCnt = 11,
    /// Their rate.
    HttpErrRate = 12,
    /// Bytes from clients.
    BytesInCnt = 13,
    /// Their rate.
    BytesInRate = 14,
    /// Bytes to clients.
    BytesOutCnt = 15,
    /// Their rate.
    BytesOutRate = 16,
    /// Second general purpose counter.
    Gpc1 = 17,
    /// Its rate.
    Gpc1Rate = 18,
    /// The server a client sticks to, by name.
    ServerKey = 19,
    /// Requests that ended in a server error.
    HttpFailCnt = 20,
    /// Their rate.
    HttpFailRate = 21,
    /// Array of tags.
    Gpt = 22,
    /// Array of counters.
    Gpc = 23,
    /// Array of rates.
    GpcRate = 24,
}

/// How a type's values are held and sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// 32 bits with a sign.
    Signed,
    /// 32 bits.
    Unsigned,
    /// 64 bits.
    Wide,
    /// Events in a sliding period.
    Rate,
    /// A text from a dictionary.
    Text,
}

/// A row of the registry.
pub struct Row {
    /// Name, arguments, documentation.
    pub spec: Spec,
    /// The type.
    pub data_type: DataType,
    /// How it is held.
    pub kind: Kind,
    /// Whether it is an array whose length the file gives.
    pub array: bool,
}

const PERIOD: &[Arg] = &[Arg::Duration("period", Unit::Millis)];
const LENGTH: &[Arg] = &[Arg::Int("elements", 1, 100)];
const BOTH: &[Arg] = &[Arg::Int("elements", 1, 100), Arg::Duration("period", Unit::Millis)];

const fn row(
    names: &'static [&'static str],
    args: &'static [Arg],
    data_type: DataType,
    kind: Kind,
    doc: &'static str,
    example: &'static str,
) -> Row {
    let array = matches!(data_type, DataType::Gpt | DataType::Gpc | DataType::GpcRate);
    Row { spec: Spec::full(names, args, doc, example), data_type, kind, array }
}

/// All types, by their number.
pub const DATA_TYPES: &[Row] = &[
    row(
        &["server_id"],
        &[],
        DataType::ServerId,
        Kind::Signed,
        "Id of the server a client sticks to.",
        "server_id",
    ),
    row(&["gpt0"], &[], DataType::Gpt0, Kind::Unsigned, "General purpose tag.", "gpt0"),
    row(&["gpc0"], &[], DataType::Gpc0, Kind::Unsigned, "General purpose counter.", "gpc0"),
    row(
        &["gpc0_rate"],
        PERIOD,
        DataType::Gpc0Rate,
        Kind::Rate,
        "Increments of gpc0 in a period.",
        "gpc0_rate(10s)",
    ),
    row(&["conn_cnt"], &[], DataType::ConnCnt, Kind::Unsigned, "Connections.", "conn_cnt"),
    row(&["conn_rate"], PERIOD, DataType::ConnRate, Kind::Rate, "Connections in a period.", "conn_rate(3s)"),
    row(&["conn_cur"], &[], DataType::ConnCur, Kind::Unsigned, "Connections at this moment.", "conn_cur"),
    row(&["sess_cnt"], &[], DataType::SessCnt, Kind::Unsigned, "Accepted sessions.", "sess_cnt"),
    row(
        &["sess_rate"],
        PERIOD,
        DataType::SessRate,
        Kind::Rate,
        "Accepted sessions in a period.",
        "sess_rate(10s)",
    ),
    row(&["http_req_cnt"], &[], DataType::HttpReqCnt, Kind::Unsigned, "HTTP requests.", "http_req_cnt"),
    row(
        &["http_req_rate"],
        PERIOD,
        DataType::HttpReqRate,
        Kind::Rate,
        "HTTP requests in a period.",
        "http_req_rate(10s)",
    ),
    row(
        &["http_err_cnt"],
        &[],
        DataType::HttpErrCnt,
        Kind::Unsigned,
        "Requests in error (4xx).",
        "http_err_cnt",
    ),
    row(
        &["http_err_rate"],
        PERIOD,
        DataType::HttpErrRate,
        Kind::Rate,
        "Requests in error in a period.",
        "http_err_rate(10s)",
    ),
    row(
        &["bytes_in_cnt"],
        &[],
        DataType::BytesInCnt,
        Kind::Wide,
        "Bytes received from clients.",
        "bytes_in_cnt",
    ),
    row(
        &["bytes_in_rate"],
        PERIOD,
        DataType::BytesInRate,
        Kind::Rate,
        "Bytes received in a period.",
        "bytes_in_rate(1m)",
    ),
    row(
        &["bytes_out_cnt"],
        &[],
        DataType::BytesOutCnt,
        Kind::Wide,
        "Bytes sent to clients.",
        "bytes_out_cnt",
    ),
    row(
        &["bytes_out_rate"],
        PERIOD,
        DataType::BytesOutRate,
        Kind::Rate,
        "Bytes sent in a period.",
        "bytes_out_rate(1m)",
    ),
    row(&["gpc1"], &[], DataType::Gpc1, Kind::Unsigned, "Second general purpose counter.", "gpc1"),
    row(
        &["gpc1_rate"],
        PERIOD,
        DataType::Gpc1Rate,
        Kind::Rate,
        "Increments of gpc1 in a period.",
        "gpc1_rate(10s)",
    ),
    row(
        &["server_key"],
        &[],
        DataType::ServerKey,
        Kind::Text,
        "Name of the server a client sticks to.",
        "server_key",
    ),
    row(
        &["http_fail_cnt"],
        &[],
        DataType::HttpFailCnt,
        Kind::Unsigned,
        "Requests failed by servers (5xx).",
        "http_fail_cnt",
    ),
    row(
        &["http_fail_rate"],
        PERIOD,
        DataType::HttpFailRate,
        Kind::Rate,
        "Failed requests in a period.",
        "http_fail_rate(10s)",
    ),
    row(&["gpt"], LENGTH, DataType::Gpt, Kind::Unsigned, "Array of general purpose tags.", "gpt(2)"),
    row(&["gpc"], LENGTH, DataType::Gpc, Kind::Unsigned, "Array of general purpose counters.", "gpc(3)"),
    row(&["gpc_rate"], BOTH, DataType::GpcRate, Kind::Rate, "Array of counters' rates.", "gpc_rate(3,10s)"),
];

impl DataType {
    /// The type's row.
    #[must_use]
    pub fn row(self) -> &'static Row {
        &DATA_TYPES[self as usize]
    }

    /// The word of the `store` list.
    #[must_use]
    pub fn name(self) -> &'static str {
        self.row().spec.names[0]
    }

    /// The type with this number in the peers protocol.
    #[must_use]
    pub fn from_bit(bit: u8) -> Option<Self> {
        DATA_TYPES.get(usize::from(bit)).map(|row| row.data_type)
    }
}

/// One column of a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stored {
    /// What it holds.
    pub data_type: DataType,
    /// Values in the column: more than 1 for arrays.
    pub elements: u16,
    /// The period of a rate, in milliseconds; 0 otherwise.
    pub period_ms: u32,
}

/// Reads one item of a `store` list: `conn_cnt`, `conn_rate(3s)`, `gpc(2)`.
///
/// # Errors
/// A sentence that says what was expected.
pub fn parse_store(text: &str) -> Result<Stored, String> {
    let (name, arguments) = match text.split_once('(') {
        Some((name, rest)) => match rest.strip_suffix(')') {
            Some(arguments) => (name, arguments.split(',').map(str::trim).collect::<Vec<_>>()),
            None => return Err(format!("'{text}' lacks its closing parenthesis")),
        },
        None => (text, Vec::new()),
    };
    let names = || DATA_TYPES.iter().map(|r| r.spec.names[0]);
    let Some(row) = DATA_TYPES.iter().find(|row| row.spec.names.contains(&name)) else {
        let hint =
            proxy_lang::nearest(name, names()).map_or_else(String::new, |n| format!("; did you mean '{n}'?"));
        return Err(format!("'{name}' is not a data type that can be stored{hint}"));
    };
    if arguments.len() != row.spec.args.len() {
        return Err(format!("'{text}' : '{}' is expected", row.spec.example));
    }
    let mut arguments = arguments.into_iter();
    let mut stored = Stored { data_type: row.data_type, elements: 1, period_ms: 0 };
    if row.array {
        let count = arguments.next().and_then(|n| n.parse::<u16>().ok());
        stored.elements = count
            .filter(|n| (1..=100).contains(n))
            .ok_or(format!("'{text}' : 1 to 100 elements are possible"))?;
    }
    if row.kind == Kind::Rate {
        let period = parse_duration(arguments.next().unwrap_or(""), Unit::Millis)?;
        stored.period_ms = u32::try_from(period.as_millis()).unwrap_or(u32::MAX);
        if stored.period_ms == 0 {
            return Err(format!("'{text}' : the period cannot be zero"));
        }
    }
    Ok(stored)
}
