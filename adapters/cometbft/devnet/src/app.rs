//! The application of the ledger: notices by key, and transactions that set, delete, fail, or change validators. State,
//! proofs and results are those of the application that the real-node suite runs in real CometBFT networks.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::merkle::Hash;
use crate::tree::Tree;
use crate::validators::Update;
use crate::wire::Message;

/// The one store of the state.
pub const STORE: &str = "notices";
/// What the application calls its own version; it stands in headers.
pub const VERSION: u64 = 1;
/// Code of a transaction that cannot be read.
pub const CODE_UNREADABLE: u32 = 2;

/// The state: values by key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct State {
    notices: BTreeMap<Vec<u8>, Vec<u8>>,
}

impl Default for State {
    /// One key from the start, as a module writes its counter at genesis. `delete about` leaves an empty tree.
    fn default() -> Self {
        Self { notices: BTreeMap::from([(b"about".to_vec(), STORE.as_bytes().to_vec())]) }
    }
}

/// A proof operator as nodes answer it: what it is about, and the `CommitmentProof` of ICS-23.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProofOp {
    /// The key in the store, or the store's name.
    pub key: Vec<u8>,
    /// Bytes of the proof.
    pub data: Vec<u8>,
}

impl State {
    /// The value at a key.
    pub fn get(&self, key: impl AsRef<[u8]>) -> Option<&[u8]> {
        self.notices.get(key.as_ref()).map(Vec::as_slice)
    }

    /// `app_hash` of the header above.
    pub fn hash(&self) -> Hash {
        self.stores().root()
    }

    /// The key in its store or its absence there, then the store under `app_hash`.
    pub fn prove(&self, key: impl AsRef<[u8]>) -> [ProofOp; 2] {
        let key = key.as_ref();
        [
            ProofOp { key: key.to_vec(), data: self.store().prove(key) },
            ProofOp { key: STORE.as_bytes().to_vec(), data: self.stores().prove(STORE.as_bytes()) },
        ]
    }

    fn store(&self) -> Tree {
        Tree::new(self.notices.iter().map(|(key, value)| (key.clone(), value.clone())))
    }

    fn stores(&self) -> Tree {
        Tree::new([(STORE.as_bytes().to_vec(), self.store().root().to_vec())])
    }

    /// Runs one transaction.
    pub fn run(&mut self, tx: &[u8]) -> (TxResult, Option<Update>) {
        let command = match Command::parse(tx) {
            Ok(command) => command,
            Err(log) => return (TxResult { code: CODE_UNREADABLE, log, ..TxResult::used() }, None),
        };
        let mut result = TxResult { data: command.key().as_bytes().to_vec(), ..TxResult::used() };
        match command {
            Command::Put { key, value } => {
                let attribute = |name: &str, value: &str| (name.to_owned(), value.to_owned());
                result.events = vec![Event {
                    kind: "notice".to_owned(),
                    attributes: vec![attribute("key", &key), attribute("value", &value)],
                }];
                self.notices.insert(key.into_bytes(), value.into_bytes());
            }
            Command::Delete { key } => {
                self.notices.remove(key.as_bytes());
            }
            Command::Fail { code } => result.code = code,
            Command::Validator(update) => return (result, Some(update)),
        }
        (result, None)
    }
}

/// An event of a transaction; nothing that validators sign commits to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// Its type.
    pub kind: String,
    /// Names and values.
    pub attributes: Vec<(String, String)>,
}

/// What became of a transaction.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TxResult {
    /// 0 where it did what it asked for.
    pub code: u32,
    /// The key it was about.
    pub data: Vec<u8>,
    /// Why it failed.
    pub log: String,
    /// Gas it asked for.
    pub gas_wanted: i64,
    /// Gas it took.
    pub gas_used: i64,
    /// What it announced.
    pub events: Vec<Event>,
}

impl TxResult {
    /// Every transaction costs 1.
    fn used() -> Self {
        Self { gas_wanted: 1, gas_used: 1, ..Self::default() }
    }

    /// The part that `last_results_hash` covers: `ExecTxResult{code = 1, data = 2, gas_wanted = 5, gas_used = 6}`
    /// (`abci/types`, `DeterministicExecTxResult`).
    pub fn encode(&self) -> Vec<u8> {
        Message::new()
            .number(1, u64::from(self.code))
            .bytes(2, &self.data)
            .signed(5, self.gas_wanted)
            .signed(6, self.gas_used)
            .finish()
    }
}

/// What a transaction asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// `put KEY=VALUE`.
    Put {
        /// At least one letter, without `=`.
        key: String,
        /// At least one letter.
        value: String,
    },
    /// `delete KEY`.
    Delete {
        /// The key; it need not be there.
        key: String,
    },
    /// `fail CODE`: is included and fails.
    Fail {
        /// Not 0.
        code: u32,
    },
    /// `val=ed25519!BASE64!POWER`.
    Validator(Update),
}

impl Command {
    /// Reads a transaction.
    ///
    /// # Errors
    /// What was expected, in the application's words.
    pub fn parse(tx: &[u8]) -> Result<Self, String> {
        let Ok(text) = std::str::from_utf8(tx) else {
            return Err("expected UTF-8, got other bytes".to_owned());
        };
        if let Some(rest) = text.strip_prefix("val=") {
            return validator(rest).map(Self::Validator);
        }
        let (verb, rest) = text.split_once(' ').unwrap_or((text, ""));
        match verb {
            "put" => match rest.split_once('=') {
                Some((key, value)) if !key.is_empty() && !value.is_empty() => {
                    Ok(Self::Put { key: key.to_owned(), value: value.to_owned() })
                }
                _ => Err(format!("expected put KEY=VALUE, got {text:?}")),
            },
            "delete" => Ok(Self::Delete { key: rest.to_owned() }),
            "fail" => {
                let code = rest.parse().ok().filter(|code| *code != 0);
                code.map(|code| Self::Fail { code }).ok_or_else(|| format!("expected fail CODE, got {text:?}"))
            }
            _ => Err(format!("expected put, delete, fail or val=, got {text:?}")),
        }
    }

    fn key(&self) -> &str {
        match self {
            Self::Put { key, .. } | Self::Delete { key } => key,
            Self::Fail { .. } | Self::Validator(_) => "",
        }
    }

    /// The transaction that gives a validator a power.
    pub fn set_power(update: &Update) -> Vec<u8> {
        format!("val=ed25519!{}!{}", STANDARD.encode(update.public_key), update.power).into_bytes()
    }
}

fn validator(text: &str) -> Result<Update, String> {
    let mut parts = text.split('!');
    let (Some("ed25519"), Some(key), Some(power), None) = (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return Err(format!("expected ed25519!BASE64!POWER, got {text:?}"));
    };
    let public_key = STANDARD.decode(key).ok().and_then(|bytes| bytes.try_into().ok());
    let public_key = public_key.ok_or_else(|| format!("expected a key of 32 bytes, got {key:?}"))?;
    let power: u32 = power.parse().map_err(|_| format!("expected a power, got {power:?}"))?;
    Ok(Update { public_key, power: i64::from(power) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn transactions_that_cannot_be_read_fail_with_a_code_and_change_nothing() {
        let mut state = State::default();
        for tx in [
            "",
            "put",
            "put =1",
            "put a=",
            "fail",
            "fail 0",
            "fail x",
            "val=",
            "val=ed25519!AA==!1",
            "else",
            "putx a=b",
        ] {
            let (result, update) = state.run(tx.as_bytes());
            assert_eq!((result.code, update), (CODE_UNREADABLE, None), "{tx}");
            assert!(result.log.starts_with("expected"), "{tx}");
        }
        assert_eq!(state.run(&[0xff]).0.code, CODE_UNREADABLE);
        assert_eq!(state, State::default());
    }

    #[test]
    fn what_is_put_is_there_until_it_is_deleted() {
        let mut state = State::default();
        assert_eq!(state.run(b"put a=b=c").0.data, b"a");
        assert_eq!(state.get("a"), Some(&b"b=c"[..]));
        state.run(b"delete a");
        assert_eq!(state, State::default());
        assert_eq!(state.run(b"fail 7").0.code, 7);
    }

    #[test]
    fn a_power_is_read_as_it_is_written() {
        let update = Update { public_key: [7; 32], power: 12 };
        assert_eq!(Command::parse(&Command::set_power(&update)), Ok(Command::Validator(update)));
    }
}
