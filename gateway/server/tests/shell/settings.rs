//! `check-config` over real files: everything that is wrong, at once, each with its line.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use hufu_gateway_server::config::{ConfigFault, GatewayConfig};
use hufu_schemas_core::Timestamp;

use crate::support::{Authority, LEDGER, Leaf, config_text};

const MAPPING: &str = r#"mapping: "1"
id: example.rights
version: 1.0.0
source: {family: sim}
target: {type: property-right, schema: "1.0"}
rules:
  - when: [{path: /event, equals: Never}]
    set:
      /key: {path: /args/number}
      /issuer/uscc: {path: /args/issuer}
    unmapped: drop
"#;

fn now() -> Timestamp {
    Timestamp::from_rfc3339_utc("2026-11-21T00:00:00Z").unwrap()
}

fn secret(path: &Path, text: &str) {
    fs::write(path, text).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
}

/// A folder in which everything is right.
fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let authority = Authority::new("Land registry");
    let leaf = authority.leaf(&["urn:hufu:gateway:land.example"], 2040);
    install(folder.path(), &leaf);
    fs::write(at("authorities.pem"), &authority.pem).unwrap();
    fs::write(at("policy.toml"), policy()).unwrap();
    fs::write(at("land.db"), "").unwrap();
    fs::create_dir(at("schemas")).unwrap();
    secret(&at("log.key"), &"11".repeat(32));
    for lane in ["rights", "private"] {
        fs::write(at(&format!("{lane}.yaml")), MAPPING).unwrap();
        secret(&at(&format!("{lane}.tag")), &format!("{}\n", "22".repeat(32)));
    }
    fs::write(at("gateway.toml"), config_text()).unwrap();
    folder
}

fn install(folder: &Path, leaf: &Leaf) {
    fs::write(folder.join("gateway.pem"), &leaf.pem).unwrap();
    secret(&folder.join("gateway.key"), &leaf.key_pem);
}

fn policy() -> String {
    let key = hufu_schemas_core::signature::NoteSigner::from_seed("tax.example", &[1; 32]).unwrap().verifier();
    format!(
        "policy = 1\n\n[[ledger]]\nid = \"{LEDGER}\"\nanchor = {{ family = \"sim\" }}\n\n[[peer]]\n\
         gateway = \"tax.example\"\norganisation = \"tax-office\"\nlog_keys = [\"{key}\"]\n\n[[lane]]\n\
         id = \"tax.example/clearance/1\"\ntypes = [\"generic\"]\nissuers = [\"91350100M000100Y43\"]\n"
    )
}

fn check(folder: &Path) -> Vec<ConfigFault> {
    GatewayConfig::load(&folder.join("gateway.toml")).unwrap().check(now())
}

/// Exactly one fault, with these words.
fn only(folder: &Path, words: &str) -> ConfigFault {
    let faults = check(folder);
    assert_eq!(faults.len(), 1, "{words}: {faults:#?}");
    assert!(faults[0].message.contains(words), "{words}: {}", faults[0]);
    faults[0].clone()
}

#[test]
fn a_folder_in_which_everything_is_right() {
    let folder = folder();
    assert_eq!(check(folder.path()), []);
    let config = GatewayConfig::load(&folder.path().join("gateway.toml")).unwrap();
    let materials = config.materials().unwrap();
    assert_eq!(materials.log_seed.expose(), &[0x11; 32]);
    assert_eq!((materials.mappings.len(), materials.tag_keys.len(), materials.tls.certificates.len()), (2, 2, 1));
    let shown = format!("{materials:?}");
    assert!(!shown.contains("1111111111") && !shown.contains("17, 17"), "secrets do not print: {shown}");
}

#[test]
fn every_missing_file_is_named_at_once() {
    let folder = folder();
    let names = [
        "land.db",
        "policy.toml",
        "log.key",
        "gateway.pem",
        "gateway.key",
        "authorities.pem",
        "rights.yaml",
        "rights.tag",
        "private.yaml",
        "private.tag",
    ];
    for name in names {
        fs::remove_file(folder.path().join(name)).unwrap();
    }
    fs::remove_dir(folder.path().join("schemas")).unwrap();
    let faults = check(folder.path());
    let text = config_text();
    for name in names.iter().chain(&["schemas"]) {
        let fault = faults.iter().find(|fault| fault.message.contains(&format!("/{name}")));
        let fault = fault.unwrap_or_else(|| panic!("{name} in {faults:#?}"));
        let line = text.lines().nth(fault.line - 1).unwrap();
        assert!(line.contains(&format!("\"{name}\"")), "{fault} points at {line:?}");
        assert!(fault.file.ends_with("gateway.toml"), "{fault}");
    }
    assert_eq!(faults.len(), names.len() + 1, "{faults:#?}");
}

#[test]
fn keys_that_others_may_read_are_refused() {
    for name in ["log.key", "rights.tag", "gateway.key"] {
        let folder = folder();
        fs::set_permissions(folder.path().join(name), fs::Permissions::from_mode(0o640)).unwrap();
        assert!(only(folder.path(), "0600").message.contains("got 0640"));
    }
}

#[test]
fn keys_that_are_none_are_refused_without_repeating_them() {
    for text in ["abcdef", &"zz".repeat(32), &"11".repeat(33), ""] {
        let folder = folder();
        secret(&folder.path().join("log.key"), text);
        let fault = only(folder.path(), "64 hex digits");
        assert!(text.is_empty() || !fault.message.contains(text), "{fault}");
    }
    let folder = folder();
    secret(&folder.path().join("log.key"), &"00".repeat(32));
    only(folder.path(), "zeros");
}

#[test]
fn certificates_that_cannot_serve_are_refused() {
    let other = Authority::new("Land registry").leaf(&[], 2040);
    let folder = folder();
    secret(&folder.path().join("gateway.key"), &other.key_pem);
    only(folder.path(), "cannot be used with the key");
    secret(&folder.path().join("gateway.key"), "not PEM");
    only(folder.path(), "private key in PEM");
    install(folder.path(), &Authority::new("Land registry").leaf(&[], 2021));
    only(folder.path(), "valid from 2020-01-01T00:00:00Z until 2021-01-01T00:00:00Z");
    install(folder.path(), &other);
    fs::write(folder.path().join("authorities.pem"), "nothing").unwrap();
    only(folder.path(), "at least one PEM certificate");
}

#[test]
fn files_that_do_not_parse_point_at_their_own_line() {
    let folder = folder();
    fs::write(folder.path().join("policy.toml"), policy().replace("issuers", "isuers")).unwrap();
    let fault = only(folder.path(), "isuers");
    assert!(fault.file.ends_with("policy.toml") && fault.line == 15, "{fault}");
    fs::write(folder.path().join("policy.toml"), policy()).unwrap();
    fs::write(folder.path().join("rights.yaml"), MAPPING.replace("version: 1.0.0\n", "")).unwrap();
    let faults = check(folder.path());
    assert!(faults.iter().all(|fault| fault.file.ends_with("rights.yaml")) && !faults.is_empty(), "{faults:#?}");
    fs::write(folder.path().join("rights.yaml"), MAPPING.replace("family: sim", "family: other")).unwrap();
    only(folder.path(), "source.family");
    fs::write(folder.path().join("rights.yaml"), MAPPING).unwrap();
    fs::write(folder.path().join("schemas/clearance.json"), "{\"$id\":1,\"$id\":2}").unwrap();
    only(folder.path(), "clearance.json");
    fs::write(folder.path().join("schemas/clearance.json"), "{}").unwrap();
    only(folder.path(), "clearance.json");
}

#[test]
fn what_the_policy_does_not_know_is_named() {
    let folder = folder();
    let without = policy().replace(LEDGER, "sim:22222222222222222222222222222222");
    fs::write(folder.path().join("policy.toml"), without).unwrap();
    let fault = only(folder.path(), "has no anchor");
    assert_eq!(config_text().lines().nth(fault.line - 1).unwrap(), "source = { family = \"sim\" }");
    fs::write(folder.path().join("policy.toml"), policy().replace("clearance/1", "clearance/2")).unwrap();
    only(folder.path(), "does not accept");
}
