//! What a configuration comes to before anything is opened or asked: light clients, sources and lanes. A start makes it, and
//! `hufu check-config` does, so that neither finds a mistake that the other does not.

use std::collections::BTreeMap;
use std::sync::Arc;

use hufu_adapters_light_client::DynLightClient;
use hufu_adapters_source::Source;
use hufu_gateway_verify::{Families, LaneReader, TrustPolicy};
use hufu_schemas_core::signature::NoteSigner;
use hufu_schemas_core::{LedgerId, Timestamp};
use hufu_schemas_registry::Registry;

use crate::config::{ConfigFault, GatewayConfig, LaneConfig, Materials, Place};
use crate::families;
use crate::lanes::OriginLane;

/// Light clients by ledger.
pub(crate) type Clients = BTreeMap<LedgerId, Arc<dyn DynLightClient>>;

/// What a gateway is made of.
pub(crate) struct Plan {
    pub(crate) families: Families,
    pub(crate) registry: Registry,
    pub(crate) signer: NoteSigner,
    pub(crate) clients: Clients,
    pub(crate) sources: BTreeMap<LedgerId, Arc<dyn Source>>,
    pub(crate) lanes: Vec<Arc<OriginLane>>,
}

/// Everything that a start looks at but the port: all faults, empty when all is well.
pub fn check(config: &GatewayConfig, now: Timestamp) -> Vec<ConfigFault> {
    let mut faults = config.check(now);
    // What is wrong with the files was said.
    if let Ok(materials) = config.materials() {
        faults.extend(Plan::of(config, &materials).err().into_iter().flatten());
    }
    faults
}

impl Plan {
    /// # Errors
    /// Everything that a family, a mapping or a key finds wrong, with its place.
    pub(crate) fn of(config: &GatewayConfig, materials: &Materials) -> Result<Self, Vec<ConfigFault>> {
        let families = families::families();
        let mut faults = Vec::new();
        let clients = keep(clients(&families, &materials.policy, &config.policy.shown()), &mut faults);
        let sources = keep(sources(config, &materials.policy), &mut faults);
        let key = |fault: String| config.log_key.fault(&config.file, fault);
        let signer = NoteSigner::from_seed(config.name.as_str(), materials.log_seed.expose());
        let signer = signer.map_err(|fault| faults.push(key(fault.to_string()))).ok();
        let registry = Registry::builtin().map_err(|fault| faults.push(key(fault.to_string()))).ok();
        let (Some(clients), Some(sources), Some(signer), Some(registry)) = (clients, sources, signer, registry) else {
            return Err(faults);
        };
        let mut lanes = Vec::new();
        for lane in &config.lanes {
            match origin_lane(lane, materials, &families, &registry, &sources) {
                Ok(lane) => lanes.push(Arc::new(lane)),
                Err(words) => faults.push(lane.mapping.fault(&config.file, format!("lane {}: {words}", lane.id))),
            }
        }
        if faults.is_empty() { Ok(Self { families, registry, signer, clients, sources, lanes }) } else { Err(faults) }
    }
}

fn keep<T>(made: Result<T, Vec<ConfigFault>>, faults: &mut Vec<ConfigFault>) -> Option<T> {
    made.map_err(|more| faults.extend(more)).ok()
}

/// Light clients of all anchors of a policy; `file` is its name.
///
/// # Errors
/// Every anchor that its family refuses, with its place.
pub(crate) fn clients(families: &Families, policy: &TrustPolicy, file: &str) -> Result<Clients, Vec<ConfigFault>> {
    let (mut clients, mut faults) = (Clients::new(), Vec::new());
    for (ledger, anchor) in policy.anchors() {
        let (line, column) = policy.anchor_place(ledger).unwrap_or((1, 1));
        let fault = |message: String| ConfigFault { file: file.to_owned(), line, column, message };
        match families.client(anchor) {
            Ok(client) if client.ledger() == ledger => {
                clients.insert(ledger.clone(), client.into());
            }
            Ok(client) => {
                faults.push(fault(format!("ledger {ledger} is anchored at the genesis of {}", client.ledger())));
            }
            Err(words) => faults.push(fault(format!("ledger {ledger}: {words}"))),
        }
    }
    if faults.is_empty() { Ok(clients) } else { Err(faults) }
}

fn sources(
    config: &GatewayConfig,
    policy: &TrustPolicy,
) -> Result<BTreeMap<LedgerId, Arc<dyn Source>>, Vec<ConfigFault>> {
    let (mut sources, mut faults) = (BTreeMap::new(), Vec::new());
    for ledger in &config.ledgers {
        let Place { line, column } = ledger.place;
        let fault = |message: String| ConfigFault { file: config.file.clone(), line, column, message };
        let Some(anchor) = policy.anchor(&ledger.id) else {
            faults.push(fault(format!("the policy anchors no ledger {}: add a [[ledger]] to it", ledger.id)));
            continue;
        };
        match families::source(&ledger.source, anchor) {
            Ok(source) => {
                sources.insert(ledger.id.clone(), source);
            }
            Err(words) => faults.push(fault(format!("ledger {}: {words}", ledger.id))),
        }
    }
    if faults.is_empty() { Ok(sources) } else { Err(faults) }
}

fn origin_lane(
    lane: &LaneConfig,
    materials: &Materials,
    families: &Families,
    registry: &Registry,
    sources: &BTreeMap<LedgerId, Arc<dyn Source>>,
) -> Result<OriginLane, String> {
    let mapping = materials.mappings.get(&lane.id).ok_or("its mapping was not read")?;
    let tag_key = materials.tag_keys.get(&lane.id).ok_or("its key of tags was not read")?;
    let source = sources.get(&lane.ledger).ok_or_else(|| format!("no [[ledger]] {} in this file", lane.ledger))?;
    // Only the payload schemas that this mapping names travel with its definition.
    let text = mapping.document().to_string();
    let named = |json: &serde_json::Value| text.contains(&hufu_schemas_registry::content_id(json).to_hex());
    let department: Vec<_> = materials.schemas.iter().filter(|(_, json)| named(json)).cloned().collect();
    let reader = LaneReader::of_mapping(mapping.clone(), &department, families, registry);
    Ok(OriginLane {
        id: lane.id.clone(),
        reader: reader.map_err(|fault| fault.to_string())?,
        tag_key: *tag_key,
        from_height: lane.from_height,
        ledger: lane.ledger.clone(),
        source: Arc::clone(source),
    })
}
