//! Who is at the other end of a peers connection: the one URI name of its certificate.

use std::fmt;

use hufu_schemas_core::GatewayId;

const PREFIX: &str = "urn:hufu:";

/// What a peer is. It decides nothing by itself: rights come from the configuration's `[[peer]]` entry alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum IdentityKind {
    /// Another department's gateway.
    Gateway,
    /// A courier.
    Relayer,
}

impl IdentityKind {
    /// The text form within the URI.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Gateway => "gateway",
            Self::Relayer => "relayer",
        }
    }
}

/// A peer's name as its certificate carries it: `urn:hufu:gateway:land.example`, `urn:hufu:relayer:city-1`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Identity {
    kind: IdentityKind,
    name: GatewayId,
}

/// The text is no identity.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("expected urn:hufu:gateway:<name> or urn:hufu:relayer:<name>, got {got:?}")]
pub struct NotAnIdentity {
    got: String,
}

impl Identity {
    /// Parses the one spelling.
    pub fn parse(text: &str) -> Result<Self, NotAnIdentity> {
        let fault = || NotAnIdentity { got: text.chars().take(120).collect() };
        let (kind, name) = text.strip_prefix(PREFIX).and_then(|rest| rest.split_once(':')).ok_or_else(fault)?;
        let kind = match kind {
            "gateway" => IdentityKind::Gateway,
            "relayer" => IdentityKind::Relayer,
            _ => return Err(fault()),
        };
        // Relayers are named like gateways, so that one rule says what may stand in a log line or a label.
        Ok(Self { kind, name: GatewayId::parse(name).map_err(|_| fault())? })
    }

    /// What it is.
    pub const fn kind(&self) -> IdentityKind {
        self.kind
    }

    /// Its name within its kind.
    pub fn name(&self) -> &str {
        self.name.as_str()
    }
}

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{PREFIX}{}:{}", self.kind.as_str(), self.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identities_have_one_spelling() {
        for good in ["urn:hufu:gateway:land.example", "urn:hufu:relayer:city-1"] {
            assert_eq!(Identity::parse(good).unwrap().to_string(), good);
        }
        for bad in [
            "urn:hufu:operator:x",
            "URN:hufu:gateway:x",
            "urn:hufu:gateway:",
            "urn:hufu:gateway:Land",
            "urn:hufu:gateway:a:b",
            "spiffe://land.example",
            "",
        ] {
            assert!(Identity::parse(bad).is_err(), "{bad:?}");
        }
    }
}
