//! Logs, commands in tasks and one-off tasks, from the engine to the API, as plain data. Reads only; desired state is
//! never touched. `kept` reads the last logs of removed tasks, `job` the log of a run of a job, `database` what a database writes,
//! `insight` what its server says about itself, `tunnel` carries bytes to one, `provider` asks one of secrets.

mod database;
mod insight;
mod job;
mod kept;
mod logs;
mod provider;
mod session;
mod tunnel;

use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::stream::BoxStream;
use havre_api::database::{ConsoleRequest, DatabaseInsight, DatabaseLogEntry};
use havre_api::job::JobLogEntry;
use havre_api::task::{ExecRequest, LogEntry, LogQuery, RunRequest};
use havre_api::tunnel::TunnelRequest;
use havre_core::copy::DumpFormat;
use havre_core::event::Actor;
use havre_core::id::{CopyId, DatabaseId, JobRunId, ReleaseId, ServiceId, TaskId, TunnelId};
use havre_core::secret::Secret;
use havre_core::task::EngineState;
use havre_core::task::spec::{Purpose, derive_one_off};
use havre_data::copy::transfer;
use havre_data::world::World;
use havre_decide::secret::provider::OpenProvider;
use havre_decide::secret::provider::reference::Location;
use havre_engine::Engine;
use havre_engine::error::EngineError;
use havre_engine::exec::{ExecSpec, TerminalSize};
use havre_engine::task::EngineTask;
use havre_reconcile::variable::{self, VariableError};
use havre_store::{Store, StoreError};
use havre_web::task::streams::{ExecSession, TaskStreamError, TaskStreams};
use tokio::sync::{Semaphore, mpsc};

/// What a program writes.
type Pieces = BoxStream<'static, Result<Bytes, TaskStreamError>>;

/// The engine behind the API's streams.
#[derive(Debug, Clone)]
pub(crate) struct EngineStreams {
    world: World,
    store: Store,
    engine: Arc<dyn Engine>,
    task_logs: PathBuf,
    job_logs: PathBuf,
    /// Of sessions in which servers are asked about themselves.
    sessions: Arc<Semaphore>,
}

impl EngineStreams {
    /// Reads kept logs below these folders: of tasks, and of runs of jobs.
    pub(crate) fn new(world: World, (task_logs, job_logs): (PathBuf, PathBuf)) -> Self {
        let (store, engine) = (world.store.clone(), Arc::clone(&world.engine));
        let sessions = Arc::new(Semaphore::new(insight::SESSIONS_MAX));
        Self { world, store, engine, task_logs, job_logs, sessions }
    }

    /// The service's tasks at the engine, ended ones included.
    async fn tasks(&self, service: ServiceId) -> Result<Vec<(TaskId, EngineTask)>, TaskStreamError> {
        let all = self.engine.list_tasks().await.map_err(refuse)?;
        let of_service = all.into_iter().filter(|task| task.service == service);
        Ok(of_service
            .filter_map(|found| match found.purpose {
                Purpose::Task { task } => Some((task, found)),
                Purpose::ReleaseCommand { .. }
                | Purpose::OneOff { .. }
                | Purpose::Job { .. }
                | Purpose::Test { .. }
                | Purpose::TestDatabase { .. }
                | Purpose::Database { .. }
                | Purpose::Drill { .. }
                | Purpose::Recovery { .. } => None,
            })
            .collect())
    }

    /// The named task, or the oldest proven one of the live release.
    async fn choose(
        &self,
        id: ServiceId,
        named: Option<TaskId>,
    ) -> Result<(TaskId, EngineTask), TaskStreamError> {
        let (live, rows) = self
            .store
            .read(move |view| Ok((view.get_service(id)?.live, view.list_tasks(id)?)))
            .await
            .map_err(store_failed)?;
        let runs = |task: &EngineTask| matches!(task.state, EngineState::Running { .. });
        let proven = |task: TaskId| rows.iter().any(|row| row.id == task && row.proven_at.is_some());
        let tasks = self.tasks(id).await?;
        let chosen = match named {
            Some(named) => tasks.into_iter().find(|(task, _)| *task == named),
            None => tasks
                .into_iter()
                .filter(|(task, found)| runs(found) && proven(*task) && Some(found.release) == live)
                .min_by_key(|(task, _)| *task),
        };
        match (chosen, named) {
            (Some((task, found)), _) if runs(&found) => Ok((task, found)),
            (Some((task, _)), _) => Err(TaskStreamError::NotRunning(format!("{task} is not running"))),
            (None, Some(named)) => Err(TaskStreamError::NotFound(format!("there is no task {named}"))),
            (None, None) => Err(TaskStreamError::NotRunning("no healthy task is running".to_owned())),
        }
    }

    async fn release(
        &self,
        id: ServiceId,
        named: Option<ReleaseId>,
    ) -> Result<(havre_core::service::Service, havre_core::release::Release), TaskStreamError> {
        let service = self.store.read(move |view| view.get_service(id)).await.map_err(store_failed)?;
        let Some(release) = named.or(service.live) else {
            return Err(TaskStreamError::NotRunning("no release is live; deploy one first".to_owned()));
        };
        let release = match self.store.read(move |view| view.get_release(release)).await {
            Ok(release) if release.service == id => release,
            Ok(_) | Err(StoreError::NotFound { .. }) => {
                return Err(TaskStreamError::NotFound(format!(
                    "there is no release {release} of this service"
                )));
            }
            Err(error) => return Err(store_failed(error)),
        };
        Ok((service, release))
    }
}

#[async_trait]
impl TaskStreams for EngineStreams {
    async fn logs(
        &self,
        service: ServiceId,
        query: LogQuery,
    ) -> Result<BoxStream<'static, Result<LogEntry, TaskStreamError>>, TaskStreamError> {
        logs::open(self.clone(), service, query).await
    }

    async fn job_log(
        &self,
        run: JobRunId,
        follow: bool,
    ) -> Result<BoxStream<'static, Result<JobLogEntry, TaskStreamError>>, TaskStreamError> {
        job::open(self.clone(), run, follow).await
    }

    async fn exec(&self, service: ServiceId, request: ExecRequest) -> Result<ExecSession, TaskStreamError> {
        let (task, found) = self.choose(service, request.task).await?;
        let terminal = request.terminal.map(size);
        let spec = ExecSpec { argv: request.argv, env: request.env, terminal };
        let running = self.engine.exec(&found.name, &spec).await.map_err(refuse)?;
        Ok(session::carry_exec(Some(task), running))
    }

    async fn database_logs(
        &self,
        database: DatabaseId,
        tail: u32,
        follow: bool,
    ) -> Result<BoxStream<'static, Result<DatabaseLogEntry, TaskStreamError>>, TaskStreamError> {
        database::open(self, database, tail, follow).await
    }

    async fn insight(&self, database: DatabaseId) -> Result<DatabaseInsight, TaskStreamError> {
        insight::ask(self, database).await
    }

    async fn console(
        &self,
        database: DatabaseId,
        request: ConsoleRequest,
    ) -> Result<ExecSession, TaskStreamError> {
        database::console(self, database, request).await
    }

    async fn open_tunnel(
        &self,
        database: DatabaseId,
        actor: Actor,
        request: TunnelRequest,
    ) -> Result<ExecSession, TaskStreamError> {
        tunnel::open(self, database, actor, request).await
    }

    async fn connect_tunnel(&self, tunnel: TunnelId, actor: Actor) -> Result<ExecSession, TaskStreamError> {
        tunnel::connect(self, tunnel, actor).await
    }

    async fn dump(&self, database: DatabaseId, format: DumpFormat) -> Result<Pieces, TaskStreamError> {
        database::dump(self, database, format).await
    }

    async fn query(&self, database: DatabaseId, sql: Secret) -> Result<Pieces, TaskStreamError> {
        database::query(self, database, sql).await
    }

    async fn import(
        &self,
        copy: CopyId,
        pieces: mpsc::Receiver<Option<Bytes>>,
    ) -> Result<(), TaskStreamError> {
        let taken = transfer::import(&self.world, copy, pieces).await;
        taken.map_err(TaskStreamError::NotRunning)
    }

    async fn try_provider(
        &self,
        provider: OpenProvider,
        location: Option<Location>,
    ) -> Result<String, String> {
        provider::look(self.world.providers.as_ref(), &provider, location).await
    }

    async fn run(&self, service: ServiceId, request: RunRequest) -> Result<ExecSession, TaskStreamError> {
        let (row, release) = self.release(service, request.release).await?;
        let seed = crate::entropy::bytes();
        let number = u32::from_le_bytes([seed[0], seed[1], seed[2], seed[3]]);
        let variables = variable::read(&self.store, &release).await.map_err(|error| match error {
            VariableError::Unusable(message) | VariableError::NotYet(message) => {
                TaskStreamError::NotRunning(message)
            }
            VariableError::Store(error) => store_failed(error),
        })?;
        let spec = derive_one_off(&row.place, row.environment, &release, number, request.argv);
        let Some(mut spec) = spec else {
            return Err(TaskStreamError::NotRunning("a site has no tasks to run a command in".to_owned()));
        };
        spec.give(&variables);
        for (name, value) in request.env {
            // Whoever asks is stronger than what was configured.
            spec.secrets.remove(&name);
            spec.env.insert(name, value);
        }
        self.engine.ensure_task(&spec).await.map_err(refuse)?;
        Ok(session::carry_one_off(Arc::clone(&self.engine), spec.name))
    }
}

/// Removes one-off tasks whose sessions ended with an earlier process.
pub(crate) async fn remove_leftovers(engine: &dyn Engine) -> Result<(), EngineError> {
    for task in engine.list_tasks().await? {
        if matches!(task.purpose, Purpose::OneOff { .. }) {
            engine.remove_task(&task.name).await?;
        }
    }
    Ok(())
}

fn size(size: havre_api::task::TerminalSize) -> TerminalSize {
    TerminalSize { columns: size.columns, rows: size.rows }
}

fn refuse(error: EngineError) -> TaskStreamError {
    match error {
        EngineError::Unreachable { .. } | EngineError::TooOld { .. } => {
            TaskStreamError::Unavailable(error.to_string())
        }
        EngineError::NotFound { .. } => TaskStreamError::NotFound(error.to_string()),
        EngineError::Conflict { .. } | EngineError::CannotStart { .. } => {
            TaskStreamError::NotRunning(error.to_string())
        }
        other => TaskStreamError::Failed(other.to_string()),
    }
}

fn store_failed(error: StoreError) -> TaskStreamError {
    match error {
        StoreError::NotFound { .. } => TaskStreamError::NotFound(error.to_string()),
        other => TaskStreamError::Failed(other.to_string()),
    }
}
