//! Asks Docker Hub over HTTPS, as its documentation says: a token for the preview image, then the head of its manifest, whose headers
//! say what is left. How a host outside is called is in `outward`. Keeps nothing. Tests: `tests/it/registry_http.rs`.

use std::time::Duration;

use async_trait::async_trait;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use havre_core::outward::OutwardUrl;
use havre_core::registry::{Credentials, hub};
use havre_core::secret::Secret;
use havre_decide::registry::limit::PullLimit;
use hyper::header::{AUTHORIZATION, HeaderMap, HeaderValue};
use tokio::time::timeout;
use tokio_rustls::rustls::RootCertStore;

use super::{LimitError, PullLimits};
use havre_outward::{Caller, Request, Response};

/// Longest time for both questions together.
const LIMIT: Duration = Duration::from_secs(30);
/// Most bytes that are read of the answer with the token.
const ANSWER_MAX: usize = 64 * 1024;

/// Asks over the network.
#[derive(Debug, Clone)]
pub struct HttpPullLimits {
    tokens: OutwardUrl,
    preview: OutwardUrl,
    caller: Caller,
}

impl Default for HttpPullLimits {
    fn default() -> Self {
        let origin = |host: &str| format!("https://{host}");
        let caller = Caller::new(false, None, ANSWER_MAX);
        Self::at(&origin(hub::TOKEN_HOST), &origin(hub::REGISTRY_HOST), caller)
    }
}

impl HttpPullLimits {
    /// Asks these servers, wherever they are, and trusts `roots` and nobody else: for tests.
    pub fn of_test(tokens: &str, registry: &str, roots: RootCertStore) -> Self {
        Self::at(tokens, registry, Caller::new(true, None, ANSWER_MAX).with_roots(roots))
    }

    fn at(tokens: &str, registry: &str, caller: Caller) -> Self {
        let url = |origin: &str, target: &str| format!("{origin}{target}").parse().expect("is an address");
        let (tokens, preview) = (url(tokens, hub::TOKEN_TARGET), url(registry, hub::PREVIEW_TARGET));
        Self { tokens, preview, caller }
    }

    async fn read(&self, credentials: Option<&Credentials>) -> Result<Option<PullLimit>, LimitError> {
        let proof = credentials.map(basic).transpose()?;
        let answer = self.exchange("GET", &self.tokens, proof).await?;
        if answer.status != 200 {
            return Err(refused(&self.tokens, answer.status));
        }
        let token = parse_token(&answer.body)
            .ok_or_else(|| failed(&self.tokens, "answered without a token that could be read"))?;
        let answer = self.exchange("HEAD", &self.preview, Some(bearer(&token)?)).await?;
        // 429: nothing is left, and that is what the headers say.
        if answer.status != 200 && answer.status != 429 {
            return Err(refused(&self.preview, answer.status));
        }
        Ok(parse_limit(&answer.headers))
    }

    /// One request and its answer.
    async fn exchange(
        &self,
        method: &'static str,
        url: &OutwardUrl,
        proof: Option<HeaderValue>,
    ) -> Result<Response, LimitError> {
        let headers = proof.map(|proof| (AUTHORIZATION, proof)).into_iter().collect();
        let request = Request { url, method, target: url.target(), headers, body: String::new() };
        self.caller.call(request).await.map_err(|error| LimitError::new(error.to_string()))
    }
}

#[async_trait]
impl PullLimits for HttpPullLimits {
    async fn ask(&self, credentials: Option<&Credentials>) -> Result<Option<PullLimit>, LimitError> {
        match timeout(LIMIT, self.read(credentials)).await {
            Ok(result) => result,
            Err(_) => Err(LimitError::new(format!("no answer within {LIMIT:?}"))),
        }
    }
}

fn failed(url: &OutwardUrl, message: &str) -> LimitError {
    LimitError::new(format!("{}: {message}", url.host()))
}

fn refused(url: &OutwardUrl, status: u16) -> LimitError {
    failed(url, &format!("answered {status}"))
}

fn basic(credentials: &Credentials) -> Result<HeaderValue, LimitError> {
    let Credentials { user, password, .. } = credentials;
    let pair = Secret::new([user.as_str().as_bytes(), b":", password.expose()].concat());
    proof("Basic", &STANDARD.encode(pair.expose()))
}

fn bearer(token: &Secret) -> Result<HeaderValue, LimitError> {
    proof("Bearer", token.expose_text().unwrap_or_default())
}

/// The value of a header that is never printed.
fn proof(scheme: &str, text: &str) -> Result<HeaderValue, LimitError> {
    let value = HeaderValue::try_from(format!("{scheme} {text}"));
    let mut value = value.map_err(|_| LimitError::new("the token is no value of a header"))?;
    value.set_sensitive(true);
    Ok(value)
}

fn parse_token(body: &[u8]) -> Option<Secret> {
    let body: serde_json::Value = serde_json::from_slice(body).ok()?;
    let token = body.get("token").or_else(|| body.get("access_token"))?.as_str()?;
    (!token.is_empty()).then(|| Secret::from(token))
}

fn parse_limit(headers: &HeaderMap) -> Option<PullLimit> {
    let text = |name: &str| headers.get(name)?.to_str().ok();
    PullLimit::parse(text("ratelimit-limit")?, text("ratelimit-remaining")?)
}
