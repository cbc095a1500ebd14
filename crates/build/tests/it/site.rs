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
use havre_site::document::{self, Document, Encoding};
use proptest::prelude::*;
use tar::EntryType;
use tokio_util::sync::CancellationToken;

use crate::archive::{Entry, file, folder, hard_link, of_kind, symlink, tar};

const ID: BuildId = BuildId::new(12);

fn publish(dir: &Path, entries: &[Entry], inside: Option<&str>) -> Result<Digest, BuildError> {
    let sites = Sites::open(dir, Limits { files: 3, bytes: 100 }).expect("can be opened");
    sites.publish(ID, Cursor::new(tar(entries)), inside, &CancellationToken::new())
}

/// What Havre made of the one site below `dir`: names and the document.
fn made(dir: &Path, digest: &Digest) -> (Vec<String>, Document) {
    let folder = dir.join(document::made_folder(digest.hex()));
    let names =
        fs::read_dir(&folder).expect("is a folder").map(|entry| entry.expect("is readable").file_name());
    let mut names: Vec<String> = names.map(|name| name.into_string().expect("is text")).collect();
    names.sort();
    let json = fs::read(folder.join(document::FILE_NAME)).expect("is there");
    (names, serde_json::from_slice(&json).expect("is a document"))
}

/// Every file below `dir`, what Havre made aside: path, mode, contents; and every folder: path, mode.
fn tree(dir: &Path) -> BTreeMap<String, (u32, String)> {
    let mut found = BTreeMap::new();
    let mut left = vec![dir.to_owned()];
    while let Some(path) = left.pop() {
        for entry in fs::read_dir(path).expect("is a folder") {
            let path = entry.expect("is readable").path();
            if path.extension().is_some_and(|extension| extension == "made") {
                continue;
            }
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

/// Nothing of ours is left, what was made included.
fn is_empty(dir: &Path) -> bool {
    fs::read_dir(dir).expect("is a folder").next().is_none()
}

fn refuse(entries: &[Entry], inside: Option<&str>) -> String {
    let dir = tempfile::tempdir().expect("can make a folder");
    let error = publish(dir.path(), entries, inside).expect_err("must be refused");
    assert!(error.is_permanent(), "{error:?}");
    assert!(is_empty(dir.path()), "nothing is left after: {error}");
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

/// Text that becomes smaller, and no two alike.
fn text(seed: usize, length: usize) -> String {
    (0..)
        .flat_map(|n: usize| format!("line {} of {seed}\n", n * n + seed).into_bytes())
        .take(length)
        .map(char::from)
        .collect()
}

fn publish_all(sites: &Sites, id: i64, entries: &[Entry]) -> Result<Digest, BuildError> {
    sites.publish(BuildId::new(id), Cursor::new(tar(entries)), None, &CancellationToken::new())
}

#[test]
fn smaller_encodings_lie_beside_the_site() {
    let dir = tempfile::tempdir().expect("can make a folder");
    let sites = Sites::open(dir.path(), Limits::default()).expect("can be opened");
    let page = text(1, 4000);
    let entries = [
        file("index.html", &page),
        file("copy/same.txt", &page),
        file("tiny.css", "a{}"),
        file("photo.png", &text(2, 4000)),
        file("app.js.map", &text(3, 4000)),
    ];
    let digest = publish_all(&sites, 1, &entries).expect("is a fine site");
    let (names, document) = made(dir.path(), &digest);
    let shown: Vec<(String, u64, Vec<&str>)> = document
        .files
        .iter()
        .map(|file| {
            (file.path.clone(), file.size, file.made.iter().map(|made| made.encoding.name()).collect())
        })
        .collect();
    let all = vec!["br", "zstd", "gzip"];
    let expected = [
        ("app.js.map".to_owned(), 4000, all.clone()),
        ("copy/same.txt".to_owned(), 4000, all.clone()),
        ("index.html".to_owned(), 4000, all),
        ("photo.png".to_owned(), 4000, Vec::new()),
        ("tiny.css".to_owned(), 3, Vec::new()),
    ];
    assert_eq!(shown, expected);
    // One set for the page and its copy, one for the map, and the document; each as large as it says, and readable back.
    assert_eq!(names.len(), 7, "{names:?}");
    let folder = dir.path().join(document::made_folder(digest.hex()));
    let index = document.files.iter().find(|file| file.path == "index.html").expect("is listed");
    for made in &index.made {
        let bytes =
            fs::read(folder.join(document::made_file(&index.sha256, made.encoding))).expect("is there");
        assert_eq!(bytes.len() as u64, made.size);
        assert!(made.size < 2000, "{made:?}");
        let mut back = Vec::new();
        match made.encoding {
            Encoding::Br => drop(brotli::BrotliDecompress(&mut Cursor::new(&bytes), &mut back)),
            Encoding::Zstd => back = zstd::bulk::decompress(&bytes, 10_000).expect("is zstd"),
            Encoding::Gzip => {
                flate2::read::GzDecoder::new(Cursor::new(&bytes)).read_to_end(&mut back).expect("is gzip");
            }
        }
        assert_eq!(back, page.as_bytes(), "{:?}", made.encoding);
    }
}

#[test]
fn what_an_earlier_site_made_is_taken_over() {
    let dir = tempfile::tempdir().expect("can make a folder");
    let sites = Sites::open(dir.path(), Limits::default()).expect("can be opened");
    let vendor = text(1, 4000);
    let first = publish_all(&sites, 1, &[file("index.html", "1"), file("v.js", &vendor)]).expect("is fine");
    let second = publish_all(&sites, 2, &[file("index.html", "2"), file("w.js", &vendor)]).expect("is fine");
    let inode = |digest: &Digest| {
        let (_, document) = made(dir.path(), digest);
        let file = document.files.iter().find(|file| file.path.ends_with(".js")).expect("is listed");
        let name = document::made_file(&file.sha256, Encoding::Br);
        fs::metadata(dir.path().join(document::made_folder(digest.hex())).join(name)).expect("is there").ino()
    };
    assert_eq!(inode(&first), inode(&second));
    // Removing the first leaves the second whole.
    let listed = sites.list().expect("can be listed");
    let seen = listed.iter().find(|site| site.digest == first).expect("is listed");
    assert!(sites.remove(seen).expect("can be removed"));
    assert_eq!(made(dir.path(), &second).0.len(), 4);
    let left: Vec<_> = fs::read_dir(dir.path()).expect("is a folder").collect();
    assert_eq!(left.len(), 2, "{left:?}");
}

#[test]
fn rules_are_checked_when_they_are_published_and_are_no_files() {
    let dir = tempfile::tempdir().expect("can make a folder");
    let sites = Sites::open(dir.path(), Limits::default()).expect("can be opened");
    let index = file("index.html", "x");
    let rules = [
        index.clone(),
        file("_redirects", "\u{feff}/old/* /new/:splat\n/* /index.html 200\n"),
        file("_headers", "/*\n  X-Frame-Options: DENY\n"),
    ];
    let digest = publish_all(&sites, 1, &rules).expect("is a fine site");
    let (_, document) = made(dir.path(), &digest);
    let paths: Vec<&str> = document.files.iter().map(|file| file.path.as_str()).collect();
    assert_eq!((paths, document.redirects.len(), document.headers.len()), (vec!["index.html"], 2, 1));

    let wrong = |name: &str, text: &str| {
        let error = publish_all(&sites, 2, &[index.clone(), file(name, text)]).expect_err("must be refused");
        assert!(error.is_permanent());
        error.to_string()
    };
    let usable = "the finished site is not usable: ";
    assert_eq!(
        wrong("_redirects", "/fine /index.html\n\n/a /b\n/b /a\n"),
        format!("{usable}_redirects:3: this rule leads in a circle: /a -> /b -> /a -> /b -> ...")
    );
    assert_eq!(
        wrong("_headers", "/*\n  X-A: b\r\n  Set-Cookie: a\u{7}b\n"),
        format!("{usable}_headers:3: the line holds the control character \\u{{7}}")
    );
    assert!(
        wrong("_headers", &"#".repeat(300_000)).starts_with("the file _headers of the site is too large")
    );
    assert_eq!(sites.list().expect("can be listed").len(), 1);
}

#[test]
fn long_names_are_read_and_bombs_of_names_are_not() {
    let dir = tempfile::tempdir().expect("can make a folder");
    let sites = Sites::open(dir.path(), Limits::default()).expect("can be opened");
    let name = format!("{}/x.txt", "a".repeat(200));
    let path_record = format!("{} path={name}\n", name.len() + 10);
    let index = file("index.html", "x");
    let long = [
        index.clone(),
        of_kind(EntryType::GNULongName, b"././@LongLink", format!("{name}\0").as_bytes()),
        file("cut", "by a long name"),
        of_kind(EntryType::XHeader, b"pax", path_record.replace("/x.txt", "/y.txt").as_bytes()),
        file("cut", "by an extended header"),
    ];
    let digest = publish_all(&sites, 1, &long).expect("is a fine site");
    let (_, document) = made(dir.path(), &digest);
    let paths: Vec<&str> = document.files.iter().map(|file| file.path.as_str()).collect();
    assert_eq!(paths, [name.as_str(), &name.replace("/x.txt", "/y.txt"), "index.html"]);

    let huge = vec![b'a'; 65 * 1024];
    let twice = b"13 size=1234\n";
    let usable = "the finished site is not usable: ";
    for (entry, message) in [
        (
            of_kind(EntryType::GNULongName, b"x", &huge),
            "it holds a name or an extended header of more than 64 KiB",
        ),
        (
            of_kind(EntryType::XHeader, b"x", &huge),
            "it holds a name or an extended header of more than 64 KiB",
        ),
        (of_kind(EntryType::XHeader, b"x", twice), "it holds an entry whose size is given twice"),
        (of_kind(EntryType::GNULongName, b"x", b"../../etc/x"), "`../../etc/x` leaves its folder"),
        (of_kind(EntryType::GNUSparse, b"x", b""), "`x` is neither a file nor a folder"),
    ] {
        let error =
            publish_all(&sites, 2, &[index.clone(), entry, file("y", "")]).expect_err("must be refused");
        assert_eq!(error.to_string(), format!("{usable}{message}"));
    }
}

#[test]
fn endless_folders_are_no_site() {
    let dir = tempfile::tempdir().expect("can make a folder");
    let sites = Sites::open(dir.path(), Limits::default()).expect("can be opened");
    let one = tar(&[folder("a/")])[..512].to_vec();
    let many =
        Cursor::new(tar(&[file("index.html", "x")])[..1024].to_vec()).chain(Cursor::new(one.repeat(200_001)));
    let error = sites.publish(ID, many, None, &CancellationToken::new()).expect_err("must be refused");
    assert!(
        error.to_string().starts_with("the number of entries in the finished site is too large"),
        "{error}"
    );
    assert!(is_empty(dir.path()));
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
