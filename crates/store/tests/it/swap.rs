//! Swaps: refused while anything is under way, names exchanged only where neither has a task, and passwords that open afterwards.

use havre_core::backup::target::TargetSpec;
use havre_core::copy::{Origin, Wish as CopyWish};
use havre_core::database::Database;
use havre_core::database::state::{State as Server, StopReason};
use havre_core::id::DatabaseId;
use havre_core::service::spec::Work;
use havre_decide::swap::Swap;
use havre_decide::swap::plan::Next;
use havre_decide::swap::state::{Outcome, State};
use havre_store::{NewCopy, NewSwap, StoreError, Swapping, Tx};

use crate::world::{World, apply, at, environment, tasks};

fn set(tx: &mut Tx<'_>, id: DatabaseId, state: Server) -> Result<(), StoreError> {
    let from = tx.get_database(id)?.state;
    tx.set_database_state(id, &from, state)
}

/// Databases `db` and `db-restored-1` that answer; the first one has a policy of backups.
async fn databases(world: &World) -> [Database; 2] {
    let mut made = Vec::new();
    for name in ["db", "db-restored-1"] {
        let mut spec = serde_json::json!({"name": name, "engine": "postgres", "version": 15, "memory": "512MB", "cpus": "1"});
        if name == "db" {
            spec["backup"] = serde_json::json!({"every": "1d", "keep": {"daily": 7}});
        }
        let spec = serde_json::from_value(spec).unwrap();
        let write = world.write(0, move |tx| {
            let environment = environment(tx)?;
            let id = tx.apply_database(environment, &spec)?.0.id;
            set(tx, id, Server::Ready { since: at(0) })?;
            tx.get_database(id)
        });
        made.push(write.await);
    }
    made.try_into().expect("two")
}

fn with(databases: &[Database; 2]) -> NewSwap {
    NewSwap { front: databases[0].id, with: Swapping::With(databases[1].id) }
}

async fn ask(world: &World, new: NewSwap) -> Result<Swap, StoreError> {
    world.try_write(1, move |tx| tx.request_swap(&new)).await
}

async fn advance(world: &World, swap: &Swap, next: Next) -> Result<Swap, StoreError> {
    let (id, from) = (swap.id, swap.state.clone());
    world
        .try_write(2, move |tx| {
            tx.advance_swap(id, &from, &next)?;
            tx.get_swap(id)
        })
        .await
}

async fn row(world: &World, id: DatabaseId) -> Database {
    world.store.read(move |view| view.get_database(id)).await.unwrap()
}

#[tokio::test]
async fn names_and_promises_are_exchanged_where_nobody_runs() {
    let world = World::new();
    let both = databases(&world).await;
    let before = both[0].clone();
    let password = world.store.read(move |view| view.get_database_superuser(&before)).await.unwrap().password;
    let swap = ask(&world, with(&both)).await.unwrap();
    assert_eq!((swap.id.to_string().as_str(), swap.state.name()), ("w1", "closing"));
    let aside = swap.names.aside.clone();
    assert!(aside.as_str().starts_with("db-before-20"), "{aside}");
    let swap = advance(&world, &swap, Next::State(State::Stopping { since: at(2) })).await.unwrap();
    let error = advance(&world, &swap, Next::Exchange).await.unwrap_err();
    assert!(matches!(error, StoreError::Conflict { expected: "stopped", .. }), "{error}");
    assert_eq!(row(&world, both[0].id).await.spec.name.as_str(), "db", "half of it is never kept");
    let ids = [both[0].id, both[1].id];
    world
        .write(2, move |tx| {
            for id in ids {
                set(tx, id, Server::Stopped { since: at(2), why: StopReason::Changed, failures: 0 })?;
            }
            Ok(())
        })
        .await;
    let swap = advance(&world, &swap, Next::Exchange).await.unwrap();
    assert_eq!(swap.state, State::Starting { since: at(2) });
    let world = world.reopen();
    let (old, new) = (row(&world, ids[0]).await, row(&world, ids[1]).await);
    assert_eq!((old.spec.name.clone(), new.spec.name.as_str()), (aside, "db"));
    assert!(
        old.spec.backup.is_none() && new.spec.backup.is_some(),
        "what is promised is promised of the name"
    );
    assert!(old.revision > old.started_revision && new.revision > new.started_revision);
    let moved = old.clone();
    let still = world.store.read(move |view| view.get_database_superuser(&moved)).await.unwrap().password;
    assert_eq!(still.expose(), password.expose(), "sealed for its new name");
    let swap = advance(&world, &swap, Next::Deploy).await.unwrap();
    assert_eq!(swap.state, State::Deploying { since: at(2), deployments: Vec::new() });
    let swap = advance(&world, &swap, Next::State(State::Succeeded { at: at(3) })).await.unwrap();
    assert!(world.store.read(|view| view.list_open_swaps()).await.unwrap().is_empty());
    let again = NewSwap { front: ids[1], with: Swapping::With(ids[0]) };
    world
        .write(4, move |tx| {
            set(tx, ids[0], Server::Ready { since: at(4) })?;
            set(tx, ids[1], Server::Ready { since: at(4) })
        })
        .await;
    let back = ask(&world, again).await.unwrap();
    assert_eq!(back.names.other, swap.names.aside, "and back again");
}

#[tokio::test]
async fn it_is_refused_while_anything_is_under_way() {
    let world = World::new();
    let both = databases(&world).await;
    let (first, id) = (both[0].clone(), both[1].id);
    world.write(1, move |tx| tx.add_database_role(&first, &"api".parse().unwrap()).map(|_| ())).await;
    assert!(matches!(ask(&world, with(&both)).await, Err(StoreError::RotationRunning { .. })));
    let first = both[0].clone();
    world.write(1, move |tx| tx.remove_database_role(&first, &"api_a".parse().unwrap())).await;

    let mut user = tasks("api", 1, &[]);
    let Work::Tasks(work) = &mut user.work else { panic!("it has tasks") };
    work.uses = vec!["db-restored-1".parse().unwrap()];
    world.write(1, move |tx| apply(tx, user).map(|_| ())).await;
    let error = ask(&world, with(&both)).await.unwrap_err();
    assert_eq!(error.to_string(), "the database dropit/production/db-restored-1 is used by api");
    world.write(1, |tx| apply(tx, tasks("api", 1, &[])).map(|_| ())).await;

    let origin = Origin::Database { id, environment: both[1].environment_name.clone() };
    let new = NewCopy { origin, target: both[0].id, wish: CopyWish::default() };
    let copy = world.write(1, move |tx| tx.request_copy(new)).await;
    for swap in [with(&both), NewSwap { front: id, with: Swapping::With(both[0].id) }] {
        let error = ask(&world, swap).await.unwrap_err();
        assert!(error.to_string().ends_with("the copy q1 has not ended"), "{error}");
    }
    let (copy, from) = (copy.id, copy.state);
    let over = havre_core::copy::state::State::Cancelled { at: at(1) };
    world.write(1, move |tx| tx.set_copy_state(copy, &from, over)).await;

    world.write(1, move |tx| set(tx, id, Server::Starting { since: at(1), failures: 0 })).await;
    let error = ask(&world, with(&both)).await.unwrap_err();
    assert!(error.to_string().ends_with("it is starting, and has to be ready"), "{error}");
    world.write(1, move |tx| set(tx, id, Server::Ready { since: at(1) })).await;
    ask(&world, with(&both)).await.unwrap();
    assert!(matches!(ask(&world, with(&both)).await, Err(StoreError::SwapRunning { .. })));
}

#[tokio::test]
async fn a_base_backup_of_it_is_under_way_as_well() {
    let world = World::new();
    let both = databases(&world).await;
    let target: TargetSpec = serde_json::from_value(serde_json::json!({
        "name": "disk", "location": {"kind": "folder", "path": "/mnt/disk"}, "medium": "two", "is_offsite": false,
    }))
    .unwrap();
    world
        .write(1, move |tx| {
            tx.set_backup_target(&target, None)?;
            let what = "base/dropit/production/db".parse().unwrap();
            tx.create_backup_run(&what, &"disk".parse().unwrap()).map(drop)
        })
        .await;
    let asked = ask(&world, with(&both)).await;
    assert!(matches!(asked, Err(StoreError::BackupRunning { .. })), "{asked:?}");
}

#[tokio::test]
async fn what_is_swapped_is_left_alone() {
    let world = World::new();
    let both = databases(&world).await;
    let target: TargetSpec = serde_json::from_value(serde_json::json!({
        "name": "disk", "location": {"kind": "folder", "path": "/mnt/disk"}, "medium": "two", "is_offsite": false,
    }))
    .unwrap();
    world.write(1, move |tx| tx.set_backup_target(&target, None).map(drop)).await;
    let is_due = async || {
        let duties = world.store.read(|view| view.list_backup_duties()).await.unwrap();
        duties.iter().any(|duty| duty.what.key() == "database/dropit/production/db")
    };
    assert!(is_due().await);
    let swap = ask(&world, with(&both)).await.unwrap();
    assert!(!is_due().await, "inside of its server it has another name for a while");
    let larger = havre_core::database::spec::DatabaseSpec {
        memory: havre_core::quantity::ByteSize::mebibytes(1024),
        ..both[0].spec.clone()
    };
    let changed = world.try_write(2, move |tx| {
        let environment = environment(tx)?;
        tx.apply_database(environment, &larger).map(|_| ())
    });
    assert!(matches!(changed.await, Err(StoreError::SwapRunning { .. })));
    let row = both[1].clone();
    let opened = world
        .try_write(2, move |tx| tx.open_tunnel(&row, havre_core::quantity::Span::seconds(1)).map(|_| ()));
    assert!(matches!(opened.await, Err(StoreError::SwapRunning { .. })));
    let taken = serde_json::json!({"name": swap.names.aside, "engine": "postgres", "version": 16, "memory": "512MB", "cpus": "1"});
    let taken = serde_json::from_value(taken).unwrap();
    let made = world.try_write(2, move |tx| {
        let environment = environment(tx)?;
        tx.apply_database(environment, &taken).map(|_| ())
    });
    assert!(matches!(made.await, Err(StoreError::NameTaken { .. })), "nobody takes the name it will have");

    let id = swap.id;
    world.write(2, move |tx| tx.request_swap_cancel(id)).await;
    let swap = advance(&world, &swap, Next::Undo(Outcome::Cancelled)).await.unwrap();
    let swap = advance(&world, &swap, Next::State(State::Cancelled { at: at(3) })).await.unwrap();
    assert!(swap.cancel_requested && swap.state.is_final());
    let conflict =
        advance(&world, &Swap { state: State::Closing { since: at(1) }, ..swap }, Next::Exchange).await;
    assert!(matches!(conflict, Err(StoreError::Conflict { .. })), "{conflict:?}");
    assert_eq!(
        world.story().await[2..].iter().filter(|text| text.contains("w1")).collect::<Vec<_>>(),
        [
            "database db w1: to be swapped with db-restored-1",
            "database db w1: should be cancelled",
            "database db w1: undoing",
            "database db w1: cancelled",
        ]
    );
}
