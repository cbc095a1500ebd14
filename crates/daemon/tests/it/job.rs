//! Jobs by hand: their tasks, their logs, how they end; control may die meanwhile. Schedules are tested with a clock driven
//! by hand, in `reconcile`.

use havre_api::job::{JobList, JobLogEntry, JobRun};
use havre_api::task::LogStream;
use havre_core::job::spec::{JobSpec, Missed};
use havre_core::quantity::Span;
use havre_core::service::spec::ServiceSpec;
use hyper::{Method, StatusCode};

use crate::world::docker::docker;
use crate::world::spec::{argv, faults};
use crate::world::{ENVIRONMENT, SERVICE, World, until};

/// Says who it is and fails its first attempt.
const FAILS_ONCE: &str = "const e = process.env;
    console.log([e.HAVRE_JOB, e.HAVRE_JOB_RUN, e.HAVRE_JOB_ATTEMPT, e.APP_VERSION].join(' '));
    console.error('and this');
    process.exitCode = e.HAVRE_JOB_ATTEMPT === '1' ? 7 : 0";

/// Ends when it is told to, and says when it can be told.
const PATIENT: &str =
    "process.on('SIGUSR2', () => process.exit(0)); setInterval(() => {}, 60_000); console.log('waiting')";

fn script(text: &str, timeout: Span, retries: u32) -> JobSpec {
    JobSpec {
        schedule: None,
        timezone: Default::default(),
        command: argv(&["node", "-e", text]),
        timeout,
        retries,
        missed: Missed::RunOnce,
        keep: 20,
    }
}

/// The service with three jobs.
fn service() -> ServiceSpec {
    let mut spec = faults("well-behaved", "1");
    let jobs = [
        ("fails-once", script(FAILS_ONCE, Span::seconds(60), 1)),
        ("patient", script(PATIENT, Span::seconds(3600), 0)),
        ("too-slow", script(PATIENT, Span::seconds(1), 0)),
    ];
    spec.jobs = jobs.into_iter().map(|(name, job)| (name.parse().expect("a name"), job)).collect();
    spec
}

fn runs(job: &str) -> String {
    format!("{SERVICE}/jobs/{job}/runs")
}

async fn begin(world: &World, job: &str) -> JobRun {
    world.api.send(Method::POST, &runs(job), &()).await
}

/// The run once it is over, however often control is away meanwhile.
async fn ended(world: &World, run: &JobRun) -> JobRun {
    let path = format!("/v1/job-runs/{}", run.id);
    until("the run ends", async || world.api.find::<JobRun>(&path).await.filter(|run| run.is_final)).await
}

/// What it wrote to standard output, by attempt.
async fn wrote(world: &World, run: &JobRun) -> Vec<(u32, String)> {
    let entries: Vec<JobLogEntry> = world.api.lines(&format!("/v1/job-runs/{}/log", run.id)).await;
    let outputs = entries.into_iter().filter(|entry| entry.stream == LogStream::Stdout);
    outputs.map(|entry| (entry.attempt, entry.line)).collect()
}

/// How many tasks of jobs were started.
fn started(world: &World) -> usize {
    let moments = world.watch.moments();
    moments.iter().filter(|moment| moment.what == "start" && moment.purpose == "job").count()
}

/// The container of a patient run, once that can be told to end.
async fn waiting(world: &World, run: &JobRun) -> String {
    let name = format!("havre-{}-1-", run.id);
    let look = async || {
        let moments = world.watch.moments();
        let begun = moments.iter().find(|moment| moment.container.starts_with(&name))?;
        let said = docker(&["logs", &begun.container]).ok()?;
        said.contains("waiting").then(|| begun.container.clone())
    };
    until("the job waits", look).await
}

/// Waits until only what serves is there.
async fn cleared(world: &World, serving: &[String]) {
    until("tasks of jobs are gone", async || (world.containers() == serving).then_some(())).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_runs_beside_its_service_and_leaves_its_log() {
    let world = World::start().await;
    let release = world.deploy_well(&service()).await;
    let serving = world.containers();

    let run = begin(&world, "fails-once").await;
    let over = ended(&world, &run).await;
    assert_eq!((over.state.name(), over.attempt, over.exit_code), ("succeeded", 2, Some(0)), "{over:?}");
    assert_eq!(over.release.to_string(), release);
    let line = |attempt: u32| (attempt, format!("fails-once {} {attempt} 1", run.id));
    assert_eq!(wrote(&world, &over).await, [line(1), line(2)]);
    cleared(&world, &serving).await;
    assert_eq!(wrote(&world, &over).await, [line(1), line(2)], "its log is kept");

    let late = ended(&world, &begin(&world, "too-slow").await).await;
    assert_eq!((late.state.name(), late.exit_code), ("timed_out", None), "{late:?}");

    let run = begin(&world, "patient").await;
    waiting(&world, &run).await;
    let (status, body) =
        world.api.call(Method::POST, &runs("patient"), Vec::new()).await.expect("control answers");
    let text = String::from_utf8_lossy(&body);
    assert!(status == StatusCode::CONFLICT && text.contains("job_running"), "{status} {text}");
    let _: JobRun = world.api.send(Method::POST, &format!("/v1/job-runs/{}/cancel", run.id), &()).await;
    assert_eq!(ended(&world, &run).await.state.name(), "cancelled");

    let list: JobList = world.api.get(&format!("{ENVIRONMENT}/jobs")).await;
    let last: Vec<(String, &str)> = list
        .jobs
        .iter()
        .map(|job| (job.name.to_string(), job.last.as_ref().map_or("", |run| run.state.name())))
        .collect();
    let expected = [("fails-once", "succeeded"), ("patient", "cancelled"), ("too-slow", "timed_out")];
    assert_eq!(last, expected.map(|(name, state)| (name.to_owned(), state)));
    cleared(&world, &serving).await;
    assert_eq!(started(&world), 4);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn control_killed_while_a_job_runs_starts_no_second_task() {
    let mut world = World::start().await;
    world.deploy_well(&service()).await;
    let serving = world.containers();

    // It is still at work when control is back.
    let first = begin(&world, "patient").await;
    let container = waiting(&world, &first).await;
    world.process("control").kill();
    world.start_control().await;
    let path = format!("/v1/job-runs/{}", first.id);
    let look = async || world.api.find::<JobRun>(&path).await.filter(|run| run.state.name() == "running");
    until("it is known to run", look).await;
    docker(&["kill", "--signal", "USR2", &container]).expect("the job is told");
    let over = ended(&world, &first).await;
    assert_eq!((over.state.name(), over.attempt), ("succeeded", 1), "{over:?}");

    // It ends while control is away.
    let second = begin(&world, "patient").await;
    let container = waiting(&world, &second).await;
    world.process("control").kill();
    docker(&["kill", "--signal", "USR2", &container]).expect("the job is told");
    world.start_control().await;
    let over = ended(&world, &second).await;
    assert_eq!((over.state.name(), over.exit_code), ("succeeded", Some(0)), "{over:?}");
    assert_eq!(wrote(&world, &over).await, [(1, "waiting".to_owned())]);
    cleared(&world, &serving).await;
    assert_eq!(started(&world), 2);
}
