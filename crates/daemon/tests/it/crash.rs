//! Nothing that dies takes the users' requests along: control at any state of a deployment, control for a while, the
//! edge itself.

use std::time::{Duration, Instant};

use havre_api::deployment::Deployment;
use havre_api::node::NodeStatus;
use havre_core::deployment::event::Event as DeploymentEvent;
use havre_core::deployment::state::{FailureReason, State};
use havre_core::event::EventKind;
use havre_core::id::DeploymentId;
use havre_core::quantity::Span;
use havre_core::service::spec::{CanarySpec, CheckSpec, ServiceSpec};
use rustix::process::Signal;

use crate::world::api::Events;
use crate::world::docker::docker;
use crate::world::load::ask_once;
use crate::world::process::{children, run_to_end, signal};
use crate::world::spec::{HOST, argv, faults, with};
use crate::world::{World, assert_succeeded, until};

/// Every state a good release goes through between the request and the end, but `pending`, which lasts no longer than a
/// moment unless an older deployment is in the way. That and `reverting` have tests of their own.
const STATES: [&str; 8] =
    ["preparing", "migrating", "starting", "verifying", "canary", "switching", "baking", "draining"];

/// Says that it is healthy and fails its users.
const WORSE: &str = "import('node:http').then(({ createServer }) => createServer((request, answer) => {
    answer.statusCode = request.url === '/health' ? 200 : 500;
    answer.end('{}');
}).listen(3000, '0.0.0.0'))";

/// A release that goes through all of them, unless it is the first one: that has no canary.
fn thorough(version: &str) -> ServiceSpec {
    with(faults("well-behaved", version), |work| {
        work.release_command = Some(argv(&["node", "-e", "console.log('migrated')"]));
        work.checks = vec![CheckSpec {
            path: "/".parse().expect("a path"),
            status: 200,
            contains: format!("\"version\":\"{version}\""),
        }];
        work.canary = Some(CanarySpec { percent: 50, hold: Span::millis(300) });
        work.bake = Span::millis(300);
    })
}

/// Waits until some deployment enters a state.
async fn enters(events: &mut Events, state: &str) -> DeploymentId {
    loop {
        let event = events.next().await.expect("control runs until it is killed");
        if let EventKind::Deployment(DeploymentEvent::StateChanged { deployment, to }) = event.kind
            && to.name() == state
        {
            return deployment;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn control_killed_in_any_state_of_a_deployment_ends_it_well() {
    let mut world = World::start().await;
    world.deploy_well(&thorough("first")).await;
    let load = world.load();
    let mut deployments = Vec::new();
    for state in STATES {
        let status: NodeStatus = world.api.get("/v1/status").await;
        let mut events = world.api.events(status.last_event).await;
        world.begin(&thorough(state)).await;
        let deployment = enters(&mut events, state).await;
        world.process("control").kill();
        world.start_control().await;
        let ended = world.ended(deployment).await;
        assert_succeeded(&ended);
        deployments.push(ended);
    }
    let last = Instant::now();
    tokio::time::sleep(Duration::from_millis(200)).await;
    let report = load.finish().await;
    report.assert_no_failure(500);
    // Each release got its turn, and a migration ran once for each, however often control died.
    let released: Vec<String> = deployments.iter().map(|deployment| deployment.release.to_string()).collect();
    let served = report.by_release();
    let unseen: Vec<&String> = released.iter().filter(|release| !served.contains_key(*release)).collect();
    assert_eq!(unseen, Vec::<&String>::new());
    let newest = released.last().expect("there are some").clone();
    assert_eq!(report.releases_in(last, Instant::now()).into_iter().collect::<Vec<_>>(), [newest]);
    let moments = world.watch.moments();
    let migrations =
        moments.iter().filter(|moment| moment.what == "start" && moment.purpose == "release-command");
    assert_eq!(migrations.count(), STATES.len() + 1);
    let left = async || (world.containers().len() == 1).then_some(());
    until("only the last release is left", left).await;
}

/// A migration that ends when it is told to, and says when it can be told.
const PATIENT: &str =
    "process.on('SIGUSR2', () => process.exit(0)); setInterval(() => {}, 60_000); console.log('waiting')";

/// The deployment a build led to, as soon as it is asked for.
async fn requested(events: &mut Events) -> DeploymentId {
    loop {
        let event = events.next().await.expect("control runs until it is killed");
        if let EventKind::Deployment(DeploymentEvent::Requested { deployment, .. }) = event.kind {
            return deployment;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn control_killed_while_a_deployment_is_pending_begins_it_later() {
    let mut world = World::start().await;
    world.deploy_well(&faults("well-behaved", "first")).await;
    let load = world.load();
    let status: NodeStatus = world.api.get("/v1/status").await;
    let mut events = world.api.events(status.last_event).await;
    // In the middle of its migration a deployment gives way to nobody: the next one is pending for as long.
    let older = with(faults("well-behaved", "older"), |work| {
        work.release_command = Some(argv(&["node", "-e", PATIENT]));
    });
    world.begin(&older).await;
    let older = enters(&mut events, "migrating").await;
    let waits = async || {
        let moments = world.watch.moments();
        let started = moments.iter().find(|moment| moment.purpose == "release-command")?;
        let said = docker(&["logs", &started.container]).ok()?;
        said.contains("waiting").then(|| started.container.clone())
    };
    let migration = until("the migration waits", waits).await;
    world.begin(&faults("well-behaved", "newer")).await;
    let newer = requested(&mut events).await;
    let state = async |world: &World, id: DeploymentId| {
        world.api.get::<Deployment>(&format!("/v1/deployments/{id}")).await.state.name()
    };
    assert_eq!(state(&world, newer).await, "pending");
    world.process("control").kill();
    world.start_control().await;
    assert_eq!((state(&world, older).await, state(&world, newer).await), ("migrating", "pending"));

    docker(&["kill", "--signal", "USR2", &migration]).expect("the migration is told");
    let (older, newer) = (world.ended(older).await, world.ended(newer).await);
    assert!(
        matches!(older.state, State::Superseded { by, .. } if by == newer.id),
        "{} ended {}: {}",
        older.id,
        older.state.name(),
        older.failure
    );
    assert_succeeded(&newer);
    let last = Instant::now();
    tokio::time::sleep(Duration::from_millis(200)).await;
    let report = load.finish().await;
    report.assert_no_failure(500);
    let releases = report.releases_in(last, Instant::now());
    assert_eq!(releases.into_iter().collect::<Vec<_>>(), [newer.release.to_string()]);
    assert!(!report.by_release().contains_key(&older.release.to_string()));
    let moments = world.watch.moments();
    let migrations =
        moments.iter().filter(|moment| moment.what == "start" && moment.purpose == "release-command");
    assert_eq!(migrations.count(), 1, "{moments:?}");
    let left = async || (world.containers().len() == 1).then_some(());
    until("only the newer release is left", left).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn control_killed_while_it_goes_back_ends_that_well() {
    let mut world = World::start().await;
    let first = world.deploy_well(&faults("well-behaved", "first")).await;
    let status: NodeStatus = world.api.get("/v1/status").await;
    let mut events = world.api.events(status.last_event).await;
    // Users who put up with errors: without them nobody could tell that the release is worse.
    let address = world.address;
    let users = tokio::spawn(async move {
        loop {
            let _ = ask_once(address, HOST).await;
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    });
    let worse = with(faults("well-behaved", "worse"), |work| {
        work.command = Some(argv(&["node", "-e", WORSE]));
        work.bake = Span::seconds(60);
    });
    world.begin(&worse).await;
    let deployment = enters(&mut events, "reverting").await;
    world.process("control").kill();
    world.start_control().await;
    let ended = world.ended(deployment).await;
    users.abort();
    let is_worse = matches!(&ended.state, State::Failed { reason: FailureReason::Worse { .. }, .. });
    assert!(is_worse, "{} ended {}: {}", ended.id, ended.state.name(), ended.failure);
    assert_eq!(ask_once(world.address, HOST).await.map(|identity| identity.release), Ok(first));
    let left = async || (world.containers().len() == 1).then_some(());
    until("only the first release is left", left).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn users_do_not_notice_that_control_is_away() {
    let mut world = World::start().await;
    let first = world.deploy_well(&faults("well-behaved", "1")).await;
    let (code, said) = run_to_end("control", &world.config);
    let (control, store) =
        (world.process("control").id(), world.config.with_file_name("data").join("store.sqlite"));
    let expected = format!(
        "havred: could not open the store {}: process {control} uses it; stop that one first",
        store.display()
    );
    assert_eq!((code, said.lines().last()), (Some(1), Some(expected.as_str())), "{said}");

    let load = world.load();
    assert_eq!(world.process("control").stop().code(), Some(0));
    tokio::time::sleep(Duration::from_secs(2)).await;
    world.start_control().await;
    let second = world.deploy_well(&faults("well-behaved", "2")).await;
    let report = load.finish().await;
    report.assert_no_failure(500);
    assert_eq!(report.by_release().into_keys().collect::<Vec<_>>(), [first, second]);
}

/// The process of a role under the supervisor.
pub(crate) fn find_child(supervisor: u32, role: &str) -> Option<u32> {
    children(supervisor).into_iter().find(|(_, name)| name == role).map(|(id, _)| id)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_edge_is_back_by_itself_and_serves_from_disk() {
    let mut world = World::start_supervised().await;
    let first = world.deploy_well(&faults("well-behaved", "1")).await;
    let supervisor = world.process("supervise").id();
    let control = find_child(supervisor, "control").expect("control runs");
    let edge = find_child(supervisor, "edge").expect("the edge runs");
    // Worse than stopped: it accepts and says nothing.
    signal(control, Signal::STOP);
    signal(edge, Signal::KILL);
    let killed = Instant::now();
    // The sockets are the supervisor's: every connection waits, none is refused.
    let mut served = 0;
    while served < 200 {
        let answer = ask_once(world.address, HOST).await;
        let identity = answer.unwrap_or_else(|error| panic!("request {served} after the kill: {error}"));
        assert_eq!(identity.release, first);
        if served == 0 {
            eprintln!("first answer {} ms after the kill", killed.elapsed().as_millis());
        }
        served += 1;
    }
    let again = find_child(supervisor, "edge").expect("it was started again");
    assert_ne!(again, edge);
    signal(control, Signal::CONT);

    let load = world.load();
    let second = world.deploy_well(&faults("well-behaved", "2")).await;
    load.finish().await.assert_no_failure(100);
    assert_eq!(ask_once(world.address, HOST).await.map(|identity| identity.release), Ok(second));
    assert_eq!(world.process("supervise").stop().code(), Some(0));
    assert_eq!(children(supervisor), []);
}
