//! From a delivery of a webhook to what users get: the repository lies elsewhere (here: as another project of the same server), and
//! control fetches it with a token when somebody who knows the secret says that it has moved, and tells the forge what became of it.

use bytes::Bytes;
use havre_api::access::CreateTokenResponse;
use havre_api::pipeline::{Pipeline, PipelineList};
use havre_api::remote::Remote;
use havre_api::task::ExecRequest;
use havre_api::webhook::{DeliveryAnswer, SetWebhookResponse};
use hyper::{Method, StatusCode};
use serde_json::json;

use crate::fake_forge::{FakeForge, Told};
use crate::world::api::no_env;
use crate::world::docker::IMAGE;
use crate::world::repository::Repository;
use crate::world::spec::{argv, manifest};
use crate::world::{SERVICE, World, until};

/// Where the repository really is, and who may call.
struct Hook {
    upstream: Repository,
    /// What stands in front of it, and is told what became of commits.
    forge: FakeForge,
    token: String,
    path: String,
    secret: String,
}

impl Hook {
    async fn set(world: &World) -> Self {
        let request = json!({ "name": "upstream" });
        let made: CreateTokenResponse = world.api.send(Method::POST, "/v1/tokens", &request).await;
        let token = made.token;
        let address = format!("{}/git/upstream.git", world.api_address());
        let upstream = Repository::new(&format!("http://x:{token}@{address}"));
        upstream.write("havre.toml", &manifest(""));
        let dockerfile = format!("FROM {IMAGE}\nENV BEHAVIOUR=well-behaved APP_VERSION=1\n");
        upstream.write("Dockerfile", &dockerfile);
        let forge = FakeForge::start(world.api_address()).await;
        let url = format!("http://{}/git/upstream.git", forge.address);
        let request = json!({ "url": url, "token": token, "forge": "github" });
        let remote: Remote = world.api.send(Method::PUT, "/v1/projects/e2e/remote", &request).await;
        assert!(remote.has_token && remote.status.is_on, "{remote:?}");
        let path = "/v1/projects/e2e/webhooks/github";
        let made: SetWebhookResponse = world.api.send(Method::PUT, path, &json!({})).await;
        Self { upstream, forge, token, path: made.path, secret: made.secret }
    }

    /// What the forge was told of a commit, once that is a success.
    async fn told_of_success(&self, commit: &str) -> Vec<Told> {
        until("the forge is told of the success", async || {
            let told = self.forge.told(commit);
            told.last().is_some_and(|last| last.body["state"] == "success").then_some(told)
        })
        .await
    }

    /// Says that `branch` is at `commit` now, as GitHub would; with `flip`, somebody has changed a byte on the way.
    async fn deliver(
        &self,
        world: &World,
        (branch, commit): (&str, &str),
        delivery: &str,
        flip: bool,
    ) -> (StatusCode, Bytes) {
        let body = json!({
            "ref": format!("refs/heads/{branch}"), "before": "0".repeat(40), "after": commit,
            "repository": { "full_name": "acme/upstream" },
        });
        let signed = body.to_string().into_bytes();
        let mut body = signed.clone();
        if flip {
            body[0] ^= 1;
        }
        let headers = [("x-github-event", "push"), ("x-github-delivery", delivery)];
        world.api.deliver((&self.path, &self.secret), &headers, (&signed, body)).await
    }
}

fn answer(body: &Bytes) -> DeliveryAnswer {
    serde_json::from_slice(body).expect("the answer has the documented form")
}

/// How the newest pipeline of the project for this commit ended.
async fn ended(world: &World, commit: &str) -> Pipeline {
    until("the pipeline ends", async || {
        let list: PipelineList = world.api.find("/v1/projects/e2e/pipelines").await?;
        let newest = list.pipelines.into_iter().find(|one| one.commit.as_str() == commit)?;
        newest.state.is_final().then_some(newest)
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_pushed_elsewhere_is_fetched_built_and_deployed() {
    let world = World::start_sealed().await;
    let hook = Hook::set(&world).await;
    let commit = hook.upstream.commit("Say hello");
    let (is_well, told) = hook.upstream.push(&["main"]).await;
    assert!(is_well, "{told}");

    let (status, body) = hook.deliver(&world, ("main", &commit), "one", true).await;
    assert_eq!(status, StatusCode::UNAUTHORIZED, "{body:?}");
    let (status, body) = hook.deliver(&world, ("main", &commit), "one", false).await;
    assert_eq!(status, StatusCode::ACCEPTED, "{body:?}");
    assert!(matches!(answer(&body), DeliveryAnswer::Started { .. } | DeliveryAnswer::Accepted), "{body:?}");
    let pipeline = ended(&world, &commit).await;
    assert_eq!(pipeline.state.name(), "succeeded", "{pipeline:?}");
    assert_eq!(pipeline.cause.actor().to_string(), "webhook github");
    let told = hook.told_of_success(&commit).await;
    assert_eq!(
        (&told[0].body["state"], &told[0].body["context"]),
        (&json!("pending"), &json!("havre/production"))
    );
    let bearer = format!("authorization: bearer {}", hook.token).to_ascii_lowercase();
    assert!(told.iter().all(|one| one.head.to_ascii_lowercase().contains(&bearer)));
    let (status, body) = hook.deliver(&world, ("main", &commit), "one", false).await;
    assert_eq!(status, StatusCode::CONFLICT, "{body:?}");

    let (is_well, told) = hook.upstream.push(&["main:feature/x"]).await;
    assert!(is_well, "{told}");
    let (status, body) = hook.deliver(&world, ("feature/x", &commit), "two", false).await;
    assert_eq!(status, StatusCode::OK, "{body:?}");
    let DeliveryAnswer::Ignored { reason } = answer(&body) else { panic!("{body:?}") };
    assert!(reason.contains("no environment of havre.toml follows the branch feature/x"), "{reason}");

    let fetched = format!("http://x:{}@{}/git/e2e.git", hook.token, world.api_address());
    assert!(hook.upstream.git(&["ls-remote", &fetched]).contains("refs/heads/feature/x"));
    let (is_well, told) = hook.upstream.push(&[":feature/x"]).await;
    assert!(is_well, "{told}");
    let (status, body) = hook.deliver(&world, ("feature/x", &"0".repeat(40)), "three", false).await;
    assert_eq!(status, StatusCode::ACCEPTED, "{body:?}");
    until("the branch is gone here too", async || {
        let refs = hook.upstream.git(&["ls-remote", &fetched]);
        (!refs.contains("refs/heads/feature/x")).then_some(())
    })
    .await;

    let log = std::fs::read_to_string(world.config.with_file_name("control.log")).expect("a log");
    assert!(!log.contains(&hook.token) && !log.contains(&hook.secret), "a secret is in the log");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn submodules_come_along_with_what_is_fetched() {
    let world = World::start_sealed().await;
    let hook = Hook::set(&world).await;
    let lib = Repository::new(&format!("http://x:{}@{}/git/lib.git", hook.token, world.api_address()));
    let dockerfile =
        format!("FROM {IMAGE}\nCOPY vendor/lib/note /note\nENV BEHAVIOUR=well-behaved APP_VERSION=1\n");
    lib.write("note", "first\n");
    let first = lib.commit("A library");
    lib.write("note", "second\n");
    lib.commit("A newer one");
    let (is_well, told) = lib.push(&["main"]).await;
    assert!(is_well, "{told}");

    let upstream = &hook.upstream;
    upstream.write("havre.toml", &manifest("\n[source]\nsubmodules = true\n"));
    upstream.write("Dockerfile", &dockerfile);
    upstream.write(".gitmodules", "[submodule \"lib\"]\n\tpath = vendor/lib\n\turl = ../lib.git\n");
    upstream.commit("Use the library");
    // An older commit than the branch is at: exactly that one is fetched.
    upstream.git(&["update-index", "--add", "--cacheinfo", &format!("160000,{first},vendor/lib")]);
    upstream.git(&["commit", "--quiet", "--message", "Name its commit"]);
    let commit = upstream.git(&["rev-parse", "HEAD"]).trim().to_owned();
    let (is_well, told) = upstream.push(&["main"]).await;
    assert!(is_well, "{told}");
    let (status, body) = hook.deliver(&world, ("main", &commit), "one", false).await;
    assert_eq!(status, StatusCode::ACCEPTED, "{body:?}");
    let pipeline = ended(&world, &commit).await;
    assert_eq!(pipeline.state.name(), "succeeded", "{pipeline:?}");
    let request = ExecRequest { argv: argv(&["cat", "/note"]), task: None, terminal: None, env: no_env() };
    let path = format!("{SERVICE}/exec");
    let (output, _) = world.api.session(&path, &request, b"").await.text();
    assert_eq!(output, "first\n");

    // Nobody fetches from here what only a build needs.
    let fetched = format!("http://x:{}@{}/git/e2e.git", hook.token, world.api_address());
    assert!(!upstream.git(&["ls-remote", &fetched]).contains(&first));
    let log = std::fs::read_to_string(world.config.with_file_name("control.log")).expect("a log");
    assert!(!log.contains(&hook.token), "a secret is in the log");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn contents_of_git_lfs_come_along_with_what_is_fetched() {
    let world = World::start_sealed().await;
    let hook = Hook::set(&world).await;
    let content = "kept with Git LFS, and more than a line of it\n".repeat(5);
    let pointer = hook.forge.keep_content(content.as_bytes());
    let upstream = &hook.upstream;
    let dockerfile = |version: u32| {
        format!("FROM {IMAGE}\nCOPY note /note\nENV BEHAVIOUR=well-behaved APP_VERSION={version}\n")
    };
    upstream.write("havre.toml", &manifest("\n[source]\nlfs = true\n"));
    upstream.write("Dockerfile", &dockerfile(1));
    upstream.write(".gitattributes", "note filter=lfs diff=lfs merge=lfs -text\n");
    upstream.write("note", &pointer);
    // Nobody has configured that filter here: the pointer is committed as it is.
    let commit = upstream.commit("Keep the note elsewhere");
    let (is_well, told) = upstream.push(&["main"]).await;
    assert!(is_well, "{told}");
    let (status, body) = hook.deliver(&world, ("main", &commit), "one", false).await;
    assert_eq!(status, StatusCode::ACCEPTED, "{body:?}");
    let pipeline = ended(&world, &commit).await;
    assert_eq!(pipeline.state.name(), "succeeded", "{pipeline:?}");
    let request = ExecRequest { argv: argv(&["cat", "/note"]), task: None, terminal: None, env: no_env() };
    let path = format!("{SERVICE}/exec");
    let (output, _) = world.api.session(&path, &request, b"").await.text();
    assert_eq!(output, content);
    let asked = hook.forge.asked_for_contents();
    let [batch, download] = &asked[..] else { panic!("{asked:?}") };
    assert!(batch.to_ascii_lowercase().contains("\r\nauthorization: basic "), "{batch}");
    assert!(!download.to_ascii_lowercase().contains("authorization"), "{download}");
    assert!(download.to_ascii_lowercase().contains("\r\nx-for: this content\r\n"), "{download}");

    // The first content is kept here by now; another one has to be fetched.
    upstream.write("note", &hook.forge.keep_content(b"something else\n"));
    hook.forge.damage_contents();
    upstream.write("Dockerfile", &dockerfile(2));
    let commit = upstream.commit("Change something else");
    let (is_well, told) = upstream.push(&["main"]).await;
    assert!(is_well, "{told}");
    let (status, body) = hook.deliver(&world, ("main", &commit), "two", false).await;
    assert_eq!(status, StatusCode::ACCEPTED, "{body:?}");
    let pipeline = ended(&world, &commit).await;
    let told = format!("{pipeline:?}");
    assert_eq!(pipeline.state.name(), "failed", "{told}");
    assert!(told.contains("note is kept with Git LFS, and its content cannot be fetched"), "{told}");
    let log = std::fs::read_to_string(world.config.with_file_name("control.log")).expect("a log");
    assert!(!log.contains(&hook.token), "a secret is in the log");
}
