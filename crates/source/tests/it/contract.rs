//! What every source promises. Each function runs on the fake and on git, in a world of its own.

use std::collections::BTreeMap;

use bytes::Bytes;
use havre_core::build::ignore::Ignore;
use havre_core::source::CommitId;
use havre_source::context::{LocalFile, PackEntry, PackKind, PackPlan, plan_context};
use havre_source::error::SourceError;
use havre_source::fake::FakeFile;
use havre_source::source::{Exchange, Exchanged, Protocol, Repacked, Service};
use havre_source::tree::{EntryKind, ObjectId, Tree};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::world::{
    AUTHOR, EMPTY_PACK, World, collect, head, pack, protected, push, reference, send, shop, unknown, unpack,
};

const PLAIN: EntryKind = EntryKind::File { is_executable: false };

fn text(text: &str) -> FakeFile {
    FakeFile::text(text)
}

async fn tree<W: World>(world: &W, commit: &CommitId, folder: &str) -> Tree {
    let folder = folder.parse().expect("is a path");
    world.source().list_tree(&shop(), commit, &folder).await.expect("is listed")
}

fn plan(tree: &Tree, ignore: &str) -> PackPlan {
    let ignore = Ignore::parse(ignore).expect("parses");
    plan_context(tree, &".".parse().expect("is a path"), &ignore, Vec::new()).expect("is planned")
}

pub(crate) async fn repositories_come_and_go<W: World>(world: W) {
    let source = world.source();
    assert_eq!(source.list_refs(&shop()).await.expect("is no error"), BTreeMap::new());
    let missing = source.advertise(&shop(), Service::UploadPack, None).await;
    assert!(matches!(missing, Err(SourceError::RepositoryMissing { .. })), "{missing:?}");
    let missing = source.describe(&shop(), &unknown()).await;
    assert!(matches!(missing, Err(SourceError::RepositoryMissing { .. })), "{missing:?}");
    for _ in 0..2 {
        source.ensure(&shop()).await.expect("is made");
    }
    assert_eq!(source.list_refs(&shop()).await.expect("is listed"), BTreeMap::new());
    let commit = world.commit(&shop(), None, "first", &[("a", text("a"))]).await;
    world.set_ref(&shop(), "refs/heads/main", &commit).await;
    source.ensure(&shop()).await.expect("is there");
    assert_eq!(source.list_refs(&shop()).await.expect("is listed").len(), 1);
    for _ in 0..2 {
        source.remove(&shop()).await.expect("is removed");
        assert_eq!(source.list_refs(&shop()).await.expect("is no error"), BTreeMap::new());
    }
    source.ensure(&shop()).await.expect("is made again");
    assert_eq!(source.list_refs(&shop()).await.expect("is listed"), BTreeMap::new());
}

pub(crate) async fn repositories_are_measured<W: World>(world: W) {
    let source = world.source();
    let missing = source.measure(&shop()).await;
    assert!(matches!(missing, Err(SourceError::RepositoryMissing { .. })), "{missing:?}");
    source.ensure(&shop()).await.expect("is made");
    assert_eq!(source.measure(&shop()).await.expect("is there").refs, 0);
    let noise: String = (0..40_000).map(|number| format!("{number:x}")).collect();
    let commit = world.commit(&shop(), None, "first", &[("a", text(&noise))]).await;
    world.set_ref(&shop(), "refs/heads/main", &commit).await;
    world.set_ref(&shop(), "refs/tags/v1", &commit).await;
    let measured = source.measure(&shop()).await.expect("is there");
    assert_eq!(measured.refs, 2);
    assert!((10_000..1_000_000).contains(&measured.bytes), "{measured:?}");
}

pub(crate) async fn packing_anew_changes_nothing_that_is_seen<W: World>(world: W) {
    let source = world.source();
    let missing = source.repack(&shop(), CancellationToken::new()).await;
    assert!(matches!(missing, Err(SourceError::RepositoryMissing { .. })), "{missing:?}");
    source.ensure(&shop()).await.expect("is made");
    assert_eq!(source.repack(&shop(), CancellationToken::new()).await.expect("is packed"), Repacked::Done);
    let first = world.commit(&shop(), None, "first", &[("a", text("1"))]).await;
    let second = world.commit(&shop(), Some(&first), "second", &[("a", text("2"))]).await;
    world.set_ref(&shop(), "refs/heads/main", &second).await;
    world.set_ref(&shop(), "refs/tags/v1", &first).await;
    let before = source.list_refs(&shop()).await.expect("is listed");
    for _ in 0..2 {
        assert_eq!(
            source.repack(&shop(), CancellationToken::new()).await.expect("is packed"),
            Repacked::Done
        );
    }
    assert_eq!(source.list_refs(&shop()).await.expect("is listed"), before);
    let object = tree(&world, &first, ".").await.find("a").expect("is there").object.clone();
    assert_eq!(source.read(&shop(), &[object], 10).await.expect("is read"), [b"1".to_vec()]);
    let stopped = CancellationToken::new();
    stopped.cancel();
    let ended = source.repack(&shop(), stopped).await;
    assert!(matches!(ended, Err(SourceError::Cancelled)), "{ended:?}");
}

pub(crate) async fn branches_and_tags_lead_to_commits<W: World>(world: W) {
    let first = world.commit(&shop(), None, "first", &[("a", text("1"))]).await;
    let second = world.commit(&shop(), Some(&first), "second", &[("a", text("2"))]).await;
    world.set_ref(&shop(), "refs/heads/main", &second).await;
    world.set_ref(&shop(), "refs/heads/feature/x", &first).await;
    world.set_ref(&shop(), "refs/tags/v1", &first).await;
    let expected = BTreeMap::from([
        (reference("refs/heads/feature/x"), first.clone()),
        (reference("refs/heads/main"), second),
        (reference("refs/tags/v1"), first),
    ]);
    assert_eq!(world.source().list_refs(&shop()).await.expect("is listed"), expected);
}

pub(crate) async fn commits_are_described<W: World>(world: W) {
    let first = world.commit(&shop(), None, "first: é", &[]).await;
    let second = world.commit(&shop(), Some(&first), "second", &[("a", text("a"))]).await;
    let source = world.source();
    let described = source.describe(&shop(), &first).await.expect("is there");
    assert_eq!(
        (&described.id, described.author.as_str(), described.subject.as_str()),
        (&first, AUTHOR, "first: é")
    );
    let later = source.describe(&shop(), &second).await.expect("is there");
    assert!(later.committed_at > described.committed_at);
    let missing = source.describe(&shop(), &unknown()).await;
    assert!(
        matches!(&missing, Err(SourceError::CommitMissing { commit, .. }) if *commit == unknown()),
        "{missing:?}"
    );
    // A file is no commit.
    let id = tree(&world, &second, ".").await.find("a").expect("is there").object.to_string();
    let missing = source.describe(&shop(), &id.parse().expect("is an id")).await;
    assert!(matches!(missing, Err(SourceError::CommitMissing { .. })), "{missing:?}");
}

pub(crate) async fn trees_are_listed<W: World>(world: W) {
    let files = [
        ("run.sh", FakeFile::Executable(b"#!".to_vec())),
        ("apps/api/main.js", text("main")),
        ("apps/api.txt", text("")),
        ("link", FakeFile::Link(b"apps/api".to_vec())),
        ("lib", FakeFile::Submodule(unknown())),
    ];
    let commit = world.commit(&shop(), None, "first", &files).await;
    let all = tree(&world, &commit, ".").await;
    let seen: Vec<(&str, EntryKind, u64)> =
        all.entries().iter().map(|e| (e.text().expect("is text"), e.kind, e.size)).collect();
    let expected = [
        ("apps", EntryKind::Folder, 0),
        ("apps/api", EntryKind::Folder, 0),
        ("apps/api/main.js", PLAIN, 4),
        ("apps/api.txt", PLAIN, 0),
        ("lib", EntryKind::Submodule, 0),
        ("link", EntryKind::Link, 8),
        ("run.sh", EntryKind::File { is_executable: true }, 2),
    ];
    assert_eq!(seen, expected);
    assert_eq!(all.commit, commit);
    let described = world.source().describe(&shop(), &commit).await.expect("is there");
    assert_eq!(all.committed_at, described.committed_at);
    for folder in ["apps/api", "./apps/./api"] {
        let below = tree(&world, &commit, folder).await;
        let seen: Vec<&str> = below.files().map(|(path, _)| path).collect();
        assert_eq!(seen, ["main.js"]);
        assert_eq!(below.entries().len(), 1);
    }
}

pub(crate) async fn what_is_missing_is_named<W: World>(world: W) {
    let commit = world.commit(&shop(), None, "first", &[("a/b", text("b"))]).await;
    let source = world.source();
    for path in ["none", "a/b", "a/none"] {
        let missing = source.list_tree(&shop(), &commit, &path.parse().expect("is a path")).await;
        assert!(
            matches!(&missing, Err(SourceError::PathMissing { path: found, .. }) if found == path),
            "{missing:?}"
        );
    }
    let root = ".".parse().expect("is a path");
    let missing = source.list_tree(&shop(), &unknown(), &root).await;
    assert!(matches!(missing, Err(SourceError::CommitMissing { .. })), "{missing:?}");
    let object: ObjectId = unknown().as_str().parse().expect("is an id");
    let missing = source.read(&shop(), std::slice::from_ref(&object), 10).await;
    assert!(
        matches!(&missing, Err(SourceError::ObjectMissing { object: found, .. }) if *found == object),
        "{missing:?}"
    );
    let kind = PackKind::Object { object, size: 1 };
    let entries = vec![PackEntry { path: "x".to_owned(), mode: 0o644, kind }];
    let plan = PackPlan { modified: Default::default(), entries };
    let (missing, _) = pack(source, &plan).await;
    assert!(matches!(missing, Err(SourceError::ObjectMissing { .. })), "{missing:?}");
}

pub(crate) async fn blobs_are_read<W: World>(world: W) {
    let files = [("a", text("first\n")), ("b", text("")), ("c", FakeFile::Plain(vec![0, 255, 10, 10]))];
    let commit = world.commit(&shop(), None, "first", &files).await;
    let listed = tree(&world, &commit, ".").await;
    let id = |path: &str| listed.find(path).expect("is there").object.clone();
    let asked = [id("c"), id("a"), id("b"), id("a")];
    let source = world.source();
    let found = source.read(&shop(), &asked, 6).await.expect("is read");
    assert_eq!(found, [vec![0, 255, 10, 10], b"first\n".to_vec(), Vec::new(), b"first\n".to_vec()]);
    assert_eq!(source.read(&shop(), &[], 6).await.expect("is read"), Vec::<Vec<u8>>::new());
    let large = source.read(&shop(), &asked, 5).await;
    assert!(matches!(large, Err(SourceError::TooLarge { .. })), "{large:?}");
}

pub(crate) async fn contexts_are_packed<W: World>(world: W) {
    let long = format!("{}/{}", "d".repeat(120), "f".repeat(120));
    let pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:ab\nsize 1\n";
    let files = [
        ("run.sh", FakeFile::Executable(b"#!".to_vec())),
        (long.as_str(), text("long")),
        ("link", FakeFile::Link(b"run.sh".to_vec())),
        ("model.bin", text(pointer)),
        ("node_modules/x", text("x")),
        ("empty", text("")),
    ];
    let commit = world.commit(&shop(), None, "first", &files).await;
    let mut plan = plan(&tree(&world, &commit, ".").await, "node_modules");
    let dockerfile =
        PackEntry { path: "Dockerfile".to_owned(), mode: 0o644, kind: PackKind::Bytes(b"FROM x".to_vec()) };
    plan.entries.push(dockerfile);
    let (summary, archive) = pack(world.source(), &plan).await;
    let summary = summary.expect("is packed");
    let row = |name: &str, mode: u32, content: &str| (name.to_owned(), mode, content.to_owned());
    let expected = [
        row(&format!("{}/", "d".repeat(120)), 0o755, ""),
        row(&long, 0o644, "long"),
        row("empty", 0o644, ""),
        row("link", 0o777, "run.sh"),
        row("model.bin", 0o644, pointer),
        row("run.sh", 0o755, "#!"),
        row("Dockerfile", 0o644, "FROM x"),
    ];
    assert_eq!(unpack(&archive), expected);
    assert_eq!((summary.entries, summary.bytes), (expected.len(), archive.len() as u64));
    assert_eq!(summary.lfs_pointers, ["model.bin"]);
    let (_, again) = pack(world.source(), &plan).await;
    assert!(again == archive, "the same plan makes the same bytes");
}

pub(crate) async fn files_of_this_machine_are_packed_in_place_of_pointers<W: World>(world: W) {
    let pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:ab\nsize 1\n";
    let files = [("model.bin", FakeFile::Executable(pointer.into())), ("other", text("other"))];
    let commit = world.commit(&shop(), None, "first", &files).await;
    let folder = tempfile::tempdir().expect("a folder");
    // More than one piece, and it looks like a pointer itself.
    let content = format!("{pointer}{}", "x".repeat(200_000));
    let file = LocalFile { path: folder.path().join("content"), size: content.len() as u64 };
    let planned = plan(&tree(&world, &commit, ".").await, "");
    let planned = planned.fill(&BTreeMap::from([("model.bin".to_owned(), file.clone())])).expect("is small");
    let (missing, _) = pack(world.source(), &planned).await;
    let error = missing.expect_err("is not there yet");
    assert!(
        matches!(error, SourceError::Failed { .. }) && error.to_string().contains("`model.bin`"),
        "{error}"
    );
    std::fs::write(&file.path, &content[1..]).expect("is written");
    assert!(pack(world.source(), &planned).await.0.is_err(), "it is too short");
    std::fs::write(&file.path, &content).expect("is written");
    let (summary, archive) = pack(world.source(), &planned).await;
    let summary = summary.expect("is packed");
    let expected =
        [("model.bin".to_owned(), 0o755, content), ("other".to_owned(), 0o644, "other".to_owned())];
    assert_eq!(unpack(&archive), expected);
    assert_eq!((summary.bytes, summary.lfs_pointers), (archive.len() as u64, Vec::<String>::new()));
}

pub(crate) async fn links_out_of_a_context_are_refused<W: World>(world: W) {
    for target in ["/etc/passwd", "../../x", "../a/../../x"] {
        let files = [("a/link", FakeFile::Link(target.as_bytes().to_vec())), ("b", text("b"))];
        let commit = world.commit(&shop(), None, "first", &files).await;
        let listed = tree(&world, &commit, ".").await;
        let (refused, _) = pack(world.source(), &plan(&listed, "")).await;
        let error = refused.expect_err("leads out");
        assert!(matches!(error, SourceError::Refused { .. }), "{error}");
        assert!(error.to_string().contains(&format!("`a/link` leads to `{target}`")), "{error}");
        let (packed, _) = pack(world.source(), &plan(&listed, "a/link")).await;
        assert_eq!(packed.expect("is left out").entries, 2);
    }
}

pub(crate) async fn packing_ends_when_nobody_listens<W: World>(world: W) {
    let commit = world.commit(&shop(), None, "first", &[("a", FakeFile::Plain(vec![b'x'; 1_000_000]))]).await;
    let plan = plan(&tree(&world, &commit, ".").await, "");
    let repository = shop();
    let (output, receiver) = mpsc::channel::<Bytes>(1);
    drop(receiver);
    let ended = world.source().pack(&repository, &plan, output, CancellationToken::new()).await;
    assert!(matches!(ended, Err(SourceError::Cancelled)), "{ended:?}");
    let (output, _receiver) = mpsc::channel(1);
    let cancel = CancellationToken::new();
    let work = world.source().pack(&repository, &plan, output, cancel.clone());
    // Nobody takes the archive, so that it waits until it is cancelled.
    let (ended, ()) = tokio::join!(work, async {
        tokio::task::yield_now().await;
        cancel.cancel();
    });
    assert!(matches!(ended, Err(SourceError::Cancelled)), "{ended:?}");
}

pub(crate) async fn changes_are_listed<W: World>(world: W) {
    let before = [("a", text("1")), ("apps/b", text("b")), ("c", text("c")), ("d", text("d"))];
    let after = [
        ("a", text("2")),
        ("apps/b", text("b")),
        ("c", FakeFile::Executable(b"c".to_vec())),
        ("e/f", text("d")),
    ];
    let first = world.commit(&shop(), None, "first", &before).await;
    let second = world.commit(&shop(), Some(&first), "second", &after).await;
    let source = world.source();
    let changed = source.changed_paths(&shop(), &first, &second).await.expect("is compared");
    assert_eq!(changed.expect("both are there"), ["a", "c", "d", "e/f"]);
    let same = source.changed_paths(&shop(), &first, &first).await.expect("is compared");
    assert_eq!(same, Some(Vec::new()));
    for (from, to) in [(&first, &unknown()), (&unknown(), &first)] {
        assert_eq!(source.changed_paths(&shop(), from, to).await.expect("is no error"), None);
    }
}

pub(crate) async fn clients_are_told_what_there_is<W: World>(world: W) {
    let source = world.source();
    source.ensure(&shop()).await.expect("is made");
    let told = source.advertise(&shop(), Service::ReceivePack, Some(Protocol::V2)).await.expect("is told");
    assert!(told.starts_with(b"001f# service=git-receive-pack\n0000"), "{}", told.escape_ascii());
    assert!(told.ends_with(b"0000") && String::from_utf8_lossy(&told).contains("side-band-64k"));
    let commit = world.commit(&shop(), None, "first", &[("a", text("a"))]).await;
    world.set_ref(&shop(), "refs/heads/main", &commit).await;
    let told = source.advertise(&shop(), Service::UploadPack, None).await.expect("is told");
    assert!(told.starts_with(b"001e# service=git-upload-pack\n0000"), "{}", told.escape_ascii());
    assert!(String::from_utf8_lossy(&told).contains(&format!("{commit} refs/heads/main")));
    let told = source.advertise(&shop(), Service::UploadPack, Some(Protocol::V2)).await.expect("is told");
    assert!(told.starts_with(b"000eversion 2\n"), "{}", told.escape_ascii());
}

pub(crate) async fn a_push_moves_refs<W: World>(world: W) {
    let first = world.commit(&shop(), None, "first", &[("a", text("1"))]).await;
    let second = world.commit(&shop(), None, "another", &[("a", text("2"))]).await;
    let source = world.source();
    let changes = [("refs/heads/main", "-", first.as_str()), ("refs/tags/v1", "-", first.as_str())];
    let (result, answer) = push(source, protected(&[]), &changes).await;
    let exchanged = result.expect("is taken");
    assert!(answer.contains("unpack ok") && answer.contains("ok refs/heads/main\n"), "{answer}");
    assert_eq!(exchanged.refused, None);
    assert_eq!(exchanged.commands.len(), 2);
    assert_eq!(exchanged.commands[0].name, reference("refs/heads/main"));
    assert_eq!((&exchanged.commands[0].old, &exchanged.commands[0].new), (&None, &Some(first.clone())));
    assert_eq!(source.list_refs(&shop()).await.expect("is listed").len(), 2);
    // Rewriting and removing, also of the branch that `HEAD` names, is fine where no rule is against it.
    let (result, answer) =
        push(source, protected(&["other"]), &[("refs/heads/main", first.as_str(), second.as_str())]).await;
    result.expect("is taken");
    assert!(answer.contains("ok refs/heads/main\n"), "{answer}");
    let (result, answer) =
        push(source, protected(&["other"]), &[("refs/heads/main", second.as_str(), "-")]).await;
    result.expect("is taken");
    assert!(answer.contains("ok refs/heads/main\n"), "{answer}");
    let left = source.list_refs(&shop()).await.expect("is listed");
    assert_eq!(left, BTreeMap::from([(reference("refs/tags/v1"), first)]));
}

/// A client of SSH keeps its side open until it has read the answer.
pub(crate) async fn the_answer_does_not_wait_for_the_end_of_the_request<W: World>(world: W) {
    let first = world.commit(&shop(), None, "first", &[("a", text("1"))]).await;
    let source = world.source();
    for name in ["refs/heads/main", "refs/notes/x"] {
        let mut request = head(&[(name, "-", first.as_str())]);
        request.extend_from_slice(EMPTY_PACK);
        let (sender, input) = mpsc::channel(2);
        let (output, receiver) = mpsc::channel(2);
        sender.send(Ok(Bytes::from(request))).await.expect("has room");
        let rules = protected(&[]);
        let exchange = Exchange { service: Service::ReceivePack, protocol: None, rules, input, output };
        let repository = shop();
        let work = source.exchange(&repository, exchange, CancellationToken::new());
        let both = async { tokio::join!(work, collect(receiver)) };
        let limit = std::time::Duration::from_secs(40);
        let (result, answer) = tokio::time::timeout(limit, both).await.expect("does not wait");
        result.expect("is answered");
        assert!(String::from_utf8_lossy(&answer).contains(name), "{}", answer.escape_ascii());
        // Only now.
        drop(sender);
    }
    assert_eq!(source.list_refs(&shop()).await.expect("is listed").len(), 1);
}

pub(crate) async fn a_push_is_checked_first<W: World>(world: W) {
    let first = world.commit(&shop(), None, "first", &[("a", text("1"))]).await;
    let source = world.source();
    for name in ["refs/heads/--upload-pack=x", "refs/notes/x", "HEAD", "refs/heads/a/../b", "refs/heads/é"] {
        let changes = [("refs/heads/main", "-", first.as_str()), (name, "-", first.as_str())];
        let (result, answer) = push(source, protected(&[]), &changes).await;
        let exchanged = result.expect("is answered");
        let refused = exchanged.refused.expect("is refused");
        assert!(refused.contains("cannot be pushed"), "{refused}");
        assert_eq!(exchanged.commands, []);
        // All or nothing: the branch beside it is refused as well.
        assert!(answer.contains("\x02`") && answer.contains("ng refs/heads/main `"), "{answer}");
        assert_eq!(source.list_refs(&shop()).await.expect("is listed"), BTreeMap::new());
    }
}

pub(crate) async fn protected_branches_are_neither_removed_nor_rewritten<W: World>(world: W) {
    let first = world.commit(&shop(), None, "first", &[("a", text("1"))]).await;
    let second = world.commit(&shop(), Some(&first), "second", &[("a", text("2"))]).await;
    let other = world.commit(&shop(), None, "other", &[("a", text("3"))]).await;
    world.set_ref(&shop(), "refs/heads/main", &first).await;
    let source = world.source();
    let rules = || protected(&["main"]);
    let (result, _) = push(source, rules(), &[("refs/heads/main", first.as_str(), second.as_str())]).await;
    result.expect("a step forward is fine");
    let (result, answer) = push(source, rules(), &[("refs/heads/main", second.as_str(), "-")]).await;
    let refused = result.expect("is answered").refused.expect("is refused");
    assert!(refused.starts_with("branch main is protected"), "{refused}");
    assert!(answer.contains("ng refs/heads/main branch main is protected"), "{answer}");
    for new in [&first, &other] {
        let (result, answer) =
            push(source, rules(), &[("refs/heads/main", second.as_str(), new.as_str())]).await;
        assert_eq!(result.expect("is answered").refused, None, "git is the one who refuses");
        assert!(answer.contains("ng refs/heads/main non-fast-forward"), "{answer}");
    }
    assert_eq!(source.list_refs(&shop()).await.expect("is listed")[&reference("refs/heads/main")], second);
}

pub(crate) async fn a_probe_and_what_is_no_push<W: World>(world: W) {
    world.source().ensure(&shop()).await.expect("is made");
    let push = |pieces: &[&'static [u8]]| {
        let pieces = pieces.iter().map(|&piece| Ok(Bytes::from_static(piece))).collect();
        send(world.source(), Service::ReceivePack, protected(&[]), pieces)
    };
    let (result, answer) = push(&[b"00", b"00"]).await;
    assert_eq!((result.expect("is a probe"), answer), (Exchanged::default(), Vec::new()));
    for wrong in [&b""[..], b"00", b"GET / HTTP/1.1\r\n\r\n", b"0009hello0000"] {
        let (result, answer) = push(&[wrong]).await;
        assert!(matches!(result, Err(SourceError::Refused { .. })), "{}: {result:?}", wrong.escape_ascii());
        assert_eq!(answer, b"");
    }
}
