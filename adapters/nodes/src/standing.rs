//! Who is benched, why, and until when.

use std::time::Duration;

use hufu_schemas_core::Height;
use tokio::time::Instant;

use crate::config::Patience;
use crate::fault::NodeFault;

/// Why a node is not asked at present.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bench {
    /// Too far below the best. Asked all the same when nobody else serves: an old truth is still true.
    Behind,
    /// Its header at a height has another hash than the trusted one.
    Forked,
    /// What it says does not hold together, or the light client refused it.
    Lying,
    /// No answer, or none that can be read.
    Unreachable,
    /// Its genesis or chain id is another.
    WrongLedger,
}

impl Bench {
    /// The word in descriptions and logs.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Behind => "behind",
            Self::Forked => "forked",
            Self::Lying => "lying",
            Self::Unreachable => "unreachable",
            Self::WrongLedger => "wrong-ledger",
        }
    }

    const fn most(self, patience: &Patience) -> Duration {
        match self {
            Self::Behind | Self::Unreachable => patience.bench_most_failing,
            Self::Forked | Self::Lying | Self::WrongLedger => patience.bench_most,
        }
    }
}

/// How one node stands.
#[derive(Debug, Clone, Default)]
pub struct Standing {
    /// What it last claimed.
    pub height: Option<Height>,
    benched: Option<Benched>,
    strikes: u32,
}

#[derive(Debug, Clone)]
struct Benched {
    why: Bench,
    until: Instant,
    fault: NodeFault,
}

impl Standing {
    /// Benches for a time that doubles with every further fault. A quiet time as long as the longest bench clears the
    /// count. `jitter` is within 0.5 to 1, so that nodes that failed together are not asked together.
    pub fn bench(&mut self, fault: NodeFault, now: Instant, patience: &Patience, jitter: f64) {
        let why = fault.bench();
        if let Some(wait) = fault.asks_to_wait() {
            // It said how long, and meant no harm: neither longer nor shorter, and no strike.
            let until = now + wait.min(patience.bench_most);
            self.benched = Some(Benched { why, until, fault });
            return;
        }
        let most = why.most(patience);
        let quiet = self.benched.as_ref().is_some_and(|last| now.saturating_duration_since(last.until) > most);
        self.strikes = if quiet { 0 } else { self.strikes };
        let doubled = patience.bench.saturating_mul(1 << self.strikes.min(16)).min(most).mul_f64(jitter);
        self.strikes = self.strikes.saturating_add(1);
        self.benched = Some(Benched { why, until: now + doubled, fault });
    }

    /// Why it is not asked now.
    pub fn benched(&self, now: Instant) -> Option<Bench> {
        self.benched.as_ref().filter(|bench| now < bench.until).map(|bench| bench.why)
    }

    /// What it did, while it is benched for it.
    pub fn fault(&self, now: Instant) -> Option<&NodeFault> {
        self.benched.as_ref().filter(|bench| now < bench.until).map(|bench| &bench.fault)
    }

    /// It has caught up.
    pub fn no_longer_behind(&mut self, now: Instant) {
        if self.benched(now) == Some(Bench::Behind) {
            self.benched = None;
        }
    }
}

/// A factor from 0.5 to 1.
pub fn jitter() -> f64 {
    // Without randomness everybody waits the full time, which is never wrong.
    getrandom::u32().map_or(1.0, |number| 0.5 + f64::from(number) / f64::from(u32::MAX) / 2.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lying() -> NodeFault {
        NodeFault::Lying("x".to_owned())
    }

    #[test]
    fn benches_grow_to_a_limit_and_end() {
        let patience = Patience::default();
        let mut standing = Standing::default();
        let mut now = Instant::now();
        let mut last = Duration::ZERO;
        for _ in 0..40 {
            standing.bench(lying(), now, &patience, 1.0);
            let until = standing.benched.as_ref().unwrap().until;
            let length = until - now;
            assert!(length >= last && length <= patience.bench_most);
            assert_eq!(standing.benched(now), Some(Bench::Lying));
            assert_eq!(standing.benched(until), None);
            (now, last) = (until, length);
        }
        assert_eq!(last, patience.bench_most);
        standing.bench(lying(), now + patience.bench_most * 2, &patience, 1.0);
        assert_eq!(standing.benched.as_ref().unwrap().until, now + patience.bench_most * 2 + patience.bench);
    }

    #[test]
    fn a_node_that_merely_fails_comes_back_sooner() {
        let patience = Patience::default();
        let mut standing = Standing::default();
        let now = Instant::now();
        (0..20).for_each(|_| standing.bench(NodeFault::Unreachable("x".to_owned()), now, &patience, 1.0));
        assert_eq!(standing.benched(now + patience.bench_most_failing), None);
    }

    #[test]
    fn a_node_that_asks_for_a_pause_gets_it() {
        let patience = Patience::default();
        let mut standing = Standing::default();
        let now = Instant::now();
        let wait = Duration::from_secs(60);
        let busy = |wait| NodeFault::Busy { detail: String::new(), wait };
        standing.bench(busy(wait), now, &patience, 0.5);
        assert_eq!(standing.benched(now + wait / 2), Some(Bench::Unreachable));
        assert_eq!(standing.benched(now + wait), None);
        standing.bench(busy(Duration::from_secs(86_400)), now, &patience, 0.5);
        assert_eq!(standing.benched(now + patience.bench_most), None, "no longer than the longest bench");
        standing.bench(busy(Duration::from_millis(10)), now, &patience, 0.5);
        assert_eq!(standing.benched(now + Duration::from_millis(10)), None, "no longer than it asked for");
    }

    #[test]
    fn jitter_stays_in_its_bounds() {
        (0..1_000).for_each(|_| assert!((0.5..=1.0).contains(&jitter())));
    }
}
