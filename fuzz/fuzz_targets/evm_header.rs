//! Any bytes as a header, a whole block, and extraData of each consensus kind.
#![no_main]

use hufu_adapters_light_client::Budget;
use hufu_evm_light_client::body::WholeBlock;
use hufu_evm_light_client::{Header, clique, qbft};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let _ = WholeBlock::parse(data);
    let _ = qbft::ExtraData::parse(data);
    let Ok(header) = Header::parse(data) else { return };
    assert_eq!(header.hash_with_extra(&header.fields().extra_data), header.raw_hash(), "nothing is lost in reading");
    if let Ok(block) = qbft::Block::read(header.clone()) {
        let _ = (block.hash(), block.require_quorum(&mut Budget::new(64, 1 << 20)));
    }
    if let Ok(block) = clique::Block::read(header) {
        let _ = block.signer();
    }
});
