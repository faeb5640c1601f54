//! Trial certificates: an authority whose key is thrown away, and what it signed before.

use std::time::Duration;

use hufu_gateway_server::clock::{Clock as _, SystemClock};
use rcgen::string::Ia5String;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
    SanType,
};

/// Trial certificates end soon, so that no department runs on them by accident.
const TRIAL: Duration = Duration::from_secs(90 * 86_400);
/// Clocks of two machines may differ.
const SKEW: Duration = Duration::from_secs(3_600);

/// A certificate with its key, both in PEM.
pub(crate) struct Pem {
    pub(crate) certificate: String,
    pub(crate) key: String,
}

/// What a trial starts with.
pub(crate) struct Trial {
    /// The authority's certificate. Its key exists no longer: nothing else can ever be signed by it.
    pub(crate) authority: String,
    pub(crate) server: Pem,
    pub(crate) relayer: Pem,
}

/// Makes them.
pub(crate) fn trial(name: &str) -> anyhow::Result<Trial> {
    let authority = Authority::found(&format!("TRIAL authority of {name}, not for real use"))?;
    let (server, relayer) = (authority.gateway(name)?, authority.relayer(RELAYER)?);
    Ok(Trial { authority: authority.certificate().to_owned(), server, relayer })
}

/// An authority that lives as long as this value: its key is never written anywhere.
pub(crate) struct Authority {
    certificate: String,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    /// Makes one.
    pub(crate) fn found(common_name: &str) -> anyhow::Result<Self> {
        let key = KeyPair::generate()?;
        let mut params = dated(CertificateParams::default());
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        params.distinguished_name.push(DnType::CommonName, common_name);
        let certificate = params.self_signed(&key)?.pem();
        Ok(Self { certificate, issuer: Issuer::new(params, key) })
    }

    /// Its certificate in PEM: what the others accept.
    pub(crate) fn certificate(&self) -> &str {
        &self.certificate
    }

    /// A certificate for a gateway on this machine.
    pub(crate) fn gateway(&self, name: &str) -> anyhow::Result<Pem> {
        signed(dated(server(name)?), &self.issuer)
    }

    /// A certificate for a relayer.
    pub(crate) fn relayer(&self, name: &str) -> anyhow::Result<Pem> {
        signed(dated(named(&format!("urn:hufu:relayer:{name}"), "relayer")?), &self.issuer)
    }
}

/// The name of the trial relayer.
pub(crate) const RELAYER: &str = "trial";

/// What a gateway's certificate must say, undated: peers know a gateway by the URI alone.
pub(crate) fn server(name: &str) -> anyhow::Result<CertificateParams> {
    let mut params = named(&format!("urn:hufu:gateway:{name}"), name)?;
    params.subject_alt_names.push(SanType::IpAddress(std::net::Ipv4Addr::LOCALHOST.into()));
    params.subject_alt_names.push(SanType::DnsName(Ia5String::try_from("localhost")?));
    Ok(params)
}

fn named(uri: &str, common_name: &str) -> anyhow::Result<CertificateParams> {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, common_name);
    params.subject_alt_names.push(SanType::URI(Ia5String::try_from(uri)?));
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    // A gateway is called by relayers and calls others itself.
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
    Ok(params)
}

fn dated(mut params: CertificateParams) -> CertificateParams {
    let now = rcgen::date_time_ymd(1970, 1, 1) + Duration::from_secs(SystemClock.now().seconds());
    params.not_before = now - SKEW;
    params.not_after = now + TRIAL;
    params
}

fn signed(params: CertificateParams, issuer: &Issuer<'_, KeyPair>) -> anyhow::Result<Pem> {
    let key = KeyPair::generate()?;
    let certificate = params.signed_by(&key, issuer)?.pem();
    Ok(Pem { certificate, key: key.serialize_pem() })
}
