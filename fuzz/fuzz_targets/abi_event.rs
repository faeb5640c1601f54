//! Any bytes as a log of a contract whose ABI uses every kind of type, and any bytes as an ABI.
#![no_main]

use hufu_evm_light_client::EvmDecoder;
use hufu_evm_light_client::abi::Abi;
use hufu_evm_light_client::{Address, rlp};
use libfuzzer_sys::fuzz_target;
use std::sync::LazyLock;

const ABI: &str = r#"[{"type":"event","name":"E","inputs":[
 {"name":"a","type":"string[]"},{"name":"b","type":"bytes"},{"name":"c","type":"int24[3]"},
 {"name":"d","type":"tuple[]","components":[{"name":"x","type":"string"},{"name":"y","type":"bytes4"},{"name":"z","type":"bool"}]},
 {"name":"e","type":"address"},{"name":"f","type":"uint16[][2]"}]}]"#;

static DECODER: LazyLock<(EvmDecoder, [u8; 32])> = LazyLock::new(|| {
    let abi = Abi::parse(&serde_json::from_str(ABI).expect("JSON")).expect("an ABI");
    let topic = *abi.events()[0].topic().as_bytes();
    (EvmDecoder::new(Address::ZERO, abi).expect("a decoder"), topic)
});

fuzz_target!(|data: &[u8]| {
    if let Ok(value) = serde_json::from_slice(data) {
        let _ = Abi::parse(&value);
    }
    let (decoder, topic) = &*DECODER;
    let mut topics = Vec::new();
    rlp::write_string(topic, &mut topics);
    let mut items = Vec::new();
    rlp::write_string(Address::ZERO.as_bytes(), &mut items);
    rlp::write_list(&topics, &mut items);
    rlp::write_string(data, &mut items);
    let mut log = Vec::new();
    rlp::write_list(&items, &mut log);
    let _ = decoder.decode_log(&log);
});
