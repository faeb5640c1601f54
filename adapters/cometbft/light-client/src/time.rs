//! A ledger's own time: seconds and nanoseconds since 1970, as `google.protobuf.Timestamp` holds them.

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use std::fmt;
use std::str::FromStr;

/// An instant between the years 1 and 9999 (the range of `google.protobuf.Timestamp`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Time {
    seconds: i64,
    nanos: u32,
}

/// 0001-01-01T00:00:00Z, which nodes write where a vote is absent.
const FIRST: i64 = -62_135_596_800;
/// 9999-12-31T23:59:59Z.
const LAST: i64 = 253_402_300_799;
const NANOS: u32 = 1_000_000_000;

impl Time {
    /// The zero time of the Go language, which stands where a vote is absent.
    pub const ZERO: Self = Self { seconds: FIRST, nanos: 0 };

    /// `None` outside the years 1 to 9999, or for more than a second of nanoseconds.
    pub const fn new(seconds: i64, nanos: u32) -> Option<Self> {
        if seconds < FIRST || seconds > LAST || nanos >= NANOS {
            return None;
        }
        Some(Self { seconds, nanos })
    }

    /// Whole seconds since 1970.
    pub const fn seconds(self) -> i64 {
        self.seconds
    }

    /// Nanoseconds beyond them.
    pub const fn nanos(self) -> u32 {
        self.nanos
    }

    /// Later by whole seconds, stopping at the last second of 9999.
    #[must_use]
    pub fn plus(self, seconds: u64) -> Self {
        let later = i64::try_from(seconds).ok().and_then(|seconds| self.seconds.checked_add(seconds));
        Self { seconds: later.unwrap_or(LAST).min(LAST), nanos: self.nanos }
    }
}

/// Not a time.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("expected a time such as 2023-05-17T14:12:53.088875124Z")]
pub struct NotATime;

impl FromStr for Time {
    type Err = NotATime;

    /// RFC 3339 in UTC with up to nine digits of a second, as nodes write it.
    fn from_str(text: &str) -> Result<Self, NotATime> {
        let bytes = text.strip_suffix('Z').ok_or(NotATime)?;
        let (whole, fraction) = match bytes.split_once('.') {
            Some((whole, fraction)) => (whole, Some(fraction)),
            None => (bytes, None),
        };
        let field = |from: usize, to: usize| -> Result<i64, NotATime> {
            let part = whole.get(from..to).ok_or(NotATime)?;
            if !part.bytes().all(|byte| byte.is_ascii_digit()) {
                return Err(NotATime);
            }
            part.parse().map_err(|_| NotATime)
        };
        let marks = [(4, b'-'), (7, b'-'), (10, b'T'), (13, b':'), (16, b':')];
        if whole.len() != 19 || marks.iter().any(|(at, mark)| whole.as_bytes().get(*at) != Some(mark)) {
            return Err(NotATime);
        }
        let (year, month, day) = (field(0, 4)?, field(5, 7)?, field(8, 10)?);
        let (hour, minute, second) = (field(11, 13)?, field(14, 16)?, field(17, 19)?);
        let days = days_from_civil(year, month, day);
        if year < 1 || civil_from_days(days) != (year, month, day) || hour > 23 || minute > 59 || second > 59 {
            return Err(NotATime);
        }
        Self::new(days * 86_400 + hour * 3_600 + minute * 60 + second, nanoseconds(fraction)?).ok_or(NotATime)
    }
}

fn nanoseconds(fraction: Option<&str>) -> Result<u32, NotATime> {
    let Some(digits) = fraction else { return Ok(0) };
    if digits.is_empty() || digits.len() > 9 || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(NotATime);
    }
    let scale = 10_u32.pow(u32::try_from(9 - digits.len()).map_err(|_| NotATime)?);
    digits.parse::<u32>().map(|digits| digits * scale).map_err(|_| NotATime)
}

/// Days from 1970-01-01 (Hinnant, "chrono-compatible date algorithms"). Any numbers of two and four digits are safe.
const fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let y = if month <= 2 { year - 1 } else { year };
    let era = y.div_euclid(400);
    let yoe = y.rem_euclid(400);
    let doy = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let doe = yoe * 365 + yoe / 4 - yoe / 100 + doy;
    era * 146_097 + doe - 719_468
}

const fn civil_from_days(days: i64) -> (i64, i64, i64) {
    let z = days + 719_468;
    let (era, doe) = (z.div_euclid(146_097), z.rem_euclid(146_097));
    let yoe = (doe - doe / 1_460 + doe / 36_524 - doe / 146_096) / 365;
    let doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
    let mp = (5 * doy + 2) / 153;
    let (day, month) = (doy - (153 * mp + 2) / 5 + 1, if mp < 10 { mp + 3 } else { mp - 9 });
    (yoe + era * 400 + (month <= 2) as i64, month, day)
}

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (days, rest) = (self.seconds.div_euclid(86_400), self.seconds.rem_euclid(86_400));
        let (year, month, day) = civil_from_days(days);
        let (hour, minute, second) = (rest / 3_600, rest / 60 % 60, rest % 60);
        write!(f, "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}")?;
        if self.nanos != 0 {
            let digits = format!("{:09}", self.nanos);
            write!(f, ".{}", digits.trim_end_matches('0'))?;
        }
        f.write_str("Z")
    }
}

impl Serialize for Time {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Time {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn times_as_nodes_write_them() {
        for (text, seconds, nanos) in [
            ("2023-05-17T14:12:53.088875124Z", 1_684_332_773, 88_875_124),
            ("1970-01-01T00:00:01Z", 1, 0),
            ("2020-02-29T00:00:00.5Z", 1_582_934_400, 500_000_000),
            ("0001-01-01T00:00:00Z", FIRST, 0),
            ("9999-12-31T23:59:59Z", LAST, 0),
        ] {
            let time: Time = text.parse().unwrap();
            assert_eq!((time.seconds(), time.nanos()), (seconds, nanos));
            assert_eq!(time.to_string(), text);
        }
    }

    #[test]
    fn what_is_no_time() {
        for text in [
            "",
            "Z",
            "2023-05-17T14:12:53",
            "2023-05-17T14:12:53+00:00",
            "2023-02-29T00:00:00Z",
            "2023-13-01T00:00:00Z",
            "2023-01-01T24:00:00Z",
            "2023-01-01T00:00:60Z",
            "2023-01-01T00:00:00.Z",
            "2023-01-01T00:00:00.0123456789Z",
            "0000-01-01T00:00:00Z",
            "+023-01-01T00:00:00Z",
            "2023-01-01T00:00:0éZ",
        ] {
            assert_eq!(text.parse::<Time>(), Err(NotATime), "{text}");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(seconds in FIRST..=LAST, nanos in 0..NANOS) {
            let time = Time::new(seconds, nanos).unwrap();
            prop_assert_eq!(time.to_string().parse::<Time>().unwrap(), time);
        }

        #[test]
        fn any_text_is_a_time_or_is_refused(text in ".{0,40}") {
            let _ = text.parse::<Time>();
        }
    }
}
