//! The devnet's own types against recordings of real networks: rebuild every hash, root, signature, proof, time and turn.
//! What passes here is the form in which the devnet makes its blocks.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ed25519_dalek::{Signature, VerifyingKey};
use hufu_cometbft_devnet::app::{State, TxResult};
use hufu_cometbft_devnet::block::{self, Block};
use hufu_cometbft_devnet::chain::{is_quorum, median_time};
use hufu_cometbft_devnet::commit::{Commit, Flag};
use hufu_cometbft_devnet::header::consensus_hash;
use hufu_cometbft_devnet::keys::address;
use hufu_cometbft_devnet::render;
use hufu_cometbft_devnet::validators::{Update, Validator, ValidatorSet};
use serde_json::Value;

use crate::support::recorded::{
    NETWORKS, Network, bytes, commit_of, decimal, header_of, hex_bytes, own_block_id, public_key, result_of,
};

fn networks() -> impl Iterator<Item = Network> {
    NETWORKS.into_iter().map(Network::open)
}

/// The set of a height, as the node tells it.
fn validators(network: &Network, height: u64) -> Vec<Validator> {
    let answer = network.answer(&format!("{height:03}.validators"));
    let one = |it: &Value| Validator {
        public_key: public_key(it),
        power: decimal(&it["voting_power"]),
        priority: decimal(&it["proposer_priority"]),
    };
    answer["validators"].as_array().unwrap().iter().map(one).collect()
}

fn genesis_set(network: &Network) -> ValidatorSet {
    let genesis = network.file("genesis");
    let one = |it: &Value| Update { public_key: public_key(it), power: decimal(&it["power"]) };
    let first: Vec<Update> = genesis["validators"].as_array().unwrap().iter().map(one).collect();
    ValidatorSet::genesis(&first).unwrap()
}

/// The changes of powers, by the height of the block that asked for them.
fn updates_at(network: &Network, height: u64, before: &ValidatorSet) -> Vec<Update> {
    let case = network.file("case");
    if case["power_changed_at"] == height || case["removed_at"] == height {
        // Which transaction it was, the sets two blocks later show.
        let after = validators(network, height + 2);
        let power = |it: &Validator| after.iter().find(|a| a.public_key == it.public_key).map_or(0, |a| a.power);
        let changed = before.validators().iter().filter(|it| power(it) != it.power);
        return changed.map(|it| Update { public_key: it.public_key, power: power(it) }).collect();
    }
    Vec::new()
}

#[test]
fn recorded_headers_hash_to_their_block_ids_and_link() {
    let mut seen = 0;
    for network in networks() {
        let mut before = None;
        for height in 1..=network.last {
            let signed = &network.answer(&format!("{height:03}.commit"))["signed_header"];
            let (header, commit) = (header_of(&signed["header"]), commit_of(&signed["commit"]));
            assert_eq!(header.hash().to_vec(), commit.block_id.hash, "{} {height}", network.name);
            assert_eq!((header.height, commit.height), (height, height));
            if let Some(before) = before.replace(commit.clone()) {
                let before: Commit = before;
                assert_eq!(header.last_block_id, before.block_id);
                assert_eq!(header.last_commit_hash, before.hash(), "{} {height}", network.name);
            }
            seen += 1;
        }
    }
    assert!(seen > 50, "{seen}");
}

#[test]
fn recorded_votes_are_signatures_over_our_bytes() {
    for network in networks() {
        let mut absent = 0;
        for height in 1..=network.last {
            let signed = &network.answer(&format!("{height:03}.commit"))["signed_header"];
            let (chain_id, commit) = (signed["header"]["chain_id"].as_str().unwrap(), commit_of(&signed["commit"]));
            let set = validators(&network, height);
            let mut voting = 0;
            for (entry, validator) in commit.signatures.iter().zip(&set) {
                if entry.flag == Flag::Absent {
                    absent += 1;
                    continue;
                }
                assert_eq!(entry.address, validator.address());
                let message = commit.sign_bytes(chain_id, entry.flag, entry.time);
                let signature = Signature::from_slice(&entry.signature).unwrap();
                let key = VerifyingKey::from_bytes(&validator.public_key).unwrap();
                key.verify_strict(&message, &signature).unwrap_or_else(|e| panic!("{} {height}: {e}", network.name));
                voting += validator.power;
            }
            assert!(is_quorum(voting, set.iter().map(|it| it.power).sum()));
        }
        assert!(absent > 0, "a validator was stopped in {}", network.name);
    }
}

#[test]
fn recorded_sets_proposers_and_priorities_follow_our_rules() {
    for network in networks() {
        // The set of each height, and of the one after: a block's updates are in force two blocks later.
        let mut set = genesis_set(&network);
        let mut next = set.advanced();
        for height in 1..=network.last {
            let signed = &network.answer(&format!("{height:03}.commit"))["signed_header"];
            let header = header_of(&signed["header"]);
            let what = format!("{} {height}", network.name);
            assert_eq!(set.hash().to_vec(), header.validators_hash, "{what}");
            assert_eq!(next.hash().to_vec(), header.next_validators_hash, "{what}");
            assert_eq!(set.validators(), validators(&network, height), "{what}");
            let turn = set.advanced_by(commit_of(&signed["commit"]).round);
            // A round that was lost and a block that was proposed again keep their first proposer; there are none here.
            assert_eq!(turn.proposer().unwrap().address().to_vec(), header.proposer_address, "{what}");
            let after = next.next(&updates_at(&network, height, &next)).unwrap();
            set = std::mem::replace(&mut next, after);
        }
        assert_eq!(set.validators().len(), 3, "one was removed in {}", network.name);
    }
}

/// Networks of 0.38 take the median of votes; those of 1.0 do too until an operator turns the proposer's clock on.
#[test]
fn recorded_times_are_the_median_of_the_votes_before() {
    for network in networks() {
        let mut set = genesis_set(&network);
        let mut next = set.advanced();
        for height in 1..network.last {
            let commit = commit_of(&network.answer(&format!("{height:03}.commit"))["signed_header"]["commit"]);
            let above = network.answer(&format!("{:03}.commit", height + 1));
            // The last commit of a header may hold other votes than the one that this node saw; these are canonical.
            let header = header_of(&above["signed_header"]["header"]);
            assert_eq!(median_time(&commit, &set), header.time, "{} {height}", network.name);
            let after = next.next(&updates_at(&network, height, &next)).unwrap();
            set = std::mem::replace(&mut next, after);
        }
    }
}

#[test]
fn recorded_limits_of_a_block_give_the_consensus_hash() {
    for network in networks() {
        let genesis = network.file("genesis");
        let limits = &genesis["consensus_params"]["block"];
        let hash = consensus_hash(decimal(&limits["max_bytes"]), decimal(&limits["max_gas"]));
        let header = header_of(&network.answer("001.commit")["signed_header"]["header"]);
        assert_eq!(hash.to_vec(), header.consensus_hash, "{}", network.name);
    }
}

#[test]
fn recorded_blocks_give_their_roots_their_parts_and_the_results_root() {
    let mut with_txs = 0;
    for network in networks() {
        for name in network.names(".block.json") {
            let answer = network.answer(&name);
            let (header, last_commit) =
                (header_of(&answer["block"]["header"]), commit_of(&answer["block"]["last_commit"]));
            let txs: Vec<Vec<u8>> = answer["block"]["data"]["txs"].as_array().unwrap().iter().map(bytes).collect();
            assert_eq!(block::data_hash(&txs).to_vec(), header.data_hash, "{name}");
            assert_eq!(last_commit.hash().to_vec(), header.last_commit_hash, "{name}");
            let encoded = block::encode(&header, &txs, &last_commit);
            assert_eq!(block::block_id(&header, &encoded), own_block_id(&answer["block_id"]), "parts of {name}");

            let results = network.answer(&format!("{:03}.block_results", header.height));
            let list = results["txs_results"].as_array().cloned().unwrap_or_default();
            let results: Vec<TxResult> = list.iter().map(result_of).collect();
            assert_eq!(results.len(), txs.len());
            with_txs += results.len();
            let above = network.answer(&format!("{:03}.commit", header.height + 1));
            let above = header_of(&above["signed_header"]["header"]);
            assert_eq!(block::results_hash(&results).to_vec(), above.last_results_hash, "{name}");
        }
    }
    assert!(with_txs >= 8, "{with_txs}");
}

/// The devnet's application over the recorded transactions: every result, every app_hash, every answer with its proof.
#[test]
fn recorded_transactions_give_the_recorded_results_states_and_proofs() {
    for network in networks() {
        let case = network.file("case");
        let mut state = State::default();
        let mut answered = 0;
        for height in 1..=network.last {
            let header = header_of(&network.answer(&format!("{height:03}.commit"))["signed_header"]["header"]);
            assert_eq!(state.hash().to_vec(), header.app_hash, "before {height} of {}", network.name);
            for (name, tx) in case["transactions"].as_object().unwrap().iter().filter(|(_, tx)| tx["height"] == height)
            {
                let answer = network.answer(&format!("tx.{name}"));
                let (result, update) = state.run(tx["tx"].as_str().unwrap().as_bytes());
                assert_eq!((render::tx_result(&result), update), (answer["tx_result"].clone(), None), "{name}");
            }
            for (name, key) in case["keys"].as_object().unwrap().iter().filter(|(_, key)| key["height"] == height) {
                let key = key["key"].as_str().unwrap();
                let ours = render::query(height, key.as_bytes(), state.get(key), Some(&state.prove(key)));
                assert_eq!(ours, network.answer(&format!("key.{name}")), "{name} of {}", network.name);
                answered += 1;
            }
        }
        assert_eq!(answered, 5, "{}", network.name);
    }
}

/// A recorded block, put into the devnet's own type and rendered again: nothing is lost, nothing is written otherwise.
#[test]
fn recorded_answers_are_rendered_again_as_they_were() {
    for network in networks() {
        for name in network.names(".block.json") {
            let answer = network.answer(&name);
            let made = own_block(&network, &answer);
            assert_eq!(render::block(&made, &made.txs), answer, "{name}");
            let commit = network.answer(&format!("{:03}.commit", made.header.height));
            assert_eq!(render::signed_header(&made.header, &made.commit, true), commit, "{name}");
            for (index, tx) in made.txs.iter().enumerate() {
                let hash = hex::encode_upper(hufu_cometbft_devnet::merkle::sha256(&[tx]));
                let recorded = network.names_of_txs().into_iter().find(|(it, _)| *it == hash);
                if let Some((_, recorded)) = recorded {
                    assert_eq!(render::tx(&made, index, &made.results[index], true).unwrap(), recorded, "{name}");
                }
            }
            let results = network.answer(&format!("{:03}.block_results", made.header.height));
            let mut ours = render::block_results(&made, &made.results);
            // Nodes of 1.0 name a validator's key otherwise.
            ours["validator_updates"] = results["validator_updates"].clone();
            assert_eq!(ours, results, "{name}");
        }
        let set = validators(&network, 1);
        let list: Vec<Value> = set.iter().map(render::validator).collect();
        assert_eq!(Value::Array(list), network.answer("001.validators")["validators"]);
        assert_eq!(
            hex_bytes(&network.answer("001.validators")["validators"][0]["address"]),
            address(&set[0].public_key)
        );
    }
}

fn own_block(network: &Network, answer: &Value) -> Block {
    let header = header_of(&answer["block"]["header"]);
    let signed = network.answer(&format!("{:03}.commit", header.height));
    let answers = network.answer(&format!("{:03}.block_results", header.height));
    let results = answers["txs_results"].as_array().cloned().unwrap_or_default();
    let list = answer["block"]["data"]["txs"].as_array().unwrap();
    Block {
        txs: list.iter().map(|tx| STANDARD.decode(tx.as_str().unwrap()).unwrap()).collect(),
        last_commit: commit_of(&answer["block"]["last_commit"]),
        id: own_block_id(&answer["block_id"]),
        size: 0,
        validators: Arc::new(genesis_set(network)),
        commit: commit_of(&signed["signed_header"]["commit"]),
        voted_at: header.time,
        results: results.iter().map(result_of).collect(),
        updates: Vec::new(),
        app_hash: bytes(&answers["app_hash"]).try_into().unwrap(),
        header,
    }
}
