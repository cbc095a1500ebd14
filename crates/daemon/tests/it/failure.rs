//! A release that cannot serve gets no request, and its deployment says why.

use std::collections::BTreeSet;

use havre_core::build::State as BuildState;
use havre_core::deployment::state::{FailureReason, State};
use havre_core::id::TaskId;
use havre_core::quantity::Span;
use havre_core::service::spec::ServiceSpec;
use hyper::Method;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use crate::world::spec::{argv, faults, with};
use crate::world::{SERVICE, World, until};
use havre_api::build::BuildAccepted;
use havre_api::deployment::Deployment;

/// Given up after five seconds.
fn impatient(spec: ServiceSpec) -> ServiceSpec {
    with(spec, |work| work.start_timeout = Span::seconds(5))
}

/// Deploys over a good release with users at work; the reason it failed for.
async fn fails(world: &World, good: &str, spec: &ServiceSpec) -> FailureReason {
    let load = world.load();
    let deployment = world.deploy(spec).await;
    // Also while the failed release is taken away.
    let left = async || (world.containers().len() == 1).then_some(());
    until("the failed release is gone", left).await;
    let report = load.finish().await;
    report.assert_no_failure(100);
    assert_eq!(report.by_release().into_keys().collect::<Vec<_>>(), [good]);
    match deployment.state {
        State::Failed { reason, .. } => {
            assert_eq!(deployment.failure, reason.to_string());
            reason
        }
        other => panic!("{} ended {}", deployment.id, other.name()),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cancelled_deployment_leaves_what_is_live_alone() {
    let world = World::start().await;
    let good = world.deploy_well(&faults("well-behaved", "good")).await;
    let load = world.load();
    // It would be given up after thirty seconds; nobody waits for that.
    let build = world.begin(&faults("never-healthy", "unwanted")).await;
    let id = world.deployment_of(build).await;
    let path = format!("/v1/deployments/{id}");
    let starting = async || {
        let found = world.api.find::<Deployment>(&path).await?;
        (matches!(found.state, State::Starting { .. }) && world.containers().len() == 2).then_some(())
    };
    until("its task starts", starting).await;
    let cancelled: Deployment = world.api.send(Method::POST, &format!("{path}/cancel"), &()).await;
    assert_eq!(cancelled.id, id);
    let ended = world.ended(id).await;
    assert!(matches!(ended.state, State::Cancelled { .. }), "it ended {}", ended.state.name());
    let left = async || (world.containers().len() == 1).then_some(());
    until("the cancelled release is gone", left).await;
    let (again, _) =
        world.api.call(Method::POST, &format!("{path}/cancel"), Vec::new()).await.expect("it answers");
    assert_eq!(again.as_u16(), 409, "it is over already");
    let report = load.finish().await;
    report.assert_no_failure(100);
    assert_eq!(report.by_release().into_keys().collect::<Vec<_>>(), [good]);
}

/// The task a failure names, which is known only from the failure.
fn task_of(reason: &FailureReason) -> TaskId {
    match reason {
        FailureReason::NeverHealthy { task, .. } => *task,
        other => panic!("another reason: {other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn releases_that_never_get_healthy_serve_nobody() {
    let world = World::start().await;
    let good = world.deploy_well(&faults("well-behaved", "good")).await;
    let listening = "listening on 0.0.0.0:3000".to_owned();

    let reason = fails(&world, &good, &impatient(faults("never-healthy", "bad"))).await;
    let probe = "GET /health answered 503".to_owned();
    let last_lines = vec![listening.clone()];
    assert_eq!(reason, FailureReason::NeverHealthy { task: task_of(&reason), probe, last_lines });

    let reason = fails(&world, &good, &impatient(faults("accepts-never-answers", "bad"))).await;
    let probe = "no answer within 1 s".to_owned();
    let last_lines = vec![listening.clone()];
    assert_eq!(reason, FailureReason::NeverHealthy { task: task_of(&reason), probe, last_lines });

    let reason = fails(&world, &good, &impatient(faults("error-500", "bad"))).await;
    let FailureReason::NeverHealthy { probe, last_lines, .. } = &reason else { panic!("{reason:?}") };
    assert_eq!(probe, "GET /health answered 500");
    // Each probe wrote one line, and only the last twenty are kept.
    let said: BTreeSet<&str> = last_lines.iter().map(String::as_str).collect();
    assert_eq!(said, BTreeSet::from(["health: SECRET_KEY is not set"]));
    assert_eq!(last_lines.len(), 20);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failing_release_command_and_a_port_nobody_listens_on_change_nothing() {
    let world = World::start().await;
    let good = world.deploy_well(&faults("well-behaved", "good")).await;

    let migrates = with(faults("failing-release", "bad"), |work| {
        work.release_command = Some(argv(&["node", "release.js"]));
    });
    let reason = fails(&world, &good, &migrates).await;
    let FailureReason::ReleaseCommandFailed { exit, last_lines } = reason else { panic!("{reason:?}") };
    let said: BTreeSet<&str> = last_lines.iter().map(String::as_str).collect();
    let expected = [
        "migrating: adding column total to table orders",
        "migrating: column \"total\" of relation \"orders\" already exists",
    ];
    assert_eq!((exit, said), (3, BTreeSet::from(expected)));

    let deaf = with(faults("well-behaved", "bad"), |work| {
        work.command = Some(argv(&["node", "-e", "setInterval(() => {}, 1000)"]));
    });
    let reason = fails(&world, &good, &impatient(deaf)).await;
    let probe = "connection refused".to_owned();
    assert_eq!(reason, FailureReason::NeverHealthy { task: task_of(&reason), probe, last_lines: Vec::new() });

    let ends = with(faults("well-behaved", "bad"), |work| {
        work.command = Some(argv(&["node", "-e", "console.log('no database'); process.exit(4)"]));
    });
    let reason = fails(&world, &good, &ends).await;
    let FailureReason::TaskExited { exit, out_of_memory, last_lines, .. } = reason else {
        panic!("{reason:?}")
    };
    assert_eq!((exit, out_of_memory, last_lines), (4, false, vec!["no database".to_owned()]));

    let missing = with(faults("well-behaved", "bad"), |work| {
        work.command = Some(argv(&["no-such-program"]));
    });
    let reason = fails(&world, &good, &missing).await;
    let FailureReason::TaskExited { exit, last_lines, .. } = &reason else { panic!("{reason:?}") };
    // The init process says it; the number in its line is its own.
    let names_it = last_lines.len() == 1
        && last_lines[0].ends_with("exec no-such-program failed: No such file or directory");
    assert!(*exit == 127 && names_it, "{reason:?}");
}

/// A registry that knows no image at all.
async fn empty_registry() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = listener.local_addr().expect("it is bound").port();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(answer(stream));
        }
    });
    port
}

async fn answer(mut stream: TcpStream) {
    let mut head = Vec::new();
    let mut piece = [0; 1024];
    while !head.windows(4).any(|bytes| bytes == b"\r\n\r\n") {
        match stream.read(&mut piece).await {
            Ok(0) | Err(_) => return,
            // Docker tries TLS first and goes on without when we hang up.
            Ok(_) if head.is_empty() && piece[0] == 0x16 => return,
            Ok(count) => head.extend_from_slice(&piece[..count]),
        }
    }
    let is_ping = head.starts_with(b"GET /v2/ ");
    let (status, body) = match is_ping {
        true => ("200 OK", "{}"),
        false => ("404 Not Found", "{\"errors\":[{\"code\":\"MANIFEST_UNKNOWN\",\"message\":\"unknown\"}]}"),
    };
    let length = body.len();
    let answer = format!(
        "HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}"
    );
    let _ = stream.write_all(answer.as_bytes()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_image_that_does_not_exist_is_a_failed_build() {
    let world = World::start().await;
    let good = world.deploy_well(&faults("well-behaved", "good")).await;
    let image = format!("127.0.0.1:{}/team/app:9", empty_registry().await);
    let load = world.load();
    let path = format!("{SERVICE}/builds?image={image}");
    let accepted: BuildAccepted = world.api.send(Method::POST, &path, &()).await;
    let BuildState::Failed { reason, step, last_lines, .. } = world.built(accepted.build.id).await else {
        panic!("the build found something")
    };
    assert_eq!((step, last_lines), (String::new(), Vec::<String>::new()));
    assert!(reason.contains(&image) && reason.contains("not"), "{reason}");
    let report = load.finish().await;
    report.assert_no_failure(1);
    assert_eq!(report.by_release().into_keys().collect::<Vec<_>>(), [good]);
}
