//! Publishing folders: what is unpacked, what is refused in which words, digests, and that nothing is left of a failure.

use std::collections::BTreeMap;
use std::fs;
use std::io::{Cursor, Read};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::Path;

use havre_build::builder::BuildError;
use havre_build::site::{Limits, Sites};
use havre_core::artifact::Digest;
use havre_core::id::BuildId;
use proptest::prelude::*;
use tar::EntryType;
use tokio_util::sync::CancellationToken;

use crate::archive::{Entry, file, folder, hard_link, of_kind, symlink, tar};

const ID: BuildId = BuildId::new(12);

fn publish(dir: &Path, entries: &[Entry], inside: Option<&str>) -> Result<Digest, BuildError> {
    let sites = Sites::open(dir, Limits { files: 3, bytes: 100 }).expect("can be opened");
    sites.publish(ID, Cursor::new(tar(entries)), inside, &CancellationToken::new())
}

/// Every file below `dir`: path, mode, contents; and every folder: path, mode.
fn tree(dir: &Path) -> BTreeMap<String, (u32, String)> {
    let mut found = BTreeMap::new();
    let mut left = vec![dir.to_owned()];
    while let Some(path) = left.pop() {
        for entry in fs::read_dir(path).expect("is a folder") {
            let path = entry.expect("is readable").path();
            let name = path.strip_prefix(dir).expect("lies inside").to_string_lossy().into_owned();
            let mode = fs::symlink_metadata(&path).expect("is there").permissions().mode();
            let text = if path.is_dir() {
                left.push(path);
                String::new()
            } else {
                fs::read_to_string(path).expect("is text")
            };
            found.insert(name, (mode, text));
        }
    }
    found
}

fn refuse(entries: &[Entry], inside: Option<&str>) -> String {
    let dir = tempfile::tempdir().expect("can make a folder");
    let error = publish(dir.path(), entries, inside).expect_err("must be refused");
    assert!(error.is_permanent(), "{error:?}");
    assert_eq!(tree(dir.path()), BTreeMap::new(), "nothing is left after: {error}");
    error.to_string()
}

#[test]
fn files_are_published_with_our_own_modes() {
    let dir = tempfile::tempdir().expect("can make a folder");
    let entries = [
        folder("empty/"),
        file("./index.html", "<p>hi").mode(0o6777),
        folder("assets/").mode(0o2700),
        file("assets/a b.js", "1").mode(0o000),
    ];
    let digest = publish(dir.path(), &entries, None).expect("is a fine site");
    let name = digest.hex();
    let expected = [
        (name.to_owned(), (0o40755, String::new())),
        (format!("{name}/assets"), (0o40755, String::new())),
        (format!("{name}/assets/a b.js"), (0o100_644, "1".to_owned())),
        (format!("{name}/index.html"), (0o100_644, "<p>hi".to_owned())),
    ];
    assert_eq!(tree(dir.path()), BTreeMap::from(expected));
    assert_eq!(fs::metadata(dir.path()).expect("is there").permissions().mode() & 0o777, 0o755);
}

#[test]
fn a_site_that_is_there_is_kept() {
    let dir = tempfile::tempdir().expect("can make a folder");
    let first = publish(dir.path(), &[file("index.html", "x")], None).expect("is a fine site");
    let inode = || fs::metadata(dir.path().join(first.hex())).expect("is there").ino();
    let before = inode();
    let entries = [folder("dist/"), file("dist/index.html", "x").mode(0o600)];
    let second = publish(dir.path(), &entries, Some("dist")).expect("is a fine site");
    assert_eq!((second, inode()), (first.clone(), before));
    assert_eq!(tree(dir.path()).len(), 2);
}

#[test]
fn digests_are_stable() {
    let dir = tempfile::tempdir().expect("can make a folder");
    let digest = |entries: &[Entry]| publish(dir.path(), entries, None).expect("is a fine site").to_string();
    let (index, other) = (file("index.html", "a"), file("x", "b"));
    let one = digest(&[index.clone(), other.clone()]);
    // Written down, because published folders of old releases must keep their names.
    assert_eq!(one, "sha256:ce561754a89512dc6678030d8bd78c3dc363ef17853617cd0fe07c655da73139");
    assert_eq!(one, digest(&[other, index.clone()]), "order in the archive does not matter");
    for entries in [
        vec![index.clone()],
        vec![index.clone(), file("x", "c")],
        vec![index.clone(), file("y", "b")],
        vec![file("index.html", "ab"), file("x", "")],
    ] {
        assert_ne!(one, digest(&entries));
    }
}

#[test]
fn unsafe_entries_are_refused() {
    let index = file("index.html", "x");
    let usable = "the finished site is not usable: ";
    let table: [(Entry, &str); 12] = [
        (file("/etc/passwd", "x"), "`/etc/passwd` is an absolute path"),
        (file("../x", "x"), "`../x` leaves its folder"),
        (file("a/../../x", "x"), "`a/../../x` leaves its folder"),
        (symlink("x", "index.html"), "`x` is a link; only plain files can be served"),
        (hard_link("x", "index.html"), "`x` is a link; only plain files can be served"),
        (of_kind(EntryType::Block, b"sda", b""), "`sda` is neither a file nor a folder"),
        (of_kind(EntryType::Char, b"null", b""), "`null` is neither a file nor a folder"),
        (of_kind(EntryType::Fifo, b"pipe", b""), "`pipe` is neither a file nor a folder"),
        (of_kind(EntryType::Regular, b"\xff", b""), "`\u{fffd}` is not valid UTF-8"),
        (file("a\nb", "x"), "`a\\nb` contains a control character"),
        (file("index.html", "y"), "`index.html` is there twice"),
        (file("index.html/x", "y"), "`index.html/x` is there twice"),
    ];
    for (entry, message) in table {
        assert_eq!(refuse(&[index.clone(), entry], None), format!("{usable}{message}"));
    }
    assert_eq!(refuse(&[file("dist", "x")], Some("dist")), format!("{usable}`dist` is a file, not a folder"));
    assert_eq!(
        refuse(&[file("else/index.html", "x")], Some("dist")),
        format!("{usable}`else/index.html` lies outside of it")
    );
}

#[test]
fn limits_and_the_index_are_checked() {
    let index = file("index.html", "x");
    assert_eq!(refuse(&[file("x", "")], None), "index.html is missing from the finished site");
    assert_eq!(refuse(&[file("a/index.html", "")], None), "index.html is missing from the finished site");
    let many = [index.clone(), file("a", ""), file("b", ""), file("c", "")];
    assert_eq!(refuse(&many, None), "the number of files in the finished site is too large: the limit is 3");
    let big = file("a", &"x".repeat(100));
    assert!(refuse(&[index, big], None).starts_with("the finished site is too large: the limit is "));
}

#[test]
fn a_stream_that_breaks_leaves_nothing() {
    let dir = tempfile::tempdir().expect("can make a folder");
    let sites = Sites::open(dir.path(), Limits::default()).expect("can be opened");
    let whole = tar(&[file("index.html", &"x".repeat(3000))]);
    let cut = Cursor::new(whole[..1500].to_vec());
    sites.publish(ID, cut, None, &CancellationToken::new()).expect_err("is cut off");
    assert_eq!(tree(dir.path()), BTreeMap::new());

    struct Broken;
    impl Read for Broken {
        fn read(&mut self, _: &mut [u8]) -> std::io::Result<usize> {
            Err(std::io::Error::from_raw_os_error(28))
        }
    }
    let full = Cursor::new(whole[..1500].to_vec()).chain(Broken);
    let error = sites.publish(ID, full, None, &CancellationToken::new()).expect_err("is broken");
    assert!(matches!(error, BuildError::NoSpace { .. }), "{error:?}");
    assert_eq!(tree(dir.path()), BTreeMap::new());
}

#[test]
fn a_cancel_and_a_crash_leave_nothing() {
    let dir = tempfile::tempdir().expect("can make a folder");
    let sites = Sites::open(dir.path(), Limits::default()).expect("can be opened");
    let cancel = CancellationToken::new();
    cancel.cancel();
    let archive = Cursor::new(tar(&[file("index.html", "x")]));
    let error = sites.publish(ID, archive, None, &cancel).expect_err("was cancelled");
    assert!(matches!(error, BuildError::Cancelled), "{error:?}");
    assert_eq!(tree(dir.path()), BTreeMap::new());

    fs::create_dir_all(dir.path().join(".tmp-b3/assets")).expect("can make a folder");
    fs::create_dir(dir.path().join("published")).expect("can make a folder");
    Sites::open(dir.path(), Limits::default()).expect("can be opened");
    assert_eq!(tree(dir.path()).into_keys().collect::<Vec<_>>(), ["published"]);
}

proptest! {
    /// Whatever stands in an archive, nothing appears outside of the folder and nothing is left of a refusal.
    #[test]
    fn no_archive_escapes(names in prop::collection::vec("[./a]{1,8}", 1..4), kinds in prop::collection::vec(0_u8..6, 4)) {
        let outer = tempfile::tempdir().expect("can make a folder");
        let dir = outer.path().join("sites");
        let entries: Vec<Entry> = names
            .iter()
            .zip(kinds)
            .map(|(name, kind)| match kind {
                0 => symlink(name, "../.."),
                1 => hard_link(name, "a"),
                2 => folder(name),
                _ => file(name, "x"),
            })
            .chain([file("index.html", "")])
            .collect();
        let result = publish(&dir, &entries, None);
        let outside: Vec<_> = tree(outer.path()).into_keys().filter(|name| !name.starts_with("sites")).collect();
        prop_assert_eq!(outside, Vec::<String>::new());
        let inside = tree(&dir);
        prop_assert!(inside.values().all(|(mode, _)| *mode == 0o100_644 || *mode == 0o40755));
        prop_assert_eq!(inside.is_empty(), result.is_err());
    }
}
