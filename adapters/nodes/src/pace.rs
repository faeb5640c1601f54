//! How many requests a second one node is sent: what its operator allows, and no more.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// How much of what was not used may be used at once.
const BURST: Duration = Duration::from_secs(1);

/// Of so many requests one may be the question for the height: the others are for what it leads to.
const REQUESTS_A_POLL: u32 = 4;

/// A token bucket that holds the tokens of one second.
#[derive(Debug)]
pub struct Pace {
    per_second: u32,
    /// When the bucket is full again but for what was taken: a second after it would be empty.
    paid_until: Mutex<Option<Instant>>,
}

impl Pace {
    /// At most so many a second; 0 counts as 1.
    pub fn new(per_second: u32) -> Self {
        Self { per_second: per_second.max(1), paid_until: Mutex::new(None) }
    }

    /// So many requests go into one batch at most: a second's worth.
    pub fn batch(&self) -> usize {
        usize::try_from(self.per_second).unwrap_or(usize::MAX)
    }

    /// The height is not asked for more often than this, whatever the poll time is.
    pub fn poll_least(&self) -> Duration {
        Duration::from_secs(1) * REQUESTS_A_POLL / self.per_second
    }

    /// Whether the next request would have to wait.
    pub fn is_spent(&self, now: Instant) -> bool {
        let paid_until = *self.paid_until.lock().unwrap_or_else(PoisonError::into_inner);
        paid_until.is_some_and(|until| (until + self.cost(1)).saturating_duration_since(now) > BURST)
    }

    /// Takes tokens for so many requests, and says how long to wait until they may be sent.
    pub fn take(&self, requests: usize, now: Instant) -> Duration {
        let cost = self.cost(requests);
        // The one change is one assignment: a holder that panicked left nothing half done.
        let mut paid_until = self.paid_until.lock().unwrap_or_else(PoisonError::into_inner);
        let until = paid_until.map_or(now, |until| until.max(now)) + cost;
        *paid_until = Some(until);
        until.saturating_duration_since(now).saturating_sub(BURST)
    }

    fn cost(&self, requests: usize) -> Duration {
        Duration::from_secs_f64(count(requests) / f64::from(self.per_second))
    }
}

fn count(requests: usize) -> f64 {
    f64::from(u32::try_from(requests).unwrap_or(u32::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_is_free_and_what_follows_waits_its_turn() {
        let pace = Pace::new(10);
        let now = Instant::now();
        assert_eq!(pace.batch(), 10);
        assert_eq!(pace.poll_least(), Duration::from_millis(400));
        assert!(!pace.is_spent(now));
        assert_eq!(pace.take(10, now), Duration::ZERO);
        assert!(pace.is_spent(now + Duration::from_millis(99)) && !pace.is_spent(now + Duration::from_millis(100)));
        assert_eq!(pace.take(5, now), Duration::from_millis(500));
        assert_eq!(pace.take(5, now), Duration::from_millis(1_000));
        assert_eq!(pace.take(1, now + Duration::from_secs(1)), Duration::from_millis(100));
    }

    #[test]
    fn what_is_not_used_is_kept_for_a_second_and_no_longer() {
        let pace = Pace::new(10);
        let now = Instant::now();
        pace.take(10, now);
        let later = now + Duration::from_secs(3_600);
        assert_eq!(pace.take(10, later), Duration::ZERO);
        assert_eq!(pace.take(10, later), Duration::from_secs(1));
    }

    #[test]
    fn over_a_long_time_the_rate_holds() {
        let pace = Pace::new(7);
        let begin = Instant::now();
        let mut now = begin;
        (0..700).for_each(|_| now += pace.take(1, now));
        let took = now - begin;
        assert!(took >= Duration::from_millis(98_900) && took <= Duration::from_millis(99_100), "{took:?}");
    }
}
