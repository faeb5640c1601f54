//! Every file that a configuration names, read and parsed. A start and `hufu check-config` share this: what the check
//! finds good is what the start uses.

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::path::Path;

use hufu_gateway_verify::policy::TrustPolicy;
use hufu_schemas_core::canonical;
use hufu_schemas_core::lane::TagKey;
use hufu_schemas_core::limits::JsonLimits;
use hufu_schemas_core::{LaneId, Timestamp};
use hufu_schemas_mapping::Mapping;
use hufu_schemas_registry::Registry;
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use serde_json::Value;
use zeroize::Zeroizing;

use super::place::{Place, fault_at};
use super::{Bound, ConfigFault, FileRef, GatewayConfig};
use crate::tls;

/// Bytes of a policy, mapping or certificate file: far beyond any real one, far below what would hurt.
const MOST_FILE_BYTES: u64 = 4 << 20;
/// Payload schemas of one department.
const MOST_SCHEMAS: usize = 1_000;

/// 32 secret bytes. Wiped when dropped, never printed.
pub struct Secret(Zeroizing<[u8; 32]>);

impl Secret {
    /// The bytes.
    pub fn expose(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

/// What TLS needs.
pub struct TlsMaterials {
    /// The gateway's certificate first, then what leads to its authority.
    pub certificates: Vec<CertificateDer<'static>>,
    /// Its key.
    pub key: PrivateKeyDer<'static>,
    /// Who may sign peers' certificates.
    pub authorities: Vec<CertificateDer<'static>>,
}

impl fmt::Debug for TlsMaterials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TlsMaterials({} certificates, {} authorities)", self.certificates.len(), self.authorities.len())
    }
}

/// All that a gateway needs before it binds a port.
#[derive(Debug)]
pub struct Materials {
    /// What is trusted.
    pub policy: TrustPolicy,
    /// The seed that signs checkpoints.
    pub log_seed: Secret,
    /// Schemas: this release's and the department's.
    pub registry: Registry,
    /// The department's payload schemas as they stand, by file name: they travel with a lane's definition.
    pub schemas: Vec<(String, Value)>,
    /// The mapping of each lane.
    pub mappings: BTreeMap<LaneId, Mapping>,
    /// The tag key of each lane.
    pub tag_keys: BTreeMap<LaneId, TagKey>,
    /// Certificate, key, authorities.
    pub tls: TlsMaterials,
}

impl GatewayConfig {
    /// Reads the configuration file at `path`.
    ///
    /// # Errors
    /// That it cannot be read, or its first mistake.
    pub fn load(path: &Path) -> Result<Self, ConfigFault> {
        let file = path.display().to_string();
        let start = Place { line: 1, column: 1 };
        let bytes = read_bounded(path).map_err(|why| fault_at(&file, start, why))?;
        let text = String::from_utf8(bytes).map_err(|_| fault_at(&file, start, "expected UTF-8 text"))?;
        Self::parse(&file, &text)
    }

    /// Reads every file that the configuration names, the database apart.
    ///
    /// # Errors
    /// Everything that is wrong, in the order of the files.
    pub fn materials(&self) -> Result<Materials, Vec<ConfigFault>> {
        let mut faults = Faults { config: self, found: Vec::new() };
        let policy = faults.policy();
        let log_seed = faults.keep(|| read_secret(&self.file, &self.log_key));
        let schemas = faults.schemas();
        let registry = schemas.as_ref().and_then(|schemas| faults.registry(schemas));
        let mappings = faults.mappings();
        let tag_keys = faults.tag_keys();
        let tls = faults.tls();
        if let Some(policy) = &policy {
            faults.against_policy(policy);
        }
        match (policy, log_seed, registry, schemas, tls) {
            (Some(policy), Some(log_seed), Some(registry), Some(schemas), Some(tls)) if faults.found.is_empty() => {
                Ok(Materials { policy, log_seed, registry, schemas, mappings, tag_keys, tls })
            }
            _ => Err(faults.found),
        }
    }

    /// Everything but binding a port: the files, the database's presence, and whether the certificate is in its time.
    /// Empty when all is well.
    pub fn check(&self, now: Timestamp) -> Vec<ConfigFault> {
        let mut faults = match self.materials() {
            Err(faults) => faults,
            Ok(materials) => self.certificate_in_time(&materials.tls, now).into_iter().collect(),
        };
        if !self.database.path.is_file() {
            let message = format!("database {} is not there: `hufu init` makes it", self.database.shown());
            faults.push(fault_at(&self.file, self.database.place, message));
        }
        faults
    }

    fn certificate_in_time(&self, tls: &TlsMaterials, now: Timestamp) -> Option<ConfigFault> {
        let (from, until) = tls.certificates.first().and_then(|leaf| tls::validity(leaf))?;
        if from <= now && now <= until {
            return None;
        }
        let file = &self.tls.certificate;
        let message = format!("certificate {} is valid from {from} until {until}, now is {now}", file.shown());
        Some(fault_at(&self.file, file.place, message))
    }
}

/// Reads a key file: 64 hex digits and at most a line end, readable by its owner alone. `config` names the configuration
/// file, for the fault.
pub fn read_secret(config: &str, file: &FileRef) -> Result<Secret, ConfigFault> {
    let fault = |message: String| fault_at(config, file.place, message);
    private(&file.path).map_err(fault)?;
    let text = Zeroizing::new(read_bounded(&file.path).map_err(fault)?);
    let digits = text.strip_suffix(b"\n").unwrap_or(&text);
    let digits = digits.strip_suffix(b"\r").unwrap_or(digits);
    let mut seed = Zeroizing::new([0u8; 32]);
    // What stands in the file is a secret even where it is wrong: the message does not repeat it.
    let wrong = |_| fault(format!("{}: expected 64 hex digits (32 bytes)", file.shown()));
    hex::decode_to_slice(digits, seed.as_mut_slice()).map_err(wrong)?;
    if seed.iter().all(|byte| *byte == 0) {
        return Err(fault(format!("{}: expected a key drawn at random, got zeros", file.shown())));
    }
    Ok(Secret(seed))
}

/// Refuses a key file that others than its owner may read.
fn private(path: &Path) -> Result<(), String> {
    use std::os::unix::fs::PermissionsExt as _;
    let metadata = fs::metadata(path).map_err(|why| format!("{}: {why}", path.display()))?;
    let mode = metadata.permissions().mode() & 0o777;
    match mode & 0o077 {
        0 => Ok(()),
        _ => Err(format!("{}: expected mode 0600 (its owner alone), got {mode:04o}", path.display())),
    }
}

fn read_bounded(path: &Path) -> Result<Vec<u8>, String> {
    let shown = path.display();
    let metadata = fs::metadata(path).map_err(|why| format!("{shown}: {why}"))?;
    if !metadata.is_file() {
        return Err(format!("{shown}: expected a file"));
    }
    if metadata.len() > MOST_FILE_BYTES {
        return Err(format!("{shown}: expected at most {MOST_FILE_BYTES} bytes, got {}", metadata.len()));
    }
    fs::read(path).map_err(|why| format!("{shown}: {why}"))
}

/// Collects what is wrong instead of stopping at the first.
struct Faults<'a> {
    config: &'a GatewayConfig,
    found: Vec<ConfigFault>,
}

impl Faults<'_> {
    fn at(&mut self, file: &FileRef, message: impl Into<String>) {
        self.found.push(fault_at(&self.config.file, file.place, message));
    }

    fn keep<T>(&mut self, read: impl FnOnce() -> Result<T, ConfigFault>) -> Option<T> {
        read().map_err(|fault| self.found.push(fault)).ok()
    }

    fn bytes(&mut self, file: &FileRef) -> Option<Vec<u8>> {
        read_bounded(&file.path).map_err(|why| self.at(file, why)).ok()
    }

    fn policy(&mut self) -> Option<TrustPolicy> {
        let file = &self.config.policy;
        let bytes = self.bytes(file)?;
        let Ok(text) = String::from_utf8(bytes) else {
            self.at(file, format!("{}: expected UTF-8 text", file.shown()));
            return None;
        };
        match TrustPolicy::parse(&file.shown(), &text) {
            Ok(policy) => Some(policy),
            Err(fault) => {
                let (line, column) = (fault.line, fault.column);
                self.found.push(ConfigFault { file: fault.file, line, column, message: fault.message });
                None
            }
        }
    }

    fn schemas(&mut self) -> Option<Vec<(String, Value)>> {
        let Some(folder) = &self.config.schemas else { return Some(Vec::new()) };
        let paths = match schema_files(&folder.path) {
            Ok(paths) => paths,
            Err(why) => {
                self.at(folder, why);
                return None;
            }
        };
        let before = self.found.len();
        let mut schemas = Vec::new();
        for path in paths {
            let file = FileRef { path, place: folder.place };
            let Some(bytes) = self.bytes(&file) else { continue };
            match canonical::parse(&bytes, &JsonLimits::DOCUMENT) {
                Ok(document) => schemas.push((file.shown(), document)),
                Err(fault) => self.at(folder, format!("{}: {fault}", file.shown())),
            }
        }
        (self.found.len() == before).then_some(schemas)
    }

    fn registry(&mut self, schemas: &[(String, Value)]) -> Option<Registry> {
        let place = self.config.schemas.as_ref().map_or(Place { line: 1, column: 1 }, |folder| folder.place);
        let file = self.config.file.clone();
        let read = Registry::builtin().and_then(|registry| registry.with_department_schemas(schemas.to_vec()));
        self.keep(|| read.map_err(|refused| fault_at(&file, place, refused.to_string())))
    }

    fn mappings(&mut self) -> BTreeMap<LaneId, Mapping> {
        let mut mappings = BTreeMap::new();
        for lane in &self.config.lanes {
            let Some(bytes) = self.bytes(&lane.mapping) else { continue };
            let name = lane.mapping.shown();
            match Mapping::parse_yaml(&name, &bytes) {
                Err(errors) => self.found.extend(errors.into_iter().map(|error| ConfigFault {
                    file: name.clone(),
                    line: error.line.unwrap_or(1),
                    column: error.column.unwrap_or(1),
                    message: format!("{}: {}", error.pointer, error.detail),
                })),
                Ok(mapping) if mapping.family() != lane.ledger.family() => {
                    let (expected, got) = (lane.ledger.family(), mapping.family());
                    let message =
                        format!("{name}: expected source.family {expected:?} for {}, got {got:?}", lane.ledger);
                    self.at(&lane.mapping, message);
                }
                Ok(mapping) => drop(mappings.insert(lane.id.clone(), mapping)),
            }
        }
        mappings
    }

    fn tag_keys(&mut self) -> BTreeMap<LaneId, TagKey> {
        let config = self.config;
        let mut keys = BTreeMap::new();
        for lane in &config.lanes {
            if let Some(secret) = self.keep(|| read_secret(&config.file, &lane.tag_key)) {
                keys.insert(lane.id.clone(), TagKey::from_bytes(*secret.expose()));
            }
        }
        keys
    }

    fn tls(&mut self) -> Option<TlsMaterials> {
        let files = &self.config.tls;
        let certificates = self.certificates(&files.certificate);
        let authorities = self.certificates(&files.client_authorities);
        let key = self.key(&files.key);
        let tls = TlsMaterials { certificates: certificates?, key: key?, authorities: authorities? };
        if let Err(fault) = tls::peers(&tls) {
            let file = match fault {
                tls::TlsFault::Authorities(_) => &files.client_authorities,
                tls::TlsFault::Certificate(_) => &files.certificate,
            };
            self.at(file, format!("{}: {fault}", file.shown()));
            return None;
        }
        Some(tls)
    }

    fn certificates(&mut self, file: &FileRef) -> Option<Vec<CertificateDer<'static>>> {
        let bytes = self.bytes(file)?;
        let read: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&bytes).collect();
        match read {
            Ok(certificates) if !certificates.is_empty() => Some(certificates),
            Ok(_) => {
                self.at(file, format!("{}: expected at least one PEM certificate, got none", file.shown()));
                None
            }
            Err(why) => {
                self.at(file, format!("{}: not PEM: {why}", file.shown()));
                None
            }
        }
    }

    fn key(&mut self, file: &FileRef) -> Option<PrivateKeyDer<'static>> {
        if let Err(why) = private(&file.path) {
            self.at(file, why);
            return None;
        }
        let bytes = Zeroizing::new(self.bytes(file)?);
        // The reader's own words could repeat what it read.
        PrivateKeyDer::from_pem_slice(&bytes)
            .map_err(|_| self.at(file, format!("{}: expected a private key in PEM", file.shown())))
            .ok()
    }

    /// What the configuration does and the policy must agree to.
    fn against_policy(&mut self, policy: &TrustPolicy) {
        let config = self.config;
        for ledger in config.ledgers.iter().filter(|ledger| policy.anchor(&ledger.id).is_none()) {
            let message = format!("ledger {} has no anchor in {}", ledger.id, config.policy.shown());
            self.found.push(fault_at(&config.file, ledger.place, message));
        }
        for peer in &config.peers {
            let Bound::These(lanes) = &peer.write_lanes else { continue };
            for lane in lanes.iter().filter(|lane| policy.lane(lane).is_none()) {
                let message =
                    format!("{} may deliver {lane}, which {} does not accept", peer.identity, config.policy.shown());
                self.at(&config.policy, message);
            }
        }
    }
}

/// The `*.json` files of a folder, by name, so that what is loaded does not depend on the file system's order.
fn schema_files(folder: &Path) -> Result<Vec<std::path::PathBuf>, String> {
    let shown = folder.display();
    let mut paths = Vec::new();
    for entry in fs::read_dir(folder).map_err(|why| format!("{shown}: {why}"))? {
        let path = entry.map_err(|why| format!("{shown}: {why}"))?.path();
        if path.extension().is_some_and(|extension| extension == "json") {
            paths.push(path);
        }
        if paths.len() > MOST_SCHEMAS {
            return Err(format!("{shown}: expected at most {MOST_SCHEMAS} schemas"));
        }
    }
    paths.sort();
    Ok(paths)
}
