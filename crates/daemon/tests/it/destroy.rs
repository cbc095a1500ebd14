//! Destroying an environment leaves nothing of it: no container, no network, no volume, no route.

use havre_api::environment::{DestroyResponse, EnvironmentStatus};
use havre_core::service::spec::VolumeSpec;
use hyper::{Method, StatusCode};

use crate::world::docker::{networks, volumes};
use crate::world::load::ask_once;
use crate::world::spec::{HOST, faults, with};
use crate::world::{ENVIRONMENT, World, until};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn destroying_an_environment_leaves_nothing_of_it() {
    let world = World::start().await;
    let spec = with(faults("well-behaved", "1"), |work| {
        work.volumes = vec![VolumeSpec {
            name: "files".parse().expect("a name"),
            path: "/home/node".parse().expect("a path"),
            backup: None,
        }];
    });
    world.deploy_well(&spec).await;
    world.deploy_well(&spec).await;
    let both = networks(&world.installation).expect("docker answers");
    assert_eq!((both.len(), world.containers().len()), (2, 1));

    let (status, _) = world.api.call(Method::DELETE, ENVIRONMENT, Vec::new()).await.expect("control answers");
    assert_eq!(status, StatusCode::BAD_REQUEST, "the name has to be said a second time");
    let path = format!("{ENVIRONMENT}?confirm=production");
    let going: DestroyResponse = world.api.send(Method::DELETE, &path, &()).await;
    let named: Vec<_> =
        going.services.iter().map(|gone| (gone.releases, gone.tasks, gone.volumes.len())).collect();
    assert_eq!(named, [(2, 1, 1)]);

    let gone = async || world.api.find::<EnvironmentStatus>(ENVIRONMENT).await.is_none().then_some(());
    until("the environment is gone", gone).await;
    assert_eq!(world.containers(), Vec::<String>::new());
    assert_eq!(volumes(&world.installation).expect("docker answers"), Vec::<String>::new());
    let left = networks(&world.installation).expect("docker answers");
    assert!(left.len() == 1 && left[0].starts_with("havre-e2e-"), "only the edge's own is left: {left:?}");
    let refused = async || ask_once(world.address, HOST).await.err().filter(|error| error.contains("421"));
    until("the host is unknown", refused).await;
}
