//! One more process inside a running task: what to run, and the streams it talks over.

use std::collections::BTreeMap;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use futures_util::stream::BoxStream;
use havre_core::name::EnvKey;
use havre_core::service::spec::Argv;
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;

use crate::error::EngineError;
use crate::log::LogSource;

/// What to run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExecSpec {
    /// The command.
    pub argv: Argv,
    /// Added to the task's own environment.
    pub env: BTreeMap<EnvKey, String>,
    /// With a terminal of this size; standard error then arrives as standard output.
    pub terminal: Option<TerminalSize>,
}

/// Size of a terminal in characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct TerminalSize {
    /// Characters in a line.
    pub columns: u16,
    /// Lines.
    pub rows: u16,
}

/// A piece of what the process wrote, as it came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExecOutput {
    /// Where it was written.
    pub stream: LogSource,
    /// The bytes.
    pub bytes: Bytes,
}

/// A running process. Dropping it does not end the process: engines have no call for that; closing `input` ends those
/// that read it.
pub struct ExecSession {
    /// Standard input; dropping the sender closes it. Holds few pieces, so a slow process slows the sender.
    pub input: mpsc::Sender<Bytes>,
    /// Output; ends when the process has closed it. Must be read, or the process stops at a full pipe.
    pub output: BoxStream<'static, Result<ExecOutput, EngineError>>,
    /// New sizes of the terminal; ignored without one.
    pub resize: mpsc::Sender<TerminalSize>,
    /// Exit code, once `output` has ended.
    pub exit_code: BoxFuture<'static, Result<i64, EngineError>>,
}

impl std::fmt::Debug for ExecSession {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ExecSession").finish_non_exhaustive()
    }
}
