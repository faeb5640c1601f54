//! Which gateway, whom to believe that it is the one, and with what token.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use hufu_gateway_server::config::GatewayConfig;
use reqwest::header::HeaderValue;
use rustls::crypto::aws_lc_rs;
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject as _;
use url::{Host, Url};

use super::Client;
use crate::answer::misuse;
use crate::files;

/// Where a gateway listens unless its configuration says otherwise.
const USUAL_URL: &str = "https://127.0.0.1:7402";
/// The variable that holds a token where no file is given.
const TOKEN_VARIABLE: &str = "HUFU_TOKEN";
/// Bytes of a token; the gateway hashes no longer one.
const LONGEST_TOKEN: usize = 1_024;

/// How to be let in.
#[derive(Debug, clap::Args)]
pub(crate) struct Access {
    /// Authorities in PEM that may have signed the gateway's certificate. Nobody else is believed.
    #[arg(long, value_name = "FILE")]
    ca: Option<PathBuf>,
    /// A file with the bearer token. Without it: the variable HUFU_TOKEN.
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
    /// The gateway's own configuration, where it runs on this machine: its address and authorities are used.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

/// A gateway and how to be let in.
#[derive(Debug, clap::Args)]
pub(crate) struct Target {
    /// The gateway's applications listener [default: as --config says, else https://127.0.0.1:7402].
    #[arg(long)]
    url: Option<String>,
    #[command(flatten)]
    access: Access,
}

impl Target {
    /// The client for this gateway. Connects only when something is asked.
    pub(crate) fn client(&self) -> anyhow::Result<Client> {
        let config = self.access.config()?;
        let url = match (&self.url, &config) {
            (Some(url), _) => url.clone(),
            (None, Some(config)) => of_listener(config)?,
            (None, None) => USUAL_URL.to_owned(),
        };
        self.access.connect(&url, config.as_ref())
    }

    /// The gateway's configuration, where it was given.
    pub(crate) fn config(&self) -> anyhow::Result<Option<GatewayConfig>> {
        self.access.config()
    }
}

impl Access {
    /// The client for the gateway at `url`.
    pub(crate) fn client(&self, url: &str) -> anyhow::Result<Client> {
        self.connect(url, self.config()?.as_ref())
    }

    fn config(&self) -> anyhow::Result<Option<GatewayConfig>> {
        let Some(path) = &self.config else { return Ok(None) };
        let next = format!("see: hufu check-config {}", path.display());
        GatewayConfig::load(path).map(Some).map_err(|fault| misuse(fault.to_string(), next))
    }

    fn connect(&self, url: &str, config: Option<&GatewayConfig>) -> anyhow::Result<Client> {
        let base = parse_url(url)?;
        let authorities = self.ca.as_deref().or(config.map(|config| config.tls.client_authorities.path.as_path()));
        let roots = match authorities {
            Some(path) => roots(path)?,
            None if base.scheme() == "https" => {
                let next =
                    "say who signs the gateway's certificate: --ca FILE, or --config gateway.toml on its machine";
                return Err(misuse("expected --ca FILE, got none", next));
            }
            None => RootCertStore::empty(),
        };
        Client::new(base, tls(roots)?, self.authorization()?)
    }

    fn authorization(&self) -> anyhow::Result<HeaderValue> {
        let (token, from) = match &self.token_file {
            Some(path) => (files::read_text(path)?, path.display().to_string()),
            None => match std::env::var(TOKEN_VARIABLE) {
                Ok(token) => (token, TOKEN_VARIABLE.to_owned()),
                Err(_) => return Err(misuse("expected --token-file FILE or HUFU_TOKEN, got neither", NEXT_TOKEN)),
            },
        };
        let token = token.trim();
        // What stands in the file is a secret even where it is wrong: the message does not repeat it.
        let sound = (1..=LONGEST_TOKEN).contains(&token.len()) && token.bytes().all(|byte| byte.is_ascii_graphic());
        let header = if sound { HeaderValue::from_str(&format!("Bearer {token}")).ok() } else { None };
        let mut header =
            header.ok_or_else(|| misuse(format!("{from}: expected one token of visible ASCII"), NEXT_TOKEN))?;
        header.set_sensitive(true);
        Ok(header)
    }
}

const NEXT_TOKEN: &str = "make a token with: hufu key new --kind token, and name it in the gateway's configuration";

/// The applications listener's address as one on this machine reaches it.
fn of_listener(config: &GatewayConfig) -> anyhow::Result<String> {
    let refused = |words: &str| misuse(format!("{}: {words}", config.file), "give the address with --url");
    let at = config.listen.applications.ok_or_else(|| refused("the gateway has no applications listener"))?;
    if at.port() == 0 {
        return Err(refused("the port of listen.applications is left to the system"));
    }
    let address = match at.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(ip) if ip.is_unspecified() => IpAddr::V6(Ipv6Addr::LOCALHOST),
        other => other,
    };
    Ok(format!("https://{}", SocketAddr::new(address, at.port())))
}

fn parse_url(text: &str) -> anyhow::Result<Url> {
    let refused = |words: String| misuse(words, "give the gateway's address alone, such as https://land.example:7402");
    let url = Url::parse(text).map_err(|fault| refused(format!("{text:?} is no URL: {fault}")))?;
    match url.scheme() {
        "https" => {}
        // Nobody listens between two programs of one machine; anywhere else the token would travel in the clear.
        "http" if is_loopback(&url) => {}
        scheme => {
            return Err(refused(format!("expected https (http on this machine alone), got {scheme:?} in {text:?}")));
        }
    }
    let bare =
        url.username().is_empty() && url.password().is_none() && url.query().is_none() && url.fragment().is_none();
    if !bare || url.path() != "/" {
        return Err(refused(format!("expected no path, query or user in {text:?}")));
    }
    Ok(url)
}

fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Ipv4(ip)) => ip.is_loopback(),
        Some(Host::Ipv6(ip)) => ip.is_loopback(),
        Some(Host::Domain(name)) => name == "localhost",
        None => false,
    }
}

fn roots(path: &Path) -> anyhow::Result<RootCertStore> {
    let refused = |words: String| misuse(format!("{}: {words}", path.display()), "give authorities in PEM with --ca");
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(&files::read(path, files::SMALL_FILE)?) {
        let certificate = certificate.map_err(|fault| refused(format!("not PEM: {fault}")))?;
        roots.add(certificate).map_err(|fault| refused(fault.to_string()))?;
    }
    if roots.is_empty() {
        return Err(refused("expected at least one certificate, got none".to_owned()));
    }
    Ok(roots)
}

fn tls(roots: RootCertStore) -> anyhow::Result<ClientConfig> {
    let builder = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_protocol_versions(&[&rustls::version::TLS13])?;
    Ok(builder.with_root_certificates(roots).with_no_client_auth())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_never_travels_in_the_clear_to_another_machine() {
        for good in ["https://land.example:7402", "https://127.0.0.1:7402/", "http://127.0.0.1:1", "http://[::1]:1"] {
            assert!(parse_url(good).is_ok(), "{good}");
        }
        for bad in [
            "http://land.example",
            "http://127.0.0.1.evil.example",
            "ftp://localhost",
            "land.example:7402",
            "https://u:p@land.example",
            "https://land.example/v1",
            "https://land.example/?a=b",
        ] {
            assert!(parse_url(bad).is_err(), "{bad}");
        }
    }
}
