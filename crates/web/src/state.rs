//! What every handler gets: the store, the clock, and the few functions the daemon hands over.
//! Nothing here decides anything.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use havre_api::node::{EngineStatus, LoopStatus};
use havre_core::pipeline::status::PublicUrl;
use havre_core::time::Timestamp;
use havre_store::Store;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio_util::sync::CancellationToken;

use crate::build::intake::ContextIntake;
use crate::edge::board::Board;
use crate::edge::memory::Tables;
use crate::error::{Code, Refusal};
use crate::git::gateway::GitGateway;
use crate::git::lfs::grant::Grants;
use crate::restore::streams::SnapshotStreams;
use crate::task::streams::TaskStreams;

/// What the daemon knows of engine and loops, as data.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NodeView {
    /// The engine.
    pub engine: EngineStatus,
    /// The loops.
    pub loops: Vec<LoopStatus>,
}

/// Bounds of requests.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Largest JSON body.
    pub body_bytes: usize,
    /// Largest build context.
    pub context_bytes: u64,
    /// Longest wait for the answer of an ordinary request.
    pub request_timeout: Duration,
    /// Longest silence of a client that uploads.
    pub upload_silence: Duration,
    /// Pause between the empty lines and pings that keep a silent stream alive and find dead clients.
    pub keep_alive: Duration,
    /// Longest wait for a client that does not read its stream.
    pub slow_client: Duration,
    /// Longest wait of an edge for the next route table.
    pub table_wait: Duration,
    /// Most streams, sessions and uploads at once.
    pub streams: usize,
    /// Most deliveries of webhooks taken in at once: whoever sends them is not known yet.
    pub deliveries: usize,
    /// Longest wait for what follows from a delivery. Senders wait ten seconds.
    pub delivery_wait: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            body_bytes: 1024 * 1024,
            context_bytes: 512 * 1024 * 1024,
            request_timeout: Duration::from_secs(30),
            upload_silence: Duration::from_secs(30),
            keep_alive: Duration::from_secs(15),
            slow_client: Duration::from_secs(600),
            table_wait: Duration::from_secs(60),
            streams: 128,
            deliveries: 16,
            delivery_wait: Duration::from_secs(8),
        }
    }
}

/// What the daemon wires up; see [`AppState::new`].
#[derive(Clone)]
pub struct Wiring {
    /// Rows and events.
    pub store: Store,
    /// The present instant.
    pub clock: Arc<dyn Fn() -> Timestamp + Send + Sync>,
    /// 32 fresh bytes from the system's random source, for access tokens.
    pub entropy: Arc<dyn Fn() -> [u8; 32] + Send + Sync>,
    /// Logs, commands and one-off tasks.
    pub streams: Arc<dyn TaskStreams>,
    /// Takes build contexts in.
    pub intake: Arc<dyn ContextIntake>,
    /// Answers git.
    pub git: Arc<dyn GitGateway>,
    /// Gives snapshots out.
    pub snapshots: Arc<dyn SnapshotStreams>,
    /// Folder of build logs: `<build>.log` (`b4.log`), one `BuildLogLine` on each line, written by the build loop.
    pub build_log_dir: PathBuf,
    /// Engine and loops.
    pub node: watch::Receiver<NodeView>,
    /// Bounds.
    pub limits: Limits,
    /// Repositories may be fetched over plain HTTP, and from addresses that are not public.
    pub remote_private: bool,
    /// Where people reach the API, if that is said.
    pub public_url: Option<PublicUrl>,
    /// Version of the program.
    pub version: String,
    /// Cancelled when the server stops: streams end, so that clients reconnect to the next process.
    pub stop: CancellationToken,
}

/// State of the routers; cheap to clone.
#[derive(Clone)]
pub struct AppState {
    wiring: Arc<Wiring>,
    slots: Arc<Semaphore>,
    deliveries: Arc<Semaphore>,
    board: Arc<Board>,
    tables: Arc<Tables>,
    grants: Arc<Grants>,
}

impl AppState {
    /// State for every router of one process.
    pub fn new(wiring: Wiring) -> Self {
        let slots = Arc::new(Semaphore::new(wiring.limits.streams));
        let deliveries = Arc::new(Semaphore::new(wiring.limits.deliveries));
        Self {
            wiring: Arc::new(wiring),
            slots,
            deliveries,
            board: Arc::default(),
            tables: Arc::default(),
            grants: Arc::default(),
        }
    }

    pub(crate) fn now(&self) -> Timestamp {
        (self.wiring.clock)()
    }

    /// What edges say of their traffic.
    pub(crate) fn board(&self) -> &Board {
        &self.board
    }

    /// The last tables edges got.
    pub(crate) fn tables(&self) -> &Tables {
        &self.tables
    }

    /// What keys for SSH may do over HTTP for some minutes.
    pub(crate) fn grants(&self) -> &Grants {
        &self.grants
    }

    /// One of the bounded number of streams, given back on drop.
    pub(crate) fn slot(&self) -> Result<OwnedSemaphorePermit, Refusal> {
        Arc::clone(&self.slots).try_acquire_owned().map_err(|_| {
            Refusal::new(
                Code::TooManyStreams,
                format!("{} streams and uploads are open already", self.wiring.limits.streams),
            )
            .hint("close some, or try again in a moment")
        })
    }

    /// One of the bounded number of deliveries taken in at once, given back on drop. Apart from the streams: strangers may send
    /// deliveries, and must not keep anybody from their logs.
    pub(crate) fn delivery_slot(&self) -> Result<OwnedSemaphorePermit, Refusal> {
        Arc::clone(&self.deliveries).try_acquire_owned().map_err(|_| {
            Refusal::new(Code::TooManyStreams, "too many deliveries arrive at once")
                .hint("send it again in a moment")
        })
    }
}

impl std::ops::Deref for AppState {
    type Target = Wiring;

    fn deref(&self) -> &Wiring {
        &self.wiring
    }
}

impl fmt::Debug for AppState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AppState").field("wiring", &self.wiring).finish_non_exhaustive()
    }
}

impl fmt::Debug for Wiring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Wiring")
            .field("store", &self.store)
            .field("limits", &self.limits)
            .field("version", &self.version)
            .finish_non_exhaustive()
    }
}
