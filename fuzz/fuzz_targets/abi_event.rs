//! Any bytes as a log of contracts whose ABIs use every kind of type, named and anonymous, and any bytes as an ABI.
#![no_main]

use hufu_adapters_light_client::Decoder;
use hufu_evm_light_client::abi::Abi;
use hufu_evm_light_client::bloom::Bloom;
use hufu_evm_light_client::receipt::Log;
use hufu_evm_light_client::{EvmDecoder, LogSelector, keccak256, rlp};
use libfuzzer_sys::fuzz_target;
use std::sync::LazyLock;

/// The first contract has a named event of every kind of type; the second anonymous ones, beside a named one that is
/// not read.
const SOURCE: &str = r#"{"family":"evm","contracts":[
{"contract":"0x0101010101010101010101010101010101010101","abi":[{"type":"event","name":"E","inputs":[
 {"name":"a","type":"string[]"},{"name":"b","type":"bytes"},{"name":"c","type":"int24[3]"},
 {"name":"d","type":"tuple[]","components":[{"name":"x","type":"string"},{"name":"y","type":"bytes4"},{"name":"z","type":"bool"}]},
 {"name":"e","type":"address"},{"name":"f","type":"uint16[][2]"},{"name":"g","type":"function"},
 {"name":"h","type":"fixed128x18"},{"name":"i","type":"ufixed8x80"},
 {"name":"j","type":"int8","indexed":true},{"name":"k","type":"string[2][]","indexed":true},
 {"name":"l","type":"tuple","components":[{"name":"x","type":"bytes[2][]"},{"name":"y","type":"uint256"}]}]}]},
{"contract":"0x0202020202020202020202020202020202020202","events":["Bare","Quiet"],"abi":[
 {"type":"event","name":"Loud","inputs":[]},
 {"type":"event","name":"Bare","anonymous":true,"inputs":[{"name":"a","type":"string"}]},
 {"type":"event","name":"Quiet","anonymous":true,"inputs":[
  {"name":"a","type":"int16","indexed":true},{"name":"b","type":"bool","indexed":true},
  {"name":"c","type":"address","indexed":true},{"name":"d","type":"bytes32","indexed":true},{"name":"e","type":"bytes[]"}]}]}]}"#;
const SIGNATURE: &str = "E(string[],bytes,int24[3],(string,bytes4,bool)[],address,uint16[][2],function,fixed128x18,ufixed8x80,int8,string[2][],(bytes[2][],uint256))";

static DECODER: LazyLock<(EvmDecoder, LogSelector)> = LazyLock::new(|| {
    let source = serde_json::from_str(SOURCE).expect("JSON");
    let decoder = EvmDecoder::from_source(&source).expect("a source");
    let selector = LogSelector::read(decoder.selector()).expect("its selector");
    (decoder, selector)
});

/// The first byte says how many topics follow, 0 to 4, and whether they begin with the event's own; then the data.
fn log_of(contract: u8, data: &[u8]) -> Option<Vec<u8>> {
    let (form, mut rest) = data.split_first()?;
    let mut topics = Vec::new();
    if form & 0x80 != 0 {
        rlp::write_string(keccak256(SIGNATURE.as_bytes()).as_bytes(), &mut topics);
    }
    for _ in 0..(form & 0x7f) % 5 {
        let (topic, more) = rest.split_first_chunk::<32>()?;
        rlp::write_string(topic, &mut topics);
        rest = more;
    }
    let mut items = Vec::new();
    rlp::write_string(&[contract; 20], &mut items);
    rlp::write_list(&topics, &mut items);
    rlp::write_string(rest, &mut items);
    let mut log = Vec::new();
    rlp::write_list(&items, &mut log);
    Some(log)
}

fuzz_target!(|data: &[u8]| {
    if let Ok(value) = serde_json::from_slice(data) {
        let _ = Abi::parse(&value).and_then(|abi| abi.only(&["E".to_owned()]));
        let _ = EvmDecoder::from_source(&value);
    }
    let (decoder, selector) = &*DECODER;
    for contract in [1, 2] {
        let Some(bytes) = log_of(contract, data) else { return };
        let decoded = decoder.decode_log(&bytes);
        let Ok(log) = Log::parse(&bytes) else { continue };
        assert!(decoded.is_err() || selector.matches(&log), "what is decoded is selected");
        let mut bloom = Bloom::empty();
        bloom.insert(log.address().as_bytes());
        log.topics().iter().for_each(|topic| bloom.insert(topic.as_bytes()));
        assert!(!selector.matches(&log) || !selector.is_excluded_by(&bloom), "what is selected is not excluded");
    }
});
