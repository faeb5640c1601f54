//! The text of a configuration file to [`GatewayConfig`]; no file is opened here.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::Duration;

use hufu_schemas_core::ids::LaneSlug;
use hufu_schemas_core::{Digest, GatewayId, Height, LaneId, LedgerId};
use serde::Deserialize;
use serde_json::Value;
use toml::Spanned;

use super::limits::LimitsTable;
use super::place::Text;
use super::{ApplicationGrant, Bound, ConfigFault, GatewayConfig, LaneConfig, LedgerConfig, Listen, PeerGrant, Scope};
use super::{FileRef, TlsFiles};
use crate::identity::Identity;

/// Longest idle time of a lane: an hour, well within any sensible staleness.
const LONGEST_HEARTBEAT: u64 = 3_600;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    gateway: GatewayTable,
    listen: ListenTable,
    tls: TlsTable,
    #[serde(default)]
    limits: LimitsTable,
    #[serde(default)]
    ledger: Vec<LedgerTable>,
    #[serde(default)]
    lane: Vec<LaneTable>,
    #[serde(default)]
    peer: Vec<PeerTable>,
    #[serde(default)]
    application: Vec<ApplicationTable>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct GatewayTable {
    name: Spanned<String>,
    database: Spanned<String>,
    policy: Spanned<String>,
    log_key: Spanned<String>,
    schemas: Option<Spanned<String>>,
    heartbeat_seconds: Option<Spanned<u64>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ListenTable {
    peers: Spanned<String>,
    applications: Option<Spanned<String>>,
    monitoring: Option<Spanned<String>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TlsTable {
    certificate: Spanned<String>,
    key: Spanned<String>,
    client_authorities: Spanned<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct LedgerTable {
    id: Spanned<String>,
    source: Spanned<Value>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct LaneTable {
    name: Spanned<String>,
    epoch: Spanned<u32>,
    ledger: Spanned<String>,
    mapping: Spanned<String>,
    tag_key: Spanned<String>,
    from_height: u64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PeerTable {
    identity: Spanned<String>,
    #[serde(default)]
    read_lanes: Vec<Spanned<String>>,
    #[serde(default)]
    write_lanes: Vec<Spanned<String>>,
    #[serde(default)]
    write_ledgers: Vec<Spanned<String>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ApplicationTable {
    name: Spanned<String>,
    token_sha256: Spanned<String>,
    scopes: Vec<Spanned<String>>,
}

impl GatewayConfig {
    /// Parses a configuration file. `file` is its path: relative paths inside are relative to its folder.
    ///
    /// # Errors
    /// The first mistake, with its line.
    pub fn parse(file: &str, text: &str) -> Result<Self, ConfigFault> {
        let text = Text { file, text };
        let read: File =
            toml::from_str(text.text).map_err(|fault| text.fault(fault.span(), fault.message().to_owned()))?;
        let name = text.parse(&read.gateway.name, GatewayId::parse)?;
        let ledgers = ledgers(&text, read.ledger)?;
        let lanes = lanes(&text, read.lane, &name, &ledgers)?;
        let peers = peers(&text, read.peer, &name, &lanes)?;
        let applications = applications(&text, read.application)?;
        let limits = read.limits.resolve().map_err(|fault| text.fault(Some(fault.span), fault.message))?;
        Ok(Self {
            file: file.to_owned(),
            name,
            database: text.file_ref(&read.gateway.database)?,
            policy: text.file_ref(&read.gateway.policy)?,
            log_key: text.file_ref(&read.gateway.log_key)?,
            schemas: read.gateway.schemas.as_ref().map(|path| text.file_ref(path)).transpose()?,
            heartbeat: heartbeat(&text, read.gateway.heartbeat_seconds)?,
            listen: listen(&text, &read.listen)?,
            tls: tls(&text, &read.tls)?,
            limits,
            ledgers,
            lanes,
            peers,
            applications,
        })
    }
}

fn heartbeat(text: &Text<'_>, seconds: Option<Spanned<u64>>) -> Result<Duration, ConfigFault> {
    let Some(seconds) = seconds else { return Ok(Duration::from_secs(60)) };
    let got = *seconds.get_ref();
    if (1..=LONGEST_HEARTBEAT).contains(&got) {
        return Ok(Duration::from_secs(got));
    }
    let message = format!("expected heartbeat_seconds from 1 to {LONGEST_HEARTBEAT}, got {got}");
    Err(text.fault(Some(seconds.span()), message))
}

fn listen(text: &Text<'_>, table: &ListenTable) -> Result<Listen, ConfigFault> {
    let address = |it: &Spanned<String>| {
        let parse = |it: &str| it.parse::<SocketAddr>().map_err(|_| format!("expected <ip>:<port>, got {it:?}"));
        text.parse(it, parse)
    };
    let peers = address(&table.peers)?;
    let applications = table.applications.as_ref().map(address).transpose()?;
    let monitoring = table.monitoring.as_ref().map(address).transpose()?;
    // Port 0 asks for any free port, and two such addresses do not collide.
    let same = |one: Option<SocketAddr>, other| one.is_some() && one == other && one.is_some_and(|it| it.port() != 0);
    let (first, second, third) = (Some(peers), applications, monitoring);
    let twice = match (same(first, second), same(first, third), same(second, third)) {
        (true, _, _) => &table.applications,
        (_, true, _) | (_, _, true) => &table.monitoring,
        _ => return Ok(Listen { peers, applications, monitoring }),
    };
    let span = twice.as_ref().map(Spanned::span);
    Err(text.fault(span, "expected an address of its own, got one that another listener has"))
}

fn tls(text: &Text<'_>, table: &TlsTable) -> Result<TlsFiles, ConfigFault> {
    Ok(TlsFiles {
        certificate: text.file_ref(&table.certificate)?,
        key: text.file_ref(&table.key)?,
        client_authorities: text.file_ref(&table.client_authorities)?,
    })
}

fn ledgers(text: &Text<'_>, tables: Vec<LedgerTable>) -> Result<Vec<LedgerConfig>, ConfigFault> {
    let mut ledgers: Vec<LedgerConfig> = Vec::new();
    for table in tables {
        let id = text.parse(&table.id, LedgerId::parse)?;
        let family = table.source.get_ref().get("family").and_then(Value::as_str).unwrap_or_default();
        if family != id.family() {
            let message = format!("expected source.family = {:?} for ledger {id}, got {family:?}", id.family());
            return Err(text.fault(Some(table.source.span()), message));
        }
        if ledgers.iter().any(|ledger| ledger.id == id) {
            return Err(text.fault(Some(table.id.span()), format!("ledger {id} stands here a second time")));
        }
        let place = text.place(Some(table.source.span()));
        ledgers.push(LedgerConfig { id, source: table.source.into_inner(), place });
    }
    Ok(ledgers)
}

fn lanes(
    text: &Text<'_>,
    tables: Vec<LaneTable>,
    gateway: &GatewayId,
    ledgers: &[LedgerConfig],
) -> Result<Vec<LaneConfig>, ConfigFault> {
    let mut lanes: Vec<LaneConfig> = Vec::new();
    for table in tables {
        let slug = text.parse(&table.name, LaneSlug::parse)?;
        let id = LaneId::new(gateway.clone(), slug, *table.epoch.get_ref())
            .map_err(|fault| text.fault(Some(table.epoch.span()), fault.to_string()))?;
        let ledger = text.parse(&table.ledger, LedgerId::parse)?;
        if !ledgers.iter().any(|it| it.id == ledger) {
            let message = format!("lane {id} draws from {ledger}, which no [[ledger]] reads");
            return Err(text.fault(Some(table.ledger.span()), message));
        }
        if lanes.iter().any(|lane| lane.id == id) {
            return Err(text.fault(Some(table.name.span()), format!("lane {id} stands here a second time")));
        }
        lanes.push(LaneConfig {
            id,
            ledger,
            mapping: text.file_ref(&table.mapping)?,
            tag_key: text.file_ref(&table.tag_key)?,
            from_height: Height::new(table.from_height),
        });
    }
    // One key for two lanes would let whoever is bound to one lane recognise record keys in the other.
    let mut files: Vec<&FileRef> = Vec::new();
    for lane in &lanes {
        if files.iter().any(|file| file.path == lane.tag_key.path) {
            let message = format!("expected a tag key of its own for lane {}, got another lane's", lane.id);
            return Err(super::place::fault_at(text.file, lane.tag_key.place, message));
        }
        files.push(&lane.tag_key);
    }
    Ok(lanes)
}

fn peers(
    text: &Text<'_>,
    tables: Vec<PeerTable>,
    gateway: &GatewayId,
    lanes: &[LaneConfig],
) -> Result<Vec<PeerGrant>, ConfigFault> {
    let own_lane = |it: &str| {
        let lane = LaneId::parse(&format!("{gateway}/{it}"))
            .map_err(|_| format!("expected <lane>/<epoch> of this gateway or \"*\", got {it:?}"))?;
        match lanes.iter().any(|known| known.id == lane) {
            true => Ok(lane),
            false => Err(format!("expected a lane that a [[lane]] publishes, got {it:?}")),
        }
    };
    let inbox_lane = |it: &str| {
        let lane = LaneId::parse(it).map_err(|fault| fault.to_string())?;
        match lane.gateway() == gateway {
            false => Ok(lane),
            true => Err(format!("expected another gateway's lane, got {it:?}: nobody delivers our own lanes to us")),
        }
    };
    let mut peers: Vec<PeerGrant> = Vec::new();
    for table in tables {
        let identity = text.parse(&table.identity, Identity::parse)?;
        if peers.iter().any(|peer| peer.identity == identity) {
            return Err(text.fault(Some(table.identity.span()), format!("{identity} stands here a second time")));
        }
        peers.push(PeerGrant {
            identity,
            read_lanes: bound(text, &table.read_lanes, own_lane)?,
            write_lanes: bound(text, &table.write_lanes, inbox_lane)?,
            write_ledgers: bound(text, &table.write_ledgers, LedgerId::parse)?,
        });
    }
    Ok(peers)
}

fn bound<T: Ord, E: std::fmt::Display>(
    text: &Text<'_>,
    items: &[Spanned<String>],
    parse: impl Fn(&str) -> Result<T, E>,
) -> Result<Bound<T>, ConfigFault> {
    if let [only] = items
        && only.get_ref() == "*"
    {
        return Ok(Bound::All);
    }
    let mut these = BTreeSet::new();
    for item in items {
        if item.get_ref() == "*" {
            return Err(text.fault(Some(item.span()), "expected \"*\" alone, got it beside others"));
        }
        these.insert(text.parse(item, &parse)?);
    }
    Ok(Bound::These(these))
}

fn applications(text: &Text<'_>, tables: Vec<ApplicationTable>) -> Result<Vec<ApplicationGrant>, ConfigFault> {
    let mut applications: Vec<ApplicationGrant> = Vec::new();
    for table in tables {
        let name =
            text.parse(&table.name, |it| match it.is_empty() || it.len() > 64 || it.contains(char::is_control) {
                true => Err(format!("expected a name of 1 to 64 printing characters, got {it:?}")),
                false => Ok(it.to_owned()),
            })?;
        let token = text.parse(&table.token_sha256, Digest::from_hex)?;
        if applications.iter().any(|it| it.name == name) {
            return Err(text.fault(Some(table.name.span()), format!("application {name} stands here a second time")));
        }
        if let Some(other) = applications.iter().find(|it| it.token == token) {
            let message = format!("expected a token of its own, got that of {}", other.name);
            return Err(text.fault(Some(table.token_sha256.span()), message));
        }
        if table.scopes.is_empty() {
            return Err(text.fault(Some(table.name.span()), "expected at least one of scopes, got none"));
        }
        let scopes = table.scopes.iter().map(|it| text.parse(it, scope)).collect::<Result<_, _>>()?;
        applications.push(ApplicationGrant { name, token, scopes });
    }
    Ok(applications)
}

fn scope(text: &str) -> Result<Scope, String> {
    [Scope::Read, Scope::Operate]
        .into_iter()
        .find(|scope| scope.as_str() == text)
        .ok_or_else(|| format!("expected read or operate, got {text:?}"))
}

#[cfg(test)]
mod tests {
    use super::super::Place;
    use super::*;

    const LEDGER: &str = "sim:00000000000000000000000000000000";

    fn text() -> String {
        format!(
            r#"[gateway]
name = "land.example"
database = "land.db"
policy = "policy.toml"
log_key = "log.key"
heartbeat_seconds = 60

[listen]
peers = "127.0.0.1:7401"
applications = "127.0.0.1:7402"
monitoring = "127.0.0.1:7403"

[tls]
certificate = "gateway.pem"
key = "gateway.key"
client_authorities = "authorities.pem"

[limits]
connections = 10
request_seconds = 7

[[ledger]]
id = "{LEDGER}"
source = {{ family = "sim", nodes = ["a"] }}

[[lane]]
name = "property-rights"
epoch = 1
ledger = "{LEDGER}"
mapping = "maps/property-right.yaml"
tag_key = "/keys/property-rights.tag"
from_height = 1

[[peer]]
identity = "urn:hufu:relayer:city-1"
read_lanes = ["property-rights/1"]
write_lanes = ["tax.example/clearance/1"]
write_ledgers = ["*"]

[[application]]
name = "land-portal"
token_sha256 = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
scopes = ["read"]
"#
        )
    }

    #[test]
    fn a_whole_file_is_read() {
        let config = GatewayConfig::parse("/etc/hufu/gateway.toml", &text()).unwrap();
        let lane = LaneId::parse("land.example/property-rights/1").unwrap();
        assert_eq!(config.lanes[0].id, lane);
        assert_eq!(config.lanes[0].mapping.path.to_str(), Some("/etc/hufu/maps/property-right.yaml"));
        assert_eq!(config.lanes[0].tag_key.path.to_str(), Some("/keys/property-rights.tag"));
        assert_eq!(config.lanes[0].mapping.place, Place { line: 30, column: 11 });
        assert_eq!(config.ledgers[0].source["nodes"][0], "a");
        assert_eq!((config.limits.connections, config.limits.request.as_secs()), (10, 7));
        assert_eq!(config.limits.header, crate::config::Limits::default().header);
        let peer = &config.peers[0];
        assert!(peer.read_lanes.holds(&lane));
        assert!(!peer.write_lanes.holds(&lane));
        assert_eq!(peer.write_ledgers, Bound::All);
    }

    #[test]
    fn what_is_not_bound_is_not_allowed() {
        let text = text().replace("read_lanes = [\"property-rights/1\"]\n", "");
        let config = GatewayConfig::parse("c", &text).unwrap();
        assert!(config.peers[0].read_lanes.is_empty());
    }

    #[test]
    fn mistakes_are_named_with_their_line() {
        for (from, to, line, words) in [
            ("log_key = ", "log_keys = ", 5, "log_keys"),
            ("[limits]", "[limit]", 18, "limit"),
            ("monitoring = ", "monitor = ", 11, "monitor"),
            ("certificate = ", "cert = ", 14, "cert"),
            ("connections = 10", "conections = 10", 19, "conections"),
            ("connections = 10", "connections = 0", 19, "from 1 to"),
            ("request_seconds = 7", "request_seconds = \"7\"", 20, "invalid type"),
            ("heartbeat_seconds = 60", "heartbeat_seconds = 0", 6, "heartbeat_seconds"),
            ("land.example", "Land.example", 2, "gateway name"),
            ("127.0.0.1:7402", "localhost", 10, "<ip>:<port>"),
            ("127.0.0.1:7402", "127.0.0.1:7401", 10, "address of its own"),
            ("family = \"sim\"", "family = \"other\"", 24, "source.family"),
            ("from_height", "from_hight", 32, "from_hight"),
            ("epoch = 1", "epoch = 0", 28, "epoch"),
            ("ledger = \"sim:00", "ledger = \"sim:10", 29, "no [[ledger]]"),
            ("urn:hufu:relayer", "urn:hufu:rely", 35, "urn:hufu:relayer"),
            ("[\"property-rights/1\"]", "[\"property-rights/2\"]", 36, "[[lane]]"),
            ("[\"property-rights/1\"]", "[\"*\", \"property-rights/1\"]", 36, "alone"),
            ("tax.example/clearance/1", "land.example/clearance/1", 37, "another gateway's"),
            ("tax.example/clearance/1", "tax.example/clearance", 37, "lane <gateway>"),
            ("write_ledgers", "write_ledger", 38, "write_ledger"),
            ("0123456789abcdef\"", "0123456789ABCDEF\"", 42, "hex"),
            ("scopes = [\"read\"]", "scopes = [\"raed\"]", 43, "raed"),
            ("scopes = [\"read\"]", "scopes = []", 41, "scopes"),
            ("name = \"land.example\"", "name = land.example", 2, ""),
            ("database = \"land.db\"", "database = \"\"", 3, "path"),
        ] {
            let broken = text().replacen(from, to, 1);
            assert_ne!(broken, text(), "{from}");
            let fault = GatewayConfig::parse("gateway.toml", &broken).unwrap_err();
            assert!(fault.message.contains(words), "{to}: {fault}");
            assert_eq!((fault.line, fault.file.as_str()), (line, "gateway.toml"), "{to}: {fault}");
        }
    }

    #[test]
    fn what_stands_twice_is_refused() {
        let whole = text();
        for header in ["[[ledger]]", "[[lane]]", "[[peer]]", "[[application]]"] {
            let from = whole.find(header).unwrap();
            let section = &whole[from..];
            let to = section[2..].find("\n[[").map_or(section.len(), |at| at + 3);
            let doubled = format!("{whole}\n{}", &section[..to]);
            let fault = GatewayConfig::parse("c", &doubled).unwrap_err();
            assert!(fault.message.contains("second time"), "{header}: {fault}");
            assert!(fault.line > 43, "{header}: {fault}");
        }
        let second = whole
            + "\n[[application]]\nname = \"other\"\ntoken_sha256 = \
               \"0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef\"\nscopes = [\"read\"]\n";
        assert!(GatewayConfig::parse("c", &second).unwrap_err().message.contains("that of land-portal"));
    }

    #[test]
    fn a_tag_key_is_not_shared_between_lanes() {
        let second = text()
            + &format!(
                "\n[[lane]]\nname = \"other\"\nepoch = 1\nledger = \"{LEDGER}\"\nmapping = \"m.yaml\"\n\
                 tag_key = \"/keys/property-rights.tag\"\nfrom_height = 1\n"
            );
        let fault = GatewayConfig::parse("c", &second).unwrap_err();
        assert!(fault.message.contains("tag key of its own"), "{fault}");
        assert_eq!(fault.line, 50);
    }
}
