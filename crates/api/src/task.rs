//! Tasks: their state, their logs, and commands inside or beside them.
//!
//! `exec` and `run` are WebSockets (`GET` with `Upgrade: websocket`). The client sends its request as the first text
//! frame ([`ExecRequest`] or [`RunRequest`]); the server answers with [`SessionServer::Started`] or
//! [`SessionServer::Refused`]. From then on binary frames carry bytes behind one tag byte ([`STDIN`], [`STDOUT`],
//! [`STDERR`]) and text frames carry [`SessionClient`] or [`SessionServer`]. The session ends with
//! [`SessionServer::Exit`] or [`SessionServer::Refused`] and a close frame. Frames are at most [`FRAME_MAX`] bytes.

use std::collections::BTreeMap;

use havre_core::id::{ReleaseId, TaskId};
use havre_core::name::EnvKey;
use havre_core::route::{Checks, Health};
use havre_core::service::spec::Argv;
use havre_core::task::WantedTask;
use havre_core::time::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::error::ErrorBody;

/// State of one task.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct TaskStatus {
    /// Its id.
    #[schema(value_type = String, example = "t3")]
    pub id: TaskId,
    /// What it runs.
    #[schema(value_type = String, example = "r7")]
    pub release: ReleaseId,
    /// Which of the replicas it is, from 0.
    pub slot: u32,
    /// Address the edge reaches it at; absent without a port.
    #[schema(value_type = Option<String>, example = "10.210.0.4")]
    pub address: Option<std::net::Ipv4Addr>,
    /// What is wanted of it: `run`, or `drain` until a deadline.
    #[schema(value_type = Object, example = json!({"state": "run"}))]
    pub wanted: WantedTask,
    /// Worst opinion of all edges that know it; absent when no edge does.
    #[schema(value_type = Option<Object>, example = json!({"state": "healthy"}))]
    pub health: Option<Health>,
    /// Result of the user's own checks, as the edges see it; absent when no edge knows it.
    #[schema(value_type = Option<Object>, example = json!({"state": "passed"}))]
    pub checks: Option<Checks>,
    /// Requests and streams that use it now, over all edges.
    pub in_flight: u64,
    /// When an edge first found it healthy.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub proven_at: Option<Timestamp>,
    /// Since when it is unhealthy after it had been healthy.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub unhealthy_since: Option<Timestamp>,
    /// When it was planned.
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Timestamp,
}

/// Query of `GET .../logs`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, IntoParams)]
#[serde(deny_unknown_fields, default)]
#[into_params(parameter_in = Query)]
pub struct LogQuery {
    /// Stay connected and stream new lines, also of tasks that start later.
    pub follow: bool,
    /// Only lines written at or after this instant (RFC 3339).
    #[serde(skip_serializing_if = "Option::is_none")]
    #[param(value_type = Option<String>, format = DateTime)]
    pub since: Option<Timestamp>,
    /// Only the last lines of each task, 0 to 10000; 100 when neither this nor `since` is given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tail: Option<u32>,
    /// Only this task.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[param(value_type = Option<String>, example = "t3")]
    pub task: Option<TaskId>,
}

/// One line of `GET .../logs`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct LogEntry {
    /// When the engine got it.
    #[schema(value_type = String, format = DateTime)]
    pub at: Timestamp,
    /// Which task wrote it.
    #[schema(value_type = String, example = "t3")]
    pub task: TaskId,
    /// What that task ran.
    #[schema(value_type = String, example = "r7")]
    pub release: ReleaseId,
    /// Where it was written to.
    pub stream: LogStream,
    /// The line; invalid UTF-8 is replaced, more than 16 KiB is cut.
    pub line: String,
}

/// Where a task wrote a line to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum LogStream {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

/// Tag byte of a binary frame from client to server: bytes for standard input.
pub const STDIN: u8 = 0;
/// Tag byte of a binary frame from server to client: bytes of standard output.
pub const STDOUT: u8 = 1;
/// Tag byte of a binary frame from server to client: bytes of standard error (never with a terminal).
pub const STDERR: u8 = 2;
/// Largest frame of a session either side accepts.
pub const FRAME_MAX: usize = 128 * 1024;

/// First frame of `GET .../exec`: a command inside a running task.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ExecRequest {
    /// The command, word by word; no shell reads it.
    #[schema(value_type = Vec<String>, example = json!(["node", "dist/console.js"]))]
    pub argv: Argv,
    /// In this task; left out, in the oldest healthy one of the live release.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, example = "t3")]
    pub task: Option<TaskId>,
    /// With a terminal of this size; left out, without one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub terminal: Option<TerminalSize>,
    /// Further environment variables.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schema(value_type = Object)]
    pub env: BTreeMap<EnvKey, String>,
}

/// First frame of `GET .../run`: a one-off task beside the running ones, removed when it ends.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RunRequest {
    /// The command, word by word; no shell reads it.
    #[schema(value_type = Vec<String>, example = json!(["node", "dist/report.js"]))]
    pub argv: Argv,
    /// Of this release; left out, of the live one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, example = "r7")]
    pub release: Option<ReleaseId>,
    /// With a terminal of this size; left out, without one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub terminal: Option<TerminalSize>,
    /// Further environment variables.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schema(value_type = Object)]
    pub env: BTreeMap<EnvKey, String>,
}

/// Size of a terminal in characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct TerminalSize {
    /// Characters in a line.
    pub columns: u16,
    /// Lines.
    pub rows: u16,
}

/// Text frames a client sends after the first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case", tag = "type", deny_unknown_fields)]
pub enum SessionClient {
    /// Standard input ends here.
    EndOfInput,
    /// The terminal has another size now.
    Resize(TerminalSize),
}

/// Text frames a server sends.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case", tag = "type")]
pub enum SessionServer {
    /// The command runs.
    Started {
        /// In this task; absent for `run`, whose task has no row.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        #[schema(value_type = Option<String>, example = "t3")]
        task: Option<TaskId>,
    },
    /// The command ended.
    Exit {
        /// Its exit code.
        code: i64,
    },
    /// The command could not be started, or its session broke.
    Refused {
        /// Why.
        error: ErrorBody,
    },
}
