//! From `git push` over SSH to what users get, with the real sshd and the real git; and what a key is not good for.

use havre_api::ssh_key::{SshKey, SshKeyList};
use hyper::{Method, StatusCode};

use crate::world::World;
use crate::world::docker::IMAGE;
use crate::world::repository::Repository;
use crate::world::spec::manifest;
use crate::world::sshd::{Sshd, git_ssh};

async fn add_key(world: &World, sshd: &Sshd) -> SshKey {
    let request =
        serde_json::json!({ "name": "ada-laptop", "project": "e2e", "public_key": sshd.public_key() });
    world.api.send(Method::POST, "/v1/ssh-keys", &request).await
}

/// A repository whose remote is the project's, over SSH.
fn repository(sshd: &Sshd) -> Repository {
    let repository = Repository::new(&sshd.address("e2e")).over_ssh(sshd.client());
    repository.write("havre.toml", &manifest(""));
    repository.write("Dockerfile", &format!("FROM {IMAGE}\nENV BEHAVIOUR=well-behaved APP_VERSION=1\n"));
    repository
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_push_over_ssh_is_built_and_deployed() {
    let world = World::start().await;
    let sshd = Sshd::start(&world).await;
    let repository = repository(&sshd);
    repository.commit("Say hello");
    let (is_well, told) = repository.push(&["main"]).await;
    assert!(!is_well && told.contains("Permission denied (publickey)"), "{told}");

    let key = add_key(&world, &sshd).await;
    assert_eq!(key.public_key.comment(), "ada@laptop");
    let (is_well, told) = repository.push(&["main"]).await;
    assert!(is_well && told.contains("remote: i1: succeeded, production has it"), "{told}");
    let keys: SshKeyList = world.api.get("/v1/ssh-keys").await;
    assert!(keys.ssh_keys[0].last_used_at.is_some(), "{keys:?}");

    // Nothing to push, several branches, one that is removed, and one that is refused.
    let (is_well, told) = repository.push(&["main"]).await;
    assert!(is_well && told.contains("Everything up-to-date"), "{told}");
    let (is_well, told) = repository.push(&["main:a", "main:b"]).await;
    assert!(is_well && told.contains("nothing follows"), "{told}");
    let (is_well, told) = repository.push(&[":a"]).await;
    assert!(is_well && told.contains("[deleted]"), "{told}");
    let (is_well, told) = repository.push(&["main:refs/notes/x"]).await;
    assert!(!is_well && told.contains("[remote rejected]") && told.contains("cannot be pushed"), "{told}");

    // More than any buffer on the way holds.
    let mut state = 7_u64;
    let noise: String = (0..3_000_000)
        .map(|_| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            char::from(b' ' + ((state >> 58) as u8))
        })
        .collect();
    repository.write("noise", &noise);
    repository.commit("Much [skip ci]");
    let (is_well, told) = repository.push(&["main"]).await;
    assert!(is_well && told.contains("nothing follows"), "{told}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_is_good_for_pushes_to_its_project_and_nothing_else() {
    let world = World::start().await;
    let sshd = Sshd::start(&world).await;
    let key = add_key(&world, &sshd).await;
    let others = "git-receive-pack '/other.git'";
    let cases: [(&[&str], &str); 7] = [
        (&[], "there is no login"),
        (&["id"], "`id` is not served here"),
        (&["sh", "-c", "id"], "is not served here"),
        (&["git-receive-pack '../x'"], "`../x` is no repository here"),
        (&["git-receive-pack '/e2e.git'; id"], "is not served here"),
        (&["git-upload-pack '/e2e.git'"], "git over SSH takes pushes only"),
        (&[others], "the key ada-laptop is not for the project other"),
    ];
    for (command, says) in cases {
        let (is_well, told) = sshd.ssh(&[], command);
        assert!(!is_well && told.contains(says) && !told.contains("uid="), "{command:?}: {told}");
    }
    // A terminal, a forwarded port and a file copied.
    let (is_well, told) = sshd.ssh(&["-tt"], &[]);
    assert!(!is_well && told.contains("PTY allocation request failed"), "{told}");
    let (is_well, _) = sshd.ssh(&["-W", &world.api_address()], &[]);
    assert!(!is_well, "nothing is forwarded");
    let (is_well, told) = sshd.ssh(&["-s"], &["sftp"]);
    assert!(!is_well, "{told}");

    // Removed, it is refused even by a file that still names it.
    let id = key.id.to_string();
    let (status, _) =
        world.api.call(Method::DELETE, "/v1/ssh-keys/ada-laptop", Vec::new()).await.expect("control answers");
    assert_eq!(status, StatusCode::NO_CONTENT);
    let (is_well, told) = sshd.ssh(&[], &["git-receive-pack '/e2e.git'"]);
    assert!(!is_well && told.contains("Permission denied"), "{told}");
    let (is_well, told) = git_ssh(&world.config, &id, "git-receive-pack '/e2e.git'");
    assert!(!is_well && told.contains("this key is not known any more"), "{told}");
}
