//! State of one service from its rows and what the edges report. Tests: `tests/it/environment.rs`.

use havre_api::service::{Failures, ServiceStatus, Summary};
use havre_api::task::TaskStatus;
use havre_core::route::{Checks, EdgeView, Health, UpstreamView};
use havre_core::service::Service;
use havre_core::task::Task;
use havre_core::time::Timestamp;
use havre_store::View;

use crate::error::Refusal;
use crate::release::Standing;
use crate::state::AppState;
use crate::{build, deployment, release};

/// Reports that are fresh enough to count.
pub(crate) struct Edges(Vec<EdgeView>);

impl Edges {
    pub(crate) fn of(state: &AppState) -> Self {
        let now: Timestamp = state.now();
        Self(state.store.edges().into_iter().filter(|edge| edge.is_fresh(now)).collect())
    }

    fn views<'e>(&'e self, task: &Task) -> impl Iterator<Item = &'e UpstreamView> {
        let id = task.id;
        self.0.iter().filter_map(move |edge| edge.upstreams.get(&id))
    }

    fn health(&self, task: &Task) -> Option<Health> {
        let rank = |health: &&Health| match health {
            Health::Healthy => 0,
            Health::Unknown => 1,
            Health::Unhealthy { .. } => 2,
        };
        self.views(task).map(|view| &view.health).max_by_key(rank).cloned()
    }

    fn checks(&self, task: &Task) -> Option<Checks> {
        let rank = |checks: &&Checks| match checks {
            Checks::Passed => 0,
            Checks::Pending => 1,
            Checks::Failed { .. } => 2,
        };
        self.views(task).map(|view| &view.checks).max_by_key(rank).cloned()
    }
}

/// The whole state of a service.
pub(crate) fn derive(view: &View<'_>, service: Service, edges: &Edges) -> Result<ServiceStatus, Refusal> {
    let live = match service.live {
        Some(id) => Some(view.get_release(id)?),
        None => None,
    };
    let is_changed = live.as_ref().is_some_and(|live| live.spec != service.spec);
    let live = match live {
        Some(live) => {
            let has_succeeded = deployment::has_succeeded(view, &service, live.id)?;
            let bytes_before = view.find_measured_before(service.id, live.id)?.map(|before| before.bytes);
            Some(release::wire(
                live,
                &service,
                Standing { has_succeeded, files_removed: false, bytes_before },
            ))
        }
        None => None,
    };
    let mut tasks = Vec::new();
    for task in view.list_tasks(service.id)? {
        tasks.push(derive_task(task, edges));
    }
    let mut deployments = Vec::new();
    for row in view.open_deployments(service.id)? {
        deployments.push(deployment::wire(view, row, service.place.clone())?);
    }
    let mut builds = Vec::new();
    let is_its = |build: &havre_core::build::Build| build.service == service.id && !build.is_test();
    for row in view.list_open_builds()?.into_iter().filter(is_its) {
        builds.push(build::wire(view, row, service.place.clone())?);
    }
    let failures = view
        .task_failures(service.id)?
        .map(|failures| Failures { count: failures.count, last: failures.last });
    let is_busy = !deployments.is_empty() || (service.live.is_none() && !builds.is_empty());
    Ok(ServiceStatus {
        id: service.id,
        name: service.place.service.clone(),
        summary: summarise(&service, &tasks, is_busy),
        revision: service.revision,
        replicas: service.replicas,
        live,
        is_changed,
        tasks,
        deployments,
        builds,
        waiting: view.waiting("service", service.id.row())?.unwrap_or_default(),
        failures,
        maintenance_since: service.maintenance.as_ref().map(|maintenance| maintenance.since),
        destroyed_at: service.destroyed_at,
        place: service.place,
        spec: service.spec,
    })
}

fn derive_task(task: Task, edges: &Edges) -> TaskStatus {
    TaskStatus {
        health: edges.health(&task),
        checks: edges.checks(&task),
        in_flight: edges.views(&task).map(|view| view.in_flight).sum(),
        id: task.id,
        release: task.release,
        slot: task.slot,
        address: task.address,
        wanted: task.wanted,
        proven_at: task.proven_at,
        unhealthy_since: task.unhealthy_since,
        created_at: task.created_at,
    }
}

fn summarise(service: &Service, tasks: &[TaskStatus], is_busy: bool) -> Summary {
    let Some(live) = service.live else {
        return match (service.destroyed_at, is_busy) {
            (Some(_), _) => Summary::Destroying,
            (None, true) => Summary::Deploying,
            (None, false) => Summary::NotDeployed,
        };
    };
    if service.destroyed_at.is_some() {
        return Summary::Destroying;
    }
    if is_busy {
        return Summary::Deploying;
    }
    let healthy = tasks.iter().filter(|task| task.release == live && is_healthy(task)).count();
    match u32::try_from(healthy).unwrap_or(u32::MAX) {
        healthy if healthy >= service.replicas => Summary::Running,
        0 => Summary::Down,
        _ => Summary::Degraded,
    }
}

/// Where no edge has an opinion (no port, or control has just started), the rows decide.
fn is_healthy(task: &TaskStatus) -> bool {
    task.wanted.is_run()
        && match &task.health {
            Some(health) => *health == Health::Healthy,
            None => task.proven_at.is_some() && task.unhealthy_since.is_none(),
        }
}
