//! Parameters of a call, from a URI or from JSON, as nodes read them (`rpc/jsonrpc/server/{http_uri,http_json}_handler.go`).
//!
//! | kind | in a URI | in JSON |
//! |---|---|---|
//! | 64-bit number | `5` or `"5"` | `"5"` |
//! | text | `"quoted"`, or `0x` hex | `"text"` |
//! | bytes | `0x` hex, or `"quoted text"` as it is | base64, or hex where the method says so |
//! | truth | `true` | `true` |

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use crate::rpc::RpcError;

/// Named parameters of one call.
#[derive(Debug, Clone)]
pub(crate) enum Params {
    Uri(BTreeMap<String, String>),
    Json(BTreeMap<String, Value>),
}

/// How JSON writes bytes.
#[derive(Debug, Clone, Copy)]
pub(crate) enum BytesAs {
    Base64,
    Hex,
}

impl Params {
    /// Of a JSON-RPC request; a list is in the order in which the method names its parameters.
    pub(crate) fn of_json(params: Option<&Value>, names: &[&str]) -> Result<Self, RpcError> {
        let named = match params {
            None | Some(Value::Null) => BTreeMap::new(),
            Some(Value::Object(map)) => map.iter().map(|(key, value)| (key.clone(), value.clone())).collect(),
            Some(Value::Array(list)) if list.len() <= names.len() => {
                names.iter().map(|name| (*name).to_owned()).zip(list.iter().cloned()).collect()
            }
            Some(Value::Array(list)) => {
                let said = format!("expected {} parameters, got {}", names.len(), list.len());
                return Err(RpcError::params(&format!("error converting json params to arguments: {said}")));
            }
            Some(_) => return Err(RpcError::params("expected parameters as an object or a list")),
        };
        Ok(Self::Json(named))
    }

    pub(crate) fn number(&self, name: &str) -> Result<Option<i64>, RpcError> {
        match self {
            Self::Uri(map) => {
                let Some(text) = present(map, name) else { return Ok(None) };
                let digits = text.strip_prefix('"').and_then(|text| text.strip_suffix('"')).unwrap_or(text);
                let no_number = || uri(&format!("invalid 64-bit integer encoding {text:?}, expected string"));
                digits.parse().map(Some).map_err(|_| no_number())
            }
            Self::Json(map) => match map.get(name) {
                None | Some(Value::Null) => Ok(None),
                Some(Value::String(text)) => {
                    text.parse().map(Some).map_err(|_| json(&format!("expected a number, got {text:?}")))
                }
                Some(other) => {
                    Err(json(&format!("invalid 64-bit integer encoding {:?}, expected string", other.to_string())))
                }
            },
        }
    }

    /// A number of counting, which JSON may also write as such (`page`, `per_page`).
    pub(crate) fn count(&self, name: &str) -> Result<Option<i64>, RpcError> {
        match self {
            Self::Json(map) => match map.get(name).and_then(Value::as_i64) {
                Some(number) => Ok(Some(number)),
                None => self.number(name),
            },
            Self::Uri(_) => self.number(name),
        }
    }

    pub(crate) fn truth(&self, name: &str) -> Result<bool, RpcError> {
        match self {
            Self::Uri(map) => match present(map, name) {
                None | Some("false") => Ok(false),
                Some("true") => Ok(true),
                Some(other) => Err(uri(&format!("expected true or false, got {other:?}"))),
            },
            Self::Json(map) => match map.get(name) {
                None | Some(Value::Null) => Ok(false),
                Some(Value::Bool(truth)) => Ok(*truth),
                Some(other) => Err(json(&format!("expected true or false, got {other}"))),
            },
        }
    }

    pub(crate) fn text(&self, name: &str) -> Result<String, RpcError> {
        match self {
            Self::Uri(map) => {
                let bytes = present(map, name).map(of_uri).transpose()?.unwrap_or_default();
                String::from_utf8(bytes).map_err(|_| uri("expected UTF-8"))
            }
            Self::Json(map) => match map.get(name) {
                None | Some(Value::Null) => Ok(String::new()),
                Some(Value::String(text)) => Ok(text.clone()),
                Some(other) => Err(json(&format!("expected text, got {other}"))),
            },
        }
    }

    pub(crate) fn bytes(&self, name: &str, written: BytesAs) -> Result<Vec<u8>, RpcError> {
        match self {
            Self::Uri(map) => Ok(present(map, name).map(of_uri).transpose()?.unwrap_or_default()),
            Self::Json(_) => {
                let text = self.text(name)?;
                match written {
                    BytesAs::Base64 => STANDARD.decode(&text).map_err(|_| json("illegal base64 data")),
                    BytesAs::Hex => hex::decode(&text).map_err(|_| json("expected hex")),
                }
            }
        }
    }
}

/// An empty parameter is none.
fn present<'a>(map: &'a BTreeMap<String, String>, name: &str) -> Option<&'a str> {
    map.get(name).map(String::as_str).filter(|text| !text.is_empty())
}

fn of_uri(text: &str) -> Result<Vec<u8>, RpcError> {
    if let Some(digits) = text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
        return hex::decode(digits).map_err(|error| uri(&error.to_string()));
    }
    // Quoted as JSON quotes text.
    let quoted = serde_json::from_str::<String>(text);
    quoted.map(String::into_bytes).map_err(|_| uri(&format!("expected \"quoted text\" or 0x hex, got {text:?}")))
}

fn uri(said: &str) -> RpcError {
    RpcError::params(&format!("error converting http params to arguments: {said}"))
}

fn json(said: &str) -> RpcError {
    RpcError::params(&format!("error converting json params to arguments: {said}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn of_query(pairs: &[(&str, &str)]) -> Params {
        Params::Uri(pairs.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect())
    }

    #[test]
    fn what_a_uri_may_say() {
        let params =
            of_query(&[("h", "5"), ("q", "\"5\""), ("t", "\"a\\\"b\""), ("x", "0x6162"), ("p", "true"), ("e", "")]);
        assert_eq!(params.number("h").unwrap(), Some(5));
        assert_eq!(params.number("q").unwrap(), Some(5));
        assert_eq!(params.number("e").unwrap(), None);
        assert_eq!(params.text("t").unwrap(), "a\"b");
        assert_eq!(params.bytes("x", BytesAs::Base64).unwrap(), b"ab");
        assert!(params.truth("p").unwrap());
        assert!(!params.truth("none").unwrap());
        assert!(params.number("t").is_err() && params.truth("h").is_err() && params.text("h").is_err());
    }

    #[test]
    fn what_json_may_say() {
        let params = json!({ "h": "5", "n": 5, "hex": "6162", "b64": "YWI=", "p": true });
        let params = Params::of_json(Some(&params), &[]).unwrap();
        assert_eq!(params.number("h").unwrap(), Some(5));
        assert!(params.number("n").is_err());
        assert_eq!(params.count("n").unwrap(), Some(5));
        assert_eq!(params.bytes("hex", BytesAs::Hex).unwrap(), b"ab");
        assert_eq!(params.bytes("b64", BytesAs::Base64).unwrap(), b"ab");
        assert!(params.truth("p").unwrap());
        let list = Params::of_json(Some(&json!(["7", true])), &["height", "prove"]).unwrap();
        assert_eq!(list.number("height").unwrap(), Some(7));
        assert!(Params::of_json(Some(&json!([1, 2])), &["height"]).is_err());
        assert!(Params::of_json(Some(&json!("x")), &["height"]).is_err());
    }
}
