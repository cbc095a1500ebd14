//! More tasks and fewer again, with users at work.

use std::time::Instant;

use havre_api::service::{ScaleRequest, ScaleResponse, ServiceStatus, Summary};
use hyper::Method;

use crate::world::spec::faults;
use crate::world::{SERVICE, World, until};

async fn scale(world: &World, replicas: u32) {
    let request = ScaleRequest { replicas, dry_run: false };
    let _: ScaleResponse = world.api.send(Method::POST, &format!("{SERVICE}/scale"), &request).await;
    let look = async || {
        let status: ServiceStatus = world.api.find(SERVICE).await?;
        let is_done = status.summary == Summary::Running && status.tasks.len() == replicas as usize;
        is_done.then_some(())
    };
    until("the service has as many healthy tasks as asked for", look).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn scaling_up_and_down_drops_no_request() {
    let world = World::start().await;
    world.deploy_well(&faults("dies-at-once", "1")).await;
    let load = world.load();
    scale(&world, 3).await;
    let many = Instant::now();
    let all = async || (load.tasks_since(many).len() == 3).then_some(());
    until("three tasks answer", all).await;
    assert_eq!(world.containers().len(), 3);
    scale(&world, 1).await;
    let one = Instant::now();
    let some = async || (!load.tasks_since(one).is_empty()).then_some(());
    until("users go on", some).await;
    tokio::time::sleep(std::time::Duration::from_millis(300)).await;
    assert_eq!(load.tasks_since(one).len(), 1);
    assert_eq!(world.containers().len(), 1);
    load.finish().await.assert_no_failure(200);
}
