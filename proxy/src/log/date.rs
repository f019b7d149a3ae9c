//! The core's milliseconds as dates of log lines.

use std::sync::OnceLock;
use std::time::Duration;

use jiff::tz::TimeZone;
use jiff::{Timestamp, Zoned};

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

/// `dd/Mon/yyyy:hh:mm:ss.mmm`, in local time.
pub(super) fn clf(core_ms: u64) -> String {
    zoned(core_ms).strftime("%d/%b/%Y:%H:%M:%S.%3f").to_string()
}

/// `Mon dd hh:mm:ss`, the date of RFC 3164, in local time.
pub(super) fn syslog(core_ms: u64) -> String {
    zoned(core_ms).strftime("%b %e %H:%M:%S").to_string()
}
