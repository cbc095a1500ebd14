//! What must be there before a task can start: networks and images. Idempotent; used by the steps of services, deployments
//! and jobs.

use std::net::Ipv4Addr;

use havre_core::artifact::Artifact;
use havre_core::release::Release;
use havre_core::task::spec::environment_network;
use havre_engine::image::PullPolicy;
use havre_engine::network::{NetworkEnvironment, NetworkSpec};
use havre_store::Environment;

use crate::execute::Fault;
use crate::registry;
use crate::world::World;

/// The environment's private network and `havre-edge` exist.
pub(crate) async fn networks(world: &World, environment: &Environment) -> Result<(), Fault> {
    world.engine.ensure_network(&world.settings.edge_network).await?;
    let network = NetworkSpec {
        name: environment_network(environment.id),
        subnet: environment.subnet.clone(),
        gateway: gateway(&environment.subnet)?,
        isolated: false,
        environment: Some(NetworkEnvironment {
            id: environment.id,
            project: environment.project_name.clone(),
            name: environment.name.clone(),
        }),
    };
    Ok(world.engine.ensure_network(&network).await?)
}

/// The artifact of a release is on this machine.
pub(crate) async fn artifact(world: &World, release: &Release) -> Result<(), Fault> {
    match &release.artifact {
        Artifact::Site { digest } => {
            if tokio::fs::metadata(world.settings.sites_dir.join(digest.hex())).await.is_err() {
                let message = format!("the files of site {} are gone; deploy it again", digest.short());
                return Err(Fault::Impossible(message));
            }
        }
        Artifact::Image { id, pull } => {
            if world.engine.find_image(id).await?.is_some() {
                return Ok(());
            }
            let Some(reference) = pull else {
                let message = format!("image {} was built here and is gone; deploy again", id.short());
                return Err(Fault::Impossible(message));
            };
            let credentials = registry::credentials(world, reference).await?;
            let engine = &world.engine;
            engine.resolve_image(reference, PullPolicy::IfMissing, credentials.as_ref(), None).await?;
        }
    }
    Ok(())
}

/// The node's own address on a private network: the first of its subnet, as Docker itself would choose.
fn gateway(subnet: &str) -> Result<Ipv4Addr, Fault> {
    let base = subnet.split('/').next().and_then(|base| base.parse::<Ipv4Addr>().ok());
    let base = base.ok_or_else(|| Fault::Impossible(format!("`{subnet}` is not a subnet")))?;
    Ok(Ipv4Addr::from(u32::from(base) + 1))
}
