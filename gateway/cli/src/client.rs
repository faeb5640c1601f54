//! How commands speak with a running gateway: its applications interface over HTTPS (`docs/http-api.md`).
//!
//! Whom to believe comes from a file the operator names; the machine's own authorities and proxies are not asked.

pub(crate) mod events;
mod problem;
mod target;

use std::time::Duration;

use reqwest::header::{ACCEPT, AUTHORIZATION, HeaderValue};
use reqwest::{Method, RequestBuilder, Response};
use serde_json::Value;
use url::Url;

pub(crate) use problem::Problem;
pub(crate) use target::{Access, Target};

use crate::answer::misuse;

/// Bytes of the largest answer but an evidence file: 4,096 lanes, ledgers or held leaves with their words.
const LONGEST_ANSWER: usize = 16 << 20;
/// Bytes of a problem; more is not worth reading to a person.
const LONGEST_PROBLEM: usize = 64 << 10;
const CONNECT_WITHIN: Duration = Duration::from_secs(10);
/// Silence after which a connection is taken for dead: the gateway sends a sign of life every 15 s on a stream.
const SILENCE: Duration = Duration::from_secs(60);
/// A whole answer; an evidence file may be a hundred megabytes.
const ANSWER_WITHIN: Duration = Duration::from_secs(300);

/// A connection to one gateway's applications interface.
#[derive(Debug)]
pub(crate) struct Client {
    http: reqwest::Client,
    base: Url,
    authorization: HeaderValue,
}

impl Client {
    fn new(base: Url, tls: rustls::ClientConfig, authorization: HeaderValue) -> anyhow::Result<Self> {
        let http = reqwest::Client::builder()
            .tls_backend_preconfigured(tls)
            .http1_only()
            .no_proxy()
            // A redirect would carry the token to somebody else.
            .redirect(reqwest::redirect::Policy::none())
            .referer(false)
            .connect_timeout(CONNECT_WITHIN)
            .read_timeout(SILENCE)
            .tcp_nodelay(true)
            .build()?;
        Ok(Self { http, base, authorization })
    }

    /// The JSON at a path.
    pub(crate) async fn get(&self, path: &[&str], query: &[(&str, &str)]) -> anyhow::Result<Value> {
        let request = self.request(Method::GET, path, query).timeout(ANSWER_WITHIN);
        self.json(request).await
    }

    /// Asks the gateway to do something.
    pub(crate) async fn post(&self, path: &[&str], body: &Value) -> anyhow::Result<Value> {
        let request = self.request(Method::POST, path, &[]).timeout(ANSWER_WITHIN).json(body);
        self.json(request).await
    }

    /// The bytes at a path, at most `most`.
    pub(crate) async fn bytes(&self, path: &[&str], most: usize) -> anyhow::Result<Vec<u8>> {
        let request = self.request(Method::GET, path, &[]).timeout(ANSWER_WITHIN);
        let answer = self.send(request).await?;
        self.read(answer, most).await
    }

    /// Opens the stream of events, after an offset where one is given.
    pub(crate) async fn events(&self, query: &[(&str, &str)], after: Option<u64>) -> anyhow::Result<Response> {
        let request = self.request(Method::GET, &["v1", "events"], query).header(ACCEPT, "text/event-stream");
        let request = match after {
            Some(offset) => request.header("last-event-id", offset),
            None => request,
        };
        self.send(request).await
    }

    /// Why there was no answer, in words that name the gateway.
    pub(crate) fn unreachable(&self, fault: reqwest::Error) -> anyhow::Error {
        let what = if fault.is_connect() {
            "is its gateway running, and does this address stand under [listen] applications?"
        } else {
            "try again, and see the gateway's log if it lasts"
        };
        anyhow::Error::new(fault.without_url()).context(format!("no answer from {}: {what}", self.base))
    }

    fn request(&self, method: Method, path: &[&str], query: &[(&str, &str)]) -> RequestBuilder {
        let mut url = self.base.clone();
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.clear().extend(path);
        }
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        self.http.request(method, url).header(AUTHORIZATION, self.authorization.clone())
    }

    async fn json(&self, request: RequestBuilder) -> anyhow::Result<Value> {
        let answer = self.send(request).await?;
        let bytes = self.read(answer, LONGEST_ANSWER).await?;
        serde_json::from_slice(&bytes)
            .map_err(|fault| anyhow::anyhow!("{} answers something else than JSON: {fault}", self.base))
    }

    /// Sends a request; any answer but success is a [`Problem`].
    async fn send(&self, request: RequestBuilder) -> anyhow::Result<Response> {
        let answer = request.send().await.map_err(|fault| self.unreachable(fault))?;
        if answer.status().is_success() {
            return Ok(answer);
        }
        let (status, headers) = (answer.status(), answer.headers().clone());
        // What of the problem cannot be read is not missed: the status says enough.
        let body = self.read(answer, LONGEST_PROBLEM).await.unwrap_or_default();
        Err(self.refused(Problem::of(status, &headers, &body)))
    }

    /// A problem that asking otherwise would solve is the caller's to solve.
    fn refused(&self, problem: Problem) -> anyhow::Error {
        match problem.next() {
            Some(next) => misuse(format!("{} answers {problem}", self.base), next),
            None => anyhow::Error::new(problem),
        }
    }

    async fn read(&self, mut answer: Response, most: usize) -> anyhow::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        while let Some(chunk) = answer.chunk().await.map_err(|fault| self.unreachable(fault))? {
            if bytes.len().saturating_add(chunk.len()) > most {
                anyhow::bail!("{}: expected an answer of at most {most} bytes, got more", self.base);
            }
            bytes.extend_from_slice(&chunk);
        }
        Ok(bytes)
    }
}

/// Text from outside as a terminal may show it: no control characters, which could move the cursor or forge a line, and
/// at most `most` characters.
pub(crate) fn printable(text: &str, most: usize) -> String {
    text.chars().take(most).map(|it| if it.is_control() { '\u{fffd}' } else { it }).collect()
}

/// A member of an answer as text for people; `-` where there is none.
pub(crate) fn shown(value: &Value, pointer: &str) -> String {
    match value.pointer(pointer) {
        None | Some(Value::Null) => "-".to_owned(),
        Some(Value::String(text)) => printable(text, 500),
        Some(other) => printable(&other.to_string(), 500),
    }
}

/// The members of a list in an answer; none where there is no list.
pub(crate) fn list<'a>(value: &'a Value, key: &str) -> &'a [Value] {
    value.get(key).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_from_outside_cannot_write_over_the_terminal() {
        assert_eq!(printable("a\x1b[2Jb\r\u{9b}c", 10), "a\u{fffd}[2Jb\u{fffd}\u{fffd}c");
        assert_eq!(printable("虎符虎符", 2), "虎符");
    }
}
