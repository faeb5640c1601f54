//! JSON Pointers (RFC 6901), parsed once and bounded.

use std::fmt;

use serde_json::Value;

use crate::limits::{MAX_POINTER_BYTES, MAX_POINTER_TOKENS};

/// A parsed JSON Pointer.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Pointer {
    tokens: Vec<String>,
}

impl Pointer {
    /// Parses `""` or `/a/b`; the error says what was expected.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        if text.len() > MAX_POINTER_BYTES {
            return Err(format!("expected a pointer of at most {MAX_POINTER_BYTES} bytes, got {}", text.len()));
        }
        if text.is_empty() {
            return Ok(Self { tokens: Vec::new() });
        }
        let Some(rest) = text.strip_prefix('/') else {
            return Err(format!("expected a JSON Pointer that starts with '/', got {text:?}"));
        };
        let tokens = rest.split('/').map(unescape).collect::<Option<Vec<_>>>();
        let tokens = tokens.ok_or_else(|| format!("expected '~' only in '~0' and '~1', got {text:?}"))?;
        if tokens.len() > MAX_POINTER_TOKENS {
            return Err(format!("expected at most {MAX_POINTER_TOKENS} steps, got {}", tokens.len()));
        }
        Ok(Self { tokens })
    }

    pub(crate) fn tokens(&self) -> &[String] {
        &self.tokens
    }

    /// The value it names in `root`.
    pub(crate) fn find<'v>(&self, root: &'v Value) -> Option<&'v Value> {
        self.tokens.iter().try_fold(root, |value, token| match value {
            Value::Object(members) => members.get(token),
            Value::Array(items) => items.get(array_index(token)?),
            _ => None,
        })
    }
}

impl fmt::Display for Pointer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.tokens.iter().try_for_each(|token| write!(f, "/{}", escape(token)))
    }
}

impl fmt::Debug for Pointer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Pointer({self})")
    }
}

/// An array index as RFC 6901 writes it: no sign, no leading zero.
pub(crate) fn array_index(token: &str) -> Option<usize> {
    let digits = !token.is_empty() && token.bytes().all(|byte| byte.is_ascii_digit());
    if !digits || (token.len() > 1 && token.starts_with('0')) {
        return None;
    }
    token.parse().ok()
}

/// `parent` extended by one member name.
pub(crate) fn child(parent: &str, token: &str) -> String {
    format!("{parent}/{}", escape(token))
}

pub(crate) fn escape(token: &str) -> String {
    token.replace('~', "~0").replace('/', "~1")
}

fn unescape(token: &str) -> Option<String> {
    let mut text = String::with_capacity(token.len());
    let mut characters = token.chars();
    while let Some(character) = characters.next() {
        match character {
            '~' => text.push(match characters.next()? {
                '0' => '~',
                '1' => '/',
                _ => return None,
            }),
            other => text.push(other),
        }
    }
    Some(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    #[test]
    fn the_examples_of_rfc_6901() {
        let root = json!({"foo": ["bar", "baz"], "": 0, "a/b": 1, "m~n": 8});
        for (text, expected) in [
            ("/foo/0", Some(json!("bar"))),
            ("/", Some(json!(0))),
            ("/a~1b", Some(json!(1))),
            ("/m~0n", Some(json!(8))),
            ("/foo/00", None),
            ("/foo/-", None),
        ] {
            assert_eq!(Pointer::parse(text).unwrap().find(&root).cloned(), expected, "{text}");
        }
        assert_eq!(Pointer::parse("").unwrap().find(&root), Some(&root));
    }

    #[test]
    fn other_spellings_are_refused() {
        for text in ["foo", "/~", "/~2", "#/foo"] {
            assert!(Pointer::parse(text).is_err(), "{text}");
        }
        assert!(Pointer::parse(&"/a".repeat(MAX_POINTER_TOKENS + 1)).is_err());
        assert!(Pointer::parse(&format!("/{}", "a".repeat(MAX_POINTER_BYTES))).is_err());
    }

    proptest! {
        #[test]
        fn what_is_written_parses_to_itself(tokens in prop::collection::vec("[a-z~/\\PC]{0,6}", 0..8)) {
            let pointer = Pointer { tokens };
            if pointer.to_string().len() <= MAX_POINTER_BYTES {
                prop_assert_eq!(Pointer::parse(&pointer.to_string()), Ok(pointer));
            }
        }
    }
}
