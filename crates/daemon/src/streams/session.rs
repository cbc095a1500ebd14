//! Joins a command at the engine with a session of the API.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt as _;
use havre_core::id::TaskId;
use havre_core::service::spec::StopSignal;
use havre_core::task::EngineState;
use havre_engine::Engine;
use havre_engine::error::EngineError;
use havre_engine::exec::{ExecSession as Running, TerminalSize};
use havre_engine::log::{LogQuery, LogSource};
use havre_web::task::streams::{ExecInput, ExecOutput, ExecSession};
use tokio::sync::mpsc;

use crate::streams::refuse;

/// Pieces on their way in each direction; a slow side slows the other.
const QUEUE: usize = 32;
/// Wait between SIGTERM and SIGKILL for a one-off task whose session ended.
const GRACE: Duration = Duration::from_secs(5);
/// How often the end of a one-off task is looked for once its log has ended.
const POLL: Duration = Duration::from_millis(100);

/// A command inside a running task; `None` for one of a database.
pub(crate) fn carry_exec(task: Option<TaskId>, running: Running) -> ExecSession {
    let (input, from_client) = mpsc::channel(QUEUE);
    let (to_client, output) = mpsc::channel(QUEUE);
    let Running { input: stdin, output: mut pieces, resize, exit_code } = running;
    tokio::spawn(carry_input(from_client, stdin, resize));
    tokio::spawn(async move {
        while let Some(piece) = pieces.next().await {
            let message = match piece {
                Ok(piece) => output_of(piece.stream, piece.bytes),
                Err(error) => ExecOutput::Failed(refuse(error)),
            };
            let is_last = matches!(message, ExecOutput::Failed(_));
            if to_client.send(message).await.is_err() || is_last {
                return;
            }
        }
        let last = match exit_code.await {
            Ok(code) => ExecOutput::Exit(code),
            Err(error) => ExecOutput::Failed(refuse(error)),
        };
        let _ = to_client.send(last).await;
    });
    ExecSession { task, input, output }
}

async fn carry_input(
    mut from_client: mpsc::Receiver<ExecInput>,
    stdin: mpsc::Sender<Bytes>,
    resize: mpsc::Sender<TerminalSize>,
) {
    let mut stdin = Some(stdin);
    while let Some(message) = from_client.recv().await {
        match message {
            ExecInput::Stdin(bytes) => {
                let Some(open) = &stdin else { continue };
                if open.send(bytes).await.is_err() {
                    stdin = None;
                }
            }
            ExecInput::End => stdin = None,
            ExecInput::Resize(size) => {
                let _ = resize.send(TerminalSize { columns: size.columns, rows: size.rows }).await;
            }
        }
    }
}

/// A one-off task: its log is its output, it has no standard input, and it goes when it ends or the client does.
pub(crate) fn carry_one_off(engine: Arc<dyn Engine>, name: String) -> ExecSession {
    let (input, from_client) = mpsc::channel(QUEUE);
    let (to_client, output) = mpsc::channel(QUEUE);
    tokio::spawn(async move {
        // Kept open: a client that closes its input is still waiting for the output.
        let _from_client = from_client;
        let last = tokio::select! {
            () = to_client.closed() => None,
            end = carry_log(engine.as_ref(), &name, &to_client) => Some(end),
        };
        if let Err(error) = remove(engine.as_ref(), &name).await {
            tracing::warn!(%name, %error, "could not remove a one-off task; the next start of control does");
        }
        match last {
            Some(Ok(code)) => drop(to_client.send(ExecOutput::Exit(code)).await),
            Some(Err(error)) => drop(to_client.send(ExecOutput::Failed(refuse(error))).await),
            None => {}
        }
    });
    ExecSession { task: None, input, output }
}

async fn carry_log(
    engine: &dyn Engine,
    name: &str,
    to_client: &mpsc::Sender<ExecOutput>,
) -> Result<i64, EngineError> {
    let mut lines = engine.logs(name, LogQuery { since: None, tail: None, follow: true }).await?;
    while let Some(line) = lines.next().await {
        let line = line?;
        let bytes = Bytes::from(format!("{}\n", line.line));
        if to_client.send(output_of(line.stream, bytes)).await.is_err() {
            return Ok(0);
        }
    }
    loop {
        let tasks = engine.list_tasks().await?;
        match tasks.into_iter().find(|task| task.name == name).map(|task| task.state) {
            Some(EngineState::Exited { code, .. }) => return Ok(code),
            Some(_) => tokio::time::sleep(POLL).await,
            None => return Err(EngineError::not_found("one-off task", name)),
        }
    }
}

async fn remove(engine: &dyn Engine, name: &str) -> Result<(), EngineError> {
    engine.stop_task(name, StopSignal::Sigterm, GRACE).await?;
    engine.remove_task(name).await
}

fn output_of(stream: LogSource, bytes: Bytes) -> ExecOutput {
    match stream {
        LogSource::Stdout => ExecOutput::Stdout(bytes),
        LogSource::Stderr => ExecOutput::Stderr(bytes),
    }
}
