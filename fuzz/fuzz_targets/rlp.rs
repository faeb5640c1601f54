//! Any bytes: the reader takes only what the writer would write.
#![no_main]

use hufu_evm_light_client::rlp::{self, Item, Reader};
use libfuzzer_sys::fuzz_target;

fn rewrite(reader: &mut Reader<'_>, depth: usize, out: &mut Vec<u8>) -> bool {
    while !reader.is_empty() {
        match reader.item() {
            Err(_) => return false,
            Ok(Item::String(bytes)) => rlp::write_string(bytes, out),
            Ok(Item::List(mut list)) => {
                let mut items = Vec::new();
                if depth == 0 || !rewrite(&mut list, depth - 1, &mut items) {
                    return false;
                }
                rlp::write_list(&items, out);
            }
        }
    }
    true
}

fuzz_target!(|data: &[u8]| {
    if rlp::check(data).is_ok() {
        let mut again = Vec::new();
        assert!(rewrite(&mut Reader::new(data), rlp::MAX_DEPTH, &mut again), "checked RLP can be read");
        assert_eq!(again, data, "one value, one encoding");
    }
});
