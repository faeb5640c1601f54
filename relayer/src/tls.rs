//! Who the courier is and whom it believes to be a gateway: TLS 1.3, a client certificate, and the configured
//! authorities alone.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::crypto::aws_lc_rs;
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use x509_parser::extensions::GeneralName;

use crate::config::IdentityFiles;

/// Why no TLS identity can be made.
#[derive(Debug, thiserror::Error)]
pub enum TlsFault {
    /// A file that cannot be read, or holds no PEM of the kind that is needed.
    #[error("expected {expected} in {}: {fault}", file.display())]
    File {
        /// What the file should hold.
        expected: &'static str,
        /// The file.
        file: PathBuf,
        /// What the reader says.
        fault: String,
    },
    /// A certificate of somebody else.
    #[error("expected the first URI name of {} to be {expected}, got {got}", file.display())]
    Name {
        /// The name that the configuration gives the courier.
        expected: String,
        /// The name in the certificate.
        got: String,
        /// The file.
        file: PathBuf,
    },
    /// Certificate and key do not fit, or the provider refuses them.
    #[error("certificate and key: {0}")]
    Identity(#[from] rustls::Error),
}

/// The TLS side of the courier called `name`. Without files nobody is trusted, and plain HTTP on loopback remains.
pub(crate) fn client_config(name: &str, files: Option<&IdentityFiles>) -> Result<ClientConfig, TlsFault> {
    let builder = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_protocol_versions(&[&rustls::version::TLS13])?;
    let Some(files) = files else {
        return Ok(builder.with_root_certificates(RootCertStore::empty()).with_no_client_auth());
    };
    let chain = certificates(&files.certificate)?;
    check_name(name, &files.certificate, chain.first())?;
    let key = PrivateKeyDer::from_pem_file(&files.key)
        .map_err(|fault| file_fault("a private key", &files.key, fault.to_string()))?;
    let mut config = builder.with_root_certificates(roots(&files.authorities)?).with_client_auth_cert(chain, key)?;
    // One connection a lane: with HTTP/2 a slow page would hold up the others, and long polls would use up the streams.
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(config)
}

fn certificates(file: &Path) -> Result<Vec<CertificateDer<'static>>, TlsFault> {
    let fault = |words: String| file_fault("PEM certificates", file, words);
    let found = CertificateDer::pem_file_iter(file).map_err(|error| fault(error.to_string()))?;
    let chain: Vec<_> = found.collect::<Result<_, _>>().map_err(|error| fault(error.to_string()))?;
    if chain.is_empty() {
        return Err(fault("none there".to_owned()));
    }
    Ok(chain)
}

fn roots(file: &Path) -> Result<RootCertStore, TlsFault> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(file)? {
        // A root that cannot be used is a fault to mend now, not a gateway that is refused later.
        roots.add(certificate).map_err(|fault| file_fault("authorities", file, fault.to_string()))?;
    }
    Ok(roots)
}

/// Gateways find a courier by this name: a wrong one would otherwise show as a refusal with no reason.
fn check_name(name: &str, file: &Path, certificate: Option<&CertificateDer<'_>>) -> Result<(), TlsFault> {
    let expected = format!("urn:hufu:relayer:{name}");
    let got = certificate.and_then(|certificate| first_uri(certificate)).unwrap_or_else(|| "none".to_owned());
    if got == expected {
        return Ok(());
    }
    Err(TlsFault::Name { expected, got, file: file.to_owned() })
}

fn first_uri(certificate: &CertificateDer<'_>) -> Option<String> {
    let (_, certificate) = x509_parser::parse_x509_certificate(certificate).ok()?;
    let names = certificate.subject_alternative_name().ok()??;
    names.value.general_names.iter().find_map(|name| match name {
        GeneralName::URI(uri) => Some((*uri).to_owned()),
        _ => None,
    })
}

fn file_fault(expected: &'static str, file: &Path, fault: String) -> TlsFault {
    TlsFault::File { expected, file: file.to_owned(), fault }
}
