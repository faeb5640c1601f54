//! Headers that a ledger's rules do not allow, whoever sealed them.

use crate::bft::Kind;
use crate::keccak::{Hash32, keccak256};
use crate::ledger::{Draft, EPOCH, Ledger, Sealing};
use crate::testing::{HeaderDraft, Key};
use hufu_evm_light_client::Header;

const BFT: [Sealing; 3] = [Sealing::Bft(Kind::Qbft), Sealing::Bft(Kind::Ibft2), Sealing::Bft(Kind::Ibft1)];
/// The kinds whose headers say a round.
const WITH_ROUND: [Sealing; 2] = [Sealing::Bft(Kind::Qbft), Sealing::Bft(Kind::Ibft2)];

/// A ledger of four with a few blocks.
fn ledger(kind: Sealing) -> Ledger {
    Ledger::new(kind, 4).grown(3)
}

/// The next block of each kind, falsified before it is sealed, is refused for this reason. Unfalsified it is taken.
fn each_refused(kinds: &[Sealing], reason: &str, falsify: impl Fn(&mut Draft)) {
    for kind in kinds {
        let ledger = ledger(*kind);
        let mut draft = ledger.draft();
        ledger.clone().grown(4).head();
        falsify(&mut draft);
        assert_eq!(ledger.refuses(draft.encode()), reason, "{kind:?}");
    }
}

fn bft(draft: &mut Draft) -> &mut crate::testing::BftDraft {
    match draft {
        Draft::Bft(draft) => draft,
        Draft::Clique(_) => panic!("a draft of a BFT kind"),
    }
}

fn addresses(keys: &[Key]) -> Vec<crate::address::Address> {
    keys.iter().map(Key::address).collect()
}

#[test]
fn changed_round() {
    for kind in WITH_ROUND {
        let ledger = ledger(kind);
        let mut draft = ledger.draft();
        let hash = draft.hash(kind);
        bft(&mut draft).round_after_sealing = Some(1);
        assert_eq!(draft.hash(kind), hash, "the round is no part of the hash");
        assert_eq!(ledger.refuses(draft.encode()), "signer-not-a-member", "{kind:?}");
    }
}

#[test]
fn seal_digest_over_unzeroed_round() {
    for kind in WITH_ROUND {
        let mut ledger = ledger(kind);
        let mut later = ledger.draft();
        bft(&mut later).round = 2;
        // Seals over the hash, which says no round, in place of the digest, which does.
        let mut over_hash = later.clone();
        bft(&mut over_hash).seals_over_block_hash = true;
        assert_eq!(ledger.refuses(over_hash.encode()), "signer-not-a-member", "{kind:?}");
        // A child that names its parent by the digest, which says a round, in place of the hash.
        let block = match kind {
            Sealing::Bft(kind) => kind.read(Header::parse(&later.encode()).unwrap()).unwrap(),
            Sealing::Clique => unreachable!("a kind with rounds"),
        };
        ledger.push(&later);
        let mut child = ledger.draft();
        child.header().parent_hash = block.seal_digest();
        assert_ne!(block.seal_digest(), block.hash());
        assert_eq!(ledger.refuses(child.encode()), "parent-hash", "{kind:?}");
    }
}

#[test]
fn vote_for_an_unknown_kind() {
    let newcomer = Key::number(60).address();
    for kind in WITH_ROUND {
        let ledger = ledger(kind);
        let mut draft = ledger.draft();
        draft.vote(newcomer, true);
        let mut raw = draft.encode();
        let known = [&[0x94], &newcomer.as_bytes()[..], &[0x81, 0xff]].concat();
        let at = raw.windows(known.len()).position(|window| window == known).unwrap() + known.len() - 1;
        raw[at] = 0xfe;
        assert_eq!(ledger.refuses(raw), "vote-malformed", "{kind:?}");
    }
    // Where the nonce says the kind of vote.
    for (kind, reason) in [(Sealing::Bft(Kind::Ibft1), "header-fixed-field"), (Sealing::Clique, "vote-malformed")] {
        let ledger = ledger(kind);
        let mut draft = ledger.draft();
        draft.header().coinbase = newcomer;
        draft.header().nonce = [0x0f; 8];
        assert_eq!(ledger.refuses(draft.encode()), reason, "{kind:?}");
    }
}

#[test]
fn validator_list_unsorted() {
    each_refused(&BFT, "validators-out-of-order", |draft| bft(draft).validators.swap(0, 1));
    epoch_list_refused(|listed| listed.swap(0, 1));
}

#[test]
fn validator_list_repeated() {
    each_refused(&BFT, "validators-out-of-order", |draft| {
        let validators = &mut bft(draft).validators;
        validators.insert(1, validators[0]);
    });
    epoch_list_refused(|listed| listed.insert(1, listed[0]));
}

/// On Clique the list stands in epoch blocks.
fn epoch_list_refused(falsify: impl Fn(&mut Vec<crate::address::Address>)) {
    let ledger = Ledger::new(Sealing::Clique, 4).grown(usize::try_from(EPOCH).unwrap() - 1);
    ledger.clone().grown(4).head();
    let mut draft = ledger.draft();
    let Draft::Clique(block) = &mut draft else { unreachable!("a draft of Clique") };
    assert_eq!(block.listed, addresses(&ledger.keys));
    falsify(&mut block.listed);
    assert_eq!(ledger.refuses(draft.encode()), "validators-unexpected");
}

#[test]
fn epoch_block_with_votes() {
    let newcomer = Key::number(60);
    let before = usize::try_from(EPOCH).unwrap() - 1;
    // Clique: such a block is no block.
    let ledger = Ledger::new(Sealing::Clique, 4).grown(before);
    let mut draft = ledger.draft();
    draft.vote(newcomer.address(), true);
    assert_eq!(ledger.refuses(draft.encode()), "vote-malformed");
    // The BFT kinds: software differs in whether it counts, and it never adds to votes from before the epoch.
    for kind in BFT {
        let mut ledger = Ledger::new(kind, 4).grown(before - 2);
        for _ in 0..3 {
            let mut draft = ledger.draft();
            draft.vote(newcomer.address(), true);
            ledger.push(&draft);
        }
        assert_eq!(ledger.height(), EPOCH + 1, "two votes before the epoch block, one inside");
        let mut with_newcomer = ledger.clone();
        with_newcomer.keys.push(newcomer.clone());
        with_newcomer.keys.sort_by_key(Key::address);
        assert_eq!(ledger.refuses(with_newcomer.draft().encode()), "validators-unexpected", "{kind:?}");
        ledger.grown(1).head();
    }
}

#[test]
fn difficulty_out_of_turn() {
    for (turn, wrong) in [(0, [1u64, 0, 3]), (1, [2, 0, 3])] {
        let ledger = ledger(Sealing::Clique);
        let author = (usize::try_from(ledger.height()).unwrap() + turn) % ledger.keys.len();
        for difficulty in wrong {
            let mut draft = ledger.draft_by(author);
            draft.header().difficulty = difficulty;
            assert_eq!(ledger.refuses(draft.encode()), "difficulty-out-of-turn", "{turn} {difficulty}");
        }
    }
    for difficulty in [0, 2] {
        each_refused(&BFT, "header-fixed-field", |draft| draft.header().difficulty = difficulty);
    }
}

#[test]
fn recent_signer_twice() {
    let ledger = ledger(Sealing::Clique);
    // Of four each may sign one block in three: the authors of the last two wait.
    for back in [1, 2] {
        let author = (usize::try_from(ledger.height()).unwrap() - back) % ledger.keys.len();
        assert_eq!(ledger.refuses(ledger.draft_by(author).encode()), "signer-too-recent", "{back} back");
    }
    // One committed seal twice is the same attack where blocks have many.
    for kind in BFT {
        let ledger = self::ledger(kind);
        let mut draft = ledger.draft();
        let signers = &mut bft(&mut draft).signers;
        *signers = [0, 1, 1].map(|at| ledger.keys[at].clone()).to_vec();
        assert_eq!(ledger.refuses(draft.encode()), "signer-repeated", "{kind:?}");
    }
}

#[test]
fn header_with_an_unknown_trailing_field() {
    each_refused(&Sealing::ALL, "header-fields", |draft| {
        let mut trailing = HeaderDraft::trailing_of(21);
        trailing.push(vec![0x80]);
        draft.header().trailing = trailing;
    });
    // Half of what Cancun brought.
    each_refused(&Sealing::ALL, "rlp-truncated", |draft| draft.header().trailing = HeaderDraft::trailing_of(18));
}

#[test]
fn timestamps_going_back() {
    for seconds in [1, 2, 1_000] {
        each_refused(&Sealing::ALL, "time-not-rising", |draft| draft.header().timestamp -= seconds);
    }
}

#[test]
fn gas_over_limit() {
    // One above the limit of 30 million.
    each_refused(&Sealing::ALL, "gas-above-limit", |draft| draft.header().gas_used = vec![0x01, 0xc9, 0xc3, 0x81]);
}

#[test]
fn header_of_another_parent_or_height() {
    each_refused(&Sealing::ALL, "parent-hash", |draft| draft.header().parent_hash = keccak256(b"another"));
    each_refused(&Sealing::ALL, "height-unexpected", |draft| draft.header().number += 1);
}

#[test]
fn header_changed_after_sealing() {
    for kind in Sealing::ALL {
        let ledger = ledger(kind);
        let mut draft = ledger.draft();
        let honest = draft.encode();
        draft.header().receipts_root = Hash32::new([9; 32]);
        let forged = draft.encode();
        // The honest seals under the forged fields: extraData is the longest item that the two do not share.
        let extra = |raw: &[u8]| Header::parse(raw).unwrap().fields().extra_data.clone();
        let (ours, theirs) = (extra(&forged), extra(&honest));
        assert_eq!(ours.len(), theirs.len());
        let at = forged.windows(ours.len()).position(|window| window == ours).unwrap();
        let stolen = [&forged[..at], &theirs, &forged[at + ours.len()..]].concat();
        let due = match kind {
            Sealing::Bft(Kind::Qbft | Kind::Ibft2) => "signer-not-a-member",
            // The seal that names the author is over other bytes, so it names a stranger.
            Sealing::Bft(Kind::Ibft1) | Sealing::Clique => "author-not-a-validator",
        };
        assert_eq!(ledger.refuses(stolen), due, "{kind:?}");
    }
}

#[test]
fn seal_of_an_outsider() {
    let outsider = Key::number(99);
    each_refused(&BFT, "signer-not-a-member", |draft| bft(draft).signers[3] = outsider.clone());
    each_refused(&BFT, "too-many-seals", |draft| bft(draft).signers.push(outsider.clone()));
    each_refused(&[Sealing::Clique], "author-not-a-validator", |draft| match draft {
        Draft::Clique(draft) => draft.key = outsider.clone(),
        Draft::Bft(_) => unreachable!("a draft of Clique"),
    });
}

#[test]
fn seals_below_quorum() {
    for signers in [0, 1, 2] {
        each_refused(&BFT, "below-quorum", |draft| bft(draft).signers.truncate(signers));
    }
    // Clique: one signer a block, so a branch that too few build on is not trusted as yet.
    let ledger = ledger(Sealing::Clique);
    let client = ledger.client();
    let steps = &ledger.steps[1..3];
    let head = crate::ledger::accept(client.as_ref(), &client.anchor(), &ledger.steps[..1]);
    assert_eq!(crate::ledger::refused(client.as_ref(), &head, steps), "confirmations-wanted");
}
