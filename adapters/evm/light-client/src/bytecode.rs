//! Whether runtime code can change what stands at its own address.
//!
//! Code that a transaction left at an address is changed by these alone: SELFDESTRUCT, which takes it away (and CREATE2
//! may then put other code there), and the two instructions that run *other* code as if it stood here, DELEGATECALL and
//! CALLCODE, since that code may do the same, and emits its events in this contract's name. A proxy is made of
//! DELEGATECALL. An account whose code begins with ef0100 (EIP-7702) is a person's, who may point it elsewhere at any
//! time; other code that begins with ef (EIP-3541) is not of this machine.
//!
//! Since EIP-6780 (Cancun) SELFDESTRUCT takes code away only in the transaction that made it. A header does not prove
//! which rules its ledger runs, and most consortium ledgers run older ones, so it counts here.
//!
//! The instructions of code are those that one walk from its first byte meets, the data of PUSH passed over: there is no
//! other way to number them, and jumps lead to a JUMPDEST among them alone (yellow paper, 9.4.3). So whatever follows an
//! instruction that never goes on, up to the next JUMPDEST, is never run. Solidity puts its metadata behind such an
//! instruction (INVALID), and those bytes count only after a byte of them that happens to be a JUMPDEST. Where that makes
//! the answer wrong it errs on the side of "can be changed".
//!
//! Sources: yellow paper, appendix H.2 and section 9.4; EIP-7 (DELEGATECALL), EIP-1014 (CREATE2), EIP-3541, EIP-6780,
//! EIP-7702; instructions added up to Osaka by EIP-145, 211, 214, 1052, 1153, 1344, 1884, 3198, 3855, 4399, 4844, 5656,
//! 7516 and 7939.

use std::fmt;

/// Bytes of the longest code that is looked at. EIP-170 allows 24,576; consortium ledgers may allow up to 131,072
/// (`maxCodeSizeConfig` of GoQuorum).
pub const MAX_CODE_BYTES: usize = 128 << 10;

const STOP: u8 = 0x00;
const JUMP: u8 = 0x56;
const JUMPDEST: u8 = 0x5b;
const PUSH1: u8 = 0x60;
const PUSH32: u8 = 0x7f;
const CALLCODE: u8 = 0xf2;
const RETURN: u8 = 0xf3;
const DELEGATECALL: u8 = 0xf4;
const REVERT: u8 = 0xfd;
const INVALID: u8 = 0xfe;
const SELFDESTRUCT: u8 = 0xff;

/// Why code may become other code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mutability {
    /// It is longer than [`MAX_CODE_BYTES`].
    TooLong,
    /// There is none: whoever holds the address may put some there.
    Nothing,
    /// It begins with `ef`: a delegation of a person's account, or code of another machine.
    NotPlain,
    /// It may run this instruction, at this byte.
    Runs(&'static str, usize),
    /// It may run an instruction that no fork up to Osaka knows, at this byte: a later one may give it any meaning.
    Unknown(u8, usize),
}

impl fmt::Display for Mutability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLong => write!(f, "code of more than {MAX_CODE_BYTES} bytes"),
            Self::Nothing => f.write_str("no code"),
            Self::NotPlain => f.write_str("code that begins with ef"),
            Self::Runs(name, at) => write!(f, "{name} at byte {at}"),
            Self::Unknown(opcode, at) => write!(f, "unknown instruction {opcode:02x} at byte {at}"),
        }
    }
}

/// The first way in which `code` could become other code, or run other code as its own; `None` where by the rules of the
/// ledger there is none.
pub fn mutability(code: &[u8]) -> Option<Mutability> {
    if code.len() > MAX_CODE_BYTES {
        return Some(Mutability::TooLong);
    }
    match code.first() {
        None => return Some(Mutability::Nothing),
        Some(0xef) => return Some(Mutability::NotPlain),
        Some(_) => {}
    }
    let mut reached = true;
    let mut at = 0;
    while let Some(opcode) = code.get(at).copied() {
        reached |= opcode == JUMPDEST;
        if reached && let Some(way) = way_of(opcode, at) {
            return Some(way);
        }
        if goes_nowhere(opcode) {
            reached = false;
        }
        at += 1 + pushed(opcode);
    }
    None
}

fn way_of(opcode: u8, at: usize) -> Option<Mutability> {
    match opcode {
        CALLCODE => Some(Mutability::Runs("CALLCODE", at)),
        DELEGATECALL => Some(Mutability::Runs("DELEGATECALL", at)),
        SELFDESTRUCT => Some(Mutability::Runs("SELFDESTRUCT", at)),
        known if is_known(known) => None,
        unknown => Some(Mutability::Unknown(unknown, at)),
    }
}

/// Whether the next instruction is never the one behind it.
const fn goes_nowhere(opcode: u8) -> bool {
    matches!(opcode, STOP | JUMP | RETURN | REVERT | INVALID | SELFDESTRUCT)
}

/// Bytes of data behind an instruction: of PUSH1 to PUSH32, one to 32.
fn pushed(opcode: u8) -> usize {
    match opcode {
        PUSH1..=PUSH32 => usize::from(opcode - PUSH1) + 1,
        _ => 0,
    }
}

/// The instructions of legacy code up to Osaka.
const fn is_known(opcode: u8) -> bool {
    matches!(
        opcode,
        0x00..=0x0b | 0x10..=0x1e | 0x20 | 0x30..=0x4a | 0x50..=0xa4 | 0xf0..=0xf5 | 0xfa | 0xfd..=0xff
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// What the compiler appends: INVALID, then `a2 64 "ipfs" 58 22 1220 <hash> 64 "solc" 43 <version> 0033`.
    fn with_metadata(code: &[u8], hash: [u8; 32]) -> Vec<u8> {
        let (head, tail) = (b"\xfe\xa2\x64ipfs\x58\x22\x12\x20", b"\x64solc\x43\x00\x08\x1e\x00\x33");
        [code, head, &hash, tail].concat()
    }

    #[test]
    fn code_that_stays() {
        // PUSH1 1, PUSH1 0, SSTORE, STOP; and a LOG1 of one word.
        assert_eq!(mutability(&[0x60, 1, 0x60, 0, 0x55, 0x00]), None);
        assert_eq!(mutability(&[0x60, 7, 0x60, 0x20, 0x60, 0, 0xa1, 0x00]), None);
    }

    #[test]
    fn code_that_can_destroy_itself() {
        assert_eq!(mutability(&[0x33, 0xff]), Some(Mutability::Runs("SELFDESTRUCT", 1)));
        assert_eq!(mutability(&[0x00, 0x5b, 0x33, 0xff]), Some(Mutability::Runs("SELFDESTRUCT", 3)));
    }

    #[test]
    fn code_that_runs_other_code_as_its_own() {
        assert_eq!(mutability(&[0x5f, 0xf4]), Some(Mutability::Runs("DELEGATECALL", 1)));
        assert_eq!(mutability(&[0x5f, 0xf2]), Some(Mutability::Runs("CALLCODE", 1)));
        let mut minimal = hex::decode("363d3d373d3d3d363d73").unwrap();
        minimal.extend([0x11; 20]);
        minimal.extend(hex::decode("5af43d82803e903d91602b57fd5bf3").unwrap());
        assert_eq!(mutability(&minimal), Some(Mutability::Runs("DELEGATECALL", 31)), "EIP-1167");
    }

    #[test]
    fn data_is_no_instruction() {
        for push in PUSH1..=PUSH32 {
            let data = vec![SELFDESTRUCT; usize::from(push - PUSH1) + 1];
            assert_eq!(mutability(&[&[push][..], &data, &[0x50]].concat()), None, "{push:02x}");
            let one_more = [&[push][..], &data, &[SELFDESTRUCT]].concat();
            assert_eq!(mutability(&one_more), Some(Mutability::Runs("SELFDESTRUCT", one_more.len() - 1)));
        }
        // Data that the code's end cuts off is zeros.
        assert_eq!(mutability(&[0x7f, SELFDESTRUCT]), None);
    }

    #[test]
    fn a_jump_does_not_lead_into_data() {
        // PUSH1 5b: the byte is no JUMPDEST, so what follows STOP is never run.
        assert_eq!(mutability(&[0x00, 0x60, JUMPDEST, SELFDESTRUCT]), None);
    }

    #[test]
    fn metadata_behind_the_code_counts_only_where_a_jump_could_lead() {
        let mut hash = [SELFDESTRUCT; 32];
        assert_eq!(mutability(&with_metadata(&[0x00], hash)), None);
        hash[4] = JUMPDEST;
        assert!(mutability(&with_metadata(&[0x00], hash)).is_some(), "conservative: it may be a place to jump to");
    }

    #[test]
    fn code_that_is_none_or_of_another_machine() {
        assert_eq!(mutability(&[]), Some(Mutability::Nothing));
        assert_eq!(mutability(&[&[0xef, 0x01, 0x00][..], &[9; 20]].concat()), Some(Mutability::NotPlain));
        assert_eq!(mutability(&vec![0; MAX_CODE_BYTES + 1]), Some(Mutability::TooLong));
        assert_eq!(mutability(&[0x0c]), Some(Mutability::Unknown(0x0c, 0)));
        assert_eq!(mutability(&[0xfe, 0x0c]), None);
    }

    proptest! {
        /// Against an interpreter that follows every jump to every JUMPDEST: what it may run is what the scan has seen.
        #[test]
        fn nothing_that_may_run_is_passed_over(code in proptest::collection::vec(
            prop_oneof![any::<u8>(), prop::sample::select(vec![0x00, 0x56, 0x57, 0x5b, 0x60, 0x62, 0xf4, 0xff])], 1..80))
        {
            let mut starts = vec![false; code.len()];
            let mut at = 0;
            while at < code.len() {
                starts[at] = true;
                at += 1 + pushed(code[at]);
            }
            let mut todo: Vec<usize> = (0..code.len()).filter(|at| starts[*at] && code[*at] == JUMPDEST).collect();
            todo.push(0);
            let mut bad = code[0] == 0xef;
            let mut seen = vec![false; code.len()];
            while let Some(at) = todo.pop() {
                if at >= code.len() || std::mem::replace(&mut seen[at], true) {
                    continue;
                }
                bad |= matches!(code[at], 0xf2 | 0xf4 | 0xff) || !is_known(code[at]);
                if !goes_nowhere(code[at]) {
                    todo.push(at + 1 + pushed(code[at]));
                }
            }
            prop_assert_eq!(mutability(&code).is_some(), bad);
        }
    }
}
