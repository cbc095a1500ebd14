//! An edge hands over to a successor, as it does when it is upgraded, while users go on asking.

use std::time::Duration;

use rustix::process::Signal;

use crate::crash::find_child;
use crate::world::load::ask_once;
use crate::world::process::{children, signal};
use crate::world::spec::{HOST, faults};
use crate::world::{World, until};

const TIMES: usize = 10;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_upgrades_of_the_edge_under_load_fail_no_request() {
    let mut world = World::start_supervised().await;
    let first = world.deploy_well(&faults("well-behaved", "1")).await;
    let supervisor = world.process("supervise").id();
    let load = world.load();
    let mut edge = find_child(supervisor, "edge").expect("the edge runs");
    for _ in 0..TIMES {
        // Users get somewhere in between.
        tokio::time::sleep(Duration::from_millis(300)).await;
        signal(edge, Signal::HUP);
        // The predecessor drains until its last connection has gone; its successor is the supervisor's then.
        edge = until("a successor has taken over", async || {
            find_child(supervisor, "edge").filter(|found| *found != edge)
        })
        .await;
    }
    tokio::time::sleep(Duration::from_millis(200)).await;
    let report = load.finish().await;
    report.assert_no_failure(500);
    assert_eq!(report.by_release().into_keys().collect::<Vec<_>>(), [first]);

    // Control still knows the edge, and deployments go on.
    let second = world.deploy_well(&faults("well-behaved", "2")).await;
    assert_eq!(ask_once(world.address, HOST).await.map(|identity| identity.release), Ok(second));
    assert_eq!(world.process("supervise").stop().code(), Some(0));
    assert_eq!(children(supervisor), []);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_successor_that_cannot_start_changes_nothing() {
    let mut world = World::start_supervised().await;
    let first = world.deploy_well(&faults("well-behaved", "1")).await;
    let supervisor = world.process("supervise").id();
    let edge = find_child(supervisor, "edge").expect("the edge runs");
    let load = world.load();
    let good = std::fs::read(&world.config).expect("the configuration");
    std::fs::write(&world.config, "[edge]\nlisten = 7\n").expect("a broken configuration");
    signal(edge, Signal::HUP);
    let log = world.config.with_file_name("supervise.log");
    let said = "no successor; this edge goes on as before";
    let refused = async || std::fs::read_to_string(&log).ok()?.contains(said).then_some(());
    until("the edge says that it has no successor", refused).await;
    assert_eq!(find_child(supervisor, "edge"), Some(edge));
    std::fs::write(&world.config, good).expect("the configuration again");
    let report = load.finish().await;
    report.assert_no_failure(1);
    assert_eq!(report.by_release().into_keys().collect::<Vec<_>>(), [first]);
}
