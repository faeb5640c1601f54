//! The usual stage, with a courier that tests move by hand, and an auditor.

use std::time::Duration;

use hufu_gateway_server::backend::{Backend as _, PageQuery, PageReceipt, UpdatesQuery};
use hufu_gateway_server::clock::Clock as _;
use hufu_gateway_server::families::families;
use hufu_gateway_verify::TrustPolicy;
use hufu_gateway_verify::evidence::{EvidenceVerdict, verify};
use hufu_schemas_core::LaneId;
use hufu_schemas_core::evidence::Evidence;
use hufu_schemas_core::limits::PageLimits;
use hufu_schemas_core::page::Page;
use hufu_schemas_registry::Registry;
use serde_json::Value;

use crate::support::{Ledger, Office};

/// Seconds after which a courier's third page whose evidence does not close is no longer refused.
pub(crate) const PATIENCE: u64 = 300;

/// The usual stage: one ledger, the office that publishes it, the office that takes it in.
pub(crate) struct Stage {
    pub(crate) ledger: Ledger,
    pub(crate) origin: Office,
    pub(crate) receiver: Office,
    pub(crate) lane: LaneId,
}

impl Stage {
    pub(crate) async fn set() -> Self {
        let ledger = Ledger::start().await;
        let origin = Office::publishing("notary.example", &ledger).await;
        let lane = origin.lane();
        let receiver = Office::receiving("tax.example", &ledger, &lane, &origin.definitions()).await;
        Self { ledger, origin, receiver, lane }
    }

    /// One certificate a block, waited for until the origin has signed it.
    pub(crate) async fn publish(&self, numbers: std::ops::Range<u32>) -> Vec<Value> {
        let before = self.origin.records(&self.lane).await.len();
        let count = numbers.len();
        for number in numbers {
            self.ledger.certify(number);
            self.ledger.mine();
        }
        self.origin.has_published(before + count).await
    }

    /// The page that the receiver wants next, of at most `limit` leaves.
    pub(crate) async fn next_page(&self, limit: usize) -> Option<Page> {
        let state = self.receiver.inbox(&self.lane).await;
        self.page_from(state.size, Some(state.seen), limit).await
    }

    pub(crate) async fn page_from(&self, from: u64, seen: Option<u64>, limit: usize) -> Option<Page> {
        let query = PageQuery { from, limit, seen, wait: Duration::ZERO };
        let bytes = self.origin.gateway().page(&self.lane, query).await.unwrap()?;
        Some(Page::parse(&bytes, &PageLimits::DEFAULT).unwrap())
    }

    /// The steps that the receiver wants next.
    pub(crate) async fn next_update(&self) -> Option<Value> {
        let want = self.receiver.want(&self.ledger.id).await;
        let query = UpdatesQuery { from: want.wants, limit: 64, wait: Duration::ZERO };
        let bytes = self.origin.gateway().updates(&self.ledger.id, query).await.unwrap()?;
        Some(serde_json::from_slice(&bytes).unwrap())
    }

    pub(crate) async fn carry_updates(&self) {
        while let Some(update) = self.next_update().await {
            let before = self.receiver.want(&self.ledger.id).await;
            let after = self.receiver.post_updates(&self.ledger.id, &update).await.unwrap();
            assert!(after.wants > before.wants, "the steps were taken and the head did not move: {after:?}");
        }
    }

    /// Carries everything there is; the receipts.
    pub(crate) async fn carry(&self) -> Vec<PageReceipt> {
        self.carry_updates().await;
        let mut receipts = Vec::new();
        while let Some(page) = self.next_page(64).await {
            let receipt = self.receiver.post_page(&self.lane, &page).await.unwrap();
            assert!(receipt.size > page.from, "the page was taken and the lane did not move: {receipt:?}");
            receipts.push(receipt);
        }
        receipts
    }

    /// Posts a page whose evidence does not close until the gateway goes on without it.
    pub(crate) async fn strike_out(&self, page: &Page) -> PageReceipt {
        for _ in 0..3 {
            self.receiver.post_page(&self.lane, page).await.unwrap_err();
        }
        self.receiver.clock.advance(PATIENCE);
        self.receiver.post_page(&self.lane, page).await.expect("a lane that bad evidence does not block for ever")
    }

    /// What the receiver believes of the lane.
    pub(crate) async fn believed(&self) -> Vec<Value> {
        self.receiver.records(&self.lane).await
    }

    /// What an auditor without a network says of a file, under the receiver's policy; `None` when it is no evidence file.
    pub(crate) fn audit(&self, bytes: &[u8]) -> Option<EvidenceVerdict> {
        let policy = TrustPolicy::parse("policy.toml", &self.receiver.policy_text()).unwrap();
        let evidence = Evidence::parse(bytes).ok()?;
        Some(verify(&evidence, &policy, &families(), &Registry::builtin().unwrap(), self.receiver.clock.now()))
    }
}
