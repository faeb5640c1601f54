//! A node behind TLS, under a department's own authority: HTTP and its socket both.

use std::sync::Arc;
use std::time::Duration;

use hufu_adapters_source::Source as _;
use hufu_evm_devnet::Devnet;
use hufu_evm_source::{EvmSource, NodeConfig};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::aws_lc_rs;
use tokio_rustls::rustls::pki_types::PrivatePkcs8KeyDer;

use crate::support::{DEADLINE, at, config, devnet};

const TIP: u64 = 3;

/// An authority's certificate in PEM, and what a server of `localhost` shows.
fn authority() -> (String, ServerConfig) {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
    let key = KeyPair::generate().unwrap();
    let leaf = CertificateParams::new(vec!["localhost".to_owned()]).unwrap().signed_by(&key, &issuer).unwrap();
    let builder = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()));
    let builder = builder.with_safe_default_protocol_versions().unwrap().with_no_client_auth();
    let key = PrivatePkcs8KeyDer::from(key.serialize_der()).into();
    let mut server = builder.with_single_cert(vec![leaf.der().clone()], key).unwrap();
    // As vendors' proxies do: HTTP/2 is preferred where it is offered, and knows no upgrade.
    server.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    (issuer.pem(), server)
}

/// A TLS server before a node: bytes go through as they are.
async fn before(devnet: &Devnet, mut server: ServerConfig, http2: bool) -> u16 {
    if !http2 {
        server.alpn_protocols = vec![b"http/1.1".to_vec()];
    }
    let acceptor = TlsAcceptor::from(Arc::new(server));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let node = devnet.url().trim_start_matches("http://").to_owned();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let (acceptor, node) = (acceptor.clone(), node.clone());
            tokio::spawn(async move {
                let mut outside = acceptor.accept(stream).await.ok()?;
                let mut inside = TcpStream::connect(node).await.ok()?;
                tokio::io::copy_bidirectional(&mut outside, &mut inside).await.ok()
            });
        }
    });
    port
}

fn node(port: u16, authority: Option<&str>) -> NodeConfig {
    let node = NodeConfig::new("one", &format!("https://localhost:{port}")).unwrap();
    let mut node = node.with_ws(&format!("wss://localhost:{port}")).unwrap();
    node.authorities = authority.map(|pem| pem.as_bytes().to_vec());
    node
}

#[tokio::test]
async fn a_node_and_its_socket_behind_tls_are_trusted_by_the_authority_that_the_operator_names() {
    // One of the binary's tests installs it; that another was quicker is as good.
    let _ = aws_lc_rs::default_provider().install_default();
    let devnet = devnet(TIP).await;
    let (pem, server) = authority();
    for http2 in [false, true] {
        let port = before(&devnet, server.clone(), http2).await;
        let source = EvmSource::new(config(&devnet, vec![node(port, Some(&pem))])).unwrap();
        let mining = async {
            loop {
                devnet.mine().unwrap();
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        tokio::select! {
            heard = timeout(DEADLINE, source.hint()) => heard.expect("an announcement within the deadline"),
            () = mining => {}
        }
        assert!(!source.steps(at(0), 100).await.unwrap().is_empty());
    }
    let port = before(&devnet, server, false).await;
    let stranger = EvmSource::new(config(&devnet, vec![node(port, None)])).unwrap();
    assert!(stranger.tip().await.is_err(), "an authority that nobody named");
}
