//! Tells lanes when a ledger that they wait for has moved.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use hufu_schemas_core::LedgerId;
use tokio::sync::watch;

/// The heights that the destination of one pair wants next, by ledger. Clones share them.
#[derive(Debug, Clone, Default)]
pub(crate) struct Progress {
    ledgers: Arc<Mutex<BTreeMap<LedgerId, watch::Sender<u64>>>>,
}

impl Progress {
    /// The destination now wants `wants`. Only ledger tasks call this, so the map holds no more than there are tasks.
    pub(crate) fn set(&self, ledger: &LedgerId, wants: u64) {
        let mut ledgers = self.ledgers.lock().unwrap_or_else(PoisonError::into_inner);
        let sender = ledgers.entry(ledger.clone()).or_insert_with(|| watch::Sender::new(wants));
        sender.send_if_modified(|was| std::mem::replace(was, wants) != wants);
    }

    /// Follows a ledger; `None` for one that nobody carries (a name from outside must not grow the map).
    pub(crate) fn follow(&self, ledger: &LedgerId) -> Option<watch::Receiver<u64>> {
        let ledgers = self.ledgers.lock().unwrap_or_else(PoisonError::into_inner);
        ledgers.get(ledger).map(watch::Sender::subscribe)
    }
}

/// Returns when the ledger has moved past `height` since the receiver last looked; never, when nobody carries it.
pub(crate) async fn moved_past(receiver: Option<&mut watch::Receiver<u64>>, height: Option<u64>) {
    let Some(receiver) = receiver else { return std::future::pending().await };
    while receiver.changed().await.is_ok() {
        let wants = *receiver.borrow_and_update();
        if height.is_none_or(|height| wants > height) {
            return;
        }
    }
    std::future::pending().await
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt;

    fn ledger() -> LedgerId {
        LedgerId::parse("evm:00000000000000000000000000000000").unwrap()
    }

    #[test]
    fn a_lane_wakes_when_its_ledger_passes_the_height_and_not_before() {
        let progress = Progress::default();
        assert!(progress.follow(&ledger()).is_none(), "a name that nobody carries");
        progress.set(&ledger(), 5);
        let mut receiver = progress.follow(&ledger()).unwrap();
        let mut woken = |wants| {
            progress.set(&ledger(), wants);
            moved_past(Some(&mut receiver), Some(9)).now_or_never().is_some()
        };
        assert!(!woken(9));
        assert!(woken(10));
        assert!(!woken(10), "one step of the ledger wakes once");
        assert!(woken(11));
    }

    #[test]
    fn without_a_height_any_step_wakes() {
        let progress = Progress::default();
        progress.set(&ledger(), 5);
        let mut receiver = progress.follow(&ledger()).unwrap();
        progress.set(&ledger(), 6);
        assert!(moved_past(Some(&mut receiver), None).now_or_never().is_some());
        assert!(moved_past(None, None).now_or_never().is_none());
    }
}
