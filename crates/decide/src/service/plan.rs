//! Keeps the live release of a service as specified and removes every task that is neither live nor wanted by an open
//! deployment, so that cancelled and superseded deployments need no clean-up states. Tests:
//! `tests/it/service.rs`, `tests/it/laws.rs`.

use std::collections::BTreeSet;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::service::seen::{Seen, SeenTask};
use crate::service::step::{Blocker, Step};
use havre_core::deployment::state::State;
use havre_core::id::ReleaseId;
use havre_core::quantity::Span;
use havre_core::route::Health;
use havre_core::service::spec::Strategy;
use havre_core::task::event::DrainReason;
use havre_core::task::{EngineState, WantedTask};
use havre_core::time::Timestamp;

/// A proven task that stays unhealthy this long is replaced.
pub const REPLACE_AFTER: Span = Span::seconds(30);

/// Pauses before the next attempt after all tasks of a service ended by themselves once, twice…; the last one stays.
pub const BACK_OFF: [Span; 6] = [
    Span::seconds(0),
    Span::seconds(1),
    Span::seconds(5),
    Span::seconds(15),
    Span::seconds(30),
    Span::seconds(60),
];

/// What to do for one service now.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Plan {
    /// In this order.
    pub steps: Vec<Step>,
    /// Why there is not more to do.
    pub waiting_on: Vec<Blocker>,
}

impl std::fmt::Display for Plan {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for step in &self.steps {
            writeln!(f, "- {step}")?;
        }
        for blocker in &self.waiting_on {
            writeln!(f, "… {blocker}")?;
        }
        Ok(())
    }
}

/// Chooses the steps.
pub fn plan(seen: &Seen, now: Timestamp) -> Plan {
    let mut plan = Plan::default();
    for task in &seen.tasks {
        match task.task.wanted {
            WantedTask::Drain { deadline, .. } => plan_drain(&mut plan, seen, task, deadline, now),
            WantedTask::Run => plan_running(&mut plan, seen, task, now),
        }
    }
    plan_commands(&mut plan, seen);
    if seen.service.destroyed_at.is_some() {
        // Their loop stops them; a network cannot go while they are on it.
        if !seen.jobs.is_empty() {
            plan.waiting_on.push(Blocker::JobRuns { runs: seen.jobs.clone() });
        } else if seen.tasks.is_empty() && seen.open.is_empty() && seen.commands.is_empty() {
            plan.steps.push(Step::Dismantle);
        }
        return plan;
    }
    if let Some(live) = seen.service.live {
        plan_replicas(&mut plan, seen, live, now);
    }
    plan
}

/// A release command's container stays until its deployment has recorded how it ended; removing it earlier could run
/// a migration twice after a crash.
fn plan_commands(plan: &mut Plan, seen: &Seen) {
    let needed = |command: &havre_core::id::DeploymentId| {
        seen.open.iter().any(|open| open.id == *command && matches!(open.state, State::Migrating { .. }))
    };
    let over = seen.commands.iter().filter(|command| !needed(command));
    plan.steps.extend(over.map(|command| Step::RemoveCommand { deployment: *command }));
}

/// A task that should go: wait for its requests, then stop and remove it.
fn plan_drain(plan: &mut Plan, seen: &Seen, task: &SeenTask, deadline: Timestamp, now: Timestamp) {
    let id = task.task.id;
    match task.engine {
        EngineState::Absent | EngineState::Created | EngineState::Exited { .. } => {
            plan.steps.push(Step::RemoveTask { task: id });
        }
        EngineState::Running { .. } => {
            let requests = seen.in_flight(&task.task);
            // The deadline cuts requests short, never an edge that may still send new ones: until every edge says that
            // it uses the new table, a task that once had traffic stays.
            let never_served = task.task.proven_at.is_none();
            let is_late = now >= deadline && (requests.is_some() || never_served);
            if requests == Some(0) || is_late {
                plan.steps.push(Step::StopTask { task: id });
            } else {
                plan.waiting_on.push(Blocker::InFlight { task: id, requests, deadline });
            }
        }
    }
}

/// A task that should run: is it still wanted, alive, healthy?
fn plan_running(plan: &mut Plan, seen: &Seen, task: &SeenTask, now: Timestamp) {
    let id = task.task.id;
    let release = task.task.release;
    if !seen.wants_tasks_of(release) {
        let destroyed = seen.service.destroyed_at.is_some();
        let reason = if destroyed { DrainReason::Destroyed } else { DrainReason::Unwanted };
        plan.steps.push(Step::DrainTask {
            task: id,
            deadline: drain_deadline(seen, task, now),
            by: None,
            reason,
        });
        return;
    }
    // Tasks of a release that is not live yet, or not any more, belong to their deployment.
    if seen.service.live != Some(release) {
        return;
    }
    match task.engine {
        EngineState::Exited { code, out_of_memory } => {
            plan.steps.push(Step::RecordExit { task: id, code, out_of_memory });
            plan.steps.push(Step::RemoveTask { task: id });
        }
        // Somebody removed the container of a serving task: it is replaced, never made again under the same name.
        EngineState::Absent if task.task.proven_at.is_some() => {
            plan.steps.push(Step::RemoveTask { task: id })
        }
        EngineState::Absent | EngineState::Created => plan_start(plan, seen, task, now),
        EngineState::Running { .. } if seen.paused.contains(&id) => {}
        EngineState::Running { .. } => plan_health(plan, seen, task, now),
    }
}

fn plan_start(plan: &mut Plan, seen: &Seen, task: &SeenTask, now: Timestamp) {
    let id = task.task.id;
    let others: Vec<_> = seen.tasks.iter().map(|other| other.task.id).filter(|other| *other != id).collect();
    // One writer per volume: whatever else is left of this service goes first.
    if seen.strategy() == Strategy::Recreate && !others.is_empty() {
        plan.waiting_on.push(Blocker::OldTasks { tasks: others });
    } else if let Some(until) = back_off(seen, now) {
        plan.waiting_on.push(Blocker::BackOff { until });
    } else {
        plan.steps.push(Step::StartTask { task: id });
    }
}

fn plan_health(plan: &mut Plan, seen: &Seen, task: &SeenTask, now: Timestamp) {
    let id = task.task.id;
    let proven = task.task.proven_at.is_some();
    match (seen.health(task, now), task.task.unhealthy_since) {
        (Health::Healthy, _) if !proven => plan.steps.push(Step::ProveTask { task: id }),
        (Health::Healthy, Some(_)) => plan.steps.push(Step::MarkRecovered { task: id }),
        (Health::Unhealthy { reason }, None) if proven => {
            plan.steps.push(Step::MarkUnhealthy { task: id, reason });
        }
        (Health::Unhealthy { .. }, Some(since)) if now.since(since) >= REPLACE_AFTER.duration() => {
            plan.steps.push(drain_unhealthy(seen, task, now));
        }
        (Health::Unhealthy { reason }, _) if !proven => {
            if now.since(task.task.created_at) >= start_timeout(seen, task) {
                plan.steps.push(drain_unhealthy(seen, task, now));
            } else {
                plan.waiting_on.push(Blocker::TaskNotHealthy { task: id, probe: reason });
            }
        }
        _ => {}
    }
}

fn drain_unhealthy(seen: &Seen, task: &SeenTask, now: Timestamp) -> Step {
    let deadline = drain_deadline(seen, task, now);
    Step::DrainTask { task: task.task.id, deadline, by: None, reason: DrainReason::Unhealthy }
}

/// Every slot of the live release has one task, and no task is beyond them.
fn plan_replicas(plan: &mut Plan, seen: &Seen, live: ReleaseId, now: Timestamp) {
    let is_site = seen.live_spec().is_none_or(|spec| spec.tasks().is_none());
    if is_site || seen.is_recreating().is_some() {
        return;
    }
    let wanted = seen.service.replicas;
    let filled: BTreeSet<u32> = seen.running(live).map(|seen| seen.task.slot).collect();
    let missing: Vec<u32> = (0..wanted).filter(|slot| !filled.contains(slot)).collect();
    // One writer per volume: nothing new before everything else is gone.
    let others_block =
        seen.strategy() == Strategy::Recreate && seen.tasks.iter().any(|t| !is_current(t, live));
    if !missing.is_empty() {
        match back_off(seen, now) {
            Some(until) => plan.waiting_on.push(Blocker::BackOff { until }),
            None if others_block => {
                let tasks = seen.tasks.iter().map(|seen| seen.task.id).collect();
                plan.waiting_on.push(Blocker::OldTasks { tasks });
            }
            None => {
                plan.steps.extend(missing.into_iter().map(|slot| Step::AllocateTask { release: live, slot }));
            }
        }
    }
    plan_surplus(plan, seen, live, now);
}

fn is_current(task: &SeenTask, live: ReleaseId) -> bool {
    task.task.release == live && task.task.wanted.is_run()
}

/// An earlier step of the same plan already removes or drains it.
fn is_leaving(plan: &Plan, task: &SeenTask) -> bool {
    plan.steps.iter().any(|step| match step {
        Step::RemoveTask { task: id } | Step::DrainTask { task: id, .. } => *id == task.task.id,
        _ => false,
    })
}

fn plan_surplus(plan: &mut Plan, seen: &Seen, live: ReleaseId, now: Timestamp) {
    let wanted = seen.service.replicas;
    let healthy =
        |task: &SeenTask| task.task.proven_at.is_some() && seen.health(task, now) == Health::Healthy;
    let one_stays = wanted == 0 || seen.running(live).any(|task| task.task.slot < wanted && healthy(task));
    let surplus = seen.running(live).filter(|task| task.task.slot >= wanted && !is_leaving(plan, task));
    for task in surplus.collect::<Vec<_>>() {
        if !one_stays && seen.may_serve(task, now) {
            plan.waiting_on.push(Blocker::LastHealthy { task: task.task.id });
            continue;
        }
        plan.steps.push(Step::DrainTask {
            task: task.task.id,
            deadline: drain_deadline(seen, task, now),
            by: None,
            reason: DrainReason::ScaledDown,
        });
    }
}

/// A task that never had traffic has nothing to finish.
pub fn drain_deadline(seen: &Seen, task: &SeenTask, now: Timestamp) -> Timestamp {
    let spec = seen.releases.get(&task.task.release).map(|release| &release.spec);
    match task.task.proven_at {
        Some(_) => now.after(spec.map_or(Duration::ZERO, |spec| spec.drain().duration())),
        None => now,
    }
}

/// Longest wait for a task to become healthy.
pub fn start_timeout(seen: &Seen, task: &SeenTask) -> Duration {
    let spec = seen.releases.get(&task.task.release).map(|release| &release.spec);
    spec.and_then(|spec| spec.tasks()).map_or(Duration::ZERO, |work| work.start_timeout.duration())
}

/// When the next attempt may start, `None` for now. A reboot ends all tasks at once; that counts as one failure.
fn back_off(seen: &Seen, now: Timestamp) -> Option<Timestamp> {
    let failures = seen.failures?;
    let rounds = failures.count.saturating_sub(1) / seen.service.replicas.max(1);
    let index = usize::try_from(rounds).unwrap_or(usize::MAX).min(BACK_OFF.len() - 1);
    let until = failures.last.after(BACK_OFF[index].duration());
    // A clock that jumped back must not hold a service down for longer than the table says.
    let longest = now.after(BACK_OFF[BACK_OFF.len() - 1].duration());
    (now < until && until <= longest).then_some(until)
}
