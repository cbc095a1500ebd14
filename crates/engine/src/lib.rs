//! The engine seam: what Havre asks of the thing that runs containers. One trait, plain data and byte streams only, so
//! that an engine can move into another process; [`docker`] is the real one, [`fake`] the hand-driven one of the loops' tests.
//!
//! It decides nothing: names, addresses, limits and order come from `havre-core`. It never touches what does not carry the
//! labels of this installation. Tests: `tests/it/contract.rs`, one suite for both engines.

pub mod docker;
pub mod error;
pub mod event;
pub mod exec;
pub mod fake;
pub mod files;
pub mod image;
pub mod info;
pub mod label;
pub mod log;
pub mod network;
pub mod task;

use std::time::Duration;

use async_trait::async_trait;
use havre_core::artifact::{Digest, ImageRef};
use havre_core::registry::Credentials;
use havre_core::service::spec::StopSignal;
use havre_core::task::spec::TaskSpec;

use crate::error::EngineError;
use crate::event::EventStream;
use crate::exec::{ExecSession, ExecSpec};
use crate::files::{TarIn, TarOut, VolumeFiles};
use crate::image::{BuiltImage, ImageInfo, ProgressSender, PullPolicy, ResolvedImage};
use crate::info::EngineInfo;
use crate::log::{LogQuery, LogStream};
use crate::network::{NetworkSpec, VolumeSpec};
use crate::task::EngineTask;

/// Runs tasks. Every method is idempotent: done twice, it leaves the same world and the same answer as done once.
///
/// Every method may answer [`EngineError::Unreachable`]. A method that takes a name answers [`EngineError::Foreign`] when
/// something of that name exists without the labels of this installation, and leaves it alone.
#[async_trait]
pub trait Engine: std::fmt::Debug + Send + Sync + 'static {
    /// What the engine is and what is unwise about how it is set up.
    ///
    /// # Errors
    /// [`EngineError::TooOld`] below Docker API 1.41.
    async fn info(&self) -> Result<EngineInfo, EngineError>;

    /// Makes a bridge network. An existing one of ours must have the same subnet, gateway and isolation.
    ///
    /// # Errors
    /// [`EngineError::Conflict`] when the existing one differs or the subnet overlaps another network.
    async fn ensure_network(&self, network: &NetworkSpec) -> Result<(), EngineError>;

    /// Removes a network; an absent one is fine.
    ///
    /// # Errors
    /// [`EngineError::Conflict`] while tasks are on it.
    async fn remove_network(&self, name: &str) -> Result<(), EngineError>;

    /// Makes a volume.
    ///
    /// # Errors
    /// [`EngineError::Conflict`] when it belongs to another of our services.
    async fn ensure_volume(&self, volume: &VolumeSpec) -> Result<(), EngineError>;

    /// Removes a volume **and its data**; an absent one is fine.
    ///
    /// # Errors
    /// [`EngineError::Conflict`] while a task has it, running or not.
    async fn remove_volume(&self, name: &str) -> Result<(), EngineError>;

    /// The files of a volume as a tar, read now; whoever uses it may go on. Below [`files::ROOT`]: each with mode, owner, content and the second
    /// of its last change. Dropping the stream ends it.
    ///
    /// # Errors
    /// [`EngineError::NotFound`] when the volume or the image is missing.
    async fn archive(&self, files: &VolumeFiles) -> Result<TarOut, EngineError>;

    /// Puts a tar that [`Engine::archive`] gave into a volume. What is in there by another name stays, so whoever wants only the tar makes the
    /// volume first.
    ///
    /// # Errors
    /// [`EngineError::NotFound`] when the volume or the image is missing; any other where not all of it went in.
    async fn extract(&self, files: &VolumeFiles, tar: TarIn) -> Result<(), EngineError>;

    /// Lets a task do nothing until [`Engine::unpause`]: it keeps memory, address and connections, and answers nobody. Stopping it lets it
    /// go on first.
    ///
    /// # Errors
    /// [`EngineError::NotFound`]; [`EngineError::Conflict`] when the task does not run.
    async fn pause(&self, name: &str) -> Result<(), EngineError>;

    /// Lets a task go on. Answers whether it was paused until now; an absent or ended one was not.
    ///
    /// # Errors
    /// Only those every method has.
    async fn unpause(&self, name: &str) -> Result<bool, EngineError>;

    /// Looks an image up by its id, here only.
    ///
    /// # Errors
    /// Only those every method has.
    async fn find_image(&self, id: &Digest) -> Result<Option<ImageInfo>, EngineError>;

    /// Turns a name, which may move, into an image that is here, by digest. Where its registry is asked, `credentials` prove
    /// who pulls; those of any other registry are never sent. Progress of a pull goes to `progress` as far as its channel has
    /// room; a full or closed one never holds the pull up.
    ///
    /// # Errors
    /// [`EngineError::NotFound`], [`EngineError::Denied`] or [`EngineError::RateLimited`] as the registry answers,
    /// [`EngineError::NoSpace`] when the disk is full.
    async fn resolve_image(
        &self,
        reference: &ImageRef,
        policy: PullPolicy,
        credentials: Option<&Credentials>,
        progress: Option<ProgressSender>,
    ) -> Result<ResolvedImage, EngineError>;

    /// Images this installation has built.
    ///
    /// # Errors
    /// Only those every method has.
    async fn list_built_images(&self) -> Result<Vec<BuiltImage>, EngineError>;

    /// Removes an image this installation has built; an absent one is fine.
    ///
    /// # Errors
    /// [`EngineError::Foreign`] for any other image, [`EngineError::Conflict`] while a container uses it.
    async fn remove_image(&self, id: &Digest) -> Result<(), EngineError>;

    /// Makes and starts one task: private network of its environment first (a test has none, it is where steps of a Dockerfile
    /// run; a drill has no network at all), then `havre-edge` with the address of the specification. An existing one is started if it never ran and left alone otherwise: an exited task stays exited.
    ///
    /// # Errors
    /// [`EngineError::NotFound`] when the image, a network or a volume is missing; [`EngineError::Conflict`] when the name is
    /// taken by another task of ours; [`EngineError::AddressInUse`]; [`EngineError::CannotStart`] when the image's
    /// command cannot be run.
    async fn ensure_task(&self, task: &TaskSpec) -> Result<(), EngineError>;

    /// Sends `signal`, waits `grace`, then kills. Returns when the task has ended; an absent or ended one is fine.
    ///
    /// # Errors
    /// [`EngineError::Failed`] when it survives even SIGKILL.
    async fn stop_task(&self, name: &str, signal: StopSignal, grace: Duration) -> Result<(), EngineError>;

    /// Removes a task with its logs and exit code, killing it if it runs; an absent one is fine.
    ///
    /// # Errors
    /// Only those every method has.
    async fn remove_task(&self, name: &str) -> Result<(), EngineError>;

    /// All tasks of this installation, ended ones included, ordered by name.
    ///
    /// # Errors
    /// Only those every method has.
    async fn list_tasks(&self) -> Result<Vec<EngineTask>, EngineError>;

    /// Log lines of a task, oldest first. With `follow` the stream ends when the task does.
    ///
    /// # Errors
    /// [`EngineError::NotFound`].
    async fn logs(&self, name: &str, query: LogQuery) -> Result<LogStream, EngineError>;

    /// Runs one more process inside a running task.
    ///
    /// # Errors
    /// [`EngineError::NotFound`]; [`EngineError::Conflict`] when the task does not run.
    async fn exec(&self, name: &str, exec: &ExecSpec) -> Result<ExecSession, EngineError>;

    /// What happens to our tasks, for ever: the stream reconnects by itself and never ends. Its first item, and the first
    /// one after each lost connection, is [`event::EngineEvent::Reset`]: list everything again.
    async fn events(&self) -> EventStream;
}
