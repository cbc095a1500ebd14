//! Taking uploads in: what is accepted, what is refused in which words, and that nothing is left of a failure.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use havre_build::builder::BuildError;
use havre_build::context::{ContextWriter, LINKS_MAX, context_path, read_text, remove_leftovers};
use havre_core::id::BuildId;
use havre_core::quantity::ByteSize;
use tar::EntryType;

use crate::archive::{Entry, file, folder, hard_link, of_kind, symlink, tar};

const ID: BuildId = BuildId::new(12);

async fn take_in(dir: &Path, bytes: &[u8]) -> Result<std::path::PathBuf, BuildError> {
    let mut writer = ContextWriter::create(dir, ID, ByteSize::mebibytes(64)).await?;
    for chunk in bytes.chunks(700) {
        writer.write(chunk).await?;
    }
    writer.finish().await
}

fn names(dir: &Path) -> Vec<String> {
    let entries = fs::read_dir(dir).expect("is a folder");
    let mut names: Vec<String> =
        entries.map(|entry| entry.expect("is readable").file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

async fn refuse(bytes: &[u8]) -> String {
    let dir = tempfile::tempdir().expect("can make a folder");
    let error = take_in(dir.path(), bytes).await.expect_err("must be refused");
    assert!(error.is_permanent(), "{error:?}");
    assert_eq!(names(dir.path()), Vec::<String>::new(), "nothing is left after: {error}");
    error.to_string()
}

#[tokio::test]
async fn an_ordinary_context_is_taken_in() {
    let dir = tempfile::tempdir().expect("can make a folder");
    let long = "d/".repeat(80) + "file";
    let mut builder = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_gnu();
    header.set_size(2);
    header.set_mode(0o644);
    builder.append_data(&mut header, long.replace("d/d/", "dd/"), &b"ab"[..]).expect("is a valid entry");
    let mut bytes = builder.into_inner().expect("can be ended");
    bytes.truncate(bytes.len() - 1024);
    bytes.extend(tar(&[
        folder("./"),
        file("Dockerfile", "FROM x"),
        folder("node_modules/.bin/"),
        symlink("node_modules/.bin/vite", "../vite/bin/vite.js"),
        hard_link("copy", "Dockerfile"),
        of_kind(EntryType::XGlobalHeader, b"pax_global_header", b"18 comment=abcdef\n"),
    ]));
    let path = take_in(dir.path(), &bytes).await.expect("is a fine context");
    assert_eq!(path, context_path(dir.path(), ID));
    assert_eq!(fs::read(&path).expect("is readable"), bytes);
    assert_eq!(fs::metadata(&path).expect("is there").permissions().mode() & 0o777, 0o600);
    assert_eq!(names(dir.path()), ["b12.tar"]);
}

#[tokio::test]
async fn entries_that_leave_the_context_are_refused() {
    let context = "the uploaded context is not usable: ";
    let table: [(Vec<Entry>, &str); 10] = [
        (vec![file("/etc/passwd", "x")], "`/etc/passwd` is an absolute path"),
        (vec![file("a/../../x", "x")], "`a/../../x` leaves its folder"),
        (vec![of_kind(EntryType::Regular, b"\xff", b"")], "`\u{fffd}` is not valid UTF-8"),
        (vec![symlink("x", "/etc")], "the link `x` leads to `/etc`, outside of the context"),
        (vec![symlink("a/x", "../../etc")], "the link `a/x` leads to `../../etc`, outside of the context"),
        (vec![symlink("x", "a/../../etc")], "the link `x` leads to `a/../../etc`, outside of the context"),
        (vec![hard_link("x", "/etc/passwd")], "the link `x` leads to `/etc/passwd`, outside of the context"),
        (vec![symlink("a/b", "."), file("a/b/c", "x")], "`a/b/c` lies behind a link"),
        (vec![of_kind(EntryType::Char, b"tty", b"")], "`tty` is neither a file, a folder nor a link"),
        (vec![of_kind(EntryType::Fifo, b"pipe", b"")], "`pipe` is neither a file, a folder nor a link"),
    ];
    for (entries, message) in table {
        assert_eq!(refuse(&tar(&entries)).await, format!("{context}{message}"));
    }
}

#[tokio::test]
async fn what_is_no_whole_archive_is_refused() {
    let whole = tar(&[file("a", &"x".repeat(2000)), file("b", "y")]);
    let cut = "the uploaded context is not usable: it is not a whole tar archive (cut off)";
    // In the contents, between two entries, before the end mark.
    for length in [1000, 512 + 2048, whole.len() - 1024] {
        assert_eq!(refuse(&whole[..length]).await, cut);
    }
    assert_eq!(refuse(b"").await, "the uploaded context is not usable: it is empty");
    assert_eq!(
        refuse(&[0x1f, 0x8b, 8, 0]).await,
        "the uploaded context is not usable: it is compressed; a plain tar archive is expected"
    );
    let mut broken = whole.clone();
    broken[3] = b'z';
    assert!(refuse(&broken).await.contains("checksum"));
    assert!(refuse(&[b'x'; 3000]).await.starts_with("the uploaded context is not usable: it is not a whole"));
}

#[tokio::test]
async fn headers_that_would_fill_memory_or_fool_a_reader_are_refused() {
    let long = of_kind(EntryType::GNULongName, b"././@LongLink", &vec![b'a'; 70_000]);
    assert!(refuse(&tar(&[long, file("a", "")])).await.ends_with("more than 64 KiB"));
    let twice = of_kind(EntryType::XHeader, b"pax", b"12 size=999\n");
    assert!(refuse(&tar(&[twice, file("a", "")])).await.ends_with("whose size is given twice"));
}

#[tokio::test]
async fn too_many_links_are_refused() {
    let links: Vec<Entry> = (0..=LINKS_MAX).map(|number| symlink(&format!("l{number}"), "x")).collect();
    assert_eq!(
        refuse(&tar(&links)).await,
        format!("the number of links in the context is too large: the limit is {LINKS_MAX}")
    );
}

#[tokio::test]
async fn the_limit_holds_while_it_streams() {
    let dir = tempfile::tempdir().expect("can make a folder");
    let mut writer = ContextWriter::create(dir.path(), ID, ByteSize::mebibytes(1)).await.expect("can start");
    let chunk = vec![0; 1024 * 1024];
    writer.write(&chunk).await.expect("is within the limit");
    let error = writer.write(b"x").await.expect_err("is past the limit");
    assert_eq!(error.to_string(), "the uploaded context is too large: the limit is 1MB");
    drop(writer);
    assert_eq!(names(dir.path()), Vec::<String>::new());
}

#[tokio::test]
async fn a_client_that_leaves_leaves_nothing() {
    let dir = tempfile::tempdir().expect("can make a folder");
    let mut writer = ContextWriter::create(dir.path(), ID, ByteSize::mebibytes(1)).await.expect("can start");
    writer.write(b"half").await.expect("is written");
    assert_eq!(names(dir.path()), [".upload-b12"]);
    let second = ContextWriter::create(dir.path(), ID, ByteSize::mebibytes(1)).await;
    second.expect_err("one upload at a time");
    drop(writer);
    assert_eq!(names(dir.path()), Vec::<String>::new());
}

#[test]
fn leftovers_of_a_crash_go_and_contexts_stay() {
    let dir = tempfile::tempdir().expect("can make a folder");
    for name in [".upload-b1", "b2.tar"] {
        fs::write(dir.path().join(name), "x").expect("can write");
    }
    remove_leftovers(dir.path()).expect("can clean up");
    assert_eq!(names(dir.path()), ["b2.tar"]);
}

#[tokio::test]
async fn a_text_comes_out_of_a_context() {
    let dir = tempfile::tempdir().expect("can make a folder");
    let bytes = tar(&[
        folder("deploy/"),
        file("deploy/api.Dockerfile", "FROM x"),
        symlink("Dockerfile", "deploy/api.Dockerfile"),
    ]);
    let path = take_in(dir.path(), &bytes).await.expect("is a fine context");
    let read = |wanted: &str, limit: u64| read_text(&path, wanted, limit).expect("is readable");
    assert_eq!(read("deploy/api.Dockerfile", 6).as_deref(), Some("FROM x"));
    for (wanted, limit) in [("deploy/api.Dockerfile", 5), ("Dockerfile", 6), ("deploy", 6), ("nope", 6)] {
        assert_eq!(read(wanted, limit), None, "{wanted} {limit}");
    }
    assert!(read_text(&dir.path().join("nope"), "Dockerfile", 6).is_err());
}
