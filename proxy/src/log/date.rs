//! The core's milliseconds as dates of log lines.

use std::sync::OnceLock;
use std::time::Duration;

use jiff::tz::TimeZone;
use jiff::{Timestamp, Zoned};
use proxy_rules::DateForm;

use crate::clock::{EPOCH_MS, started};

/// The zone of this machine as it was when first asked for: a worker that has changed its root later finds
/// no files about zones there.
pub(crate) fn zone() -> &'static TimeZone {
    static ZONE: OnceLock<TimeZone> = OnceLock::new();
    ZONE.get_or_init(TimeZone::system)
}

fn zoned(core_ms: u64) -> Zoned {
    let wall = started() + Duration::from_millis(core_ms.saturating_sub(EPOCH_MS));
    Timestamp::try_from(wall).unwrap_or(Timestamp::UNIX_EPOCH).to_zoned(zone().clone())
}

/// A date of a log field.
pub(crate) fn field(core_ms: u64, form: DateForm) -> String {
    match form {
        DateForm::Millis => zoned(core_ms).strftime("%d/%b/%Y:%H:%M:%S.%3f"),
        DateForm::Local => zoned(core_ms).strftime("%d/%b/%Y:%H:%M:%S %z"),
        DateForm::Utc => {
            let utc = zoned(core_ms).with_time_zone(TimeZone::UTC);
            return utc.strftime("%d/%b/%Y:%H:%M:%S +0000").to_string();
        }
    }
    .to_string()
}

/// The core's milliseconds as milliseconds since 1970.
pub(crate) fn unix_ms(core_ms: u64) -> u64 {
    u64::try_from(zoned(core_ms).timestamp().as_millisecond()).unwrap_or(0)
}

/// `yyyy-mm-ddThh:mm:ss.uuuuuu+zz:zz`, in local time.
pub(super) fn iso(core_ms: u64) -> String {
    zoned(core_ms).strftime("%Y-%m-%dT%H:%M:%S.%6f%:z").to_string()
}

/// `Mon dd hh:mm:ss`, the date of RFC 3164, in local time.
pub(super) fn syslog(core_ms: u64) -> String {
    zoned(core_ms).strftime("%b %e %H:%M:%S").to_string()
}
