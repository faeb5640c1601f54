//! JSON-RPC over plain HTTP, as little of it as the suite needs.

use std::sync::Once;
use std::time::Duration;

use serde_json::{Value, json};

/// A node on loopback that takes longer is not answering.
const PATIENCE: Duration = Duration::from_secs(5);

/// One node's JSON-RPC door.
#[derive(Debug, Clone)]
pub(crate) struct Rpc {
    client: reqwest::Client,
    url: String,
}

impl Rpc {
    /// Calls go to `url`, whatever proxy the environment names.
    pub(crate) fn new(url: String) -> Self {
        static PROVIDER: Once = Once::new();
        // The HTTP client refuses to be built without a TLS provider, even if it only ever speaks plain HTTP.
        PROVIDER.call_once(|| drop(rustls::crypto::aws_lc_rs::default_provider().install_default()));
        let client = reqwest::Client::builder().no_proxy().timeout(PATIENCE).build().unwrap();
        Self { client, url }
    }

    /// Where it is.
    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// Calls `method`.
    ///
    /// # Errors
    /// Text that names the method and the node: no answer, or the node's own error.
    pub(crate) async fn call(&self, method: &str, params: Value) -> Result<Value, String> {
        let request = json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": params });
        let said = |what: String| format!("{method} at {}: {what}", self.url);
        let response =
            self.client.post(&self.url).json(&request).send().await.map_err(|fault| said(fault.to_string()))?;
        let mut answer: Value = response.json().await.map_err(|fault| said(fault.to_string()))?;
        match answer.get("error") {
            Some(error) => Err(said(error.to_string())),
            None => Ok(answer.get_mut("result").map_or(Value::Null, Value::take)),
        }
    }

    /// Calls a method that answers with a quantity (`0x…`).
    ///
    /// # Errors
    /// As [`Rpc::call`], or what came in place of a quantity.
    pub(crate) async fn quantity(&self, method: &str, params: Value) -> Result<u64, String> {
        let answer = self.call(method, params).await?;
        quantity(&answer).ok_or_else(|| format!("{method} at {}: expected a quantity, got {answer}", self.url))
    }
}

/// Reads a quantity (`0x1f`).
pub(crate) fn quantity(value: &Value) -> Option<u64> {
    u64::from_str_radix(value.as_str()?.strip_prefix("0x")?, 16).ok()
}

/// Writes a quantity.
pub(crate) fn hex_quantity(number: u64) -> String {
    format!("{number:#x}")
}

/// Reads bytes (`0x00ff`).
pub(crate) fn bytes(value: &Value) -> Option<Vec<u8>> {
    hex::decode(value.as_str()?.strip_prefix("0x")?).ok()
}

/// Writes bytes.
pub(crate) fn hex_bytes(bytes: &[u8]) -> String {
    format!("0x{}", hex::encode(bytes))
}
