//! One HTTP exchange with one node, bounded in time and bytes.

use std::time::Duration;

use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, RETRY_AFTER};
use reqwest::redirect::Policy;
use reqwest::{Certificate, Client, Response, StatusCode};
use rustls::crypto::CryptoProvider;
use url::Url;

use crate::config::{ConfigFault, Limits, NodeConfig, Patience};

/// An exchange that gave no body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Trouble {
    /// It may pass: refused connection, 5xx, 429. `wait` is what the node asks for.
    Passing { detail: String, wait: Option<Duration> },
    /// The time was spent; trying the same again would spend it again.
    Timeout(Duration),
    /// 401 or 403.
    Denied(String),
    /// Any other status that is no success; a smaller batch may do better.
    Status(u16),
    /// The answer is larger than we read; a smaller batch may do better.
    Oversize(usize),
}

/// The HTTP side of a node.
#[derive(Debug)]
pub(crate) struct Transport {
    client: Client,
    url: Url,
    headers: HeaderMap,
    request: Duration,
    response_bytes: usize,
}

impl Transport {
    pub(crate) fn new(node: &NodeConfig, patience: &Patience, limits: &Limits) -> Result<Self, ConfigFault> {
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        for (name, value) in &node.headers {
            let fault = || ConfigFault::new(&node.name, "a header name and a value in ASCII", name);
            let name = HeaderName::from_bytes(name.as_bytes()).map_err(|_| fault())?;
            let mut value = HeaderValue::from_str(value.reveal()).map_err(|_| fault())?;
            value.set_sensitive(true);
            headers.insert(name, value);
        }
        Ok(Self {
            client: client(node, patience)?,
            url: node.url.clone(),
            headers,
            request: patience.request,
            response_bytes: limits.response_bytes,
        })
    }

    /// Sends `body` and reads the answer whole.
    pub(crate) async fn post(&self, body: String) -> Result<Vec<u8>, Trouble> {
        let exchange = async {
            let sent = self.client.post(self.url.clone()).headers(self.headers.clone()).body(body).send().await;
            let response = sent.map_err(passing)?;
            judge_status(&response)?;
            self.read(response).await
        };
        tokio::time::timeout(self.request, exchange).await.unwrap_or(Err(Trouble::Timeout(self.request)))
    }

    /// Reads piece by piece, so that neither a length that lies nor an answer without end is ever held.
    async fn read(&self, mut response: Response) -> Result<Vec<u8>, Trouble> {
        let oversize = Trouble::Oversize(self.response_bytes);
        if response.content_length().is_some_and(|length| length > self.response_bytes as u64) {
            return Err(oversize);
        }
        let mut body = Vec::new();
        while let Some(piece) = response.chunk().await.map_err(passing)? {
            if body.len() + piece.len() > self.response_bytes {
                return Err(oversize);
            }
            body.extend_from_slice(&piece);
        }
        Ok(body)
    }
}

/// The URL may hold a key, so it leaves the error first.
fn passing(error: reqwest::Error) -> Trouble {
    let error = error.without_url();
    let mut detail = error.to_string();
    let mut cause = std::error::Error::source(&error);
    while let Some(inner) = cause {
        detail = format!("{detail}: {inner}");
        cause = inner.source();
    }
    Trouble::Passing { detail, wait: None }
}

fn judge_status(response: &Response) -> Result<(), Trouble> {
    let status = response.status();
    if status.is_success() {
        return Ok(());
    }
    let detail = format!("status {status}");
    Err(match status {
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => Trouble::Denied(detail),
        StatusCode::TOO_MANY_REQUESTS => Trouble::Passing { detail, wait: retry_after(response) },
        _ if status.is_server_error() => Trouble::Passing { detail, wait: retry_after(response) },
        _ => Trouble::Status(status.as_u16()),
    })
}

/// Seconds only. The other form is a date, which would need a clock that agrees with the node's.
fn retry_after(response: &Response) -> Option<Duration> {
    let seconds: u32 = response.headers().get(RETRY_AFTER)?.to_str().ok()?.trim().parse().ok()?;
    Some(Duration::from_secs(seconds.into()))
}

/// No redirects (an answer from elsewhere is no answer) and no proxy from the environment (an operator writes what is
/// asked, and where).
fn client(node: &NodeConfig, patience: &Patience) -> Result<Client, ConfigFault> {
    let fault = |error: reqwest::Error| ConfigFault::new(&node.name, "a usable HTTP client", &error.without_url());
    let mut builder = Client::builder().redirect(Policy::none()).no_proxy().connect_timeout(patience.connect);
    if let Some(pem) = &node.authorities {
        builder = builder.tls_certs_merge(Certificate::from_pem_bundle(pem).map_err(fault)?);
    }
    if CryptoProvider::get_default().is_none() {
        if node.url.scheme() != "http" {
            return Err(ConfigFault::new(&node.name, "a TLS provider installed before https is used", &"none"));
        }
        builder = builder.tls_backend_preconfigured(tls_that_trusts_nobody(&node.name)?);
    }
    builder.build().map_err(fault)
}

/// The client will not be built without TLS of some kind; where only `http` is asked it gets one without authorities.
fn tls_that_trusts_nobody(name: &str) -> Result<rustls::ClientConfig, ConfigFault> {
    let provider = rustls::crypto::aws_lc_rs::default_provider();
    let config = rustls::ClientConfig::builder_with_provider(provider.into())
        .with_safe_default_protocol_versions()
        .map_err(|error| ConfigFault::new(name, "TLS 1.2 or 1.3", &error))?;
    Ok(config.with_root_certificates(rustls::RootCertStore::empty()).with_no_client_auth())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_http_needs_no_tls_provider_and_https_says_that_it_does() {
        let (patience, limits) = (Patience::default(), Limits::default());
        let http = NodeConfig::new("a", "http://127.0.0.1:1").unwrap();
        assert!(Transport::new(&http, &patience, &limits).is_ok());
        let https = NodeConfig::new("a", "https://127.0.0.1:1").unwrap();
        assert!(CryptoProvider::get_default().is_none(), "expected no test to install a provider");
        assert!(Transport::new(&https, &patience, &limits).unwrap_err().to_string().contains("TLS provider"));
    }

    #[test]
    fn a_header_that_cannot_be_sent() {
        let mut node = NodeConfig::new("a", "http://127.0.0.1:1").unwrap();
        node.headers.push(("x y".to_owned(), crate::config::Secret::new("v")));
        assert!(Transport::new(&node, &Patience::default(), &Limits::default()).is_err());
    }
}
