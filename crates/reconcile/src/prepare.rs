//! What must be there before a task can start: networks and images. Idempotent; used by the steps of services, deployments
//! and jobs.

use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};

use havre_core::artifact::Artifact;
use havre_core::quantity::ByteSize;
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

/// The artifact of a release is on this machine. Answers the room it takes: of an image with the layers it shares with others,
/// of a site its files; `None` where nobody can say it, and for a site that was measured before.
pub(crate) async fn artifact(world: &World, release: &Release) -> Result<Option<ByteSize>, Fault> {
    match &release.artifact {
        Artifact::Site { digest } => {
            let path = world.settings.sites_dir.join(digest.hex());
            if tokio::fs::metadata(&path).await.is_err() {
                let message = format!("the files of site {} are gone; deploy it again", digest.short());
                return Err(Fault::Impossible(message));
            }
            if release.size.is_some() {
                return Ok(None);
            }
            Ok(measure(path).await)
        }
        Artifact::Image { id, pull } => {
            if let Some(image) = world.engine.find_image(id).await? {
                return Ok(Some(image.size));
            }
            let Some(reference) = pull else {
                let message = format!("image {} was built here and is gone; deploy again", id.short());
                return Err(Fault::Impossible(message));
            };
            let credentials = registry::credentials(world, reference).await?;
            let engine = &world.engine;
            engine.resolve_image(reference, PullPolicy::IfMissing, credentials.as_ref(), None).await?;
            Ok(engine.find_image(id).await?.map(|image| image.size))
        }
    }
}

/// Bytes of the files of a folder. A size that cannot be had holds no deployment up.
async fn measure(folder: PathBuf) -> Option<ByteSize> {
    let counted = tokio::task::spawn_blocking(move || count(&folder)).await.ok()?;
    counted.map(ByteSize::bytes).inspect_err(|error| tracing::warn!(%error, "could not measure a site")).ok()
}

/// Links are counted by themselves, never followed.
fn count(folder: &Path) -> std::io::Result<u64> {
    let mut bytes = 0;
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        bytes += if entry.file_type()?.is_dir() { count(&entry.path())? } else { entry.metadata()?.len() };
    }
    Ok(bytes)
}

/// The node's own address on a private network: the first of its subnet, as Docker itself would choose.
pub(crate) fn gateway(subnet: &str) -> Result<Ipv4Addr, Fault> {
    let base = subnet.split('/').next().and_then(|base| base.parse::<Ipv4Addr>().ok());
    let base = base.ok_or_else(|| Fault::Impossible(format!("`{subnet}` is not a subnet")))?;
    Ok(Ipv4Addr::from(u32::from(base) + 1))
}
