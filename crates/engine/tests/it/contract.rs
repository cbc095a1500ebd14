//! What every engine promises. Each function runs on the fake and on Docker, in a world of its own.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt;
use havre_core::artifact::Digest;
use havre_core::database::task::NO_SERVICE;
use havre_core::id::{BuildId, DrillId, ServiceId, TaskId};
use havre_core::service::spec::StopSignal;
use havre_core::task::spec::{NO_RELEASE, Purpose, test_network};
use havre_core::task::{EngineState, Healthcheck};
use havre_core::time::Timestamp;
use havre_engine::error::EngineError;
use havre_engine::event::EngineEvent;
use havre_engine::exec::ExecSpec;
use havre_engine::fake::files::tar_of;
use havre_engine::files::{ROOT, TarIn, VolumeFiles};
use havre_engine::image::PullPolicy;
use havre_engine::log::{LINE_MAX, LogQuery, LogSource, LogStream};
use havre_engine::network::{NetworkSpec, VolumeSpec};

use crate::docker_world::argv;
use crate::world::{Act, Kind, World, edge_network, ended, find, host, private_network, task, volume};

const RUNNING: EngineState = EngineState::Running { healthcheck: Healthcheck::None };
const GRACE: Duration = Duration::from_secs(20);

async fn make_networks<W: World>(world: &W) {
    for network in [private_network(world), edge_network(world)] {
        world.engine().ensure_network(&network).await.expect("a network");
    }
}

pub(crate) async fn ensuring_twice_makes_one<W: World>(world: &W) {
    make_networks(world).await;
    make_networks(world).await;
    let data = volume(world);
    world.engine().ensure_volume(&data).await.expect("a volume");
    world.engine().ensure_volume(&data).await.expect("the same volume");
    let mut spec = task(world, "api", Act::Runs).await;
    spec.volumes = vec![(data.name.clone(), "/data".parse().expect("valid"))];
    spec.edge_address = Some(host(world.subnets().1, 20));
    world.engine().ensure_task(&spec).await.expect("a task");
    let first = world.engine().list_tasks().await.expect("a list");
    world.engine().ensure_task(&spec).await.expect("the same task");
    let second = world.engine().list_tasks().await.expect("a list");
    assert_eq!(first, second);
    assert_eq!(first.len(), 1);
    let found = &first[0];
    assert_eq!(
        (&found.name, found.purpose, found.service, found.release, found.environment, &found.image),
        (&spec.name, spec.purpose, spec.service, spec.release, spec.environment, &spec.image)
    );
    assert_eq!((&found.state, found.exited_at), (&RUNNING, None));
    assert!(found.started_at.is_some());
    let refused = world.engine().remove_volume(&data.name).await;
    assert!(matches!(refused, Err(EngineError::Conflict { .. })), "{refused:?}");
    let refused = world.engine().remove_network(&private_network(world).name).await;
    assert!(matches!(refused, Err(EngineError::Conflict { .. })), "{refused:?}");
}

pub(crate) async fn an_interrupted_ensure_is_finished<W: World>(world: &W) {
    make_networks(world).await;
    let mut spec = task(world, "api", Act::Runs).await;
    spec.edge_address = Some(host(world.subnets().1, 20));
    world.leave_half_made(&spec).await;
    assert_eq!(find(world, &spec.name).await.expect("it is there").state, EngineState::Created);
    world.engine().ensure_task(&spec).await.expect("finished");
    let found = find(world, &spec.name).await.expect("it is there");
    assert_eq!((found.state.clone(), found.edge_address()), (RUNNING, spec.edge_address));
}

pub(crate) async fn stopping_and_removing_twice_is_fine<W: World>(world: &W) {
    make_networks(world).await;
    let spec = task(world, "api", Act::Runs).await;
    let engine = world.engine();
    engine.ensure_task(&spec).await.expect("a task");
    for _ in 0..2 {
        engine.stop_task(&spec.name, StopSignal::Sigterm, GRACE).await.expect("stopped");
        assert_eq!(ended(world, &spec.name).await, EngineState::Exited { code: 0, out_of_memory: false });
    }
    for _ in 0..2 {
        engine.remove_task(&spec.name).await.expect("removed");
        assert_eq!(engine.list_tasks().await.expect("a list"), []);
    }
    engine.stop_task(&spec.name, StopSignal::Sigterm, GRACE).await.expect("nothing to stop");
    let running = task(world, "api", Act::Runs).await;
    engine.ensure_task(&running).await.expect("a task");
    engine.remove_task(&running.name).await.expect("killed and removed");
    assert_eq!(engine.list_tasks().await.expect("a list"), []);
    for network in [private_network(world), edge_network(world)] {
        engine.remove_network(&network.name).await.expect("removed");
        engine.remove_network(&network.name).await.expect("absent is fine");
    }
    engine.ensure_volume(&volume(world)).await.expect("a volume");
    for _ in 0..2 {
        engine.remove_volume(&volume(world).name).await.expect("removed");
    }
}

pub(crate) async fn an_exit_code_is_kept_and_nothing_restarts<W: World>(world: &W) {
    make_networks(world).await;
    let spec = task(world, "api", Act::Exits(42, vec!["once"])).await;
    world.engine().ensure_task(&spec).await.expect("a task");
    let exited = EngineState::Exited { code: 42, out_of_memory: false };
    assert_eq!(ended(world, &spec.name).await, exited);
    let before = find(world, &spec.name).await.expect("it is kept");
    assert!(before.exited_at >= before.started_at, "{before:?}");
    world.engine().ensure_task(&spec).await.expect("left alone");
    assert_eq!(find(world, &spec.name).await, Some(before));
    assert_eq!(read(world, &spec.name, LogQuery::default()).await, ["once"]);
}

pub(crate) async fn the_stop_signal_is_honoured<W: World>(world: &W) {
    make_networks(world).await;
    let spec = task(world, "api", Act::ObeysUsr1).await;
    world.engine().ensure_task(&spec).await.expect("a task");
    let began = std::time::Instant::now();
    world
        .engine()
        .stop_task(&spec.name, StopSignal::Sigusr1, Duration::from_secs(60))
        .await
        .expect("stopped");
    assert_eq!(ended(world, &spec.name).await, EngineState::Exited { code: 7, out_of_memory: false });
    assert!(began.elapsed() < Duration::from_secs(60), "it was killed, not asked");
}

pub(crate) async fn a_task_that_ignores_the_signal_is_killed<W: World>(world: &W) {
    make_networks(world).await;
    let spec = task(world, "api", Act::IgnoresStop).await;
    let engine = world.engine();
    engine.ensure_task(&spec).await.expect("a task");
    engine.stop_task(&spec.name, StopSignal::Sigterm, Duration::from_millis(300)).await.expect("killed");
    let found = find(world, &spec.name).await.expect("it is kept");
    assert_eq!(found.state, EngineState::Exited { code: 137, out_of_memory: false });
}

pub(crate) async fn memory_over_the_limit_is_told<W: World>(world: &W) {
    make_networks(world).await;
    // Docker hears of the cause and of the end separately, and on a busy machine it may miss the cause (seen once in ten
    // rounds with Docker 20.10): told of three tasks at least once.
    for _ in 0..3 {
        let spec = task(world, "api", Act::TakesAllMemory).await;
        world.engine().ensure_task(&spec).await.expect("a task");
        match ended(world, &spec.name).await {
            EngineState::Exited { code: 137, out_of_memory: true } => return,
            EngineState::Exited { code: 137, out_of_memory: false } => {}
            other => panic!("{other:?}"),
        }
    }
    panic!("three tasks took more memory than they may, and none of them was told to have");
}

pub(crate) async fn foreign_containers_are_left_alone<W: World>(world: &W) {
    make_networks(world).await;
    let spec = task(world, "api", Act::Runs).await;
    world.add_foreign(Kind::Container, &spec.name).await;
    check_left_alone(world, &spec).await;
}

pub(crate) async fn other_installations_are_foreign<W: World>(world: &W) {
    make_networks(world).await;
    let spec = task(world, "api", Act::Runs).await;
    world.add_of_other_installation(&spec.name).await;
    check_left_alone(world, &spec).await;
}

async fn check_left_alone<W: World>(world: &W, spec: &havre_core::task::spec::TaskSpec) {
    let engine = world.engine();
    let foreign = || Err(EngineError::foreign("container", &spec.name));
    assert_eq!(engine.list_tasks().await.expect("a list"), []);
    assert_eq!(engine.ensure_task(spec).await, foreign());
    assert_eq!(engine.stop_task(&spec.name, StopSignal::Sigterm, GRACE).await, foreign());
    assert_eq!(engine.remove_task(&spec.name).await, foreign());
    assert_eq!(engine.logs(&spec.name, LogQuery::default()).await.map(drop), foreign());
    assert_eq!(engine.exec(&spec.name, &shell("true")).await.map(drop), foreign());
    assert!(world.has_foreign(Kind::Container, &spec.name).await, "it still runs");
}

pub(crate) async fn foreign_networks_and_volumes_are_left_alone<W: World>(world: &W) {
    let engine = world.engine();
    let network = private_network(world);
    world.add_foreign(Kind::Network, &network.name).await;
    // The error names what a person finds at the engine.
    let foreign = || Err(EngineError::foreign("network", &world.name_at_engine(&network.name)));
    assert_eq!(engine.ensure_network(&network).await, foreign());
    assert_eq!(engine.remove_network(&network.name).await, foreign());
    assert!(world.has_foreign(Kind::Network, &network.name).await);
    let data = volume(world);
    world.add_foreign(Kind::Volume, &data.name).await;
    let foreign = || Err(EngineError::foreign("volume", &data.name));
    assert_eq!(engine.ensure_volume(&data).await, foreign());
    assert_eq!(engine.remove_volume(&data.name).await, foreign());
    assert!(world.has_foreign(Kind::Volume, &data.name).await);
    // A task cannot smuggle them in either.
    let spec = task(world, "api", Act::Runs).await;
    assert_eq!(
        engine.ensure_task(&spec).await,
        Err(EngineError::foreign("network", &world.name_at_engine(&network.name)))
    );
}

pub(crate) async fn networks_are_checked<W: World>(world: &W) {
    make_networks(world).await;
    let engine = world.engine();
    let network = private_network(world);
    for wrong in [
        NetworkSpec { isolated: true, ..network.clone() },
        NetworkSpec { gateway: host(world.subnets().0, 2), ..network.clone() },
        NetworkSpec { subnet: format!("{}/25", world.subnets().0), ..network.clone() },
        // Another network on the same addresses.
        NetworkSpec { name: format!("{}-b", network.name), ..network.clone() },
    ] {
        let refused = engine.ensure_network(&wrong).await;
        assert!(matches!(refused, Err(EngineError::Conflict { .. })), "{wrong:?} gave {refused:?}");
    }
    engine.ensure_network(&network).await.expect("unchanged");
}

pub(crate) async fn volumes_belong_to_one_service<W: World>(world: &W) {
    let data = volume(world);
    world.engine().ensure_volume(&data).await.expect("a volume");
    let mut other = data.clone();
    other.service = ServiceId::new(data.service.row() + 1);
    let refused = world.engine().ensure_volume(&other).await;
    assert!(matches!(refused, Err(EngineError::Conflict { .. })), "{refused:?}");
}

pub(crate) async fn what_is_missing_is_named<W: World>(world: &W) {
    let engine = world.engine();
    let mut spec = task(world, "api", Act::Runs).await;
    let network = private_network(world).name;
    let missing = |kind: &str, name: &str| Err(EngineError::not_found(kind, name));
    assert_eq!(engine.ensure_task(&spec).await, missing("network", &network));
    make_networks(world).await;
    spec.volumes = vec![(volume(world).name, "/data".parse().expect("valid"))];
    assert_eq!(engine.ensure_task(&spec).await, missing("volume", &volume(world).name));
    spec.image = unknown_digest();
    assert_eq!(engine.ensure_task(&spec).await, missing("image", &spec.image.to_string()));
    assert_eq!(engine.list_tasks().await.expect("a list"), [], "nothing is half-made");
    let absent = EngineError::not_found("task", &spec.name);
    assert_eq!(engine.logs(&spec.name, LogQuery::default()).await.map(drop), Err(absent.clone()));
    assert_eq!(engine.exec(&spec.name, &shell("true")).await.map(drop), Err(absent));
}

pub(crate) async fn a_drill_meets_no_network_at_all<W: World>(world: &W) {
    let mut spec = task(world, "db", Act::Runs).await;
    spec.purpose = Purpose::Drill { drill: DrillId::new(3) };
    (spec.release, spec.service) = (NO_RELEASE, NO_SERVICE);
    // No network of ours is there, and none is needed.
    world.engine().ensure_task(&spec).await.expect("a task");
    let found = find(world, &spec.name).await.expect("it is there");
    assert_eq!((found.purpose, found.service, found.release), (spec.purpose, NO_SERVICE, NO_RELEASE));
    assert!(found.addresses.is_empty(), "{found:?}");
}

pub(crate) async fn a_test_meets_no_network_of_ours<W: World>(world: &W) {
    let mut spec = task(world, "api", Act::Runs).await;
    spec.purpose = Purpose::Test { build: BuildId::new(12) };
    spec.release = NO_RELEASE;
    // No network of ours is there, and none is needed.
    world.engine().ensure_task(&spec).await.expect("a task");
    let found = find(world, &spec.name).await.expect("it is there");
    assert_eq!((found.purpose, found.release), (spec.purpose, NO_RELEASE));
    assert!(!found.addresses.contains_key(&private_network(world).name), "{found:?}");
    assert_eq!(found.edge_address(), None);
}

pub(crate) async fn a_test_with_databases_meets_them_on_a_network_of_its_own<W: World>(world: &W) {
    let build = BuildId::new(world.environment().row());
    let network = NetworkSpec { name: test_network(build), environment: None, ..private_network(world) };
    let engine = world.engine();
    engine.ensure_network(&network).await.expect("a network");
    let mut database = task(world, "db", Act::Runs).await;
    database.purpose = Purpose::TestDatabase { build, number: 1 };
    (database.release, database.service) = (NO_RELEASE, NO_SERVICE);
    let mut test = task(world, "api", Act::Runs).await;
    test.purpose = Purpose::Test { build };
    (test.release, test.has_databases) = (NO_RELEASE, true);
    for spec in [&database, &test] {
        engine.ensure_task(spec).await.expect("a task");
        let found = find(world, &spec.name).await.expect("it is there");
        assert_eq!((found.purpose, found.service), (spec.purpose, spec.service));
        assert_eq!(found.addresses.keys().collect::<Vec<_>>(), [&network.name]);
    }
    let refused = engine.remove_network(&network.name).await;
    assert!(matches!(refused, Err(EngineError::Conflict { .. })), "{refused:?}");
    for spec in [&database, &test] {
        engine.remove_task(&spec.name).await.expect("removed");
    }
    engine.remove_network(&network.name).await.expect("nothing is on it");
}

pub(crate) async fn a_name_taken_by_another_task_is_a_conflict<W: World>(world: &W) {
    make_networks(world).await;
    let spec = task(world, "api", Act::Runs).await;
    world.engine().ensure_task(&spec).await.expect("a task");
    let mut other = spec.clone();
    other.purpose = Purpose::Task { task: TaskId::new(1) };
    let mut moved = spec.clone();
    moved.edge_address = Some(host(world.subnets().1, 30));
    for wrong in [other, moved] {
        let refused = world.engine().ensure_task(&wrong).await;
        assert!(matches!(refused, Err(EngineError::Conflict { .. })), "{refused:?}");
    }
}

pub(crate) async fn the_address_given_is_the_address_got<W: World>(world: &W) {
    make_networks(world).await;
    let mut with = task(world, "api", Act::Runs).await;
    with.edge_address = Some(host(world.subnets().1, 77));
    let without = task(world, "worker", Act::Runs).await;
    for spec in [&with, &without] {
        world.engine().ensure_task(spec).await.expect("a task");
    }
    let with = find(world, &with.name).await.expect("it is there");
    assert_eq!(with.edge_address(), Some(host(world.subnets().1, 77)));
    let without = find(world, &without.name).await.expect("it is there");
    assert_eq!(without.edge_address(), None);
    let private = private_network(world).name;
    assert!(with.addresses.contains_key(&private) && without.addresses.contains_key(&private));
}

pub(crate) async fn an_address_in_use_is_told<W: World>(world: &W) {
    make_networks(world).await;
    let address = host(world.subnets().1, 20);
    let mut first = task(world, "api", Act::Runs).await;
    let mut second = task(world, "api", Act::Runs).await;
    first.edge_address = Some(address);
    second.edge_address = Some(address);
    let engine = world.engine();
    engine.ensure_task(&first).await.expect("a task");
    let in_use = EngineError::AddressInUse { name: second.name.clone(), address };
    assert_eq!(engine.ensure_task(&second).await, Err(in_use));
    engine.remove_task(&first.name).await.expect("removed");
    engine.ensure_task(&second).await.expect("the address is free now");
    assert_eq!(find(world, &second.name).await.expect("it is there").edge_address(), Some(address));
}

pub(crate) async fn logs_are_in_order_and_selected<W: World>(world: &W) {
    make_networks(world).await;
    let spec = task(world, "api", Act::Exits(0, vec!["one", "two", "three", "four"])).await;
    world.engine().ensure_task(&spec).await.expect("a task");
    ended(world, &spec.name).await;
    let all = world.engine().logs(&spec.name, LogQuery::default()).await.expect("logs");
    let all: Vec<_> = all.map(|line| line.expect("a line")).collect().await;
    let text: Vec<_> = all.iter().map(|line| line.line.as_str()).collect();
    assert_eq!(text, ["one", "two", "three", "four"]);
    assert!(all.iter().all(|line| line.stream == LogSource::Stdout && !line.is_cut));
    assert!(all.is_sorted_by_key(|line| line.at));
    let tail = LogQuery { tail: Some(2), ..LogQuery::default() };
    assert_eq!(read(world, &spec.name, tail).await, ["three", "four"]);
    let since = LogQuery { since: Some(all[3].at), ..LogQuery::default() };
    let expected: Vec<_> = all.iter().filter(|line| line.at >= all[3].at).map(|l| l.line.clone()).collect();
    assert_eq!(read(world, &spec.name, since).await, expected);
    let later = LogQuery { since: Some(all[3].at.after(Duration::from_millis(1))), ..LogQuery::default() };
    assert_eq!(read(world, &spec.name, later).await, Vec::<String>::new());
    let followed = LogQuery { follow: true, ..LogQuery::default() };
    assert_eq!(read(world, &spec.name, followed).await.len(), 4, "an ended task has nothing to wait for");
}

pub(crate) async fn following_logs_ends_with_the_task<W: World>(world: &W) {
    make_networks(world).await;
    let spec = task(world, "api", Act::Runs).await;
    world.engine().ensure_task(&spec).await.expect("a task");
    world.say(&spec.name, "before").await;
    let query = LogQuery { follow: true, ..LogQuery::default() };
    let mut stream = world.engine().logs(&spec.name, query).await.expect("logs");
    assert_eq!(next_line(&mut stream).await, Some("before".to_owned()));
    world.say(&spec.name, "after").await;
    assert_eq!(next_line(&mut stream).await, Some("after".to_owned()));
    world.engine().stop_task(&spec.name, StopSignal::Sigterm, GRACE).await.expect("stopped");
    assert_eq!(next_line(&mut stream).await, None);
}

pub(crate) async fn a_long_line_is_cut<W: World>(world: &W) {
    make_networks(world).await;
    let spec = task(world, "api", Act::WritesLongLine(3 * LINE_MAX)).await;
    world.engine().ensure_task(&spec).await.expect("a task");
    ended(world, &spec.name).await;
    let lines = world.engine().logs(&spec.name, LogQuery::default()).await.expect("logs");
    let lines: Vec<_> = lines.map(|line| line.expect("a line")).collect().await;
    assert_eq!(lines.len(), 1);
    assert_eq!((lines[0].line.as_str(), lines[0].is_cut), ("x".repeat(LINE_MAX).as_str(), true));
}

pub(crate) async fn a_command_runs_inside_a_task<W: World>(world: &W) {
    make_networks(world).await;
    let spec = task(world, "api", Act::Runs).await;
    world.engine().ensure_task(&spec).await.expect("a task");
    let session =
        world.engine().exec(&spec.name, &shell("echo oops >&2; cat; exit 3")).await.expect("it runs");
    session.input.send(Bytes::from_static(b"hello ")).await.expect("it reads");
    session.input.send(Bytes::from_static(b"there")).await.expect("it reads");
    drop(session.input);
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let mut output = session.output;
    while let Some(piece) = in_time(output.next()).await {
        let piece = piece.expect("output");
        match piece.stream {
            LogSource::Stdout => out.extend_from_slice(&piece.bytes),
            LogSource::Stderr => err.extend_from_slice(&piece.bytes),
        }
    }
    assert_eq!((out.as_slice(), err.as_slice()), (b"hello there".as_slice(), b"oops\n".as_slice()));
    assert_eq!(in_time(session.exit_code).await, Ok(3));
}

pub(crate) async fn a_command_needs_a_running_task<W: World>(world: &W) {
    make_networks(world).await;
    let spec = task(world, "api", Act::Exits(0, vec![])).await;
    world.engine().ensure_task(&spec).await.expect("a task");
    ended(world, &spec.name).await;
    let refused = world.engine().exec(&spec.name, &shell("true")).await.map(drop);
    assert!(matches!(refused, Err(EngineError::Conflict { .. })), "{refused:?}");
}

pub(crate) async fn events_are_seen<W: World>(world: &W) {
    make_networks(world).await;
    let mut events = world.engine().events().await;
    assert_eq!(in_time(events.next()).await, Some(EngineEvent::Reset));
    let spec = task(world, "api", Act::Exits(5, vec![])).await;
    world.engine().ensure_task(&spec).await.expect("a task");
    ended(world, &spec.name).await;
    world.engine().remove_task(&spec.name).await.expect("removed");
    let mut seen = Vec::new();
    while seen.len() < 3 {
        let event = in_time(events.next()).await.expect("the stream never ends");
        // Other tests on the same engine may remove images.
        if !matches!(event, EngineEvent::ImageRemoved { .. }) {
            seen.push(event);
        }
    }
    let (name, purpose) = (spec.name.clone(), spec.purpose);
    let instants: Vec<_> = seen.iter().map(instant).collect();
    assert!(instants.is_sorted(), "{seen:?}");
    assert_eq!(
        seen,
        [
            EngineEvent::TaskStarted { name: name.clone(), purpose, at: instants[0] },
            EngineEvent::TaskExited { name: name.clone(), purpose, code: 5, at: instants[1] },
            EngineEvent::TaskRemoved { name, purpose, at: instants[2] },
        ]
    );
}

pub(crate) async fn only_built_images_are_listed_and_removed<W: World>(world: &W) {
    make_networks(world).await;
    let engine = world.engine();
    let service = ServiceId::new(9);
    let built = world.build_image(service).await;
    let listed = engine.list_built_images().await.expect("a list");
    let ids: Vec<_> = listed.iter().map(|image| (&image.id, image.service)).collect();
    assert_eq!(ids, [(&built, Some(service))]);
    let mut spec = task(world, "api", Act::Runs).await;
    spec.image = built.clone();
    engine.ensure_task(&spec).await.expect("a task");
    let refused = engine.remove_image(&built).await;
    assert!(matches!(refused, Err(EngineError::Conflict { .. })), "{refused:?}");
    engine.remove_task(&spec.name).await.expect("removed");
    for _ in 0..2 {
        engine.remove_image(&built).await.expect("removed");
        assert_eq!(engine.find_image(&built).await, Ok(None));
    }
    let base = world.base_image().await.0;
    assert_eq!(engine.remove_image(&base).await, Err(EngineError::foreign("image", &base.to_string())));
    assert_eq!(engine.find_image(&base).await.expect("an answer").expect("it is here").id, base);
}

pub(crate) async fn an_unknown_image_is_not_found<W: World>(world: &W) {
    let engine = world.engine();
    assert_eq!(engine.find_image(&unknown_digest()).await, Ok(None));
    let (id, name) = world.base_image().await;
    let resolved = engine.resolve_image(&name, PullPolicy::IfMissing, None, None).await.expect("it is here");
    assert_eq!(resolved.id, id);
    // An engine that keeps images by the digest of their manifest cannot tell one that was made here from a pulled one.
    let digest = format!("@{id}");
    assert!(resolved.pull.is_none_or(|pull| pull.as_str().ends_with(&digest)));
}

fn unknown_digest() -> Digest {
    "0123456789abcdef".repeat(4).parse().expect("64 hex digits")
}

fn shell(script: &str) -> ExecSpec {
    ExecSpec { argv: argv(&["/bin/sh", "-c", script]), env: BTreeMap::new(), terminal: None }
}

fn instant(event: &EngineEvent) -> Timestamp {
    match event {
        EngineEvent::TaskStarted { at, .. }
        | EngineEvent::TaskExited { at, .. }
        | EngineEvent::TaskRemoved { at, .. }
        | EngineEvent::HealthChanged { at, .. }
        | EngineEvent::ImageRemoved { at, .. } => *at,
        EngineEvent::Reset => panic!("the connection was lost"),
    }
}

async fn read<W: World>(world: &W, name: &str, query: LogQuery) -> Vec<String> {
    let lines = world.engine().logs(name, query).await.expect("logs");
    in_time(lines.map(|line| line.expect("a line").line).collect()).await
}

async fn next_line(stream: &mut LogStream) -> Option<String> {
    in_time(stream.next()).await.map(|line| line.expect("a line").line)
}

pub(crate) async fn in_time<T>(waiting: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(30), waiting).await.expect("within 30 s")
}

/// The volume of the world, or one beside it.
async fn files<W: World>(world: &W, end: &str) -> VolumeFiles {
    let spec = volume(world);
    let spec = VolumeSpec { name: format!("{}{end}", spec.name), ..spec };
    world.engine().ensure_volume(&spec).await.expect("a volume");
    VolumeFiles { volume: spec.name, image: world.base_image().await.0 }
}

fn parts(parts: Vec<std::io::Result<Bytes>>) -> TarIn {
    futures_util::stream::iter(parts).boxed()
}

async fn archive<W: World>(world: &W, files: &VolumeFiles) -> Vec<u8> {
    let mut tar = world.engine().archive(files).await.expect("it is read");
    let mut all = Vec::new();
    while let Some(part) = tar.next().await {
        all.extend_from_slice(&part.expect("it goes on"));
    }
    all
}

pub(crate) async fn files_of_a_volume_come_back<W: World>(world: &W) {
    let (first, second) = (files(world, "").await, files(world, "-restored-1").await);
    let empty = archive(world, &first).await;
    assert!(empty.starts_with(format!("{ROOT}/").as_bytes()), "an empty volume is a folder");
    let tar = tar_of(&[("a", b"hello"), ("b", &[7; 70_000])]);
    let halves = vec![Ok(tar.slice(..700)), Ok(tar.slice(700..))];
    world.engine().extract(&first, parts(halves)).await.expect("it goes in");
    let read = archive(world, &first).await;
    assert!(read.windows(5).any(|bytes| bytes == b"hello"), "the content is in it");
    assert_eq!(archive(world, &first).await, read, "twice the same");
    world.engine().extract(&second, parts(vec![Ok(read.clone().into())])).await.expect("it goes in");
    // Owner and mode of the volume itself are the first entry.
    assert!(archive(world, &second).await == read, "what came back is what was read");
    world.engine().remove_volume(&second.volume).await.expect("nobody has it any more");
}

pub(crate) async fn a_tar_that_breaks_off_is_told<W: World>(world: &W) {
    let files = files(world, "").await;
    let tar = tar_of(&[("a", &[7; 70_000])]);
    let broken = vec![Ok(tar.slice(..2000)), Err(std::io::Error::other("the source is gone"))];
    let refused = world.engine().extract(&files, parts(broken)).await;
    assert!(refused.is_err(), "{refused:?}");
    world.engine().extract(&files, parts(vec![Ok(tar)])).await.expect("the next one goes in");
}

pub(crate) async fn a_reading_that_is_given_up_holds_nothing<W: World>(world: &W) {
    let files = files(world, "").await;
    let tar = tar_of(&[("a", &[7; 70_000])]);
    world.engine().extract(&files, parts(vec![Ok(tar)])).await.expect("it goes in");
    let mut reading = world.engine().archive(&files).await.expect("it is read");
    reading.next().await.expect("something comes").expect("it goes on");
    drop(reading);
    world.engine().remove_volume(&files.volume).await.expect("nobody has it any more");
    assert_eq!(world.engine().list_tasks().await.expect("a list"), []);
}

pub(crate) async fn only_volumes_of_ours_are_read<W: World>(world: &W) {
    let image = world.base_image().await.0;
    let name = volume(world).name;
    let absent = VolumeFiles { volume: format!("{name}-absent"), image: image.clone() };
    let refused = world.engine().archive(&absent).await.err();
    assert!(matches!(refused, Some(EngineError::NotFound { .. })), "{refused:?}");
    let refused = world.engine().extract(&absent, parts(Vec::new())).await;
    assert!(matches!(refused, Err(EngineError::NotFound { .. })), "{refused:?}");
    let foreign = VolumeFiles { volume: format!("{name}-foreign"), image };
    world.add_foreign(Kind::Volume, &foreign.volume).await;
    let refused = world.engine().archive(&foreign).await.err();
    assert!(matches!(refused, Some(EngineError::Foreign { .. })), "{refused:?}");
    let refused = world.engine().extract(&foreign, parts(vec![Ok(tar_of(&[]))])).await;
    assert!(matches!(refused, Err(EngineError::Foreign { .. })), "{refused:?}");
    let image: Digest = "0".repeat(64).parse().expect("is a digest");
    let unknown = VolumeFiles { image, ..files(world, "").await };
    let refused = world.engine().archive(&unknown).await.err();
    assert!(matches!(refused, Some(EngineError::NotFound { .. })), "{refused:?}");
}

pub(crate) async fn a_paused_task_goes_on<W: World>(world: &W) {
    make_networks(world).await;
    let spec = task(world, "api", Act::Runs).await;
    let engine = world.engine();
    let absent = engine.pause(&spec.name).await;
    assert!(matches!(absent, Err(EngineError::NotFound { .. })), "{absent:?}");
    assert_eq!(engine.unpause(&spec.name).await, Ok(false), "an absent one is not paused");
    engine.ensure_task(&spec).await.expect("a task");
    assert_eq!(engine.unpause(&spec.name).await, Ok(false));
    for _ in 0..2 {
        engine.pause(&spec.name).await.expect("it is paused");
        assert_eq!(find(world, &spec.name).await.expect("it is there").state, RUNNING);
    }
    assert_eq!(engine.unpause(&spec.name).await, Ok(true));
    assert_eq!(engine.unpause(&spec.name).await, Ok(false), "once is enough");
    // One that is paused hears the signal that ends it.
    engine.pause(&spec.name).await.expect("it is paused");
    engine.stop_task(&spec.name, StopSignal::Sigterm, GRACE).await.expect("stopped");
    assert_eq!(ended(world, &spec.name).await, EngineState::Exited { code: 0, out_of_memory: false });
    let refused = engine.pause(&spec.name).await;
    assert!(matches!(refused, Err(EngineError::Conflict { .. })), "{refused:?}");
    assert_eq!(engine.unpause(&spec.name).await, Ok(false));
}
