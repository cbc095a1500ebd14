//! Which drills are due. A drill tries the newest dump there is, wherever it lies, or in turn a second that a base backup and WAL bring back.
//! Chosen in `havre_rescue::drill` and `aim`, and again in the transaction that records it.

use havre_core::backup::policy::{of_database, what_of};
use havre_core::database::Database;
use havre_core::event::Actor;
use havre_core::time::Timestamp;
use havre_rescue::aim::{Pick, number};
use havre_rescue::drill::{Method, Past, due_at, turn};
use havre_rescue::restore::{Wanted, choose};
use havre_store::{NewDrill, StoreError, Tx, View};

use crate::world::World;

/// Records the drills that are due; when the next one is.
pub(super) async fn plan(world: &World) -> Result<Option<Timestamp>, StoreError> {
    let now = world.now();
    let (due, next) = world.store.read(move |view| look(view, now)).await?;
    if !due.is_empty() {
        world.store.write(now, Actor::Havre, move |tx| record(tx, now)).await?;
    }
    Ok(next)
}

fn record(tx: &mut Tx<'_>, now: Timestamp) -> Result<(), StoreError> {
    for drill in look(tx, now)?.0 {
        tx.create_drill(&drill)?;
    }
    Ok(())
}

fn look(view: &View<'_>, now: Timestamp) -> Result<(Vec<NewDrill>, Option<Timestamp>), StoreError> {
    let (mut due, mut next): (Vec<NewDrill>, Option<Timestamp>) = (Vec::new(), None);
    for database in view.list_databases()? {
        let Some(every) = of_database(&database).and_then(|policy| policy.drill) else { continue };
        let last = view.find_last_drill(&what_of(&database).key())?;
        let Some(at) = due_at(every, last, now) else { continue };
        if at > now {
            next = Some(next.map_or(at, |other| other.min(at)));
        } else {
            due.extend(of_turn(view, &database, last, now)?);
        }
    }
    Ok((due, next))
}

/// The drill whose turn it is; nothing where there is nothing to try: that is said elsewhere.
fn of_turn(
    view: &View<'_>,
    database: &Database,
    last: Option<Past>,
    now: Timestamp,
) -> Result<Option<NewDrill>, StoreError> {
    let dump = of_newest(view, database)?;
    let pick = Pick::Any(number(&what_of(database).key(), now));
    // Files of another version than the database has now are of no use to its server: the next base backup is.
    let line = view.find_aim(database, pick)?.and_then(|found| NewDrill::of_line(database, found, true).ok());
    Ok(match turn(last, dump.is_some(), line.is_some()) {
        Some(Method::Dump) => dump,
        Some(Method::PointInTime) => line,
        None => None,
    })
}

/// A drill of the newest dump; nothing where there is none: that is said elsewhere.
fn of_newest(view: &View<'_>, database: &Database) -> Result<Option<NewDrill>, StoreError> {
    let points = view.list_points(&what_of(database))?;
    let Ok(point) = choose(&points, &Wanted::Newest) else { return Ok(None) };
    Ok(Some(NewDrill {
        environment_id: database.environment,
        project: database.project.clone(),
        environment: database.environment_name.clone(),
        database: database.spec.name.clone(),
        target: point.target.clone(),
        manifest: point.manifest.clone(),
        spec: database.spec.clone(),
        image: database.image.clone(),
        assertions: of_database(database).map(|policy| policy.assertions.clone()).unwrap_or_default(),
        aim: None,
        is_scheduled: true,
    }))
}
