//! Instants as time since 1970, and the two forms in which nodes write them.

use std::time::Duration;

use crate::wire::Message;

/// Seconds from 1970 back to the year 1, which Go's zero time is and which stands where a vote is absent.
const YEAR_ONE: i64 = -62_135_596_800;

/// `google.protobuf.Timestamp{seconds = 1, nanos = 2}`; no time is Go's zero time.
pub fn encode(time: Option<Duration>) -> Vec<u8> {
    let seconds = time.map_or(YEAR_ONE, |time| time.as_secs().try_into().unwrap_or(i64::MAX));
    let nanos = time.map_or(0, |time| time.subsec_nanos());
    Message::new().signed(1, seconds).number(2, u64::from(nanos)).finish()
}

/// RFC 3339 in UTC with as many digits of a second as are needed; no time is Go's zero time.
pub fn rfc3339(time: Option<Duration>) -> String {
    let Some(time) = time else { return "0001-01-01T00:00:00Z".to_owned() };
    let (days, rest) = (time.as_secs() / 86_400, time.as_secs() % 86_400);
    let (year, month, day) = civil(days);
    let (hour, minute, second) = (rest / 3_600, rest / 60 % 60, rest % 60);
    let fraction = match time.subsec_nanos() {
        0 => String::new(),
        nanos => format!(".{nanos:09}").trim_end_matches('0').to_owned(),
    };
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}{fraction}Z")
}

/// Year, month and day of a day since 1970-01-01, counted year by year and month by month.
fn civil(mut days: u64) -> (u64, u64, u64) {
    // The Gregorian calendar repeats itself every 400 years.
    let (mut year, leap) = (1970 + days / 146_097 * 400, |year: u64| {
        year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400))
    });
    days %= 146_097;
    while days >= 365 + u64::from(leap(year)) {
        days -= 365 + u64::from(leap(year));
        year += 1;
    }
    let lengths = [31, 28 + u64::from(leap(year)), 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
    for (month, length) in (1..).zip(lengths) {
        if days < length {
            return (year, month, days + 1);
        }
        days -= length;
    }
    (year, 12, 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_and_fractions() {
        for (seconds, nanos, text) in [
            (0, 0, "1970-01-01T00:00:00Z"),
            (951_782_399, 500_000_000, "2000-02-28T23:59:59.5Z"),
            (951_782_400, 1, "2000-02-29T00:00:00.000000001Z"),
            (1_684_332_773, 88_875_124, "2023-05-17T14:12:53.088875124Z"),
            (1_798_761_599, 0, "2026-12-31T23:59:59Z"),
            (4_107_542_400, 0, "2100-03-01T00:00:00Z"),
            (253_402_300_799, 0, "9999-12-31T23:59:59Z"),
        ] {
            assert_eq!(rfc3339(Some(Duration::new(seconds, nanos))), text);
        }
    }

    #[test]
    fn no_time_is_the_zero_time_of_go() {
        assert_eq!(encode(None), [8, 0x80, 0x92, 0xb8, 0xc3, 0x98, 0xfe, 0xff, 0xff, 0xff, 1]);
        assert!(encode(Some(Duration::ZERO)).is_empty());
    }
}
