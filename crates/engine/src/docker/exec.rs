//! One more process inside a task of Docker.

use std::pin::Pin;
use std::time::Duration;

use bollard::Docker;
use bollard::container::LogOutput;
use bollard::exec::{CreateExecOptions, ResizeExecOptions, StartExecOptions, StartExecResults};
use bytes::Bytes;
use futures_util::{FutureExt, StreamExt, stream};
use tokio::io::{AsyncWrite, AsyncWriteExt};
use tokio::sync::{mpsc, oneshot};

use super::{DockerEngine, POLL, answer};
use crate::error::EngineError;
use crate::exec::{ExecOutput, ExecSession, ExecSpec, TerminalSize};
use crate::log::LogSource;

/// Pieces of input on their way; few, so that a slow process slows its user.
const INPUT_PIECES: usize = 16;
/// Slowest look at a process that closed its output and runs on.
const POLL_MAX: Duration = Duration::from_secs(1);

impl DockerEngine {
    pub(super) async fn run_exec(&self, name: &str, exec: &ExecSpec) -> Result<ExecSession, EngineError> {
        let what = format!("run a command in task `{name}`");
        let found = self.get_container(name).await?;
        if !found.is_running() {
            return Err(EngineError::Conflict { what, message: "it is not running".to_owned() });
        }
        let docker = self.client()?;
        let made = docker.create_exec(&found.id, derive_exec(exec)).await;
        let id = made.map_err(|error| self.explain(&what, error))?.id;
        let tty = exec.terminal.is_some();
        let options = StartExecOptions { detach: false, tty, output_capacity: None };
        let started = docker.start_exec(&id, Some(options)).await;
        let started = started.map_err(|error| self.explain(&what, error))?;
        let StartExecResults::Attached { output, input } = started else {
            return Err(EngineError::Failed { what, message: "Docker did not attach to it".to_owned() });
        };
        let (socket, told) = (self.socket.clone(), what.clone());
        let output = output.map(move |piece| {
            piece.map(parse_output).map_err(|error| answer::explain(&socket, &told, error))
        });
        let (ended, has_ended) = oneshot::channel();
        // Dropped with the stream as well, so that the exit code can be asked for without reading to the end.
        let end = stream::once(async move { drop(ended) }).filter_map(async |()| None);
        let resize = spawn_resize(docker, id.clone());
        if let Some(size) = exec.terminal {
            // A new channel has room.
            let _ = resize.try_send(size);
        }
        let engine = self.clone();
        let exit_code = async move {
            let _: Result<(), _> = has_ended.await;
            engine.wait_exec(&id, &what).await
        };
        Ok(ExecSession {
            input: spawn_input(input),
            output: output.chain(end).boxed(),
            resize,
            exit_code: exit_code.boxed(),
        })
    }

    /// Docker does not announce the end of such a process.
    async fn wait_exec(&self, id: &str, what: &str) -> Result<i64, EngineError> {
        let mut pause = POLL / 5;
        loop {
            let seen = self.client()?.inspect_exec(id).await.map_err(|error| self.explain(what, error))?;
            if seen.running == Some(false) {
                return Ok(seen.exit_code.unwrap_or(-1));
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(POLL_MAX);
        }
    }
}

fn derive_exec(exec: &ExecSpec) -> CreateExecOptions<String> {
    CreateExecOptions {
        attach_stdin: Some(true),
        attach_stdout: Some(true),
        attach_stderr: Some(true),
        tty: Some(exec.terminal.is_some()),
        env: Some(exec.env.iter().map(|(key, value)| format!("{key}={value}")).collect()),
        cmd: Some(exec.argv.words().to_vec()),
        privileged: Some(false),
        ..CreateExecOptions::default()
    }
}

fn parse_output(piece: LogOutput) -> ExecOutput {
    let stream = match piece {
        LogOutput::StdErr { .. } => LogSource::Stderr,
        LogOutput::StdOut { .. } | LogOutput::StdIn { .. } | LogOutput::Console { .. } => LogSource::Stdout,
    };
    ExecOutput { stream, bytes: piece.into_bytes() }
}

/// Ends when the sender is dropped, which closes the process's input, or when the process takes no more.
fn spawn_input(mut input: Pin<Box<dyn AsyncWrite + Send>>) -> mpsc::Sender<Bytes> {
    let (sender, mut pieces) = mpsc::channel::<Bytes>(INPUT_PIECES);
    tokio::spawn(async move {
        while let Some(piece) = pieces.recv().await {
            if input.write_all(&piece).await.is_err() || input.flush().await.is_err() {
                return;
            }
        }
        // The process may have ended first; then nobody reads the end of its input.
        let _ = input.shutdown().await;
    });
    sender
}

/// Ends when the sender is dropped.
fn spawn_resize(docker: Docker, id: String) -> mpsc::Sender<TerminalSize> {
    let (sender, mut sizes) = mpsc::channel::<TerminalSize>(1);
    tokio::spawn(async move {
        while let Some(TerminalSize { columns, rows }) = sizes.recv().await {
            let size = ResizeExecOptions { height: rows, width: columns };
            // Fails without a terminal or after the end; a wrong size is only ugly.
            if let Err(error) = docker.resize_exec(&id, size).await {
                tracing::debug!(%error, "terminal not resized");
            }
        }
    });
    sender
}
