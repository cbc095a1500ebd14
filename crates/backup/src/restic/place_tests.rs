//! Tests of what is done to a repository when a run ends half way.

use havre_core::time::Timestamp;

use super::*;
use crate::restic::folder::Folder;

fn entry() -> Entry {
    Entry {
        name: "db.dump".parse().expect("is a name"),
        tags: BTreeSet::new(),
        at: Timestamp::from_millis(1_763_978_400_000),
    }
}

#[test]
fn the_first_half_of_one_that_is_stored_now_stays() {
    let (folder, place) = made();
    let other = Entry { at: Timestamp::from_millis(1_763_978_460_000), ..entry() };
    place.begin(&entry());
    let (reader, watch) = watched(&b"some bytes"[..]);
    let first = place.take_in(&entry(), reader).expect("is stored");
    place.begin(&other);
    let (reader, _) = watched(&b"other bytes"[..]);
    let second = place.take_in(&other, reader).expect("is stored");
    let produced = watch.content().expect("was read");
    let never = CancellationToken::new();
    let snapshot = place.confirm(&first, &entry(), &produced, &never).expect("is the same");
    assert_eq!((snapshot.at, snapshot.content), (entry().at, produced));
    place.end(&entry());
    // Here Havre is killed; another one goes on.
    let place = another(&folder);
    let (reader, _) = watched(&b"more"[..]);
    let third =
        place.take_in(&Entry { at: Timestamp::from_millis(0), ..entry() }, reader).expect("is stored");
    let left: Vec<FileId> =
        place.opened().expect("opens").inner.list::<FileId>().expect("is listed").collect();
    assert!(left.contains(&third.id) && !left.contains(&second.id) && !left.contains(&first.id));
}

fn another(folder: &tempfile::TempDir) -> Place {
    let storage = Arc::new(Folder::new(&folder.path().join("repository")));
    Place::new(storage, Secret::from("password"))
}

fn made() -> (tempfile::TempDir, Place) {
    let folder = tempfile::tempdir().expect("is made");
    let place = another(&folder);
    place.init().expect("is made");
    (folder, place)
}

fn watched(inner: &'static [u8]) -> (Watched<&'static [u8]>, Watch) {
    let watch = Watch::default();
    (Watched::new(inner, watch.clone(), CancellationToken::new()), watch)
}

#[test]
fn the_first_half_looks_like_no_backup_and_the_next_run_removes_it() {
    let (folder, place) = made();
    let (reader, watch) = watched(&b"some bytes"[..]);
    let pending = place.take_in(&entry(), reader).expect("is stored");
    assert!(place.list().expect("is listed").is_empty(), "nobody has read it back");
    // Here Havre is killed; another one goes on.
    let place = another(&folder);
    let (reader, again) = watched(&b"some bytes"[..]);
    let second = place.take_in(&entry(), reader).expect("is stored");
    let left: Vec<FileId> =
        place.opened().expect("opens").inner.list::<FileId>().expect("is listed").collect();
    assert_eq!(left, [second.id], "the one before is gone");
    assert_ne!(pending.id, second.id);
    let produced = again.content().expect("was read");
    assert_eq!(produced, watch.content().expect("was read"));
    let never = CancellationToken::new();
    let snapshot = place.confirm(&second, &entry(), &produced, &never).expect("is the same");
    assert_eq!(place.list().expect("is listed"), [snapshot]);
}

#[test]
fn what_comes_back_different_is_no_snapshot() {
    let (_folder, place) = made();
    let (reader, watch) = watched(&b"some bytes"[..]);
    let pending = place.take_in(&entry(), reader).expect("is stored");
    let mut wrong = watch.content().expect("was read");
    wrong.sha256 = "a".repeat(64).parse().expect("is a digest");
    let refused = place.confirm(&pending, &entry(), &wrong, &CancellationToken::new());
    assert!(matches!(refused, Err(RepositoryError::Differs { .. })), "{refused:?}");
    place.discard(&pending).expect("is removed");
    assert_eq!(place.opened().expect("opens").inner.list::<FileId>().expect("is listed").count(), 0);
}

#[test]
fn keys_are_not_printed() {
    let (_folder, place) = made();
    let text = format!("{place:?}");
    assert!(
        text.contains("Key(..)") && text.contains("Secret(..)") && !text.contains("password\""),
        "{text}"
    );
}
