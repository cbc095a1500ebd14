//! A simulated world of one service: rows, an engine, one edge. Executes steps the way `reconcile` does and refuses,
//! loudly, what must never happen.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;

use havre_core::deployment::state::State;
use havre_core::deployment::{Deployment, Kind};
use havre_core::id::{DeploymentId, ReleaseId, TaskId};
use havre_core::quantity::Span;
use havre_core::release::Release;
use havre_core::route::{Checks, EdgeView, Health, Role, Table, UpstreamView};
use havre_core::service::Service;
use havre_core::service::spec::ServiceSpec;
use havre_core::task::{EngineState, Healthcheck, Task, WantedTask};
use havre_core::time::Timestamp;
use havre_decide::deployment::check::check as check_deployment;
use havre_decide::deployment::plan::{
    CommandSeen, Observed, PublicSeen, plan as plan_deployment, replicas_after,
};
use havre_decide::route::derive::{ServiceRows, derive};
use havre_decide::service::check::check;
use havre_decide::service::plan::plan as plan_service;
use havre_decide::service::seen::{Failures, Seen, SeenTask};
use havre_decide::service::step::{Blocker, Step};

use crate::sample;

/// How tasks of a release behave.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Behaviour {
    Healthy,
    NeverHealthy,
    Exits,
}

#[derive(Debug, Clone)]
pub(crate) struct Sim {
    pub(crate) now: Timestamp,
    pub(crate) service: Service,
    pub(crate) releases: BTreeMap<ReleaseId, Release>,
    pub(crate) behaviour: BTreeMap<ReleaseId, Behaviour>,
    pub(crate) deployments: BTreeMap<DeploymentId, Deployment>,
    pub(crate) tasks: BTreeMap<TaskId, Task>,
    pub(crate) engine: BTreeMap<TaskId, EngineState>,
    pub(crate) commands: BTreeMap<DeploymentId, CommandSeen>,
    pub(crate) command_exit: i64,
    pub(crate) command_runs: u32,
    pub(crate) table: Table,
    pub(crate) generation: u64,
    pub(crate) edge_is_up: bool,
    pub(crate) edge_generation: u64,
    pub(crate) edge_table: Table,
    pub(crate) edge_health: BTreeMap<TaskId, Health>,
    pub(crate) in_flight: BTreeMap<TaskId, u64>,
    pub(crate) errors: BTreeMap<ReleaseId, (u64, u64)>,
    pub(crate) checks: Checks,
    pub(crate) failures: Option<Failures>,
    pub(crate) log: Vec<String>,
    next_task: i64,
}

impl Sim {
    pub(crate) fn new(spec: ServiceSpec) -> Self {
        Self {
            now: Timestamp::from_millis(1_000_000),
            service: sample::service(spec),
            releases: BTreeMap::new(),
            behaviour: BTreeMap::new(),
            deployments: BTreeMap::new(),
            tasks: BTreeMap::new(),
            engine: BTreeMap::new(),
            commands: BTreeMap::new(),
            command_exit: 0,
            command_runs: 0,
            table: Table::default(),
            generation: 0,
            edge_is_up: true,
            edge_generation: 0,
            edge_table: Table::default(),
            edge_health: BTreeMap::new(),
            in_flight: BTreeMap::new(),
            errors: BTreeMap::new(),
            checks: Checks::Passed,
            failures: None,
            log: Vec::new(),
            next_task: 1,
        }
    }

    pub(crate) fn deploy(&mut self, spec: ServiceSpec, behaviour: Behaviour) -> DeploymentId {
        let id = i64::try_from(self.releases.len()).expect("few releases") + 1;
        let release = sample::release(id, spec.clone());
        if self.service.spec.replicas() != spec.replicas() {
            self.service.replicas = spec.replicas();
        }
        self.service.spec = spec;
        self.behaviour.insert(release.id, behaviour);
        let release_id = release.id;
        self.releases.insert(release_id, release);
        self.request(release_id, Kind::Deploy)
    }

    pub(crate) fn request(&mut self, release: ReleaseId, kind: Kind) -> DeploymentId {
        let id = DeploymentId::new(i64::try_from(self.deployments.len()).expect("few deployments") + 1);
        self.deployments.insert(
            id,
            Deployment {
                id,
                service: self.service.id,
                release,
                previous: None,
                kind,
                state: State::Pending,
                cancel_requested: false,
                created_at: self.now,
            },
        );
        id
    }

    pub(crate) fn state(&self, id: DeploymentId) -> &State {
        &self.deployments[&id].state
    }

    pub(crate) fn open(&self) -> Vec<Deployment> {
        self.deployments.values().filter(|d| !d.state.is_final()).cloned().collect()
    }

    fn derive_table(&mut self) {
        let rows = ServiceRows {
            service: self.service.clone(),
            open: self.open(),
            releases: self.releases.clone(),
            tasks: self.tasks.values().cloned().collect(),
            left: Vec::new(),
        };
        let table = derive(&[rows], &[], self.now);
        if table != self.table {
            self.table = table;
            self.generation += 1;
        }
    }

    /// The edge takes the newest table and probes everything in it.
    pub(crate) fn edge_catches_up(&mut self) {
        if !self.edge_is_up {
            return;
        }
        self.edge_table = self.table.clone();
        self.edge_generation = self.generation;
        self.edge_health.clear();
        for upstream in self.edge_table.services.values().flat_map(|service| &service.upstreams) {
            let runs = matches!(self.engine.get(&upstream.task), Some(EngineState::Running { .. }));
            let healthy = self.behaviour[&upstream.release] == Behaviour::Healthy;
            let health = match (runs, healthy) {
                (true, true) => Health::Healthy,
                (true, false) => Health::Unhealthy { reason: "GET / answered 503".to_owned() },
                (false, _) => Health::Unhealthy { reason: "connection refused".to_owned() },
            };
            self.edge_health.insert(upstream.task, health);
        }
    }

    /// Tasks the edge may send a new request to.
    pub(crate) fn serving(&self) -> BTreeSet<TaskId> {
        self.healthy_live(&self.edge_table)
    }

    /// Tasks that get requests once the edge has caught up.
    pub(crate) fn soon_serving(&mut self) -> BTreeSet<TaskId> {
        self.derive_table();
        self.healthy_live(&self.table)
    }

    fn healthy_live(&self, table: &Table) -> BTreeSet<TaskId> {
        let upstreams = table.services.values().flat_map(|service| &service.upstreams);
        upstreams
            .filter(|upstream| upstream.role == Role::Live)
            .filter(|upstream| self.behaviour[&upstream.release] == Behaviour::Healthy)
            .map(|upstream| upstream.task)
            .filter(|task| matches!(self.engine.get(task), Some(EngineState::Running { .. })))
            .collect()
    }

    pub(crate) fn seen(&mut self) -> Seen {
        self.derive_table();
        let tasks = self.tasks.values().map(|task| SeenTask {
            task: task.clone(),
            engine: self.engine.get(&task.id).cloned().unwrap_or(EngineState::Absent),
        });
        Seen {
            service: self.service.clone(),
            open: self.open(),
            releases: self.releases.clone(),
            tasks: tasks.collect(),
            commands: self.commands.keys().copied().collect(),
            jobs: Vec::new(),
            edges: if self.edge_is_up { vec![self.edge()] } else { Vec::new() },
            generation: self.generation,
            failures: self.failures,
            paused: std::collections::BTreeSet::new(),
        }
    }

    fn edge(&self) -> EdgeView {
        let upstreams = self.edge_health.iter().map(|(task, health)| {
            let release = self.tasks.get(task).map(|task| task.release);
            let (requests, errors) = release.and_then(|r| self.errors.get(&r)).copied().unwrap_or((0, 0));
            let in_flight = self.in_flight.get(task).copied().unwrap_or(0);
            let view = UpstreamView {
                health: health.clone(),
                checks: self.checks.clone(),
                in_flight,
                requests,
                errors,
            };
            (*task, view)
        });
        EdgeView {
            edge: "node".to_owned(),
            instance: "1".to_owned(),
            generation: self.edge_generation,
            listeners: Vec::new(),
            https: Vec::new(),
            at: self.now,
            upstreams: upstreams.collect(),
        }
    }

    /// Plans and executes until nothing changes; the edge does not move meanwhile. Returns what is waited for.
    pub(crate) fn activate(&mut self) -> Vec<Blocker> {
        for _ in 0..200 {
            let (changed, waiting) = self.round();
            if !changed {
                return waiting;
            }
        }
        panic!("the plans do not come to rest:\n{}", self.log.join("\n"));
    }

    /// One round of the loop, in the order of `reconcile::service::advance_once`.
    pub(crate) fn round(&mut self) -> (bool, Vec<Blocker>) {
        let seen = self.seen();
        let plan = plan_service(&seen, self.now);
        assert_eq!(check(&plan.steps, &seen, self.now), [], "service plan {plan}");
        let mut waiting = plan.waiting_on;
        if !plan.steps.is_empty() {
            for step in &plan.steps {
                self.execute(step);
            }
            return (true, waiting);
        }
        let mut changed = false;
        for open in &seen.open {
            let (command, public) = (self.command(open.id), self.public(open));
            let observed = Observed { command, public, missing: Vec::new() };
            let plan = plan_deployment(open, &seen, &observed, self.now);
            assert_eq!(check_deployment(open, &plan, &seen, self.now), [], "deployment plan {plan}");
            for step in &plan.steps {
                self.execute(step);
                changed = true;
            }
            if let Some(next) = plan.next {
                self.log.push(format!("{} {} -> {}", open.id, open.state.name(), next.name()));
                self.deployments.get_mut(&open.id).expect("exists").state = next;
                changed = true;
            }
            waiting.extend(plan.waiting_on);
        }
        (changed, waiting)
    }

    fn command(&self, id: DeploymentId) -> CommandSeen {
        self.commands.get(&id).copied().unwrap_or(CommandSeen::Absent)
    }

    fn public(&self, deployment: &Deployment) -> PublicSeen {
        let is_live = self.service.live == Some(deployment.release);
        if !is_live || !self.edge_is_up || self.edge_generation < self.generation {
            return PublicSeen::NotAsked;
        }
        let releases: BTreeSet<ReleaseId> =
            self.serving().iter().map(|task| self.tasks[task].release).collect();
        if releases == BTreeSet::from([deployment.release]) {
            return PublicSeen::NewRelease;
        }
        PublicSeen::Other { message: format!("answered by {releases:?}") }
    }

    fn execute(&mut self, step: &Step) {
        self.log.push(step.to_string());
        match step {
            Step::EnsureNetworks
            | Step::EnsureVolumes { .. }
            | Step::EnsureArtifact { .. }
            | Step::EnsureSecrets { .. }
            | Step::Dismantle => {}
            Step::RunCommand { deployment } => {
                self.command_runs += 1;
                self.commands.insert(*deployment, CommandSeen::Running);
            }
            Step::RemoveCommand { deployment } => {
                self.commands.remove(deployment);
            }
            Step::AllocateTask { release, slot } => self.allocate(*release, *slot),
            Step::StartTask { task } => self.start(*task),
            Step::ProveTask { task } => self.task_mut(*task).proven_at = Some(self.now),
            Step::MarkUnhealthy { task, .. } => self.task_mut(*task).unhealthy_since = Some(self.now),
            Step::MarkRecovered { task } => self.task_mut(*task).unhealthy_since = None,
            Step::DrainTask { task, deadline, by, .. } => {
                let wanted = WantedTask::Drain { deadline: *deadline, by: *by };
                self.task_mut(*task).wanted = wanted;
            }
            Step::StopTask { task } => {
                assert!(
                    !self.serving().contains(task),
                    "{task} was stopped while the edge may send it requests"
                );
                self.engine.insert(*task, EngineState::Exited { code: 143, out_of_memory: false });
            }
            Step::RecordExit { .. } => {
                let count = self.failures.map_or(1, |failures| failures.count + 1);
                self.failures = Some(Failures { count, last: self.now });
            }
            Step::RemoveTask { task } => {
                self.engine.remove(task);
                self.tasks.remove(task);
            }
            Step::GoLive { deployment } => self.go_live(*deployment),
            Step::RevertLive { deployment } => {
                self.service.live = self.deployments[deployment].previous;
                let (live, now) = (self.service.live, self.now);
                let back = self.tasks.values_mut().filter(|t| Some(t.release) == live && t.wanted.is_run());
                back.for_each(|task| task.proven_at = Some(now));
            }
        }
    }

    fn task_mut(&mut self, id: TaskId) -> &mut Task {
        self.tasks.get_mut(&id).expect("a step names a task that exists")
    }

    fn allocate(&mut self, release: ReleaseId, slot: u32) {
        let id = TaskId::new(self.next_task);
        self.next_task += 1;
        let task = Task {
            id,
            service: self.service.id,
            release,
            slot,
            address: Some(Ipv4Addr::from(0x0a00_0000 + u32::try_from(id.row()).expect("few tasks"))),
            wanted: WantedTask::Run,
            proven_at: None,
            unhealthy_since: None,
            created_at: self.now,
        };
        self.tasks.insert(id, task);
    }

    fn start(&mut self, id: TaskId) {
        let release = self.tasks[&id].release;
        let writes =
            |task: &Task| !self.releases[&task.release].spec.tasks().expect("has tasks").volumes.is_empty();
        let running = |task: &&Task| matches!(self.engine.get(&task.id), Some(EngineState::Running { .. }));
        let writers = self.tasks.values().filter(running).filter(|task| writes(task)).count();
        assert!(!writes(&self.tasks[&id]) || writers == 0, "{id} would be a second writer");
        let state = match self.behaviour[&release] {
            Behaviour::Exits => EngineState::Exited { code: 1, out_of_memory: false },
            _ => EngineState::Running { healthcheck: Healthcheck::None },
        };
        self.engine.insert(id, state);
    }

    fn go_live(&mut self, id: DeploymentId) {
        let deployment = self.deployments[&id].clone();
        if self.service.live != Some(deployment.release) {
            let live = self.service.live.map(|live| &self.releases[&live]);
            let release = &self.releases[&deployment.release];
            self.service.replicas = replicas_after(&self.service, live, release, deployment.kind);
            self.deployments.get_mut(&id).expect("exists").previous = self.service.live;
            self.service.live = Some(deployment.release);
        }
        let now = self.now;
        let mine = self.tasks.values_mut().filter(|t| t.release == deployment.release && t.wanted.is_run());
        mine.for_each(|task| task.proven_at = Some(now));
    }

    /// Lets a running release command end.
    pub(crate) fn commands_end(&mut self) {
        for command in self.commands.values_mut().filter(|command| **command == CommandSeen::Running) {
            *command = CommandSeen::Exited { code: self.command_exit };
        }
    }

    /// Everything that would happen by itself in time, until every deployment is over and nothing changes.
    pub(crate) fn settle(&mut self) {
        for _ in 0..400 {
            let before = (self.log.len(), self.generation);
            self.activate();
            self.edge_catches_up();
            self.commands_end();
            self.activate();
            if before == (self.log.len(), self.generation) && self.edge_generation == self.generation {
                if self.open().is_empty() && self.tasks.values().all(|task| task.wanted.is_run()) {
                    return;
                }
                self.now = self.now.after(Span::seconds(5).duration());
            }
        }
        panic!("the world does not settle; open: {:?}\n{}", self.open(), self.log.join("\n"));
    }
}
