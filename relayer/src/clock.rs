//! The one place where the courier reads the wall clock. It stands in metrics alone: no step depends on it.

use std::fmt;
use std::time::{SystemTime, UNIX_EPOCH};

use hufu_schemas_core::Timestamp;

/// Tells the time.
pub trait Clock: fmt::Debug + Send + Sync {
    /// Now; `None` while the clock stands before 1970 or after 9999.
    fn now(&self) -> Option<Timestamp>;
}

/// The machine's clock.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Option<Timestamp> {
        #[expect(clippy::disallowed_methods, reason = "the courier's one reading of the clock")]
        let now = SystemTime::now();
        Timestamp::from_seconds(now.duration_since(UNIX_EPOCH).ok()?.as_secs())
    }
}
