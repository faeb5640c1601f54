//! Announcements of new heads over WebSocket: they wake the next question for the height, and nothing else.
//!
//! Not one byte of what a socket says is used. A socket that is dropped, silent, garbled, flooding or lying costs at most
//! the time until the next poll, and at most one question each [`RING_LEAST`]. What is said and heard is a family's [`Dialect`].

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures_util::{SinkExt as _, StreamExt as _};
use reqwest::Upgraded;
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval, timeout};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::protocol::{Role, WebSocketConfig};
use tokio_tungstenite::tungstenite::{Bytes, Message};

use crate::config::{ConfigFault, NodeConfig, Patience};
use crate::standing::jitter;
use crate::transport::Upgrade;

/// Bytes that wait to be sent, answers to pings among them: a node that does not read is hung up on.
const UNSENT_BYTES: usize = 16 << 10;

/// Messages a second that a socket may send: the fastest ledgers make a few blocks a second.
const MESSAGES_A_SECOND: u32 = 64;

/// A socket rings at most this often: a question more often than this only loads the nodes.
const RING_LEAST: Duration = Duration::from_millis(100);

/// Pings within the time after which a silent socket is opened anew.
const PINGS: u32 = 3;

/// Letters of a subscription's name: ids of 16 bytes in hex are usual.
const ID_LETTERS: usize = 128;

/// How a family's nodes announce new heads.
#[derive(Debug, Clone, Copy)]
pub struct Dialect {
    /// What is said once the socket is open.
    pub subscribe: &'static str,
    /// What is subscribed to, in words for the log.
    pub what: &'static str,
    /// Bytes of the longest message that is read.
    pub message_bytes: usize,
    /// Reads one message; `None` where it is not of the protocol at all.
    pub read: fn(&str) -> Option<Told>,
}

/// What a message says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Told {
    /// The subscription stands, under this name.
    Subscribed(String),
    /// There will be none.
    Refused,
    /// A new head, under a subscription of this name.
    Head(String),
    /// Something else.
    Other,
}

/// What sockets ring and the source listens to.
#[derive(Debug, Default)]
pub struct Bell {
    rung: AtomicU64,
    notify: Notify,
}

impl Bell {
    /// A height asked for at another count than this may be old.
    pub fn count(&self) -> u64 {
        self.rung.load(Ordering::Acquire)
    }

    /// There may be something new.
    pub fn ring(&self) {
        self.rung.fetch_add(1, Ordering::AcqRel);
        self.notify.notify_one();
    }

    /// Ends with the next ring, or at once when it rang since the last wait ended.
    pub async fn heard(&self) {
        self.notify.notified().await;
    }
}

/// One node's socket.
#[derive(Debug)]
pub struct Socket {
    node: String,
    dialect: Dialect,
    upgrade: Upgrade,
    patience: Patience,
}

/// Why a socket ended.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
enum End {
    #[error("it did not open: {0}")]
    NotOpened(String),
    #[error("it was closed")]
    Closed,
    #[error("it broke: {0}")]
    Broke(String),
    #[error("nothing came for {0:?}, no answer to our ping either")]
    Silent(Duration),
    #[error("expected JSON-RPC, got other bytes")]
    Garbage,
    #[error("the node does not offer {0}")]
    NotOffered(&'static str),
    #[error("expected at most {MESSAGES_A_SECOND} messages a second, got more")]
    Flood,
}

impl Socket {
    /// The socket of a node that has one.
    ///
    /// # Errors
    /// [`ConfigFault`] where it cannot be opened: a header that cannot be sent, `wss` without a TLS provider.
    pub fn of(node: &NodeConfig, patience: &Patience, dialect: Dialect) -> Result<Option<Self>, ConfigFault> {
        let Some(url) = &node.ws else { return Ok(None) };
        let upgrade = Upgrade::new(node, url, patience)?;
        Ok(Some(Self { node: node.name.clone(), dialect, upgrade, patience: patience.clone() }))
    }

    /// Listens for ever, with pauses.
    async fn listen(self: Arc<Self>, bell: Arc<Bell>) {
        let mut pause = self.patience.socket_backoff;
        let mut said = false;
        loop {
            let mut heads = 0u64;
            let end = self.once(&bell, &mut heads).await;
            if heads > 0 {
                (pause, said) = (self.patience.socket_backoff, false);
            }
            // Said once, not at each attempt: polling goes on, and nothing is lost but a little time.
            if said {
                tracing::debug!(node = self.node, %end, "socket of announcements ended; polling goes on");
            } else {
                tracing::warn!(node = self.node, %end, "socket of announcements ended; polling goes on");
            }
            said = true;
            tokio::time::sleep(pause.mul_f64(jitter())).await;
            pause = pause.saturating_mul(2).min(self.patience.socket_backoff_most);
        }
    }

    async fn send(&self, stream: &mut WebSocketStream<Upgraded>, message: Message) -> Result<(), End> {
        match timeout(self.patience.request, stream.send(message)).await {
            Ok(sent) => sent.map_err(|error| End::Broke(error.to_string())),
            Err(_) => Err(End::Broke(format!("nothing could be sent for {:?}", self.patience.request))),
        }
    }

    /// One connection, from its opening to its end.
    async fn once(&self, bell: &Bell, heads: &mut u64) -> End {
        let opened = match timeout(self.patience.request, self.upgrade.open()).await {
            Ok(Ok(opened)) => opened,
            Ok(Err(detail)) => return End::NotOpened(detail),
            Err(_) => return End::NotOpened(format!("no answer in {:?}", self.patience.request)),
        };
        let config = WebSocketConfig::default()
            .max_message_size(Some(self.dialect.message_bytes))
            .max_frame_size(Some(self.dialect.message_bytes))
            .write_buffer_size(0)
            .max_write_buffer_size(UNSENT_BYTES);
        let mut stream = WebSocketStream::from_raw_socket(opened, Role::Client, Some(config)).await;
        if let Err(end) = self.send(&mut stream, Message::text(self.dialect.subscribe)).await {
            return end;
        }
        let mut hearing = Hearing::new(self.dialect, Instant::now());
        let mut pings = interval((self.patience.socket_silence / PINGS).max(Duration::from_millis(1)));
        pings.set_missed_tick_behavior(MissedTickBehavior::Delay);
        pings.reset();
        loop {
            let due = hearing.owed;
            tokio::select! {
                message = stream.next() => {
                    let told = match message {
                        None | Some(Ok(Message::Close(_))) => return End::Closed,
                        Some(Err(error)) => return End::Broke(error.to_string()),
                        Some(Ok(message)) => hearing.hear(&message, Instant::now()),
                    };
                    if let Err(end) = told {
                        return end;
                    }
                    *heads = hearing.heads;
                }
                () = tokio::time::sleep_until(due.unwrap_or_else(Instant::now)), if due.is_some() => {
                    hearing.rang(Instant::now());
                    bell.ring();
                }
                _ = pings.tick() => {
                    if hearing.last.elapsed() >= self.patience.socket_silence {
                        return End::Silent(self.patience.socket_silence);
                    }
                    if let Err(end) = self.send(&mut stream, Message::Ping(Bytes::new())).await {
                        return end;
                    }
                }
            }
        }
    }
}

/// For fuzzing alone: a message is the answer to our subscription, and then an announcement.
#[doc(hidden)]
pub fn hear(dialect: Dialect, body: &[u8]) {
    let now = Instant::now();
    let message = Message::binary(body.to_vec());
    let mut hearing = Hearing::new(dialect, now);
    if hearing.hear(&message, now).is_ok() && hearing.hear(&message, now).is_ok() {
        assert!(hearing.heads <= 1, "one message announced more than one head");
    }
}

/// What was heard on one connection. Pure but for the time, which is an argument.
#[derive(Debug)]
struct Hearing {
    dialect: Dialect,
    subscription: Option<String>,
    heads: u64,
    /// When anything came last.
    last: Instant,
    /// The second that is counted, and messages in it.
    second: (Instant, u32),
    rung: Option<Instant>,
    /// A head was announced: the bell is to ring then.
    owed: Option<Instant>,
}

impl Hearing {
    fn new(dialect: Dialect, now: Instant) -> Self {
        Self { dialect, subscription: None, heads: 0, last: now, second: (now, 0), rung: None, owed: None }
    }

    fn rang(&mut self, now: Instant) {
        (self.rung, self.owed) = (Some(now), None);
    }

    fn hear(&mut self, message: &Message, now: Instant) -> Result<(), End> {
        self.last = now;
        self.count(now)?;
        let (Message::Text(_) | Message::Binary(_)) = message else { return Ok(()) };
        let body = message.to_text().map_err(|_| End::Garbage)?;
        let told = (self.dialect.read)(body).ok_or(End::Garbage)?;
        match (&self.subscription, told) {
            (None, Told::Subscribed(name)) if name.len() <= ID_LETTERS => self.subscription = Some(name),
            (None, Told::Subscribed(_) | Told::Refused) => return Err(End::NotOffered(self.dialect.what)),
            (Some(ours), Told::Head(name)) if name == *ours => {
                self.heads = self.heads.saturating_add(1);
                let at = self.rung.map_or(now, |rung| now.max(rung + RING_LEAST));
                self.owed.get_or_insert(at);
            }
            _ => {}
        }
        Ok(())
    }

    fn count(&mut self, now: Instant) -> Result<(), End> {
        let (since, messages) = &mut self.second;
        if now.saturating_duration_since(*since) >= Duration::from_secs(1) {
            (*since, *messages) = (now, 0);
        }
        *messages = messages.saturating_add(1);
        if *messages > MESSAGES_A_SECOND { Err(End::Flood) } else { Ok(()) }
    }
}

/// Begins to listen. Dropping what is returned ends it.
pub fn listen(sockets: &[Arc<Socket>], bell: &Arc<Bell>) -> JoinSet<()> {
    let mut tasks = JoinSet::new();
    for socket in sockets {
        tasks.spawn(Arc::clone(socket).listen(Arc::clone(bell)));
    }
    tasks
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `+name`, `-`, `!name`; letters alone are something else.
    const DIALECT: Dialect = Dialect { subscribe: "", what: "heads", message_bytes: 1 << 10, read };

    fn read(text: &str) -> Option<Told> {
        match text.split_at_checked(1)? {
            ("+", name) => Some(Told::Subscribed(name.to_owned())),
            ("-", _) => Some(Told::Refused),
            ("!", name) => Some(Told::Head(name.to_owned())),
            ("<", _) => None,
            _ => Some(Told::Other),
        }
    }

    fn subscribed(now: Instant) -> Hearing {
        let mut hearing = Hearing::new(DIALECT, now);
        hearing.hear(&Message::text("+0xab"), now).unwrap();
        hearing
    }

    fn head(subscription: &str) -> Message {
        Message::text(format!("!{subscription}"))
    }

    #[test]
    fn a_head_of_our_subscription_rings_and_nothing_else_does() {
        let now = Instant::now();
        let mut hearing = Hearing::new(DIALECT, now);
        hearing.hear(&head("0xab"), now).unwrap();
        assert_eq!(hearing.owed, None, "before the subscription stands");
        let mut hearing = subscribed(now);
        hearing.hear(&head("0xcd"), now).unwrap();
        hearing.hear(&Message::Ping(Bytes::new()), now).unwrap();
        hearing.hear(&Message::text("other"), now).unwrap();
        assert_eq!((hearing.owed, hearing.heads), (None, 0));
        hearing.hear(&head("0xab"), now).unwrap();
        assert_eq!((hearing.owed, hearing.heads), (Some(now), 1));
    }

    #[test]
    fn many_heads_ring_once_in_a_while_and_the_last_is_not_lost() {
        let now = Instant::now();
        let mut hearing = subscribed(now);
        hearing.hear(&head("0xab"), now).unwrap();
        hearing.rang(now);
        (0..10).for_each(|_| hearing.hear(&head("0xab"), now).unwrap());
        assert_eq!(hearing.owed, Some(now + RING_LEAST));
        let later = now + RING_LEAST;
        hearing.rang(later);
        assert_eq!(hearing.owed, None);
    }

    #[test]
    fn garbage_a_refusal_and_a_flood_end_the_connection() {
        let now = Instant::now();
        assert_eq!(subscribed(now).hear(&Message::text("<html>"), now), Err(End::Garbage));
        assert_eq!(subscribed(now).hear(&Message::binary(vec![0xff, 0xfe]), now), Err(End::Garbage));
        let refusal = Message::text("-");
        assert_eq!(Hearing::new(DIALECT, now).hear(&refusal, now), Err(End::NotOffered("heads")));
        let long = Message::text(format!("+{}", "a".repeat(ID_LETTERS + 1)));
        assert_eq!(Hearing::new(DIALECT, now).hear(&long, now), Err(End::NotOffered("heads")));
        let mut hearing = subscribed(now);
        let all: Result<(), End> = (0..MESSAGES_A_SECOND).try_for_each(|_| hearing.hear(&head("0xab"), now));
        assert_eq!(all, Err(End::Flood));
        let mut hearing = subscribed(now);
        let slow = |n: u32| now + Duration::from_millis(20) * n;
        (0..1_000).for_each(|n| hearing.hear(&head("0xab"), slow(n)).unwrap());
    }
}
