//! Bad bytes from good ones.

/// Bits flipped in one input: enough to reach every field of a header of some hundred bytes, few enough that a suite
/// with signatures takes seconds.
const FLIPS: usize = 160;

/// The bytes cut short, extended, and with single bits flipped at places spread over the whole; each with its name.
pub(super) fn variants(good: &[u8]) -> Vec<(String, Vec<u8>)> {
    let mut bad = vec![("no bytes".to_owned(), Vec::new())];
    for cut in [1, good.len() / 2] {
        let keep = good.len().saturating_sub(cut);
        bad.push((format!("cut to {keep} bytes"), good.iter().take(keep).copied().collect()));
    }
    for byte in [0x00, b' ', 0x80, 0xff] {
        bad.push((format!("with byte {byte:02x} behind"), good.iter().copied().chain([byte]).collect()));
        bad.push((format!("with byte {byte:02x} in front"), [byte].into_iter().chain(good.iter().copied()).collect()));
    }
    bad.push(("twice".to_owned(), good.repeat(2)));
    for (turn, at) in (0..good.len()).step_by((good.len() / FLIPS).max(1)).enumerate() {
        let mut bytes = good.to_vec();
        if let Some(byte) = bytes.get_mut(at) {
            *byte ^= 1 << (turn % 8);
        }
        bad.push((format!("with a bit flipped in byte {at}"), bytes));
    }
    bad
}
