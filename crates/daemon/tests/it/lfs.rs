//! A project with files of Git LFS is pushed to Havre and built with its real contents: with the real git and the real git-lfs, over HTTP and SSH.

use std::path::{Path, PathBuf};

use havre_api::access::CreateTokenResponse;
use havre_api::ssh_key::SshKey;
use hyper::Method;

use crate::world::World;
use crate::world::docker::IMAGE;
use crate::world::lfs::programs;
use crate::world::repository::Repository;
use crate::world::spec::manifest;
use crate::world::sshd::Sshd;

const CONTENT: &str = "a large model\nand more of it\n";

/// A work tree in which `model.bin` is kept with Git LFS; its image is not made without the real content.
fn fill(repository: &Repository) {
    repository.git(&["lfs", "install", "--local"]);
    repository.git(&["lfs", "track", "*.bin"]);
    repository.write("havre.toml", &manifest("[source]\nlfs = true\n"));
    let check = r#"RUN read line < /model.bin && [ "$line" = "a large model" ]"#;
    let lines = format!(
        "FROM {IMAGE}\nENV BEHAVIOUR=well-behaved APP_VERSION=1\nCOPY model.bin /model.bin\n{check}\n"
    );
    repository.write("Dockerfile", &lines);
    repository.write("model.bin", CONTENT);
    repository.commit("A model");
    let committed = repository.git(&["show", "HEAD:model.bin"]);
    assert!(committed.starts_with("version https://git-lfs.github.com/spec/v1\n"), "{committed}");
}

/// Contents that were pushed.
fn kept(world: &World) -> Vec<PathBuf> {
    let list = |folder: &Path| -> Vec<PathBuf> {
        let entries = std::fs::read_dir(folder).into_iter().flatten();
        entries.map(|entry| entry.expect("is readable").path()).collect()
    };
    let folders = list(&world.folder.path().join("data/lfs/pushed/e2e"));
    folders.iter().flat_map(|folder| list(folder)).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_pushed_with_its_contents_is_built_with_them_and_read_back() {
    let mut world = World::start().await;
    let request = serde_json::json!({ "name": "git" });
    let made: CreateTokenResponse = world.api.send(Method::POST, "/v1/tokens", &request).await;
    let url = format!("http://x:{}@{}/git/e2e.git", made.token, world.api_address());
    let repository = Repository::new(&url).with_programs(programs());
    fill(&repository);
    let (is_well, told) = repository.push(&["main"]).await;
    assert!(is_well && told.contains("remote: i1: succeeded, production has it"), "{told}");
    assert!(!told.contains("locking API"), "locks are not missed: {told}");
    let files = kept(&world);
    assert_eq!(files.len(), 1, "{files:?}");
    assert_eq!(std::fs::read_to_string(&files[0]).expect("is readable"), CONTENT);

    // What is here outlives kill -9, and the half of a content that was on its way does not.
    let part = world.folder.path().join("data/lfs/part/7");
    std::fs::write(&part, "a la").expect("is written");
    world.process("control").kill();
    world.start_control().await;
    assert!(!part.exists());

    let copy = tempfile::tempdir().expect("a folder");
    let target = copy.path().join("copy").display().to_string();
    let settings = ["-c", "filter.lfs.process=git-lfs filter-process", "-c", "filter.lfs.required=true"];
    let clone = ["clone", "--quiet", &url, &target];
    repository.git(&[&settings[..], &clone[..]].concat());
    let read = std::fs::read_to_string(copy.path().join("copy/model.bin")).expect("is there");
    assert_eq!(read, CONTENT);

    // Lost on this server: it is said, and a push of the content mends it.
    std::fs::remove_file(&files[0]).expect("is removed");
    repository.write("note", "second\n");
    repository.commit("A note");
    let (_, told) = repository.push(&["main"]).await;
    assert!(told.contains("FAILED (checkout)") && told.contains("git lfs push --all"), "{told}");
    repository.git(&["lfs", "push", "--all", "havre"]);
    assert_eq!(kept(&world), files);
    repository.write("note", "third\n");
    repository.commit("Another note");
    let (_, told) = repository.push(&["main"]).await;
    assert!(told.contains("remote: i3: succeeded"), "{told}");

    // A wrong token gets nothing.
    let wrong = format!("http://x:havre_{}@{}/git/e2e.git", "0".repeat(64), world.api_address());
    repository.git(&["remote", "set-url", "havre", &wrong]);
    let (is_well, told) = repository.push(&["main:other"]).await;
    assert!(!is_well && told.contains("Authentication failed"), "{told}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn over_ssh_contents_go_where_the_key_is_told() {
    let world = World::start().await;
    let sshd = Sshd::start(&world).await;
    let request =
        serde_json::json!({ "name": "ada-laptop", "project": "e2e", "public_key": sshd.public_key() });
    let _: SshKey = world.api.send(Method::POST, "/v1/ssh-keys", &request).await;
    let repository = Repository::new(&sshd.address("e2e")).over_ssh(sshd.client()).with_programs(programs());
    fill(&repository);
    let (is_well, told) = repository.push(&["main"]).await;
    assert!(is_well && told.contains("remote: i1: succeeded, production has it"), "{told}");
    assert_eq!(kept(&world).len(), 1);
    let (is_well, told) = sshd.ssh(&[], &["git-lfs-authenticate /other.git upload"]);
    assert!(!is_well && told.contains("the key ada-laptop is not for the project other"), "{told}");
    let (is_well, told) = sshd.ssh(&[], &["git-lfs-authenticate /e2e.git download"]);
    assert!(!is_well && told.contains("git over SSH takes pushes only"), "{told}");
}
