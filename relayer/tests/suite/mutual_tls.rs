//! Who is believed to be a gateway, and who the courier says it is.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use axum::serve::Listener;
use hufu_relayer::{Relayer, RelayerConfig, StartFault, SystemClock, TlsFault};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair, SanType};
use rustls::crypto::aws_lc_rs;
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use rustls_pki_types::PrivateKeyDer;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use crate::support::{Fake, LANE, Running, quick};

type Authority = CertifiedIssuer<'static, KeyPair>;

fn authority() -> Authority {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

/// A certificate and its key, in PEM.
fn issued(by: &Authority, name: SanType) -> (rcgen::Certificate, KeyPair) {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.subject_alt_names = vec![name];
    let key = KeyPair::generate().unwrap();
    (params.signed_by(&key, by).unwrap(), key)
}

/// Takes TLS 1.3 from clients of one authority.
struct TlsListener {
    tcp: TcpListener,
    tls: TlsAcceptor,
}

impl Listener for TlsListener {
    type Io = TlsStream<TcpStream>;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Self::Io, SocketAddr) {
        loop {
            let (stream, address) = self.tcp.accept().await.unwrap();
            if let Ok(stream) = self.tls.accept(stream).await {
                return (stream, address);
            }
        }
    }

    fn local_addr(&self) -> std::io::Result<SocketAddr> {
        self.tcp.local_addr()
    }
}

async fn serve(fake: &Fake, servers: &Authority, clients: &Authority) -> String {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let mut roots = RootCertStore::empty();
    roots.add(clients.der().clone()).unwrap();
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider)).build().unwrap();
    let (certificate, key) = issued(servers, SanType::IpAddress("127.0.0.1".parse().unwrap()));
    let config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .with_client_cert_verifier(verifier)
        .with_single_cert(vec![certificate.der().clone()], PrivateKeyDer::try_from(key.serialize_der()).unwrap())
        .unwrap();
    let tcp = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = tcp.local_addr().unwrap();
    let (listener, router) = (TlsListener { tcp, tls: TlsAcceptor::from(Arc::new(config)) }, fake.router());
    tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
    format!("https://{address}")
}

fn relayer(folder: &Path, origin: &str, destination: &str) -> Result<Relayer, StartFault> {
    let text = format!(
        "[relayer]\nname = \"city-1\"\ncertificate = \"relayer.pem\"\nkey = \"relayer.key\"\n\
         authorities = \"authorities.pem\"\n[[pair]]\norigin = \"{origin}\"\ndestination = \"{destination}\"\n"
    );
    let file = folder.join("relayer.toml");
    let config = RelayerConfig::parse(file.to_str().unwrap(), &text).unwrap();
    Ok(Relayer::new(config, Arc::new(SystemClock))?.with_pace(quick()))
}

/// Writes the courier's files.
fn equip(folder: &Path, name: &str, issuer: &Authority, trusted: &Authority) {
    let uri = SanType::URI(format!("urn:hufu:relayer:{name}").try_into().unwrap());
    let (certificate, key) = issued(issuer, uri);
    std::fs::write(folder.join("relayer.pem"), certificate.pem()).unwrap();
    std::fs::write(folder.join("relayer.key"), key.serialize_pem()).unwrap();
    std::fs::write(folder.join("authorities.pem"), trusted.pem()).unwrap();
}

#[tokio::test]
async fn pages_travel_under_mutual_tls() {
    let (servers, clients, folder) = (authority(), authority(), tempfile::tempdir().unwrap());
    let (origin, destination) = (Fake::with_lane(LANE, 1_500), Fake::wanting(&[LANE]));
    let from = serve(&origin, &servers, &clients).await;
    let to = serve(&destination, &servers, &clients).await;
    equip(folder.path(), "city-1", &clients, &servers);
    let courier = Running::start(relayer(folder.path(), &from, &to).unwrap());
    destination.until("the lane arrives", |inner| inner.inbox[LANE].len() == 1_500).await;
    courier.end().await;
}

#[tokio::test]
async fn a_gateway_of_another_authority_is_told_nothing() {
    let (servers, clients, folder) = (authority(), authority(), tempfile::tempdir().unwrap());
    let (origin, destination) = (Fake::with_lane(LANE, 3), Fake::wanting(&[LANE]));
    let from = serve(&origin, &servers, &clients).await;
    let to = serve(&destination, &authority(), &clients).await;
    equip(folder.path(), "city-1", &clients, &servers);
    let courier = Running::start(relayer(folder.path(), &from, &to).unwrap());
    courier.until_counted("hufu_relayer_troubles_total{end=\"destination\",reason=\"tls\"}").await;
    assert_eq!(destination.look().states_asked, 0);
    assert!(destination.look().deliveries.is_empty());
    courier.end().await;
}

#[tokio::test]
async fn a_courier_that_the_gateway_does_not_know_is_refused_in_the_handshake() {
    let (servers, clients, folder) = (authority(), authority(), tempfile::tempdir().unwrap());
    let (origin, destination) = (Fake::with_lane(LANE, 3), Fake::wanting(&[LANE]));
    let from = serve(&origin, &servers, &clients).await;
    let to = serve(&destination, &servers, &clients).await;
    equip(folder.path(), "city-1", &authority(), &servers);
    let courier = Running::start(relayer(folder.path(), &from, &to).unwrap());
    courier.until_counted("hufu_relayer_troubles_total{end=\"destination\",reason=\"tls\"}").await;
    assert_eq!(destination.look().states_asked, 0);
    courier.end().await;
}

#[test]
fn a_certificate_of_another_courier_is_found_before_it_runs() {
    let (issuer, folder) = (authority(), tempfile::tempdir().unwrap());
    equip(folder.path(), "city-2", &issuer, &issuer);
    let fault = relayer(folder.path(), "https://127.0.0.1:1", "https://127.0.0.1:2").unwrap_err();
    assert!(
        matches!(&fault, StartFault::Tls(TlsFault::Name { got, .. }) if got == "urn:hufu:relayer:city-2"),
        "{fault}"
    );
}

#[test]
fn files_that_are_missing_or_empty_are_named() {
    let (issuer, folder) = (authority(), tempfile::tempdir().unwrap());
    equip(folder.path(), "city-1", &issuer, &issuer);
    for file in ["authorities.pem", "relayer.key", "relayer.pem"] {
        std::fs::write(folder.path().join(file), "").unwrap();
        let fault = relayer(folder.path(), "https://127.0.0.1:1", "https://127.0.0.1:2").unwrap_err();
        assert!(fault.to_string().contains(file), "{fault}");
    }
}
