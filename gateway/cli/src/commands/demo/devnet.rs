//! The departments' ledgers: development ledgers of two families, and what is written on them.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use hufu_gateway_server::clock::{Clock as _, SystemClock};
use hufu_schemas_core::{Digest, LedgerId};

use crate::commands::key;

/// A block a second, as a department's ledger might; the first one a minute ago.
const BLOCK_TIME: Duration = Duration::from_secs(1);
const FIRST_BLOCK_AGO: u64 = 60;

/// What stands before the running number in a certificate's state key (schemas/mappings/certificate-state.yaml).
const CERTIFICATE_PREFIX: &str = "certificate/";

/// A family that the demo has a ledger of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Family {
    Evm,
    Cometbft,
}

/// A running ledger of one of them.
pub(super) enum Devnet {
    /// With a contract that emits the departments' events.
    Evm { ledger: hufu_evm_devnet::Devnet, contract: [u8; 20] },
    /// With an application that keeps a certificate under each running number.
    Cometbft { ledger: hufu_cometbft_devnet::Devnet, next: AtomicU64 },
}

impl Devnet {
    pub(super) async fn start(family: Family, name: &str) -> anyhow::Result<Self> {
        let seed = *Digest::of(&key::random()?).as_bytes();
        let genesis_time = SystemClock.now().seconds().saturating_sub(FIRST_BLOCK_AGO);
        let block_time = Some(BLOCK_TIME);
        match family {
            Family::Evm => {
                use hufu_evm_devnet::{Devnet, DevnetConfig};
                let config = DevnetConfig { seed, block_time, genesis_time, ..DevnetConfig::default() };
                let ledger = Devnet::start(config).await.map_err(|fault| anyhow::anyhow!("{fault}"))?;
                let contract = ledger.deploy_registry();
                Ok(Self::Evm { ledger, contract })
            }
            Family::Cometbft => {
                use hufu_cometbft_devnet::{Devnet, DevnetConfig};
                let chain_id = format!("{name}-1");
                let config = DevnetConfig { chain_id, seed, block_time, genesis_time, ..DevnetConfig::default() };
                let ledger = Devnet::start(config).await.map_err(|fault| anyhow::anyhow!("{fault}"))?;
                Ok(Self::Cometbft { ledger, next: AtomicU64::new(1) })
            }
        }
    }

    pub(super) fn evm(&self) -> anyhow::Result<&hufu_evm_devnet::Devnet> {
        match self {
            Self::Evm { ledger, .. } => Ok(ledger),
            Self::Cometbft { .. } => anyhow::bail!("expected an EVM ledger, got one of CometBFT"),
        }
    }

    pub(super) fn cometbft(&self) -> anyhow::Result<&hufu_cometbft_devnet::Devnet> {
        match self {
            Self::Cometbft { ledger, .. } => Ok(ledger),
            Self::Evm { .. } => anyhow::bail!("expected a CometBFT ledger, got one of EVM"),
        }
    }

    /// The family's name in ledger ids and configurations.
    pub(super) const fn family(&self) -> &'static str {
        match self {
            Self::Evm { .. } => "evm",
            Self::Cometbft { .. } => "cometbft",
        }
    }

    /// How its validators agree.
    pub(super) const fn consensus(&self) -> &'static str {
        match self {
            Self::Evm { .. } => "QBFT",
            Self::Cometbft { .. } => "CometBFT",
        }
    }

    pub(super) fn id(&self) -> anyhow::Result<LedgerId> {
        let genesis = match self {
            Self::Evm { ledger, .. } => ledger.genesis_hash(),
            Self::Cometbft { ledger, .. } => ledger.genesis_hash(),
        };
        Ok(LedgerId::of_genesis(self.family(), &genesis)?)
    }

    pub(super) fn url(&self) -> String {
        match self {
            Self::Evm { ledger, .. } => ledger.url(),
            Self::Cometbft { ledger, .. } => ledger.url(),
        }
    }

    pub(super) fn validators(&self) -> usize {
        match self {
            Self::Evm { ledger, .. } => ledger.validators().len(),
            Self::Cometbft { ledger, .. } => ledger.validators().len(),
        }
    }

    /// How many headers above a block must be known before anything in it is believed: CometBFT states a block's results in
    /// the next header.
    pub(super) const fn trails(&self) -> u64 {
        match self {
            Self::Evm { .. } => 0,
            Self::Cometbft { .. } => 1,
        }
    }

    /// The operators' anchor at the first block, as it stands in a policy.
    pub(super) fn anchor(&self) -> String {
        match self {
            Self::Evm { ledger, .. } => format!(
                "{{ family = \"evm\", consensus = \"qbft\", chain_id = {}, height = 0, hash = \"0x{}\" }}",
                ledger.chain_id(),
                hex::encode(ledger.genesis_hash()),
            ),
            Self::Cometbft { ledger, .. } => format!(
                "{{ family = \"cometbft\", chain_id = \"{}\", height = 1, hash = \"{}\", trusting_period = {} }}",
                ledger.chain_id(),
                hex::encode(ledger.genesis_hash()),
                hufu_cometbft_devnet::TRUSTING_PERIOD,
            ),
        }
    }

    /// Where the department's items are, as its mapping writes it: a contract, or a store.
    pub(super) fn place(&self) -> String {
        match self {
            Self::Evm { contract, .. } => format!("0x{}", hex::encode(contract)),
            Self::Cometbft { .. } => format!("store: {}", hufu_cometbft_devnet::app::STORE),
        }
    }

    /// Has the contract emit an event.
    pub(super) fn emit(&self, signature: &str, args: &[&str]) -> anyhow::Result<()> {
        let Self::Evm { ledger, contract } = self else {
            anyhow::bail!("expected an EVM ledger for {signature}, got one of CometBFT");
        };
        ledger.emit_event(*contract, signature, args).map_err(|fault| anyhow::anyhow!("{fault}"))?;
        Ok(())
    }

    /// Writes a certificate in the ledger's own way: as an event, or as JSON under the next number.
    pub(super) fn write_certificate(&self, certificate: &Certificate) -> anyhow::Result<()> {
        match self {
            Self::Evm { .. } => {
                let args: Vec<&str> = certificate.0.iter().map(|(_, value)| value.as_str()).collect();
                self.emit(hufu_evm_devnet::registry::CERTIFICATE_CHANGED, &args)
            }
            Self::Cometbft { ledger, next } => {
                let number = next.fetch_add(1, Ordering::Relaxed).to_be_bytes();
                // Numbers below 61 are letters of one byte each, and none is the `=` at which the application cuts.
                let key = format!("{CERTIFICATE_PREFIX}{}", std::str::from_utf8(&number)?);
                ledger.put(&key, &certificate.json()).map_err(|fault| anyhow::anyhow!("{fault}"))?;
                Ok(())
            }
        }
    }
}

/// What a register says of one certificate: names and values in the order of the EVM event.
pub(super) struct Certificate([(&'static str, String); 10]);

impl Certificate {
    /// A certificate about an organisation, said to be issued by `issuer`.
    pub(super) fn new(number: u32, operation: &str, state: &str, issuer: &str) -> Self {
        let class = "11100000000013338W011";
        Self([
            ("certificateId", certificate_id(number, class, issuer)),
            ("operation", operation.to_owned()),
            ("classCode", class.to_owned()),
            ("className", "营业执照".to_owned()),
            ("number", format!("湘(2026)第{number:07}号")),
            ("name", "示例科技有限公司".to_owned()),
            ("holderUscc", HOLDER.to_owned()),
            ("issuerUscc", issuer.to_owned()),
            ("issuedOn", "20261121".to_owned()),
            ("state", state.to_owned()),
        ])
    }

    pub(super) fn id(&self) -> &str {
        let [(_, id), ..] = &self.0;
        id
    }

    fn json(&self) -> String {
        let fields = self.0.iter().map(|(name, value)| ((*name).to_owned(), value.clone().into()));
        serde_json::Value::Object(fields.collect()).to_string()
    }
}

/// The organisation that the certificates are about.
pub(super) const HOLDER: &str = "91350100M000100Y43";

fn certificate_id(number: u32, class: &str, issuer: &str) -> String {
    let serial = format!("2026{number:07}");
    let check = certificate_check(class, issuer, &serial, "001");
    format!("1.2.156.3005.2.{class}.{issuer}.{serial}.001.{check}")
}

/// ISO 7064 MOD 37,36 over the four parts without dots (records.md 2.1.4).
fn certificate_check(class: &str, issuer: &str, serial: &str, version: &str) -> char {
    const ALPHABET: &[u8; 36] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ";
    let text = [class, issuer, serial, version].concat();
    let mut carry = 36usize;
    for byte in text.bytes() {
        let value = ALPHABET.iter().position(|it| *it == byte).unwrap_or(0);
        let sum = (carry + value) % 36;
        carry = (if sum == 0 { 36 } else { sum }) * 2 % 37;
    }
    ALPHABET.get((37 - carry) % 36).copied().map_or('0', char::from)
}
