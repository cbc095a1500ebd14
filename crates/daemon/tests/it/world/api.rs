//! The HTTP API over its local socket, as the client would use it: plain calls, followed events, command sessions.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use bytes::Bytes;
use futures_util::{SinkExt as _, StreamExt as _};
use havre_api::event::Event;
use havre_api::task::{STDERR, STDIN, STDOUT, SessionClient, SessionServer};
use havre_webhook::verify::sign;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::net::UnixStream;
use tokio_tungstenite::tungstenite::Message;

/// Longest wait for one answer.
const ANSWER: Duration = Duration::from_secs(20);

/// The API of one installation.
#[derive(Clone)]
pub(crate) struct Api {
    pub(crate) socket: PathBuf,
}

type AnyError = Box<dyn std::error::Error + Send + Sync>;

impl Api {
    async fn open(&self, method: Method, path: &str, body: Vec<u8>) -> Result<Response<Incoming>, AnyError> {
        self.open_with(method, path, &[], body).await
    }

    async fn open_with(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: Vec<u8>,
    ) -> Result<Response<Incoming>, AnyError> {
        let stream = UnixStream::connect(&self.socket).await?;
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
        tokio::spawn(connection);
        let mut request = Request::builder()
            .method(method)
            .uri(path)
            .header("host", "havre")
            .header("content-type", "application/json");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        Ok(sender.send_request(request.body(Full::new(Bytes::from(body)))?).await?)
    }

    /// What a delivery of a webhook is answered, in GitHub's form: `signed` is what the signature is made of.
    pub(crate) async fn deliver(
        &self,
        (path, secret): (&str, &str),
        headers: &[(&str, &str)],
        (signed, body): (&[u8], Vec<u8>),
    ) -> (StatusCode, Bytes) {
        let signature: String =
            sign(secret.as_bytes(), signed).iter().map(|byte| format!("{byte:02x}")).collect();
        let signature = format!("sha256={signature}");
        let headers = [headers, &[("x-hub-signature-256", signature.as_str())]].concat();
        let answer = self.open_with(Method::POST, path, &headers, body).await.expect("control answers");
        let status = answer.status();
        (status, answer.into_body().collect().await.expect("a body").to_bytes())
    }

    /// Status and body; an error when control is away.
    pub(crate) async fn call(
        &self,
        method: Method,
        path: &str,
        body: Vec<u8>,
    ) -> Result<(StatusCode, Bytes), AnyError> {
        let exchange = async {
            let answer = self.open(method, path, body).await?;
            let status = answer.status();
            Ok((status, answer.into_body().collect().await?.to_bytes()))
        };
        tokio::time::timeout(ANSWER, exchange).await?
    }

    /// What `GET` answers; `None` while control is away or the thing is not there.
    pub(crate) async fn find<T: DeserializeOwned>(&self, path: &str) -> Option<T> {
        let (status, body) = self.call(Method::GET, path, Vec::new()).await.ok()?;
        status
            .is_success()
            .then(|| serde_json::from_slice(&body).expect("the answer has the documented form"))
    }

    /// What `GET` answers.
    pub(crate) async fn get<T: DeserializeOwned>(&self, path: &str) -> T {
        self.send(Method::GET, path, &()).await
    }

    /// Sends JSON, wants success.
    pub(crate) async fn send<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: &impl Serialize,
    ) -> T {
        let mut body = serde_json::to_vec(body).expect("wire types are JSON");
        if body == b"null" {
            body.clear();
        }
        let answer = self.call(method.clone(), path, body).await;
        let (status, body) = answer.unwrap_or_else(|error| panic!("{method} {path}: {error}"));
        assert!(status.is_success(), "{method} {path}: {status} {}", String::from_utf8_lossy(&body));
        serde_json::from_slice(&body).expect("the answer has the documented form")
    }

    /// Every line of an answer of JSON lines that does not follow.
    pub(crate) async fn lines<T: DeserializeOwned>(&self, path: &str) -> Vec<T> {
        let (status, body) = self.call(Method::GET, path, Vec::new()).await.expect("control answers");
        assert!(status.is_success(), "GET {path}: {status} {}", String::from_utf8_lossy(&body));
        let lines = body.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
        lines.map(|line| serde_json::from_slice(line).expect("a line has the documented form")).collect()
    }

    /// Follows events behind `after`; ends when control does.
    pub(crate) async fn events(&self, after: u64) -> Events {
        let answer =
            self.open(Method::GET, &format!("/v1/events?follow=true&after={after}"), Vec::new()).await;
        Events { body: answer.expect("control answers").into_body(), buffer: Vec::new() }
    }

    /// A command session: what it wrote to standard output and standard error, and how it ended.
    pub(crate) async fn session(&self, path: &str, request: &impl Serialize, input: &[u8]) -> Session {
        let stream = UnixStream::connect(&self.socket).await.expect("control listens");
        let opened = tokio_tungstenite::client_async(format!("ws://havre{path}"), stream).await;
        let (mut socket, _) = opened.expect("a WebSocket");
        let text = |value: String| Message::Text(value.into());
        let first = serde_json::to_string(request).expect("wire types are JSON");
        socket.send(text(first)).await.expect("it is read");
        let mut session = Session::default();
        while let Some(message) = tokio::time::timeout(ANSWER, socket.next()).await.expect("it goes on") {
            match message.expect("the session does not break") {
                Message::Binary(bytes) => match bytes.split_first() {
                    Some((&STDOUT, rest)) => session.stdout.extend_from_slice(rest),
                    Some((&STDERR, rest)) => session.stderr.extend_from_slice(rest),
                    other => panic!("a frame of an unknown kind: {other:?}"),
                },
                Message::Text(line) => {
                    let line = serde_json::from_str(&line).expect("a text frame has the documented form");
                    let is_start = matches!(line, SessionServer::Started { .. });
                    session.said.push(line);
                    if is_start && !input.is_empty() {
                        let frame: Vec<u8> = std::iter::once(STDIN).chain(input.iter().copied()).collect();
                        socket.send(Message::Binary(frame.into())).await.expect("it is read");
                    }
                    if is_start {
                        let end = serde_json::to_string(&SessionClient::EndOfInput).expect("JSON");
                        socket.send(text(end)).await.expect("it is read");
                    }
                }
                Message::Close(_) => break,
                Message::Ping(_) | Message::Pong(_) | Message::Frame(_) => {}
            }
        }
        session
    }
}

/// A command session that has ended.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Session {
    pub(crate) stdout: Vec<u8>,
    pub(crate) stderr: Vec<u8>,
    pub(crate) said: Vec<SessionServer>,
}

impl Session {
    /// Both outputs as text.
    pub(crate) fn text(&self) -> (String, String) {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        (text(&self.stdout), text(&self.stderr))
    }
}

/// Followed events.
pub(crate) struct Events {
    body: Incoming,
    buffer: Vec<u8>,
}

impl Events {
    /// The next one; `None` when control is gone.
    pub(crate) async fn next(&mut self) -> Option<Event> {
        loop {
            while let Some(end) = self.buffer.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.buffer.drain(..=end).collect();
                if line.len() > 1 {
                    return Some(serde_json::from_slice(&line).expect("an event has the documented form"));
                }
            }
            let frame = self.body.frame().await?.ok()?;
            if let Some(data) = frame.data_ref() {
                self.buffer.extend_from_slice(data);
            }
        }
    }
}

/// No further environment variables for a session.
pub(crate) fn no_env() -> BTreeMap<havre_core::name::EnvKey, String> {
    BTreeMap::new()
}
