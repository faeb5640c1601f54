//! The bounded pool on which headers, and the pages and held leaves of peers, are verified: a flood of them queues instead
//! of eating the machine (design, decision 14). Not on it yet: the origin's own reading of its blocks, whose pace it sets
//! itself.

use std::sync::Arc;

use tokio::sync::Semaphore;

/// Runs closures on blocking threads, at most so many at once.
#[derive(Debug, Clone)]
pub(crate) struct VerifyPool(Arc<Semaphore>);

impl VerifyPool {
    /// As many at once as there are cores.
    pub(crate) fn new() -> Self {
        let cores = std::thread::available_parallelism().map_or(2, std::num::NonZeroUsize::get);
        Self(Arc::new(Semaphore::new(cores)))
    }

    /// Runs `work` when there is room. A panic in it is this program's own bug and goes on as one.
    pub(crate) async fn run<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> T {
        let room = Arc::clone(&self.0).acquire_owned().await;
        let job = tokio::task::spawn_blocking(move || {
            let _room = room;
            work()
        });
        match job.await {
            Ok(value) => value,
            Err(fault) => std::panic::resume_unwind(fault.into_panic()),
        }
    }
}
