//! What is measured on ledgers made here: always through the door that the gateway uses, with nothing remembered.

use hufu_adapters_light_client::{Budget, DynLightClient, Family as _, Outcome, Selector, Step, TrustedBlock};
use hufu_evm_devnet::bare;
use hufu_evm_devnet::keys::{Key, recover};
use hufu_evm_light_client::account::verify_account;
use hufu_evm_light_client::receipt::write_evidence;
use hufu_evm_light_client::seal::Seal;
use hufu_evm_light_client::{Address, EvmFamily, Hash32, LogSelector, keccak256};
use hufu_schemas_core::{Height, Timestamp};
use serde_json::{Value, json};

use super::super::measure::number;

const SEED: [u8; 32] = [0x68; 32];
const GENESIS_TIME: u64 = 1_700_000_000;
const YEAR: u64 = 365 * 86_400;
/// Headers of one update, as the gateway asks a source for them.
const UPDATE: usize = 512;
/// Recoveries of one run: half a second of one core.
const RECOVERIES: u64 = 16_384;

/// Something to measure.
pub(super) struct Case {
    pub(super) name: String,
    /// How many units one run does, and what they are.
    pub(super) units: u64,
    pub(super) unit: &'static str,
    /// How many signers must be recovered in one run.
    pub(super) recoveries: u64,
    /// How many units somebody may want to know the time of, where they are too many to run.
    pub(super) extrapolated: u64,
    pub(super) note: String,
    pub(super) run: Box<dyn FnMut() -> anyhow::Result<()>>,
}

impl Case {
    pub(super) fn new(
        name: impl Into<String>,
        (units, unit): (u64, &'static str),
        recoveries: u64,
        run: impl FnMut() -> anyhow::Result<()> + 'static,
    ) -> Self {
        Self { name: name.into(), units, unit, recoveries, extrapolated: 0, note: String::new(), run: Box::new(run) }
    }
}

/// All of them; the first is one recovery, with which the others are compared.
pub(super) fn all() -> anyhow::Result<Vec<Case>> {
    let mut cases = recoveries()?;
    for (validators, headers) in [(4, 4_096), (7, 3_072), (21, 1_024), (100, 256)] {
        cases.push(followed(validators, headers)?);
    }
    let mut year = followed(21, 1_024)?;
    "21 validators, a year unskipped".clone_into(&mut year.name);
    year.extrapolated = YEAR;
    cases.push(year);
    cases.push(skipped()?);
    for count in [20, 200, 2_000] {
        cases.push(receipts(count)?);
    }
    cases.push(accounts());
    Ok(cases)
}

/// With the library of the light client, and with the one that it was chosen over (docs/decisions/0003).
fn recoveries() -> anyhow::Result<Vec<Case>> {
    let key = Key::derive(&SEED, "recovery", 0);
    let seal = |number: u64| -> anyhow::Result<(Hash32, Seal)> {
        let digest = keccak256(&number.to_be_bytes());
        Ok((digest, Seal::parse(key.sign(&(*digest.as_bytes()).into()).as_slice())?))
    };
    let seals = (0..RECOVERIES).map(seal).collect::<anyhow::Result<Vec<_>>>()?;
    let same: Vec<_> =
        seals.iter().map(|(digest, seal)| ((*digest.as_bytes()).into(), (*seal.as_bytes()).into())).collect();
    let ours = Case::new("recover a signer, on one core", (RECOVERIES, "signers"), RECOVERIES, move || {
        for (digest, seal) in &seals {
            std::hint::black_box(seal.recover(digest)?);
        }
        Ok(())
    });
    let other = Case::new("the same with k256", (RECOVERIES, "signers"), RECOVERIES, move || {
        for (digest, seal) in &same {
            anyhow::ensure!(std::hint::black_box(recover(digest, seal)).is_some(), "expected a signer");
        }
        Ok(())
    });
    Ok(vec![ours, other])
}

fn anchor(consensus: &str, hash: [u8; 32], more: Value) -> Value {
    let mut anchor = json!({ "family": "evm", "consensus": consensus, "height": 0, "hash": Hash32::new(hash), "trusted_for": 2 * YEAR });
    if let (Some(anchor), Value::Object(more)) = (anchor.as_object_mut(), more) {
        anchor.extend(more);
    }
    anchor
}

fn step(height: u64, bytes: Vec<u8>) -> Step {
    Step { height: Height::new(height), bytes }
}

fn followed(validators: u64, headers: u64) -> anyhow::Result<Case> {
    let keys = bare::keys(&SEED, validators);
    let genesis = bare::qbft_header([0; 32], 0, GENESIS_TIME, &keys, None);
    let (anchor, mut parent) = (anchor("qbft", genesis.hash, json!({})), genesis.hash);
    let mut steps = vec![step(0, genesis.rlp)];
    for height in 1..=headers {
        let header = bare::qbft_header(parent, height, GENESIS_TIME + height, &keys, None);
        parent = header.hash;
        steps.push(step(height, header.rlp));
    }
    let quorum = validators.saturating_mul(2).div_ceil(3);
    let name = format!("{validators} validators, each header");
    let now = GENESIS_TIME + headers;
    Ok(Case::new(name, (headers, "headers"), headers * quorum, move || follow(&anchor, &steps, now, headers)))
}

/// Follows steps from the anchor on, an update at a time, with a client that remembers nothing yet.
pub(super) fn follow(anchor: &Value, steps: &[Step], now: u64, until: u64) -> anyhow::Result<()> {
    let client = EvmFamily.client(anchor)?;
    let now = Timestamp::from_seconds(now).ok_or_else(|| anyhow::anyhow!("a ledger after the year 9999"))?;
    let (mut head, mut wants) = (client.anchor(), 0u64);
    while let Some(rest) = steps.get(steps.partition_point(|step| step.height.get() < wants)..) {
        let update = rest.get(..UPDATE.min(rest.len())).unwrap_or_default();
        let advanced = match client.advance(&head, update, now, &mut Budget::for_update()) {
            Outcome::Accept(advanced) => advanced,
            Outcome::NotYet(shortfall) => anyhow::bail!("the ledger made here waits: {shortfall}"),
            Outcome::Reject(rejection) => anyhow::bail!("the ledger made here is refused: {rejection}"),
        };
        head = advanced.head;
        wants = advanced.facts.wants.get();
        if wants > until {
            return Ok(());
        }
    }
    anyhow::bail!("the ledger made here ends at {wants}, before {until}")
}

/// A year of one-second headers over which five of 21 validators are replaced, a header every four weeks.
fn skipped() -> anyhow::Result<Case> {
    const STRIDE: u64 = 28 * 86_400;
    let all = bare::keys(&SEED, 26);
    let first: Vec<Key> = all.iter().take(21).cloned().collect();
    let genesis = bare::qbft_header([0; 32], 0, GENESIS_TIME, &first, None);
    let next = bare::qbft_header(genesis.hash, 1, GENESIS_TIME + 1, &first, None);
    let anchor = anchor("qbft", genesis.hash, json!({ "skipping": true }));
    let mut steps = vec![step(0, genesis.rlp), step(1, next.rlp)];
    let mut height = 1;
    while height < YEAR {
        height = YEAR.min(height + STRIDE);
        let replaced = usize::try_from(height * 5 / YEAR)?;
        let set: Vec<Key> = all.iter().skip(replaced).take(21).cloned().collect();
        steps.push(step(height, bare::qbft_header([9; 32], height, GENESIS_TIME + height, &set, None).rlp));
    }
    let headers = u64::try_from(steps.len())? - 1;
    let mut case = Case::new("21 validators, a year skipped", (1, "years"), headers * 14, move || {
        follow(&anchor, &steps, GENESIS_TIME + YEAR, YEAR)
    });
    case.note = format!("{headers} headers instead of {YEAR}");
    Ok(case)
}

/// All matching logs of a block, its receipts trie rebuilt whole, as a lane reads it.
fn receipts(count: u64) -> anyhow::Result<Case> {
    let (root, receipts) = bare::receipts(count);
    let genesis = bare::qbft_header([0; 32], 0, GENESIS_TIME, &bare::keys(&SEED, 4), Some((root, root)));
    let client = EvmFamily.client(&anchor("qbft", genesis.hash, json!({})))?;
    let block = trusted(client.as_ref(), genesis.rlp)?;
    let selector: Selector =
        LogSelector::new(Address::new(bare::CONTRACT), vec![Hash32::new(bare::TOPIC)])?.to_selector();
    let evidence = write_evidence(&receipts);
    // Blocks of one run, so that every size takes about as long.
    let blocks = 10_000 / count;
    Ok(Case::new(format!("receipts trie of {count}"), (blocks * count, "receipts"), 0, move || {
        for _ in 0..blocks {
            let found = client.matching(&block, &selector, Some(&evidence), &mut Budget::for_evidence());
            let found = found.accepted().map_or(0, |items| items.len());
            anyhow::ensure!(u64::try_from(found)? == count, "expected {count} logs, got {found}");
        }
        Ok(())
    }))
}

fn trusted(client: &dyn DynLightClient, header: Vec<u8>) -> anyhow::Result<TrustedBlock> {
    let now = Timestamp::from_seconds(GENESIS_TIME).ok_or_else(|| anyhow::anyhow!("a time"))?;
    let advanced = client.advance(&client.anchor(), &[step(0, header)], now, &mut Budget::for_update());
    let block = advanced.accepted().and_then(|advanced| advanced.blocks.into_iter().next());
    block.ok_or_else(|| anyhow::anyhow!("the block made here is not taken"))
}

fn accounts() -> Case {
    const ACCOUNTS: u64 = 10_000;
    let (root, proofs) = bare::accounts(ACCOUNTS, 5);
    let root = Hash32::new(root);
    let count = proofs.len();
    let units = u64::try_from(count).unwrap_or(u64::MAX);
    let bytes: usize = proofs.iter().flat_map(|(_, nodes)| nodes.iter().map(Vec::len)).sum();
    let mut case = Case::new("account proofs", (units, "proofs"), 0, move || {
        let mut budget = Budget::new(0, u64::MAX);
        for (address, nodes) in &proofs {
            let account = verify_account(root, Address::new(*address), nodes, &mut budget)?;
            anyhow::ensure!(account.is_some(), "expected an account at {}", Address::new(*address));
        }
        Ok(())
    });
    case.note =
        format!("of {ACCOUNTS} accounts, {:.0} bytes each", number(u64::try_from(bytes / count.max(1)).unwrap_or(0)));
    case
}
