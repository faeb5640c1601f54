//! The one place of the gateway that reads the time of day. Everything else takes `now` as an argument, so that what a
//! clock set back does can be tested (design, decision 9).

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use hufu_schemas_core::Timestamp;

/// Says what time it is.
pub trait Clock: Send + Sync + 'static {
    /// Now, in whole seconds.
    fn now(&self) -> Timestamp;
}

/// The machine's clock.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "the one reader of the clock; everyone else is given the time")]
    fn now(&self) -> Timestamp {
        // A clock before 1970 reads as 1970: the stored high-water mark then stops admission, which is what is wanted.
        let seconds = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        clamp(seconds)
    }
}

/// A clock that a test moves by hand.
#[derive(Debug)]
pub struct ManualClock(AtomicU64);

impl ManualClock {
    /// A clock that stands at `now`.
    pub const fn at(now: Timestamp) -> Self {
        Self(AtomicU64::new(now.seconds()))
    }

    /// Sets it; it may go back.
    pub fn set(&self, now: Timestamp) {
        self.0.store(now.seconds(), Ordering::SeqCst);
    }

    /// Moves it forward by `seconds`.
    pub fn advance(&self, seconds: u64) {
        self.set(self.now().plus(seconds));
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        clamp(self.0.load(Ordering::SeqCst))
    }
}

/// Seconds since 1970 as a [`Timestamp`], stopping at the last second that it can hold.
fn clamp(seconds: u64) -> Timestamp {
    Timestamp::from_seconds(0).unwrap_or_else(|| unreachable!("1970 is before the year 9999")).plus(seconds)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_manual_clock_goes_where_it_is_set() {
        let clock = ManualClock::at(Timestamp::from_seconds(100).unwrap());
        clock.advance(5);
        assert_eq!(clock.now().seconds(), 105);
        clock.set(Timestamp::from_seconds(7).unwrap());
        assert_eq!(clock.now().seconds(), 7);
    }

    #[test]
    fn the_machine_knows_that_this_code_was_written_after_2026() {
        assert!(SystemClock.now() > Timestamp::from_rfc3339_utc("2026-01-01T00:00:00Z").unwrap());
    }
}
