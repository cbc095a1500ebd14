//! Swaps and upgrades on fakes: the other database gets the name and the services, the old one stays, and never do two servers have one name.

use havre_core::backup::state::State as RunState;
use havre_core::database::Database;
use havre_core::deployment::Kind;
use havre_core::event::Actor;
use havre_core::id::{DatabaseId, SwapId};
use havre_core::quantity::Span;
use havre_data::{restore, swap};
use havre_decide::swap::Swap;
use havre_engine::fake::script::{Program, Script};
use havre_store::{NewSwap, Swapping};
use serde_json::json;
use tokio_util::sync::CancellationToken;

use crate::database::{add_postgres, apply, rounds as database_rounds, row, tasks, user, variables};
use crate::kill::{Killed, incarnation};
use crate::restore::server;
use crate::world::{Control, Outside};
use crate::{backup, database};

/// A server inside of which there is a database `db`, and whose rows are those that were saved.
fn named() -> Script {
    let mut script = server(2);
    // What statements about names are said with.
    script.programs.push(("psql SHOW_CONTEXT=never".to_owned(), Program::reads("db\npostgres\n", 0)));
    script
}

async fn ask(control: &Control, front: DatabaseId, with: Swapping) -> SwapId {
    let new = NewSwap { front, with };
    let write = control.world.store.write(control.world.now(), Actor::Local, move |tx| tx.request_swap(&new));
    write.await.unwrap().id
}

async fn get(control: &Control, id: SwapId) -> Swap {
    control.world.store.read(move |view| view.get_swap(id)).await.unwrap()
}

/// Rounds of all loops until the swap has ended.
async fn finish(control: &Control, id: SwapId) -> Swap {
    let stop = CancellationToken::new();
    for _ in 0..60 {
        swap::activate(&control.world).await.unwrap();
        control.background().await;
        database_rounds(control).await;
        backup::rounds(control).await;
        restore::activate(&control.world, &stop).await.unwrap();
        control.background().await;
        control.settle().await;
        let found = get(control, id).await;
        if found.state.is_final() {
            return found;
        }
    }
    panic!("the swap does not end: {:?}", get(control, id).await);
}

fn told(outside: &Outside) -> String {
    let inputs = outside.engine.inputs().into_iter();
    let mine = inputs.filter(|(line, _)| line.contains("SHOW_CONTEXT=never")).map(|(_, input)| input);
    String::from_utf8(mine.collect::<Vec<_>>().concat()).unwrap()
}

async fn names(control: &Control) -> Vec<String> {
    let rows: Vec<Database> = control.world.store.read(|view| view.list_databases()).await.unwrap();
    rows.iter()
        .map(|row| format!("{} {} {} {}", row.id, row.spec.name, row.spec.version, row.shown_state()))
        .collect()
}

#[tokio::test]
async fn the_other_one_gets_the_name_and_the_services() {
    let outside = Outside::new();
    add_postgres(&outside, named());
    outside.add_image("1", Script::runs());
    let control = outside.control();
    let front = apply(&control, json!({})).await;
    let back = apply(&control, json!({"name": "new"})).await;
    let service = control.apply(user()).await;
    database_rounds(&control).await;
    control.build(service).await;
    control.settle().await;
    let before = variables(&outside).await.remove(0)["PGPASSWORD"].clone();

    let id = ask(&control, front, Swapping::With(back)).await;
    let ended = finish(&control, id).await;
    assert_eq!(ended.state.name(), "succeeded", "{:?}", ended.state);
    let aside = ended.names.aside.to_string();
    database_rounds(&control).await;
    assert_eq!(names(&control).await, [format!("m1 {aside} 16 ready"), "m2 db 16 ready".to_owned()]);
    let restarted = control.last_deployment(service).await;
    assert_eq!((restarted.kind, restarted.state.name()), (Kind::Restart, "succeeded"));
    for env in variables(&outside).await {
        assert_eq!(env["PGHOST"], "db");
        assert_ne!(env["PGPASSWORD"], before, "that of the other one");
    }
    let told = told(&outside);
    let (closed, renamed) =
        (told.find("CONNECTION LIMIT 0"), told.find(&format!("ALTER DATABASE \"db\" RENAME TO \"{aside}\"")));
    assert!(closed.is_some() && closed < renamed, "{told}");
    let containers: Vec<String> = tasks(&outside).await.into_iter().map(|task| task.name).collect();
    assert!(containers.contains(&"havre-m2-2-db-production-dropit".to_owned()), "{containers:?}");
    assert!(outside.engine.volume_overlaps().is_empty());
    let roles = control.world.store.read(move |view| view.list_database_roles(front)).await.unwrap();
    assert!(roles.is_empty(), "nobody gets into the old one any more: {roles:?}");
}

#[tokio::test]
async fn an_upgrade_is_a_backup_and_a_restore_into_a_newer_server() {
    let outside = Outside::new();
    add_postgres(&outside, named());
    let newer = "e".repeat(64);
    let pull = format!("postgres@sha256:{newer}").parse().unwrap();
    outside.engine.add_image(&newer.parse().unwrap(), Some(pull), named());
    outside.engine.name_image(&"postgres:17".parse().unwrap(), Ok(newer.parse().unwrap()));
    let control = outside.control();
    let front = apply(&control, json!({})).await;
    database_rounds(&control).await;
    backup::set_target(&control).await;
    backup::rounds(&control).await;
    let with = Swapping::Upgrade { version: 17, target: "disk".parse().unwrap() };
    let id = ask(&control, front, with).await;
    let ended = finish(&control, id).await;
    assert_eq!(ended.state.name(), "succeeded", "{:?}", ended.state);
    let aside = ended.names.aside.to_string();
    database_rounds(&control).await;
    assert_eq!(names(&control).await, [format!("m1 {aside} 16 ready"), "m2 db 17 ready".to_owned()]);
    let runs = backup::runs(&control).await;
    let mine: Vec<_> = runs.iter().filter(|run| run.what.key() == "database/dropit/production/db").collect();
    assert!(mine.len() == 1 && matches!(mine[0].state, RunState::Good { .. }), "{mine:?}");
}

#[tokio::test]
async fn an_upgrade_whose_restore_is_not_what_was_saved_changes_nothing() {
    let outside = Outside::new();
    add_postgres(&outside, named());
    let newer = "e".repeat(64);
    let pull = format!("postgres@sha256:{newer}").parse().unwrap();
    let mut loses = server(1);
    loses.programs.push(("psql SHOW_CONTEXT=never".to_owned(), Program::reads("db\npostgres\n", 0)));
    outside.engine.add_image(&newer.parse().unwrap(), Some(pull), loses);
    outside.engine.name_image(&"postgres:17".parse().unwrap(), Ok(newer.parse().unwrap()));
    let control = outside.control();
    let front = apply(&control, json!({})).await;
    database_rounds(&control).await;
    backup::set_target(&control).await;
    backup::rounds(&control).await;
    let with = Swapping::Upgrade { version: 17, target: "disk".parse().unwrap() };
    let id = ask(&control, front, with).await;
    let ended = finish(&control, id).await;
    let failure = ended.state.failure().map(ToString::to_string).unwrap_or_default();
    assert!(failure.contains("public.users had 2 rows and has 1"), "{failure}");
    database_rounds(&control).await;
    assert_eq!(names(&control).await, ["m1 db 16 ready"], "the new server goes");
    let told = told(&outside);
    let (closed, opened) = (told.find("CONNECTION LIMIT 0"), told.rfind("CONNECTION LIMIT -1"));
    assert!(closed.is_some() && closed < opened, "services get in again: {told}");
}

/// Goes on until no swap is open.
async fn settle(control: &Control) {
    for _ in 0..200 {
        swap::activate(&control.world).await.unwrap();
        control.background().await;
        for _ in 0..2 {
            havre_reconcile::database::activate(&control.world).await.unwrap();
            control.background().await;
        }
        if control.world.store.read(|view| view.list_open_swaps()).await.unwrap().is_empty() {
            return;
        }
        control.outside.clock.advance(Span::seconds(1).duration());
    }
    panic!("a swap stays open; engine: {:?}", control.outside.engine.done());
}

/// Kills control after so many polls; `false` once it was done before that.
fn run(polls: usize) -> bool {
    let outside = Outside::new();
    add_postgres(&outside, named());
    incarnation(async || {
        let control = outside.control();
        let front = database::apply(&control, json!({})).await;
        let back = database::apply(&control, json!({"name": "new"})).await;
        database_rounds(&control).await;
        ask(&control, front, Swapping::With(back)).await;
    });
    let was_killed = incarnation(async || {
        let control = outside.control();
        let settle = Killed { future: Box::pin(async { settle(&control).await }), polls };
        settle.await.is_none()
    });
    incarnation(async || {
        let control = outside.control();
        settle(&control).await;
        database_rounds(&control).await;
        let ended = get(&control, SwapId::new(1)).await;
        assert_eq!(ended.state.name(), "succeeded", "killed after {polls} polls: {:?}", ended.state);
        let back = row(&control, DatabaseId::new(2)).await;
        assert_eq!(
            (back.spec.name.as_str(), back.shown_state()),
            ("db", "ready"),
            "killed after {polls} polls"
        );
        assert_eq!(tasks(&outside).await.len(), 2, "killed after {polls} polls");
        assert!(outside.engine.volume_overlaps().is_empty(), "killed after {polls} polls");
    });
    was_killed
}

#[test]
fn killed_anywhere_it_is_finished_by_the_next() {
    let mut polls = 0;
    while run(polls) {
        polls += 1;
        assert!(polls < 3000, "it never comes to its end");
    }
    assert!(polls > 20, "killed {polls} times");
}
