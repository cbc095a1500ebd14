//! Drives the loops of data, each by itself: what one waits for holds no other back.

use tokio_util::sync::CancellationToken;

use crate::world::World;
use crate::{backup, copy, restore, swap};

/// Runs the loops until `stop`; returns when every step under way has ended.
pub async fn run(world: World, stop: CancellationToken) {
    let (of, until) = (|| world.clone(), || stop.clone());
    let loops = [
        // A backup may take hours.
        ("backups", tokio::spawn(backup::run(of(), until()))),
        // What happens now is lost with the disk until a target has it.
        ("WAL", tokio::spawn(backup::wal::run(of(), until()))),
        // A large database takes hours.
        ("copies", tokio::spawn(copy::run(of(), until()))),
        // A snapshot takes its time to go into a server.
        ("restores", tokio::spawn(restore::run(of(), until()))),
        // Both servers of a swap take their time to stop and to start.
        ("swaps", tokio::spawn(swap::run(of(), until()))),
    ];
    for (what, ended) in loops {
        if let Err(error) = ended.await {
            tracing::error!(%error, "the loop of {what} broke off");
        }
    }
    world.tracker.close();
    world.tracker.wait().await;
}
