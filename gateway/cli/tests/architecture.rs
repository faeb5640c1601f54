//! The folder tree is the architecture (docs/architecture.md): who may use whom, what a pure crate may reach, and where
//! a vendor may be named. Facts come from `cargo metadata` and from the sources themselves.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use cargo_metadata::{DependencyKind, Metadata, MetadataCommand, Package};

/// Folders whose crates decide: no I/O, no clock, no randomness.
const PURE: [&str; 5] =
    ["schemas/core", "schemas/registry", "schemas/mapping", "adapters/light-client", "gateway/verify"];

/// Crates that do I/O, run tasks, or draw random numbers. A pure crate reaches none of them, at any depth. Not here:
/// `getrandom`, by which the hash maps of the JSON Schema validator seed themselves against flooding; no answer hangs on
/// it.
const IMPURE: [&str; 24] = [
    "tokio",
    "tokio-util",
    "async-std",
    "smol",
    "mio",
    "socket2",
    "hyper",
    "hyper-util",
    "h2",
    "reqwest",
    "axum",
    "tower",
    "rustls",
    "tokio-rustls",
    "native-tls",
    "openssl",
    "aws-lc-rs",
    "sqlx",
    "sqlx-core",
    "rusqlite",
    "libsqlite3-sys",
    "rand",
    "tempfile",
    "tracing-subscriber",
];

/// What a pure crate's own code must not name.
const IMPURE_STD: [&str; 6] = ["fs", "net", "env", "process", "thread", "io"];

/// Where a pure crate may name threads, and nothing else of the above: work on several cores whose answer is the same on
/// one (docs/decisions/0009).
const MAY_NAME_THREADS: [&str; 1] = ["adapters/evm/light-client/src/recover.rs"];

/// Names of vendors, their software and their consensus, as words of code.
const VENDORS: [&str; 16] = [
    "evm",
    "ethereum",
    "besu",
    "goquorum",
    "geth",
    "qbft",
    "ibft",
    "ibft1",
    "ibft2",
    "clique",
    "fabric",
    "hyperledger",
    "fisco",
    "bcos",
    "cometbft",
    "chainmaker",
];

/// Where a vendor may be named outside `adapters/<family>`, and why.
const MAY_NAME_VENDORS: [&str; 7] = [
    // The one table from a family's name to its code.
    "gateway/server/src/families.rs",
    // Commands that are about one family.
    "gateway/cli/src/commands/audit",
    "gateway/cli/src/commands/bench",
    "gateway/cli/src/commands/devnet.rs",
    "gateway/cli/src/commands/demo",
    // Examples in --help: of the top, and of anchors.
    "gateway/cli/src/cli.rs",
    "gateway/cli/src/commands/ledger",
];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap()
}

/// For this machine alone: packages of other systems need not be there.
fn metadata() -> Metadata {
    let version = Command::new("rustc").arg("-vV").output().unwrap();
    let version = String::from_utf8(version.stdout).unwrap();
    let host = version.lines().find_map(|line| line.strip_prefix("host: ")).unwrap();
    let options = ["--offline", "--filter-platform", host].map(str::to_owned);
    MetadataCommand::new().manifest_path(root().join("Cargo.toml")).other_options(options).exec().unwrap()
}

fn folder(package: &Package) -> String {
    let manifest = package.manifest_path.parent().unwrap().as_std_path().canonicalize().unwrap();
    manifest.strip_prefix(root()).unwrap().to_str().unwrap().to_owned()
}

/// Our crates, by folder.
fn ours(metadata: &Metadata) -> BTreeMap<String, &Package> {
    metadata.workspace_packages().into_iter().map(|package| (folder(package), package)).collect()
}

/// `("evm", "source")` of `adapters/evm/source`.
fn family(folder: &str) -> Option<(&str, &str)> {
    folder.strip_prefix("adapters/")?.split_once('/')
}

fn is_pure(folder: &str) -> bool {
    PURE.contains(&folder) || family(folder).is_some_and(|(_, role)| role == "light-client")
}

/// The allowed arrows (design, section 4): what a crate may use, besides itself.
fn allowed(from: &str, to: &str) -> bool {
    let one_of = |folders: &[&str]| folders.contains(&to);
    if let Some((own, role)) = family(from) {
        let own_client = family(to) == Some((own, "light-client"));
        return match role {
            "light-client" => one_of(&["schemas/core", "adapters/light-client"]),
            "source" => {
                own_client || one_of(&["schemas/core", "adapters/light-client", "adapters/source", "adapters/nodes"])
            }
            // Never a light client: what makes blocks and what judges them must not share a mistake.
            "devnet" => one_of(&["schemas/core"]),
            _ => false,
        };
    }
    match from {
        "schemas/core" => false,
        "schemas/registry" | "schemas/mapping" | "adapters/light-client" | "relayer" => one_of(&["schemas/core"]),
        "adapters/source" => one_of(&["schemas/core", "adapters/light-client"]),
        "adapters/nodes" => one_of(&["schemas/core", "adapters/source"]),
        "adapters/testkit" => one_of(&["schemas/core", "adapters/light-client", "adapters/source"]),
        "gateway/verify" => one_of(&["schemas/core", "schemas/registry", "schemas/mapping", "adapters/light-client"]),
        "gateway/store" => one_of(&["schemas/core", "adapters/light-client", "gateway/verify"]),
        "gateway/server" => {
            let families = family(to).is_some_and(|(_, role)| role != "devnet");
            families
                || to.starts_with("schemas/")
                || one_of(&["adapters/light-client", "adapters/source", "gateway/verify", "gateway/store"])
        }
        "gateway/cli" => to != "adapters/testkit",
        _ => false,
    }
}

#[test]
fn our_crates_use_each_other_along_the_allowed_arrows_only() {
    let metadata = metadata();
    let ours = ours(&metadata);
    let by_name: BTreeMap<&str, &str> =
        ours.iter().map(|(folder, package)| (package.name.as_str(), folder.as_str())).collect();
    let mut arrows = 0;
    for (from, package) in &ours {
        for dependency in package.dependencies.iter().filter(|it| it.kind == DependencyKind::Normal) {
            let Some(to) = by_name.get(dependency.name.as_str()) else { continue };
            assert!(allowed(from, to), "{from} uses {to}, which docs/architecture.md does not allow");
            arrows += 1;
        }
    }
    assert!(arrows > 20, "only {arrows} arrows were seen: the test looks at the wrong place");
}

#[test]
fn a_package_is_named_by_its_folder() {
    let metadata = metadata();
    for (folder, package) in ours(&metadata) {
        // A family's crates leave out `adapters`.
        let path = family(&folder).map_or(folder.clone(), |(name, role)| format!("{name}/{role}"));
        assert_eq!(package.name.as_str(), format!("hufu-{}", path.replace('/', "-")), "{folder}");
    }
}

/// Every package that a package reaches by normal dependencies when it is built alone. `cargo metadata` cannot say this:
/// its graph joins the features that all crates of the workspace ask for, tests included.
fn reached(package: &Package) -> BTreeSet<String> {
    let name = package.name.as_str();
    let tree = ["tree", "--offline", "--package", name, "--edges", "normal", "--prefix", "none", "--format", "{p}"];
    let output = Command::new(env!("CARGO")).args(tree).current_dir(root()).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let lines = String::from_utf8(output.stdout).unwrap();
    lines.lines().filter_map(|line| line.split_whitespace().next().map(str::to_owned)).collect()
}

#[test]
fn a_pure_crate_reaches_no_io_no_tasks_and_no_randomness() {
    let metadata = metadata();
    let pure: Vec<_> = ours(&metadata).into_iter().filter(|(folder, _)| is_pure(folder)).collect();
    assert!(pure.len() > PURE.len(), "no family's light client was seen");
    for (folder, package) in pure {
        let reached = reached(package);
        assert!(reached.contains("serde"), "{folder} reaches not even serde: the tree is not read rightly");
        let impure: Vec<_> = IMPURE.iter().filter(|name| reached.contains(**name)).collect();
        assert!(impure.is_empty(), "{folder} is pure and reaches {impure:?}");
    }
}

/// A source file with comments blanked, and the same with text blanked too. Both are as long as the file.
struct Code {
    with_text: String,
    bare: String,
}

impl Code {
    fn of(source: &str) -> Self {
        let bytes = source.as_bytes();
        let (mut with_text, mut bare) = (bytes.to_vec(), bytes.to_vec());
        let mut at = 0;
        while at < bytes.len() {
            let rest = &bytes[at..];
            let (length, is_comment) = match rest {
                [b'/', b'/', ..] => (rest.iter().position(|byte| *byte == b'\n').unwrap_or(rest.len()), true),
                [b'/', b'*', ..] => (find(rest, b"*/").map_or(rest.len(), |end| end + 2), true),
                [b'r', b'"' | b'#', ..] if !is_word(at.checked_sub(1).map(|it| bytes[it])) => (raw_text(rest), false),
                [b'"', ..] => (quoted(rest), false),
                [b'\'', b'\\', ..] => {
                    (rest.iter().skip(3).position(|byte| *byte == b'\'').map_or(1, |end| end + 4), false)
                }
                [b'\'', _, b'\'', ..] => (3, false),
                _ => (1, false),
            };
            if length > 1 {
                bare[at..at + length].fill(b' ');
                if is_comment {
                    with_text[at..at + length].fill(b' ');
                }
            }
            at += length.max(1);
        }
        let mut code = Self { with_text: text(with_text), bare: text(bare) };
        code.drop_tests();
        code
    }

    /// Blanks what stands under `#[cfg(test)]`.
    fn drop_tests(&mut self) {
        while let Some(start) = self.bare.find("#[cfg(test)]") {
            let rest = &self.bare[start..];
            let end = match rest.find([';', '{']) {
                Some(open) if rest.as_bytes()[open] == b'{' => open + block(&rest[open..]),
                Some(end) => end + 1,
                None => rest.len(),
            };
            let blank = " ".repeat(end);
            self.bare.replace_range(start..start + end, &blank);
            self.with_text.replace_range(start..start + end, &blank);
        }
    }
}

fn text(bytes: Vec<u8>) -> String {
    // Blanking replaces whole comments and texts, so what is left is UTF-8; other letters are not looked for.
    bytes.iter().map(|byte| if byte.is_ascii() { char::from(*byte) } else { ' ' }).collect()
}

fn find(bytes: &[u8], what: &[u8]) -> Option<usize> {
    bytes.windows(what.len()).position(|window| window == what)
}

fn is_word(byte: Option<u8>) -> bool {
    byte.is_some_and(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

fn raw_text(rest: &[u8]) -> usize {
    let hashes = rest[1..].iter().take_while(|byte| **byte == b'#').count();
    if rest.get(1 + hashes) != Some(&b'"') {
        return 1;
    }
    let end = [b"\"".as_slice(), &vec![b'#'; hashes]].concat();
    find(&rest[2 + hashes..], &end).map_or(rest.len(), |at| 2 + hashes + at + end.len())
}

fn quoted(rest: &[u8]) -> usize {
    let mut at = 1;
    while at < rest.len() && rest[at] != b'"' {
        at += if rest[at] == b'\\' { 2 } else { 1 };
    }
    (at + 1).min(rest.len())
}

/// Length of a block that starts with its brace.
fn block(code: &str) -> usize {
    let mut depth = 0usize;
    for (at, byte) in code.bytes().enumerate() {
        match byte {
            b'{' => depth += 1,
            b'}' if depth == 1 => return at + 1,
            b'}' => depth -= 1,
            _ => {}
        }
    }
    code.len()
}

/// The words of code, and of what is written in identifiers: `EvmFamily` holds `evm`.
fn words(code: &str) -> BTreeSet<String> {
    let mut words = BTreeSet::new();
    for word in code.split(|letter: char| !letter.is_ascii_alphanumeric()) {
        let mut part = String::new();
        for letter in word.chars() {
            if letter.is_ascii_uppercase() && !part.is_empty() && !part.ends_with(|it: char| it.is_ascii_uppercase()) {
                words.insert(part.to_lowercase());
                part.clear();
            }
            part.push(letter);
        }
        words.insert(part.to_lowercase());
    }
    words
}

/// Source files of a crate, without modules that are compiled for tests alone.
fn sources(folder: &str) -> Vec<(String, Code)> {
    let mut found = Vec::new();
    let mut only_tests = BTreeSet::new();
    let mut open = vec![root().join(folder).join("src")];
    while let Some(path) = open.pop() {
        if path.is_dir() {
            open.extend(fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let source = fs::read_to_string(&path).unwrap();
            let after = source.split("#[cfg(test)]\nmod ").skip(1);
            only_tests
                .extend(after.filter_map(|it| Some(it.split_once(';')?.0.to_owned())).filter(|it| !it.contains(' ')));
            found.push((path.strip_prefix(root()).unwrap().to_str().unwrap().to_owned(), Code::of(&source)));
        }
    }
    let for_tests = |path: &str| {
        only_tests.iter().any(|name| path.contains(&format!("/{name}/")) || path.ends_with(&format!("/{name}.rs")))
    };
    found.retain(|(path, _)| !for_tests(path));
    assert!(!found.is_empty(), "{folder} has no sources");
    found
}

/// Modules of `std` that code names: `std::fs`, or inside `use std::{…}`.
fn std_modules(code: &str) -> BTreeSet<String> {
    let mut named = BTreeSet::new();
    for rest in code.split("std::").skip(1) {
        if rest.starts_with('{') {
            named.extend(words(&rest[..block(rest)]));
        } else {
            named.extend(rest.split(|letter: char| !letter.is_ascii_alphanumeric()).next().map(str::to_owned));
        }
    }
    named
}

#[test]
fn a_pure_crate_names_no_file_no_socket_no_clock_and_no_thread() {
    let metadata = metadata();
    for folder in ours(&metadata).keys().filter(|folder| is_pure(folder)) {
        for (path, code) in sources(folder) {
            let modules = std_modules(&code.bare);
            let may = |name: &str| name == "thread" && MAY_NAME_THREADS.contains(&path.as_str());
            let impure: Vec<_> = IMPURE_STD.iter().filter(|name| modules.contains(**name) && !may(name)).collect();
            assert!(impure.is_empty(), "{path} is pure and names std::{impure:?}");
            for clock in ["SystemTime", "Instant::", "::Instant", "Utc::now"] {
                assert!(!code.bare.contains(clock), "{path} is pure and names the clock {clock}");
            }
        }
    }
}

#[test]
fn a_vendor_is_named_in_its_own_folder_and_in_the_few_places_that_may() {
    let metadata = metadata();
    let mut seen_allowed: BTreeSet<&str> = BTreeSet::new();
    for folder in ours(&metadata).keys().filter(|folder| family(folder).is_none()) {
        for (path, code) in sources(folder) {
            let words = words(&code.with_text);
            let named: Vec<_> = VENDORS.iter().filter(|vendor| words.contains(**vendor)).collect();
            let allowed = MAY_NAME_VENDORS.iter().find(|place| path.starts_with(*place));
            assert!(
                named.is_empty() || allowed.is_some(),
                "{path} names {named:?}: vendors belong to adapters/<family>"
            );
            seen_allowed.extend(allowed.filter(|_| !named.is_empty()).copied());
        }
    }
    assert!(seen_allowed.contains(MAY_NAME_VENDORS[1]), "the scan finds nothing: {seen_allowed:?}");
}

#[test]
fn a_family_stands_alone() {
    let metadata = metadata();
    let ours = ours(&metadata);
    let by_name: BTreeMap<&str, &str> =
        ours.iter().map(|(folder, package)| (package.name.as_str(), folder.as_str())).collect();
    for (folder, package) in &ours {
        let Some((own, _)) = family(folder) else { continue };
        // Development dependencies too: a family's tests need no other family and no gateway.
        for dependency in &package.dependencies {
            let Some(to) = by_name.get(dependency.name.as_str()) else { continue };
            assert!(!to.starts_with("gateway/") && *to != "relayer", "{folder} depends on {to}");
            assert!(family(to).is_none_or(|(other, _)| other == own), "{folder} depends on another family: {to}");
        }
    }
}

#[test]
fn the_scan_sees_code_and_passes_over_comments_and_tests() {
    let source = "// evm\nfn f() { let a = \"qbft // {\"; EvmFamily; } /* geth */\n#[cfg(test)]\nmod tests { fn clique() {} }\nfn besu() {}";
    let code = Code::of(source);
    let words = words(&code.with_text);
    assert!(["evm", "qbft", "besu"].iter().all(|word| words.contains(*word)), "{words:?}");
    assert!(!words.contains("geth") && !words.contains("clique"), "{words:?}");
    assert!(std_modules("use std::{fs::File, fmt};").contains("fs"));
    assert!(std_modules("std::net::TcpStream").contains("net"));
    assert!(Code::of("let s = r#\"std::fs\"#;").bare.find("std::fs").is_none());
}
