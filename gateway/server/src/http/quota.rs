//! How much a peer may post: a token bucket for each configured peer. The set of buckets is fixed by the configuration,
//! so that nobody makes it grow.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::identity::Identity;

pub(super) struct Quota {
    per_minute: f64,
    buckets: BTreeMap<Identity, Mutex<Bucket>>,
}

struct Bucket {
    tokens: f64,
    filled: Instant,
}

impl Quota {
    /// Full buckets for these peers. A full minute's worth may come at once.
    pub(super) fn new(peers: impl Iterator<Item = Identity>, per_minute: u32) -> Self {
        let per_minute = f64::from(per_minute.max(1));
        let filled = Instant::now();
        let buckets = peers.map(|peer| (peer, Mutex::new(Bucket { tokens: per_minute, filled }))).collect();
        Self { per_minute, buckets }
    }

    /// Takes one, or says when there will be one. A peer without a bucket has nothing.
    pub(super) fn take(&self, peer: &Identity, now: Instant) -> Result<(), Duration> {
        let Some(bucket) = self.buckets.get(peer) else { return Err(Duration::from_secs(60)) };
        let mut bucket = bucket.lock().unwrap_or_else(PoisonError::into_inner);
        let per_second = self.per_minute / 60.0;
        let fresh = now.saturating_duration_since(bucket.filled).as_secs_f64() * per_second;
        bucket.tokens = (bucket.tokens + fresh).min(self.per_minute);
        bucket.filled = bucket.filled.max(now);
        if bucket.tokens >= 1.0 {
            bucket.tokens -= 1.0;
            return Ok(());
        }
        Err(Duration::from_secs_f64((1.0 - bucket.tokens) / per_second))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_fills_again_and_one_peer_does_not_empty_anothers() {
        let peer = |name: &str| Identity::parse(&format!("urn:hufu:relayer:{name}")).unwrap();
        let quota = Quota::new([peer("a"), peer("b")].into_iter(), 60);
        let start = Instant::now();
        for _ in 0..60 {
            quota.take(&peer("a"), start).unwrap();
        }
        let wait = quota.take(&peer("a"), start).unwrap_err();
        assert!(wait > Duration::from_millis(900) && wait <= Duration::from_secs(1), "{wait:?}");
        quota.take(&peer("b"), start).unwrap();
        quota.take(&peer("a"), start + Duration::from_millis(1_100)).unwrap();
        quota.take(&peer("stranger"), start).unwrap_err();
        // A day's rest does not save up for more than a minute.
        let later = start + Duration::from_secs(86_400);
        assert_eq!((0..1_000).filter(|_| quota.take(&peer("a"), later).is_ok()).count(), 60);
    }
}
