//! The examples that an operator copies must be read by the parsers that will read them.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::fs;
use std::path::PathBuf;

use hufu_gateway_server::config::GatewayConfig;
use hufu_gateway_verify::TrustPolicy;
use hufu_relayer::RelayerConfig;

fn example(name: &str) -> (String, String) {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../deploy/examples").join(name);
    let text = fs::read_to_string(&path).unwrap_or_else(|fault| panic!("{}: {fault}", path.display()));
    (name.to_owned(), text)
}

#[test]
fn the_example_configurations_parse() {
    let (name, text) = example("gateway.toml");
    GatewayConfig::parse(&name, &text).unwrap_or_else(|fault| panic!("{fault}"));
    let (name, text) = example("policy.toml");
    TrustPolicy::parse(&name, &text).unwrap_or_else(|fault| panic!("{fault}"));
    let (name, text) = example("relayer.toml");
    RelayerConfig::parse(&name, &text).unwrap_or_else(|fault| panic!("{fault:?}"));
}
