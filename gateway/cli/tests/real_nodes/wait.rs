//! Waiting for a condition, never for luck.

use std::time::Duration;

use tokio::time::{Instant, sleep};

/// Pause between two looks.
const PAUSE: Duration = Duration::from_millis(50);

/// Looks again and again until `look` succeeds; its error says what is still missing.
///
/// # Panics
/// When `within` has passed: with what was waited for, how long, and the last look's error.
pub(crate) async fn until<T>(what: &str, within: Duration, mut look: impl AsyncFnMut() -> Result<T, String>) -> T {
    let began = Instant::now();
    loop {
        match look().await {
            Ok(found) => return found,
            Err(missing) if began.elapsed() >= within => panic!("waited {within:?} for {what}; last: {missing}"),
            Err(_) => sleep(PAUSE).await,
        }
    }
}
