//! Exchanges with one node, repeated where that can help, at the pace that its operator allows.

use tokio::time::Instant;

use crate::config::{ConfigFault, NodeConfig, Patience};
use crate::fault::NodeFault;
use crate::pace::Pace;
use crate::standing::jitter;
use crate::transport::{Room, Transport, Trouble};

/// An exchange that failed after every repetition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unserved {
    /// A smaller question may do better.
    TooMuch(NodeFault),
    /// The node did not serve.
    Node(NodeFault),
}

/// The way to one node.
#[derive(Debug)]
pub struct Line {
    transport: Transport,
    pace: Option<Pace>,
    patience: Patience,
}

impl Line {
    /// Answers of at most `response_bytes` are read.
    ///
    /// # Errors
    /// As [`Transport::new`].
    pub fn new(node: &NodeConfig, patience: &Patience, response_bytes: usize) -> Result<Self, ConfigFault> {
        Ok(Self {
            transport: Transport::new(node, patience, response_bytes)?,
            pace: node.requests_per_second.map(Pace::new),
            patience: patience.clone(),
        })
    }

    /// How many requests a second the node allows; `None` as many as are needed.
    pub const fn pace(&self) -> Option<&Pace> {
        self.pace.as_ref()
    }

    /// Whether it is asked as much as its operator allows, so that what can wait should.
    pub fn is_spent(&self) -> bool {
        self.pace.as_ref().is_some_and(|pace| pace.is_spent(Instant::now()))
    }

    /// Sends a body that holds so many requests, and again where the trouble may pass. `too_often` is called each time
    /// that the node says 429.
    ///
    /// # Errors
    /// [`Unserved`], with what the node asks for.
    pub async fn post(
        &self,
        body: &str,
        requests: usize,
        room: &Room,
        too_often: impl Fn() + Sync,
    ) -> Result<Vec<u8>, Unserved> {
        let mut pause = self.patience.backoff;
        let mut left = self.patience.retries;
        loop {
            if let Some(pace) = &self.pace {
                tokio::time::sleep(pace.take(requests, Instant::now())).await;
            }
            let (detail, wait) = match self.transport.post(body.to_owned(), room).await {
                Ok(body) => return Ok(body),
                Err(Trouble::Passing { detail, wait }) => (detail, wait),
                Err(Trouble::TooOften { detail, wait }) => {
                    too_often();
                    (detail, Some(wait.unwrap_or(self.patience.rest)))
                }
                Err(trouble) => return Err(lasting(trouble)),
            };
            // A short pause is made here; for a longer one, or when it says so again, others are asked meanwhile.
            if let Some(wait) = wait.filter(|wait| *wait > self.patience.backoff_most || left == 0) {
                return Err(Unserved::Node(NodeFault::Busy { detail, wait }));
            }
            if left == 0 {
                return Err(Unserved::Node(NodeFault::Unreachable(detail)));
            }
            left -= 1;
            tokio::time::sleep(wait.unwrap_or_default().max(pause.mul_f64(jitter()))).await;
            pause = pause.saturating_mul(2).min(self.patience.backoff_most);
        }
    }
}

/// What repeating the same does not mend.
fn lasting(trouble: Trouble) -> Unserved {
    match trouble {
        Trouble::Passing { detail, .. } | Trouble::TooOften { detail, .. } => {
            Unserved::Node(NodeFault::Unreachable(detail))
        }
        Trouble::Timeout(time) => Unserved::Node(NodeFault::Unreachable(format!("no whole answer in {time:?}"))),
        Trouble::Denied(detail) => Unserved::Node(NodeFault::Denied(detail)),
        Trouble::Status(code) => Unserved::TooMuch(NodeFault::malformed("status 200", format!("status {code}"))),
        Trouble::Oversize(most) => Unserved::TooMuch(NodeFault::TooLarge(most)),
    }
}
