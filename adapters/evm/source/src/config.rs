//! Which nodes are asked, and how patient we are with them.

use std::fmt;
use std::time::Duration;

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

    pub(crate) fn reveal(&self) -> &str {
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

/// Bounds on what is asked for and on what is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of one answer. The largest evidence (32 MiB) is 64 MiB in hex; a busy block of 2,000 receipts is about
    /// 4 MiB in JSON.
    pub response_bytes: usize,
    /// Bytes of all answers that are held at once for one question to one node: two of the largest.
    pub held_bytes: usize,
    /// Batches that one node is asked at a time.
    pub in_flight: usize,
    /// Requests of one batch of headers or single receipts. 64 headers of 2 KiB are 256 KiB in hex.
    pub batch: usize,
    /// Blocks whose receipts one batch asks for.
    pub receipts_batch: usize,
    /// Headers of one [`steps`](hufu_adapters_source::Source::steps) call, whatever the caller asks for.
    pub steps: usize,
    /// A node so many blocks below the best is `behind`.
    pub lag: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            response_bytes: 72 << 20,
            held_bytes: 144 << 20,
            in_flight: 4,
            batch: 64,
            receipts_batch: 8,
            steps: 1_024,
            lag: 8,
        }
    }
}

/// An EVM ledger as an operator describes it.
#[derive(Debug, Clone)]
pub struct EvmSourceConfig {
    /// The nodes, in the order of preference.
    pub nodes: Vec<NodeConfig>,
    /// Hash of block 0: what decides whether a node belongs to this ledger.
    pub genesis: [u8; 32],
    /// What `eth_chainId` must answer. Proves nothing (chain ids repeat), but catches mistakes.
    pub chain_id: Option<u64>,
    /// Whether blocks that were trusted may be undone on this ledger. Then a node on another branch is no fault by itself:
    /// the light client decides between branches.
    pub reorganises: bool,
    /// How patient we are.
    pub patience: Patience,
    /// What is asked for at most.
    pub limits: Limits,
}

impl EvmSourceConfig {
    /// With the default patience and limits.
    pub fn new(nodes: Vec<NodeConfig>, genesis: [u8; 32]) -> Self {
        Self {
            nodes,
            genesis,
            chain_id: None,
            reorganises: false,
            patience: Patience::default(),
            limits: Limits::default(),
        }
    }

    pub(crate) fn check(&self) -> Result<(), ConfigFault> {
        if self.nodes.is_empty() || self.nodes.len() > MAX_NODES {
            let expected = format!("1 to {MAX_NODES} nodes");
            return Err(ConfigFault::new("nodes", &expected, &self.nodes.len()));
        }
        for (at, node) in self.nodes.iter().enumerate() {
            if node.name.is_empty() || self.nodes.iter().take(at).any(|other| other.name == node.name) {
                return Err(ConfigFault::new("nodes", "a name of its own for each node", &format!("{:?}", node.name)));
            }
            node.check()?;
        }
        let limits = &self.limits;
        let counts = [limits.batch, limits.receipts_batch, limits.steps, limits.response_bytes, limits.in_flight];
        if counts.contains(&0) || limits.held_bytes < limits.response_bytes {
            return Err(ConfigFault::new(
                "limits",
                "limits above 0, held_bytes not below response_bytes",
                &format!("{limits:?}"),
            ));
        }
        Ok(())
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
    pub(crate) fn new(place: &str, expected: &str, got: &dyn fmt::Display) -> Self {
        Self { place: place.to_owned(), expected: expected.to_owned(), got: got.to_string() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(name: &str, url: &str) -> NodeConfig {
        NodeConfig::new(name, url).unwrap()
    }

    #[test]
    fn configurations_that_cannot_work() {
        assert!(NodeConfig::new("a", "not a url").is_err());
        for nodes in [
            vec![],
            vec![node("", "http://a")],
            vec![node("a", "http://a"), node("a", "http://b")],
            vec![node("a", "ftp://a")],
            vec![node("a", "http://a").with_ws("http://a").unwrap()],
            vec![NodeConfig { requests_per_second: Some(0), ..node("a", "http://a") }],
        ] {
            assert!(EvmSourceConfig::new(nodes, [0; 32]).check().is_err());
        }
        let mut config = EvmSourceConfig::new(vec![node("a", "http://a")], [0; 32]);
        assert_eq!(config.check(), Ok(()));
        config.limits.batch = 0;
        assert!(config.check().is_err());
    }

    #[test]
    fn secrets_and_urls_are_not_shown() {
        let mut node = node("a", "http://user:password@host/key");
        node.headers.push(("authorization".to_owned(), Secret::new("Bearer token")));
        let shown = format!("{:?} {:?}", EvmSourceConfig::new(vec![node.clone()], [0; 32]), node.headers);
        for secret in ["password", "key", "token", "host"] {
            assert!(!shown.contains(secret), "{shown}");
        }
    }
}
