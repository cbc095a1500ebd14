//! Which drills are due. A drill tries the newest backup there is, wherever it lies. Chosen in `havre_decide::backup::drill`, and again in the
//! transaction that records it.

use havre_core::backup::policy::{of_database, what_of};
use havre_core::database::Database;
use havre_core::event::Actor;
use havre_core::time::Timestamp;
use havre_decide::backup::drill::due_at;
use havre_decide::backup::restore::{Wanted, choose};
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
        } else if let Some(drill) = of_newest(view, &database)? {
            due.push(drill);
        }
    }
    Ok((due, next))
}

/// A drill of the newest backup; nothing where there is none: that is said elsewhere.
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
        is_scheduled: true,
    }))
}
