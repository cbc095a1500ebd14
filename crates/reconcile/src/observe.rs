//! Reads the world of one service: rows in one snapshot, the engine's list, the edges' reports.

use std::collections::BTreeMap;

use havre_core::deployment::Deployment;
use havre_core::deployment::state::State;
use havre_core::id::{JobRunId, ServiceId};
use havre_core::release::Release;
use havre_core::task::spec::Purpose;
use havre_core::task::{EngineState, Task};
use havre_decide::deployment::plan::{CommandSeen, Observed, PublicSeen};
use havre_decide::service::seen::{Failures, Seen, SeenTask};
use havre_engine::error::EngineError;
use havre_engine::task::EngineTask;
use havre_store::{Environment, StoreError};

use crate::database::variable;
use crate::public::PublicAnswer;
use crate::route;
use crate::world::World;

/// Asking this often over fresh connections, in a row, makes it unlikely that a worker with an old table was missed.
const PUBLIC_PROBES: usize = 3;

/// Why the world could not be read.
#[derive(Debug, thiserror::Error)]
pub enum ObserveError {
    /// The store failed.
    #[error("read the rows of the service")]
    Store(#[from] StoreError),
    /// The engine failed.
    #[error("list the tasks the engine runs")]
    Engine(#[from] EngineError),
}

/// Reads the world of one service and its environment; brings the route table up to date first, so that the
/// generation in it belongs to the rows in it.
///
/// # Errors
/// When the store or the engine does not answer.
pub async fn observe(world: &World, id: ServiceId) -> Result<(Seen, Environment), ObserveError> {
    let generation = route::activate(world).await?;
    let engine = world.engine_tasks().await?;
    let (mut seen, environment) = world
        .store
        .read(move |view| {
            let service = view.get_service(id)?;
            let environment = view.get_environment(service.environment)?;
            let open = view.open_deployments(id)?;
            let tasks = view.list_tasks(id)?;
            let failures =
                view.task_failures(id)?.map(|found| Failures { count: found.count, last: found.last });
            let mut releases = BTreeMap::new();
            let named = tasks.iter().map(|task| task.release).chain(service.live);
            let opened = open.iter().flat_map(|d| [Some(d.release), d.previous]).flatten();
            for release in named.chain(opened) {
                if let std::collections::btree_map::Entry::Vacant(entry) = releases.entry(release) {
                    entry.insert(view.get_release(release)?);
                }
            }
            let tasks =
                tasks.into_iter().map(|task| SeenTask { engine: EngineState::Absent, task }).collect();
            let (commands, jobs, edges) = (Vec::new(), Vec::new(), Vec::new());
            let pauses = view.list_volume_pauses()?.into_iter().filter(|pause| pause.service == id);
            let paused = pauses.filter_map(|pause| pause.task).collect();
            Ok((
                Seen { service, open, releases, tasks, commands, jobs, edges, generation, failures, paused },
                environment,
            ))
        })
        .await?;
    let now = world.now();
    seen.edges = world.store.edges().into_iter().filter(|edge| edge.is_fresh(now)).collect();
    seen.commands = commands(&engine, id);
    seen.jobs = jobs(&engine, id);
    for task in &mut seen.tasks {
        task.engine = engine_state(&engine, &task.task);
    }
    Ok((seen, environment))
}

fn commands(engine: &[EngineTask], id: ServiceId) -> Vec<havre_core::id::DeploymentId> {
    let of_service = engine.iter().filter(|task| task.service == id);
    of_service
        .filter_map(|task| match task.purpose {
            Purpose::ReleaseCommand { deployment } => Some(deployment),
            Purpose::Task { .. }
            | Purpose::OneOff { .. }
            | Purpose::Job { .. }
            | Purpose::Test { .. }
            | Purpose::TestDatabase { .. }
            | Purpose::Database { .. }
            | Purpose::Drill { .. }
            | Purpose::Recovery { .. } => None,
        })
        .collect()
}

fn jobs(engine: &[EngineTask], id: ServiceId) -> Vec<JobRunId> {
    let of_service = engine.iter().filter(|task| task.service == id);
    let mut runs: Vec<JobRunId> = of_service
        .filter_map(|task| match task.purpose {
            Purpose::Job { run, .. } => Some(run),
            Purpose::Task { .. }
            | Purpose::OneOff { .. }
            | Purpose::ReleaseCommand { .. }
            | Purpose::Test { .. }
            | Purpose::TestDatabase { .. }
            | Purpose::Database { .. }
            | Purpose::Drill { .. }
            | Purpose::Recovery { .. } => None,
        })
        .collect();
    runs.sort();
    runs.dedup();
    runs
}

fn engine_state(engine: &[EngineTask], task: &Task) -> EngineState {
    let is_it = |found: &&EngineTask| found.purpose == Purpose::Task { task: task.id };
    engine.iter().find(is_it).map_or(EngineState::Absent, |found| found.state.clone())
}

/// Reads what only one deployment needs.
///
/// # Errors
/// When the engine does not answer.
pub async fn observe_deployment(
    world: &World,
    seen: &Seen,
    deployment: &Deployment,
) -> Result<Observed, ObserveError> {
    let engine = world.engine_tasks().await?;
    let purpose = Purpose::ReleaseCommand { deployment: deployment.id };
    let command = match engine.iter().find(|task| task.purpose == purpose).map(|task| &task.state) {
        None | Some(EngineState::Absent | EngineState::Created) => CommandSeen::Absent,
        Some(EngineState::Running { .. }) => CommandSeen::Running,
        Some(EngineState::Exited { code, .. }) => CommandSeen::Exited { code: *code },
    };
    let is_switching = matches!(deployment.state, State::Switching { .. });
    let asks = is_switching && seen.service.live == Some(deployment.release) && seen.edges_agree();
    let public = match seen.releases.get(&deployment.release) {
        Some(release) if asks => ask_public(world, seen, release).await,
        _ => PublicSeen::NotAsked,
    };
    let missing = match seen.releases.get(&deployment.release) {
        Some(release) if matches!(deployment.state, State::Preparing { .. }) => {
            let (service, uses) = (seen.service.clone(), release.spec.uses().to_vec());
            let read = world.store.read(move |view| {
                variable::missing(view, service.environment, &service.place.service, &uses)
            });
            read.await?
        }
        _ => Vec::new(),
    };
    Ok(Observed { command, public, missing })
}

/// Asks every edge for every route until one answers something else.
async fn ask_public(world: &World, seen: &Seen, release: &Release) -> PublicSeen {
    let wanted = release.id.to_string();
    for edge in &seen.edges {
        let Some(listener) = edge.listeners.first() else {
            return PublicSeen::Other { message: format!("edge {} listens on nothing", edge.edge) };
        };
        for route in &release.spec.routes {
            for _ in 0..PUBLIC_PROBES {
                let message = match world.public.ask(*listener, route, world.store.probe_key()).await {
                    Ok(PublicAnswer { release: Some(seen), .. }) if seen == wanted => continue,
                    Ok(PublicAnswer { release: Some(other), .. }) => {
                        format!("{route} was answered by {other}")
                    }
                    Ok(PublicAnswer { status, release: None }) => {
                        format!("{route} was answered with status {status} and no release")
                    }
                    Err(error) => error.to_string(),
                };
                return PublicSeen::Other { message };
            }
        }
    }
    PublicSeen::NewRelease
}
