//! The Docker engine on bollard: one file per kind of thing. Nothing is kept between calls, so Docker may come and go.
//!
//! Requests carry no API version prefix: Docker answers at its own newest version, which [`Engine::info`] checks to be at
//! least 1.41. Nothing here uses what came after 1.41. Tests: `tests/it/contract.rs` and `tests/it/docker.rs`.

mod answer;
mod events;
mod exec;
mod files;
mod images;
mod info;
mod logs;
mod networks;
mod spec;
mod tasks;

use std::path::{Path, PathBuf};
use std::time::Duration;

use async_trait::async_trait;
use bollard::Docker;
use havre_core::artifact::{Digest, ImageRef};
use havre_core::registry::Credentials;
use havre_core::service::spec::StopSignal;
use havre_core::task::spec::{EDGE_NETWORK, TaskSpec};

use crate::Engine;
use crate::error::EngineError;
use crate::event::EventStream;
use crate::exec::{ExecSession, ExecSpec};
use crate::files::{TarIn, TarOut, VolumeFiles};
use crate::image::{BuiltImage, ImageInfo, ProgressSender, PullPolicy, ResolvedImage};
use crate::info::EngineInfo;
use crate::label::Installation;
use crate::log::{LogQuery, LogStream};
use crate::network::{NetworkSpec, VolumeSpec};
use crate::task::EngineTask;

/// Longest wait for the head of an answer, in seconds; starting a container on a busy disk takes tens of seconds.
const TIMEOUT_SECONDS: u64 = 120;

/// Docker on this machine.
#[derive(Debug, Clone)]
pub struct DockerEngine {
    socket: PathBuf,
    installation: Installation,
    edge_network: String,
}

impl DockerEngine {
    /// Docker behind a Unix socket. Does not connect: Docker may start later.
    pub fn new(socket: &Path, installation: Installation) -> Self {
        Self { socket: socket.to_owned(), installation, edge_network: EDGE_NETWORK.to_owned() }
    }

    /// With another name of Docker's for [`EDGE_NETWORK`], and names derived from it for private networks, so that
    /// several installations fit on one Docker.
    #[must_use]
    pub fn with_edge_network(self, name: &str) -> Self {
        Self { edge_network: name.to_owned(), ..self }
    }

    /// Docker's name of a network of ours.
    fn network_name(&self, name: &str) -> String {
        match name.strip_prefix("havre-") {
            _ if self.edge_network == EDGE_NETWORK => name.to_owned(),
            _ if name == EDGE_NETWORK => self.edge_network.clone(),
            Some(rest) => format!("{}-{rest}", self.edge_network),
            None => name.to_owned(),
        }
    }

    /// Our name of one of Docker's networks.
    fn our_name(&self, network: String) -> String {
        if network == self.edge_network {
            return EDGE_NETWORK.to_owned();
        }
        let rest = network.strip_prefix(&self.edge_network).and_then(|rest| rest.strip_prefix('-'));
        rest.map_or_else(|| network.clone(), |rest| format!("havre-{rest}"))
    }

    /// A connection. Cheap; bollard wants the socket to exist when it is made, so it is made for each call.
    fn client(&self) -> Result<Docker, EngineError> {
        let address = self.socket.to_string_lossy();
        Docker::connect_with_unix(&address, TIMEOUT_SECONDS, bollard::API_DEFAULT_VERSION)
            .map_err(|error| self.explain("connect to Docker", error))
    }

    /// What Docker's answer means; `what` is what we were doing, such as ``start task `x` ``.
    fn explain(&self, what: &str, error: bollard::errors::Error) -> EngineError {
        answer::explain(&self.socket, what, error)
    }
}

/// Pause between looks at something Docker does not announce.
const POLL: Duration = Duration::from_millis(50);

#[async_trait]
impl Engine for DockerEngine {
    async fn info(&self) -> Result<EngineInfo, EngineError> {
        self.read_info().await
    }

    async fn ensure_network(&self, network: &NetworkSpec) -> Result<(), EngineError> {
        self.make_network(network).await
    }

    async fn remove_network(&self, name: &str) -> Result<(), EngineError> {
        self.drop_network(name).await
    }

    async fn ensure_volume(&self, volume: &VolumeSpec) -> Result<(), EngineError> {
        self.make_volume(volume).await
    }

    async fn remove_volume(&self, name: &str) -> Result<(), EngineError> {
        self.drop_volume(name).await
    }

    async fn archive(&self, files: &VolumeFiles) -> Result<TarOut, EngineError> {
        self.read_volume(files).await
    }

    async fn extract(&self, files: &VolumeFiles, tar: TarIn) -> Result<(), EngineError> {
        self.fill_volume(files, tar).await
    }

    async fn pause(&self, name: &str) -> Result<(), EngineError> {
        self.pause_task(name).await
    }

    async fn unpause(&self, name: &str) -> Result<bool, EngineError> {
        self.unpause_task(name).await
    }

    async fn find_image(&self, id: &Digest) -> Result<Option<ImageInfo>, EngineError> {
        self.inspect_image(&id.to_string(), None).await
    }

    async fn resolve_image(
        &self,
        reference: &ImageRef,
        policy: PullPolicy,
        credentials: Option<&Credentials>,
        progress: Option<ProgressSender>,
    ) -> Result<ResolvedImage, EngineError> {
        self.resolve(reference, policy, credentials, progress).await
    }

    async fn list_built_images(&self) -> Result<Vec<BuiltImage>, EngineError> {
        self.list_built().await
    }

    async fn remove_image(&self, id: &Digest) -> Result<(), EngineError> {
        self.drop_image(id).await
    }

    async fn ensure_task(&self, task: &TaskSpec) -> Result<(), EngineError> {
        self.run_task(task).await
    }

    async fn stop_task(&self, name: &str, signal: StopSignal, grace: Duration) -> Result<(), EngineError> {
        self.end_task(name, signal, grace).await
    }

    async fn remove_task(&self, name: &str) -> Result<(), EngineError> {
        self.drop_task(name).await
    }

    async fn list_tasks(&self) -> Result<Vec<EngineTask>, EngineError> {
        self.read_tasks().await
    }

    async fn logs(&self, name: &str, query: LogQuery) -> Result<LogStream, EngineError> {
        self.read_logs(name, query).await
    }

    async fn exec(&self, name: &str, exec: &ExecSpec) -> Result<ExecSession, EngineError> {
        self.run_exec(name, exec).await
    }

    async fn events(&self) -> EventStream {
        self.watch()
    }
}
