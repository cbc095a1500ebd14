//! Restarting the Docker daemon drops no request. A program of its own, because it disturbs everything else that uses
//! Docker on the machine: only `script/e2e --restart-docker` runs it.

#[expect(dead_code, reason = "shared with the other tests, which use all of it")]
#[path = "../it/world/mod.rs"]
mod world;

use std::path::Path;
use std::time::{Duration, Instant};

use havre_api::node::NodeStatus;
use tokio::process::Command;

use world::spec::faults;
use world::{World, until};

/// Stops the daemon, waits, starts it again; refuses where these scripts have not started it.
async fn restart_docker() {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../script/e2e");
    let ended = Command::new(script).arg("restart-docker-now").status().await.expect("the script starts");
    assert!(ended.success(), "the Docker daemon was not restarted; the lines above say why");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn restarting_docker_drops_no_request() {
    let world = World::start().await;
    let first = world.deploy_well(&faults("well-behaved", "1")).await;
    let before = world.containers();
    let load = world.load();
    let begun = Instant::now();
    restart_docker().await;
    let back = Instant::now();
    eprintln!("Docker was away for about {} ms", back.duration_since(begun).as_millis());
    assert_eq!(world.containers(), before, "the very same task goes on");
    let ready = async || {
        let status: NodeStatus = world.api.find("/v1/status").await?;
        status.engine.is_ready.then_some(())
    };
    until("control has found Docker again", ready).await;
    let second = world.deploy_well(&faults("well-behaved", "2")).await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    let report = load.finish().await;
    report.assert_no_failure(500);
    assert_eq!(report.releases_in(begun, back).into_iter().collect::<Vec<_>>(), [first]);
    assert!(report.by_release().contains_key(&second));
}
