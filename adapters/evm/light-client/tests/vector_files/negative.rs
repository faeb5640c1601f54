//! A `.json` row of a `negative/` folder: a receipt with a proof, said to stand in the block of its row.

use hufu_adapters_light_client::Budget;
use hufu_evm_light_client::Hash32;
use hufu_evm_light_client::proof::verify_item;
use hufu_evm_light_client::receipt::Receipt;
use serde_json::Value;

/// What becomes of a receipt with its proof under the `receiptsRoot` of a header. The file says its `index` (a number, or
/// `0x` and digits), its `proof` (nodes from the root down) and the receipt's raw bytes, as `mainnet_receipts_proofs.json`
/// names them or in short.
pub(crate) fn judge_receipt(claim: &Value, receipts_root: Hash32) -> Result<(), String> {
    let index = match &claim["index"] {
        Value::Number(number) => number.as_u64().unwrap(),
        Value::String(text) => u64::from_str_radix(text.trim_start_matches("0x"), 16).unwrap(),
        other => panic!("expected an index, got {other}"),
    };
    let named = ["receipt_2718", "receipt", "consensus"].into_iter().find_map(|name| claim[name].as_str());
    let raw = hex_bytes(named.expect("the receipt's raw bytes"));
    let nodes = claim["proof"].as_array().expect("the nodes of a proof").iter();
    let nodes: Vec<Vec<u8>> = nodes.map(|node| hex_bytes(node.as_str().unwrap())).collect();
    let found = verify_item(receipts_root, index, &nodes, &mut Budget::for_evidence());
    match found.map_err(|fault| fault.to_string())? {
        None => Err(format!("item-missing: expected receipt {index}, got a proof that there is none")),
        Some(found) if found != raw => Err(format!("proof-claim: expected the receipt of {index}, got another")),
        Some(found) => Receipt::parse(found).map(|_| ()).map_err(|fault| fault.to_string()),
    }
}

fn hex_bytes(text: &str) -> Vec<u8> {
    hex::decode(text.strip_prefix("0x").unwrap_or(text)).unwrap()
}
