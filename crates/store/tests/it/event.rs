//! The event log.

use havre_core::event::{AccessEvent, Actor, Event, EventKind, Subject};
use havre_store::StoreError;
use havre_store::event::EVENTS_MAX;

use crate::world::{World, apply, at, tasks};

fn token(name: &str) -> EventKind {
    EventKind::Access(AccessEvent::TokenCreated { name: name.to_owned() })
}

#[tokio::test]
async fn an_event_carries_who_when_and_why() {
    let world = World::new();
    let actor = Actor::Token { name: "ci".to_owned() };
    let by = actor.clone();
    world
        .store
        .write(at(7), by, |tx| {
            let first = tx.append(Subject::Node, token("a"))?;
            tx.set_cause(Some(first));
            tx.append(Subject::Node, token("b"))
        })
        .await
        .unwrap();
    let event = |seq, cause, name| Event {
        seq,
        at: at(7),
        actor: actor.clone(),
        subject: Subject::Node,
        cause,
        kind: token(name),
    };
    let found = world.store.read(|view| view.events(0, None, 10)).await.unwrap();
    assert_eq!(found, [event(1, None, "a"), event(2, Some(1), "b")]);
}

#[tokio::test]
async fn an_error_after_an_event_takes_both_back() {
    let world = World::new();
    let before = world.changes();
    let result = world
        .try_write(0, |tx| {
            apply(tx, tasks("api", 1, &["a.example/"]))?;
            tx.append(Subject::Node, token("a"))?;
            Err::<(), _>(StoreError::GivenUp)
        })
        .await;
    assert!(matches!(result, Err(StoreError::GivenUp)));
    let left = world
        .store
        .read(|view| Ok((view.list_environments()?.len(), view.list_services()?.len(), view.last_event()?)))
        .await
        .unwrap();
    assert_eq!((left, world.changes()), ((0, 0, 0), before));
}

#[tokio::test]
async fn readers_go_on_from_their_cursor() {
    let world = World::new();
    let service = world.service().await;
    world.write(1, |tx| tx.append(Subject::Node, token("a"))).await;
    world.write(2, move |tx| tx.scale_service(service, 3)).await;
    let ask = async |after, service, limit| {
        let events = world.store.read(move |view| view.events(after, service, limit)).await.unwrap();
        events.iter().map(|event| event.seq).collect::<Vec<_>>()
    };
    assert_eq!(ask(0, None, 2).await, [1, 2]);
    assert_eq!(ask(2, None, 2).await, [3]);
    assert_eq!(ask(0, Some(service), 9).await, [1, 3]);
    assert_eq!(ask(1, Some(service), 9).await, [3]);
    assert_eq!(ask(u64::MAX, None, 9).await, [0_u64; 0]);
    assert_eq!(world.store.read(|view| view.last_event()).await.unwrap(), 3);
}

#[tokio::test]
async fn old_events_are_pruned() {
    let world = World::new();
    world
        .write(0, |tx| {
            for _ in 0..EVENTS_MAX + 5 {
                tx.append(Subject::Node, token("a"))?;
            }
            Ok(())
        })
        .await;
    let (first, last) =
        world.store.read(|view| Ok((view.events(0, None, 1)?[0].seq, view.last_event()?))).await.unwrap();
    assert_eq!((first, last), (6, EVENTS_MAX + 5));
    let world = world.reopen();
    assert_eq!(world.write(0, |tx| tx.append(Subject::Node, token("a"))).await, EVENTS_MAX + 6);
}

#[tokio::test]
async fn only_commits_that_wrote_are_announced() {
    let world = World::new();
    let service = world.service().await;
    let mut changes = world.store.changes();
    changes.mark_unchanged();
    world.write(1, |tx| tx.last_event()).await;
    assert!(!changes.has_changed().unwrap());
    world.write(1, move |tx| tx.scale_service(service, 9)).await;
    assert!(changes.has_changed().unwrap());
}

#[tokio::test]
async fn a_changed_or_removed_event_shows() {
    let world = World::new();
    let verify = async || world.store.read(|view| view.verify_events()).await.unwrap();
    assert_eq!((verify().await.events, verify().await.newest), (0, None));
    for name in ["a", "b", "c", "d"] {
        world.write(0, move |tx| tx.append(Subject::Node, token(name))).await;
    }
    let whole = verify().await;
    assert_eq!((whole.events, whole.unchained, whole.broken_at), (4, 0, None));
    assert_eq!(whole.newest.as_ref().map(String::len), Some(64));
    let file = rusqlite::Connection::open(world.path()).unwrap();
    let change = |sql: &str| assert_eq!(file.execute(sql, []).unwrap(), 1, "{sql}");

    change("UPDATE events SET at = at + 1 WHERE seq = 3");
    assert_eq!(verify().await.broken_at, Some(3));
    change("UPDATE events SET at = at - 1 WHERE seq = 3");
    assert_eq!(verify().await, whole);
    change("DELETE FROM events WHERE seq = 2");
    assert_eq!(verify().await.broken_at, Some(3));
    change("UPDATE events SET hash = NULL WHERE seq = 4");
    assert_eq!(verify().await.broken_at, Some(3));
}

#[tokio::test]
async fn the_chain_begins_behind_events_that_have_none_and_behind_pruned_ones() {
    let world = World::new();
    let file = rusqlite::Connection::open(world.path()).unwrap();
    for name in ["a", "b"] {
        world.write(0, move |tx| tx.append(Subject::Node, token(name))).await;
    }
    file.execute("UPDATE events SET hash = NULL", []).unwrap();
    for name in ["c", "d"] {
        world.write(0, move |tx| tx.append(Subject::Node, token(name))).await;
    }
    let chain = world.store.read(|view| view.verify_events()).await.unwrap();
    assert_eq!((chain.events, chain.unchained, chain.broken_at), (4, 2, None));
    file.execute("DELETE FROM events WHERE seq < 4", []).unwrap();
    let chain = world.store.read(|view| view.verify_events()).await.unwrap();
    assert_eq!((chain.events, chain.unchained, chain.broken_at), (1, 0, None));
}
