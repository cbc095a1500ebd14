//! One command session over a WebSocket; the protocol is in `havre_api::task`. Tests: `tests/it/session.rs`.

use bytes::Bytes;
use futures_util::stream::{SplitSink, SplitStream};
use futures_util::{SinkExt as _, StreamExt as _};
use havre_api::error::ErrorBody;
use havre_api::task::{FRAME_MAX, STDERR, STDIN, STDOUT, SessionClient, SessionServer};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{Error as SocketError, Message};

use super::connect::{Endpoint, Wire, dial};
use crate::exit::{CliError, Exit};

type Socket = WebSocketStream<Box<dyn Wire>>;

/// A session whose request has been sent. Its two halves work at the same time: a command may write while it does not
/// read, and waiting for one must never hold up the other.
pub(crate) struct Session {
    /// Towards the command.
    pub(crate) sender: Sender,
    /// From the command.
    pub(crate) receiver: Receiver,
}

/// The half towards the command.
pub(crate) struct Sender {
    sink: SplitSink<Socket, Message>,
    endpoint: String,
}

/// The half from the command.
pub(crate) struct Receiver {
    stream: SplitStream<Socket>,
    endpoint: String,
}

/// What arrives.
#[derive(Debug)]
pub(crate) enum Arrival {
    /// The command runs.
    Started,
    /// Bytes of its standard output.
    Stdout(Bytes),
    /// Bytes of its standard error.
    Stderr(Bytes),
    /// It ended.
    Exit(i64),
}

impl std::fmt::Debug for Session {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Session").field("endpoint", &self.sender.endpoint).finish_non_exhaustive()
    }
}

fn lost(endpoint: &str, why: &str) -> CliError {
    CliError::new(Exit::Unreachable, format!("the session with {endpoint} broke off: {why}"))
        .hint("the command may still run")
}

impl Session {
    pub(super) async fn open(
        endpoint: &Endpoint,
        token: Option<&str>,
        path: &str,
        first: String,
    ) -> Result<Self, CliError> {
        let wire = dial(endpoint).await?;
        let mut request = format!("ws://{}{path}", endpoint.host())
            .into_client_request()
            .expect("paths are made of checked text");
        if let Some(token) = token {
            let value = format!("Bearer {token}").parse().expect("tokens are visible ASCII");
            request.headers_mut().insert(hyper::header::AUTHORIZATION, value);
        }
        let config =
            WebSocketConfig::default().max_message_size(Some(FRAME_MAX)).max_frame_size(Some(FRAME_MAX));
        let opened = tokio_tungstenite::client_async_with_config(request, wire, Some(config)).await;
        let (socket, _) = opened.map_err(|error| refuse(endpoint, error))?;
        let (sink, stream) = socket.split();
        let endpoint = endpoint.to_string();
        let mut sender = Sender { sink, endpoint: endpoint.clone() };
        sender.send(Message::text(first)).await?;
        Ok(Self { sender, receiver: Receiver { stream, endpoint } })
    }
}

impl Sender {
    async fn send(&mut self, message: Message) -> Result<(), CliError> {
        self.sink.send(message).await.map_err(|error| lost(&self.endpoint, &error.to_string()))
    }

    /// Sends bytes for standard input, in frames the server accepts.
    pub(crate) async fn input(&mut self, bytes: &[u8]) -> Result<(), CliError> {
        for part in bytes.chunks(FRAME_MAX - 1) {
            let mut frame = Vec::with_capacity(part.len() + 1);
            frame.push(STDIN);
            frame.extend_from_slice(part);
            self.send(Message::binary(frame)).await?;
        }
        Ok(())
    }

    /// Says something that is not input.
    pub(crate) async fn tell(&mut self, what: &SessionClient) -> Result<(), CliError> {
        let text = serde_json::to_string(what).expect("wire types are always JSON");
        self.send(Message::text(text)).await
    }
}

impl Receiver {
    /// What arrives next; can be dropped and called again.
    pub(crate) async fn next(&mut self) -> Result<Arrival, CliError> {
        loop {
            let frame = match self.stream.next().await {
                Some(Ok(frame)) => frame,
                Some(Err(error)) => return Err(lost(&self.endpoint, &error.to_string())),
                None => return Err(lost(&self.endpoint, "it ended without an exit code")),
            };
            match frame {
                Message::Binary(mut bytes) if bytes.first() == Some(&STDOUT) => {
                    return Ok(Arrival::Stdout(bytes.split_off(1)));
                }
                Message::Binary(mut bytes) if bytes.first() == Some(&STDERR) => {
                    return Ok(Arrival::Stderr(bytes.split_off(1)));
                }
                Message::Text(text) => match serde_json::from_str::<SessionServer>(&text) {
                    Ok(SessionServer::Started { .. }) => return Ok(Arrival::Started),
                    Ok(SessionServer::Exit { code }) => return Ok(Arrival::Exit(code)),
                    Ok(SessionServer::Refused { error }) => return Err(refusal(error)),
                    Err(error) => {
                        return Err(lost(&self.endpoint, &format!("a frame was not understood: {error}")));
                    }
                },
                // Pings are answered by the library.
                _ => {}
            }
        }
    }
}

/// A refusal inside a session has no status; its code says which kind it is.
fn refusal(error: ErrorBody) -> CliError {
    let status = match error.code.as_str() {
        code if code.ends_with("_not_found") => 404,
        "task_not_running" | "nothing_live" | "state_changed" | "being_destroyed" => 409,
        "body_invalid" | "name_invalid" => 400,
        _ => 500,
    };
    CliError::refused(status, error)
}

fn refuse(endpoint: &Endpoint, error: SocketError) -> CliError {
    let SocketError::Http(response) = error else {
        return CliError::new(
            Exit::Unreachable,
            format!("could not begin a session with {endpoint}: {error}"),
        );
    };
    let status = response.status();
    let body = response.into_body().unwrap_or_default();
    match serde_json::from_slice(&body) {
        Ok(body) => CliError::refused(status.as_u16(), body),
        Err(_) => CliError::new(
            Exit::of_status(status.as_u16()),
            format!("{endpoint} refused the session with status {status}"),
        ),
    }
}
