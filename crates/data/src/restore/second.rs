//! A drill to a second: the files of a base backup and WAL go on its volume, and a server without a network reads up to that second, where nobody
//! can reach it. What is then looked at is what a drill of a dump looks at. Which containers and words is decided in
//! `havre_rescue::recovery`. Tests: `tests/it/drill_to_a_second.rs`.

use havre_core::backup::Content;
use havre_reconcile::deployment::chain;
use havre_rescue::aim::Aim;
use havre_rescue::drill::Drill;
use havre_rescue::proof::{Failure, Observation, Structure};
use havre_rescue::recovery::{Part, derive_drilled};
use tokio_util::sync::CancellationToken;

use super::copy::Server;
use super::recovery::{self, LOAD_MAX, loader, words_of};
use crate::world::World;

/// Brings the server of a drill to its second. `None` where Havre stops before that has ended: then nobody knows what is in.
pub(super) async fn load(
    world: &World,
    (drill, aim): (&Drill, &Aim),
    server: &Server,
    stop: &CancellationToken,
) -> Option<Observation> {
    let work = tokio::time::timeout(LOAD_MAX, try_load(world, drill, aim, server));
    tokio::select! {
        () = stop.cancelled() => None,
        loaded = work => Some(match loaded {
            Ok(Ok((content, files))) => Observation::Recovered { content, files },
            Ok(Err(reason)) => Observation::Broken { reason },
            Err(_) => {
                let reason = format!("it did not end within {} hours", LOAD_MAX.as_secs() / 3600);
                Observation::Broken { reason: loader(reason) }
            }
        }),
    }
}

async fn try_load(
    world: &World,
    drill: &Drill,
    aim: &Aim,
    server: &Server,
) -> Result<(Content, Structure), Failure> {
    let saved = (&drill.target, &drill.manifest);
    let (content, files) = recovery::fill(world, server, saved, &aim.recovery, true).await?;
    if let Structure::Damaged { .. } = files {
        // No server is started on them.
        return Ok((content, files));
    }
    recovery::remove(world, server).await?;
    let image = super::drill::image(world, drill).await.map_err(|fault| loader(words_of(fault)))?;
    let started = world.engine.ensure_task(&derive_drilled(drill, aim, Part::Recover, &image)).await;
    world.forget_engine();
    started.map_err(|error| loader(chain(&error)))?;
    recovery::wait(world, server).await?;
    Ok((content, files))
}
