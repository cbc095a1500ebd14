//! What only git can show about reading: names without text, attributes, large files, odd refs, and the state of the folder.

use std::collections::BTreeMap;

use bytes::Bytes;
use havre_core::build::ignore::Ignore;
use havre_core::source::CommitId;
use havre_source::context::{PackPlan, plan_context};
use havre_source::error::SourceError;
use havre_source::fake::FakeFile;
use havre_source::tree::Tree;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::git_world::GitWorld;
use crate::world::{PATIENCE, World as _, pack, reference, shop, unknown, unpack};

fn text(text: &str) -> FakeFile {
    FakeFile::text(text)
}

async fn tree(world: &GitWorld, commit: &CommitId) -> Tree {
    let root = ".".parse().expect("is a path");
    world.source().list_tree(&shop(), commit, &root).await.expect("is listed")
}

fn plan(tree: &Tree, ignore: &str) -> Result<PackPlan, SourceError> {
    let ignore = Ignore::parse(ignore).expect("parses");
    plan_context(tree, &".".parse().expect("is a path"), &ignore, Vec::new())
}

#[tokio::test]
async fn names_without_text_are_listed_and_named() {
    let world = GitWorld::start().ensured().await;
    let names: [&[u8]; 3] = [b"new\nline", b"\xff\xfe", b"a\x1b[31m"];
    for name in names {
        let commit = world.bare().commit(None, "hostile", &[(name, text("x")), (&b"fine"[..], text("y"))]);
        let tree = tree(&world, &commit).await;
        assert!(tree.entries().iter().any(|entry| entry.path == name), "{}", name.escape_ascii());
        let error = plan(&tree, "").expect_err("is refused");
        assert!(matches!(error, SourceError::NameInvalid { .. }), "{error}");
        assert!(!error.to_string().chars().any(char::is_control), "{error:?}");
        let plan = plan(&tree, "*\n!fine").expect("is left out");
        let (_, archive) = pack(world.source(), &plan).await;
        assert_eq!(unpack(&archive), [("fine".to_owned(), 0o644_u32, "y".to_owned())]);
    }
}

#[tokio::test]
async fn names_that_look_like_options_are_names() {
    let world = GitWorld::start();
    let names = ["-x", "--upload-pack=x", "$(id)", "a b", "a;b", "é", "HEAD", "a:b"];
    let files: Vec<(&str, FakeFile)> = names.iter().map(|name| (*name, text(name))).collect();
    let commit = world.commit(&shop(), None, "hostile", &files).await;
    let (summary, archive) =
        pack(world.source(), &plan(&tree(&world, &commit).await, "").expect("is planned")).await;
    assert_eq!(summary.expect("is packed").entries, names.len());
    let mut seen: Vec<String> =
        unpack(&archive).into_iter().map(|(name, _, content)| format!("{name} {content}")).collect();
    let mut expected: Vec<String> = names.iter().map(|name| format!("{name} {name}")).collect();
    seen.sort();
    expected.sort();
    assert_eq!(seen, expected);
    // As a folder as well: what a path may be is said by its type.
    let commit = world.commit(&shop(), None, "hostile", &[("a/x@y+z/b", text("b"))]).await;
    let folder = "a/x@y+z".parse().expect("is a path");
    let tree = world.source().list_tree(&shop(), &commit, &folder).await.expect("is listed");
    assert_eq!(tree.files().map(|(path, _)| path).collect::<Vec<_>>(), ["b"]);
}

#[tokio::test]
async fn submodules_are_named() {
    let world = GitWorld::start();
    let files = [("vendor/lib", FakeFile::Submodule(unknown())), ("a", text("a"))];
    let commit = world.commit(&shop(), None, "submodule", &files).await;
    let tree = tree(&world, &commit).await;
    let error = plan(&tree, "").expect_err("is refused");
    assert!(error.to_string().starts_with("`vendor/lib` is a submodule"), "{error}");
    let (summary, _) = pack(world.source(), &plan(&tree, "vendor").expect("is left out")).await;
    assert_eq!(summary.expect("is packed").entries, 1);
}

#[tokio::test]
async fn attributes_do_not_apply() {
    let world = GitWorld::start();
    let attributes =
        "secret.txt export-ignore\nversion.txt export-subst\n* text eol=crlf ident filter=evil\n";
    let files = [
        (".gitattributes", text(attributes)),
        ("secret.txt", text("kept\n")),
        ("version.txt", text("$Format:%H$ $Id$\n")),
    ];
    let commit = world.commit(&shop(), None, "attributes", &files).await;
    world.bare().git(&["config", "filter.evil.smudge", "touch /tmp/havre-must-not-run"], b"");
    let (_, archive) =
        pack(world.source(), &plan(&tree(&world, &commit).await, "").expect("is planned")).await;
    let row = |name: &str, content: &str| (name.to_owned(), 0o644_u32, content.to_owned());
    let expected = [
        row(".gitattributes", attributes),
        row("secret.txt", "kept\n"),
        row("version.txt", "$Format:%H$ $Id$\n"),
    ];
    assert_eq!(unpack(&archive), expected);
}

#[tokio::test]
async fn a_large_file_is_streamed() {
    let world = GitWorld::start();
    let mut state = 1_u64;
    let content: Vec<u8> = (0..50_000_000)
        .map(|_| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 56) as u8
        })
        .collect();
    let files = [("large", FakeFile::Plain(content.clone())), ("small", text("after it"))];
    let commit = world.commit(&shop(), None, "large", &files).await;
    let plan = plan(&tree(&world, &commit).await, "").expect("is planned");
    let (output, mut receiver) = mpsc::channel::<Bytes>(2);
    let repository = shop();
    let work = world.source().pack(&repository, &plan, output, CancellationToken::new());
    let take = async {
        let mut archive = Vec::new();
        let mut largest = 0;
        while let Some(chunk) = receiver.recv().await {
            largest = largest.max(chunk.len());
            archive.extend_from_slice(&chunk);
        }
        (archive, largest)
    };
    let both = async { tokio::join!(work, take) };
    let (summary, (archive, largest)) = tokio::time::timeout(PATIENCE, both).await.expect("ends in time");
    assert_eq!(summary.expect("is packed").bytes, archive.len() as u64);
    assert!(largest <= 256 * 1024, "never held as a whole: {largest}");
    // Behind one block of header; compared without printing fifty megabytes.
    assert!(archive[512..512 + content.len()] == content[..], "every byte is there");
    assert!(archive.ends_with(&[0; 1024]));
    let id = tree(&world, &commit).await.find("large").expect("is there").object.clone();
    let refused = world.source().read(&shop(), &[id], 1_000_000).await;
    assert!(matches!(refused, Err(SourceError::TooLarge { .. })), "{refused:?}");
}

#[tokio::test]
async fn odd_refs() {
    let world = GitWorld::start();
    let commit = world.commit(&shop(), None, "first", &[("a", text("a"))]).await;
    let bare = world.bare();
    let tag = |name: &str, of: &str, kind: &str| {
        let object = format!(
            "object {of}\ntype {kind}\ntag {name}\ntagger T <t@example.org> 1700000000 +0000\n\nwords\n"
        );
        let id = bare.line(&["hash-object", "-t", "tag", "-w", "--stdin"], object.as_bytes());
        bare.git(&["update-ref", &format!("refs/tags/{name}"), &id], b"");
        id
    };
    let inner = tag("annotated", commit.as_str(), "commit");
    tag("nested", &inner, "tag");
    let blob = bare.line(&["hash-object", "-w", "--stdin"], b"a file");
    tag("of-a-file", &blob, "blob");
    bare.git(&["update-ref", "refs/tags/file", &blob], b"");
    bare.git(&["update-ref", "refs/heads/é", commit.as_str()], b"");
    let refs = world.source().list_refs(&shop()).await.expect("is listed");
    let expected =
        [(reference("refs/tags/annotated"), commit.clone()), (reference("refs/tags/nested"), commit)];
    assert_eq!(refs, BTreeMap::from(expected));
}

#[tokio::test]
async fn commits_that_say_odd_things() {
    let world = GitWorld::start();
    let subject = format!("a\x1b[31m{}", "x".repeat(10_000));
    let commit = world.commit(&shop(), None, &subject, &[]).await;
    let described = world.source().describe(&shop(), &commit).await.expect("is described");
    assert!(described.subject.starts_with("a [31mxxx") && described.subject.chars().count() == 200);
    // Latin-1, as its header says.
    let tree = world.bare().line(&["mktree"], b"");
    let mut object = format!(
        "tree {tree}\nauthor J% <j@example.org> 1 +0000\ncommitter J <j@example.org> 1700000000 +0000\n\
         encoding ISO-8859-1\n\n"
    )
    .into_bytes();
    let at = object.iter().position(|byte| *byte == b'%').expect("is there");
    object[at] = 0xe9;
    object.extend_from_slice(b"caf\xe9\n");
    let id = world.bare().line(&["hash-object", "-t", "commit", "-w", "--stdin"], &object);
    let described =
        world.source().describe(&shop(), &id.parse().expect("is an id")).await.expect("is described");
    assert_eq!((described.author.as_str(), described.subject.as_str()), ("Jé", "café"));
}

#[tokio::test]
async fn a_restart_removes_what_a_crash_has_left() {
    let world = GitWorld::start();
    let commit = world.commit(&shop(), None, "first", &[("a", text("a"))]).await;
    world.set_ref(&shop(), "refs/heads/main", &commit).await;
    let root = world.root();
    let folders =
        [".new-0-other", ".gone-1-third/objects", ".ssh-2-shop", "shop.git/objects/tmp_objdir-incoming-x/aa"];
    for folder in folders {
        std::fs::create_dir_all(root.join(folder)).expect("is made");
    }
    let files = [
        "shop.git/refs/heads/main.lock",
        "shop.git/packed-refs.lock",
        ".home/.gitconfig",
        ".ssh-2-shop/key-0",
    ];
    for file in files {
        std::fs::write(root.join(file), "").expect("is written");
    }
    let world = world.restart();
    assert_eq!(world.bare().leftovers(), Vec::<std::path::PathBuf>::new());
    let mut left: Vec<String> = std::fs::read_dir(&root)
        .expect("is readable")
        .map(|entry| entry.expect("is readable").file_name().to_string_lossy().into_owned())
        .collect();
    left.sort();
    assert_eq!(left, [".home", "shop.git"]);
    assert_eq!(std::fs::read_dir(root.join(".home")).expect("is readable").count(), 0);
    assert_eq!(world.source().list_refs(&shop()).await.expect("is listed").len(), 1);
}

#[tokio::test]
async fn a_repository_holds_no_hooks_and_is_ours_alone() {
    let world = GitWorld::start();
    let name = shop();
    let (first, second) = tokio::join!(world.source().ensure(&name), world.source().ensure(&name));
    first.and(second).expect("one of them makes it");
    assert!(!world.bare().0.join("hooks").exists());
    let mode = std::os::unix::fs::PermissionsExt::mode(
        &std::fs::metadata(world.root()).expect("is there").permissions(),
    );
    assert_eq!(mode & 0o777, 0o700);
}
