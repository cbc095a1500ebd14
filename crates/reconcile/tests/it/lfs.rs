//! Contents of Git LFS in what is built: fetched where `havre.toml` says so, from where the repository is, with its token for its own server only.

use std::io::Read as _;

use havre_core::event::Actor;
use havre_core::name::ProjectName;
use havre_core::pipeline::{Pipeline, Stage, State};
use havre_core::preview::{PullNumber, Wish};
use havre_core::secret::Secret;
use havre_core::source::{HeadAt, Pull};
use havre_source::fake::FakeFile;

use crate::lfs_server::{FakeLfs, Fault, pointer_of};
use crate::pipeline::{branch, pipelines, project, settle, turn};
use crate::world::{Control, Outside};

pub(crate) const CONTENT: &[u8] = b"a large model";

const MANIFEST: &str = r#"project = "dropit"
[source]
lfs = true
[services.api]
dockerfile = "Dockerfile"
"#;

fn manifest(more: &str) -> FakeFile {
    FakeFile::text(&format!("{MANIFEST}{more}"))
}

fn dockerfile() -> FakeFile {
    FakeFile::text("FROM scratch\n")
}

/// A control whose repository is fetched from this server, with a token.
pub(crate) async fn control(outside: &Outside, lfs: &FakeLfs, name: &str) -> Control {
    let control = outside.control_with_private_remotes();
    let url = format!("http://{}/acme/{name}.git", lfs.address).parse().unwrap();
    let set = control.world.store.write(control.world.now(), Actor::Local, move |tx| {
        tx.set_remote(&project(), &url, Some(&Secret::from("planted-token")))
    });
    set.await.unwrap();
    control
}

/// Pushes a commit with the pointer at `model.bin` and these files.
pub(crate) fn push(outside: &Outside, pointer: &str, more: &[(&str, FakeFile)]) {
    let mut files = vec![("havre.toml", manifest("")), ("Dockerfile", dockerfile())];
    files.push(("model.bin", FakeFile::Executable(pointer.as_bytes().to_vec())));
    for (path, file) in more {
        files.retain(|(known, _)| known != path);
        files.push((path, file.clone()));
    }
    outside.source.push(&project(), &branch("main"), &files);
}

/// Files of the context of a build, once it was packed.
pub(crate) async fn context(control: &Control, build: &str) -> Vec<(String, u32, Vec<u8>)> {
    let path = control.outside.path("builds").join(format!("{build}.tar"));
    for _ in 0..10 {
        turn(control).await;
        if !path.exists() {
            continue;
        }
        let mut archive = tar::Archive::new(std::fs::File::open(&path).unwrap());
        let entries = archive.entries().unwrap().map(|entry| {
            let mut entry = entry.unwrap();
            let name = entry.path().unwrap().display().to_string();
            let (mode, mut content) = (entry.header().mode().unwrap(), Vec::new());
            entry.read_to_end(&mut content).unwrap();
            (name, mode, content)
        });
        return entries.collect();
    }
    panic!("no context of {build}: {:?}", pipelines(control).await);
}

pub(crate) fn found(context: &[(String, u32, Vec<u8>)], path: &str) -> (u32, Vec<u8>) {
    let (_, mode, content) = context.iter().find(|(name, ..)| name == path).unwrap();
    (*mode, content.clone())
}

pub(crate) async fn last(control: &Control) -> Pipeline {
    settle(control).await;
    pipelines(control).await.pop().unwrap()
}

/// Why the newest pipeline failed before anything was built; nothing that was fetched has stayed.
pub(crate) async fn refused(control: &Control) -> String {
    let reason = match last(control).await.state {
        State::Failed { stage: Stage::Checkout, reason, .. } => reason,
        other => panic!("{other:?}"),
    };
    let left = control.outside.path("builds/checkout");
    assert!(!left.exists() || std::fs::read_dir(left).unwrap().count() == 0, "{reason}");
    assert!(!reason.contains("planted"), "{reason}");
    reason
}

#[tokio::test]
async fn contents_are_built_in_place_of_their_pointers() {
    let (outside, lfs) = (Outside::new(), FakeLfs::start().await);
    let control = control(&outside, &lfs, "shop").await;
    let pointer = lfs.keep(CONTENT).to_string();
    let worker = "[services.worker]\ndockerfile = \"worker/Dockerfile\"\ncontext = \"worker\"\n";
    let more = [
        ("havre.toml", manifest(worker)),
        ("worker/Dockerfile", dockerfile()),
        ("worker/same.bin", FakeFile::text(&pointer)),
        ("left/out.bin", FakeFile::text(&pointer_of(b"nobody has pushed it").to_string())),
        (".dockerignore", FakeFile::text("left\n")),
        ("note", FakeFile::text("version https://git-lfs.github.com/ is where it is\n")),
    ];
    push(&outside, &pointer, &more);
    let api = context(&control, "b1").await;
    assert_eq!(found(&api, "model.bin"), (0o755, CONTENT.to_vec()));
    assert_eq!(found(&api, "worker/same.bin"), (0o644, CONTENT.to_vec()));
    assert_eq!(found(&api, "note").1, b"version https://git-lfs.github.com/ is where it is\n");
    assert_eq!(found(&context(&control, "b2").await, "same.bin"), (0o644, CONTENT.to_vec()));
    let requests = lfs.take();
    let lines: Vec<&str> = requests.iter().map(|request| request.split('?').next().unwrap()).collect();
    assert_eq!(lines.len(), 2, "asked once, downloaded once: {lines:?}");
    assert!(requests[0].starts_with("POST /acme/shop.git/info/lfs/objects/batch "));
    assert!(requests[0].contains("\r\nauthorization: Basic ") && requests[1].starts_with("GET /store/"));
    assert!(matches!(last(&control).await.state, State::Succeeded { .. }));
    assert_eq!(std::fs::read_dir(outside.path("builds/checkout")).unwrap().count(), 0);
}

#[tokio::test]
async fn without_a_word_in_the_file_pointers_are_refused() {
    let (outside, lfs) = (Outside::new(), FakeLfs::start().await);
    let control = control(&outside, &lfs, "shop").await;
    let silent = FakeFile::text(&MANIFEST.replace("[source]\nlfs = true\n", ""));
    push(&outside, &lfs.keep(CONTENT).to_string(), &[("havre.toml", silent)]);
    let reason = refused(&control).await;
    assert!(
        reason.contains("model.bin is a pointer of Git LFS") && reason.contains("`lfs = true` in `[source]`"),
        "{reason}"
    );
    assert_eq!(lfs.take(), Vec::<String>::new());
}

#[tokio::test]
async fn what_does_not_come_fails_with_its_path() {
    let (outside, lfs) = (Outside::new(), FakeLfs::start().await);
    let control = control(&outside, &lfs, "shop").await;
    let pointer = lfs.keep(CONTENT).to_string();
    let href = |to: &str| Fault::Href(to.to_owned());
    let batch = |status: &str| Fault::Batch(format!("HTTP/1.1 {status}\r\ncontent-length: 0\r\n\r\n"));
    for (fault, words) in [
        (Fault::Flipped, "and the pointer names"),
        (Fault::Download("HTTP/1.1 200 OK\r\ncontent-length: 13\r\n\r\na la".to_owned()), "it broke off"),
        (href("file:///etc/passwd"), "an address for it that is none of the form"),
        (batch("403 Forbidden"), "--token-stdin"),
        (batch("404 Not Found"), "has no Git LFS for this repository"),
        (batch("507 Full"), "its storage is full"),
    ] {
        lfs.set(fault);
        push(&outside, &pointer, &[]);
        let reason = refused(&control).await;
        let start = "model.bin is kept with Git LFS, and its content cannot be fetched: 127.0.0.1:";
        assert!(reason.starts_with(start) && reason.contains(words), "{words}: {reason}");
    }
    lfs.set(Fault::None);
    push(&outside, &pointer, &[("other.bin", FakeFile::text(&pointer_of(b"never pushed").to_string()))]);
    let reason = refused(&control).await;
    assert!(
        reason.starts_with("other.bin is kept with Git LFS") && reason.contains("does not have it"),
        "{reason}"
    );
    push(&outside, &pointer, &[]);
    assert!(
        matches!(last(&control).await.state, State::Succeeded { .. }),
        "then it comes, and the next push is built"
    );
}

#[tokio::test]
async fn a_download_that_broke_off_is_begun_once_more() {
    let (outside, lfs) = (Outside::new(), FakeLfs::start().await);
    let control = control(&outside, &lfs, "shop").await;
    let pointer = lfs.keep(CONTENT).to_string();
    lfs.set(Fault::Download("HTTP/1.1 503 Busy\r\ncontent-length: 0\r\n\r\n".to_owned()));
    push(&outside, &pointer, &[]);
    let reason = refused(&control).await;
    assert!(reason.contains("it cannot answer now (status 503)"), "{reason}");
    let downloads = lfs.take().iter().filter(|request| request.starts_with("GET ")).count();
    assert_eq!(downloads, 2);
}

#[tokio::test]
async fn pointers_that_are_none_or_too_large_are_refused_before_anything_is_asked() {
    let (outside, lfs) = (Outside::new(), FakeLfs::start().await);
    let control = control(&outside, &lfs, "shop").await;
    let pointer = lfs.keep(CONTENT).to_string();
    for (pointer, words) in [
        (pointer.replace("size 13", "size 600000000"), "of them of Git LFS is too large: the limit is 512MB"),
        (pointer.replace("size 13", "size 18446744073709551615"), "is too large: the limit is 512MB"),
        (
            pointer.replace("spec/v1", "spec/v2"),
            "model.bin of Git LFS is not understood: it is no pointer of version 1",
        ),
        (pointer.replace("oid sha256:", "oid md5:"), "model.bin of Git LFS is not understood: line 2"),
        (pointer.replace("oid ", "ext-0-case sha256:0\noid "), "it names the extension case"),
    ] {
        push(&outside, &pointer, &[]);
        let reason = refused(&control).await;
        assert!(reason.contains(words), "{words}: {reason}");
    }
    push(&outside, &pointer, &[("z.bin", FakeFile::text(&pointer.replace("size 13", "size 14")))]);
    let reason = refused(&control).await;
    assert!(
        reason.contains("model.bin and z.bin of Git LFS name the same content with two sizes"),
        "{reason}"
    );
    // What Havre reads before it fetches anything.
    push(&outside, "no pointer", &[("Dockerfile", FakeFile::text(&pointer))]);
    let reason = refused(&control).await;
    assert!(
        reason.contains("Dockerfile is a pointer of Git LFS, and Havre reads this file itself"),
        "{reason}"
    );
    assert_eq!(lfs.take(), Vec::<String>::new());
}

#[tokio::test]
async fn a_content_of_another_service_is_no_shortcut() {
    let (outside, lfs) = (Outside::new(), FakeLfs::start().await);
    let control = control(&outside, &lfs, "shop").await;
    let pointer = lfs.keep(CONTENT).to_string();
    let worker = "[services.worker]\ndockerfile = \"worker/Dockerfile\"\ncontext = \"worker\"\n";
    let more = [
        ("havre.toml", manifest(worker)),
        (".dockerignore", FakeFile::text("worker\n")),
        ("worker/Dockerfile", dockerfile()),
        ("worker/z.bin", FakeFile::text(&pointer.replace("size 13", "size 12"))),
    ];
    push(&outside, &pointer, &more);
    let reason = refused(&control).await;
    assert!(
        reason.contains("z.bin is kept with Git LFS") && reason.contains("more than the 12 bytes"),
        "{reason}"
    );
}

#[tokio::test]
async fn contents_of_a_submodule_come_from_its_own_repository() {
    let (outside, lfs) = (Outside::new(), FakeLfs::start().await);
    let control = control(&outside, &lfs, "shop").await;
    let lib: ProjectName = "lib".parse().unwrap();
    let inner = lfs.keep(b"of the library").to_string();
    let lib = outside.source.commit(&lib, None, "a library", &[("big.bin", FakeFile::text(&inner))]);
    let more = [
        ("havre.toml", FakeFile::text(&MANIFEST.replace("lfs = true", "lfs = true\nsubmodules = true"))),
        ("vendor/lib", FakeFile::Submodule(lib)),
        (".gitmodules", FakeFile::text("[submodule \"lib\"]\npath = vendor/lib\nurl = ../lib.git\n")),
    ];
    push(&outside, &lfs.keep(CONTENT).to_string(), &more);
    let api = context(&control, "b1").await;
    assert_eq!(found(&api, "vendor/lib/big.bin").1, b"of the library");
    assert_eq!(found(&api, "model.bin").1, CONTENT);
    let asked: Vec<String> = lfs.take().into_iter().filter(|request| request.starts_with("POST ")).collect();
    let [of_lib, of_shop] = &asked[..] else { panic!("{asked:?}") };
    assert!(of_lib.starts_with("POST /acme/lib.git/info/lfs/objects/batch "), "{of_lib}");
    assert!(of_shop.starts_with("POST /acme/shop.git/info/lfs/objects/batch "), "{of_shop}");
}

#[tokio::test]
async fn a_fork_is_not_shown_what_only_the_token_opens() {
    let (outside, lfs) = (Outside::new(), FakeLfs::start().await);
    let control = control(&outside, &lfs, "upstream").await;
    let previews = "[previews]\nhosts = { api = \"{number}.preview.example\" }\nforks = true\n";
    let api = "port = 3000\nhealth = \"/health\"\nhosts = [\"api.example\"]\nhttps = \"off\"\n";
    let files = |pointer: &str| {
        vec![
            ("havre.toml", manifest(&format!("{api}{previews}"))),
            ("Dockerfile", dockerfile()),
            ("model.bin", FakeFile::text(pointer)),
        ]
    };
    outside.source.push(&project(), &branch("main"), &files("not large yet"));
    assert!(matches!(last(&control).await.state, State::Succeeded { .. }));
    assert_eq!(lfs.take(), Vec::<String>::new());

    // What the token has opened lies here, and is not shown either.
    outside.source.push(&project(), &branch("main"), &files(&lfs.keep(CONTENT).to_string()));
    assert!(matches!(last(&control).await.state, State::Succeeded { .. }));
    assert_eq!(lfs.take().len(), 2);
    let upstream: ProjectName = "upstream".parse().unwrap();
    let commit = outside.source.commit(&upstream, None, "a change", &files(&lfs.keep(CONTENT).to_string()));
    let number: PullNumber = "7".parse().unwrap();
    outside.source.set_pull(&upstream, &Pull { number, at: HeadAt::Pull }, &commit);
    let wish = Wish {
        project: project(),
        number,
        head: Some(commit),
        branch: branch("feature/x"),
        base: branch("main"),
        at: HeadAt::Pull,
        is_fork: true,
    };
    let by = Actor::Webhook { provider: "github".to_owned() };
    let written = control.world.store.write(control.world.now(), by, move |tx| tx.request_preview(&wish));
    written.await.unwrap();
    for _ in 0..20 {
        turn(&control).await;
    }
    let requests = lfs.take();
    let batch = requests
        .iter()
        .find(|request| request.starts_with("POST "))
        .unwrap_or_else(|| panic!("{requests:?}"));
    assert!(!batch.contains("authorization"), "{batch}");
}
