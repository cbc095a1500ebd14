//! A deploy never drops a request, whatever the application does on SIGTERM, and done means done.

use std::collections::BTreeSet;
use std::time::Instant;

use crate::world::World;
use crate::world::spec::faults;

/// Deploys after the first.
const DEPLOYS: usize = 5;

async fn deploys_drop_nothing(behaviour: &str) {
    let world = World::start().await;
    let mut done = vec![(world.deploy_well(&faults(behaviour, "0")).await, Instant::now())];
    let load = world.load();
    // From the moment a deployment has succeeded until the next one is asked for, one release answers.
    let mut asked = Vec::new();
    for version in 1..=DEPLOYS {
        tokio::time::sleep(std::time::Duration::from_millis(300)).await;
        asked.push(Instant::now());
        let release = world.deploy_well(&faults(behaviour, &version.to_string())).await;
        done.push((release, Instant::now()));
    }
    tokio::time::sleep(std::time::Duration::from_millis(300)).await;
    asked.push(Instant::now());
    let report = load.finish().await;
    report.assert_no_failure(500);
    let quiet: Vec<BTreeSet<String>> =
        done.iter().zip(&asked).map(|((_, from), to)| report.releases_in(*from, *to)).collect();
    let expected: Vec<BTreeSet<String>> =
        done.iter().map(|(release, _)| BTreeSet::from([release.clone()])).collect();
    assert_eq!(quiet, expected);
    assert_eq!(world.containers().len(), 1, "only the last release is left: {:?}", world.containers());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn five_deploys_of_a_well_behaved_app_drop_no_request() {
    deploys_drop_nothing("well-behaved").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn five_deploys_of_an_app_that_dies_at_once_drop_no_request() {
    deploys_drop_nothing("dies-at-once").await;
}
