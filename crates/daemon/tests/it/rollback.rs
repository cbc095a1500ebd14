//! Going back: the earlier release with its own configuration, without a build and without its release command.

use std::time::Instant;

use havre_api::build::BuildList;
use havre_api::deployment::{DeploymentAccepted, RollbackRequest};
use havre_core::deployment::Kind;
use hyper::Method;

use crate::world::load::ask_once;
use crate::world::spec::{HOST, argv, faults, with};
use crate::world::{SERVICE, World, assert_succeeded};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rollback_brings_the_old_release_and_its_configuration_back() {
    let world = World::start().await;
    let spec = |version: &str| {
        with(faults("well-behaved", version), |work| {
            work.release_command = Some(argv(&["node", "-e", "console.log('migrated')"]));
        })
    };
    let old = world.deploy_well(&spec("old")).await;
    let new = world.deploy_well(&spec("new")).await;
    let load = world.load();
    let begun = Instant::now();
    let accepted: DeploymentAccepted =
        world.api.send(Method::POST, &format!("{SERVICE}/rollback"), &RollbackRequest::default()).await;
    let asked = accepted.deployment.expect("it is no dry run");
    assert_eq!((asked.kind, asked.release.to_string()), (Kind::Rollback, old.clone()));
    assert_succeeded(&world.ended(asked.id).await);
    let done = Instant::now();
    eprintln!("rollback: {} ms", done.duration_since(begun).as_millis());
    tokio::time::sleep(std::time::Duration::from_millis(300)).await;
    let report = load.finish().await;
    report.assert_no_failure(100);
    assert_eq!(report.releases_in(done, Instant::now()).into_iter().collect::<Vec<_>>(), [old.as_str()]);
    let identity = ask_once(world.address, HOST).await.expect("it answers");
    assert_eq!((identity.release, identity.version.as_str()), (old, "old"));
    assert_ne!(new, identity.version);

    let builds: BuildList = world.api.get(&format!("{SERVICE}/builds")).await;
    assert_eq!(builds.builds.len(), 2, "a rollback builds nothing");
    let moments = world.watch.moments();
    let commands =
        moments.iter().filter(|moment| moment.what == "start" && moment.purpose == "release-command");
    assert_eq!(commands.count(), 2, "a rollback migrates nothing");
}
