//! A look into a store without its lock: beside who has it, and where nobody has; and never into what this version does not know.

use havre_store::{StoreError, inspect};

use crate::world::World;

fn look(path: &std::path::Path) -> Result<usize, StoreError> {
    inspect(path, |view| Ok(view.list_databases()?.len()))
}

#[tokio::test]
async fn a_store_is_seen_with_and_without_its_owner() {
    let world = World::new();
    assert_eq!(look(&world.path()).unwrap(), 0, "control has it open");
    let path = world.path();
    let World { store, folder } = world;
    drop(store);
    assert_eq!(look(&path).unwrap(), 0, "nobody has it open");
    assert!(inspect(&path, |view| view.is_report_signed(&signed())).is_err(), "without the key");
    let none = folder.path().join("none");
    assert!(look(&none).is_err());
    assert!(!none.exists(), "nothing is made");
}

fn signed() -> havre_rescue::drill::Signed {
    havre_rescue::drill::Signed { text: "{}".to_owned(), signature: "0".repeat(64) }
}

#[tokio::test]
async fn a_store_of_another_version_is_left_alone() {
    let world = World::new();
    let path = world.path();
    let World { store, folder: _folder } = world;
    drop(store);
    let connection = rusqlite::Connection::open(&path).unwrap();
    connection
        .execute("UPDATE migrations SET number = 999 WHERE number = (SELECT max(number) FROM migrations)", [])
        .unwrap();
    assert!(matches!(look(&path), Err(StoreError::NewerSchema { found: 999, .. })));
    connection.execute("DELETE FROM migrations WHERE number > 20", []).unwrap();
    let error = look(&path).unwrap_err();
    assert!(matches!(error, StoreError::OlderSchema { found: 20, .. }), "{error}");
    let other = path.with_file_name("other");
    rusqlite::Connection::open(&other).unwrap().execute_batch("CREATE TABLE theirs (x)").unwrap();
    assert!(matches!(look(&other), Err(StoreError::NotAStore { .. })));
}
