//! The demo's certificates: one authority for three departments and their courier, made anew each time.

use hufu_schemas_core::Digest;

use crate::commands::init::certificate::{Authority, Pem};

/// What one party shows.
pub(super) struct Party {
    pub(super) pem: Pem,
}

/// The authority that all three departments accept.
pub(super) struct City {
    authority: Authority,
}

impl City {
    pub(super) fn found() -> anyhow::Result<Self> {
        Ok(Self { authority: Authority::found("DEMO authority")? })
    }

    pub(super) fn certificate(&self) -> &str {
        self.authority.certificate()
    }

    pub(super) fn gateway(&self, name: &str) -> anyhow::Result<Party> {
        Ok(Party { pem: self.authority.gateway(name)? })
    }

    pub(super) fn relayer(&self, name: &str) -> anyhow::Result<Party> {
        Ok(Party { pem: self.authority.relayer(name)? })
    }
}

/// A bearer token and what the configuration holds of it.
pub(super) fn token() -> anyhow::Result<(String, String)> {
    let token = hex::encode(crate::commands::key::random()?);
    let digest = Digest::of(token.as_bytes()).to_hex();
    Ok((token, digest))
}
