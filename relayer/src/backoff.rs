//! Exponential backoff with full jitter: many couriers that lost one gateway do not come back in step.

use std::time::Duration;

/// Doubles its ceiling with each trouble and draws below it.
#[derive(Debug, Clone)]
pub(crate) struct Backoff {
    first: Duration,
    most: Duration,
    troubles: u32,
}

impl Backoff {
    /// The first wait is at most `first`, later ones at most `most`.
    pub(crate) const fn new(first: Duration, most: Duration) -> Self {
        Self { first, most, troubles: 0 }
    }

    /// The next wait: `random` picks it between zero and the ceiling.
    pub(crate) fn next(&mut self, random: u64) -> Duration {
        let ceiling = self.ceiling();
        self.troubles = self.troubles.saturating_add(1);
        between_zero_and(ceiling, random)
    }

    /// The ceiling of the next wait.
    pub(crate) fn ceiling(&self) -> Duration {
        let doubled = 2u32.checked_pow(self.troubles).and_then(|times| self.first.checked_mul(times));
        doubled.unwrap_or(self.most).min(self.most)
    }

    /// All is well again.
    pub(crate) const fn reset(&mut self) {
        self.troubles = 0;
    }
}

/// A part of `most` that `random` picks.
pub(crate) fn between_zero_and(most: Duration, random: u64) -> Duration {
    let nanos = u64::try_from(most.as_nanos()).unwrap_or(u64::MAX);
    Duration::from_nanos(random % nanos.saturating_add(1).max(1))
}

/// Randomness of the machine. Without any, the longest wait: slow is safer than in step.
pub(crate) fn random() -> u64 {
    getrandom::u64().unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const FIRST: Duration = Duration::from_millis(250);
    const MOST: Duration = Duration::from_secs(60);

    #[test]
    fn the_ceiling_doubles_up_to_the_most_and_starts_over() {
        let mut backoff = Backoff::new(FIRST, MOST);
        let ceilings: Vec<_> = (0..10)
            .map(|_| {
                let ceiling = backoff.ceiling();
                backoff.next(0);
                ceiling.as_millis()
            })
            .collect();
        assert_eq!(ceilings, [250, 500, 1_000, 2_000, 4_000, 8_000, 16_000, 32_000, 60_000, 60_000]);
        backoff.reset();
        assert_eq!(backoff.ceiling(), FIRST);
    }

    proptest! {
        #[test]
        fn waits_stay_below_the_ceiling(draws in prop::collection::vec(any::<u64>(), 1..80)) {
            let mut backoff = Backoff::new(FIRST, MOST);
            for draw in draws {
                let ceiling = backoff.ceiling();
                prop_assert!(backoff.next(draw) <= ceiling && ceiling <= MOST);
            }
        }
    }
}
