//! Which nodes are asked, and how patient we are with them.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use serde::Deserialize;
use url::Url;

/// Nodes one source may name. Each is asked for its height at every poll.
pub const MAX_NODES: usize = 32;

/// A text that is never shown: tokens and API keys.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Wraps a secret.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The secret, to be sent and never to be shown.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// One node.
#[derive(Clone)]
pub struct NodeConfig {
    /// How an operator calls it; the only thing of it that is ever shown.
    pub name: String,
    /// `http` or `https`. May hold a key in its path, so it is never shown.
    pub url: Url,
    /// Headers sent with every request, for instance `authorization`.
    pub headers: Vec<(String, Secret)>,
    /// `ws` or `wss`: where new heads are announced, so that they are asked for at once. A hint only: without it, or
    /// when it falls silent, polling finds the same. Gets the same headers as `url`.
    pub ws: Option<Url>,
    /// Requests a second that the node allows us, each call of a batch counted; `None`: as many as are needed.
    pub requests_per_second: Option<u32>,
    /// PEM certificates trusted beside those of the machine, for a node under a department's own authority.
    pub authorities: Option<Vec<u8>>,
}

impl NodeConfig {
    /// A node without credentials.
    ///
    /// # Errors
    /// [`ConfigFault`] if `url` is not one.
    pub fn new(name: impl Into<String>, url: &str) -> Result<Self, ConfigFault> {
        let name = name.into();
        let url = Url::parse(url).map_err(|fault| ConfigFault::new(&name, "an http or https URL", &fault))?;
        Ok(Self { name, url, headers: Vec::new(), ws: None, requests_per_second: None, authorities: None })
    }

    /// Listens to announcements of new heads there.
    ///
    /// # Errors
    /// [`ConfigFault`] if `url` is not one.
    pub fn with_ws(mut self, url: &str) -> Result<Self, ConfigFault> {
        self.ws = Some(Url::parse(url).map_err(|fault| ConfigFault::new(&self.name, "a ws or wss URL", &fault))?);
        Ok(self)
    }

    fn check(&self) -> Result<(), ConfigFault> {
        if !matches!(self.url.scheme(), "http" | "https") {
            return Err(ConfigFault::new(&self.name, "an http or https URL", &self.url.scheme()));
        }
        if let Some(ws) = self.ws.as_ref().filter(|ws| !matches!(ws.scheme(), "ws" | "wss")) {
            return Err(ConfigFault::new(&self.name, "a ws or wss URL", &ws.scheme()));
        }
        if self.requests_per_second == Some(0) {
            return Err(ConfigFault::new(&self.name, "requests_per_second above 0, or none", &0));
        }
        Ok(())
    }
}

impl fmt::Debug for NodeConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NodeConfig").field("name", &self.name).finish_non_exhaustive()
    }
}

/// How long we wait, and for whom.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Patience {
    /// A height that a node claimed is not asked for again within this time.
    pub poll: Duration,
    /// To open a connection.
    pub connect: Duration,
    /// For one whole exchange, the last byte of the answer included: a slow drip ends here.
    pub request: Duration,
    /// Repetitions after an exchange that failed in a way that passes (5xx, 429, refused connection).
    pub retries: u32,
    /// Pause before the first repetition; doubles each time, with jitter.
    pub backoff: Duration,
    /// The longest pause within one call. A node that asks for more (`Retry-After`) is left alone for as long as it
    /// asks, and others are asked meanwhile.
    pub backoff_most: Duration,
    /// How long a node rests that says we ask too much and does not say for how long.
    pub rest: Duration,
    /// How long a node is benched at first; doubles each time, with jitter.
    pub bench: Duration,
    /// The longest bench of a node that contradicts (`forked`, `lying`, `wrong-ledger`) and of one that asks for a
    /// longer pause than this. Never for ever: operators mend nodes.
    pub bench_most: Duration,
    /// The longest bench of a node that merely fails (`behind`, `unreachable`).
    pub bench_most_failing: Duration,
    /// After this time a node's genesis and chain id are looked at again: names move to other machines.
    pub recheck: Duration,
    /// A socket of announcements on which nothing came for so long, an answer to our ping included, is opened anew.
    pub socket_silence: Duration,
    /// Pause before a socket is opened again; doubles each time, with jitter, and begins anew once a head came.
    pub socket_backoff: Duration,
    /// The longest such pause.
    pub socket_backoff_most: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            poll: Duration::from_millis(200),
            connect: Duration::from_secs(3),
            request: Duration::from_secs(15),
            retries: 2,
            backoff: Duration::from_millis(100),
            backoff_most: Duration::from_secs(2),
            rest: Duration::from_secs(2),
            bench: Duration::from_secs(5),
            bench_most: Duration::from_secs(600),
            bench_most_failing: Duration::from_secs(30),
            recheck: Duration::from_secs(600),
            socket_silence: Duration::from_secs(60),
            socket_backoff: Duration::from_secs(1),
            socket_backoff_most: Duration::from_secs(60),
        }
    }
}

/// A configuration that cannot work.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{place}: expected {expected}, got {got}")]
pub struct ConfigFault {
    place: String,
    expected: String,
    got: String,
}

impl ConfigFault {
    /// What was expected at a place, and what stands there.
    pub fn new(place: &str, expected: &str, got: &dyn fmt::Display) -> Self {
        Self { place: place.to_owned(), expected: expected.to_owned(), got: got.to_string() }
    }

    /// Settings that cannot be read. Texts that the fault quotes are left out: one may be a token in the wrong place.
    pub fn of_settings(expected: &str, fault: &dyn fmt::Display) -> Self {
        let fault = fault.to_string();
        let shown: Vec<&str> = fault.split('"').step_by(2).collect();
        Self::new("source", expected, &shown.join("…"))
    }
}

/// Asserts that there are 1 to [`MAX_NODES`] nodes, each with a name of its own, and that each can work.
///
/// # Errors
/// [`ConfigFault`] that names the node.
pub fn check_nodes(nodes: &[NodeConfig]) -> Result<(), ConfigFault> {
    if nodes.is_empty() || nodes.len() > MAX_NODES {
        return Err(ConfigFault::new("nodes", &format!("1 to {MAX_NODES} nodes"), &nodes.len()));
    }
    for (at, node) in nodes.iter().enumerate() {
        if node.name.is_empty() || nodes.iter().take(at).any(|other| other.name == node.name) {
            return Err(ConfigFault::new("nodes", "a name of its own for each node", &format!("{:?}", node.name)));
        }
        node.check()?;
    }
    Ok(())
}

/// One node as an operator writes it down: `{name, url, ws, headers, requests_per_second}`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NodeSettings {
    name: String,
    url: String,
    #[serde(default)]
    headers: BTreeMap<String, String>,
    ws: Option<String>,
    requests_per_second: Option<u32>,
}

impl TryFrom<NodeSettings> for NodeConfig {
    type Error = ConfigFault;

    fn try_from(node: NodeSettings) -> Result<Self, ConfigFault> {
        let mut config = Self::new(node.name, &node.url)?;
        if let Some(ws) = node.ws {
            config = config.with_ws(&ws)?;
        }
        config.requests_per_second = node.requests_per_second;
        config.headers = node.headers.into_iter().map(|(name, value)| (name, Secret::new(value))).collect();
        Ok(config)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(name: &str, url: &str) -> NodeConfig {
        NodeConfig::new(name, url).unwrap()
    }

    #[test]
    fn nodes_that_cannot_work() {
        assert!(NodeConfig::new("a", "not a url").is_err());
        for nodes in [
            vec![],
            vec![node("", "http://a")],
            vec![node("a", "http://a"), node("a", "http://b")],
            vec![node("a", "ftp://a")],
            vec![node("a", "http://a").with_ws("http://a").unwrap()],
            vec![NodeConfig { requests_per_second: Some(0), ..node("a", "http://a") }],
        ] {
            assert!(check_nodes(&nodes).is_err());
        }
        assert_eq!(check_nodes(&[node("a", "http://a")]), Ok(()));
    }

    #[test]
    fn secrets_and_urls_are_not_shown() {
        let mut node = node("a", "http://user:password@host/key");
        node.headers.push(("authorization".to_owned(), Secret::new("Bearer token")));
        let shown = format!("{:?} {:?}", node.clone(), node.headers);
        for secret in ["password", "key", "token", "host"] {
            assert!(!shown.contains(secret), "{shown}");
        }
    }

    #[test]
    fn a_token_in_the_wrong_place_is_not_shown() {
        let text = r#"{"name": "a", "url": "http://a", "headers": "Bearer token"}"#;
        let fault = serde_json::from_str::<NodeSettings>(text).err().unwrap();
        assert!(fault.to_string().contains("token"), "the reader quotes what it cannot read");
        let shown = ConfigFault::of_settings("nodes", &fault).to_string();
        assert!(!shown.contains("token") && shown.contains("expected a map"), "{shown}");
    }

    #[test]
    fn a_node_as_an_operator_writes_it() {
        let read = |text: &str| serde_json::from_str::<NodeSettings>(text).map(NodeConfig::try_from);
        let text = r#"{"name": "a", "url": "http://127.0.0.1:1", "headers": {"authorization": "x"},
            "ws": "ws://127.0.0.1:2", "requests_per_second": 25}"#;
        let node = read(text).unwrap().unwrap();
        assert_eq!((node.headers.len(), node.requests_per_second), (1, Some(25)));
        assert_eq!(node.ws.as_ref().map(Url::as_str), Some("ws://127.0.0.1:2/"));
        assert!(read(r#"{"name": "a", "url": "http://a", "ulr": "x"}"#).is_err());
        assert!(read(r#"{"name": "a", "url": "a"}"#).unwrap().is_err());
    }
}
