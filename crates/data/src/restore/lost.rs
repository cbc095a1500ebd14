//! Databases whose data went with another server: their newest backup is put back, each into a new volume under the same name. What comes next
//! is decided in `havre_rescue::lost`; the row, the wish and the restore are one transaction. Tests: `tests/it/rebuild.rs`.

use std::time::Duration;

use havre_core::backup::policy::what_of;
use havre_core::event::Actor;
use havre_core::time::Timestamp;
use havre_reconcile::database::lost::targets;
use havre_reconcile::deployment::chain;
use havre_rescue::lost::{Lost, Next, next};
use havre_rescue::restore::derive_in_place;
use havre_store::{NewRestore, StoreError, Tx};

use crate::world::World;

/// Most restores that are open when another one is begun without being asked for: people have room for theirs.
const OPEN_MAX: usize = 4;

/// Pause after an error.
const RETRY: Duration = Duration::from_secs(60);

/// Begins what is due; when to look again if nothing happens before.
pub(super) async fn put_back(world: &World) -> Result<Option<Timestamp>, StoreError> {
    let lost = world.store.read(|view| view.list_lost_databases()).await?;
    let mut again: Option<Timestamp> = None;
    for one in lost {
        let (now, name) = (world.now(), one.name.clone());
        match world.store.write(now, Actor::Havre, move |tx| begin(tx, &one, now)).await {
            Ok(at) => again = [again, at].into_iter().flatten().min(),
            // One that cannot come back holds no other one up.
            Err(error) => {
                tracing::error!(database = %name, error = %chain(&error), "could not put a lost database back; trying again");
                let at = Some(now.after(RETRY));
                again = [again, at].into_iter().flatten().min();
            }
        }
    }
    Ok(again)
}

fn begin(tx: &mut Tx<'_>, lost: &Lost, now: Timestamp) -> Result<Option<Timestamp>, StoreError> {
    let Some(database) = tx.find_environment_database(lost.environment, &lost.name)? else { return Ok(None) };
    // Being filled already, or on its way out: its row changes, and then it is looked at again.
    if database.state.is_destroying() || tx.find_loss(&database)?.is_none() {
        return Ok(None);
    }
    let points = tx.list_points(&what_of(&database))?;
    let targets = targets(tx)?;
    let point = match next(lost, &points, &targets, now) {
        Next::Restore(point) => point,
        Next::Later(at) => return Ok(Some(at)),
        Next::Unseen | Next::Away | Next::Person | Next::Nothing | Next::GivenUp => return Ok(None),
    };
    if tx.list_open_restores()?.len() >= OPEN_MAX {
        return Ok(None);
    }
    tx.record_loss_attempt(lost)?;
    let spec = match derive_in_place(&database.spec, &point.manifest.source_version) {
        Ok(spec) => spec,
        Err(error) => {
            tracing::error!(database = %database.place(), error = %chain(&error), "a lost database cannot be put back");
            return Ok(None);
        }
    };
    tracing::info!(database = %database.place(), at = %point.manifest.started_at, "a lost database comes back");
    tx.create_restore(&NewRestore {
        environment: database.environment,
        source: database.spec.name.clone(),
        spec,
        target: point.target.clone(),
        manifest: point.manifest.clone(),
        recovery: None,
    })?;
    Ok(None)
}
