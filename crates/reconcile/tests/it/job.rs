//! Jobs: at their time, one at a time, again after a failure, stopped when they take too long, and neither lost nor doubled by
//! restarts, outages and clocks.

use havre_core::event::Actor;
use havre_core::id::{JobRunId, ServiceId};
use havre_core::job::JobRun;
use havre_core::job::state::State;
use havre_core::name::JobName;
use havre_core::quantity::Span;
use havre_core::service::spec::ServiceSpec;
use havre_core::task::EngineState;
use havre_core::task::spec::Purpose;
use havre_core::time::Timestamp;
use havre_engine::Engine;
use havre_engine::error::EngineError;
use havre_engine::fake::knobs::Operation;
use havre_engine::fake::script::Script;
use havre_engine::log::LogSource;
use havre_engine::task::EngineTask;
use havre_reconcile::job;
use serde_json::{Value, json};

use crate::world::{Control, Outside, spec, work};

fn name() -> JobName {
    "cleanup".parse().unwrap()
}

/// A service with one job, with what these keys say.
pub(crate) fn with_job(keys: Value) -> ServiceSpec {
    let mut job = json!({
        "schedule": "0 * * * *", "command": ["cleanup"], "timeout": "30m", "retries": 0, "missed": "run_once", "keep": 20,
    });
    for (key, value) in keys.as_object().unwrap() {
        job[key] = value.clone();
    }
    let mut spec = spec(work("1"));
    spec.jobs.insert(name(), serde_json::from_value(job).unwrap());
    spec
}

/// An instant of 2026-11-24.
pub(crate) fn at(clock: &str) -> Timestamp {
    Timestamp::parse(&format!("2026-11-24T{clock}Z")).unwrap()
}

/// A live release with the job; it is 02:59:30, and the loop has seen it.
pub(crate) async fn begin(outside: &Outside, keys: Value) -> (Control, ServiceId) {
    outside.add_image("1", Script::runs());
    let control = outside.control();
    let id = control.apply(with_job(keys)).await;
    control.build(id).await;
    control.settle().await;
    outside.clock.set(at("02:59:30"));
    rounds(&control).await;
    (control, id)
}

/// Rounds of the loop until nothing changes; errors are what the loop would log.
pub(crate) async fn rounds(control: &Control) {
    let seen = async || {
        let last = control.world.store.read(|view| view.last_event()).await.unwrap();
        (last, control.outside.engine.done().len())
    };
    // The engine's events say so at once when a task has ended.
    control.world.engine_changed();
    for _ in 0..50 {
        let before = seen().await;
        if let Err(error) = job::activate(&control.world).await {
            println!("activate: {error:?}");
        }
        control.background().await;
        if before == seen().await {
            return;
        }
    }
    panic!("the jobs do not come to rest: {:?}", control.outside.engine.done());
}

pub(crate) async fn runs(control: &Control, id: ServiceId) -> Vec<JobRun> {
    control.world.store.read(move |view| view.list_job_runs(id, &name(), 100)).await.unwrap()
}

async fn states(control: &Control, id: ServiceId) -> Vec<&'static str> {
    runs(control, id).await.iter().map(|run| run.state.name()).collect()
}

async fn last(control: &Control, id: ServiceId) -> JobRun {
    runs(control, id).await.remove(0)
}

/// The engine's tasks of jobs.
pub(crate) async fn tasks(outside: &Outside) -> Vec<EngineTask> {
    let mut tasks = outside.engine.list_tasks().await.unwrap();
    tasks.retain(|task| matches!(task.purpose, Purpose::Job { .. }));
    tasks
}

/// The one task of a job prints a line and ends.
async fn ends(outside: &Outside, code: i64) {
    let tasks = tasks(outside).await;
    assert_eq!(tasks.len(), 1, "{tasks:?}");
    assert!(matches!(tasks[0].state, EngineState::Running { .. }), "{tasks:?}");
    outside.engine.print(&tasks[0].name, LogSource::Stdout, "at work");
    outside.engine.exit_task(&tasks[0].name, code);
}

/// Names of tasks of jobs the engine was asked to start.
fn started(outside: &Outside) -> Vec<String> {
    let done = outside.engine.done().into_iter();
    let started =
        done.filter(|done| done.operation == Operation::EnsureTask && done.subject.contains("-cleanup-"));
    started.map(|done| done.subject).collect()
}

/// What events say of jobs.
async fn story(control: &Control) -> Vec<String> {
    let events = control.world.store.read(|view| view.events(0, None, 1000)).await.unwrap();
    events.iter().map(|event| event.kind.to_string()).filter(|text| text.starts_with("job ")).collect()
}

async fn ask(control: &Control, id: ServiceId) -> JobRunId {
    let now = control.world.now();
    control
        .world
        .store
        .write(now, Actor::Local, move |tx| Ok(tx.request_job_run(id, &name())?.id))
        .await
        .unwrap()
}

#[tokio::test]
async fn a_job_runs_at_its_time_and_leaves_its_log() {
    let outside = Outside::new();
    let (control, id) = begin(&outside, json!({})).await;
    assert_eq!(runs(&control, id).await, [], "nothing is due");
    outside.clock.set(at("03:00:00"));
    rounds(&control).await;
    assert_eq!(states(&control, id).await, ["running"]);
    assert_eq!(started(&outside), ["havre-j1-1-cleanup-api-production-dropit"]);
    let again = job::activate(&control.world).await.unwrap();
    assert_eq!(again, Some(at("03:30:00")), "its time limit comes before the next hour");

    ends(&outside, 0).await;
    rounds(&control).await;
    assert_eq!(last(&control, id).await.state, State::Succeeded { at: at("03:00:00") });
    assert_eq!(tasks(&outside).await, [], "its task is gone");
    let log =
        std::fs::read_to_string(outside.path("job-logs").join(id.to_string()).join("j1-1.log")).unwrap();
    assert!(log.ends_with(" out at work\n"), "{log}");
    assert_eq!(job::activate(&control.world).await.unwrap(), Some(at("04:00:00")));
    assert_eq!(
        story(&control).await,
        [
            "job cleanup: j1 of 2026-11-24T03:00:00.000Z planned",
            "job cleanup: j1 is starting (attempt 1)",
            "job cleanup: j1 is running",
            "job cleanup: j1 is succeeded",
        ]
    );
}

#[tokio::test]
async fn runs_never_overlap() {
    let outside = Outside::new();
    let (control, id) = begin(&outside, json!({ "timeout": "5h" })).await;
    for clock in ["03:00:00", "04:00:00", "05:00:00"] {
        outside.clock.set(at(clock));
        rounds(&control).await;
    }
    assert_eq!(states(&control, id).await, ["skipped", "skipped", "running"]);
    let now = control.world.now();
    let asked = control.world.store.write(now, Actor::Local, move |tx| tx.request_job_run(id, &name())).await;
    assert!(asked.is_err(), "also when somebody asks");
    ends(&outside, 0).await;
    rounds(&control).await;
    outside.clock.set(at("06:00:00"));
    rounds(&control).await;
    assert_eq!(states(&control, id).await, ["running", "skipped", "skipped", "succeeded"]);
    assert_eq!(started(&outside).len(), 2);
}

#[tokio::test]
async fn a_run_that_fails_is_tried_again_and_keeps_each_log() {
    let outside = Outside::new();
    let (control, id) = begin(&outside, json!({ "retries": 1 })).await;
    outside.clock.set(at("03:00:00"));
    rounds(&control).await;
    ends(&outside, 3).await;
    rounds(&control).await;
    assert_eq!((states(&control, id).await, tasks(&outside).await), (vec!["waiting"], vec![]));
    let waiting = control.world.store.read(|view| view.waiting("job", 1)).await.unwrap();
    assert_eq!(
        waiting.as_deref(),
        Some("next attempt at 2026-11-24T03:00:10.000Z: its command ended with code 3")
    );
    outside.clock.advance(Span::seconds(10).duration());
    rounds(&control).await;
    ends(&outside, 4).await;
    rounds(&control).await;
    let run = last(&control, id).await;
    assert_eq!((run.state.name(), run.state.exit_code(), run.attempt), ("failed", Some(4), 2));
    let folder = outside.path("job-logs").join(id.to_string());
    assert!(folder.join("j1-1.log").exists() && folder.join("j1-2.log").exists());
    assert_eq!(started(&outside).len(), 2);
    assert_eq!(control.world.store.read(|view| view.waiting("job", 1)).await.unwrap(), None);
}

#[tokio::test]
async fn a_run_that_takes_too_long_is_stopped() {
    let outside = Outside::new();
    let (control, id) = begin(&outside, json!({})).await;
    outside.clock.set(at("03:00:00"));
    rounds(&control).await;
    outside.clock.set(at("03:29:59"));
    rounds(&control).await;
    assert_eq!(states(&control, id).await, ["running"]);
    outside.clock.set(at("03:30:00"));
    rounds(&control).await;
    assert_eq!((states(&control, id).await, tasks(&outside).await), (vec!["timed_out"], vec![]));
    assert_eq!(outside.engine.count(Operation::StopTask), 1);
}

#[tokio::test]
async fn a_restart_of_control_goes_on_with_the_same_task() {
    let outside = Outside::new();
    let (control, id) = begin(&outside, json!({})).await;
    outside.clock.set(at("03:00:00"));
    rounds(&control).await;
    drop(control);
    let control = outside.control();
    rounds(&control).await;
    ends(&outside, 0).await;
    drop(control);
    // It ended while nobody looked.
    let control = outside.control();
    rounds(&control).await;
    assert_eq!((states(&control, id).await, started(&outside).len()), (vec!["succeeded"], 1));
    assert_eq!(tasks(&outside).await, []);
}

#[tokio::test]
async fn what_was_missed_while_control_was_away_runs_once() {
    let outside = Outside::new();
    let (control, id) = begin(&outside, json!({})).await;
    drop(control);
    outside.clock.set(at("09:30:00"));
    let control = outside.control();
    rounds(&control).await;
    let run = last(&control, id).await;
    assert_eq!((run.planned_at, run.missed, run.state.name()), (at("09:00:00"), 6, "running"));
    assert_eq!(runs(&control, id).await.len(), 1);
}

#[tokio::test]
async fn what_was_missed_is_left_out_where_that_is_wanted() {
    let outside = Outside::new();
    let (control, id) = begin(&outside, json!({ "missed": "skip" })).await;
    drop(control);
    outside.clock.set(at("09:30:00"));
    let control = outside.control();
    rounds(&control).await;
    assert_eq!((states(&control, id).await, started(&outside).len()), (vec!["skipped"], 0));
    assert_eq!(
        story(&control).await,
        ["job cleanup: j1 of 2026-11-24T09:00:00.000Z skipped (with 6 missed before it): \
             its time went by while nothing could run"]
    );
}

#[tokio::test]
async fn a_clock_that_jumps_back_runs_nothing_twice() {
    let outside = Outside::new();
    let (control, id) = begin(&outside, json!({})).await;
    outside.clock.set(at("03:00:10"));
    rounds(&control).await;
    ends(&outside, 0).await;
    rounds(&control).await;
    for clock in ["02:30:00", "02:59:59", "03:00:00", "03:00:11"] {
        outside.clock.set(at(clock));
        rounds(&control).await;
    }
    assert_eq!((states(&control, id).await, started(&outside).len()), (vec!["succeeded"], 1));
    // Much further back the clock had been wrong; what had its run has none again all the same.
    outside.clock.set(at("00:30:00"));
    rounds(&control).await;
    outside.clock.set(at("01:00:00"));
    rounds(&control).await;
    ends(&outside, 0).await;
    rounds(&control).await;
    outside.clock.set(at("03:00:00"));
    rounds(&control).await;
    let planned: Vec<Timestamp> = runs(&control, id).await.iter().map(|run| run.planned_at).collect();
    assert_eq!(planned, [at("01:00:00"), at("03:00:00")]);
}

#[tokio::test]
async fn somebody_asks_for_a_run_and_cancels_it() {
    let outside = Outside::new();
    let (control, id) = begin(&outside, json!({ "schedule": null, "retries": 3 })).await;
    let run = ask(&control, id).await;
    rounds(&control).await;
    assert_eq!((states(&control, id).await, tasks(&outside).await.len()), (vec!["running"], 1));
    let now = control.world.now();
    control.world.store.write(now, Actor::Local, move |tx| tx.request_job_cancel(run)).await.unwrap();
    rounds(&control).await;
    assert_eq!((states(&control, id).await, tasks(&outside).await), (vec!["cancelled"], vec![]));
}

#[tokio::test]
async fn an_engine_that_is_away_delays_a_run_and_loses_none() {
    let outside = Outside::new();
    let (control, id) = begin(&outside, json!({})).await;
    outside.engine.set_reachable(false);
    control.world.engine_changed();
    outside.clock.set(at("03:00:00"));
    rounds(&control).await;
    assert_eq!(states(&control, id).await, ["waiting"]);
    outside.engine.set_reachable(true);
    rounds(&control).await;
    assert_eq!(states(&control, id).await, ["running"]);
}

#[tokio::test]
async fn a_lost_answer_starts_no_second_task() {
    let outside = Outside::new();
    let (control, id) = begin(&outside, json!({})).await;
    let lost =
        EngineError::Failed { what: "start".to_owned(), message: "the connection broke off".to_owned() };
    outside.engine.lose_next_answer(Operation::EnsureTask, lost);
    outside.clock.set(at("03:00:00"));
    rounds(&control).await;
    assert_eq!((states(&control, id).await, tasks(&outside).await.len()), (vec!["running"], 1));
    assert_eq!(started(&outside).len(), 1);
}

#[tokio::test]
async fn a_command_that_cannot_be_run_fails_at_once() {
    let outside = Outside::new();
    let (control, id) = begin(&outside, json!({})).await;
    let broken = EngineError::CannotStart { name: "x".to_owned(), message: "no such program".to_owned() };
    outside.engine.fail_next(Operation::EnsureTask, broken);
    outside.clock.set(at("03:00:00"));
    rounds(&control).await;
    assert_eq!(
        story(&control).await.last().unwrap(),
        "job cleanup: j1 failed: it could not be started: could not start x: no such program"
    );
    assert_eq!(states(&control, id).await, ["failed"]);
}

#[tokio::test]
async fn logs_go_with_their_runs() {
    let outside = Outside::new();
    let (control, id) = begin(&outside, json!({ "keep": 1 })).await;
    for clock in ["03:00:00", "04:00:00", "05:00:00"] {
        outside.clock.set(at(clock));
        rounds(&control).await;
        ends(&outside, 0).await;
        rounds(&control).await;
    }
    let folder = std::fs::read_dir(outside.path("job-logs").join(id.to_string())).unwrap();
    let names: Vec<_> = folder.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    assert_eq!((states(&control, id).await.len(), names), (1, vec!["j3-1.log".to_owned()]));
}

#[tokio::test]
async fn a_release_without_the_job_forgets_its_schedule() {
    let outside = Outside::new();
    let (control, id) = begin(&outside, json!({})).await;
    control.apply(spec(work("1"))).await;
    control.build(id).await;
    control.settle().await;
    outside.clock.set(at("05:00:00"));
    rounds(&control).await;
    assert_eq!(runs(&control, id).await, []);
    assert_eq!(control.world.store.read(|view| view.list_job_cursors()).await.unwrap(), []);
    // Back again, it has missed nothing.
    control.apply(with_job(json!({}))).await;
    control.build(id).await;
    control.settle().await;
    outside.clock.set(at("07:30:00"));
    rounds(&control).await;
    assert_eq!(runs(&control, id).await, []);
    outside.clock.set(at("08:00:00"));
    rounds(&control).await;
    assert_eq!(states(&control, id).await, ["running"]);
}

#[tokio::test]
async fn a_destroyed_service_stops_its_runs_first() {
    let outside = Outside::new();
    let (control, id) = begin(&outside, json!({})).await;
    outside.clock.set(at("03:00:00"));
    rounds(&control).await;
    assert_eq!(tasks(&outside).await.len(), 1);
    let now = control.world.now();
    control.world.store.write(now, Actor::Local, move |tx| tx.request_destroy(id, now)).await.unwrap();
    for _ in 0..20 {
        control.activate().await;
        control.edge_catches_up().await;
        rounds(&control).await;
        outside.clock.advance(Span::seconds(5).duration());
    }
    assert_eq!(outside.engine.list_tasks().await.unwrap(), []);
    assert_eq!(control.world.store.read(|view| view.list_environments()).await.unwrap(), []);
    assert_eq!(outside.engine.network_names(), ["havre-edge"]);
}
