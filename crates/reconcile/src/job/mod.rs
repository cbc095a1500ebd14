//! The loop of jobs: gives instants of schedules their runs, and moves each run on until it has ended. Every choice is in
//! `havre_core::job`. Tests: `tests/it/job.rs`, `tests/it/job_restart.rs`.
//!
//! A run has one step under way at most; runs never wait for each other. Where control is killed, the labels of a task say which
//! attempt of which run it is, so that the next one goes on with it instead of starting another.

mod execute;
pub mod log;

use std::collections::{BTreeSet, HashSet};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use havre_core::event::Actor;
use havre_core::id::{JobRunId, ReleaseId, ServiceId};
use havre_core::job::JobRun;
use havre_core::job::spec::JobSpec;
use havre_core::name::JobName;
use havre_core::release::Release;
use havre_core::service::Service;
use havre_core::task::EngineState;
use havre_core::task::spec::Purpose;
use havre_core::time::Timestamp;
use havre_decide::job::check::{check_run, check_schedule};
use havre_decide::job::plan::{RunPlan, RunSeen, Seen, plan_run, plan_schedule};
use havre_engine::error::EngineError;
use havre_engine::task::EngineTask;
use havre_store::{Environment, LiveJobs, StoreError, Tx, View};
use tokio_util::sync::CancellationToken;

use crate::deployment::chain;
use crate::service::record_waiting;
use crate::world::World;

/// Everything is looked at again this often, whatever was or was not heard.
const RESYNC: Duration = Duration::from_secs(30);
/// Changes that come together are looked at together.
const GATHER: Duration = Duration::from_millis(100);
/// Pause after an error of the store or the engine.
const RETRY: Duration = Duration::from_secs(5);
/// Pause before a run is tried again after an error.
const RUN_RETRY: Duration = Duration::from_secs(1);

/// Why the loop could not go on; the next round tries again.
#[derive(Debug, thiserror::Error)]
pub enum JobError {
    /// The store failed.
    #[error("could not read or record runs of jobs")]
    Store(#[from] StoreError),
    /// The engine does not answer.
    #[error("could not list the tasks of jobs")]
    Engine(#[from] EngineError),
}

/// What the loop remembers in memory only.
#[derive(Debug, Default)]
pub(crate) struct Desk {
    /// Runs with a step under way.
    busy: Mutex<BTreeSet<JobRunId>>,
    /// No run is open, and the engine was seen without a task of any: it need not be asked.
    is_idle: AtomicBool,
}

impl Desk {
    fn begin(&self, id: JobRunId) -> bool {
        self.busy.lock().expect("no holder panics").insert(id)
    }

    fn end(&self, id: JobRunId) {
        self.busy.lock().expect("no holder panics").remove(&id);
    }

    fn is_busy(&self, id: JobRunId) -> bool {
        self.busy.lock().expect("no holder panics").contains(&id)
    }
}

/// Runs the loop until `stop`.
pub async fn run(world: World, stop: CancellationToken) {
    let mut changes = world.store.changes();
    loop {
        changes.mark_unchanged();
        let pause = match activate(&world).await {
            Ok(again) => again.map_or(RESYNC, |at| at.since(world.now()).min(RESYNC)),
            Err(error) => {
                tracing::warn!(error = %chain(&error), "could not move the jobs on; trying again");
                RETRY
            }
        };
        tokio::select! {
            () = stop.cancelled() => return,
            _ = changes.changed() => {}
            () = world.jobs_wake.notified() => {}
            () = world.clock.sleep(pause.max(GATHER)) => {}
        }
        world.clock.sleep(GATHER).await;
    }
}

/// One round; when to look again if nothing happens before.
///
/// # Errors
/// See [`JobError`]; what was recorded before stays recorded.
pub async fn activate(world: &World) -> Result<Option<Timestamp>, JobError> {
    let mut again = plan_schedules(world).await?;
    let has_open = world.store.read(|view| Ok(!view.list_open_job_runs()?.is_empty())).await?;
    if !has_open && world.jobs.is_idle.load(Ordering::SeqCst) {
        return Ok(again);
    }
    // Listed before rows are read: a task that is begun after this has its row, and one that has ended is still in the list.
    let engine = world.engine_tasks().await?;
    let subjects = world.store.read(observe).await?;
    let wanted: HashSet<Purpose> = subjects.iter().filter_map(Subject::wanted_task).collect();
    for subject in &subjects {
        if !world.jobs.is_busy(subject.run.id) {
            again = earliest(again, advance(world, subject, see(subject, &engine, &wanted)).await?);
        }
    }
    let leftovers: Vec<&EngineTask> = engine.iter().filter(|task| is_leftover(task, &wanted)).collect();
    world.jobs.is_idle.store(subjects.is_empty() && leftovers.is_empty(), Ordering::SeqCst);
    for leftover in leftovers {
        remove(world, leftover);
    }
    Ok(again)
}

fn earliest(one: Option<Timestamp>, other: Option<Timestamp>) -> Option<Timestamp> {
    match (one, other) {
        (Some(one), Some(other)) => Some(one.min(other)),
        (one, other) => one.or(other),
    }
}

/// Records what is due; when the next instant of any schedule comes.
async fn plan_schedules(world: &World) -> Result<Option<Timestamp>, StoreError> {
    let now = world.now();
    let (is_due, next) = world.store.read(move |view| look(view, now)).await?;
    if is_due {
        // Chosen again in the transaction that records it: a run that was asked for meanwhile counts.
        world.store.write(now, Actor::Havre, move |tx| record(tx, now)).await?;
    }
    Ok(next)
}

fn look(view: &View<'_>, now: Timestamp) -> Result<(bool, Option<Timestamp>), StoreError> {
    let live = view.list_live_jobs()?;
    let mut is_due = !stale(view, &live)?.is_empty();
    let mut next = None;
    for jobs in &live {
        for (name, spec) in &jobs.jobs {
            is_due |= !plan_schedule(&see_job(view, jobs.service, name, spec)?, now).is_empty();
            next = earliest(next, spec.next_after(now));
        }
    }
    Ok((is_due, next))
}

fn record(tx: &mut Tx<'_>, now: Timestamp) -> Result<(), StoreError> {
    let live = tx.list_live_jobs()?;
    for (service, job) in stale(tx, &live)? {
        tx.forget_job_cursor(service, &job)?;
    }
    for jobs in &live {
        for (name, spec) in &jobs.jobs {
            let seen = see_job(tx, jobs.service, name, spec)?;
            let plan = plan_schedule(&seen, now);
            if let Some(violation) = check_schedule(&plan, &seen, now).first() {
                tracing::error!(service = %jobs.service, job = %name, %violation, "refused a plan that breaks a law");
                continue;
            }
            if let Some(run) = &plan.run {
                tx.plan_job_run(jobs.service, name, jobs.release, run)?;
            }
            if let Some(cursor) = &plan.cursor {
                tx.set_job_cursor(jobs.service, name, cursor)?;
            }
        }
    }
    Ok(())
}

/// Schedules that no live release has any more.
fn stale(view: &View<'_>, live: &[LiveJobs]) -> Result<Vec<(ServiceId, JobName)>, StoreError> {
    let is_live = |service: ServiceId, name: &JobName| {
        let spec = live.iter().find(|jobs| jobs.service == service).and_then(|jobs| jobs.jobs.get(name));
        spec.is_some_and(|spec| spec.schedule.is_some())
    };
    let cursors = view.list_job_cursors()?.into_iter();
    Ok(cursors
        .map(|(service, name, _)| (service, name))
        .filter(|(service, name)| !is_live(*service, name))
        .collect())
}

fn see_job(view: &View<'_>, service: ServiceId, name: &JobName, spec: &JobSpec) -> Result<Seen, StoreError> {
    Ok(Seen {
        spec: spec.clone(),
        cursor: view.find_job_cursor(service, name)?,
        open: view.find_open_job_run(service, name)?.map(|run| run.id),
    })
}

/// A run that has not ended, with the rows it belongs to.
#[derive(Debug, Clone)]
pub(crate) struct Subject {
    pub(crate) run: JobRun,
    pub(crate) service: Service,
    pub(crate) environment: Environment,
    /// The one its last attempt ran, or its first one will.
    pub(crate) release: Release,
    /// The live one, where that has the job.
    live: Option<ReleaseId>,
}

impl Subject {
    /// The task its present attempt has, or may have.
    fn wanted_task(&self) -> Option<Purpose> {
        self.run.state.has_task().then(|| self.task())
    }

    fn task(&self) -> Purpose {
        Purpose::Job { run: self.run.id, attempt: self.run.attempt }
    }
}

fn observe(view: &View<'_>) -> Result<Vec<Subject>, StoreError> {
    let mut subjects = Vec::new();
    for run in view.list_open_job_runs()? {
        let service = view.get_service(run.service)?;
        let live = view.find_live_jobs(run.service)?.filter(|live| live.jobs.contains_key(&run.job));
        subjects.push(Subject {
            environment: view.get_environment(service.environment)?,
            release: view.get_release(run.release)?,
            live: live.map(|live| live.release),
            service,
            run,
        });
    }
    Ok(subjects)
}

fn see(subject: &Subject, engine: &[EngineTask], wanted: &HashSet<Purpose>) -> RunSeen {
    let task = engine.iter().find(|task| task.purpose == subject.task());
    let of_service = |task: &&EngineTask| task.service == subject.run.service;
    RunSeen {
        run: subject.run.clone(),
        spec: subject.release.spec.jobs.get(&subject.run.job).cloned(),
        live: subject.live,
        is_destroyed: subject.service.destroyed_at.is_some(),
        task: task.map_or(EngineState::Absent, |task| task.state.clone()),
        has_leftover: engine.iter().filter(of_service).any(|task| is_leftover(task, wanted)),
    }
}

fn is_leftover(task: &EngineTask, wanted: &HashSet<Purpose>) -> bool {
    matches!(task.purpose, Purpose::Job { .. }) && !wanted.contains(&task.purpose)
}

/// One run; when it wants to be looked at again.
async fn advance(world: &World, subject: &Subject, seen: RunSeen) -> Result<Option<Timestamp>, StoreError> {
    let run = seen.run.id;
    let plan = plan_run(&seen, world.now());
    if let Some(violation) = check_run(&plan, &seen).first() {
        tracing::error!(%run, %violation, "refused to execute a plan that breaks a law");
        return Ok(None);
    }
    if plan.steps.is_empty() {
        let text: Vec<String> = plan.waiting_on.iter().map(ToString::to_string).collect();
        record_waiting(world, "job", run.row(), text.join("; ")).await?;
    }
    if plan.steps.is_empty() && plan.next.is_none() {
        return Ok(plan.look_again_at);
    }
    start(world, subject.clone(), seen, plan);
    Ok(None)
}

fn start(world: &World, subject: Subject, seen: RunSeen, plan: RunPlan) {
    let run = seen.run.id;
    if !world.jobs.begin(run) {
        return;
    }
    let world = world.clone();
    world.clone().tracker.spawn(async move {
        // A task of its own, so that a panic is contained and the run is tried again.
        let attempt = tokio::spawn({
            let world = world.clone();
            async move { execute::execute(&world, &subject, &seen, plan).await }
        });
        let failed = match attempt.await {
            Ok(Ok(())) => None,
            Ok(Err(message)) => Some(message),
            Err(error) => Some(format!("the step broke off: {error}")),
        };
        if let Some(error) = failed {
            tracing::warn!(%run, %error, "could not move a run of a job on; trying again");
            world.clock.sleep(RUN_RETRY).await;
        }
        finish(&world, run);
    });
}

/// Removes a task that nothing wants any more; its log was kept before.
fn remove(world: &World, leftover: &EngineTask) {
    let Purpose::Job { run, .. } = leftover.purpose else { return };
    if !world.jobs.begin(run) {
        return;
    }
    let (world, name) = (world.clone(), leftover.name.clone());
    world.clone().tracker.spawn(async move {
        if let Err(error) = world.engine.remove_task(&name).await {
            tracing::warn!(%run, %error, "could not remove the task of a job; trying again");
            world.clock.sleep(RUN_RETRY).await;
        }
        finish(&world, run);
    });
}

fn finish(world: &World, run: JobRunId) {
    world.jobs.end(run);
    // Also wakes the loop of the service, which waits for such tasks when it goes.
    world.engine_changed();
}
