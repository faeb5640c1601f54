//! Accepting connections. Our own loop over hyper, because a listener must bound connections (in all and by address),
//! the handshake, request heads and a connection's age, must know the peer's certificate, and must drain when told to.

use std::collections::HashMap;
use std::convert::Infallible;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::http::Request;
use axum::response::Response;
use axum::{Router, middleware};
use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper::service::Service;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulConnection;
use rustls::CertificateError;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt as _;
use tower::util::Oneshot;
use tower_http::catch_panic::CatchPanicLayer;

use super::access::Caller;
use super::events::Closer;
use super::shell::{Common, ListenerName, Shell};
use super::{applications, guard, monitoring, peers};
use crate::backend::Backend;
use crate::config::{GatewayConfig, TlsMaterials};
use crate::telemetry::Metrics;
use crate::tls::{self, TlsFault};

/// Header fields of one request.
const MOST_HEADERS: usize = 64;
/// Bytes of one request's head.
const MOST_HEAD_BYTES: usize = 16 << 10;
/// HTTP/2 streams of one connection.
const MOST_STREAMS: u32 = 128;
/// Bytes that an HTTP/2 connection may have sent and nobody read yet.
const WINDOW: u32 = 1 << 20;
/// How often an HTTP/2 connection is asked whether it lives, and how long it may think.
const PING: (Duration, Duration) = (Duration::from_secs(20), Duration::from_secs(10));
/// A pause when the system has no more sockets, so as not to spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// For tasks to notice that they are killed.
const LAST_MOMENT: Duration = Duration::from_secs(1);

/// Why the listeners did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartFault {
    /// TLS cannot be set up.
    #[error(transparent)]
    Tls(#[from] TlsFault),
    /// An address cannot be had.
    #[error("cannot listen on {address}: {why}")]
    Address {
        /// The address.
        address: SocketAddr,
        /// The system's words.
        why: std::io::Error,
    },
}

/// Where the listeners are: what was configured, with the port that the system chose where that was 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Addresses {
    /// Gateways and relayers.
    pub peers: SocketAddr,
    /// Applications.
    pub applications: Option<SocketAddr>,
    /// Monitoring.
    pub monitoring: Option<SocketAddr>,
}

/// Listeners that run.
pub struct Server {
    common: Arc<Common>,
    addresses: Addresses,
}

impl Server {
    /// Binds every configured address and starts to answer.
    ///
    /// # Errors
    /// TLS that cannot be set up, an address that cannot be had. Nothing runs then.
    pub async fn start(
        config: &GatewayConfig,
        tls: &TlsMaterials,
        backend: Arc<dyn Backend>,
        metrics: Metrics,
    ) -> Result<Self, StartFault> {
        note_expiry(tls, &metrics);
        let peers_tls = TlsAcceptor::from(tls::peers(tls)?);
        let applications_tls = TlsAcceptor::from(tls::applications(tls)?);
        let common = Arc::new(Common::new(config, backend, metrics));
        let peers = Listener::bind(&common, ListenerName::Peers, Some(peers_tls), config.listen.peers).await?;
        let applications = match config.listen.applications {
            Some(at) => Some(Listener::bind(&common, ListenerName::Applications, Some(applications_tls), at).await?),
            None => None,
        };
        let monitoring = match config.listen.monitoring {
            Some(at) => Some(Listener::bind(&common, ListenerName::Monitoring, None, at).await?),
            None => None,
        };
        let addresses = Addresses {
            peers: peers.address,
            applications: applications.as_ref().map(|it| it.address),
            monitoring: monitoring.as_ref().map(|it| it.address),
        };
        for listener in [Some(peers), applications, monitoring].into_iter().flatten() {
            common.tasks.spawn(listener.run());
        }
        Ok(Self { common, addresses })
    }

    /// Where it listens.
    pub const fn addresses(&self) -> Addresses {
        self.addresses
    }

    /// Stops accepting, lets running requests finish, and drops what is left after `patience`. `true`: nothing was left.
    pub async fn shutdown(self, patience: Duration) -> bool {
        self.common.stop.cancel();
        self.common.tasks.close();
        if timeout(patience, self.common.tasks.wait()).await.is_ok() {
            return true;
        }
        self.common.kill.cancel();
        // Whatever does not even notice this is dropped with the runtime.
        let _ = timeout(LAST_MOMENT, self.common.tasks.wait()).await;
        false
    }
}

fn note_expiry(tls: &TlsMaterials, metrics: &Metrics) {
    let Some((_, until)) = tls.certificates.first().and_then(|leaf| tls::validity(leaf)) else { return };
    let seconds = i64::try_from(until.seconds()).unwrap_or(i64::MAX);
    metrics.certificate_expiry_timestamp.with_label_values(&["gateway"]).set(seconds);
}

/// One address.
struct Listener {
    shell: Shell,
    socket: TcpListener,
    address: SocketAddr,
    tls: Option<TlsAcceptor>,
    router: Router,
    connections: Arc<Semaphore>,
    addresses: Arc<PerAddress>,
}

impl Listener {
    async fn bind(
        common: &Arc<Common>,
        name: ListenerName,
        tls: Option<TlsAcceptor>,
        address: SocketAddr,
    ) -> Result<Self, StartFault> {
        let fault = |why| StartFault::Address { address, why };
        let socket = TcpListener::bind(address).await.map_err(fault)?;
        let address = socket.local_addr().map_err(fault)?;
        let shell = Shell::new(Arc::clone(common), name);
        let routes = match name {
            ListenerName::Peers => peers::router(&shell),
            ListenerName::Applications => applications::router(&shell),
            ListenerName::Monitoring => monitoring::router(&shell),
        };
        let router = routes
            .layer(CatchPanicLayer::custom(guard::panicked))
            .layer(middleware::from_fn_with_state(shell.clone(), guard::measured))
            .with_state(shell.clone());
        let connections = Arc::new(Semaphore::new(common.limits.connections));
        let addresses = Arc::new(PerAddress::new(common.limits.connections_per_address));
        Ok(Self { shell, socket, address, tls, router, connections, addresses })
    }

    async fn run(self) {
        let common = Arc::clone(&self.shell.common);
        loop {
            let accepted = tokio::select! {
                () = common.stop.cancelled() => return,
                accepted = self.socket.accept() => accepted,
            };
            match accepted {
                Ok((stream, from)) => self.admit(stream, from.ip()),
                Err(why) => {
                    tracing::warn!(%why, listener = self.shell.name.as_str(), "cannot accept a connection");
                    sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }

    /// Starts a connection's task, or closes it at once: whoever is refused should know now, not hang in a queue.
    fn admit(&self, stream: TcpStream, from: IpAddr) {
        let metrics = self.shell.metrics();
        let Ok(slot) = Arc::clone(&self.connections).try_acquire_owned() else {
            return metrics.reject("connection", "too-many-connections");
        };
        let Some(place) = PerAddress::take(&self.addresses, from) else {
            return metrics.reject("connection", "too-many-connections-of-one-address");
        };
        let connection = Connection { shell: self.shell.clone(), tls: self.tls.clone(), router: self.router.clone() };
        self.shell.common.tasks.spawn(async move {
            let _held = (slot, place);
            let kill = connection.shell.common.kill.clone();
            tokio::select! {
                () = connection.run(stream) => {}
                () = kill.cancelled() => {}
            }
        });
    }
}

/// How many connections each address has.
struct PerAddress {
    most: usize,
    counts: Mutex<HashMap<IpAddr, usize>>,
}

impl PerAddress {
    fn new(most: usize) -> Self {
        Self { most, counts: Mutex::new(HashMap::new()) }
    }

    fn take(this: &Arc<Self>, address: IpAddr) -> Option<Place> {
        let address = neighbourhood(address);
        let mut counts = this.counts.lock().unwrap_or_else(PoisonError::into_inner);
        let count = counts.entry(address).or_insert(0);
        if *count >= this.most {
            return None;
        }
        *count += 1;
        Some(Place { of: Arc::clone(this), address })
    }
}

/// An IPv6 host has a whole /64 to itself; counting each of its addresses alone would be no limit.
fn neighbourhood(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() >> 64 << 64)),
        v4 => v4,
    }
}

/// One connection's place in [`PerAddress`]; given back when dropped.
struct Place {
    of: Arc<PerAddress>,
    address: IpAddr,
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut counts = self.of.counts.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = counts.get_mut(&self.address) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                counts.remove(&self.address);
            }
        }
    }
}

/// One connection, from its handshake on.
struct Connection {
    shell: Shell,
    tls: Option<TlsAcceptor>,
    router: Router,
}

impl Connection {
    async fn run(self, stream: TcpStream) {
        // Small answers should not wait for Nagle's algorithm; a socket that refuses is no worse for it.
        let _ = stream.set_nodelay(true);
        let Some(acceptor) = self.tls.clone() else {
            return self.http1(stream, Caller::Anonymous).await;
        };
        let handshake = tokio::select! {
            handshake = timeout(self.shell.limits().handshake, acceptor.accept(stream)) => handshake,
            // A handshake under way is no request that is owed an answer.
            () = self.shell.common.stop.cancelled() => return,
        };
        let stream = match handshake {
            Ok(Ok(stream)) => stream,
            Ok(Err(why)) => {
                tracing::debug!(%why, listener = self.shell.name.as_str(), "a handshake failed");
                return self.shell.metrics().reject("connection", handshake_reason(&why));
            }
            Err(_) => return self.shell.metrics().reject("connection", "handshake-too-slow"),
        };
        let session = stream.get_ref().1;
        let caller = match session.peer_certificates().and_then(|chain| chain.first()) {
            None => Caller::Anonymous,
            Some(leaf) => match tls::identity_of(leaf) {
                Ok(identity) => Caller::Named(identity),
                Err(why) => Caller::Nameless(why.to_string()),
            },
        };
        match session.alpn_protocol() {
            Some(b"h2") => self.http2(stream, caller).await,
            _ => self.http1(stream, caller).await,
        }
    }

    async fn http1<I: AsyncRead + AsyncWrite + Unpin + Send + 'static>(&self, io: I, caller: Caller) {
        let closer = CancellationToken::new();
        let handler = self.handler(caller, &closer);
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(self.shell.limits().header)
            .max_headers(MOST_HEADERS)
            .max_header_size(MOST_HEAD_BYTES)
            .serve_connection(TokioIo::new(io), handler);
        self.drive(connection, &closer).await;
    }

    async fn http2<I: AsyncRead + AsyncWrite + Unpin + Send + 'static>(&self, io: I, caller: Caller) {
        let closer = CancellationToken::new();
        let handler = self.handler(caller, &closer);
        let head = u32::try_from(MOST_HEAD_BYTES).unwrap_or(u32::MAX);
        let connection = http2::Builder::new(TokioExecutor::new())
            .timer(TokioTimer::new())
            .max_concurrent_streams(MOST_STREAMS)
            .max_header_list_size(head)
            .initial_stream_window_size(WINDOW)
            .initial_connection_window_size(WINDOW)
            .keep_alive_interval(PING.0)
            .keep_alive_timeout(PING.1)
            .serve_connection(TokioIo::new(io), handler);
        self.drive(connection, &closer).await;
    }

    fn handler(&self, caller: Caller, closer: &CancellationToken) -> Handler {
        Handler { router: self.router.clone(), caller, closer: Closer(closer.clone()) }
    }

    /// Until the connection ends: by itself, because a request asked for it, or drained for the gateway's or its own age.
    async fn drive<C: GracefulConnection>(&self, connection: C, closer: &CancellationToken) {
        let limits = self.shell.limits();
        tokio::pin!(connection);
        tokio::select! {
            _ = connection.as_mut() => return,
            () = closer.cancelled() => return,
            () = self.shell.common.stop.cancelled() => {}
            () = sleep(limits.connection_age) => {}
        }
        connection.as_mut().graceful_shutdown();
        // What a long poll may take at most; a subscriber's stream ends here and is resumed on a new connection.
        let last = crate::backend::LONGEST_WAIT + limits.request;
        tokio::select! {
            _ = connection => {}
            () = closer.cancelled() => {}
            () = sleep(last) => {}
        }
    }
}

/// Gives requests of one connection to the router, and tells it who is at the other end.
struct Handler {
    router: Router,
    caller: Caller,
    closer: Closer,
}

impl Service<Request<Incoming>> for Handler {
    type Response = Response;
    type Error = Infallible;
    type Future = Oneshot<Router, Request<Incoming>>;

    fn call(&self, mut request: Request<Incoming>) -> Self::Future {
        request.extensions_mut().insert(self.caller.clone());
        request.extensions_mut().insert(self.closer.clone());
        self.router.clone().oneshot(request)
    }
}

/// Why a handshake failed, as a metric label from a closed set.
fn handshake_reason(why: &std::io::Error) -> &'static str {
    let Some(fault) = why.get_ref().and_then(|why| why.downcast_ref::<rustls::Error>()) else {
        return "handshake-broken-off";
    };
    match fault {
        rustls::Error::NoCertificatesPresented => "no-certificate",
        rustls::Error::InvalidCertificate(CertificateError::Expired | CertificateError::ExpiredContext { .. }) => {
            "certificate-expired"
        }
        rustls::Error::InvalidCertificate(CertificateError::UnknownIssuer) => "certificate-of-another-authority",
        rustls::Error::InvalidCertificate(_) => "certificate-invalid",
        _ => "handshake-failed",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_gets_its_places_back() {
        let places = Arc::new(PerAddress::new(2));
        let address: IpAddr = "192.0.2.1".parse().unwrap();
        let one = PerAddress::take(&places, address).unwrap();
        let _two = PerAddress::take(&places, address).unwrap();
        assert!(PerAddress::take(&places, address).is_none());
        assert!(PerAddress::take(&places, "192.0.2.2".parse().unwrap()).is_some());
        drop(one);
        assert!(PerAddress::take(&places, address).is_some());
    }

    #[test]
    fn addresses_of_one_ipv6_host_count_together_and_none_is_remembered() {
        let places = Arc::new(PerAddress::new(1));
        let one = PerAddress::take(&places, "2001:db8::1".parse().unwrap()).unwrap();
        assert!(PerAddress::take(&places, "2001:db8::2".parse().unwrap()).is_none());
        assert!(PerAddress::take(&places, "2001:db8:0:1::1".parse().unwrap()).is_some());
        drop(one);
        assert!(places.counts.lock().unwrap().is_empty());
    }
}
