//! Durations and sizes as HAProxy writes them (manual chapter 2.5): a number and an optional unit.

use std::time::Duration;

use crate::Unit;

/// Longest duration that is accepted, in milliseconds: HAProxy's timers end at 2^31 - 1.
const MAX_MILLIS: u64 = i32::MAX as u64;

/// A duration as [`parse_duration`] reads it.
#[must_use]
pub fn duration(of: Duration) -> String {
    if of.subsec_micros().is_multiple_of(1_000) {
        format!("{}ms", of.as_millis())
    } else {
        format!("{}us", of.as_micros())
    }
}

/// Reads `10`, `10ms`, `5s`, `1m`, `2h`, `3d`, `7us`, also with the unit spelled out (`5min`); a bare number has
/// `unit`.
///
/// # Errors
/// A sentence that says what was expected.
pub fn parse_duration(text: &str, unit: Unit) -> Result<Duration, String> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, suffix) = text.split_at(digits);
    let expected = "a number with an optional unit (us, ms, s, m, h, d)";
    if number.is_empty() {
        return Err(format!("'{text}' is not a duration: {expected} is expected"));
    }
    let micros_per = match suffix {
        "" => match unit {
            Unit::Millis => 1_000,
            Unit::Seconds => 1_000_000,
        },
        "us" => 1,
        "ms" | "msec" | "msecs" => 1_000,
        "s" | "sec" | "secs" | "second" | "seconds" => 1_000_000,
        "m" | "min" | "mins" | "minute" | "minutes" => 60_000_000,
        "h" | "hour" | "hours" => 3_600_000_000,
        "d" | "day" | "days" => 86_400_000_000_u64,
        _ => return Err(format!("unit '{suffix}' in '{text}' is not known: {expected} is expected")),
    };
    let micros = number.parse::<u64>().ok().and_then(|n| n.checked_mul(micros_per));
    match micros {
        Some(micros) if micros / 1_000 <= MAX_MILLIS => Ok(Duration::from_micros(micros)),
        _ => Err(format!("'{text}' is too long: at most {MAX_MILLIS} ms (24 days) can be timed")),
    }
}

/// Reads `100`, `64k`, `1m`, `2g`, in powers of 1024.
///
/// # Errors
/// A sentence that says what was expected.
pub fn parse_size(text: &str) -> Result<u64, String> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, suffix) = text.split_at(digits);
    let shift = match suffix {
        "" => 0,
        "k" | "K" => 10,
        "m" | "M" => 20,
        "g" | "G" => 30,
        _ => return Err(format!("'{text}' is not a size: a number with an optional k, m or g is expected")),
    };
    if number.is_empty() {
        return Err(format!("'{text}' is not a size: a number with an optional k, m or g is expected"));
    }
    number
        .parse::<u64>()
        .ok()
        .and_then(|n| n.checked_mul(1 << shift))
        .ok_or_else(|| format!("size '{text}' is too large"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_carry_units_and_bounds() {
        assert_eq!(parse_duration("5000", Unit::Millis), Ok(Duration::from_secs(5)));
        assert_eq!(parse_duration("30s", Unit::Millis), Ok(Duration::from_secs(30)));
        assert_eq!(parse_duration("3", Unit::Seconds), Ok(Duration::from_secs(3)));
        assert_eq!(parse_duration("20d", Unit::Millis), Ok(Duration::from_secs(1_728_000)));
        for bad in ["", "s", "5x", "-1", "99999999999999999999", "30d", "1.5s"] {
            assert!(parse_duration(bad, Unit::Millis).is_err(), "{bad}");
        }
    }

    #[test]
    fn sizes_are_powers_of_two() {
        assert_eq!(parse_size("100k"), Ok(102_400));
        assert_eq!(parse_size("1m"), Ok(1_048_576));
        for bad in ["", "k", "1t", "99999999999g"] {
            assert!(parse_size(bad).is_err(), "{bad}");
        }
    }
}
