//! Copies of databases: masked on their way, put into place once they are whole, and undone in every other case.

use bytes::Bytes;
use havre_core::copy::state::{FailureReason, State};
use havre_core::copy::{DatabaseCopy, Origin, Wish};
use havre_core::event::Actor;
use havre_core::id::{CopyId, DatabaseId};
use havre_data::copy;
use havre_engine::exec::ExecOutput;
use havre_engine::fake::knobs::Operation;
use havre_engine::fake::script::{Program, Script};
use havre_engine::log::LogSource;
use havre_store::NewCopy;

use crate::database::{add_postgres, rounds as database_rounds};
use crate::world::{Control, Outside};

/// As `pg_dump` writes it.
pub(crate) const DUMP: &str = "--\n-- PostgreSQL database dump\n--\n\n\
    CREATE TABLE public.users (\n    id integer NOT NULL,\n    email text,\n    plan text\n);\n\n\
    COPY public.users (id, email, plan) FROM stdin;\n\
    1\tmarie@dropit.example\tfree\n2\tpaul@dropit.example\tpaid\n\\.\n\n\
    --\n-- PostgreSQL database dump complete\n--\n\n";
pub(crate) const RULES: &str = "[tables.\"public.users\".columns]\nemail = \"email\"\nplan = \"keep\"\n";

fn says(text: &str) -> Program {
    let piece = ExecOutput { stream: LogSource::Stderr, bytes: Bytes::from(text.to_owned()) };
    Program { output: vec![piece], echoes: false, reads: true, code: 0 }
}

/// Servers whose dump this is, and whose reader ends with this code.
pub(crate) fn servers(dump: &str, dump_code: i64, load_code: i64) -> Script {
    let programs = [
        ("pg_isready", Program::prints("", 0)),
        ("psql db", says("havre snapshot 00000003-0000001B-1\n")),
        ("psql havre_load", Program { code: load_code, ..says("psql:<stdin>:7: ERROR:  no\n") }),
        ("psql", Program::reads("db\ndb_copy_1\npostgres\n", 0)),
        ("pg_restore havre_load", says("")),
        ("pg_dump", Program::prints(dump, dump_code)),
    ];
    let programs = programs.map(|(name, program)| (name.to_owned(), program)).into();
    Script { programs, ..Script::runs() }
}

/// The database `db` in production and in staging, both ready.
pub(crate) async fn databases(control: &Control) -> [DatabaseId; 2] {
    let mut ids = Vec::new();
    for environment in ["production", "staging"] {
        let spec = serde_json::from_value(serde_json::json!({
            "name": "db", "engine": "postgres", "version": 16, "memory": "512MB", "cpus": "1",
        }));
        let spec = spec.unwrap();
        let write = control.world.store.write(control.world.now(), Actor::Local, move |tx| {
            let environment =
                tx.ensure_environment("dropit".parse().unwrap(), environment.parse().unwrap())?;
            Ok(tx.apply_database(environment.id, &spec)?.0.id)
        });
        ids.push(write.await.unwrap());
    }
    database_rounds(control).await;
    [ids[0], ids[1]]
}

/// Asks for a copy from production to staging.
pub(crate) async fn ask(control: &Control, [source, target]: [DatabaseId; 2], wish: Wish) -> CopyId {
    let origin = Origin::Database { id: source, environment: "production".parse().unwrap() };
    let new = NewCopy { origin, target, wish };
    let write = control.world.store.write(control.world.now(), Actor::Local, move |tx| tx.request_copy(new));
    write.await.unwrap().id
}

pub(crate) fn masked() -> Wish {
    Wish { policy: Some(RULES.to_owned()), ..Wish::default() }
}

/// Rounds of the loop until the copy has ended.
pub(crate) async fn finish(control: &Control, id: CopyId) -> DatabaseCopy {
    for _ in 0..60 {
        copy::activate(&control.world).await.unwrap();
        control.background().await;
        let found = row(control, id).await;
        if found.state.is_final() {
            return found;
        }
    }
    panic!("the copy does not end: {:?}", row(control, id).await);
}

async fn row(control: &Control, id: CopyId) -> DatabaseCopy {
    control.world.store.read(move |view| view.get_copy(id)).await.unwrap()
}

/// What programs of this kind were sent, one after the other.
pub(crate) fn sent(outside: &Outside, program: &str) -> String {
    let inputs = outside.engine.inputs().into_iter();
    let mine = inputs.filter(|(line, _)| line.contains(program)).map(|(_, input)| input);
    String::from_utf8(mine.collect::<Vec<_>>().concat()).unwrap()
}

fn failure(copy: &DatabaseCopy) -> &FailureReason {
    match &copy.state {
        State::Failed { reason, .. } => reason,
        other => panic!("it has not failed: {other:?}"),
    }
}

#[tokio::test]
async fn what_reaches_the_target_is_masked_and_then_takes_its_place() {
    let outside = Outside::new();
    add_postgres(&outside, servers(DUMP, 0, 0));
    let control = outside.control();
    let both = databases(&control).await;
    let id = ask(&control, both, masked()).await;
    let ended = finish(&control, id).await;
    let State::Succeeded { report, .. } = &ended.state else { panic!("{:?}", ended.state) };
    assert_eq!(report.tables.len(), 1);
    assert_eq!((report.tables[0].table.as_str(), report.tables[0].seen), ("public.users", 2));
    assert_eq!((report.remembered, report.leaks.len()), (2, 0));

    let loaded = sent(&outside, "havre_load");
    assert!(loaded.contains("CREATE TABLE public.users"), "{loaded}");
    assert!(loaded.contains("@example.invalid\tfree"), "{loaded}");
    assert_eq!(loaded.len() as u64, report.bytes);
    let all: Vec<u8> = outside.engine.inputs().into_iter().flat_map(|(_, input)| input).collect();
    let all = String::from_utf8(all).unwrap();
    assert!(!all.contains("dropit.example"), "no original value was said to anybody");
    let told = sent(&outside, "-d postgres");
    let (made, renamed) =
        (told.find("CREATE DATABASE \"db_copy_1\""), told.find("RENAME TO \"db_before_1\""));
    assert!(made.is_some() && made < renamed, "{told}");
    assert!(!told.contains("DROP DATABASE IF EXISTS \"db_before_1\""), "{told}");

    let events = control.world.store.read(|view| view.events(0, None, 1000)).await.unwrap();
    let story: Vec<String> = events.iter().map(|event| event.kind.to_string()).collect();
    assert!(story.ends_with(&[
        "copy q1: db of production, masked, wanted".to_owned(),
        "copy q1 is copying".to_owned(),
        "copy q1 of db begun (attempt 1)".to_owned(),
        "copy q1 is swapping".to_owned(),
        "copy q1 succeeded".to_owned(),
    ]));
}

#[tokio::test]
async fn what_no_rule_speaks_of_is_refused_before_a_fresh_database_is_made() {
    let outside = Outside::new();
    add_postgres(&outside, servers(DUMP, 0, 0));
    let control = outside.control();
    let both = databases(&control).await;
    let wish = Wish { policy: Some(String::new()), ..Wish::default() };
    let id = ask(&control, both, wish).await;
    let ended = finish(&control, id).await;
    assert!(matches!(failure(&ended), FailureReason::Refused { .. }), "{ended:?}");
    let said = failure(&ended).to_string();
    assert!(said.contains("[tables.\"public.users\".columns]\nemail = \"email\""), "{said}");
    let told = sent(&outside, "-d postgres");
    assert!(!told.contains("CREATE DATABASE") && !told.contains("RENAME"), "{told}");
    assert_eq!(sent(&outside, "havre_load"), "");
}

#[tokio::test]
async fn an_original_value_in_a_kept_column_is_refused_unless_accepted() {
    let outside = Outside::new();
    let dump = DUMP.replace("\tpaid", "\tas marie@dropit.example");
    add_postgres(&outside, servers(&dump, 0, 0));
    let control = outside.control();
    let both = databases(&control).await;
    let id = ask(&control, both, masked()).await;
    let ended = finish(&control, id).await;
    let FailureReason::Leaked { found } = failure(&ended) else { panic!("{ended:?}") };
    assert_eq!((found[0].column.as_str(), found[0].shown.as_str()), ("email", "m*** (20 characters)"));
    assert!(!sent(&outside, "-d postgres").contains("RENAME"));

    let id = ask(&control, both, Wish { accept_leaks: true, ..masked() }).await;
    let ended = finish(&control, id).await;
    assert_eq!(ended.state.report().unwrap().leaks.len(), 1, "it is told all the same");
}

#[tokio::test]
async fn a_dump_that_ends_badly_is_begun_again_and_given_up() {
    let outside = Outside::new();
    add_postgres(&outside, servers(DUMP, 1, 0));
    let control = outside.control();
    let both = databases(&control).await;
    let id = ask(&control, both, masked()).await;
    let ended = finish(&control, id).await;
    assert_eq!(
        (ended.attempt, failure(&ended).to_string().as_str()),
        (3, "it was given up: it ended with code 1")
    );
    let told = sent(&outside, "-d postgres");
    assert!(told.ends_with("ALTER DATABASE \"db\" WITH ALLOW_CONNECTIONS true;\n"), "{told}");
    assert!(!told.contains("RENAME"), "{told}");
}

#[tokio::test]
async fn a_dump_without_its_end_is_refused_whatever_its_program_says() {
    let outside = Outside::new();
    let half = &DUMP[..DUMP.find("2\tpaul").unwrap()];
    add_postgres(&outside, servers(half, 0, 0));
    let control = outside.control();
    let both = databases(&control).await;
    let id = ask(&control, both, masked()).await;
    let ended = finish(&control, id).await;
    let said = failure(&ended).to_string();
    assert!(said.contains("the dump ends in the middle of the rows of `public.users`"), "{said}");
}

#[tokio::test]
async fn what_the_server_does_not_take_is_said_and_undone() {
    let outside = Outside::new();
    add_postgres(&outside, servers(DUMP, 0, 3));
    let control = outside.control();
    let both = databases(&control).await;
    let id = ask(&control, both, masked()).await;
    let ended = finish(&control, id).await;
    assert_eq!(failure(&ended).to_string(), "the server did not take it: psql:<stdin>:7: ERROR:  no");
    let told = sent(&outside, "-d postgres");
    let made = told.rfind("CREATE DATABASE \"db_copy_1\"");
    assert!(made < told.rfind("DROP DATABASE IF EXISTS \"db_copy_1\""), "{told}");
}

#[tokio::test]
async fn an_unmasked_one_goes_as_an_archive_and_the_old_one_may_go() {
    let outside = Outside::new();
    add_postgres(&outside, servers("PGDMP", 0, 0));
    let control = outside.control();
    let both = databases(&control).await;
    let id = ask(&control, both, Wish { drop_old: true, ..Wish::default() }).await;
    let ended = finish(&control, id).await;
    assert_eq!(ended.state.name(), "succeeded", "{:?}", ended.state);
    assert_eq!(sent(&outside, "pg_restore"), "PGDMP");
    assert!(
        sent(&outside, "-d postgres").ends_with("DROP DATABASE IF EXISTS \"db_before_1\" WITH (FORCE);\n")
    );
}

#[tokio::test]
async fn a_server_that_is_away_is_waited_for_and_one_that_goes_ends_it() {
    let outside = Outside::new();
    add_postgres(&outside, servers(DUMP, 0, 0));
    let control = outside.control();
    let both = databases(&control).await;
    let id = ask(&control, both, masked()).await;
    let now = control.world.now();
    let destroy =
        control.world.store.write(now, Actor::Local, move |tx| tx.request_database_destroy(both[0], now));
    destroy.await.unwrap();
    let before = outside.engine.count(Operation::Exec);
    let ended = finish(&control, id).await;
    assert_eq!(*failure(&ended), FailureReason::Gone);
    assert_eq!(outside.engine.count(Operation::Exec), before, "nobody is asked");
}

#[tokio::test]
async fn one_that_has_not_begun_is_cancelled_at_once() {
    let outside = Outside::new();
    add_postgres(&outside, servers(DUMP, 0, 0));
    let control = outside.control();
    let both = databases(&control).await;
    let id = ask(&control, both, masked()).await;
    let cancel =
        control.world.store.write(control.world.now(), Actor::Local, move |tx| tx.request_copy_cancel(id));
    cancel.await.unwrap();
    assert_eq!(finish(&control, id).await.state.name(), "cancelled");
}
