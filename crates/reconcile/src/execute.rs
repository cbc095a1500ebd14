//! Executes steps. Short, idempotent, no choices; whatever decides something is in `havre_core`.

use std::time::Duration;

use havre_core::event::{Actor, EventKind, Subject};
use havre_core::id::{DeploymentId, ReleaseId, TaskId};
use havre_core::release::Release;
use havre_core::service::spec::StopSignal;
use havre_core::task::spec::{
    TaskSpec, command_container, derive_command, derive_task, task_container, volume_name,
};
use havre_decide::service::seen::Seen;
use havre_decide::service::step::Step;
use havre_engine::error::EngineError;
use havre_engine::log::LogQuery;
use havre_engine::network::VolumeSpec;
use havre_store::{Environment, StoreError};

use crate::database::execute::{is_empty, remove_environment};
use crate::prepare;
use crate::provider;
use crate::task_log;
use crate::variable;
use crate::world::World;

/// Wait between SIGTERM and SIGKILL for a command that must go.
pub(crate) const COMMAND_GRACE: Duration = Duration::from_secs(10);

/// Why a step could not be done.
#[derive(Debug, thiserror::Error)]
pub enum StepError {
    /// The engine refused or did not answer.
    #[error("{step}")]
    Engine {
        /// The step.
        step: String,
        /// What the engine said.
        #[source]
        source: EngineError,
    },
    /// The store refused or failed.
    #[error("{step}")]
    Store {
        /// The step.
        step: String,
        /// What the store said.
        #[source]
        source: StoreError,
    },
    /// The rows do not hold what the step needs; retrying cannot help.
    #[error("{step}: {message}")]
    Impossible {
        /// The step.
        step: String,
        /// What is missing.
        message: String,
    },
    /// Something that comes by itself is not there yet.
    #[error("{step}: {message}")]
    NotYet {
        /// The step.
        step: String,
        /// What is waited for.
        message: String,
    },
}

impl StepError {
    /// Retrying cannot help.
    pub fn is_permanent(&self) -> bool {
        match self {
            Self::Engine { source, .. } => source.is_permanent(),
            Self::Store { .. } | Self::NotYet { .. } => false,
            Self::Impossible { .. } => true,
        }
    }
}

/// Why a step could not be done, before it is named.
#[derive(Debug)]
pub enum Fault {
    /// The engine says so.
    Engine(EngineError),
    /// The store says so.
    Store(StoreError),
    /// It can never be done.
    Impossible(String),
    /// It can be done later.
    NotYet(String),
}

impl From<EngineError> for Fault {
    fn from(error: EngineError) -> Self {
        Self::Engine(error)
    }
}

impl From<StoreError> for Fault {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

/// Executes steps in order; `true` when they changed something a plan can see. Starts that follow each other run at the
/// same time: the engine takes a few hundred milliseconds for each, and users wait for all of them.
///
/// # Errors
/// The first step that failed, with its cause; steps after it were not begun.
pub async fn execute_all(
    world: &World,
    seen: &Seen,
    environment: &Environment,
    steps: &[Step],
) -> Result<bool, (Step, StepError)> {
    let is_start = |step: &Step| matches!(step, Step::StartTask { .. });
    let mut changed = false;
    for group in steps.chunk_by(|one, next| is_start(one) && is_start(next)) {
        let all = group.iter().map(|step| async move {
            execute(world, seen, environment, step).await.map_err(|error| (step.clone(), error))
        });
        for done in futures_util::future::join_all(all).await {
            changed |= done?;
        }
    }
    Ok(changed)
}

/// Executes one step; `true` when it changed something a plan can see.
///
/// # Errors
/// Names the step and why it failed.
pub async fn execute(
    world: &World,
    seen: &Seen,
    environment: &Environment,
    step: &Step,
) -> Result<bool, StepError> {
    let executor = Executor { world, seen, environment };
    executor.run(step).await.map_err(|fault| {
        let step = step.to_string();
        match fault {
            Fault::Engine(source) => StepError::Engine { step, source },
            Fault::Store(source) => StepError::Store { step, source },
            Fault::Impossible(message) => StepError::Impossible { step, message },
            Fault::NotYet(message) => StepError::NotYet { step, message },
        }
    })
}

struct Executor<'a> {
    world: &'a World,
    seen: &'a Seen,
    environment: &'a Environment,
}

impl Executor<'_> {
    async fn run(&self, step: &Step) -> Result<bool, Fault> {
        match step {
            Step::EnsureSecrets { release } => {
                let release = self.release(*release)?;
                provider::ensure(self.world, release).await?;
                variable::of_release(self.world, release).await?;
            }
            Step::EnsureNetworks => prepare::networks(self.world, self.environment).await?,
            Step::EnsureVolumes { release } => self.ensure_volumes(*release).await?,
            Step::EnsureArtifact { release } => self.ensure_artifact(*release).await?,
            Step::RunCommand { deployment } => self.run_command(*deployment).await?,
            Step::RemoveCommand { deployment } => self.remove_command(*deployment).await?,
            Step::StartTask { task } => self.start_task(*task).await?,
            Step::StopTask { task } => return Ok(self.stop_task(*task)),
            Step::RemoveTask { task } => self.remove_task(*task).await?,
            Step::RecordExit { task, code, out_of_memory } => {
                self.record_exit(*task, *code, *out_of_memory).await?;
            }
            Step::Dismantle => self.dismantle().await?,
            rows => self.write_rows(rows).await?,
        }
        Ok(true)
    }

    /// Steps that change rows and nothing else.
    async fn write_rows(&self, step: &Step) -> Result<(), Fault> {
        let step = step.clone();
        let service = self.seen.service.id;
        let now = self.world.now();
        let wants_address = match &step {
            Step::AllocateTask { release, .. } => {
                self.release(*release)?.spec.tasks().is_some_and(|work| work.port.is_some())
            }
            _ => false,
        };
        let write = self.world.store.write(now, Actor::Havre, move |tx| match step {
            Step::AllocateTask { release, slot } => {
                tx.allocate_task(service, release, slot, wants_address).map(|_| ())
            }
            Step::ProveTask { task } => tx.prove_task(task),
            Step::MarkUnhealthy { task, reason } => tx.mark_unhealthy(task, &reason),
            Step::MarkRecovered { task } => tx.mark_recovered(task),
            Step::DrainTask { task, deadline, by, reason } => tx.drain_task(task, deadline, by, reason),
            Step::GoLive { deployment } => tx.go_live(deployment, now),
            Step::RevertLive { deployment } => tx.revert_live(deployment),
            _ => Ok(()),
        });
        Ok(write.await?)
    }

    /// Remembers how large it is, the first time.
    async fn ensure_artifact(&self, id: ReleaseId) -> Result<(), Fault> {
        let release = self.release(id)?;
        let measured = prepare::artifact(self.world, release).await?;
        let Some(size) = measured.filter(|_| release.size.is_none()) else { return Ok(()) };
        let record =
            self.world.store.write(self.world.now(), Actor::Havre, move |tx| tx.record_size(id, size));
        Ok(record.await?)
    }

    async fn ensure_volumes(&self, release: ReleaseId) -> Result<(), Fault> {
        let work = self.release(release)?.spec.tasks();
        for volume in work.map(|work| work.volumes.as_slice()).unwrap_or_default() {
            let service = self.seen.service.id;
            let name = volume_name(service, &volume.name);
            let spec = VolumeSpec { name, service, place: self.seen.service.place.clone() };
            self.world.engine.ensure_volume(&spec).await?;
        }
        Ok(())
    }

    async fn run_command(&self, deployment: DeploymentId) -> Result<(), Fault> {
        let release = self.deployment_release(deployment)?;
        let place = &self.seen.service.place;
        let mut spec = derive_command(place, self.seen.service.environment, release, deployment)
            .ok_or_else(|| Fault::Impossible("the release has no release command".to_owned()))?;
        variable::give(self.world, release, &mut spec).await?;
        self.ensure_task(&spec).await
    }

    /// Keeps the command's output before its container goes.
    async fn remove_command(&self, deployment: DeploymentId) -> Result<(), Fault> {
        let name = command_container(&self.seen.service.place, deployment);
        // It may be over already.
        let release = self.world.store.read(move |view| view.get_deployment(deployment)).await?.release;
        let lines = task_log::last_lines(self.world, &name, release, 50).await;
        let service = self.seen.service.id;
        let engine = &self.world.engine;
        engine.stop_task(&name, StopSignal::Sigterm, COMMAND_GRACE).await?;
        engine.remove_task(&name).await?;
        self.world.forget_engine();
        if lines.is_empty() {
            return Ok(());
        }
        let kind = havre_core::deployment::event::Event::CommandOutput { deployment, lines };
        let append = self.world.store.write(self.world.now(), Actor::Havre, move |tx| {
            tx.append(Subject::Service { id: service }, EventKind::Deployment(kind)).map(|_| ())
        });
        Ok(append.await?)
    }

    async fn start_task(&self, id: TaskId) -> Result<(), Fault> {
        let task = self.seen.task(id).ok_or_else(|| Fault::Impossible(format!("{id} has no row")))?;
        let release = self.release(task.task.release)?;
        let place = &self.seen.service.place;
        let mut spec = derive_task(place, self.seen.service.environment, release, &task.task)
            .ok_or_else(|| Fault::Impossible("the release runs no tasks".to_owned()))?;
        variable::give(self.world, release, &mut spec).await?;
        // After a reboot or a `docker network prune` the networks may be gone while the release is long prepared.
        prepare::networks(self.world, self.environment).await?;
        self.ensure_task(&spec).await
    }

    async fn ensure_task(&self, spec: &TaskSpec) -> Result<(), Fault> {
        let started = self.world.engine.ensure_task(spec).await;
        self.world.forget_engine();
        Ok(started?)
    }

    /// Runs beside the loops, because a grace period may be long; `false` when it is already under way.
    fn stop_task(&self, id: TaskId) -> bool {
        let Some(task) = self.seen.task(id) else { return false };
        let is_new = self.world.stopping.lock().expect("no holder panics").insert(id);
        if !is_new {
            return false;
        }
        let work = self.seen.releases.get(&task.task.release).and_then(|release| release.spec.tasks());
        let signal = work.map_or(StopSignal::Sigterm, |work| work.stop_signal);
        let grace = work.map_or(COMMAND_GRACE, |work| work.stop_grace.duration());
        let name = task_container(&self.seen.service.place, task.task.release, id);
        let world = self.world.clone();
        self.world.tracker.spawn(async move {
            if let Err(error) = world.engine.stop_task(&name, signal, grace).await {
                tracing::warn!(task = %id, %error, "could not stop a task; the next activation tries again");
                world.clock.sleep(Duration::from_secs(1)).await;
            }
            world.stopping.lock().expect("no holder panics").remove(&id);
            world.engine_changed();
        });
        true
    }

    async fn remove_task(&self, id: TaskId) -> Result<(), Fault> {
        let task = self.seen.task(id).ok_or_else(|| Fault::Impossible(format!("{id} has no row")))?;
        let name = task_container(&self.seen.service.place, task.task.release, id);
        task_log::save(self.world, &task.task, &name).await;
        self.world.engine.remove_task(&name).await?;
        self.world.forget_engine();
        let forget = self.world.store.write(self.world.now(), Actor::Havre, move |tx| tx.forget_task(id));
        Ok(forget.await?)
    }

    async fn record_exit(&self, id: TaskId, code: i64, out_of_memory: bool) -> Result<(), Fault> {
        let lines = self.lines_of(id).await;
        let record = self.world.store.write(self.world.now(), Actor::Havre, move |tx| {
            tx.record_task_exit(id, code, out_of_memory, &lines)
        });
        Ok(record.await?)
    }

    async fn lines_of(&self, id: TaskId) -> Vec<String> {
        let Some(task) = self.seen.task(id) else { return Vec::new() };
        let name = task_container(&self.seen.service.place, task.task.release, id);
        task_log::last_lines(self.world, &name, task.task.release, 20).await
    }

    async fn dismantle(&self) -> Result<(), Fault> {
        let service = self.seen.service.id;
        let read = self.world.store.read(move |view| view.list_volumes(&view.get_service(service)?));
        for volume in read.await? {
            self.world.engine.remove_volume(&volume_name(service, &volume)).await?;
        }
        let environment = self.environment.id;
        let is_last = self
            .world
            .store
            .write(self.world.now(), Actor::Havre, move |tx| {
                tx.remove_service(service)?;
                is_empty(tx, environment)
            })
            .await?;
        if is_last {
            remove_environment(self.world, environment).await?;
        }
        Ok(())
    }

    fn release(&self, id: ReleaseId) -> Result<&Release, Fault> {
        self.seen.releases.get(&id).ok_or_else(|| Fault::Impossible(format!("{id} is not in the store")))
    }

    fn deployment_release(&self, id: DeploymentId) -> Result<&Release, Fault> {
        let open = self.seen.open.iter().find(|open| open.id == id);
        let open = open.ok_or_else(|| Fault::Impossible(format!("{id} is not open")))?;
        self.release(open.release)
    }
}

/// A query for the end of a log.
pub(crate) fn tail(lines: u32) -> LogQuery {
    LogQuery { since: None, tail: Some(lines), follow: false }
}
