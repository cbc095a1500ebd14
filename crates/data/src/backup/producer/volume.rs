//! Volumes of services: the engine gives their files out as one tar. Which of them are saved is `havre_rescue::volume`; whether the tar
//! is whole says `havre_rescue::tree`, since engines do not.

use std::time::Duration;

use futures_util::StreamExt as _;
use havre_core::artifact::{Artifact, Digest};
use havre_core::backup::policy::VolumeMode;
use havre_core::backup::state::Exit;
use havre_core::id::{BackupRunId, ServiceId};
use havre_core::name::VolumeName;
use havre_core::service::Place;
use havre_core::task::spec::volume_name;
use havre_engine::files::{ROOT, VolumeFiles};
use havre_reconcile::deployment::chain;
use havre_rescue::tree::{Tree, Walk};
use havre_rescue::volume::{PAUSE_MAX, source_version};
use havre_store::{StoreError, View};

use super::Produced;
use crate::backup::pause;
use crate::backup::stream::{Sink, Unread};
use crate::world::World;

/// Longest time the engine may give nothing while somebody reads.
const STALL: Duration = Duration::from_secs(3600);

/// A volume that is saved.
pub(in crate::backup) struct Volume {
    service: ServiceId,
    /// How the engine comes to it.
    files: VolumeFiles,
    mode: VolumeMode,
    /// The run that saves it.
    run: BackupRunId,
}

/// Finds a volume; or why it cannot be saved, in words.
pub(super) fn find(
    view: &View<'_>,
    (place, volume): (&Place, &VolumeName),
    run: BackupRunId,
) -> Result<Result<Volume, String>, StoreError> {
    let gone = || Ok(Err(format!("there is no volume {volume} of {place} any more")));
    let Some(service) = view.find_service(place)? else { return gone() };
    let Some(live) = service.live.filter(|_| service.destroyed_at.is_none()) else { return gone() };
    let live = view.get_release(live)?;
    let has_it = |spec: &havre_core::service::spec::ServiceSpec| {
        spec.tasks().and_then(|work| work.volumes.iter().find(|one| one.name == *volume)).cloned()
    };
    if has_it(&live.spec).is_none() {
        return Ok(Err(format!("no task of {place} has the volume {volume}: deploy it first")));
    }
    let Artifact::Image { id: image, .. } = live.artifact else { return gone() };
    let backup = has_it(&service.spec).and_then(|one| one.backup);
    let files = derive_files(service.id, volume, image);
    let mode = backup.map(|backup| backup.mode).unwrap_or_default();
    Ok(Ok(Volume { service: service.id, files, mode, run }))
}

pub(crate) fn derive_files(service: ServiceId, volume: &VolumeName, image: Digest) -> VolumeFiles {
    VolumeFiles { volume: volume_name(service, volume), image }
}

pub(super) async fn produce(world: &World, volume: &Volume, mut sink: Sink<'_>) -> Result<Produced, Unread> {
    let read = match volume.mode {
        VolumeMode::Plain => read(world, volume, &mut sink).await?,
        VolumeMode::Pause => read_still(world, volume, &mut sink).await?,
    };
    let (exit, rows) = match read {
        Ok(tree) => (Exit::Succeeded, tree.rows()),
        Err(reason) => (Exit::Failed { reason }, Default::default()),
    };
    let version = source_version(volume.mode).to_owned();
    Ok(Produced { version, rows, ..Produced::ended(sink, exit, &[ROOT.as_bytes()]) })
}

/// Reads while nobody writes. Where this is dropped, whoever dropped it lets the tasks go on.
async fn read_still(
    world: &World,
    volume: &Volume,
    sink: &mut Sink<'_>,
) -> Result<Result<Tree, String>, Unread> {
    let Volume { service, run, .. } = volume;
    let held = match pause::hold(world, *service, *run).await {
        Ok(held) => held,
        Err(error) => {
            let reason = chain(&error);
            clean_up(world, volume).await;
            return Ok(Err(reason));
        }
    };
    let read = tokio::time::timeout(PAUSE_MAX.duration(), read(world, volume, sink)).await;
    let was_still = pause::release(world, *service, *run, &held).await;
    let read = match read {
        Ok(read) => read?,
        Err(_) => Err(format!(
            "its tasks were paused for {PAUSE_MAX}, and not all of it was read; mode = \"plain\" reads it without a pause"
        )),
    };
    Ok(match (read, was_still) {
        (Err(reason), _) => Err(reason),
        (Ok(tree), Ok(true)) => Ok(tree),
        (Ok(_), Ok(false)) => {
            Err("a task of the service ran while it was read: somebody deployed or let it go on".to_owned())
        }
        (Ok(_), Err(error)) => Err(chain(&error)),
    })
}

async fn read(world: &World, volume: &Volume, sink: &mut Sink<'_>) -> Result<Result<Tree, String>, Unread> {
    let mut parts = match world.engine.archive(&volume.files).await {
        Ok(parts) => parts,
        Err(error) => return Ok(Err(chain(&error))),
    };
    let mut walk = Walk::default();
    loop {
        match tokio::time::timeout(STALL, parts.next()).await {
            Err(_) => return Ok(Err(format!("nothing came for {} minutes", STALL.as_secs() / 60))),
            Ok(None) => break,
            Ok(Some(Err(error))) => return Ok(Err(chain(&error))),
            Ok(Some(Ok(bytes))) => {
                walk.push(&bytes);
                sink.take(&bytes).await?;
            }
        }
    }
    Ok(walk.finish().map_err(|reason| {
        let hint = match volume.mode {
            VolumeMode::Plain => {
                ": a file became shorter while it was read; mode = \"pause\" holds the service still"
            }
            VolumeMode::Pause => "",
        };
        format!("{reason}{hint}")
    }))
}

/// Lets tasks go on that the run has paused. What cannot be let go on now, the next round tries again.
pub(super) async fn clean_up(world: &World, volume: &Volume) {
    if let Err(error) = pause::give_up(world, volume.run).await {
        tracing::error!(run = %volume.run, error = %chain(&error), "tasks are paused and could not be let go on; trying again");
    }
}
