//! What lies behind SSH is fetched with a deploy key, from the host whose key is trusted and from nobody else: with the real sshd, the real git,
//! and `havred` in place of `ssh`.

use std::net::IpAddr;
use std::path::Path;

use havre_api::event::Event;
use havre_api::pipeline::{Pipeline, PipelineList};
use havre_api::remote::Remote as Shown;
use havre_api::webhook::SetWebhookResponse;
use havre_core::source::{CommitId, RefName};
use havre_core::ssh_key::PublicKey;
use havre_source::git::{GitSource, Options};
use havre_source::{Remote, Source, SourceError, SshAccess};
use havre_x509::deploy_key::{DeployKey, make};
use hyper::{Method, StatusCode};
use serde_json::json;
use tokio_util::sync::CancellationToken;

use crate::world::docker::IMAGE;
use crate::world::forge_sshd::ForgeSshd;
use crate::world::spec::manifest;
use crate::world::{World, until};

const REMOTE: &str = "/v1/projects/e2e/remote";
const HOOK: &str = "/v1/projects/e2e/webhooks/github";

fn source(folder: &Path) -> GitSource {
    let mut options = Options::new(folder.join("git"));
    options.ssh = Some(env!("CARGO_BIN_EXE_havred").into());
    GitSource::open(options).expect("git is there")
}

fn key(seed: u8) -> DeployKey {
    make(&[seed; 32], "havre-e2e").expect("a key")
}

fn addresses(texts: &[&str]) -> Vec<IpAddr> {
    texts.iter().map(|text| text.parse().expect("an address")).collect()
}

fn remote(forge: &ForgeSshd, keys: &[&DeployKey], host_keys: &[String]) -> Remote {
    let host_keys = host_keys.iter().map(|key| key.parse().expect("a key")).collect();
    let keys = keys.iter().map(|key| key.private.clone()).collect();
    Remote {
        url: forge.url().parse().expect("an address"),
        token: None,
        addresses: addresses(&["127.0.0.1"]),
        ssh: Some(SshAccess { keys, host_keys }),
    }
}

async fn fetch(source: &GitSource, remote: &Remote, branch: &str) -> Result<Option<CommitId>, SourceError> {
    let reference: RefName = format!("refs/heads/{branch}").parse().expect("a ref");
    source.fetch(&"shop".parse().expect("a name"), remote, &reference, CancellationToken::new()).await
}

/// Why it is refused; nothing came then.
async fn refusal(source: &GitSource, remote: &Remote) -> String {
    let error = fetch(source, remote, "main").await.expect_err("is refused");
    assert!(error.is_permanent(), "{error:?}");
    let refs = source.list_refs(&"shop".parse().expect("a name")).await.expect("are listed");
    assert!(refs.is_empty(), "{refs:?}");
    error.to_string()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_the_right_key_and_only_the_trusted_host_will_do() {
    let mut forge = ForgeSshd::start().await;
    let folder = tempfile::tempdir().expect("a folder");
    let source = source(folder.path());
    let (old, new, host) = (key(1), key(2), [forge.host_key("host")]);
    let work_tree = forge.work_tree();
    work_tree.write("a", "a");
    let commit = work_tree.commit("A file");
    let (is_well, told) = work_tree.push(&["main"]).await;
    assert!(is_well, "{told}");

    let nobody = refusal(&source, &remote(&forge, &[&new, &old], &host)).await;
    assert!(nobody.contains("does not take the deploy key of this project"), "{nobody}");
    for host_keys in [vec![forge.host_key("other-host")], Vec::new()] {
        let refused = refusal(&source, &remote(&forge, &[&old], &host_keys)).await;
        assert!(refused.contains("127.0.0.1 shows another host key"), "{refused}");
    }
    forge.know(&[&old.public.to_string()]);
    let mut both = remote(&forge, &[&new, &old], &host);
    // Nobody listens at the first.
    both.addresses = addresses(&["127.0.0.2", "127.0.0.1"]);
    let fetched = fetch(&source, &both, "main").await.expect("is fetched");
    assert_eq!(fetched.map(|id| id.to_string()), Some(commit));
    assert_eq!(fetch(&source, &both, "gone").await.expect("is asked"), None);
    let wrong = fetch(&source, &remote(&forge, &[&new], &host), "main").await.expect_err("is refused");
    assert!(wrong.to_string().contains("does not take the deploy key"), "{wrong}");

    // Without its keys, the machine's own would be used: git starts no `ssh` then.
    let bare = Remote { ssh: None, ..both.clone() };
    let refused = fetch(&source, &bare, "main").await.expect_err("is refused");
    assert!(format!("{refused:?}").contains("transport 'ssh' not allowed"), "{refused:?}");

    forge.change_host_key().await;
    let changed = fetch(&source, &both, "main").await.expect_err("is refused").to_string();
    let shown = fingerprint(&forge.host_key("other-host"));
    assert!(changed.contains("shows another host key") && changed.contains(&shown), "{changed}");
    let left: Vec<String> = std::fs::read_dir(folder.path().join("git"))
        .expect("is readable")
        .map(|entry| entry.expect("is readable").file_name().to_string_lossy().into_owned())
        .filter(|name| name.starts_with(".ssh-"))
        .collect();
    assert_eq!(left, Vec::<String>::new(), "a deploy key lies on the disk");
}

/// As `ssh-keygen -l` shows it.
fn fingerprint(key: &str) -> String {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("key.pub");
    std::fs::write(&file, key).expect("a file");
    let output =
        std::process::Command::new("ssh-keygen").args(["-l", "-f"]).arg(&file).output().expect("it runs");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    text.split(' ').nth(1).expect("a fingerprint").to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_host_shows_its_key_to_whoever_may_ask() {
    let forge = ForgeSshd::start().await;
    let folder = tempfile::tempdir().expect("a folder");
    let source = source(folder.path());
    let url = forge.url().parse().expect("an address");
    let found = havre_reconcile::pipeline::list_host_keys(&source, &url, true).await.expect("it answers");
    let real: PublicKey = forge.host_key("host").parse().expect("a key");
    assert_eq!(found.iter().map(PublicKey::plain).collect::<Vec<_>>(), [real.plain()]);
    let private = havre_reconcile::pipeline::list_host_keys(&source, &url, false).await;
    let private = private.expect_err("is refused").to_string();
    assert!(private.contains("127.0.0.1, which is not a public address"), "{private}");
    let nobody = "ssh://git@127.0.0.1:1/x.git".parse().expect("an address");
    let silent = havre_reconcile::pipeline::list_host_keys(&source, &nobody, true).await;
    assert!(silent.is_err(), "{silent:?}");
}

/// Says that `main` is at `commit` now, as GitHub would.
async fn deliver(world: &World, hook: &SetWebhookResponse, commit: &str) {
    let body = json!({
        "ref": "refs/heads/main", "before": "0".repeat(40), "after": commit,
        "repository": { "full_name": "acme/upstream" },
    });
    let body = body.to_string().into_bytes();
    let headers = [("x-github-event", "push"), ("x-github-delivery", commit)];
    let (status, answer) =
        world.api.deliver((&hook.path, &hook.secret), &headers, (&body, body.clone())).await;
    assert_eq!(status, StatusCode::ACCEPTED, "{answer:?}");
}

async fn ended(world: &World, commit: &str) -> Pipeline {
    until("the pipeline ends", async || {
        let list: PipelineList = world.api.find("/v1/projects/e2e/pipelines").await?;
        let newest = list.pipelines.into_iter().find(|one| one.commit.as_str() == commit)?;
        newest.state.is_final().then_some(newest)
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_lies_behind_ssh_is_fetched_built_and_deployed() {
    let world = World::start_sealed().await;
    let mut forge = ForgeSshd::start().await;
    let work_tree = forge.work_tree();
    work_tree.write("havre.toml", &manifest(""));
    work_tree.write("Dockerfile", &format!("FROM {IMAGE}\nENV BEHAVIOUR=well-behaved APP_VERSION=1\n"));
    let commit = work_tree.commit("Say hello");
    let (is_well, told) = work_tree.push(&["main"]).await;
    assert!(is_well, "{told}");

    let request = json!({ "url": forge.url(), "accept_new_host_key": true });
    let shown: Shown = world.api.send(Method::PUT, REMOTE, &request).await;
    let ssh = shown.ssh.expect("has keys");
    assert_eq!(ssh.host_keys[0].fingerprint.as_str(), fingerprint(&forge.host_key("host")));
    let first = ssh.deploy_keys[0].public_key.to_string();
    assert_eq!(ssh.deploy_keys[0].fingerprint.as_str(), fingerprint(&first));
    forge.know(&[&first]);
    let hook: SetWebhookResponse = world.api.send(Method::PUT, HOOK, &json!({})).await;
    deliver(&world, &hook, &commit).await;
    let pipeline = ended(&world, &commit).await;
    assert_eq!(pipeline.state.name(), "succeeded", "{pipeline:?}");

    // Another key: the older one goes on until the new one is known, and is of no use afterwards.
    let shown: Shown = world.api.send(Method::POST, &format!("{REMOTE}/deploy-key"), &json!({})).await;
    let second = shown.ssh.expect("has keys").deploy_keys[0].public_key.to_string();
    work_tree.write("note", "second\n");
    let commit = work_tree.commit("A note");
    let (is_well, told) = work_tree.push(&["main"]).await;
    assert!(is_well, "{told}");
    deliver(&world, &hook, &commit).await;
    assert_eq!(ended(&world, &commit).await.state.name(), "succeeded");
    forge.know(&[&second]);
    let confirm = format!("{REMOTE}/deploy-key/confirm");
    let shown: Shown = world.api.send(Method::POST, &confirm, &json!({})).await;
    assert_eq!(shown.ssh.expect("has keys").deploy_keys.len(), 1);

    forge.change_host_key().await;
    let commit = work_tree.commit("Another");
    let (is_well, told) = work_tree.push(&["main"]).await;
    assert!(is_well, "{told}");
    deliver(&world, &hook, &commit).await;
    let said = until("the changed key is told", async || {
        let events: Vec<Event> = world.api.lines("/v1/events?after=0").await;
        events.into_iter().map(|event| event.text).rfind(|text| text.contains("could not be fetched"))
    })
    .await;
    let shown = fingerprint(&forge.host_key("other-host"));
    assert!(said.contains("shows another host key") && said.contains(&shown), "{said}");
    let log = std::fs::read_to_string(world.config.with_file_name("control.log")).expect("a log");
    assert!(!log.contains("PRIVATE KEY") && !said.contains("PRIVATE KEY"), "a deploy key is in the log");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn submodules_at_the_same_host_are_fetched_with_the_same_key() {
    let world = World::start_sealed().await;
    let forge = ForgeSshd::start().await;
    let work_tree = forge.work_tree();
    work_tree.write("note", "of the library\n");
    work_tree.commit("A library");
    let (is_well, told) = work_tree.push(&["main:lib"]).await;
    assert!(is_well, "{told}");
    // The same repository is its own submodule: the forge has one only.
    let here = work_tree.git(&["remote", "get-url", "havre"]);
    work_tree.git(&["clone", "--quiet", "--branch", "lib", here.trim(), "vendor/lib"]);
    let modules = "[submodule \"lib\"]\n\tpath = vendor/lib\n\turl = ../upstream.git\n";
    work_tree.write(".gitmodules", modules);
    work_tree.write("havre.toml", &manifest("[source]\nsubmodules = true\n"));
    let check = r#"RUN read line < /note && [ "$line" = "of the library" ]"#;
    let lines = format!(
        "FROM {IMAGE}\nENV BEHAVIOUR=well-behaved APP_VERSION=1\nCOPY vendor/lib/note /note\n{check}\n"
    );
    work_tree.write("Dockerfile", &lines);
    let commit = work_tree.commit("Use it");
    let (is_well, told) = work_tree.push(&["main"]).await;
    assert!(is_well, "{told}");

    let request = json!({ "url": forge.url(), "accept_new_host_key": true });
    let shown: Shown = world.api.send(Method::PUT, REMOTE, &request).await;
    forge.know(&[&shown.ssh.expect("has keys").deploy_keys[0].public_key.to_string()]);
    let hook: SetWebhookResponse = world.api.send(Method::PUT, HOOK, &json!({})).await;
    deliver(&world, &hook, &commit).await;
    let pipeline = ended(&world, &commit).await;
    assert_eq!(pipeline.state.name(), "succeeded", "{pipeline:?}");

    // Another host has a key of its own, which nobody has said.
    work_tree.write(".gitmodules", &modules.replace("../upstream.git", "git@192.0.2.7:acme/lib.git"));
    let commit = work_tree.commit("From elsewhere");
    let (is_well, told) = work_tree.push(&["main"]).await;
    assert!(is_well, "{told}");
    deliver(&world, &hook, &commit).await;
    let pipeline = format!("{:?}", ended(&world, &commit).await);
    assert!(pipeline.contains("it lies behind SSH at git@192.0.2.7:22"), "{pipeline}");
}
