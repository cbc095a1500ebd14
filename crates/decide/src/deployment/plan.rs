//! Moves a service from one release to the next: one match over the state. Tests:
//! `tests/it/deployment.rs`, `tests/it/laws.rs`.

use serde::{Deserialize, Serialize};

use crate::deployment::course::Course;
use crate::secret::provider::reference::wants_values;
use crate::service::plan::{drain_deadline, start_timeout};
use crate::service::seen::{Seen, SeenTask};
use crate::service::step::{Blocker, Step};
use havre_core::deployment::state::{FailureReason, State};
use havre_core::deployment::{Deployment, Kind};
use havre_core::id::ReleaseId;
use havre_core::name::DatabaseName;
use havre_core::quantity::Span;
use havre_core::release::Release;
use havre_core::route::{Checks, Health};
use havre_core::service::Service;
use havre_core::service::spec::{Strategy, TaskWork};
use havre_core::task::event::DrainReason;
use havre_core::task::{EngineState, WantedTask};
use havre_core::time::Timestamp;

/// Longest wait for edges and the public listener after the switch.
pub const SWITCH_TIMEOUT: Span = Span::seconds(60);

/// Longest time a deployment may try to get ready: a dead engine, a full disk or a silent registry may pass, but
/// somebody waits for the answer.
pub const PREPARE_TIMEOUT: Span = Span::seconds(600);

/// A canary and baking ignore fewer errors than this: a single bot must not undo a release.
pub const BAKE_MIN_ERRORS: u64 = 10;

/// What the world says beside rows, engine and edges.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Observed {
    /// The release command of this deployment.
    pub command: CommandSeen,
    /// What the public listener answered; asked only while switching and once the edges agree.
    pub public: PublicSeen,
    /// Databases its release uses that do not let it in yet, and why, for people; looked at only while it gets ready.
    pub missing: Vec<(DatabaseName, String)>,
}

/// The release command's container.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CommandSeen {
    /// The engine has none.
    Absent,
    /// It runs.
    Running,
    /// It ended.
    Exited {
        /// Exit code.
        code: i64,
    },
}

/// What the public listener answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PublicSeen {
    /// Nobody asked.
    NotAsked,
    /// Every route answered with the new release.
    NewRelease,
    /// Some route did not.
    Other {
        /// Which and what instead, for people.
        message: String,
    },
}

/// What to do for one deployment now.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Plan {
    /// In this order.
    pub steps: Vec<Step>,
    /// State to store once all steps are done; `None` stays.
    pub next: Option<State>,
    /// Why there is not more to do.
    pub waiting_on: Vec<Blocker>,
}

impl Plan {
    fn next(next: State) -> Self {
        Self { next: Some(next), ..Self::default() }
    }

    fn steps(steps: Vec<Step>) -> Self {
        Self { steps, ..Self::default() }
    }

    fn wait(blocker: Blocker) -> Self {
        Self { waiting_on: vec![blocker], ..Self::default() }
    }

    fn fail(now: Timestamp, reason: FailureReason) -> Self {
        Self::next(State::Failed { at: now, reason })
    }
}

impl std::fmt::Display for Plan {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for step in &self.steps {
            writeln!(f, "- {step}")?;
        }
        if let Some(next) = &self.next {
            writeln!(f, "→ {}", next.name())?;
        }
        for blocker in &self.waiting_on {
            writeln!(f, "… {blocker}")?;
        }
        Ok(())
    }
}

/// Chooses the steps and the next state.
pub fn plan(deployment: &Deployment, seen: &Seen, observed: &Observed, now: Timestamp) -> Plan {
    if deployment.state.is_final() {
        return Plan::default();
    }
    if let Some(ended) = plan_end(deployment, seen, now) {
        return ended;
    }
    let Some(release) = seen.releases.get(&deployment.release) else {
        let message = "it is not in the store any more".to_owned();
        return Plan::fail(now, FailureReason::ReleaseUnusable { release: deployment.release, message });
    };
    let subject = Subject { deployment, release, seen, now };
    match &deployment.state {
        State::Pending => subject.pending(),
        State::Preparing { since } => subject.preparing(*since, &observed.missing),
        State::Migrating { since } => subject.migrating(*since, observed.command),
        State::Starting { since } => subject.starting(*since),
        State::Verifying { since } => subject.verifying(*since),
        State::Canary { until, .. } => subject.canary(*until),
        State::Switching { since } => subject.switching(*since, &observed.public),
        State::Baking { until, .. } => subject.baking(*until),
        State::Draining { .. } => subject.draining(),
        State::Reverting { since, reason } => subject.reverting(*since, reason),
        State::Succeeded { .. }
        | State::Failed { .. }
        | State::Cancelled { .. }
        | State::Superseded { .. } => Plan::default(),
    }
}

/// Cancelling and superseding, which end a deployment only before its switch.
fn plan_end(deployment: &Deployment, seen: &Seen, now: Timestamp) -> Option<Plan> {
    let before_switch = matches!(
        deployment.state,
        State::Pending
            | State::Preparing { .. }
            | State::Migrating { .. }
            | State::Starting { .. }
            | State::Verifying { .. }
            | State::Canary { .. }
    );
    let destroyed = seen.service.destroyed_at.is_some();
    if destroyed || (deployment.cancel_requested && before_switch) {
        return Some(Plan::next(State::Cancelled { at: now }));
    }
    // A migration in the middle is left to end: half a migration helps nobody.
    let may_give_way = before_switch && !matches!(deployment.state, State::Migrating { .. });
    let newest = seen.open.iter().map(|open| open.id).max().filter(|newest| *newest > deployment.id);
    match newest {
        Some(by) if may_give_way => Some(Plan::next(State::Superseded { at: now, by })),
        _ => None,
    }
}

/// Tasks wanted once `release` is live. A `scale` survives deployments that do not change the specified number.
pub fn replicas_after(service: &Service, live: Option<&Release>, release: &Release, kind: Kind) -> u32 {
    let specified = release.spec.replicas();
    let before = live.map_or_else(|| service.spec.replicas(), |live| live.spec.replicas());
    if kind == Kind::Restart || before == specified { service.replicas } else { specified }
}

/// Whether an error that may pass has not passed for too long.
pub fn gives_up(deployment: &Deployment, now: Timestamp) -> bool {
    matches!(deployment.state, State::Preparing { since } if now.since(since) >= PREPARE_TIMEOUT.duration())
}

struct Subject<'a> {
    deployment: &'a Deployment,
    release: &'a Release,
    seen: &'a Seen,
    now: Timestamp,
}

impl Subject<'_> {
    fn pending(&self) -> Plan {
        let holds_up = |open: &&Deployment| {
            open.id < self.deployment.id && !matches!(open.state, State::Draining { .. })
        };
        match self.seen.open.iter().find(holds_up) {
            Some(older) => Plan::wait(Blocker::OlderDeployment { deployment: older.id }),
            // A rollback to what users get already has nothing to switch, and so nothing to switch back from.
            None if self.seen.service.live == Some(self.release.id) => {
                Plan::next(State::Succeeded { at: self.now })
            }
            None => Plan::next(State::Preparing { since: self.now }),
        }
    }

    fn preparing(&self, since: Timestamp, missing: &[(DatabaseName, String)]) -> Plan {
        let release = self.release.id;
        if let Some((database, why)) = missing.first() {
            let (database, why) = (database.clone(), why.clone());
            let blocker = Blocker::Database { database, why };
            if self.now.since(since) >= PREPARE_TIMEOUT.duration() {
                let message = format!("it {blocker}");
                return Plan::fail(self.now, FailureReason::NotPrepared { message });
            }
            return Plan::wait(blocker);
        }
        let mut steps = vec![Step::EnsureArtifact { release }];
        if let Some(work) = self.work() {
            steps.insert(0, Step::EnsureNetworks);
            if wants_values(work) {
                // First of all: without them nothing else is worth a change.
                steps.insert(0, Step::EnsureSecrets { release });
            }
            if !work.volumes.is_empty() {
                steps.push(Step::EnsureVolumes { release });
            }
        }
        let since = self.now;
        let next = match self.work() {
            None => State::Switching { since },
            Some(_) if self.course().command().is_some() => State::Migrating { since },
            Some(_) => State::Starting { since },
        };
        Plan { steps, next: Some(next), waiting_on: Vec::new() }
    }

    fn migrating(&self, since: Timestamp, command: CommandSeen) -> Plan {
        let deployment = self.deployment.id;
        let timeout = self.work().map_or(Span::seconds(0), |work| work.release_timeout);
        match command {
            CommandSeen::Absent => Plan::steps(vec![Step::RunCommand { deployment }]),
            CommandSeen::Exited { code: 0 } => Plan::next(State::Starting { since: self.now }),
            CommandSeen::Exited { code: exit } => {
                let reason = FailureReason::ReleaseCommandFailed { exit, last_lines: Vec::new() };
                Plan::fail(self.now, reason)
            }
            CommandSeen::Running if self.now.since(since) >= timeout.duration() => {
                let reason = FailureReason::ReleaseCommandTimedOut { last_lines: Vec::new() };
                Plan::fail(self.now, reason)
            }
            CommandSeen::Running => Plan::wait(Blocker::ReleaseCommand),
        }
    }

    fn starting(&self, since: Timestamp) -> Plan {
        if self.seen.strategy() == Strategy::Recreate
            && let Some(plan) = self.old_tasks_first()
        {
            return plan;
        }
        let missing = self.missing_slots();
        if !missing.is_empty() {
            return Plan::steps(missing);
        }
        let mut plan = Plan::default();
        for task in self.seen.running(self.release.id) {
            let id = task.task.id;
            match task.engine {
                EngineState::Absent | EngineState::Created => plan.steps.push(Step::StartTask { task: id }),
                EngineState::Exited { code, out_of_memory } => {
                    return Plan::fail(self.now, task_exited(task, code, out_of_memory));
                }
                EngineState::Running { .. } => {
                    let Some(probe) = self.not_healthy(task) else { continue };
                    if self.now.since(task.task.created_at.max(since)) >= start_timeout(self.seen, task) {
                        let reason = FailureReason::NeverHealthy { task: id, probe, last_lines: Vec::new() };
                        return Plan::fail(self.now, reason);
                    }
                    plan.waiting_on.push(Blocker::TaskNotHealthy { task: id, probe });
                }
            }
        }
        if plan.steps.is_empty() && plan.waiting_on.is_empty() {
            let since = self.now;
            let has_checks = !self.course().checks().is_empty();
            plan.next = Some(if has_checks { State::Verifying { since } } else { self.to_users() });
        }
        plan
    }

    /// One writer per volume: everything else goes before anything of this release comes.
    fn old_tasks_first(&self) -> Option<Plan> {
        let is_mine = |task: &SeenTask| task.task.release == self.release.id && task.task.wanted.is_run();
        let old: Vec<&SeenTask> = self.seen.tasks.iter().filter(|task| !is_mine(task)).collect();
        if old.is_empty() {
            return None;
        }
        let mut plan = Plan::wait(Blocker::OldTasks { tasks: old.iter().map(|task| task.task.id).collect() });
        plan.steps = old.iter().filter(|t| t.task.wanted.is_run()).map(|task| self.drain(task)).collect();
        Some(plan)
    }

    fn missing_slots(&self) -> Vec<Step> {
        let live = self.seen.service.live.and_then(|live| self.seen.releases.get(&live));
        let wanted = replicas_after(&self.seen.service, live, self.release, self.deployment.kind);
        let release = self.release.id;
        (0..wanted)
            .filter(|slot| !self.seen.running(release).any(|task| task.task.slot == *slot))
            .map(|slot| Step::AllocateTask { release, slot })
            .collect()
    }

    fn verifying(&self, since: Timestamp) -> Plan {
        let mut plan = Plan::default();
        for task in self.seen.running(self.release.id) {
            let id = task.task.id;
            if let EngineState::Exited { code, out_of_memory } = task.engine {
                return Plan::fail(self.now, task_exited(task, code, out_of_memory));
            }
            let check = match self.seen.checks(id) {
                Checks::Passed => continue,
                Checks::Pending => "no result yet".to_owned(),
                Checks::Failed { reason } => reason,
            };
            if self.now.since(since) >= start_timeout(self.seen, task) {
                return Plan::fail(self.now, FailureReason::CheckFailed { task: id, check });
            }
            plan.waiting_on.push(Blocker::CheckPending { check });
        }
        if plan.waiting_on.is_empty() {
            plan.next = Some(self.to_users());
        }
        plan
    }

    /// What comes once the new tasks are fit for users: some of them first, if that is wanted and somebody is served now.
    fn to_users(&self) -> State {
        let since = self.now;
        match self.course().canary() {
            Some(canary) => State::Canary { since, until: since.after(canary.hold.duration()) },
            None => State::Switching { since },
        }
    }

    /// No switch has been made: whatever goes wrong, everybody gets the live release again as soon as this ends.
    fn canary(&self, until: Timestamp) -> Plan {
        for task in self.seen.running(self.release.id) {
            let id = task.task.id;
            if let EngineState::Exited { code, out_of_memory } = task.engine {
                return Plan::fail(self.now, task_exited(task, code, out_of_memory));
            }
            if let Health::Unhealthy { reason: probe } = self.seen.health(task, self.now) {
                let last_lines = Vec::new();
                return Plan::fail(
                    self.now,
                    FailureReason::NotHealthyAnyMore { task: id, probe, last_lines },
                );
            }
        }
        if let Some(worse) = self.is_worse_than(self.seen.service.live) {
            return Plan::fail(self.now, worse);
        }
        match self.course().canary() {
            Some(canary) if self.now < until => {
                Plan::wait(Blocker::Canary { percent: canary.percent, until })
            }
            _ => Plan::next(State::Switching { since: self.now }),
        }
    }

    /// At least 5 % of its requests fail, and at least twice the share of the other release.
    fn is_worse_than(&self, other: Option<ReleaseId>) -> Option<FailureReason> {
        let (requests, errors) = self.seen.traffic(self.release.id);
        let (old_requests, old_errors) = other.map_or((0, 0), |other| self.seen.traffic(other));
        let share_is_high = errors.saturating_mul(20) >= requests.max(1);
        let twice_as_bad = errors.saturating_mul(old_requests.max(1))
            >= old_errors.saturating_mul(2).saturating_mul(requests);
        let is_worse = errors >= BAKE_MIN_ERRORS && share_is_high && twice_as_bad;
        is_worse.then_some(FailureReason::Worse { requests, errors })
    }

    fn switching(&self, since: Timestamp, public: &PublicSeen) -> Plan {
        if self.seen.service.live != Some(self.release.id) {
            return self.go_live();
        }
        if self.release.spec.routes.is_empty() {
            return self.after_switch();
        }
        let late = self.now.since(since) >= SWITCH_TIMEOUT.duration();
        if !self.seen.edges_agree() {
            let blocker = if self.seen.edges.is_empty() {
                Blocker::NoEdge
            } else {
                Blocker::EdgesBehind { generation: self.seen.generation }
            };
            let message = blocker.to_string();
            return if late {
                self.revert(FailureReason::EdgesBehind { message })
            } else {
                Plan::wait(blocker)
            };
        }
        match public {
            PublicSeen::NewRelease => self.after_switch(),
            PublicSeen::NotAsked => Plan::wait(Blocker::NotSeen { message: "not asked yet".to_owned() }),
            PublicSeen::Other { message } if late => {
                self.revert(FailureReason::NotSeen { message: message.clone() })
            }
            PublicSeen::Other { message } => Plan::wait(Blocker::NotSeen { message: message.clone() }),
        }
    }

    /// The switch itself, unless a task ended in the very last moment.
    fn go_live(&self) -> Plan {
        for task in self.seen.running(self.release.id) {
            if let EngineState::Exited { code, out_of_memory } = task.engine {
                return Plan::fail(self.now, task_exited(task, code, out_of_memory));
            }
        }
        let unhealthy = self
            .seen
            .running(self.release.id)
            .find_map(|task| self.not_healthy(task).map(|probe| (task.task.id, probe)));
        match unhealthy {
            // Back to starting: its deadline decides, and no user has seen anything.
            Some(_) => Plan::next(State::Starting { since: self.now }),
            None => Plan::steps(vec![Step::GoLive { deployment: self.deployment.id }]),
        }
    }

    fn after_switch(&self) -> Plan {
        let since = self.now;
        Plan::next(match self.course().bake() {
            Some(bake) => State::Baking { since, until: since.after(bake.duration()) },
            None => State::Draining { since },
        })
    }

    fn baking(&self, until: Timestamp) -> Plan {
        if let Some(worse) = self.is_worse_than(self.deployment.previous) {
            return self.revert(worse);
        }
        if self.now < until {
            return Plan::wait(Blocker::Baking { until });
        }
        // A control that has just started knows nothing yet, and what is not known is not good.
        if self.seen.edges.is_empty() {
            return Plan::wait(Blocker::NoEdge);
        }
        Plan::next(State::Draining { since: self.now })
    }

    fn draining(&self) -> Plan {
        let previous = self.deployment.previous;
        let by_me = |task: &&SeenTask| match task.task.wanted {
            // Unproven tasks of the old release are new ones: a rollback to it has begun.
            WantedTask::Run => {
                Some(task.task.release) == previous
                    && self.seen.service.live != previous
                    && task.task.proven_at.is_some()
            }
            WantedTask::Drain { by, .. } => by == Some(self.deployment.id),
        };
        let old: Vec<&SeenTask> = self.seen.tasks.iter().filter(by_me).collect();
        if old.is_empty() {
            return Plan::next(State::Succeeded { at: self.now });
        }
        let mut plan = Plan::wait(Blocker::OldTasks { tasks: old.iter().map(|task| task.task.id).collect() });
        plan.steps = old.iter().filter(|t| t.task.wanted.is_run()).map(|task| self.drain(task)).collect();
        plan
    }

    fn reverting(&self, since: Timestamp, reason: &FailureReason) -> Plan {
        let late = self.now.since(since) >= SWITCH_TIMEOUT.duration();
        if self.seen.service.live == Some(self.release.id) {
            return match self.revive_previous() {
                None => Plan::steps(vec![Step::RevertLive { deployment: self.deployment.id }]),
                // The old release cannot be brought back while the new one serves: the worse of two evils is an outage.
                Some(_) if late => Plan::fail(self.now, reason.clone()),
                Some(plan) => plan,
            };
        }
        if self.seen.edges_agree() || late || self.release.spec.routes.is_empty() {
            return Plan::fail(self.now, reason.clone());
        }
        Plan::wait(Blocker::EdgesBehind { generation: self.seen.generation })
    }

    /// What is left to do before users can have the previous release back; `None` when nothing is, or when the new
    /// release serves nobody anyway.
    fn revive_previous(&self) -> Option<Plan> {
        let previous = self.deployment.previous.and_then(|id| self.seen.releases.get(&id))?;
        let runs = |task: &SeenTask| matches!(task.engine, EngineState::Running { .. });
        let is_ready = |task: &SeenTask| {
            runs(task)
                && (task.task.proven_at.is_some() || self.seen.health(task, self.now) == Health::Healthy)
        };
        let new_serves = self.seen.running(self.release.id).any(|task| self.seen.may_serve(task, self.now));
        let is_site = previous.spec.tasks().is_none();
        let one_writer = self.seen.strategy() == Strategy::Recreate;
        if is_site || one_writer || !new_serves || self.seen.running(previous.id).any(is_ready) {
            return None;
        }
        let mut plan = Plan::default();
        for task in self.seen.running(previous.id) {
            let id = task.task.id;
            match task.engine {
                EngineState::Absent | EngineState::Created => plan.steps.push(Step::StartTask { task: id }),
                EngineState::Exited { .. } => plan.steps.push(Step::RemoveTask { task: id }),
                EngineState::Running { .. } => {
                    let probe = self.not_healthy(task).unwrap_or_default();
                    plan.waiting_on.push(Blocker::TaskNotHealthy { task: id, probe });
                }
            }
        }
        if self.seen.running(previous.id).next().is_none() {
            let slots = 0..self.seen.service.replicas.max(1);
            plan.steps.extend(slots.map(|slot| Step::AllocateTask { release: previous.id, slot }));
        }
        Some(plan)
    }

    fn revert(&self, reason: FailureReason) -> Plan {
        Plan::next(State::Reverting { since: self.now, reason })
    }

    fn drain(&self, task: &SeenTask) -> Step {
        Step::DrainTask {
            task: task.task.id,
            deadline: drain_deadline(self.seen, task, self.now),
            by: Some(self.deployment.id),
            reason: DrainReason::Replaced,
        }
    }

    fn not_healthy(&self, task: &SeenTask) -> Option<String> {
        match self.seen.health(task, self.now) {
            Health::Healthy => None,
            Health::Unknown if self.seen.edges.is_empty() && task.task.address.is_some() => {
                Some(Blocker::NoEdge.to_string())
            }
            Health::Unknown => Some("no answer yet".to_owned()),
            Health::Unhealthy { reason } => Some(reason),
        }
    }

    fn work(&self) -> Option<&TaskWork> {
        self.release.spec.tasks()
    }

    fn course(&self) -> Course<'_> {
        let live = self.seen.service.live.and_then(|live| self.seen.releases.get(&live));
        Course {
            spec: &self.release.spec,
            live: live.map(|live| &live.spec),
            kind: self.deployment.kind,
            strategy: self.seen.strategy(),
        }
    }
}

fn task_exited(task: &SeenTask, exit: i64, out_of_memory: bool) -> FailureReason {
    FailureReason::TaskExited { task: task.task.id, exit, out_of_memory, last_lines: Vec::new() }
}
