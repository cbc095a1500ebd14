//! Calls a forge over the network, with the token in the header the call names. What an answer means is `havre-forge`'s. Tests:
//! `tests/it/forge_http.rs`.

use std::time::Duration;

use async_trait::async_trait;
use havre_core::outward::OutwardUrl;
use havre_core::secret::Secret;
use havre_forge::answer::BODY_MAX;
use havre_forge::call::{Call, TokenPlace};
use hyper::header::{HeaderName, HeaderValue};
use tokio_rustls::rustls::RootCertStore;

use super::{ForgeAnswer, Forges};
use havre_outward::{CallError, Caller, Request};

/// Calls over the network.
#[derive(Debug, Clone)]
pub struct HttpForges {
    caller: Caller,
}

impl HttpForges {
    /// Calls public addresses by HTTPS; others, and plain HTTP, only where repositories may be fetched so.
    pub fn new(remote_private: bool) -> Self {
        Self { caller: Caller::new(remote_private, Some("remote_private"), BODY_MAX) }
    }

    /// With another limit for the whole call, for tests of what happens at it.
    #[must_use]
    pub fn with_limit(self, limit: Duration) -> Self {
        Self { caller: self.caller.with_limit(limit) }
    }

    /// Trusts these and nobody else, for tests with a server of their own.
    #[must_use]
    pub fn with_roots(self, roots: RootCertStore) -> Self {
        Self { caller: self.caller.with_roots(roots) }
    }
}

#[async_trait]
impl Forges for HttpForges {
    async fn call(&self, call: &Call, token: &Secret) -> Result<ForgeAnswer, CallError> {
        // The grammar of an address to call, which has no place for a user or a password.
        let url: OutwardUrl = call.url.parse().map_err(|_| unusable("its address"))?;
        let mut headers = vec![token_line(call.token, token)?];
        for &(name, value) in call.headers {
            headers.push((HeaderName::from_static(name), HeaderValue::from_static(value)));
        }
        let body = call.body.as_ref().map(ToString::to_string).unwrap_or_default();
        let (method, target) = (call.method.as_str(), url.target());
        let answer = self.caller.call(Request { url: &url, method, target, headers, body }).await?;
        let lines = answer.headers.iter().filter_map(|(name, value)| {
            // What is no text is none of the headers that are looked for.
            Some((name.as_str().to_owned(), value.to_str().ok()?.to_owned()))
        });
        Ok(ForgeAnswer { status: answer.status, headers: lines.collect(), body: answer.body })
    }
}

/// The header line with the token, whose value is never printed.
fn token_line(place: TokenPlace, token: &Secret) -> Result<(HeaderName, HeaderValue), CallError> {
    let value = Secret::new([place.before.as_bytes(), token.expose()].concat());
    let mut value = HeaderValue::from_bytes(value.expose()).map_err(|_| unusable("the token"))?;
    value.set_sensitive(true);
    Ok((HeaderName::from_static(place.header), value))
}

fn unusable(what: &str) -> CallError {
    CallError::Refused(format!("the forge cannot be called: {what} has characters that have no place there"))
}
