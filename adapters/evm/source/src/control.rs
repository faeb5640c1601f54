//! What shows who controls the code of contracts that spoke: state proofs at a block and at the one before, and the code.
//!
//! Asked for only where a lane pins a contract's code and the contract spoke in the block. Nodes keep the state of old
//! blocks only if they are told to; without an archive node a back-fill of such a lane ends where the state does.

use hufu_adapters_light_client::{Budget, Control, Selector, TrustedBlock};
use hufu_evm_light_client::block_state::BlockState;
use hufu_evm_light_client::control::{CodeProof, Shown, StateProof, StateRoots, join};
use hufu_evm_light_client::get_proof::GetProof;
use hufu_evm_light_client::pin::Pin;
use hufu_evm_light_client::{Address, Hash32, LogSelector, pinned_speakers};
use serde_json::json;

use crate::hex_json::Text;
use crate::node::{Node, NodeFault};
use crate::rpc::{Call, quantity};

const GET_PROOF: &str = "eth_getProof";
const GET_CODE: &str = "eth_getCode";

/// What a lane pins, and the state roots of one block.
pub(crate) struct Pins {
    selector: LogSelector,
    roots: StateRoots,
}

impl Pins {
    /// What is to be shown of a block for this selector; `None` where it pins nothing.
    pub(crate) fn of(block: &TrustedBlock, selector: &Selector) -> Option<Self> {
        // What cannot be read the light client will say.
        let selector = LogSelector::read(selector).ok().filter(LogSelector::has_pins)?;
        let state = BlockState::read(block.state()).ok()?;
        Some(Self { selector, roots: StateRoots { now: state.state_root, before: state.parent_state_root } })
    }

    /// The block's evidence with what shows the code of every pinned contract that spoke in it.
    pub(crate) async fn show(
        &self,
        node: &Node,
        height: u64,
        receipts: &[Vec<u8>],
        evidence: Vec<u8>,
    ) -> Result<Vec<u8>, NodeFault> {
        let speakers = pinned_speakers(receipts, &self.selector)
            .map_err(|fault| NodeFault::Malformed { expected: "receipts".to_owned(), got: fault.to_string() })?;
        let mut told = Vec::with_capacity(speakers.len());
        for (contract, pin) in speakers {
            told.push(Told::ask(node, height, contract, pin).await?);
        }
        let proofs: Vec<CodeProof<'_>> = told.iter().map(Told::proof).collect();
        for (proof, told) in proofs.iter().zip(&told) {
            self.check(proof, told, height)?;
        }
        Ok(join(&evidence, &proofs))
    }

    fn check(&self, proof: &CodeProof<'_>, told: &Told, height: u64) -> Result<(), NodeFault> {
        let (contract, block) = (told.contract, height);
        match proof.judge(&told.pin, self.roots, &mut Budget::for_evidence()) {
            Ok(Shown::Control(Control::Changed)) => {
                // Said once a block and contract: its events are `skipped` leaves until an operator pins anew.
                tracing::warn!(%contract, block, pinned = %told.pin.code(), "code-changed: at this block or the one before it \
                    the contract's code or implementation is not the one that the lane pins");
                Ok(())
            }
            Ok(Shown::Control(_)) => Ok(()),
            Ok(Shown::CodeMissing) => Err(lying(block, contract, "no code where its account names some")),
            Err(fault) => Err(lying(block, contract, &fault.to_string())),
        }
    }
}

fn lying(block: u64, contract: Address, fault: &str) -> NodeFault {
    NodeFault::Lying(format!("code of {contract} at block {block}: {fault}"))
}

/// What a node told of one contract.
struct Told {
    contract: Address,
    pin: Pin,
    code: Vec<u8>,
    now: State,
    before: Option<State>,
}

/// The state at one block.
struct State {
    contract: GetProof,
    implementation: Option<GetProof>,
}

impl Told {
    async fn ask(node: &Node, height: u64, contract: Address, pin: Pin) -> Result<Self, NodeFault> {
        let now = State::ask(node, height, contract, &pin).await?;
        let before = match height.checked_sub(1) {
            Some(before) => Some(State::ask(node, before, contract, &pin).await?),
            None => None,
        };
        let code = match pin.decisive(contract) {
            Some((address, _)) => code_of(node, height, address).await?,
            None => Vec::new(),
        };
        Ok(Self { contract, pin, code, now, before })
    }

    fn proof(&self) -> CodeProof<'_> {
        let before = self.before.as_ref().map(|state| state.proof(&self.pin)).unwrap_or_default();
        CodeProof { address: self.contract, code: &self.code, now: self.now.proof(&self.pin), before }
    }
}

impl State {
    async fn ask(node: &Node, height: u64, contract: Address, pin: &Pin) -> Result<Self, NodeFault> {
        let behind = pin.implementation();
        let slots: Vec<_> = behind.and_then(|behind| behind.slot.slot()).into_iter().collect();
        let implementation = match behind {
            Some(behind) => Some(get_proof(node, height, behind.address, &[]).await?),
            None => None,
        };
        Ok(Self { contract: get_proof(node, height, contract, &slots).await?, implementation })
    }

    fn proof(&self, pin: &Pin) -> StateProof<'_> {
        let slot = pin.implementation().and_then(|behind| behind.slot.slot());
        StateProof {
            account: self.contract.account_nodes(),
            slot: slot.map(|slot| self.contract.slot_nodes(slot)).unwrap_or_default(),
            implementation: self.implementation.as_ref().map(GetProof::account_nodes).unwrap_or_default(),
        }
    }
}

/// What a node answers to `eth_getProof` at one block.
pub(crate) async fn get_proof(
    node: &Node,
    height: u64,
    address: Address,
    slots: &[Hash32],
) -> Result<GetProof, NodeFault> {
    let answer = node.state(&[Call::new(GET_PROOF, json!([address, slots, quantity(height)]))]).await?;
    let raw = answer.into_iter().next().flatten().ok_or_else(|| not_kept(height))?;
    GetProof::parse(raw.get().as_bytes())
        .map_err(|fault| NodeFault::Malformed { expected: fault.expected().to_owned(), got: fault.got().to_owned() })
}

pub(crate) fn not_kept(height: u64) -> NodeFault {
    NodeFault::Pruned(format!("the state of block {height}, of which proofs are wanted"))
}

async fn code_of(node: &Node, height: u64, address: Address) -> Result<Vec<u8>, NodeFault> {
    let answer = node.state(&[Call::new(GET_CODE, json!([address, quantity(height)]))]).await?;
    let raw = answer.into_iter().next().flatten().ok_or_else(|| not_kept(height))?;
    let text: Text<'_> = serde_json::from_str(raw.get()).map_err(|error| NodeFault::Malformed {
        expected: format!("a result of {GET_CODE}"),
        got: error.to_string(),
    })?;
    Ok(text.data(GET_CODE)?)
}
