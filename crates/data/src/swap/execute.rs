//! Executes the step of one swap and stores what follows. Whatever decides something is in `havre_decide::swap`.

use havre_core::database::Database;
use havre_core::database::spec::Kind;
use havre_core::event::Actor;
use havre_core::name::DatabaseName;
use havre_decide::swap::plan::{Next, Step, after};
use havre_decide::swap::sql::{LIST, MAINTENANCE, Naming, close, naming, open, rename};
use havre_decide::swap::{Swap, Wish};
use havre_reconcile::deployment::chain;
use havre_store::StoreError;

use super::Subject;
use crate::copy::program::{Trouble, say};
use crate::world::World;

/// Does it; what went wrong in words, where it is worth another try.
pub(super) async fn execute(world: &World, subject: &Subject, step: Step) -> Result<(), String> {
    let swap = &subject.seen.swap;
    let (names, back) = (&swap.names, subject.back.as_ref());
    let Some(front) = &subject.front else { return Ok(()) };
    match step {
        Step::Close => tell(world, front, &close(&names.name)).await?,
        Step::Rename => {
            let Some(back) = back else { return Ok(()) };
            named(world, front, (&names.name, &names.aside)).await?;
            named(world, back, (&names.other, &names.name)).await?;
        }
        Step::Undo => {
            named(world, front, (&names.aside, &names.name)).await?;
            tell(world, front, &open(&names.name)).await?;
            if let (Wish::Exchange, Some(back)) = (&swap.wish, back.filter(|back| back.state.is_ready())) {
                named(world, back, (&names.name, &names.other)).await?;
            }
        }
    }
    store(world, swap, after(swap, step, world.now())).await
}

/// Stores what comes next, with everything that goes with it.
pub(super) async fn store(world: &World, swap: &Swap, next: Next) -> Result<(), String> {
    let (id, from) = (swap.id, swap.state.clone());
    let write = world.store.write(world.now(), Actor::Havre, move |tx| tx.advance_swap(id, &from, &next));
    match write.await {
        // Somebody changed a row meanwhile; the next round plans from what is there now.
        Ok(()) | Err(StoreError::Conflict { .. }) => Ok(()),
        Err(error) => Err(chain(&error)),
    }
}

async fn tell(world: &World, database: &Database, sql: &str) -> Result<(), String> {
    ask(world, database, sql).await.map(|_| ())
}

/// What the server answers; nothing where it has no names inside.
async fn ask(world: &World, database: &Database, sql: &str) -> Result<String, String> {
    match database.spec.engine {
        Kind::Mariadb | Kind::Redis | Kind::Valkey => Ok(String::new()),
        Kind::Postgres => match say(world.engine.as_ref(), database, MAINTENANCE, sql).await {
            Ok(answer) => Ok(answer),
            Err(Trouble::Again(message)) => Err(message),
            Err(Trouble::Never(reason)) => Err(reason.to_string()),
        },
    }
}

/// The database inside of the server has its new name; what was done before is seen in the names that are there.
async fn named(
    world: &World,
    database: &Database,
    (from, to): (&DatabaseName, &DatabaseName),
) -> Result<(), String> {
    if database.spec.engine != Kind::Postgres {
        return Ok(());
    }
    let there = ask(world, database, LIST).await?;
    let place = database.place();
    match naming(&there, from, to) {
        Naming::Done => Ok(()),
        Naming::Rename => tell(world, database, &rename(from, to)).await,
        Naming::Taken => Err(format!("the server of {place} has a database {from} and a database {to}")),
        Naming::Missing => Err(format!("the server of {place} has neither a database {from} nor {to}")),
    }
}
