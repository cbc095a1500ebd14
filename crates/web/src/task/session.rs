//! Carries one command session over a WebSocket; the protocol is in `havre_api::task`. Decides nothing about tasks.
//! Tests: `tests/it/task.rs`.

use std::future::Future;
use std::time::Duration;

use axum::body::Bytes;
use axum::extract::ws::{CloseFrame, Message, WebSocket, WebSocketUpgrade, close_code};
use axum::response::Response;
use havre_api::task::{FRAME_MAX, STDERR, STDIN, STDOUT, SessionClient, SessionServer};
use serde::de::DeserializeOwned;

use crate::error::{Code, Refusal};
use crate::state::AppState;
use crate::task::streams::{ExecInput, ExecOutput, ExecSession, TaskStreamError};

/// Longest wait for the first frame of a client.
const FIRST_FRAME: Duration = Duration::from_secs(10);
/// Pings in a row without any frame from the client before it counts as gone. More than one, because answers wait
/// behind output that the client has not read yet.
const UNANSWERED_MAX: u32 = 3;
/// Longest wait to say that the session is over, and for the client's answer.
const LAST_FRAMES: Duration = Duration::from_secs(5);

/// Answers the upgrade, reads the request from the first frame, starts the command and carries its bytes.
pub(crate) fn upgrade<Q, F>(
    state: AppState,
    upgrade: WebSocketUpgrade,
    start: impl FnOnce(AppState, Q) -> F + Send + 'static,
) -> Result<Response, Refusal>
where
    Q: DeserializeOwned + Send,
    F: Future<Output = Result<ExecSession, TaskStreamError>> + Send,
{
    let slot = state.slot()?;
    let upgrade = upgrade.max_message_size(FRAME_MAX).max_frame_size(FRAME_MAX);
    Ok(upgrade.on_upgrade(move |mut socket| async move {
        if let Err(refusal) = hold(&state, &mut socket, start).await {
            let frame = SessionServer::Refused { error: refusal.body() };
            // A client that is gone, or does not read, does not need to know.
            let _ = tokio::time::timeout(LAST_FRAMES, send(&mut socket, &frame)).await;
        }
        close(&mut socket).await;
        drop(slot);
    }))
}

/// Says that the session is over and waits for the client to say so too: closing with input unread would reset the
/// connection, and the client could lose the last output and the exit code.
async fn close(socket: &mut WebSocket) {
    let end = CloseFrame { code: close_code::NORMAL, reason: "".into() };
    let answered = async {
        if socket.send(Message::Close(Some(end))).await.is_ok() {
            while let Some(Ok(_)) = socket.recv().await {}
        }
    };
    // A client that never answers loses nothing but its own last frames.
    let _ = tokio::time::timeout(LAST_FRAMES, answered).await;
}

async fn hold<Q, F>(
    state: &AppState,
    socket: &mut WebSocket,
    start: impl FnOnce(AppState, Q) -> F,
) -> Result<(), Refusal>
where
    Q: DeserializeOwned,
    F: Future<Output = Result<ExecSession, TaskStreamError>>,
{
    let request = first_frame(socket).await?;
    let session = start(state.clone(), request).await?;
    if send(socket, &SessionServer::Started { task: session.task }).await.is_err() {
        return Ok(());
    }
    carry(state, socket, session).await
}

async fn first_frame<Q: DeserializeOwned>(socket: &mut WebSocket) -> Result<Q, Refusal> {
    let wrong = |text: String| Refusal::new(Code::BodyInvalid, text);
    let frame = tokio::time::timeout(FIRST_FRAME, socket.recv()).await;
    let text = match frame {
        Ok(Some(Ok(Message::Text(text)))) => text,
        Ok(_) => return Err(wrong("the first frame must be the request as text".to_owned())),
        Err(_) => return Err(wrong("the request did not arrive in time".to_owned())),
    };
    serde_json::from_str(&text).map_err(|error| wrong(format!("the request is wrong: {error}")))
}

async fn carry(state: &AppState, socket: &mut WebSocket, mut session: ExecSession) -> Result<(), Refusal> {
    let patience = state.limits.slow_client;
    let mut pause = tokio::time::interval(state.limits.keep_alive);
    pause.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut unanswered = 0;
    // A frame for a command that does not read waits here, so that the client is not read either.
    let mut pending: Option<ExecInput> = None;
    loop {
        tokio::select! {
            output = session.output.recv() => match output {
                Some(output) => match tokio::time::timeout(patience, pass_on(socket, output)).await {
                    Ok(Passed::More) => {}
                    Ok(Passed::Last) | Err(_) => return Ok(()),
                    Ok(Passed::Broken(refusal)) => return Err(refusal),
                },
                None => return Err(Refusal::new(Code::Internal, "the command's session ended without its exit code")),
            },
            room = session.input.reserve(), if pending.is_some() => match (room, pending.take()) {
                (Ok(room), Some(input)) => room.send(input),
                // The command reads no more; its output and exit code still count.
                (_, dropped) => drop(dropped),
            },
            frame = socket.recv(), if pending.is_none() => match frame {
                Some(Ok(Message::Close(_))) | Some(Err(_)) | None => return Ok(()),
                Some(Ok(frame)) => {
                    unanswered = 0;
                    pending = parse(frame)?;
                }
            },
            _ = pause.tick() => {
                // With input pending nothing is read, so a missing answer says nothing.
                unanswered = if pending.is_some() { 0 } else { unanswered + 1 };
                let ping = tokio::time::timeout(patience, socket.send(Message::Ping(Bytes::new())));
                if unanswered > UNANSWERED_MAX || !matches!(ping.await, Ok(Ok(()))) {
                    return Ok(());
                }
            }
            () = state.stop.cancelled() => {
                return Err(Refusal::new(Code::Unavailable, "the server is stopping; the command was ended"));
            }
        }
    }
}

/// What became of a piece of output.
enum Passed {
    /// The client has it.
    More,
    /// It was the last, or the client is gone.
    Last,
    /// The session broke.
    Broken(Refusal),
}

async fn pass_on(socket: &mut WebSocket, output: ExecOutput) -> Passed {
    let sent = match output {
        ExecOutput::Stdout(bytes) => send_bytes(socket, STDOUT, &bytes).await,
        ExecOutput::Stderr(bytes) => send_bytes(socket, STDERR, &bytes).await,
        ExecOutput::Exit(code) => {
            // Whether the client still hears it changes nothing.
            let _ = send(socket, &SessionServer::Exit { code }).await;
            return Passed::Last;
        }
        ExecOutput::Failed(error) => return Passed::Broken(error.into()),
    };
    if sent.is_ok() { Passed::More } else { Passed::Last }
}

async fn send_bytes(socket: &mut WebSocket, tag: u8, bytes: &[u8]) -> Result<(), axum::Error> {
    for part in bytes.chunks(FRAME_MAX - 1) {
        let mut frame = Vec::with_capacity(part.len() + 1);
        frame.push(tag);
        frame.extend_from_slice(part);
        socket.send(Message::Binary(frame.into())).await?;
    }
    Ok(())
}

async fn send(socket: &mut WebSocket, frame: &SessionServer) -> Result<(), axum::Error> {
    let text = serde_json::to_string(frame).expect("wire types are always JSON");
    socket.send(Message::Text(text.into())).await
}

/// What a frame asks for; pings are answered by the socket itself.
fn parse(frame: Message) -> Result<Option<ExecInput>, Refusal> {
    let wrong = |text: String| Refusal::new(Code::BodyInvalid, text);
    match frame {
        Message::Binary(mut bytes) if bytes.first() == Some(&STDIN) => {
            Ok(Some(ExecInput::Stdin(bytes.split_off(1))))
        }
        Message::Binary(_) => Err(wrong(format!("a binary frame must begin with the byte {STDIN}"))),
        Message::Text(text) => match serde_json::from_str(&text) {
            Ok(SessionClient::EndOfInput) => Ok(Some(ExecInput::End)),
            Ok(SessionClient::Resize(size)) => Ok(Some(ExecInput::Resize(size))),
            Err(error) => Err(wrong(format!("a text frame is wrong: {error}"))),
        },
        Message::Ping(_) | Message::Pong(_) | Message::Close(_) => Ok(None),
    }
}
