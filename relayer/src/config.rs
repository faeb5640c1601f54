//! The courier's configuration: one TOML file, every key known, every fault with its line.

use std::collections::BTreeSet;
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::ops::Range;
use std::path::{Path, PathBuf};

use hufu_schemas_core::LaneId;
use serde::Deserialize;
use toml::Spanned;
use url::{Host, Url};

/// A configuration that was read and makes sense. Files it names are not opened yet.
#[derive(Debug, Clone)]
pub struct RelayerConfig {
    pub(crate) name: String,
    pub(crate) identity: Option<IdentityFiles>,
    pub(crate) monitoring: Option<SocketAddr>,
    pub(crate) pairs: Vec<PairConfig>,
}

/// Who the courier is and whom it trusts: PEM files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdentityFiles {
    /// The courier's certificate chain, its own certificate first.
    pub certificate: PathBuf,
    /// The private key of that certificate.
    pub key: PathBuf,
    /// Authorities of the gateways' server certificates. No others are trusted.
    pub authorities: PathBuf,
}

/// One direction between two gateways.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PairConfig {
    /// Where pages come from.
    pub origin: GatewayUrl,
    /// Where they go.
    pub destination: GatewayUrl,
    /// Which lanes; `None`: every one that the origin shows and the destination answers a state for.
    pub lanes: Option<Vec<LaneId>>,
}

/// Where a gateway's `peers` listener is: `https://host:port`, or `http://` to a loopback address.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct GatewayUrl(Url);

/// A fault in the configuration, and where it stands. Lines and columns count from 1.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{file}:{line}:{column}: {words}")]
pub struct ConfigFault {
    /// The file, as the operator named it.
    pub file: String,
    /// The line.
    pub line: usize,
    /// The column, in characters.
    pub column: usize,
    /// What was expected, and what stands there.
    pub words: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawFile {
    relayer: Spanned<RawRelayer>,
    #[serde(default)]
    pair: Vec<Spanned<RawPair>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawRelayer {
    name: Spanned<String>,
    certificate: Option<PathBuf>,
    key: Option<PathBuf>,
    authorities: Option<PathBuf>,
    monitoring: Option<Spanned<String>>,
    #[serde(default)]
    insecure_loopback: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawPair {
    origin: Spanned<String>,
    destination: Spanned<String>,
    lanes: Option<Spanned<Vec<Spanned<String>>>>,
}

/// A fault by byte range, before lines are counted.
struct Misplaced {
    at: Range<usize>,
    words: String,
}

impl RelayerConfig {
    /// Reads `text`. `file_name` is repeated in faults, and paths in the text are relative to its folder.
    ///
    /// # Errors
    /// The first fault, with its line and column.
    pub fn parse(file_name: &str, text: &str) -> Result<Self, ConfigFault> {
        let placed = |fault: Misplaced| {
            let (line, column) = line_and_column(text, fault.at.start);
            ConfigFault { file: file_name.to_owned(), line, column, words: fault.words }
        };
        let raw: RawFile = toml::from_str(text).map_err(|fault| {
            placed(Misplaced { at: fault.span().unwrap_or(0..0), words: fault.message().trim().to_owned() })
        })?;
        let folder = Path::new(file_name).parent().unwrap_or_else(|| Path::new(""));
        raw.check(folder).map_err(placed)
    }

    /// The courier's name: its certificate says `urn:hufu:relayer:<name>`.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its certificate, key and authorities; `None` where every gateway is reached by plain HTTP on loopback.
    pub const fn identity(&self) -> Option<&IdentityFiles> {
        self.identity.as_ref()
    }

    /// Where `/metrics` and `/healthz` are served.
    pub const fn monitoring(&self) -> Option<SocketAddr> {
        self.monitoring
    }

    /// The pairs.
    pub fn pairs(&self) -> &[PairConfig] {
        &self.pairs
    }
}

impl RawFile {
    fn check(self, folder: &Path) -> Result<RelayerConfig, Misplaced> {
        let at = self.relayer.span();
        let relayer = self.relayer.into_inner();
        let pairs = check_pairs(self.pair, relayer.insecure_loopback, &at)?;
        let needs_tls = pairs.iter().any(|pair| pair.origin.is_https() || pair.destination.is_https());
        let identity = relayer.identity(folder);
        if needs_tls && identity.is_none() {
            let words = "expected certificate, key and authorities, since gateways are reached by https";
            return Err(misplaced(at, words));
        }
        Ok(RelayerConfig {
            monitoring: relayer.monitoring.map(check_address).transpose()?,
            name: check_name(relayer.name)?,
            identity,
            pairs,
        })
    }
}

impl RawRelayer {
    fn identity(&self, folder: &Path) -> Option<IdentityFiles> {
        Some(IdentityFiles {
            certificate: folder.join(self.certificate.as_ref()?),
            key: folder.join(self.key.as_ref()?),
            authorities: folder.join(self.authorities.as_ref()?),
        })
    }
}

impl GatewayUrl {
    fn parse(text: &str, insecure_loopback: bool) -> Result<Self, String> {
        let url = Url::parse(text).map_err(|fault| format!("expected a URL such as https://host:7001: {fault}"))?;
        let bare = url.path() == "/" && url.query().is_none() && url.fragment().is_none();
        if !bare || !url.username().is_empty() || url.password().is_some() {
            return Err(format!("expected only scheme, host and port, got {text}"));
        }
        match url.scheme() {
            "https" => Ok(Self(url)),
            "http" if !insecure_loopback => {
                Err("expected https; http needs insecure_loopback = true under [relayer]".to_owned())
            }
            // By address and not by name: a name can be made to lead elsewhere.
            "http" if is_loopback(&url) => Ok(Self(url)),
            "http" => Err(format!("expected http only to a loopback address such as 127.0.0.1, got {text}")),
            other => Err(format!("expected https, got {other}")),
        }
    }

    fn is_https(&self) -> bool {
        self.0.scheme() == "https"
    }

    /// `host:port`, for logs and labels.
    pub fn authority(&self) -> String {
        let port = self.0.port_or_known_default().unwrap_or(0);
        format!("{}:{port}", self.0.host_str().unwrap_or(""))
    }
}

impl fmt::Display for GatewayUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.as_str().trim_end_matches('/'))
    }
}

fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Ipv4(address)) => IpAddr::V4(address).is_loopback(),
        Some(Host::Ipv6(address)) => IpAddr::V6(address).is_loopback(),
        _ => false,
    }
}

fn check_pairs(
    raw: Vec<Spanned<RawPair>>,
    insecure: bool,
    relayer: &Range<usize>,
) -> Result<Vec<PairConfig>, Misplaced> {
    if raw.is_empty() {
        return Err(misplaced(relayer.clone(), "expected at least one [[pair]], got none"));
    }
    let mut directions = BTreeSet::new();
    let mut pairs = Vec::with_capacity(raw.len());
    for pair in raw {
        let at = pair.span();
        let pair = check_pair(pair.into_inner(), insecure)?;
        if !directions.insert((pair.origin.clone(), pair.destination.clone())) {
            return Err(misplaced(at, "expected each origin and destination once; put all lanes under one [[pair]]"));
        }
        pairs.push(pair);
    }
    Ok(pairs)
}

fn check_pair(raw: RawPair, insecure: bool) -> Result<PairConfig, Misplaced> {
    let url = |text: &Spanned<String>| {
        GatewayUrl::parse(text.as_ref(), insecure).map_err(|words| misplaced(text.span(), words))
    };
    let (origin, destination) = (url(&raw.origin)?, url(&raw.destination)?);
    if origin == destination {
        return Err(misplaced(raw.destination.span(), "expected another gateway than the origin, got the same"));
    }
    Ok(PairConfig { origin, destination, lanes: raw.lanes.map(check_lanes).transpose()? })
}

fn check_lanes(raw: Spanned<Vec<Spanned<String>>>) -> Result<Vec<LaneId>, Misplaced> {
    let at = raw.span();
    let raw = raw.into_inner();
    if raw.is_empty() {
        return Err(misplaced(at, "expected at least one lane; leave the key out for every lane"));
    }
    let mut lanes = Vec::with_capacity(raw.len());
    for text in raw {
        let lane = LaneId::parse(text.as_ref()).map_err(|fault| misplaced(text.span(), fault.to_string()))?;
        if lanes.contains(&lane) {
            return Err(misplaced(text.span(), format!("expected each lane once, got {lane} again")));
        }
        lanes.push(lane);
    }
    Ok(lanes)
}

fn check_name(name: Spanned<String>) -> Result<String, Misplaced> {
    let text = name.as_ref();
    let is_plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'-' | b'.');
    if text.is_empty() || text.len() > 64 || !text.bytes().all(is_plain) {
        let words = format!("expected a name of lower-case letters, digits, dots and hyphens, got {text:?}");
        return Err(misplaced(name.span(), words));
    }
    Ok(name.into_inner())
}

fn check_address(text: Spanned<String>) -> Result<SocketAddr, Misplaced> {
    text.as_ref().parse().map_err(|_| {
        misplaced(text.span(), format!("expected an address such as 127.0.0.1:9464, got {:?}", text.as_ref()))
    })
}

fn misplaced(at: Range<usize>, words: impl Into<String>) -> Misplaced {
    Misplaced { at, words: words.into() }
}

fn line_and_column(text: &str, at: usize) -> (usize, usize) {
    let before = text.get(..at).unwrap_or(text);
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().unwrap_or("").chars().count() + 1;
    (line, column)
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = r#"
[relayer]
name = "city-1"
certificate = "relayer.pem"
key = "keys/relayer.key"
authorities = "/etc/hufu/authorities.pem"
monitoring = "127.0.0.1:9464"

[[pair]]
origin = "https://127.0.0.1:7001"
destination = "https://tax.example:7002"
lanes = ["land.example/property-rights/1"]

[[pair]]
origin = "https://tax.example:7002"
destination = "https://127.0.0.1:7001"
"#;

    fn fault(text: &str) -> ConfigFault {
        RelayerConfig::parse("conf/relayer.toml", text).unwrap_err()
    }

    #[test]
    fn the_documented_file_is_read_and_paths_are_relative_to_it() {
        let config = RelayerConfig::parse("conf/relayer.toml", GOOD).unwrap();
        let identity = config.identity().unwrap();
        assert_eq!(config.name(), "city-1");
        assert_eq!(identity.certificate, Path::new("conf/relayer.pem"));
        assert_eq!(identity.key, Path::new("conf/keys/relayer.key"));
        assert_eq!(identity.authorities, Path::new("/etc/hufu/authorities.pem"));
        assert_eq!(config.monitoring().unwrap().port(), 9464);
        assert_eq!(config.pairs()[0].lanes.as_ref().unwrap()[0].to_string(), "land.example/property-rights/1");
        assert_eq!((config.pairs()[1].lanes.clone(), config.pairs().len()), (None, 2));
        assert_eq!(config.pairs()[1].origin.to_string(), "https://tax.example:7002");
    }

    #[test]
    fn faults_point_at_their_line() {
        let cases = [
            ("name = \"city-1\"", "nmae = \"city-1\"", 3, "nmae"),
            ("monitoring = \"127.0.0.1:9464\"", "monitoring = \"localhost\"", 7, "127.0.0.1:9464"),
            ("https://tax.example:7002\"\nlanes", "https://tax.example:7002/v1\"\nlanes", 11, "only scheme"),
            ("https://tax.example:7002\"\nlanes", "https://127.0.0.1:7001\"\nlanes", 11, "the same"),
            ("property-rights/1\"", "property-rights\"", 12, "a lane"),
            ("lanes = [", "lane = [", 12, "lane"),
            ("lanes = [\"land.example/property-rights/1\"]", "lanes = []", 12, "at least one lane"),
            ("https://127.0.0.1:7001\"\ndest", "http://127.0.0.1:7001\"\ndest", 10, "insecure_loopback"),
            ("key = \"keys/relayer.key\"\n", "", 2, "certificate, key and authorities"),
            ("name = \"city-1\"", "name = \"City 1\"", 3, "lower-case"),
            ("name = \"city-1\"", "name = ", 3, ""),
        ];
        for (from, to, line, words) in cases {
            let text = GOOD.replacen(from, to, 1);
            assert_ne!(text, GOOD, "{from}");
            let fault = fault(&text);
            assert_eq!(fault.line, line, "{fault}");
            assert!(fault.words.contains(words), "{fault}");
            assert!(fault.to_string().starts_with(&format!("conf/relayer.toml:{line}:")), "{fault}");
        }
    }

    #[test]
    fn plain_http_is_for_loopback_addresses_alone_and_only_when_asked_for() {
        let text = |url: &str, insecure: bool| {
            format!(
                "[relayer]\nname = \"a\"\ninsecure_loopback = {insecure}\n[[pair]]\norigin = \"{url}\"\n\
                 destination = \"http://[::1]:2\"\n"
            )
        };
        assert!(RelayerConfig::parse("r.toml", &text("http://127.0.0.1:1", true)).is_ok());
        for url in ["http://10.0.0.1:1", "http://localhost:1", "http://land.example", "ftp://127.0.0.1"] {
            assert_eq!(fault(&text(url, true)).line, 5, "{url}");
        }
        assert_eq!(fault(&text("http://127.0.0.1:1", false)).line, 5);
    }

    #[test]
    fn a_file_without_pairs_or_with_one_direction_twice_is_refused() {
        assert!(fault("[relayer]\nname = \"a\"\n").words.contains("[[pair]]"));
        let direction = "[[pair]]\norigin = \"https://a:1\"\ndestination = \"https://b:1\"\n";
        let text = format!("{}{direction}{direction}", GOOD);
        assert_eq!(fault(&text).line, 20);
    }
}
