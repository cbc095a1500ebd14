//! Copies into databases: one at a time, each change with its event, and salts that lie nowhere in plain.

use havre_core::copy::state::{FailureReason, Outcome, Report, State};
use havre_core::copy::{DatabaseCopy, Origin, Wish};
use havre_core::database::Database;
use havre_core::id::CopyId;
use havre_store::{NewCopy, StoreError, Tx};

use crate::world::{World, at, environment};

/// Databases of one environment: where it comes from, and where it goes.
fn databases(tx: &mut Tx<'_>) -> Result<(Database, Database), StoreError> {
    let spec = |name: &str| {
        serde_json::from_value(serde_json::json!({
            "name": name, "engine": "postgres", "version": 16, "memory": "512MB", "cpus": "1",
        }))
        .unwrap()
    };
    let environment = environment(tx)?;
    let source = tx.apply_database(environment, &spec("source"))?.0;
    Ok((source, tx.apply_database(environment, &spec("target"))?.0))
}

fn wanted(source: &Database, target: &Database, policy: Option<&str>) -> NewCopy {
    let origin = Origin::Database { id: source.id, environment: source.environment_name.clone() };
    let wish = Wish { policy: policy.map(str::to_owned), ..Wish::default() };
    NewCopy { origin, target: target.id, wish }
}

async fn copy(world: &World, policy: Option<&'static str>) -> DatabaseCopy {
    world
        .write(0, move |tx| {
            let (source, target) = databases(tx)?;
            tx.request_copy(wanted(&source, &target, policy))
        })
        .await
}

async fn row(world: &World, id: CopyId) -> DatabaseCopy {
    world.store.read(move |view| view.get_copy(id)).await.unwrap()
}

#[tokio::test]
async fn it_is_told_from_the_wish_to_the_end() {
    let world = World::new();
    let made = copy(&world, Some("[tables]")).await;
    assert_eq!((made.id.to_string().as_str(), made.attempt, made.is_masked()), ("q1", 0, true));
    let (id, from) = (made.id, made.state.clone());
    world.write(1, move |tx| tx.set_copy_state(id, &from, State::Copying { since: at(1) })).await;
    assert_eq!(world.write(1, move |tx| tx.begin_copy_attempt(id)).await, 1);
    let swapping = State::Swapping { since: at(2), report: Report { bytes: 12, ..Report::default() } };
    let to = swapping.clone();
    world.write(2, move |tx| tx.set_copy_state(id, &State::Copying { since: at(1) }, to)).await;
    let again = world.try_write(2, move |tx| tx.begin_copy_attempt(id)).await;
    assert!(matches!(again, Err(StoreError::Conflict { .. })), "{again:?}");
    let world = world.reopen();
    let report = Report { bytes: 12, ..Report::default() };
    world.write(3, move |tx| tx.set_copy_state(id, &swapping, State::Succeeded { at: at(3), report })).await;
    assert!(world.store.read(|view| view.list_open_copies()).await.unwrap().is_empty());
    let made = row(&world, id).await;
    assert_eq!((made.state.name(), made.attempt), ("succeeded", 1));
    let story = world.story().await;
    assert_eq!(
        story[story.len() - 5..],
        [
            "copy q1: target of production, masked, wanted",
            "copy q1 is copying",
            "copy q1 of target begun (attempt 1)",
            "copy q1 is swapping",
            "copy q1 succeeded",
        ]
    );
}

#[tokio::test]
async fn two_never_go_into_one_database_at_once() {
    let world = World::new();
    let first = copy(&world, None).await;
    let again = world
        .try_write(1, |tx| {
            let (source, target) = databases(tx)?;
            tx.request_copy(wanted(&source, &target, None))
        })
        .await;
    assert_eq!(
        again.unwrap_err().to_string(),
        "the copy q1 into the database dropit/production/target has not ended, and two never go into one at once"
    );
    let (id, from) = (first.id, first.state);
    world.write(2, move |tx| tx.request_copy_cancel(id)).await;
    world.write(2, move |tx| tx.request_copy_cancel(id)).await;
    assert!(row(&world, id).await.cancel_requested);
    let outcome = Outcome::Failed { reason: FailureReason::Gone };
    let undoing = State::Undoing { since: at(3), outcome };
    let to = undoing.clone();
    world.write(3, move |tx| tx.set_copy_state(id, &from, to)).await;
    let failed = State::Failed { at: at(4), reason: FailureReason::Gone };
    world.write(4, move |tx| tx.set_copy_state(id, &undoing, failed)).await;
    let second = copy(&world, None).await;
    assert_eq!(second.id.to_string(), "q2");
    let target = second.target;
    let all = world.store.read(move |view| view.list_copies(target)).await.unwrap();
    assert_eq!(all.iter().map(|copy| copy.id.row()).collect::<Vec<_>>(), [2, 1]);
    let story = world.story().await;
    let cancels = story.iter().filter(|text| text.contains("should be cancelled")).count();
    assert_eq!(cancels, 1, "{story:?}");
}

#[tokio::test]
async fn a_salt_is_made_once_and_lies_nowhere_in_plain() {
    let world = World::new();
    let unmasked = copy(&world, None).await;
    let project = unmasked.project.clone();
    let name = project.clone();
    let none = world.store.read(move |view| view.find_salt(&name)).await.unwrap();
    assert!(none.is_none(), "no mask, no salt");
    let name = project.clone();
    let salt = world.write(1, move |tx| tx.ensure_salt(&name)).await;
    let world = world.reopen();
    let name = project.clone();
    let again = world.write(2, move |tx| tx.ensure_salt(&name)).await;
    assert_eq!((salt.expose().len(), salt.expose()), (43, again.expose()));
    for entry in std::fs::read_dir(world.folder.path()).unwrap() {
        let bytes = std::fs::read(entry.unwrap().path()).unwrap();
        assert!(!bytes.windows(43).any(|part| part == salt.expose()));
    }
}
