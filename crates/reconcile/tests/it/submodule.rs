//! Submodules of a commit: fetched where `havre.toml` says so, from addresses that were checked, with a token for its own host only.

use havre_core::event::Actor;
use havre_core::name::ProjectName;
use havre_core::pipeline::{Pipeline, Stage, State};
use havre_core::secret::Secret;
use havre_core::source::CommitId;
use havre_source::fake::{FakeFetch, FakeFile};

use crate::fetch::set_over_ssh;
use crate::pipeline::{branch, pipelines, project, settle};
use crate::world::{Control, Outside};

const MANIFEST: &str = r#"project = "dropit"
[source]
submodules = true
[services.api]
dockerfile = "vendor/lib/Dockerfile"
"#;

/// What `.gitmodules` says of `vendor/lib`.
fn modules(url: &str) -> String {
    format!("[submodule \"lib\"]\n\tpath = vendor/lib\n\turl = {url}\n")
}

/// A commit of another repository.
fn other(outside: &Outside, name: &str, files: &[(&str, FakeFile)]) -> CommitId {
    let name: ProjectName = name.parse().unwrap();
    outside.source.commit(&name, None, "a library", files)
}

/// A library whose Dockerfile the service is built from.
fn lib(outside: &Outside) -> CommitId {
    other(outside, "lib", &[("Dockerfile", FakeFile::text("FROM scratch\n"))])
}

/// Pushes a commit with `vendor/lib` at this commit.
fn push(outside: &Outside, manifest: &str, modules: Option<&str>, lib: &CommitId) {
    let mut files =
        vec![("havre.toml", FakeFile::text(manifest)), ("vendor/lib", FakeFile::Submodule(lib.clone()))];
    files.extend(modules.map(|text| (".gitmodules", FakeFile::text(text))));
    outside.source.push(&project(), &branch("main"), &files);
}

async fn set_remote(control: &Control, url: &'static str) {
    let set = control.world.store.write(control.world.now(), Actor::Local, move |tx| {
        tx.set_remote(&project(), &url.parse().unwrap(), Some(&Secret::from("planted-token")))
    });
    set.await.unwrap();
}

async fn last(control: &Control) -> Pipeline {
    settle(control).await;
    pipelines(control).await.pop().unwrap()
}

/// Why the newest pipeline failed before anything was built.
async fn refused(control: &Control) -> String {
    match last(control).await.state {
        State::Failed { stage: Stage::Checkout, reason, .. } => reason,
        other => panic!("{other:?}"),
    }
}

fn fetch(url: &str, has_token: bool, commit: &CommitId) -> FakeFetch {
    FakeFetch { url: url.parse().unwrap(), has_token, keys: 0, commit: commit.clone() }
}

#[tokio::test]
async fn their_files_are_built_with_the_commit() {
    let outside = Outside::new();
    let control = outside.control();
    let deep = other(&outside, "deep", &[("a", FakeFile::text("a"))]);
    let files = [
        ("Dockerfile", FakeFile::text("FROM scratch\n")),
        (".gitmodules", FakeFile::text("[submodule \"d\"]\npath = inner/deep\nurl = ../deep.git\n")),
        ("inner/deep", FakeFile::Submodule(deep.clone())),
    ];
    let lib = other(&outside, "lib", &files);
    push(&outside, MANIFEST, Some(&modules("https://1.1.1.1/acme/lib.git")), &lib);
    let done = last(&control).await;
    assert!(matches!(done.state, State::Succeeded { .. }), "{:?}", done.state);
    let expected = [
        fetch("https://1.1.1.1/acme/lib.git", false, &lib),
        fetch("https://1.1.1.1/acme/deep.git", false, &deep),
    ];
    assert_eq!(outside.source.submodules(), expected);
}

#[tokio::test]
async fn without_a_word_in_the_file_they_are_refused() {
    let outside = Outside::new();
    let control = outside.control();
    let lib = lib(&outside);
    let manifest =
        MANIFEST.replace("[source]\nsubmodules = true\n", "").replace("vendor/lib/Dockerfile", "Dockerfile");
    let files = [
        ("havre.toml", FakeFile::text(&manifest)),
        ("Dockerfile", FakeFile::text("FROM scratch\n")),
        ("vendor/lib", FakeFile::Submodule(lib)),
    ];
    outside.source.push(&project(), &branch("main"), &files);
    let reason = refused(&control).await;
    assert!(
        reason.contains("`vendor/lib` is a submodule") && reason.contains("submodules = true"),
        "{reason}"
    );
    assert_eq!(outside.source.submodules(), []);
}

#[tokio::test]
async fn a_token_goes_to_its_own_host_only() {
    let outside = Outside::new();
    let control = outside.control_with_private_remotes();
    set_remote(&control, "http://127.0.0.1:3000/acme/shop.git").await;
    let lib = lib(&outside);
    push(&outside, MANIFEST, Some(&modules("../lib.git")), &lib);
    assert!(matches!(last(&control).await.state, State::Succeeded { .. }));
    push(&outside, MANIFEST, Some(&modules("http://127.0.0.1:3001/acme/lib.git")), &lib);
    assert!(matches!(last(&control).await.state, State::Succeeded { .. }));
    let expected = [
        fetch("http://127.0.0.1:3000/acme/lib.git", true, &lib),
        fetch("http://127.0.0.1:3001/acme/lib.git", false, &lib),
    ];
    assert_eq!(outside.source.submodules(), expected);
}

#[tokio::test]
async fn over_ssh_the_deploy_key_goes_to_its_own_host_only() {
    let outside = Outside::new();
    let control = outside.control();
    set_over_ssh(&control, "git@1.1.1.1:acme/shop.git", true).await;
    // What that asks to be fetched is not there; afterwards nothing is asked of the forge any more.
    settle(&control).await;
    let lib = lib(&outside);
    for url in ["../lib.git", "ssh://git@1.1.1.1/acme/lib.git"] {
        push(&outside, MANIFEST, Some(&modules(url)), &lib);
        assert!(matches!(last(&control).await.state, State::Succeeded { .. }), "{url}");
    }
    push(&outside, MANIFEST, Some(&modules("https://1.1.1.1/acme/lib.git")), &lib);
    assert!(matches!(last(&control).await.state, State::Succeeded { .. }));
    let over_ssh = |url: &str| FakeFetch { keys: 1, ..fetch(url, false, &lib) };
    let expected = [
        over_ssh("git@1.1.1.1:acme/lib.git"),
        over_ssh("ssh://git@1.1.1.1/acme/lib.git"),
        fetch("https://1.1.1.1/acme/lib.git", false, &lib),
    ];
    assert_eq!(outside.source.submodules(), expected);
    for (url, words) in [
        (
            "git@8.8.8.8:acme/lib.git",
            "it lies behind SSH at git@8.8.8.8:22, and the deploy key of this project is for git@1.1.1.1:22 only",
        ),
        ("root@1.1.1.1:acme/lib.git", "it lies behind SSH at root@1.1.1.1:22"),
        ("ssh://git@1.1.1.1:2222/acme/lib.git", "it lies behind SSH at git@1.1.1.1:2222"),
    ] {
        push(&outside, MANIFEST, Some(&modules(url)), &lib);
        let reason = refused(&control).await;
        assert!(reason.contains(words), "{url}: {reason}");
    }
    assert_eq!(outside.source.submodules(), expected);
}

#[tokio::test]
async fn what_may_not_be_fetched_is_refused_before_anything_is_asked() {
    for (modules, words) in [
        (None, "vendor/lib is a submodule, and .gitmodules does not say where it comes from"),
        (Some(modules("../lib.git")), "its address is relative, and this repository is pushed to Havre"),
        (Some(modules("/srv/git/lib.git")), "its address is a path of some machine"),
        (
            Some(modules("git@github.com:acme/lib.git")),
            "its address is one for SSH, and this project has no deploy key",
        ),
        (Some(modules("ext::sh -c id")), "its address is not of the form"),
        (
            Some(modules("https://127.0.0.1/lib.git")),
            "127.0.0.1 is at 127.0.0.1, which is not a public address",
        ),
        (Some(modules("http://1.1.1.1/lib.git")), "only https:// is fetched from"),
        (Some("[submodule lib]\n".to_owned()), ".gitmodules: line 1 of .gitmodules is not understood"),
    ] {
        let outside = Outside::new();
        let control = outside.control();
        let lib = lib(&outside);
        push(&outside, MANIFEST, modules.as_deref(), &lib);
        let reason = refused(&control).await;
        assert!(reason.contains(words), "{modules:?}: {reason}");
        assert_eq!(outside.source.submodules(), []);
    }
}

#[tokio::test]
async fn there_are_not_too_many_of_them_and_not_too_deep() {
    let outside = Outside::new();
    let control = outside.control();
    let lib = lib(&outside);
    let paths: Vec<String> = (0..40).map(|number| format!("vendor/lib{number}")).collect();
    let mut files = vec![("havre.toml", FakeFile::text(MANIFEST))];
    files.extend(paths.iter().map(|path| (path.as_str(), FakeFile::Submodule(lib.clone()))));
    outside.source.push(&project(), &branch("main"), &files);
    assert_eq!(refused(&control).await, "the commit has 40 submodules, more than 32");

    let mut inner = lib;
    for _ in 0..5 {
        let files = [
            (".gitmodules", FakeFile::text(&modules("../lib.git"))),
            ("Dockerfile", FakeFile::text("FROM scratch\n")),
            ("vendor/lib", FakeFile::Submodule(inner)),
        ];
        inner = other(&outside, "lib", &files);
    }
    push(&outside, MANIFEST, Some(&modules("https://1.1.1.1/acme/lib.git")), &inner);
    let reason = refused(&control).await;
    assert!(reason.contains("lie deeper than 4 in each other"), "{reason}");
}

#[tokio::test]
async fn a_commit_that_is_not_there_is_named() {
    let outside = Outside::new();
    let control = outside.control();
    let gone = "ab".repeat(20).parse().unwrap();
    push(&outside, MANIFEST, Some(&modules("https://1.1.1.1/acme/lib.git")), &gone);
    let reason = refused(&control).await;
    assert!(reason.contains("abababababab") && reason.contains("could not read the commit"), "{reason}");
}
