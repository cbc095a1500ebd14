//! A service with a volume has one writer at a time, and its files outlive releases.

use havre_api::task::ExecRequest;

use crate::world::api::no_env;
use crate::world::docker::volumes;
use crate::world::spec::{argv, faults, with};
use crate::world::{SERVICE, World};
use havre_core::service::spec::{ServiceSpec, VolumeSpec};

/// A folder the image gives to the user its processes run as.
const FOLDER: &str = "/home/node";

fn with_volume(version: &str) -> ServiceSpec {
    with(faults("well-behaved", version), |work| {
        work.volumes = vec![VolumeSpec {
            name: "files".parse().expect("a name"),
            path: FOLDER.parse().expect("a path"),
            backup: None,
        }];
    })
}

/// Runs JavaScript inside the running task; what it wrote.
async fn evaluate(world: &World, script: &str) -> (String, String) {
    let request =
        ExecRequest { argv: argv(&["node", "-e", script]), task: None, terminal: None, env: no_env() };
    world.api.session(&format!("{SERVICE}/exec"), &request, b"").await.text()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_volume_never_has_two_writers_and_outlives_releases() {
    let world = World::start().await;
    world.deploy_well(&with_volume("1")).await;
    let write = format!("require('fs').writeFileSync('{FOLDER}/note', 'of the first release')");
    assert_eq!(evaluate(&world, &write).await, (String::new(), String::new()));
    for version in ["2", "3"] {
        world.deploy_well(&with_volume(version)).await;
    }
    let read = format!("process.stdout.write(require('fs').readFileSync('{FOLDER}/note'))");
    assert_eq!(evaluate(&world, &read).await, ("of the first release".to_owned(), String::new()));
    assert_eq!(volumes(&world.installation).expect("docker answers").len(), 1);

    let moments = world.watch.moments();
    let order: Vec<&str> = moments.iter().map(|moment| moment.what.as_str()).collect();
    assert_eq!(order, ["start", "die", "start", "die", "start"], "{moments:?}");
    let pairs = [(0, 1), (2, 3)];
    for (start, die) in pairs {
        assert_eq!(moments[start].container, moments[die].container);
    }
}
