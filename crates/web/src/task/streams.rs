//! The one visible exception to "web never reaches the engine": read-only log tails and command sessions, as plain
//! data and byte streams, handed over by the daemon.

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::stream::BoxStream;
use havre_api::database::{ConsoleRequest, DatabaseInsight, DatabaseLogEntry};
use havre_api::job::JobLogEntry;
use havre_api::task::{ExecRequest, LogEntry, LogQuery, RunRequest, TerminalSize};
use havre_api::tunnel::TunnelRequest;
use havre_core::copy::DumpFormat;
use havre_core::event::Actor;
use havre_core::id::{CopyId, DatabaseId, JobRunId, ServiceId, TaskId, TunnelId};
use havre_core::secret::Secret;
use havre_decide::secret::provider::OpenProvider;
use havre_decide::secret::provider::reference::Location;
use tokio::sync::mpsc;

use crate::error::{Code, Refusal};

/// Logs and commands of tasks.
#[async_trait]
pub trait TaskStreams: Send + Sync + 'static {
    /// Lines of every task of a service, merged by time, kept logs of removed tasks included; with `follow` also
    /// those of tasks that start later. `since` and `tail` are both applied when given.
    async fn logs(
        &self,
        service: ServiceId,
        query: LogQuery,
    ) -> Result<BoxStream<'static, Result<LogEntry, TaskStreamError>>, TaskStreamError>;

    /// A command inside a running task: the named one, or the oldest healthy one of the live release.
    async fn exec(&self, service: ServiceId, request: ExecRequest) -> Result<ExecSession, TaskStreamError>;

    /// Lines of every attempt of a run of a job, in order; with `follow` until the run has ended.
    async fn job_log(
        &self,
        run: JobRunId,
        follow: bool,
    ) -> Result<BoxStream<'static, Result<JobLogEntry, TaskStreamError>>, TaskStreamError>;

    /// Lines of the present task of a database, the last `tail` of them; with `follow` until it ends.
    async fn database_logs(
        &self,
        database: DatabaseId,
        tail: u32,
        follow: bool,
    ) -> Result<BoxStream<'static, Result<DatabaseLogEntry, TaskStreamError>>, TaskStreamError>;

    /// What the server of a database says about itself, asked inside of its present task.
    async fn insight(&self, database: DatabaseId) -> Result<DatabaseInsight, TaskStreamError>;

    /// The client of the server of a database, inside its present task.
    async fn console(
        &self,
        database: DatabaseId,
        request: ConsoleRequest,
    ) -> Result<ExecSession, TaskStreamError>;

    /// Holds a tunnel to a database open for this caller until the session is dropped: its one line of output is a `TunnelGrant`.
    async fn open_tunnel(
        &self,
        database: DatabaseId,
        actor: Actor,
        request: TunnelRequest,
    ) -> Result<ExecSession, TaskStreamError>;

    /// One connection to the server of a database through a tunnel that this caller holds: input and output are its bytes.
    async fn connect_tunnel(&self, tunnel: TunnelId, actor: Actor) -> Result<ExecSession, TaskStreamError>;

    /// A dump of a database. Its end without an error is the end of a whole one.
    async fn dump(
        &self,
        database: DatabaseId,
        format: DumpFormat,
    ) -> Result<BoxStream<'static, Result<Bytes, TaskStreamError>>, TaskStreamError>;

    /// What SQL answers, said to a database as its superuser, one value in a line. Its end without an error says that all of it was done.
    async fn query(
        &self,
        database: DatabaseId,
        sql: Secret,
    ) -> Result<BoxStream<'static, Result<Bytes, TaskStreamError>>, TaskStreamError>;

    /// Takes the dump a copy waits for, until it was taken in or refused; the copy's row says which. `None` is its end: without that it
    /// has broken off.
    async fn import(
        &self,
        copy: CopyId,
        pieces: mpsc::Receiver<Option<Bytes>>,
    ) -> Result<(), TaskStreamError>;

    /// Asks a secret provider whether it answers and takes its credential, and has a value at a place; what was seen or is wrong, for people.
    async fn try_provider(
        &self,
        provider: OpenProvider,
        location: Option<Location>,
    ) -> Result<String, String>;

    /// A command in a one-off task of its own, removed when it ends or when the session is dropped.
    async fn run(&self, service: ServiceId, request: RunRequest) -> Result<ExecSession, TaskStreamError>;
}

/// A running command. Dropping both ends asks for its end.
#[derive(Debug)]
pub struct ExecSession {
    /// The task it runs in; `None` for a one-off task and for a database.
    pub task: Option<TaskId>,
    /// To the command. A full queue makes the client wait.
    pub input: mpsc::Sender<ExecInput>,
    /// From the command; the last item is `Exit` or `Failed`.
    pub output: mpsc::Receiver<ExecOutput>,
}

/// What goes to a command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ExecInput {
    /// Bytes for standard input.
    Stdin(Bytes),
    /// Standard input ends.
    End,
    /// The terminal has another size.
    Resize(TerminalSize),
}

/// What comes from a command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ExecOutput {
    /// Bytes of standard output.
    Stdout(Bytes),
    /// Bytes of standard error.
    Stderr(Bytes),
    /// It ended with this code.
    Exit(i64),
    /// The session broke.
    Failed(TaskStreamError),
}

/// Why logs or a command are not available.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TaskStreamError {
    /// There is no such task or release.
    #[error("{0}")]
    NotFound(String),
    /// Nothing runs that a command could run in, or it cannot be started there; for people.
    #[error("{0}")]
    NotRunning(String),
    /// The engine cannot be reached; for people.
    #[error("{0}")]
    Unavailable(String),
    /// Something else; the text goes to the log only.
    #[error("could not reach the task: {0}")]
    Failed(String),
}

impl From<TaskStreamError> for Refusal {
    fn from(error: TaskStreamError) -> Self {
        let text = error.to_string();
        match error {
            TaskStreamError::NotFound(_) => {
                Self::new(Code::TaskNotFound, text).hint("`havre status` lists tasks")
            }
            TaskStreamError::NotRunning(_) => {
                Self::new(Code::TaskNotRunning, text).hint("`havre status` shows what runs")
            }
            TaskStreamError::Unavailable(_) => Self::new(Code::Unavailable, text),
            TaskStreamError::Failed(_) => Self::internal("reach a task", &error),
        }
    }
}
