//! A ledger whose blocks trail its head by one, as those of CometBFT do: the last header is verified, and no block of it is
//! believed yet.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hufu_cometbft_devnet::{Devnet, DevnetConfig};
use hufu_cometbft_light_client::{Anchor, rpc};
use hufu_gateway_server::backend::{Backend as _, UpdatesQuery};
use hufu_schemas_core::{Height, LedgerId};
use serde_json::{Value, json};

use crate::support::{GENESIS, Office};

struct Trailing {
    devnet: Devnet,
    id: LedgerId,
    office: Office,
}

impl Trailing {
    async fn set() -> Self {
        let config = DevnetConfig { genesis_time: GENESIS, ..DevnetConfig::default() };
        let devnet = Devnet::start(config).await.unwrap();
        while devnet.height() < 8 {
            devnet.mine().unwrap();
        }
        let anchor = devnet.anchor();
        let id = Anchor::parse(&anchor).unwrap().ledger().clone();
        let anchor = toml::Value::try_from(&anchor).unwrap();
        let policy = format!("policy = 1\n\n[[ledger]]\nid = \"{id}\"\nanchor = {anchor}\n");
        let office = Office::under_policy("tax.example", &policy).await;
        Self { devnet, id, office }
    }

    /// One height's step, as an honest origin gives it.
    fn step(&self, height: u64) -> Vec<u8> {
        let ask = |method| self.devnet.first_node().ask(method, &json!({ "height": height.to_string() }));
        rpc::light::step(&ask("commit"), &[ask("validators")], None).unwrap().write()
    }

    /// The height that is wanted after these steps.
    async fn deliver(&self, steps: &[(u64, Vec<u8>)]) -> u64 {
        let steps: Vec<Value> =
            steps.iter().map(|(height, bytes)| json!({"height": height, "bytes": STANDARD.encode(bytes)})).collect();
        let update = json!({ "ledger": self.id, "steps": steps });
        self.office.post_updates(&self.id, &update).await.unwrap().wants.get()
    }

    /// The steps that the office kept, from the anchor on.
    async fn kept(&self) -> Vec<(u64, Vec<u8>)> {
        let query = UpdatesQuery { from: Height::new(1), limit: 64, wait: Duration::ZERO };
        let bytes = self.office.gateway().updates(&self.id, query).await.unwrap().unwrap();
        let update: Value = serde_json::from_slice(&bytes).unwrap();
        let steps = update["steps"].as_array().unwrap();
        let bytes = |step: &Value| STANDARD.decode(step["bytes"].as_str().unwrap()).unwrap();
        steps.iter().map(|step| (step["height"].as_u64().unwrap(), bytes(step))).collect()
    }

    fn honest(&self, heights: std::ops::RangeInclusive<u64>) -> Vec<(u64, Vec<u8>)> {
        heights.map(|height| (height, self.step(height))).collect()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_header_of_a_ledger_whose_blocks_trail_is_kept_one_delivery_after_another() {
    let stage = Trailing::set().await;
    for height in 1..=5 {
        assert_eq!(stage.deliver(&stage.honest(height..=height)).await, height + 1);
    }
    assert_eq!(stage.kept().await, stage.honest(1..=5));
}

/// The last verified header comes once more as other bytes, in front of the next one: nobody reads them, and nobody keeps
/// them, or every evidence file from here on would not close.
#[tokio::test(flavor = "multi_thread")]
async fn other_bytes_in_place_of_a_header_that_was_verified() {
    let stage = Trailing::set().await;
    stage.deliver(&stage.honest(1..=4)).await;
    let mut delivery = vec![(4, b"not what was verified".to_vec())];
    delivery.extend(stage.honest(5..=6));
    assert_eq!(stage.deliver(&delivery).await, 7);
    assert_eq!(stage.kept().await, stage.honest(1..=6));
}
