//! Joins the user's terminal and a command session. Tests: `tests/it/session.rs`.

use std::convert::Infallible;
use std::io::{IsTerminal as _, Write as _};

use havre_api::task::{SessionClient, TerminalSize};
use havre_core::name::EnvKey;
use tokio::io::AsyncReadExt as _;
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::terminal;
use crate::exit::{CliError, Exit};
use crate::http::{Arrival, CommandReceiver as Receiver, CommandSender as Sender, CommandSession};
use crate::output;

/// Bytes of input sent at once.
const CHUNK: usize = 16 * 1024;

/// Reads `KEY=VALUE`.
pub(crate) fn parse_variable(text: &str) -> Result<(EnvKey, String), String> {
    let (key, value) = text.split_once('=').ok_or("expected KEY=VALUE")?;
    let key = key.parse().map_err(|error: havre_core::name::NameError| error.to_string())?;
    Ok((key, value.to_owned()))
}

/// The terminal a command gets: ours, when both ends of it are one.
pub(crate) fn terminal(is_unwanted: bool) -> Option<TerminalSize> {
    let has_terminal = std::io::stdin().is_terminal() && std::io::stdout().is_terminal();
    (has_terminal && !is_unwanted).then(terminal::size).flatten()
}

/// What a command gets on its standard input.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Input {
    /// Its end.
    Nothing,
    /// Our own, as it is.
    Bytes,
    /// Our terminal, key by key.
    Terminal,
}

/// Carries bytes both ways until the command ends; ends with its exit code.
pub(crate) async fn hold(session: CommandSession, input: Input) -> Result<Exit, CliError> {
    let has_terminal = input == Input::Terminal;
    let failed = |error: std::io::Error| CliError::io("prepare the terminal", &error);
    let _raw = if has_terminal { Some(terminal::raw().map_err(failed)?) } else { None };
    let resized = signal(SignalKind::window_change()).map_err(failed)?;
    tokio::select! {
        exit = receive(session.receiver) => exit,
        never = send(session.sender, resized, input) => match never {},
        // In a raw terminal Ctrl-C is a key like any other and goes to the command.
        _ = tokio::signal::ctrl_c(), if !has_terminal => Ok(Exit::Interrupted),
    }
}

async fn receive(mut receiver: Receiver) -> Result<Exit, CliError> {
    loop {
        match receiver.next().await? {
            Arrival::Started => {}
            Arrival::Stdout(bytes) => output::bytes(&bytes)?,
            Arrival::Stderr(bytes) => {
                // Nobody may be there to read it.
                let _ = std::io::stderr().lock().write_all(&bytes);
            }
            Arrival::Exit(code) => return Ok(Exit::Command(exit_code(code))),
        }
    }
}

/// Never ends: how the session ends is the other half's to say, also when this one cannot send any more.
async fn send(mut sender: Sender, mut resized: Signal, input: Input) -> Infallible {
    let mut stdin = tokio::io::stdin();
    let mut buffer = vec![0; CHUNK];
    let mut has_input = input != Input::Nothing;
    if !has_input && sender.tell(&SessionClient::EndOfInput).await.is_err() {
        std::future::pending::<()>().await;
    }
    loop {
        let sent = tokio::select! {
            read = stdin.read(&mut buffer), if has_input => match read {
                Ok(0) | Err(_) => {
                    has_input = false;
                    sender.tell(&SessionClient::EndOfInput).await
                }
                Ok(count) => sender.input(&buffer[..count]).await,
            },
            Some(()) = resized.recv(), if input == Input::Terminal => match terminal::size() {
                Some(size) => sender.tell(&SessionClient::Resize(size)).await,
                None => Ok(()),
            },
            else => std::future::pending().await,
        };
        if sent.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

/// A code a process can end with; anything else counts as a failure.
fn exit_code(code: i64) -> u8 {
    u8::try_from(code).unwrap_or(1)
}
