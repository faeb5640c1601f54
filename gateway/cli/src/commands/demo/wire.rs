//! How the demo looks at gateways: as an application with a token, and as the courier with its certificate.

use std::time::Duration;

use anyhow::Context as _;
use reqwest::{Client, Method, StatusCode};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use serde_json::Value;

use super::department::Department;
use super::pki::Party;

/// A connection of one kind.
pub(super) struct Wire(Client);

/// What came back.
pub(super) struct Reply {
    pub(super) status: StatusCode,
    pub(super) json: Value,
}

impl Reply {
    /// The problem's code, or the empty text.
    pub(super) fn code(&self) -> &str {
        self.json.get("code").and_then(Value::as_str).unwrap_or_default()
    }

    /// The problem in one line, as the API gave it.
    pub(super) fn words(&self) -> String {
        let detail = self.json.get("detail").and_then(Value::as_str).unwrap_or_default();
        format!("{} {}: {detail}", self.status.as_u16(), self.code())
    }
}

impl Wire {
    /// For an application: the authority is enough.
    pub(super) fn application(authority: &str) -> anyhow::Result<Self> {
        let config = builder(authority)?.with_no_client_auth();
        Self::over(config)
    }

    /// For a courier: with a certificate.
    pub(super) fn courier(authority: &str, party: &Party) -> anyhow::Result<Self> {
        let chain = CertificateDer::pem_slice_iter(party.pem.certificate.as_bytes()).collect::<Result<Vec<_>, _>>()?;
        let key = PrivateKeyDer::from_pem_slice(party.pem.key.as_bytes())?;
        Self::over(builder(authority)?.with_client_auth_cert(chain, key)?)
    }

    fn over(config: rustls::ClientConfig) -> anyhow::Result<Self> {
        let client = Client::builder()
            .tls_backend_preconfigured(config)
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .timeout(Duration::from_secs(20))
            .build()?;
        Ok(Self(client))
    }

    async fn send(
        &self,
        method: Method,
        url: &str,
        token: Option<&str>,
        body: Option<Vec<u8>>,
    ) -> anyhow::Result<Reply> {
        let mut request = self.0.request(method, url);
        if let Some(token) = token {
            request = request.bearer_auth(token);
        }
        if let Some(body) = body {
            request = request.header("content-type", "application/json").body(body);
        }
        let response = request.send().await.with_context(|| format!("no answer from {url}"))?;
        let status = response.status();
        let bytes = response.bytes().await?;
        Ok(Reply { status, json: serde_json::from_slice(&bytes).unwrap_or(Value::Null) })
    }

    /// Asks as an application.
    pub(super) async fn get(&self, department: &Department, path: &str) -> anyhow::Result<Value> {
        let url = format!("https://{}{path}", department.applications);
        let reply = self.send(Method::GET, &url, Some(&department.operator), None).await?;
        anyhow::ensure!(reply.status.is_success(), "{url}: {}", reply.words());
        Ok(reply.json)
    }

    /// Acts as an operator.
    pub(super) async fn operate(&self, department: &Department, path: &str, body: &Value) -> anyhow::Result<Reply> {
        let url = format!("https://{}{path}", department.applications);
        self.send(Method::POST, &url, Some(&department.operator), Some(body.to_string().into_bytes())).await
    }

    /// Fetches as the courier.
    pub(super) async fn fetch(&self, department: &Department, path: &str) -> anyhow::Result<Reply> {
        self.send(Method::GET, &format!("https://{}{path}", department.peers), None, None).await
    }

    /// Delivers as the courier.
    pub(super) async fn deliver(&self, department: &Department, path: &str, body: &Value) -> anyhow::Result<Reply> {
        let url = format!("https://{}{path}", department.peers);
        self.send(Method::POST, &url, None, Some(body.to_string().into_bytes())).await
    }

    /// The monitoring page of a department.
    pub(super) async fn metrics(&self, department: &Department) -> anyhow::Result<String> {
        let url = format!("http://{}/metrics", department.monitoring);
        Ok(self.0.get(url).send().await?.text().await?)
    }
}

fn builder(
    authority: &str,
) -> anyhow::Result<rustls::ConfigBuilder<rustls::ClientConfig, rustls::client::WantsClientCert>> {
    let mut roots = rustls::RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(authority.as_bytes()) {
        roots.add(certificate?)?;
    }
    let provider = std::sync::Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder =
        rustls::ClientConfig::builder_with_provider(provider).with_protocol_versions(&[&rustls::version::TLS13])?;
    Ok(builder.with_root_certificates(roots))
}
