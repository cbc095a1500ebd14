//! One restore into a new volume: makes it, fills it, and reads what is in there. Each part is recorded before the next one begins; what follows
//! from what was seen is `havre_rescue::volume`. A load that a Havre that has ended had begun is nobody's: its volume goes, and it is
//! begun again.

use std::io;
use std::time::Duration;

use bytes::Bytes;
use futures_util::{StreamExt as _, stream};
use havre_backup::{Dump, Tally};
use havre_core::artifact::Artifact;
use havre_core::backup::Content;
use havre_core::event::Actor;
use havre_core::id::VolumeRestoreId;
use havre_engine::error::EngineError;
use havre_engine::files::VolumeFiles;
use havre_engine::network::VolumeSpec;
use havre_reconcile::deployment::chain;
use havre_rescue::tree::{Tree, Walk};
use havre_rescue::volume::{Observation, State, VolumeRestore, observe};
use havre_store::StoreError;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::backup::producer::volume::derive_files;
use crate::backup::repositories;
use crate::world::World;

/// Longest time a volume may take to be filled, and to be read.
const LOAD_MAX: Duration = Duration::from_secs(24 * 3600);
/// Parts on their way to the engine.
const PARTS: usize = 4;

/// Why a part did not come to its end.
#[derive(Debug)]
enum Fault {
    /// Nobody can say anything now: it is tried again.
    NotNow(String),
    /// It does not work.
    Broken(String),
}

impl From<EngineError> for Fault {
    fn from(error: EngineError) -> Self {
        match error {
            EngineError::Unreachable { .. } => Self::NotNow(chain(&error)),
            error => Self::Broken(chain(&error)),
        }
    }
}

impl From<StoreError> for Fault {
    fn from(error: StoreError) -> Self {
        Self::NotNow(chain(&error))
    }
}

/// Moves a restore on as far as it goes now.
pub(super) async fn advance(
    world: &World,
    id: VolumeRestoreId,
    stop: &CancellationToken,
) -> Result<(), String> {
    let read = world.store.read(move |view| view.get_volume_restore(id)).await;
    let mut restore = read.map_err(|error| chain(&error))?;
    let mut has_begun = false;
    while !restore.state.is_over() {
        let seen = tokio::select! {
            () = stop.cancelled() => return Ok(()),
            seen = step(world, &restore, has_begun) => match seen {
                Ok(seen) => seen,
                Err(Fault::Broken(reason)) => Observation::Broken { reason },
                Err(Fault::NotNow(reason)) => return Err(reason),
            },
        };
        has_begun = true;
        let from = restore.state.clone();
        let to = observe(&from, &seen, &restore.manifest, world.now());
        if let State::Failed { stage, reason, .. } = &to {
            tracing::warn!(restore = %id, %stage, %reason, "a restore failed; what was made of its volume goes");
            discard(world, &restore).await;
        }
        restore.state = to.clone();
        let record = world
            .store
            .write(world.now(), Actor::Havre, move |tx| tx.set_volume_restore_state(id, &from, &to));
        record.await.map_err(|error| chain(&error))?;
    }
    Ok(())
}

async fn step(world: &World, restore: &VolumeRestore, has_begun: bool) -> Result<Observation, Fault> {
    match &restore.state {
        State::Waiting { .. } => Ok(Observation::Begun),
        State::Loading { .. } if !has_begun => Ok(Observation::Interrupted),
        State::Loading { .. } => {
            let (content, tree) = load(world, restore).await?;
            Ok(Observation::Loaded { content, tree })
        }
        State::Checking { .. } => Ok(Observation::Checked { tree: read(world, restore).await? }),
        State::Ready { .. } | State::Failed { .. } => {
            Ok(Observation::Broken { reason: "it is over".to_owned() })
        }
    }
}

/// How the engine comes to the new volume: by the image of the release that runs.
async fn files(world: &World, restore: &VolumeRestore) -> Result<VolumeFiles, Fault> {
    let id = restore.service;
    let live = world.store.read(move |view| {
        if !view.has_service(id)? {
            return Ok(None);
        }
        let service = view.get_service(id)?;
        let live = service.live.filter(|_| service.destroyed_at.is_none());
        live.map(|live| view.get_release(live)).transpose()
    });
    match live.await?.map(|release| release.artifact) {
        Some(Artifact::Image { id: image, .. }) => Ok(derive_files(id, &restore.volume, image)),
        Some(Artifact::Site { .. }) | None => {
            Err(Fault::Broken(format!("{} has no release that runs tasks", restore.place)))
        }
    }
}

/// Makes the volume anew and fills it.
async fn load(world: &World, restore: &VolumeRestore) -> Result<(Content, Tree), Fault> {
    let files = files(world, restore).await?;
    let opened = repositories::open(world, &restore.target).await.map_err(Fault::Broken)?;
    if opened.id != restore.manifest.repository {
        let reason = "another repository lies there than the one the manifest names".to_owned();
        return Err(Fault::Broken(reason));
    }
    // Nothing is left of an attempt before. One that somebody uses is refused here, and stays as it is.
    world.engine.remove_volume(&files.volume).await?;
    let (service, place) = (restore.service, restore.place.clone());
    world.engine.ensure_volume(&VolumeSpec { name: files.volume.clone(), service, place }).await?;
    let cancel = CancellationToken::new();
    // Whoever gives this up does not read the rest of it.
    let _gives_up = cancel.clone().drop_guard();
    let dump = opened.repository.dump(&restore.manifest.snapshot, &cancel).await;
    let dump = dump.map_err(|error| Fault::Broken(chain(&error)))?;
    let (sender, parts) = mpsc::channel(PARTS);
    let parts = stream::unfold(parts, |mut parts| async move { Some((parts.recv().await?, parts)) }).boxed();
    let both = async { tokio::join!(feed(dump, sender), world.engine.extract(&files, parts)) };
    let Ok((fed, filled)) = tokio::time::timeout(LOAD_MAX, both).await else { return Err(late()) };
    match (fed, filled) {
        // Why the repository gave no more says more than what the engine made of that.
        (Err(Some(reason)), _) => Err(Fault::Broken(reason)),
        (_, Err(error)) => Err(error.into()),
        (Err(None), Ok(())) => Err(Fault::Broken("the engine took in only a part of it".to_owned())),
        (Ok((content, walk)), Ok(())) => Ok((content, walk.finish().map_err(Fault::Broken)?)),
    }
}

/// Hands a snapshot over. `None` where nobody takes it any more.
async fn feed(
    mut dump: Dump,
    sender: mpsc::Sender<io::Result<Bytes>>,
) -> Result<(Content, Walk), Option<String>> {
    let (mut tally, mut walk) = (Tally::default(), Walk::default());
    loop {
        match dump.next().await {
            Ok(Some(bytes)) => {
                tally.add(&bytes);
                walk.push(&bytes);
                if sender.send(Ok(bytes)).await.is_err() {
                    return Err(None);
                }
            }
            Ok(None) => return Ok((tally.content(), walk)),
            Err(error) => {
                let reason = chain(&error);
                // So that the engine does not take the beginning for all of it.
                let _ = sender.send(Err(io::Error::other("the snapshot could not be read to its end"))).await;
                return Err(Some(reason));
            }
        }
    }
}

/// What is in the new volume.
async fn read(world: &World, restore: &VolumeRestore) -> Result<Tree, Fault> {
    let files = files(world, restore).await?;
    let reading = async {
        let mut parts = world.engine.archive(&files).await?;
        let mut walk = Walk::default();
        while let Some(part) = parts.next().await {
            walk.push(&part?);
        }
        Ok::<Walk, EngineError>(walk)
    };
    let Ok(walk) = tokio::time::timeout(LOAD_MAX, reading).await else { return Err(late()) };
    walk?.finish().map_err(Fault::Broken)
}

fn late() -> Fault {
    Fault::Broken(format!("it did not end within {} hours", LOAD_MAX.as_secs() / 3600))
}

/// Takes away what was made. It belongs to its service: where that does not work now, it goes with that.
async fn discard(world: &World, restore: &VolumeRestore) {
    let name = havre_core::task::spec::volume_name(restore.service, &restore.volume);
    if let Err(error) = world.engine.remove_volume(&name).await {
        tracing::warn!(restore = %restore.id, volume = %name, error = %chain(&error), "could not take away what a restore has made of a volume");
    }
}
