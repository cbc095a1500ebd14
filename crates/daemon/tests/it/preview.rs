//! The preview of a pull request, from what a forge announces to what is left of it: nothing but a comment that says so. The forge is another
//! project of the same server, whose repository shows the head of a pull request as GitHub does; what stands in front of it keeps comments.

use havre_api::access::CreateTokenResponse;
use havre_api::pipeline::{Pipeline, PipelineList};
use havre_api::preview::PreviewList;
use havre_api::remote::Remote;
use havre_api::webhook::{DeliveryAnswer, SetWebhookResponse};
use hyper::{Method, StatusCode};
use serde_json::{Value, json};

use crate::fake_forge::FakeForge;
use crate::world::docker::{IMAGE, networks, volumes};
use crate::world::load::ask_once;
use crate::world::repository::Repository;
use crate::world::spec::{HOST, manifest};
use crate::world::{World, until};

/// Where users reach the preview.
const PREVIEW: &str = "7.preview.example.org";

/// What its `havre.toml` says beyond the service.
const MANIFEST: &str = r#"volumes = { files = "/home/node" }

[previews]
hosts = { app = "{number}.preview.example.org" }
"#;

/// The forge: where the repository is, and what it calls.
struct Forge {
    upstream: Repository,
    /// What stands in front of it.
    front: FakeForge,
    /// Its repository on the disk of the server.
    folder: String,
    path: String,
    secret: String,
}

impl Forge {
    async fn set(world: &World) -> Self {
        let request = json!({ "name": "upstream" });
        let made: CreateTokenResponse = world.api.send(Method::POST, "/v1/tokens", &request).await;
        let address = format!("{}/git/upstream.git", world.api_address());
        let upstream = Repository::new(&format!("http://x:{}@{address}", made.token));
        upstream.write("havre.toml", &manifest(MANIFEST));
        upstream.write("Dockerfile", &dockerfile("1"));
        let front = FakeForge::start(world.api_address()).await;
        let url = format!("http://{}/git/upstream.git", front.address);
        let request = json!({ "url": url, "token": made.token, "forge": "github" });
        let _: Remote = world.api.send(Method::PUT, "/v1/projects/e2e/remote", &request).await;
        let path = "/v1/projects/e2e/webhooks/github";
        let made: SetWebhookResponse = world.api.send(Method::PUT, path, &json!({})).await;
        let folder = world.config.with_file_name("data").join("git/upstream.git").display().to_string();
        Self { upstream, front, folder, path: made.path, secret: made.secret }
    }

    /// Commits and pushes to a branch.
    async fn push(&self, branch: &str, message: &str) -> String {
        let commit = self.upstream.commit(message);
        let (is_well, told) = self.upstream.push(&["--force", &format!("HEAD:refs/heads/{branch}")]).await;
        assert!(is_well, "{told}");
        commit
    }

    /// The comment says this, and there is one.
    async fn comment_says(&self, what: &str) {
        until("the comment says it", async || {
            self.front.comments().last().is_some_and(|text| text.contains(what)).then_some(())
        })
        .await;
        assert_eq!(self.front.comments().len(), 1, "{:?}", self.front.comments());
    }

    /// Shows a commit as the head of the pull request.
    fn show(&self, commit: &str) {
        self.upstream.git(&["--git-dir", &self.folder, "update-ref", "refs/pull/7/head", commit]);
    }

    /// What a delivery of this event is answered.
    async fn deliver(&self, world: &World, event: &str, body: &Value) -> (StatusCode, DeliveryAnswer) {
        let signed = body.to_string().into_bytes();
        let body = signed.clone();
        let headers = [("x-github-event", event)];
        let answer = world.api.deliver((&self.path, &self.secret), &headers, (&signed, body)).await;
        let (status, body) = answer;
        let read = serde_json::from_slice(&body);
        (status, read.unwrap_or_else(|error| panic!("{status} {body:?}: {error}")))
    }

    async fn pull_request(
        &self,
        world: &World,
        action: &str,
        commit: &str,
        from: &str,
    ) -> (StatusCode, DeliveryAnswer) {
        let side = |branch: &str, repository: &str| json!({ "ref": branch, "label": format!("git:{branch}"), "sha": commit, "repo": { "full_name": repository } });
        let sides = json!({ "head": side("feature/x", from), "base": side("main", "git/upstream") });
        let body = json!({ "action": action, "number": 7, "pull_request": sides });
        self.deliver(world, "pull_request", &body).await
    }
}

fn dockerfile(version: &str) -> String {
    format!("FROM {IMAGE}\nENV BEHAVIOUR=well-behaved APP_VERSION={version}\n")
}

/// How the newest pipeline for this commit ended.
async fn ended(world: &World, commit: &str) -> Pipeline {
    until("the pipeline ends", async || {
        let list: PipelineList = world.api.find("/v1/projects/e2e/pipelines").await?;
        let newest = list.pipelines.into_iter().find(|one| one.commit.as_str() == commit)?;
        newest.state.is_final().then_some(newest)
    })
    .await
}

async fn version(world: &World, host: &str, wanted: &str) {
    until("users get the version", async || {
        let answer = ask_once(world.address, host).await.ok()?;
        (answer.version == wanted).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pull_request_has_an_environment_until_it_is_closed() {
    let mut world = World::start_sealed().await;
    let forge = Forge::set(&world).await;

    let base = forge.push("main", "Say hello").await;
    let body = json!({ "ref": "refs/heads/main", "before": "0".repeat(40), "after": base,
        "repository": { "full_name": "git/upstream" } });
    let (status, answer) = forge.deliver(&world, "push", &body).await;
    assert_eq!(status, StatusCode::ACCEPTED, "{answer:?}");
    assert_eq!(ended(&world, &base).await.state.name(), "succeeded");
    version(&world, HOST, "1").await;
    let (containers, of_docker) =
        (world.containers(), networks(&world.installation).expect("docker answers"));
    let kept = volumes(&world.installation).expect("docker answers");

    forge.upstream.write("Dockerfile", &dockerfile("2"));
    let first = forge.push("feature/x", "Say it better").await;
    forge.show(&first);
    let (status, answer) = forge.pull_request(&world, "opened", &first, "stranger/upstream").await;
    let DeliveryAnswer::Ignored { reason } = answer else { panic!("{answer:?}") };
    assert!(status == StatusCode::OK && reason.contains("comes from a fork"), "{reason}");
    let (status, answer) = forge.pull_request(&world, "reopened", &first, "git/upstream").await;
    let is_taken = matches!(answer, DeliveryAnswer::Started { .. } | DeliveryAnswer::Accepted);
    assert!(status == StatusCode::ACCEPTED && is_taken, "{answer:?}");
    let pipeline = ended(&world, &first).await;
    assert_eq!((pipeline.state.name(), pipeline.environment.as_str()), ("succeeded", "pr-7"), "{pipeline:?}");
    version(&world, PREVIEW, "2").await;
    version(&world, HOST, "1").await;
    assert_eq!(world.containers().len(), containers.len() + 1);
    forge.comment_says(&format!("`{}`: ready", &first[..12])).await;
    forge.comment_says(&format!("http://{PREVIEW}/ | live |")).await;

    forge.upstream.write("Dockerfile", &dockerfile("3"));
    let second = forge.push("feature/x", "And better still").await;
    forge.show(&second);
    forge.pull_request(&world, "synchronize", &second, "git/upstream").await;
    assert_eq!(ended(&world, &second).await.state.name(), "succeeded");
    version(&world, PREVIEW, "3").await;
    forge.comment_says(&format!("`{}`: ready", &second[..12])).await;

    let (status, answer) = forge.pull_request(&world, "closed", &second, "git/upstream").await;
    assert_eq!((status, answer), (StatusCode::ACCEPTED, DeliveryAnswer::Accepted));
    // Whatever happens in between.
    world.process("control").kill();
    world.start_control().await;
    until("the preview is closed", async || {
        let list: PreviewList = world.api.find("/v1/projects/e2e/previews").await?;
        (list.previews.first()?.state.name() == "closed").then_some(())
    })
    .await;
    let refused = async || ask_once(world.address, PREVIEW).await.err().filter(|error| error.contains("421"));
    until("the host is unknown", refused).await;
    forge.comment_says(": closed, the pull request was closed").await;
    assert_eq!(world.containers(), containers, "no container is left");
    assert_eq!(networks(&world.installation).expect("docker answers"), of_docker);
    assert_eq!(volumes(&world.installation).expect("docker answers"), kept);
    version(&world, HOST, "1").await;
}
