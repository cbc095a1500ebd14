//! Tasks of Docker: make, start, stop, remove, list. What is asked for is derived in `spec.rs`.

use std::collections::{BTreeMap, HashMap};
use std::net::Ipv4Addr;
use std::time::Duration;

use bollard::models::{ContainerInspectResponse, ContainerState, ContainerStateStatusEnum, HealthStatusEnum};
use bollard::query_parameters::{
    CreateContainerOptionsBuilder, InspectContainerOptions, KillContainerOptionsBuilder,
    ListContainersOptionsBuilder, RemoveContainerOptionsBuilder, StartContainerOptions,
    WaitContainerOptionsBuilder,
};
use futures_util::{StreamExt, TryStreamExt, stream};
use havre_core::service::spec::StopSignal;
use havre_core::task::spec::{EDGE_NETWORK, TaskSpec};
use havre_core::task::{EngineState, Healthcheck};
use havre_core::time::Timestamp;

use super::spec::{derive_container, derive_edge_connection};
use super::{DockerEngine, POLL, answer};
use crate::error::EngineError;
use crate::label::{self, parse_labels};
use crate::task::EngineTask;

/// Containers looked at in parallel while listing.
const PARALLEL: usize = 8;
/// Longest wait for the kernel to end a killed task, and for Docker to remove a container.
pub(super) const END_WAIT: Duration = Duration::from_secs(20);

/// A container of ours.
pub(super) struct Found {
    pub(super) id: String,
    pub(super) details: ContainerInspectResponse,
}

impl Found {
    pub(super) fn is_running(&self) -> bool {
        self.details.state.as_ref().is_some_and(|state| state.running == Some(true))
    }

    /// It runs, and does nothing until somebody lets it go on.
    pub(super) fn is_paused(&self) -> bool {
        self.details.state.as_ref().is_some_and(|state| state.paused == Some(true))
    }

    /// Made and never started.
    fn is_created(&self) -> bool {
        let status = self.details.state.as_ref().and_then(|state| state.status);
        status == Some(ContainerStateStatusEnum::CREATED)
    }

    fn labels(&self) -> HashMap<String, String> {
        self.details.config.as_ref().and_then(|config| config.labels.clone()).unwrap_or_default()
    }

    fn fixed_address(&self, network: &str) -> Option<Ipv4Addr> {
        let networks = self.details.network_settings.as_ref()?.networks.as_ref()?;
        networks.get(network)?.ipam_config.as_ref()?.ipv4_address.as_ref()?.parse().ok()
    }
}

impl DockerEngine {
    /// Our container of exactly that name, `None` when absent.
    pub(super) async fn find_container(&self, name: &str) -> Result<Option<Found>, EngineError> {
        let found = self.client()?.inspect_container(name, None::<InspectContainerOptions>).await;
        let found = answer::absent_is_none(found)
            .map_err(|error| self.explain(&format!("look at task `{name}`"), error))?;
        // Docker also finds containers by the beginning of their id.
        let has_name = |details: &ContainerInspectResponse| {
            details.name.as_deref().and_then(|full| full.strip_prefix('/')) == Some(name)
        };
        let Some(details) = found.filter(has_name) else { return Ok(None) };
        let id = details.id.clone().unwrap_or_default();
        let found = Found { id, details };
        if !self.installation.owns(&found.labels()) || parse_labels(&found.labels()).is_none() {
            return Err(EngineError::foreign("container", name));
        }
        Ok(Some(found))
    }

    pub(super) async fn get_container(&self, name: &str) -> Result<Found, EngineError> {
        self.find_container(name).await?.ok_or_else(|| EngineError::not_found("task", name))
    }

    pub(super) async fn run_task(&self, task: &TaskSpec) -> Result<(), EngineError> {
        let (id, has_edge) = match self.find_container(&task.name).await? {
            Some(found) => {
                self.check_same(task, &found)?;
                if !found.is_created() {
                    return Ok(());
                }
                let has_edge = found.fixed_address(&self.edge_network).is_some();
                (found.id, has_edge)
            }
            None => (self.create_container(task).await?, false),
        };
        if let Some(address) = task.edge_address.filter(|_| !has_edge) {
            self.join_edge(task, &id, address).await?;
        }
        let started = self.client()?.start_container(&id, None::<StartContainerOptions>).await;
        started.map_err(|error| self.explain_start(task, error))
    }

    async fn create_container(&self, task: &TaskSpec) -> Result<String, EngineError> {
        self.check_needs(task).await?;
        let options = CreateContainerOptionsBuilder::default().name(&task.name).build();
        let network = task.private_network().map(|network| self.network_name(&network));
        let body = derive_container(&self.installation, task, network.as_deref());
        let made = self.client()?.create_container(Some(options), body).await;
        Ok(made.map_err(|error| self.explain(&format!("make task `{}`", task.name), error))?.id)
    }

    /// Everything the task needs exists and is ours: Docker would quietly make a missing volume and use a foreign one.
    async fn check_needs(&self, task: &TaskSpec) -> Result<(), EngineError> {
        if self.inspect_image(&task.image.to_string(), None).await?.is_none() {
            return Err(EngineError::not_found("image", &task.image.to_string()));
        }
        let edge = task.edge_address.map(|_| EDGE_NETWORK.to_owned());
        for network in edge.into_iter().chain(task.private_network()) {
            if self.find_network(&network).await?.is_none() {
                return Err(EngineError::not_found("network", &network));
            }
        }
        for (volume, _) in &task.volumes {
            if self.find_volume(volume).await?.is_none() {
                return Err(EngineError::not_found("volume", volume));
            }
        }
        Ok(())
    }

    async fn join_edge(&self, task: &TaskSpec, id: &str, address: Ipv4Addr) -> Result<(), EngineError> {
        let request = derive_edge_connection(id, address);
        let joined = self.client()?.connect_network(&self.edge_network, request).await;
        joined.map_err(|error| self.explain_start(task, error))
    }

    fn explain_start(&self, task: &TaskSpec, error: bollard::errors::Error) -> EngineError {
        let message = answer::message(&error);
        if let Some(address) = task.edge_address
            && message.contains("Address already in use")
        {
            return EngineError::AddressInUse { name: task.name.clone(), address };
        }
        // Docker answers 400 when the runtime finds no such program or may not execute it.
        if answer::status(&error) == Some(400) {
            return EngineError::CannotStart { name: task.name.clone(), message: answer::bound(message) };
        }
        self.explain(&format!("start task `{}`", task.name), error)
    }

    pub(super) async fn end_task(
        &self,
        name: &str,
        signal: StopSignal,
        grace: Duration,
    ) -> Result<(), EngineError> {
        let Some(found) = self.find_container(name).await? else { return Ok(()) };
        if !found.is_running() {
            return Ok(());
        }
        // Nothing that is paused hears a signal.
        if found.is_paused() {
            self.unpause_task(name).await?;
        }
        self.kill(name, &found.id, signal.as_str()).await?;
        if self.wait_end(name, &found.id, grace).await? {
            return Ok(());
        }
        self.kill(name, &found.id, "SIGKILL").await?;
        if self.wait_end(name, &found.id, END_WAIT).await? {
            return Ok(());
        }
        Err(EngineError::Failed {
            what: format!("stop task `{name}`"),
            message: format!("it still runs {} s after SIGKILL", END_WAIT.as_secs()),
        })
    }

    async fn kill(&self, name: &str, id: &str, signal: &str) -> Result<(), EngineError> {
        let options = KillContainerOptionsBuilder::default().signal(signal).build();
        match self.client()?.kill_container(id, Some(options)).await {
            Ok(()) => Ok(()),
            // It has ended or gone by itself in between.
            Err(error) if matches!(answer::status(&error), Some(404 | 409)) => Ok(()),
            Err(error) => Err(self.explain(&format!("send {signal} to task `{name}`"), error)),
        }
    }

    /// Whether the task ended within `limit`.
    async fn wait_end(&self, name: &str, id: &str, limit: Duration) -> Result<bool, EngineError> {
        let options = WaitContainerOptionsBuilder::default().condition("not-running").build();
        let mut waiting = self.client()?.wait_container(id, Some(options));
        match tokio::time::timeout(limit, waiting.next()).await {
            Err(_) => Ok(false),
            // Bollard calls an exit code other than zero an error; a stream that ends has nothing to wait for.
            Ok(None | Some(Ok(_) | Err(bollard::errors::Error::DockerContainerWaitError { .. }))) => Ok(true),
            Ok(Some(Err(error))) if answer::status(&error) == Some(404) => Ok(true),
            Ok(Some(Err(error))) => Err(self.explain(&format!("wait for task `{name}` to end"), error)),
        }
    }

    pub(super) async fn drop_task(&self, name: &str) -> Result<(), EngineError> {
        let what = format!("remove task `{name}`");
        let deadline = tokio::time::Instant::now() + END_WAIT;
        while let Some(found) = self.find_container(name).await? {
            // `v` removes volumes without a name only, which nobody else can have.
            let options = RemoveContainerOptionsBuilder::default().force(true).v(true).build();
            let message = match self.client()?.remove_container(&found.id, Some(options)).await {
                Ok(()) => return Ok(()),
                Err(error) if answer::status(&error) == Some(404) => return Ok(()),
                // Another call is removing it already.
                Err(error) if answer::status(&error) == Some(409) => answer::bound(answer::message(&error)),
                Err(error) => return Err(self.explain(&what, error)),
            };
            if tokio::time::Instant::now() >= deadline {
                return Err(EngineError::Conflict { what, message });
            }
            tokio::time::sleep(POLL).await;
        }
        Ok(())
    }

    pub(super) async fn read_tasks(&self) -> Result<Vec<EngineTask>, EngineError> {
        let docker = self.client()?;
        let (key, value) = self.installation.label();
        let filters = HashMap::from([("label", vec![format!("{key}={value}"), label::PURPOSE.to_owned()])]);
        let options = ListContainersOptionsBuilder::default().all(true).filters(&filters).build();
        let listed = docker.list_containers(Some(options)).await;
        let listed = listed.map_err(|error| self.explain("list tasks", error))?;
        let ids: Vec<String> = listed.into_iter().filter_map(|summary| summary.id).collect();
        let mut tasks: Vec<EngineTask> = stream::iter(ids)
            .map(|id| {
                let docker = docker.clone();
                async move { docker.inspect_container(&id, None::<InspectContainerOptions>).await }
            })
            .buffer_unordered(PARALLEL)
            // One that went between the list and the look is simply not there.
            .filter_map(async |found| answer::absent_is_none(found).transpose())
            .try_filter_map(async |details| Ok(self.parse_task(&details)))
            .try_collect()
            .await
            .map_err(|error| self.explain("list tasks", error))?;
        tasks.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(tasks)
    }
}

impl DockerEngine {
    fn check_same(&self, task: &TaskSpec, found: &Found) -> Result<(), EngineError> {
        let conflict = |message: &str| EngineError::Conflict {
            what: format!("run task `{}`", task.name),
            message: message.to_owned(),
        };
        if parse_labels(&found.labels()).is_none_or(|labels| labels.purpose != task.purpose) {
            return Err(conflict("another task of ours has that name"));
        }
        if found.details.image.as_deref() != Some(task.image.to_string().as_str()) {
            return Err(conflict("it exists with another image"));
        }
        // Made and without an address: we were interrupted before it joined the network.
        let address = found.fixed_address(&self.edge_network);
        let is_half_made = found.is_created() && address.is_none();
        if address != task.edge_address && !is_half_made {
            return Err(conflict("it exists with another address"));
        }
        Ok(())
    }

    fn parse_task(&self, details: &ContainerInspectResponse) -> Option<EngineTask> {
        let labels = parse_labels(details.config.as_ref()?.labels.as_ref()?)?;
        let state = details.state.as_ref()?;
        let networks = details.network_settings.as_ref().and_then(|settings| settings.networks.clone());
        let addresses: BTreeMap<String, Ipv4Addr> = networks
            .unwrap_or_default()
            .into_iter()
            .filter_map(|(name, endpoint)| {
                let fixed = endpoint.ipam_config.and_then(|config| config.ipv4_address);
                let text = endpoint.ip_address.filter(|text| !text.is_empty()).or(fixed)?;
                Some((self.our_name(name), text.parse().ok()?))
            })
            .collect();
        let started_at = parse_instant(state.started_at.as_deref());
        Some(EngineTask {
            name: details.name.as_deref()?.trim_start_matches('/').to_owned(),
            purpose: labels.purpose,
            service: labels.service,
            release: labels.release,
            environment: labels.environment,
            image: details.image.as_deref()?.parse().ok()?,
            state: parse_state(state),
            started_at,
            exited_at: parse_end(state, started_at),
            addresses,
        })
    }
}

fn parse_state(state: &ContainerState) -> EngineState {
    use ContainerStateStatusEnum as Status;
    match state.status {
        Some(Status::CREATED) => EngineState::Created,
        // A paused task still holds its memory, address and connections.
        Some(Status::RUNNING | Status::PAUSED | Status::RESTARTING) => {
            let health = state.health.as_ref().and_then(|health| health.status);
            EngineState::Running { healthcheck: parse_health(health) }
        }
        Some(Status::EXITED | Status::DEAD | Status::REMOVING | Status::STOPPING | Status::EMPTY) | None => {
            EngineState::Exited {
                code: state.exit_code.unwrap_or(-1),
                out_of_memory: state.oom_killed == Some(true),
            }
        }
    }
}

const fn parse_health(status: Option<HealthStatusEnum>) -> Healthcheck {
    match status {
        Some(HealthStatusEnum::STARTING) => Healthcheck::Starting,
        Some(HealthStatusEnum::HEALTHY) => Healthcheck::Healthy,
        Some(HealthStatusEnum::UNHEALTHY) => Healthcheck::Unhealthy,
        Some(HealthStatusEnum::NONE | HealthStatusEnum::EMPTY) | None => Healthcheck::None,
    }
}

/// Two programs take these times: containerd when the process ends, Docker's daemon once it has heard of the start. A
/// process that ends at once can therefore have ended "before" it started; it is said to have lasted no time.
fn parse_end(state: &ContainerState, started_at: Option<Timestamp>) -> Option<Timestamp> {
    let end = parse_instant(state.finished_at.as_deref())?;
    Some(started_at.map_or(end, |start| end.max(start)))
}

/// Docker writes the year 1 for "never".
fn parse_instant(text: Option<&str>) -> Option<Timestamp> {
    Timestamp::parse(text?).ok().filter(|instant| instant.as_millis() > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn end(started_at: &str, finished_at: &str) -> Option<i64> {
        let state = ContainerState { finished_at: Some(finished_at.to_owned()), ..ContainerState::default() };
        parse_end(&state, parse_instant(Some(started_at))).map(Timestamp::as_millis)
    }

    /// Seen on Docker 20.10: `StartedAt` 1 ms after `FinishedAt` for a process that only prints a line.
    #[test]
    fn no_task_ends_before_it_starts() {
        let (early, late) = ("2026-11-24T10:11:12.904999Z", "2026-11-24T10:11:12.905001Z");
        assert_eq!(end(late, early), parse_instant(Some(late)).map(Timestamp::as_millis));
        assert_eq!(end(early, late), parse_instant(Some(late)).map(Timestamp::as_millis));
        assert_eq!(end(early, "0001-01-01T00:00:00Z"), None, "it still runs");
    }
}
