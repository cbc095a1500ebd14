//! Requests to a control process over its local socket or TCP: one connection each, no redirects, no retries.
//! What must be retried is decided by the commands. Tests: `tests/it/reach.rs`.

mod connect;
mod download;
pub(crate) mod ending;
mod lines;
pub(crate) mod path;
mod session;

use std::time::Duration;

use bytes::Bytes;
use havre_api::error::ErrorBody;
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Incoming;
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HOST, USER_AGENT};
use hyper::{Method, Request, Response, StatusCode};
use serde::Serialize;
use serde::de::DeserializeOwned;

pub(crate) use connect::Endpoint;
pub(crate) use lines::{Line, Lines};
pub(crate) use session::{
    Arrival, Receiver as CommandReceiver, Sender as CommandSender, Session as CommandSession,
};

use crate::exit::{CliError, Exit};

/// A body on its way to the server.
pub(crate) type Body = BoxBody<Bytes, std::io::Error>;

/// Longest wait for an answer to a request without an upload.
const ANSWER: Duration = Duration::from_secs(60);
/// Largest JSON answer.
const ANSWER_MAX: usize = 64 * 1024 * 1024;

/// One server and how to be let in. Its `Debug` form hides the token.
#[derive(Clone)]
pub(crate) struct Client {
    endpoint: Endpoint,
    token: Option<String>,
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Client").field("endpoint", &self.endpoint).finish_non_exhaustive()
    }
}

/// No body.
pub(crate) fn empty() -> Body {
    Full::new(Bytes::new()).map_err(|never| match never {}).boxed()
}

impl Client {
    /// A client of that server. A token is never sent over a network in plain text unless `insecure` says so.
    pub(crate) fn new(endpoint: Endpoint, token: Option<String>, insecure: bool) -> Result<Self, CliError> {
        if let Some(token) = &token {
            let is_plain = !token.is_empty() && token.bytes().all(|byte| byte.is_ascii_graphic());
            if !is_plain {
                return Err(CliError::usage("the access token has characters no token has")
                    .hint("copy it again as `havre token create` showed it"));
            }
            if !insecure && !endpoint.is_local() {
                return Err(CliError::usage(format!(
                    "refused to send the access token to {endpoint}: plain http shows it to everybody on the way"
                ))
                .hint(
                    "forward the socket over SSH instead:\n  \
                     ssh -N -L /tmp/havre.sock:/run/havre/control.sock you@server\n\
                     and use HAVRE_SOCKET=/tmp/havre.sock; --insecure sends it all the same",
                ));
            }
        }
        Ok(Self { endpoint, token })
    }

    fn request(&self, method: Method, path: &str) -> hyper::http::request::Builder {
        let builder = Request::builder()
            .method(method)
            .uri(path)
            .header(HOST, self.endpoint.host())
            .header(USER_AGENT, concat!("havre/", env!("CARGO_PKG_VERSION")));
        match &self.token {
            Some(token) => builder.header(AUTHORIZATION, format!("Bearer {token}")),
            None => builder,
        }
    }

    /// Sends a request whose answer may take as long as it wants, and refuses refusals.
    pub(crate) async fn send(
        &self,
        method: Method,
        path: &str,
        content_type: &str,
        body: Body,
    ) -> Result<Response<Incoming>, CliError> {
        let mut sender = connect::open(&self.endpoint).await?;
        let request = self
            .request(method, path)
            .header(CONTENT_TYPE, content_type)
            .body(body)
            .expect("paths and headers are made of checked text");
        let response = sender.send_request(request).await.map_err(|error| self.broken(&error))?;
        if response.status().is_success() {
            return Ok(response);
        }
        Err(self.refusal(response).await)
    }

    /// The connection broke off.
    fn broken(&self, error: &dyn std::error::Error) -> CliError {
        let mut text = error.to_string();
        let mut cause = error.source();
        while let Some(inner) = cause {
            text = format!("{text}: {inner}");
            cause = inner.source();
        }
        CliError::new(Exit::Unreachable, format!("the connection to {} broke off: {text}", self.endpoint))
    }

    async fn refusal(&self, response: Response<Incoming>) -> CliError {
        let status = response.status();
        let body = tokio::time::timeout(ANSWER, Limited::new(response.into_body(), 1 << 20).collect()).await;
        let body = match body {
            Ok(Ok(body)) => body.to_bytes(),
            _ => Bytes::new(),
        };
        match serde_json::from_slice::<ErrorBody>(&body) {
            Ok(body) => CliError::refused(status.as_u16(), body),
            Err(_) => self.foreign(status),
        }
    }

    /// An answer that is not ours: most likely something else listens there.
    fn foreign(&self, status: StatusCode) -> CliError {
        CliError::new(
            Exit::Unreachable,
            format!("{} answered {status}, but not as a Havre server does", self.endpoint),
        )
        .hint("check the address; the API has an address of its own, not the one your users see")
    }

    async fn quick<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: Body,
    ) -> Result<T, CliError> {
        let late = |_| {
            let seconds = ANSWER.as_secs();
            let text = format!("no answer from {} within {seconds} s", self.endpoint);
            CliError::new(Exit::Unreachable, text)
                .hint("what was asked for may still happen; look with `havre status`")
        };
        let answer = async {
            let response = self.send(method, path, "application/json", body).await?;
            self.read(response).await
        };
        tokio::time::timeout(ANSWER, answer).await.map_err(late)?
    }

    /// Reads a JSON answer.
    pub(crate) async fn read<T: DeserializeOwned>(
        &self,
        response: Response<Incoming>,
    ) -> Result<T, CliError> {
        let status = response.status();
        let body = Limited::new(response.into_body(), ANSWER_MAX).collect().await;
        let body = body.map_err(|error| self.broken(error.as_ref()))?.to_bytes();
        let text: &[u8] = if body.is_empty() { b"null" } else { &body };
        serde_json::from_slice(text).map_err(|error| {
            CliError::new(
                Exit::Failed,
                format!("could not understand the answer of {} ({status}): {error}", self.endpoint),
            )
            .hint("client and server may be of different versions; see `havre version`")
        })
    }

    /// `GET` of a JSON document.
    pub(crate) async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, CliError> {
        self.quick(Method::GET, path, empty()).await
    }

    /// `DELETE`.
    pub(crate) async fn delete<T: DeserializeOwned>(&self, path: &str) -> Result<T, CliError> {
        self.quick(Method::DELETE, path, empty()).await
    }

    /// A request with a JSON body.
    pub(crate) async fn call<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: &impl Serialize,
    ) -> Result<T, CliError> {
        let text = serde_json::to_vec(body).expect("wire types are always JSON");
        let body = Full::new(Bytes::from(text)).map_err(|never| match never {}).boxed();
        self.quick(method, path, body).await
    }

    /// `POST` without a body.
    pub(crate) async fn post<T: DeserializeOwned>(&self, path: &str) -> Result<T, CliError> {
        self.quick(Method::POST, path, empty()).await
    }

    /// `GET` of a stream of JSON lines.
    pub(crate) async fn lines(&self, path: &str) -> Result<Lines, CliError> {
        let response =
            tokio::time::timeout(ANSWER, self.send(Method::GET, path, "application/json", empty()));
        match response.await {
            Ok(response) => Ok(Lines::new(response?.into_body(), self.endpoint.to_string())),
            Err(_) => {
                Err(CliError::new(Exit::Unreachable, format!("no answer from {} in time", self.endpoint)))
            }
        }
    }

    /// Opens a command session (`exec`, `run`) and sends its request.
    pub(crate) async fn session(
        &self,
        path: &str,
        request: &impl Serialize,
    ) -> Result<CommandSession, CliError> {
        let first = serde_json::to_string(request).expect("wire types are always JSON");
        CommandSession::open(&self.endpoint, self.token.as_deref(), path, first).await
    }
}
