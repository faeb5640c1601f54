//! Any bytes as a receipt, a log, and a block's evidence.
#![no_main]

use hufu_evm_light_client::receipt::{Log, Receipt, open_evidence, write_evidence};
use hufu_evm_light_client::trie;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let _ = Log::parse(data);
    let _ = open_evidence(data, trie::EMPTY_ROOT);
    let Ok(receipt) = Receipt::parse(data) else { return };
    for log in receipt.logs() {
        assert_eq!(&Log::parse(log.raw()).expect("a log of a receipt is a log"), log);
    }
    let root = trie::ordered_root(&[data]).expect("one item is within the limit");
    assert_eq!(open_evidence(&write_evidence([data]), root).expect("its own root"), [data]);
});
