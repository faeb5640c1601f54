//! Time as an argument: whole seconds since 1970-01-01T00:00:00Z. Nothing in this crate reads a clock.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Unix time in whole seconds. Ledgers and checkpoints of this system count in seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Timestamp(u64);

/// 9999-12-31T23:59:59Z: the last second that RFC 3339 can write.
const LAST_SECOND: u64 = 253_402_300_799;

impl Timestamp {
    /// Wraps seconds since the epoch; times past the year 9999 cannot be written in RFC 3339 and give `None`.
    pub fn from_seconds(seconds: u64) -> Option<Self> {
        (seconds <= LAST_SECOND).then_some(Self(seconds))
    }

    /// Seconds since the epoch.
    pub const fn seconds(self) -> u64 {
        self.0
    }

    /// Later by `seconds`, stopping at the year 9999.
    pub fn plus(self, seconds: u64) -> Self {
        Self(self.0.saturating_add(seconds).min(LAST_SECOND))
    }

    /// Seconds from `earlier` to `self`; zero when `earlier` is later.
    pub fn since(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }

    /// Parses the one spelling that [`fmt::Display`] writes: `YYYY-MM-DDThh:mm:ssZ`.
    pub fn from_rfc3339_utc(text: &str) -> Option<Self> {
        let bytes = text.as_bytes();
        if bytes.len() != 20 {
            return None;
        }
        let field = |from: usize, to: usize| -> Option<u64> {
            let part = text.get(from..to)?;
            part.bytes().all(|byte| byte.is_ascii_digit()).then(|| part.parse().ok())?
        };
        let separators = [(4, b'-'), (7, b'-'), (10, b'T'), (13, b':'), (16, b':'), (19, b'Z')];
        if separators.iter().any(|(at, mark)| bytes.get(*at) != Some(mark)) {
            return None;
        }
        let (year, month, day) = (field(0, 4)?, field(5, 7)?, field(8, 10)?);
        let (hour, minute, second) = (field(11, 13)?, field(14, 16)?, field(17, 19)?);
        if hour > 23 || minute > 59 || second > 59 || year < 1970 {
            return None;
        }
        let days = days_from_civil(year, month, day)?;
        let time = Self::from_seconds(days * 86_400 + hour * 3_600 + minute * 60 + second)?;
        // A day that the month does not have comes back as another date.
        (time.to_string() == text).then_some(time)
    }
}

/// Days from 1970-01-01 to a date of the proleptic Gregorian calendar (Hinnant, "chrono-compatible date algorithms").
fn days_from_civil(year: u64, month: u64, day: u64) -> Option<u64> {
    if !(1..=12).contains(&month) || !(1..=31).contains(&day) {
        return None;
    }
    let y = if month <= 2 { year - 1 } else { year };
    let (era, yoe) = (y / 400, y % 400);
    let shifted = (month + 9) % 12;
    let doy = (153 * shifted + 2) / 5 + day - 1;
    let doe = yoe * 365 + yoe / 4 - yoe / 100 + doy;
    (era * 146_097 + doe).checked_sub(719_468)
}

fn civil_from_days(days: u64) -> (u64, u64, u64) {
    let z = days + 719_468;
    let (era, doe) = (z / 146_097, z % 146_097);
    let yoe = (doe - doe / 1_460 + doe / 36_524 - doe / 146_096) / 365;
    let doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
    let shifted = (5 * doy + 2) / 153;
    let day = doy - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    let year = yoe + era * 400 + u64::from(month <= 2);
    (year, month, day)
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (year, month, day) = civil_from_days(self.0 / 86_400);
        let second = self.0 % 86_400;
        write!(f, "{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}Z", second / 3_600, second % 3_600 / 60, second % 60)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn known_times() {
        for (seconds, text) in [
            (0, "1970-01-01T00:00:00Z"),
            (951_782_400, "2000-02-29T00:00:00Z"),
            (1_795_254_389, "2026-11-21T09:46:29Z"),
            (LAST_SECOND, "9999-12-31T23:59:59Z"),
        ] {
            let time = Timestamp::from_seconds(seconds).unwrap();
            assert_eq!(time.to_string(), text);
            assert_eq!(Timestamp::from_rfc3339_utc(text), Some(time));
        }
        assert_eq!(Timestamp::from_seconds(LAST_SECOND + 1), None);
    }

    #[test]
    fn days_that_do_not_exist_are_refused() {
        for text in ["2023-02-30T00:00:00Z", "2023-13-01T00:00:00Z", "2023-01-01T24:00:00Z", "2023-01-01 00:00:00Z", ""]
        {
            assert_eq!(Timestamp::from_rfc3339_utc(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn every_second_round_trips(seconds in 0..=LAST_SECOND) {
            let time = Timestamp::from_seconds(seconds).unwrap();
            prop_assert_eq!(Timestamp::from_rfc3339_utc(&time.to_string()), Some(time));
        }
    }
}
