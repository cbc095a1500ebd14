//! Jobs: which are live, how far their schedules have been dealt with, and runs that neither overlap nor come twice.

use havre_core::deployment::Kind;
use havre_core::id::{JobRunId, ReleaseId, ServiceId};
use havre_core::job::state::{FailureReason, SkipReason, State};
use havre_core::job::{Cursor, Trigger};
use havre_core::name::JobName;
use havre_core::service::spec::ServiceSpec;
use havre_decide::job::plan::Planned;
use havre_store::{NewRelease, StoreError};

use crate::world::{World, apply, at, image, tasks};

fn name() -> JobName {
    "cleanup".parse().unwrap()
}

fn with_job(keep: u32) -> ServiceSpec {
    let mut spec = tasks("api", 2, &[]);
    let job = serde_json::json!({
        "schedule": "0 3 * * *", "command": ["cleanup"], "timeout": "1h", "retries": 1, "missed": "run_once", "keep": keep,
    });
    spec.jobs.insert(name(), serde_json::from_value(job).unwrap());
    spec
}

/// A new release with this specification, live.
async fn deploy(world: &World, service: ServiceId, spec: ServiceSpec) -> ReleaseId {
    world
        .write(1, move |tx| {
            let new = NewRelease {
                service,
                artifact: image(),
                spec,
                revision: 1,
                build: None,
                commit: String::new(),
            };
            let release = tx.create_release(new)?.id;
            let deployment = tx.create_deployment(service, release, Kind::Deploy)?.id;
            tx.go_live(deployment, at(1))?;
            Ok(release)
        })
        .await
}

/// A service whose live release has the job.
async fn live(keep: u32) -> (World, ServiceId, ReleaseId) {
    let world = World::new();
    let service = world.write(0, move |tx| Ok(apply(tx, with_job(keep))?.0.id)).await;
    let release = deploy(&world, service, with_job(keep)).await;
    (world, service, release)
}

async fn plan(world: &World, service: ServiceId, seconds: i64, skip: Option<SkipReason>) -> Option<JobRunId> {
    world
        .write(seconds, move |tx| {
            let release = tx.find_live_jobs(service)?.unwrap().release;
            tx.plan_job_run(service, &name(), release, &Planned { planned_at: at(seconds), missed: 0, skip })
        })
        .await
}

async fn set(world: &World, id: JobRunId, from: State, to: State) -> Result<(), StoreError> {
    world.try_write(5, move |tx| tx.set_job_run_state(id, &from, to)).await
}

/// What events say of jobs.
async fn told(world: &World) -> Vec<String> {
    world.story().await.into_iter().filter(|text| text.starts_with("job ")).collect()
}

fn waiting(seconds: i64) -> State {
    State::Waiting { not_before: at(seconds), after: None }
}

#[tokio::test]
async fn the_jobs_of_live_releases_are_known() {
    let world = World::new();
    let service = world.write(0, |tx| Ok(apply(tx, with_job(20))?.0.id)).await;
    world.write(0, |tx| Ok(apply(tx, tasks("other", 1, &[]))?.0.id)).await;
    assert_eq!(world.store.read(|view| view.list_live_jobs()).await.unwrap(), [], "nothing is live");
    let release = deploy(&world, service, with_job(20)).await;
    let found = world.store.read(|view| view.list_live_jobs()).await.unwrap();
    assert_eq!(found.len(), 1);
    assert_eq!((found[0].service, found[0].release), (service, release));
    assert_eq!(found[0].place.to_string(), "dropit/production/api");
    assert_eq!(found[0].jobs, with_job(20).jobs);
    deploy(&world, service, tasks("api", 2, &[])).await;
    assert_eq!(
        world.store.read(|view| view.list_live_jobs()).await.unwrap(),
        [],
        "the live release has none"
    );
    deploy(&world, service, with_job(20)).await;
    world.write(9, move |tx| tx.request_destroy(service, at(9))).await;
    assert_eq!(world.store.read(|view| view.list_live_jobs()).await.unwrap(), [], "it is on its way out");
}

#[tokio::test]
async fn a_run_from_its_plan_to_its_end() {
    let (world, service, release) = live(20).await;
    let id = plan(&world, service, 10, None).await.unwrap();
    let run = world.store.read(move |view| view.get_job_run(id)).await.unwrap();
    assert_eq!(
        (run.trigger, run.planned_at, run.attempt, run.state),
        (Trigger::Schedule, at(10), 0, waiting(10))
    );
    world.write(11, move |tx| tx.begin_job_attempt(id, &waiting(10), release)).await;
    let starting = State::Starting { since: at(11) };
    let run = world.store.read(move |view| view.get_job_run(id)).await.unwrap();
    assert_eq!((run.attempt, run.started_at, &run.state), (1, Some(at(11)), &starting));

    let failed = FailureReason::Exited { exit: 3, out_of_memory: false };
    let again = State::Waiting { not_before: at(20), after: Some(failed.clone()) };
    set(&world, id, starting.clone(), again.clone()).await.unwrap();
    let error = set(&world, id, starting, State::Cancelled { at: at(12) }).await.unwrap_err();
    assert_eq!(error.to_string(), "j1 changed meanwhile: it is waiting, not starting");
    let changes = world.changes();
    set(&world, id, again.clone(), again.clone()).await.unwrap();
    assert_eq!(world.changes(), changes, "the same state is no change");

    let world = world.reopen();
    world.write(20, move |tx| tx.begin_job_attempt(id, &again, release)).await;
    let open = world.store.read(|view| view.list_open_job_runs()).await.unwrap();
    assert_eq!(open.iter().map(|run| (run.id, run.attempt)).collect::<Vec<_>>(), [(id, 2)]);
    set(&world, id, State::Starting { since: at(20) }, State::Succeeded { at: at(21) }).await.unwrap();
    assert_eq!(world.store.read(|view| view.list_open_job_runs()).await.unwrap(), []);
    assert_eq!(
        told(&world).await,
        [
            "job cleanup: j1 of 2001-09-09T01:46:50.000Z planned",
            "job cleanup: j1 is starting (attempt 1)",
            "job cleanup: j1 failed in attempt 1, the next one is at 2001-09-09T01:47:00.000Z: its command ended with code 3",
            "job cleanup: j1 is starting (attempt 2)",
            "job cleanup: j1 is succeeded",
        ]
    );
}

#[tokio::test]
async fn an_instant_has_one_run_and_a_job_one_open_run() {
    let (world, service, _) = live(20).await;
    let first = plan(&world, service, 10, None).await.unwrap();
    assert_eq!(plan(&world, service, 10, None).await, None, "the instant has its run");
    assert_eq!(plan(&world, service, 70, None).await, None, "the first one is open");
    let error = world.try_write(71, move |tx| tx.request_job_run(service, &name())).await.unwrap_err();
    assert_eq!(error.to_string(), "j1 of the job cleanup has not ended, and two runs of a job never overlap");
    let overlap = Some(SkipReason::Overlap { run: first });
    // Numbers are never used twice, and an attempt that found its place taken may use one up.
    let second = plan(&world, service, 70, overlap.clone()).await.unwrap();
    assert_eq!(plan(&world, service, 70, overlap).await, None);

    set(&world, first, waiting(10), State::Cancelled { at: at(80) }).await.unwrap();
    assert_eq!(plan(&world, service, 10, None).await, None, "also when it is over");
    let by_hand = world.write(90, move |tx| tx.request_job_run(service, &name())).await;
    assert_eq!((by_hand.trigger, by_hand.planned_at, by_hand.state), (Trigger::Hand, at(90), waiting(90)));
    assert_eq!(
        told(&world).await,
        [
            "job cleanup: j1 of 2001-09-09T01:46:50.000Z planned".to_owned(),
            format!("job cleanup: {second} of 2001-09-09T01:47:50.000Z skipped: j1 had not ended"),
            "job cleanup: j1 is cancelled".to_owned(),
            format!("job cleanup: {} asked for", by_hand.id),
        ]
    );
}

#[tokio::test]
async fn only_a_job_of_the_live_release_can_be_asked_for() {
    let world = World::new();
    let service = world.write(0, |tx| Ok(apply(tx, with_job(20))?.0.id)).await;
    let ask = || world.try_write(2, move |tx| tx.request_job_run(service, &name()));
    assert_eq!(ask().await.unwrap_err().to_string(), "there is no job cleanup");
    deploy(&world, service, with_job(20)).await;
    ask().await.unwrap();
    world.write(9, move |tx| tx.request_destroy(service, at(9))).await;
    assert!(matches!(ask().await, Err(StoreError::BeingDestroyed { .. })));
}

#[tokio::test]
async fn cancelling_is_remembered_once() {
    let (world, service, _) = live(20).await;
    let id = plan(&world, service, 10, None).await.unwrap();
    for seconds in [11, 12] {
        world.write(seconds, move |tx| tx.request_job_cancel(id)).await;
    }
    assert!(world.store.read(move |view| view.get_job_run(id)).await.unwrap().cancel_requested);
    set(&world, id, waiting(10), State::Cancelled { at: at(13) }).await.unwrap();
    let changes = world.changes();
    world.write(14, move |tx| tx.request_job_cancel(id)).await;
    assert_eq!(world.changes(), changes, "it is over");
    assert_eq!(
        told(&world).await[1..],
        ["job cleanup: j1 should be cancelled", "job cleanup: j1 is cancelled"]
    );
}

#[tokio::test]
async fn as_many_runs_are_kept_as_the_job_says() {
    let (world, service, _) = live(2).await;
    for seconds in [10, 20, 30, 40] {
        let id = plan(&world, service, seconds, None).await.unwrap();
        set(&world, id, waiting(seconds), State::Succeeded { at: at(seconds) }).await.unwrap();
        let skip = Some(SkipReason::Overlap { run: id });
        plan(&world, service, seconds + 5, skip).await.unwrap();
    }
    let runs = world.store.read(move |view| view.list_job_runs(service, &name(), 100)).await.unwrap();
    let kept: Vec<(i64, bool)> = runs.iter().map(|run| (run.id.row(), run.state.is_skipped())).collect();
    assert_eq!(
        kept,
        [(8, true), (7, false), (6, true), (5, false)],
        "newest first, skipped ones by themselves"
    );
    let last = world.store.read(move |view| view.find_last_job_run(service, &name())).await.unwrap();
    assert_eq!(last.unwrap().id, JobRunId::new(7));
    let ids = world.store.read(move |view| view.job_run_ids(service)).await.unwrap();
    assert_eq!(ids.into_iter().collect::<Vec<_>>(), [5, 6, 7, 8].map(JobRunId::new));
}

#[tokio::test]
async fn a_cursor_outlives_control() {
    let (world, service, _) = live(20).await;
    let cursor = |seconds| Cursor { timing: "0 3 * * * UTC".to_owned(), until: at(seconds) };
    for seconds in [10, 20] {
        world.write(seconds, move |tx| tx.set_job_cursor(service, &name(), &cursor(seconds))).await;
    }
    let world = world.reopen();
    let found = world.store.read(|view| view.list_job_cursors()).await.unwrap();
    assert_eq!(found, [(service, name(), cursor(20))]);
    assert_eq!(
        world.store.read(move |view| view.find_job_cursor(service, &name())).await.unwrap(),
        Some(cursor(20))
    );
    world.write(21, move |tx| tx.forget_job_cursor(service, &name())).await;
    assert_eq!(world.store.read(|view| view.list_job_cursors()).await.unwrap(), []);
}

#[tokio::test]
async fn a_destroyed_service_takes_its_runs_along() {
    let (world, service, _) = live(20).await;
    let id = plan(&world, service, 10, None).await.unwrap();
    world
        .write(11, move |tx| {
            tx.set_job_cursor(service, &name(), &Cursor { timing: String::new(), until: at(10) })?;
            tx.set_waiting("job", id.row(), "next attempt soon")
        })
        .await;
    world.write(20, move |tx| tx.request_destroy(service, at(20))).await;
    world.write(21, move |tx| tx.remove_service(service)).await;
    let gone = world.store.read(move |view| view.get_job_run(id)).await;
    assert_eq!(gone.unwrap_err().to_string(), "there is no job run j1");
    assert_eq!(world.store.read(|view| view.list_job_cursors()).await.unwrap(), []);
    assert_eq!(world.store.read(move |view| view.waiting("job", id.row())).await.unwrap(), None);
}
