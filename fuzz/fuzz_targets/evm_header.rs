//! Any bytes as a header, a whole block, and the header's extraData by the layout of every consensus kind.
#![no_main]

use hufu_adapters_light_client::Budget;
use hufu_evm_light_client::bft::Kind;
use hufu_evm_light_client::body::WholeBlock;
use hufu_evm_light_client::{Header, clique, ibft2, qbft};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let _ = WholeBlock::parse(data);
    let _ = qbft::ExtraData::parse(data);
    let _ = ibft2::ExtraData::parse(data);
    let Ok(header) = Header::parse(data) else { return };
    assert_eq!(header.hash_with_extra(&header.fields().extra_data), header.raw_hash(), "nothing is lost in reading");
    for kind in Kind::ALL {
        if let Ok(block) = kind.read(header.clone()) {
            let _ = (block.hash(), block.require_quorum(&mut Budget::new(64, 1 << 20)));
        }
    }
    if let Ok(block) = clique::Block::read(header) {
        let _ = block.signer();
    }
});
