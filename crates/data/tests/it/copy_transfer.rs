//! Dumps out of databases and into them: whole or not at all, and never over what is there.

use bytes::Bytes;
use futures_util::StreamExt as _;
use havre_core::copy::state::State;
use havre_core::copy::{DatabaseCopy, DumpFormat, Origin, Wish};
use havre_core::event::Actor;
use havre_core::id::{CopyId, DatabaseId};
use havre_data::copy::{self, transfer};
use havre_engine::fake::script::{Program, Script};
use havre_store::NewCopy;
use tokio::sync::mpsc;

use crate::copy::{DUMP, databases, finish, sent, servers};
use crate::database::add_postgres;
use crate::world::{Control, Outside};

/// A dump of this version of PostgreSQL.
fn dump(version: &str) -> String {
    let said =
        format!("-- Dumped from database version {version}\n-- Dumped by pg_dump version {version}\n\n");
    DUMP.replace("\nCREATE TABLE", &format!("\n{said}CREATE TABLE"))
}

/// Servers whose database holds so many tables.
fn with_tables(count: &str) -> Script {
    let mut script = servers(DUMP, 0, 0);
    script.programs.retain(|(name, _)| name != "psql db");
    script.programs.push(("psql db".to_owned(), Program::reads(count, 0)));
    script
}

/// Sends a dump in small pieces; with its end or without it. How the copy ended.
async fn send(
    control: &Control,
    target: DatabaseId,
    (text, has_end): (&str, bool),
    wish: Wish,
) -> DatabaseCopy {
    let id = wait_for_it(control, target, wish).await;
    let (sender, pieces) = mpsc::channel(4);
    let chunks: Vec<Bytes> = text.as_bytes().chunks(50).map(Bytes::copy_from_slice).collect();
    let feed = tokio::spawn(async move {
        for chunk in chunks {
            if sender.send(Some(chunk)).await.is_err() {
                return;
            }
        }
        if has_end {
            // Whoever refused it before does not take this either.
            let _ = sender.send(None).await;
        }
    });
    transfer::import(&control.world, id, pieces).await.unwrap();
    feed.await.unwrap();
    finish(control, id).await
}

async fn wait_for_it(control: &Control, target: DatabaseId, wish: Wish) -> CopyId {
    let new = NewCopy { origin: Origin::Upload, target, wish };
    let write = control.world.store.write(control.world.now(), Actor::Local, move |tx| tx.request_copy(new));
    let id = write.await.unwrap().id;
    // The loop may look at it before anybody sends something.
    copy::activate(&control.world).await.unwrap();
    id
}

fn failure(copy: &DatabaseCopy) -> String {
    match &copy.state {
        State::Failed { reason, .. } => reason.to_string(),
        other => panic!("it has not failed: {other:?}"),
    }
}

#[tokio::test]
async fn a_dump_ends_well_or_with_an_error() {
    let outside = Outside::new();
    add_postgres(&outside, servers("rows", 0, 0));
    let control = outside.control();
    let [source, _] = databases(&control).await;
    let database = control.world.store.read(move |view| view.get_database(source)).await.unwrap();
    let engine = control.world.engine.as_ref();
    let pieces = transfer::dump(engine, &database, DumpFormat::Plain).await.unwrap();
    let pieces: Vec<Result<Bytes, String>> = pieces.collect().await;
    assert_eq!(pieces, [Ok(Bytes::from("rows"))]);

    let outside = Outside::new();
    add_postgres(&outside, servers("half", 1, 0));
    let control = outside.control();
    databases(&control).await;
    let pieces = transfer::dump(control.world.engine.as_ref(), &database, DumpFormat::Plain).await.unwrap();
    let pieces: Vec<Result<Bytes, String>> = pieces.collect().await;
    assert_eq!(pieces, [Ok(Bytes::from("half")), Err("it ended with code 1".to_owned())]);
}

#[tokio::test]
async fn a_dump_goes_into_an_empty_database() {
    let outside = Outside::new();
    add_postgres(&outside, with_tables("0\n"));
    let control = outside.control();
    let [_, target] = databases(&control).await;
    let text = dump("16.4");
    let ended = send(&control, target, (&text, true), Wish::default()).await;
    assert_eq!(ended.state.name(), "succeeded", "{:?}", ended.state);
    assert_eq!(sent(&outside, "havre_load"), text);
    assert_eq!(ended.state.report().unwrap().bytes, text.len() as u64);
    assert!(sent(&outside, "-d postgres").contains("RENAME TO \"db_before_1\""), "what was there stays");
}

#[tokio::test]
async fn what_is_there_is_never_gone_over() {
    let outside = Outside::new();
    add_postgres(&outside, with_tables("3\n"));
    let control = outside.control();
    let [_, target] = databases(&control).await;
    let text = dump("16.4");
    let ended = send(&control, target, (&text, true), Wish::default()).await;
    assert_eq!(
        failure(&ended),
        "the server did not take it: dropit/staging/db is not empty, and a dump never goes over what is there: take it in under \
         another name with --as"
    );
    let beside = |name: &str| Wish { beside: Some(name.parse().unwrap()), ..Wish::default() };
    let ended = send(&control, target, (&text, true), beside("postgres")).await;
    assert_eq!(failure(&ended), "the server did not take it: there is a database postgres already");
    assert_eq!(sent(&outside, "havre_load"), "");
    assert!(!sent(&outside, "-d postgres").contains("CREATE DATABASE"));
}

#[tokio::test]
async fn what_cannot_be_read_or_is_not_whole_leaves_everything_as_it_was() {
    let outside = Outside::new();
    add_postgres(&outside, with_tables("0\n"));
    let control = outside.control();
    let [_, target] = databases(&control).await;
    let newer = dump("17.1");
    let cut = dump("16.4").replace("-- PostgreSQL database dump complete", "--");
    let whole = dump("16.4");
    for (text, has_end, said) in [
        (newer.as_str(), true, "the dump is of PostgreSQL 17, newer than 16 of dropit/staging/db"),
        ("DROP TABLE users; -- and so on\n", true, "it is no dump of pg_dump"),
        (cut.as_str(), true, "what pg_dump writes at the end is missing"),
        (whole.as_str(), false, "the dump did not come to its end: whoever sent it went away"),
        ("--\n", false, "whoever sent it went away"),
    ] {
        let ended = send(&control, target, (text, has_end), Wish::default()).await;
        assert!(failure(&ended).contains(said), "{}", failure(&ended));
    }
    assert!(!sent(&outside, "-d postgres").contains("RENAME"), "nothing took its place");
}
