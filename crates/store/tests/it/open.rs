//! Opening: one process, private files, checked schema, values of the installation.

use std::os::unix::fs::PermissionsExt;

use havre_core::event::{AccessEvent, EventKind, Subject};
use havre_store::{Store, StoreError};
use rusqlite::Connection;

use crate::world::{World, at, environment, options};

#[tokio::test]
async fn rows_and_identity_survive_reopening() {
    let world = World::new();
    let service = world.service().await;
    let before = world.store.read(move |view| view.get_service(service)).await.unwrap();
    let World { store, folder } = world;
    drop(store);
    let mut later = options(folder.path().join("store"));
    later.installation = "second".to_owned();
    later.probe_key = "other".to_owned();
    let store = Store::open(later).unwrap();
    assert_eq!((store.installation(), store.probe_key()), ("first", "secret"));
    assert_eq!(store.read(move |view| view.get_service(service)).await.unwrap(), before);
}

#[tokio::test]
async fn a_second_open_is_refused_and_names_the_process() {
    let world = World::new();
    let error = Store::open(options(world.path())).unwrap_err();
    let me = std::process::id();
    assert_eq!(
        error.to_string(),
        format!(
            "could not open the store {}: process {me} uses it; stop that one first",
            world.path().display()
        )
    );
    let clone = world.store.clone();
    let World { store, folder } = world;
    drop(store);
    let path = folder.path().join("store");
    assert!(matches!(Store::open(options(path.clone())), Err(StoreError::InUse { .. })), "a clone is alive");
    drop(clone);
    Store::open(options(path)).unwrap();
}

#[tokio::test]
async fn files_are_for_their_owner_only() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("new").join("store");
    let store = Store::open(options(path.clone())).unwrap();
    store.write(at(0), havre_core::event::Actor::Local, environment).await.unwrap();
    let mode = |path: &std::path::Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    let inside = path.parent().unwrap();
    let mut modes: Vec<_> = std::fs::read_dir(inside)
        .unwrap()
        .map(|entry| entry.unwrap())
        .map(|entry| (entry.file_name().into_string().unwrap(), mode(&entry.path())))
        .collect();
    modes.sort();
    let expected = ["store", "store-shm", "store-wal", "store.lock"].map(|name| (name.to_owned(), 0o600));
    assert_eq!((mode(inside), modes), (0o700, expected.to_vec()));
}

#[test]
fn wider_permissions_are_narrowed() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store");
    drop(Store::open(options(path.clone())).unwrap());
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
    drop(Store::open(options(path.clone())).unwrap());
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
}

/// What opening says after `sql` was run on the closed file.
fn open_after(sql: &str) -> String {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store");
    drop(Store::open(options(path.clone())).unwrap());
    Connection::open(&path).unwrap().execute_batch(sql).unwrap();
    Store::open(options(path)).unwrap_err().to_string()
}

#[test]
fn a_changed_migration_is_refused() {
    assert_eq!(
        open_after("UPDATE migrations SET checksum = 'other' WHERE number = 1"),
        "could not open the store: migration 1 (first) in it is not the one of this havred; \
         it was written by a different or modified build"
    );
}

#[test]
fn a_newer_schema_is_refused() {
    assert_eq!(
        open_after("INSERT INTO migrations VALUES (99, 'future', 'x')"),
        "could not open the store: it was written by a newer havred (schema 99, this one knows 29); \
         start that version again, or restore the backup made before the upgrade"
    );
}

#[test]
fn files_of_others_are_refused_and_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("theirs");
    Connection::open(&path).unwrap().execute_batch("CREATE TABLE theirs (x)").unwrap();
    let before = std::fs::read(&path).unwrap();
    let error = Store::open(options(path.clone())).unwrap_err();
    assert!(matches!(error, StoreError::NotAStore { .. }), "{error}");
    assert_eq!(std::fs::read(&path).unwrap(), before);

    let text = folder.path().join("text");
    std::fs::write(&text, "no database at all, but long enough to be taken for one. ".repeat(20)).unwrap();
    let error = Store::open(options(text)).unwrap_err();
    assert!(matches!(error, StoreError::Damaged(_)), "{error}");
}

#[test]
fn pools_must_not_overlap_and_must_have_room() {
    let folder = tempfile::tempdir().unwrap();
    let open = |edge: &str, environment: &str| {
        let mut options = options(folder.path().join("store"));
        options.edge_pool = edge.parse().unwrap();
        options.environment_pool = environment.parse().unwrap();
        Store::open(options).map(drop).map_err(|error| error.to_string())
    };
    assert_eq!(
        [
            open("10.0.0.0/16", "10.0.4.0/23"),
            open("10.0.0.0/16", "10.1.0.0/25"),
            open("10.0.0.0/16", "10.1.0.0/24")
        ],
        [
            Err("could not open the store: the address pools 10.0.0.0/16 and 10.0.4.0/23 overlap".to_owned()),
            Err("could not open the store: the address pool 10.1.0.0/25 has no room for a /24 network"
                .to_owned()),
            Ok(()),
        ]
    );
}

#[tokio::test]
async fn a_row_that_does_not_parse_is_an_error_that_names_it() {
    let world = World::new();
    let service = world.service().await;
    let damage = Connection::open(world.path()).unwrap();
    damage.execute("UPDATE services SET spec = json_set(spec, '$.surprise', 1)", []).unwrap();
    drop(damage);
    let error = world.store.read(|view| view.list_services()).await.unwrap_err();
    let expected = format!(
        "could not read spec of row {} of services: it is damaged, or written by another version",
        service.row()
    );
    assert_eq!(error.to_string(), expected);
    assert!(std::error::Error::source(&error).is_some_and(|cause| cause.to_string().contains("surprise")));
}

#[test]
fn secrets_are_not_printed() {
    let folder = tempfile::tempdir().unwrap();
    let options = options(folder.path().join("store"));
    let text = format!("{options:?} {:?}", Store::open(options.clone()).unwrap());
    assert!(text.contains("first") && !text.contains("secret"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_view_does_not_see_what_is_committed_meanwhile() {
    let world = World::new();
    let (has_begun, begun) = tokio::sync::oneshot::channel();
    let (go, may_go) = std::sync::mpsc::channel();
    let store = world.store.clone();
    let reading = tokio::spawn(async move {
        store
            .read(move |view| {
                let before = view.last_event()?;
                has_begun.send(()).unwrap();
                may_go.recv().unwrap();
                Ok((before, view.last_event()?))
            })
            .await
    });
    begun.await.unwrap();
    world.service().await;
    // The other reader is free and sees the commit.
    assert_eq!(world.store.read(|view| view.last_event()).await.unwrap(), 1);
    go.send(()).unwrap();
    assert_eq!(reading.await.unwrap().unwrap(), (0, 0));
}

#[tokio::test]
async fn a_panic_undoes_the_write_and_leaves_the_store_usable() {
    let world = World::new();
    let store = world.store.clone();
    let writing = tokio::spawn(async move {
        let write = store.write(at(0), havre_core::event::Actor::Havre, |tx| -> Result<(), StoreError> {
            let kind = EventKind::Access(AccessEvent::TokenCreated { name: "a".to_owned() });
            tx.append(Subject::Node, kind)?;
            panic!("on purpose")
        });
        write.await
    });
    assert!(writing.await.unwrap_err().is_panic());
    assert_eq!(world.story().await, Vec::<String>::new());
    world.service().await;
    assert_eq!(world.story().await, ["service created"]);
}

#[tokio::test]
async fn the_last_handle_may_go_inside_a_closure() {
    let World { store, folder } = World::new();
    let last = store.clone();
    let (has_begun, begun) = tokio::sync::oneshot::channel();
    let (go, may_go) = std::sync::mpsc::channel();
    let (done, is_done) = tokio::sync::oneshot::channel();
    let reading = tokio::spawn(async move {
        let read = store.read(move |_| {
            has_begun.send(()).unwrap();
            may_go.recv().unwrap();
            drop(last);
            done.send(()).unwrap();
            Ok(())
        });
        read.await
    });
    begun.await.unwrap();
    reading.abort();
    assert!(reading.await.unwrap_err().is_cancelled());
    go.send(()).unwrap();
    is_done.await.expect("the thread does not wait for itself");
    // The closing thread gives the lock back as its last act, and nobody can wait for it.
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(10);
    while let Err(error) = Store::open(options(folder.path().join("store"))) {
        assert!(matches!(error, StoreError::InUse { .. }) && std::time::Instant::now() < deadline, "{error}");
        tokio::task::yield_now().await;
    }
}
