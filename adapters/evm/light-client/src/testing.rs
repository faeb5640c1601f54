//! Builders of headers for the tests of this crate: keys, BFT and Clique blocks, each field open to falsification.

use crate::address::Address;
use crate::bft::{self, Ballot, Kind};
use crate::clique;
use crate::fault::Fault;
use crate::header::{EMPTY_OMMERS, Header};
use crate::keccak::{Hash32, keccak256};
use crate::rlp;
use crate::seal::Seal;
use crate::trie::EMPTY_ROOT;
use secp256k1::ecdsa::RecoverableSignature;
use secp256k1::{Message, PublicKey, SecretKey};

#[derive(Clone)]
pub(crate) struct Key(SecretKey);

impl Key {
    pub(crate) fn number(number: u8) -> Self {
        Self(SecretKey::from_secret_bytes(*keccak256(&[number]).as_bytes()).unwrap())
    }

    pub(crate) fn address(&self) -> Address {
        let point = PublicKey::from_secret_key(&self.0).serialize_uncompressed();
        Address::new(keccak256(&point[1..]).as_bytes()[12..].try_into().unwrap())
    }

    pub(crate) fn seal(&self, digest: &Hash32) -> Seal {
        let signature = RecoverableSignature::sign_ecdsa_recoverable(Message::from_digest(*digest.as_bytes()), &self.0);
        let (id, rs) = signature.serialize_compact();
        let mut bytes = rs.to_vec();
        bytes.push(id.to_u8());
        Seal::parse(&bytes).unwrap()
    }

    /// The other signature over the same digest that names the same signer: s' = order - s, v' = 1 - v.
    pub(crate) fn high_s_seal(&self, digest: &Hash32) -> Seal {
        let order = hex::decode("fffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141").unwrap();
        let mut bytes = *self.seal(digest).as_bytes();
        let mut borrow = 0i16;
        for at in (0..32).rev() {
            let value = i16::from(order[at]) - i16::from(bytes[32 + at]) - borrow;
            borrow = i16::from(value < 0);
            bytes[32 + at] = u8::try_from(value.rem_euclid(256)).unwrap();
        }
        bytes[64] = 1 - bytes[64];
        Seal::parse(&bytes).unwrap()
    }
}

/// `count` keys in ascending order of their addresses.
pub(crate) fn keys(count: u8) -> Vec<Key> {
    let mut keys: Vec<Key> = (1..=count).map(Key::number).collect();
    keys.sort_by_key(Key::address);
    keys
}

#[derive(Clone)]
pub(crate) struct HeaderDraft {
    pub(crate) parent_hash: Hash32,
    pub(crate) ommers_hash: Hash32,
    pub(crate) coinbase: Address,
    pub(crate) receipts_root: Hash32,
    pub(crate) bloom: [u8; 256],
    pub(crate) difficulty: u64,
    pub(crate) number: u64,
    /// Content of the item, so that a test can write it in a wrong form.
    pub(crate) gas_used: Vec<u8>,
    pub(crate) timestamp: u64,
    pub(crate) extra_data: Vec<u8>,
    pub(crate) mix_hash: Hash32,
    pub(crate) nonce: [u8; 8],
    /// Encoded items after the nonce.
    pub(crate) trailing: Vec<Vec<u8>>,
}

impl Default for HeaderDraft {
    fn default() -> Self {
        Self {
            parent_hash: keccak256(b"parent"),
            ommers_hash: EMPTY_OMMERS,
            coinbase: Address::ZERO,
            receipts_root: EMPTY_ROOT,
            bloom: [0; 256],
            difficulty: 1,
            number: 1,
            gas_used: Vec::new(),
            timestamp: 1_000,
            extra_data: Vec::new(),
            mix_hash: Hash32::ZERO,
            nonce: [0; 8],
            trailing: Vec::new(),
        }
    }
}

impl HeaderDraft {
    /// The trailing items of a header of `fields` items in all.
    pub(crate) fn trailing_of(fields: usize) -> Vec<Vec<u8>> {
        let hash = [&[0xa0][..], &[7; 32]].concat();
        let all = [vec![0x07], hash.clone(), vec![0x80], vec![0x80], hash.clone(), hash];
        all[..fields - 15].to_vec()
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut items = Vec::new();
        rlp::write_string(self.parent_hash.as_bytes(), &mut items);
        rlp::write_string(self.ommers_hash.as_bytes(), &mut items);
        rlp::write_string(self.coinbase.as_bytes(), &mut items);
        rlp::write_string(keccak256(b"state").as_bytes(), &mut items);
        rlp::write_string(EMPTY_ROOT.as_bytes(), &mut items);
        rlp::write_string(self.receipts_root.as_bytes(), &mut items);
        rlp::write_string(&self.bloom, &mut items);
        rlp::write_u64(self.difficulty, &mut items);
        rlp::write_u64(self.number, &mut items);
        rlp::write_u64(30_000_000, &mut items);
        rlp::write_string(&self.gas_used, &mut items);
        rlp::write_u64(self.timestamp, &mut items);
        rlp::write_string(&self.extra_data, &mut items);
        rlp::write_string(self.mix_hash.as_bytes(), &mut items);
        rlp::write_string(&self.nonce, &mut items);
        self.trailing.iter().for_each(|item| items.extend_from_slice(item));
        let mut out = Vec::new();
        rlp::write_list(&items, &mut out);
        out
    }
}

/// A BFT block: the header, who is listed, who seals, and ways to falsify it.
#[derive(Clone)]
pub(crate) struct BftDraft {
    pub(crate) kind: Kind,
    pub(crate) header: HeaderDraft,
    pub(crate) validators: Vec<Address>,
    /// Who signs the proposer's seal, where the kind has one.
    pub(crate) proposer: Key,
    pub(crate) signers: Vec<Key>,
    pub(crate) vote: Option<Ballot>,
    pub(crate) round: u64,
    pub(crate) round_after_sealing: Option<u64>,
    pub(crate) high_s_twin_of: Option<Key>,
    pub(crate) extra_item: bool,
    pub(crate) seals_over_block_hash: bool,
    pub(crate) seals_over_five_items: bool,
    pub(crate) without_proposer_seal: bool,
    pub(crate) proposer_seal_hashed_once: bool,
}

impl BftDraft {
    pub(crate) fn new(kind: Kind, validators: &[Key], signers: &[Key]) -> Self {
        let header = HeaderDraft { mix_hash: bft::MIX_HASH, ..HeaderDraft::default() };
        let mut draft = Self {
            kind,
            header,
            validators: validators.iter().map(Key::address).collect(),
            proposer: validators[0].clone(),
            signers: signers.to_vec(),
            vote: None,
            round: 0,
            round_after_sealing: None,
            high_s_twin_of: None,
            extra_item: false,
            seals_over_block_hash: false,
            seals_over_five_items: false,
            without_proposer_seal: false,
            proposer_seal_hashed_once: false,
        };
        draft.propose_as(&validators[0]);
        draft
    }

    pub(crate) fn propose_as(&mut self, key: &Key) {
        self.proposer = key.clone();
        if self.kind != Kind::Ibft1 {
            self.header.coinbase = key.address();
        }
    }

    /// The items of extraData: on legacy IBFT those of the list behind the vanity.
    fn items(&self, round: u64, proposer_seal: &[u8], seals: &[Seal]) -> Vec<Vec<u8>> {
        let item = |write: &dyn Fn(&mut Vec<u8>)| {
            let mut out = Vec::new();
            write(&mut out);
            out
        };
        let list = |content: Vec<u8>| item(&|out| rlp::write_list(&content, out));
        let string = |content: &[u8]| item(&|out| rlp::write_string(content, out));
        let validators = list(self.validators.iter().flat_map(|address| string(address.as_bytes())).collect());
        let seals = list(seals.iter().flat_map(|seal| string(seal.as_bytes())).collect());
        let vote = |out: &[u8]| {
            let voted = |ballot: Ballot| {
                list([string(ballot.candidate.as_bytes()), string(if ballot.add { &[0xff] } else { out })].concat())
            };
            self.vote.map(voted)
        };
        match self.kind {
            Kind::Qbft => {
                let round = item(&|out| rlp::write_u64(round, out));
                vec![string(&[0; 32]), validators, vote(&[]).unwrap_or(vec![0xc0]), round, seals]
            }
            Kind::Ibft2 => {
                let round = string(&u32::try_from(round).unwrap().to_be_bytes());
                vec![string(&[0; 32]), validators, vote(&[0]).unwrap_or(vec![0x80]), round, seals]
            }
            Kind::Ibft1 => vec![validators, string(proposer_seal), seals],
        }
    }

    /// The header with an extraData of these items.
    fn header_with(&self, mut items: Vec<Vec<u8>>) -> Vec<u8> {
        if self.extra_item {
            items.push(vec![0x80]);
        }
        let mut extra_data = if self.kind == Kind::Ibft1 { vec![0; 32] } else { Vec::new() };
        rlp::write_list(&items.concat(), &mut extra_data);
        let mut header = HeaderDraft { extra_data, ..self.header.clone() };
        if let (Kind::Ibft1, Some(ballot)) = (self.kind, self.vote) {
            header.coinbase = ballot.candidate;
            header.nonce = if ballot.add { [0xff; 8] } else { [0; 8] };
        }
        header.encode()
    }

    fn proposer_seal(&self) -> Vec<u8> {
        if self.kind != Kind::Ibft1 || self.without_proposer_seal {
            return Vec::new();
        }
        let once = keccak256(&self.header_with(self.items(0, &[], &[])));
        let digest = if self.proposer_seal_hashed_once { once } else { keccak256(once.as_bytes()) };
        self.proposer.seal(&digest).as_bytes().to_vec()
    }

    /// The block's hash, written down once more from the rules and not by the code that is tested.
    pub(crate) fn hash(&self) -> Hash32 {
        let mut items = self.items(0, &self.proposer_seal(), &[]);
        if self.kind == Kind::Ibft2 && self.header.number != 0 {
            items.truncate(3);
        }
        keccak256(&self.header_with(items))
    }

    fn seal_digest(&self) -> Hash32 {
        if self.seals_over_block_hash {
            return self.hash();
        }
        let mut items = self.items(self.round, &[], &[]);
        match self.kind {
            Kind::Ibft1 => return keccak256(&[&self.hash().as_bytes()[..], &[2]].concat()),
            Kind::Ibft2 if !self.seals_over_five_items => items.truncate(4),
            _ => {}
        }
        keccak256(&self.header_with(items))
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        let digest = self.seal_digest();
        let mut seals: Vec<Seal> = self.signers.iter().map(|key| key.seal(&digest)).collect();
        seals.extend(self.high_s_twin_of.iter().map(|key| key.high_s_seal(&digest)));
        let round = self.round_after_sealing.unwrap_or(self.round);
        self.header_with(self.items(round, &self.proposer_seal(), &seals))
    }

    pub(crate) fn block(&self) -> Result<bft::Block, Fault> {
        self.kind.read(Header::parse(&self.encode())?)
    }
}

/// A Clique block and its one signer.
#[derive(Clone)]
pub(crate) struct CliqueDraft {
    pub(crate) header: HeaderDraft,
    pub(crate) listed: Vec<Address>,
    pub(crate) key: Key,
}

impl CliqueDraft {
    pub(crate) fn new(key: &Key) -> Self {
        Self { header: HeaderDraft::default(), listed: Vec::new(), key: key.clone() }
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut extra_data = vec![0; 32];
        self.listed.iter().for_each(|address| extra_data.extend_from_slice(address.as_bytes()));
        let unsealed = HeaderDraft { extra_data: extra_data.clone(), ..self.header.clone() };
        extra_data.extend_from_slice(self.key.seal(&keccak256(&unsealed.encode())).as_bytes());
        HeaderDraft { extra_data, ..self.header.clone() }.encode()
    }

    pub(crate) fn block(&self) -> Result<clique::Block, Fault> {
        clique::Block::read(Header::parse(&self.encode())?)
    }
}
