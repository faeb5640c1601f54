//! `expected.json` of every case, member by member: one that no test knows stops the test.

use super::{addresses, bytes, case_folders, hash, headers, read_json};
use hufu_adapters_light_client::Budget;
use hufu_evm_light_client::bft::{Ballot, Kind};
use hufu_evm_light_client::{Address, Header, clique, qbft};
use serde_json::Value;
use std::path::Path;

#[test]
fn every_member_of_every_expected_row_is_what_the_bytes_say() {
    for (folder, case) in case_folders() {
        let rows = read_json(&folder.join(case["expected"].as_str().unwrap()));
        let kind = case["anchor"]["consensus"].as_str().unwrap();
        for (copy, file) in case["blocks"].as_array().unwrap().iter().enumerate() {
            let headers = headers(&folder.join(file.as_str().unwrap()));
            assert_eq!(headers.len(), rows.as_array().unwrap().len());
            for (header, row) in headers.iter().zip(rows.as_array().unwrap()) {
                check_row(&folder, kind, copy, header, row);
            }
        }
    }
}

fn check_row(folder: &Path, kind: &str, copy: usize, header: &Header, row: &Value) {
    let fields = header.fields();
    let genesis = fields.number == 0;
    for (member, value) in row.as_object().unwrap() {
        let place = format!("{}, block {}, {member}", folder.display(), fields.number);
        match member.as_str() {
            "number" => assert_eq!(Some(fields.number), value.as_u64(), "{place}"),
            "parent_hash" => assert_eq!(fields.parent_hash, hash(value), "{place}"),
            "timestamp" => assert_eq!(Some(fields.timestamp), value.as_u64(), "{place}"),
            "seal_digest" | "signer" | "proposer" if value.is_null() => assert!(genesis, "{place}"),
            "vote" => check_vote(header, value, &place),
            "round" => {
                let block = qbft::Block::read(header.clone()).unwrap();
                assert_eq!(Some(u64::from(block.extra().round())), value.as_u64(), "{place}");
            }
            "hash" | "header_validators" | "committed_signers" | "proposer" if kind != "clique" => {
                check_bft(kind, copy, header, member, value, &place);
            }
            "hash" | "seal_digest" | "signer" => check_clique(header, member, value, &place),
            // The body is compared as whole blocks are read, and the set after a block as it is followed: vectors.rs.
            "transactions" | "validators" => {}
            _ => panic!("{place}: no test knows this member"),
        }
    }
}

fn check_bft(kind: &str, copy: usize, header: &Header, member: &str, value: &Value, place: &str) {
    let kind = Kind::ALL.into_iter().find(|known| known.as_str() == kind).expect("a BFT kind");
    let block = kind.read(header.clone()).unwrap();
    let genesis = header.fields().number == 0;
    match member {
        "hash" => assert_eq!(block.hash(), hash(value), "{place}"),
        // Who operates a ledger orders its genesis list, and software sorts it.
        "header_validators" => {
            let mut listed = addresses(value);
            listed.sort_unstable_by_key(|address| if genesis { *address } else { Address::ZERO });
            assert_eq!(block.validators(), listed, "{place}");
        }
        "proposer" if kind == Kind::Qbft => {
            assert_eq!(header.fields().coinbase.as_bytes()[..], bytes(value), "{place}");
        }
        "committed_signers" if genesis => assert_eq!(addresses(value), [], "{place}"),
        // Of the first copy; another node holds other seals of the same block.
        "committed_signers" if copy == 0 => {
            assert_eq!(block.require_quorum(&mut Budget::for_update()).unwrap(), addresses(value), "{place}");
        }
        _ => {}
    }
}

fn check_clique(header: &Header, member: &str, value: &Value, place: &str) {
    let block = clique::Block::read(header.clone()).unwrap();
    match member {
        "hash" => assert_eq!(block.hash(), hash(value), "{place}"),
        "seal_digest" => assert_eq!(block.seal_digest(), hash(value), "{place}"),
        _ => assert_eq!(block.signer().unwrap().as_bytes()[..], bytes(value), "{place}"),
    }
}

/// `{candidate, authorize, encoding}`, or null.
fn check_vote(header: &Header, value: &Value, place: &str) {
    let said = qbft::Block::read(header.clone()).unwrap().extra().vote();
    if value.is_null() {
        assert_eq!(said, None, "{place}");
        return;
    }
    let candidate = Address::new(bytes(&value["candidate"]).try_into().unwrap());
    assert_eq!(said, Some(Ballot { candidate, add: value["authorize"].as_bool().unwrap() }), "{place}");
    let (encoding, extra) = (bytes(&value["encoding"]), &header.fields().extra_data);
    assert!(extra.windows(encoding.len()).any(|window| window == encoding), "{place}");
}
