//! A ledger with a register of certificates on it.

use hufu_evm_devnet::{Devnet, DevnetConfig, registry};
use hufu_evm_light_client::keccak::keccak256;
use hufu_schemas_core::LedgerId;

/// Genesis of every ledger here; blocks follow a second apart.
pub(crate) const GENESIS: u64 = 1_767_225_600;
/// The issuer of every certificate here.
pub(crate) const ISSUER: &str = "11430000006122244L";
/// The holder of every certificate here; its digits stand in every receipt.
pub(crate) const HOLDER: &str = "91350100M000100Y43";

/// A ledger with a register on it; blocks come when a test says so.
pub(crate) struct Ledger {
    pub(crate) devnet: Devnet,
    pub(crate) contract: [u8; 20],
    pub(crate) id: LedgerId,
    consensus: String,
}

impl Ledger {
    /// With the register in block 1.
    pub(crate) async fn start() -> Self {
        Self::of_seed(7).await
    }

    pub(crate) async fn of_seed(seed: u8) -> Self {
        Self::grown(Self::devnet(seed).await, "\"qbft\"".to_owned())
    }

    /// One that nobody seals, trusted with two blocks on top, which may go back by `limit` trusted blocks.
    pub(crate) async fn unsealed(limit: u64) -> Self {
        let devnet = Self::devnet(8).await;
        devnet.seal_no_more();
        Self::grown(devnet, format!("\"unsealed\", confirmations = 2, reorganisation_limit = {limit}"))
    }

    async fn devnet(seed: u8) -> Devnet {
        let config = DevnetConfig { seed: [seed; 32], genesis_time: GENESIS, ..DevnetConfig::default() };
        Devnet::start(config).await.unwrap()
    }

    fn grown(devnet: Devnet, consensus: String) -> Self {
        let contract = devnet.deploy_registry();
        devnet.mine().unwrap();
        let id = LedgerId::of_genesis("evm", &devnet.genesis_hash()).unwrap();
        Self { devnet, contract, id, consensus }
    }

    /// A certificate in the next block.
    pub(crate) fn certify(&self, number: u32) {
        self.emit(&certificate(number, "01", "01"));
    }

    /// The end of a certificate, in the next block.
    pub(crate) fn revoke(&self, number: u32) {
        self.emit(&certificate(number, "05", "04"));
    }

    /// Logs that are not the register's, in the next block; its filter cannot tell them from one that is: the register
    /// speaks of something else, and another contract says what the register might.
    pub(crate) fn murmur(&self) {
        let topic = *keccak256(registry::CERTIFICATE_CHANGED.as_bytes()).as_bytes();
        self.devnet.emit_log(self.contract, &[[7; 32]], b"something else");
        self.devnet.emit_log([9; 20], &[topic], b"somebody else");
    }

    /// An event whose state has no meaning in law: the mapping cannot say what it is.
    pub(crate) fn certify_without_meaning(&self, number: u32) {
        self.emit(&certificate(number, "01", "99"));
    }

    fn emit(&self, args: &[String; 10]) {
        let args: Vec<&str> = args.iter().map(String::as_str).collect();
        self.devnet.emit_event(self.contract, registry::CERTIFICATE_CHANGED, &args).unwrap();
    }

    pub(crate) fn mine(&self) {
        self.devnet.mine().unwrap();
    }

    /// The operator's anchor of it: its first block.
    pub(crate) fn anchor(&self) -> String {
        format!(
            "[[ledger]]\nid = \"{}\"\nanchor = {{ family = \"evm\", consensus = {}, chain_id = {}, height = 0, hash = \"0x{}\" }}\n\n",
            self.id,
            self.consensus,
            self.devnet.chain_id(),
            hex::encode(self.devnet.genesis_hash()),
        )
    }
}

/// The arguments of an event of the register.
pub(crate) fn certificate(number: u32, operation: &str, state: &str) -> [String; 10] {
    let (class, serial) = ("11100000000013338W011", format!("2026{number:07}"));
    let check = certificate_check(&[class, ISSUER, &serial, "001"].concat());
    let id = format!("1.2.156.3005.2.{class}.{ISSUER}.{serial}.001.{check}");
    let paper = format!("湘(2026)第{number:07}号");
    [&id, operation, class, "营业执照", &paper, "示例科技有限公司", HOLDER, ISSUER, "20261121", state]
        .map(str::to_owned)
}

/// ISO 7064 MOD 37,36.
fn certificate_check(text: &str) -> char {
    const ALPHABET: &[u8; 36] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ";
    let mut carry = 36usize;
    for byte in text.bytes() {
        let sum = (carry + ALPHABET.iter().position(|it| *it == byte).unwrap()) % 36;
        carry = (if sum == 0 { 36 } else { sum }) * 2 % 37;
    }
    char::from(ALPHABET[(37 - carry) % 36])
}
