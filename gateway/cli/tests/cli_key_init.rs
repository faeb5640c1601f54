//! `hufu key`, `hufu init`, `hufu check-config`.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod support;

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use hufu_schemas_core::Digest;
use hufu_schemas_core::signature::NoteKey;
use support::{hufu, text};

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[test]
fn a_log_key_is_secret_and_its_public_half_is_a_verifier_key() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("log.key");
    let made = hufu(&["key", "new", "--out", text(&file), "--name", "land.example", "--json"]);
    assert_eq!(made.code, 0, "{made}");
    let vkey = made.json()["vkey"].as_str().unwrap().to_owned();
    assert_eq!(NoteKey::parse(&vkey).unwrap().name(), "land.example");
    assert_eq!(mode(&file), 0o600);
    let seed = fs::read_to_string(&file).unwrap();
    assert_eq!(hex::decode(seed.trim()).unwrap().len(), 32);
    assert!(!made.stdout.contains(seed.trim()), "the secret is not shown");
    let shown = hufu(&["key", "show", text(&file), "--name", "land.example"]);
    assert_eq!(shown.stdout.trim(), vkey);
}

#[test]
fn an_existing_key_is_never_overwritten() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("a.key");
    for kind in ["log", "tag", "token", "tls"] {
        fs::write(&file, "mine").unwrap();
        let ran = hufu(&["key", "new", "--kind", kind, "--out", text(&file), "--name", "land.example"]);
        assert_eq!(ran.code, 2, "{kind}: {ran}");
        assert!(ran.stderr.contains("never overwritten"), "{kind}: {ran}");
        assert_eq!(fs::read_to_string(&file).unwrap(), "mine", "{kind}");
    }
}

#[test]
fn a_token_is_shown_once_with_the_digest_for_the_configuration() {
    let made = hufu(&["--json", "key", "new", "--kind", "token"]).json();
    let token = made["token"].as_str().unwrap();
    assert_eq!(made["token_sha256"], Digest::of(token.as_bytes()).to_hex());
    let again = hufu(&["--json", "key", "new", "--kind", "token"]).json();
    assert_ne!(again["token"], made["token"]);
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("token");
    let made = hufu(&["key", "new", "--kind", "token", "--out", text(&file), "--json"]).json();
    assert!(made.get("token").is_none(), "what went into a file is not printed too");
    assert_eq!(mode(&file), 0o600);
    assert_eq!(made["token_sha256"], Digest::of(fs::read_to_string(&file).unwrap().trim().as_bytes()).to_hex());
}

#[test]
fn tag_and_tls_keys_are_for_their_owner_alone() {
    let folder = tempfile::tempdir().unwrap();
    let tag = folder.path().join("tag.key");
    assert_eq!(hufu(&["key", "new", "--kind", "tag", "--out", text(&tag)]).code, 0);
    assert_eq!(hex::decode(fs::read_to_string(&tag).unwrap().trim()).unwrap().len(), 32);
    let tls = folder.path().join("server.key");
    let ran = hufu(&["key", "new", "--kind", "tls", "--out", text(&tls), "--name", "land.example"]);
    assert_eq!(ran.code, 0, "{ran}");
    assert!(fs::read_to_string(folder.path().join("server.csr")).unwrap().contains("CERTIFICATE REQUEST"));
    assert_eq!((mode(&tag), mode(&tls)), (0o600, 0o600));
}

#[test]
fn a_new_folder_has_all_a_gateway_starts_from_and_passes_the_check() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("land");
    let ran = hufu(&["init", text(&dir), "--name", "land.example", "--json"]);
    assert_eq!(ran.code, 0, "{ran}");
    assert!(NoteKey::parse(ran.json()["vkey"].as_str().unwrap()).is_ok());
    for secret in ["keys/log.key", "keys/tag.key", "tls/trial-server.key", "tls/trial-relayer.key"] {
        assert_eq!(mode(&dir.join(secret)), 0o600, "{secret}");
    }
    assert!(!dir.join("tls/trial-ca.key").exists(), "the trial authority's key is thrown away");
    for mapping in ["certificate", "clearance", "property-right"] {
        let file = dir.join("mappings").join(mapping).with_extension("yaml");
        assert_eq!(hufu(&["map", "test", text(&file)]).code, 0, "{mapping}");
    }
    let config = dir.join("gateway.toml");
    let checked = hufu(&["check-config", text(&config), "--json"]);
    assert_eq!(checked.code, 0, "{checked}");
    assert_eq!(checked.json()["ok"], true);
    let again = hufu(&["init", text(&dir), "--name", "land.example"]);
    assert_eq!(again.code, 2, "a folder with files is refused: {again}");
}

#[test]
fn what_the_templates_show_as_comments_is_what_the_parsers_take() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("land");
    assert_eq!(hufu(&["init", text(&dir), "--name", "land.example"]).code, 0);
    let key = folder.path().join("notary.key");
    let vkey = hufu(&["key", "new", "--out", text(&key), "--name", "notary.example"]);
    let vkey = vkey.stdout.lines().next().unwrap().to_owned();
    for file in ["gateway.toml", "policy.toml"] {
        let written = fs::read_to_string(dir.join(file)).unwrap();
        let open: Vec<String> = written.lines().map(uncomment).collect();
        let open = open.join("\n").replace("notary.example+00000000+AAAA", &vkey);
        fs::write(dir.join(file), open).unwrap();
    }
    let checked = hufu(&["check-config", text(&dir.join("gateway.toml"))]);
    assert_eq!(checked.code, 0, "{checked}");
}

/// Opens an example (`# [[lane]]`, `# name = …`), leaves words alone.
fn uncomment(line: &str) -> String {
    let Some(inner) = line.strip_prefix("# ") else { return line.to_owned() };
    let key = inner.split(" = ").next().unwrap_or_default();
    let is_key = inner.contains(" = ")
        && key.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_' || byte.is_ascii_digit());
    if inner.starts_with("[[") || is_key { inner.to_owned() } else { line.to_owned() }
}

#[test]
fn a_configuration_with_a_typo_is_refused_at_its_line() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("land");
    assert_eq!(hufu(&["init", text(&dir), "--name", "land.example"]).code, 0);
    let config = dir.join("gateway.toml");
    let good = fs::read_to_string(&config).unwrap();
    fs::write(&config, good.replace("log_key =", "log_keys =")).unwrap();
    let ran = hufu(&["check-config", text(&config), "--json"]);
    assert_eq!(ran.code, 1, "{ran}");
    let fault = &ran.json()["faults"][0];
    let line = 1 + good.lines().position(|line| line.starts_with("log_key =")).unwrap();
    assert_eq!(fault["line"], line, "{ran}");
    let ran = hufu(&["check-config", text(&config)]);
    assert!(ran.stdout.contains(&format!("gateway.toml:{line}:")), "{ran}");
}

#[test]
fn every_missing_file_is_named_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("land");
    assert_eq!(hufu(&["init", text(&dir), "--name", "land.example"]).code, 0);
    fs::remove_file(dir.join("keys/log.key")).unwrap();
    fs::remove_file(dir.join("tls/trial-ca.pem")).unwrap();
    let ran = hufu(&["check-config", text(&dir.join("gateway.toml")), "--json"]);
    assert_eq!(ran.code, 1, "{ran}");
    assert_eq!(ran.json()["faults"].as_array().unwrap().len(), 2, "{ran}");
}

#[test]
fn a_gateway_name_with_capitals_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let ran = hufu(&["init", text(&folder.path().join("x")), "--name", "Land.Example"]);
    assert_eq!(ran.code, 2, "{ran}");
    assert!(!folder.path().join("x").exists());
}

#[test]
fn a_mistake_in_an_anchor_or_in_the_settings_of_a_node_is_found_with_its_line_before_a_start() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("land");
    assert_eq!(hufu(&["init", text(&dir), "--name", "land.example"]).code, 0);
    let (config, policy) = (dir.join("gateway.toml"), dir.join("policy.toml"));
    let plain = (fs::read_to_string(&config).unwrap(), fs::read_to_string(&policy).unwrap());
    let id = format!("evm:{}", "ab".repeat(16));
    let anchor =
        format!("anchor = {{ family = \"evm\", consensus = \"qbft\", height = 0, hash = \"0x{}\" }}", "ab".repeat(32));
    let source = "source = { family = \"evm\", nodes = [{ name = \"own\", url = \"http://127.0.0.1:8545\" }] }";
    let write = |anchor: &str, source: &str| {
        fs::write(&policy, format!("{}\n[[ledger]]\nid = \"{id}\"\n{anchor}\n", plain.1)).unwrap();
        fs::write(&config, format!("{}\n[[ledger]]\nid = \"{id}\"\n{source}\n", plain.0)).unwrap();
    };
    write(&anchor, source);
    let ran = hufu(&["check-config", text(&config)]);
    assert_eq!(ran.code, 0, "{ran}");
    let wrong = [
        (anchor.replace("qbft", "qbff"), source.to_owned(), "policy.toml", "anchor = ", "consensus"),
        (anchor.replace("height", "hieght"), source.to_owned(), "policy.toml", "anchor = ", "hieght"),
        (anchor.replace("0xab", "0xac"), source.to_owned(), "policy.toml", "anchor = ", "anchored at the genesis"),
        (anchor.clone(), source.replace("http", "htp"), "gateway.toml", "source = ", "http or https URL"),
        (anchor.clone(), source.replace("name", "nam"), "gateway.toml", "source = ", "nam"),
    ];
    for (anchor, source, file, line, word) in wrong {
        write(&anchor, &source);
        let checked = hufu(&["check-config", text(&config), "--json"]);
        assert_eq!(checked.code, 1, "{anchor} {source}: {checked}");
        let fault = &checked.json()["faults"][0];
        let written = fs::read_to_string(dir.join(file)).unwrap();
        let due = 1 + written.lines().position(|it| it.starts_with(line)).unwrap();
        assert!(fault["file"].as_str().unwrap().ends_with(file), "{checked}");
        assert_eq!(fault["line"], due, "{checked}");
        assert!(fault["message"].as_str().unwrap().contains(word), "{checked}");
        let started = hufu(&["gateway", "--config", text(&config)]);
        assert_eq!(started.code, 2, "{started}");
        assert!(started.stderr.contains(&format!("{file}:{due}:")), "{started}");
    }
}
