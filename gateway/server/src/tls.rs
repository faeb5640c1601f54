//! Transport security: rustls with aws-lc-rs, TLS 1.3 alone. Peers must show a certificate; the name that counts is the
//! one URI name of that certificate, never its common name.

use std::sync::Arc;

use hufu_schemas_core::Timestamp;
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use rustls::version::TLS13;
use rustls::{ConfigBuilder, RootCertStore, ServerConfig, WantsVerifier};
use rustls_pki_types::CertificateDer;
use x509_parser::extensions::GeneralName;
use x509_parser::parse_x509_certificate;
use x509_parser::prelude::X509Certificate;

use crate::config::TlsMaterials;
use crate::identity::{Identity, NotAnIdentity};

/// Why a listener cannot be set up.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TlsFault {
    /// The authorities of peers' certificates.
    #[error("these authorities cannot judge peers: {0}")]
    Authorities(String),
    /// Certificate or key.
    #[error("the certificate cannot be used with the key: {0}")]
    Certificate(String),
}

/// Why a certificate names nobody.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NamelessCertificate {
    /// Not X.509. rustls has verified it by then, so this does not happen with certificates that authorities sign.
    #[error("the certificate cannot be read")]
    Unreadable,
    /// None, or several among which an attacker could choose.
    #[error("expected exactly one URI name in the certificate, got {0}")]
    UriNames(usize),
    /// One, of another form.
    #[error(transparent)]
    Form(#[from] NotAnIdentity),
}

/// The setup of the peers listener: a certificate of one of the authorities is required, and rustls refuses an expired one.
///
/// # Errors
/// Authorities that are none, a certificate that rustls cannot use, a key of another certificate.
pub fn peers(tls: &TlsMaterials) -> Result<Arc<ServerConfig>, TlsFault> {
    let fault = |why: &dyn std::fmt::Display| TlsFault::Authorities(why.to_string());
    let mut roots = RootCertStore::empty();
    for authority in &tls.authorities {
        roots.add(authority.clone()).map_err(|why| fault(&why))?;
    }
    let verifier =
        WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider()).build().map_err(|why| fault(&why))?;
    let builder = builder()?.with_client_cert_verifier(verifier);
    let config = builder.with_single_cert(tls.certificates.clone(), tls.key.clone_key());
    Ok(finished(config.map_err(|why| TlsFault::Certificate(why.to_string()))?))
}

/// The setup of the applications listener: no client certificates; callers show bearer tokens.
///
/// # Errors
/// A certificate that rustls cannot use, a key of another certificate.
pub fn applications(tls: &TlsMaterials) -> Result<Arc<ServerConfig>, TlsFault> {
    let config = builder()?.with_no_client_auth().with_single_cert(tls.certificates.clone(), tls.key.clone_key());
    Ok(finished(config.map_err(|why| TlsFault::Certificate(why.to_string()))?))
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(aws_lc_rs::default_provider())
}

fn builder() -> Result<ConfigBuilder<ServerConfig, WantsVerifier>, TlsFault> {
    ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&TLS13])
        .map_err(|why| TlsFault::Certificate(why.to_string()))
}

fn finished(mut config: ServerConfig) -> Arc<ServerConfig> {
    // A resumed session would skip the look at the certificate: one that expired or was withdrawn would live on.
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Arc::new(config)
}

/// The name of a leaf certificate: its one URI name.
///
/// # Errors
/// None, several, or one that is no `urn:hufu:…`.
pub fn identity_of(leaf: &CertificateDer<'_>) -> Result<Identity, NamelessCertificate> {
    let certificate = parsed(leaf).ok_or(NamelessCertificate::Unreadable)?;
    let names = certificate.subject_alternative_name().map_err(|_| NamelessCertificate::Unreadable)?;
    let names = names.map_or(&[][..], |extension| extension.value.general_names.as_slice());
    let uris: Vec<&str> = names.iter().filter_map(uri).collect();
    match uris.as_slice() {
        [only] => Ok(Identity::parse(only)?),
        other => Err(NamelessCertificate::UriNames(other.len())),
    }
}

fn uri<'a>(name: &GeneralName<'a>) -> Option<&'a str> {
    match name {
        GeneralName::URI(uri) => Some(uri),
        _ => None,
    }
}

fn parsed<'a>(certificate: &'a CertificateDer<'_>) -> Option<X509Certificate<'a>> {
    match parse_x509_certificate(certificate.as_ref()) {
        Ok(([], certificate)) => Some(certificate),
        _ => None,
    }
}

/// From when until when a certificate may be used; `None` when it cannot be read.
pub fn validity(certificate: &CertificateDer<'_>) -> Option<(Timestamp, Timestamp)> {
    let certificate = parsed(certificate)?;
    let time = |seconds: i64| u64::try_from(seconds).ok().and_then(Timestamp::from_seconds);
    let validity = certificate.validity();
    Some((time(validity.not_before.timestamp())?, time(validity.not_after.timestamp())?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use rcgen::{CertificateParams, KeyPair, SanType};
    use rustls_pki_types::PrivateKeyDer;

    fn certificate(names: &[SanType]) -> (CertificateDer<'static>, PrivateKeyDer<'static>) {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::default();
        params.subject_alt_names = names.to_vec();
        (params.self_signed(&key).unwrap().der().clone(), PrivateKeyDer::Pkcs8(key.serialize_der().into()))
    }

    fn uri_name(text: &str) -> SanType {
        SanType::URI(text.try_into().unwrap())
    }

    fn named(names: &[SanType]) -> Result<Identity, NamelessCertificate> {
        identity_of(&certificate(names).0)
    }

    #[test]
    fn a_certificate_has_one_name() {
        let one = uri_name("urn:hufu:gateway:land.example");
        let host = SanType::DnsName("localhost".try_into().unwrap());
        assert_eq!(named(&[host.clone(), one.clone()]).unwrap().to_string(), "urn:hufu:gateway:land.example");
        assert_eq!(named(&[host]), Err(NamelessCertificate::UriNames(0)));
        assert_eq!(named(&[]), Err(NamelessCertificate::UriNames(0)));
        let two = [one, uri_name("urn:hufu:gateway:tax.example")];
        assert_eq!(named(&two), Err(NamelessCertificate::UriNames(2)));
        assert!(matches!(named(&[uri_name("spiffe://x/y")]), Err(NamelessCertificate::Form(_))));
        assert_eq!(identity_of(&CertificateDer::from(vec![1, 2, 3])), Err(NamelessCertificate::Unreadable));
    }

    #[test]
    fn a_key_of_another_certificate_is_refused() {
        let (leaf, key) = certificate(&[]);
        let (authority, other) = certificate(&[]);
        let right = TlsMaterials { certificates: vec![leaf.clone()], key, authorities: vec![authority.clone()] };
        peers(&right).unwrap();
        let wrong = TlsMaterials { certificates: vec![leaf], key: other, authorities: vec![authority] };
        assert!(matches!(peers(&wrong), Err(TlsFault::Certificate(_))));
        assert!(matches!(applications(&wrong), Err(TlsFault::Certificate(_))));
        let nobody = TlsMaterials { authorities: Vec::new(), ..right };
        assert!(matches!(peers(&nobody), Err(TlsFault::Authorities(_))), "no authority must not mean anybody");
    }
}
