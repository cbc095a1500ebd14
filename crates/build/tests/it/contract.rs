//! What every builder must do: the same functions run on the fake here and on real Docker in `docker`.

use std::sync::Arc;
use std::time::Duration;

use havre_build::builder::{BuildError, BuildLine, BuildRequest, Builder};
use havre_build::fake::{FakeBuilder, Script};
use havre_core::artifact::Artifact;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::archive::{built_site, image, plain_dockerfile, request};

/// Longest wait for anything that must happen; generous, because a busy machine is no failure.
pub(crate) const PATIENCE: Duration = Duration::from_secs(120);

/// A builder and the requests it can be given.
pub(crate) struct World {
    pub(crate) builder: Arc<dyn Builder>,
    /// Says `hello` in a step, then makes an image.
    pub(crate) image: BuildRequest,
    /// Makes a site.
    pub(crate) site: BuildRequest,
    /// Fails in a step `RUN …` after it said `about to fail`.
    pub(crate) failing: BuildRequest,
    /// Says `waiting`, then does not end by itself while the test runs.
    pub(crate) endless: BuildRequest,
    /// Whether the endless build is at work, seen from outside of the builder where that can be.
    pub(crate) is_at_work: Box<dyn Fn() -> bool>,
}

/// Runs a build to its end.
pub(crate) async fn run(
    builder: &dyn Builder,
    request: BuildRequest,
) -> (Result<Artifact, BuildError>, Vec<BuildLine>) {
    let (log, mut receiver) = mpsc::channel(16);
    let collect = async {
        let mut lines = Vec::new();
        while let Some(line) = receiver.recv().await {
            lines.push(line);
        }
        lines
    };
    let both = async { tokio::join!(builder.build(request, log, CancellationToken::new()), collect) };
    tokio::time::timeout(PATIENCE, both).await.expect("ends in time")
}

pub(crate) async fn makes_what_was_asked_for(world: World) {
    let (result, lines) = run(&*world.builder, world.image.clone()).await;
    let artifact = result.expect("is a fine build");
    assert!(matches!(artifact, Artifact::Image { pull: None, .. }), "{artifact:?}");
    assert!(lines.iter().any(|line| line.text == "hello" && line.step.contains("RUN")), "{lines:#?}");
    let (result, _) = run(&*world.builder, world.site.clone()).await;
    let artifact = result.expect("is a fine build");
    assert!(matches!(artifact, Artifact::Site { .. }), "{artifact:?}");
    let (again, _) = run(&*world.builder, world.site).await;
    assert_eq!(again.expect("may run twice"), artifact);
}

pub(crate) async fn sites_are_removed_unless_published_again(world: World) {
    let (made, _) = run(&*world.builder, world.site.clone()).await;
    let Ok(Artifact::Site { digest }) = made else { panic!("is a fine site: {made:?}") };
    let list = async || world.builder.list_sites().await.expect("can be listed");
    let seen = list().await.into_iter().find(|site| site.digest == digest).expect("is published");
    let (again, _) = run(&*world.builder, world.site.clone()).await;
    again.expect("may run twice");
    assert!(!world.builder.remove_site(&seen).await.expect("is no error"), "it was published again");
    let seen = list().await.into_iter().find(|site| site.digest == digest).expect("is still there");
    assert!(world.builder.remove_site(&seen).await.expect("can be removed"));
    assert!(world.builder.remove_site(&seen).await.expect("may run twice"));
    assert!(list().await.iter().all(|site| site.digest != digest));
}

pub(crate) async fn a_failure_names_its_step_and_last_lines(world: World) {
    let (result, _) = run(&*world.builder, world.failing).await;
    let error = result.expect_err("fails");
    assert!(error.is_permanent(), "{error:?}");
    assert!(error.step().contains("RUN"), "{error:?}");
    assert!(error.last_lines().iter().any(|line| line == "about to fail"), "{error:?}");
}

pub(crate) async fn lines_come_live_and_a_cancel_ends_it(world: World) {
    let (log, mut lines) = mpsc::channel(16);
    let cancel = CancellationToken::new();
    let (builder, request, token) = (world.builder.clone(), world.endless.clone(), cancel.clone());
    let build = tokio::spawn(async move { builder.build(request, log, token).await });
    let waiting = async {
        while let Some(line) = lines.recv().await {
            if line.text == "waiting" {
                return true;
            }
        }
        false
    };
    let seen = tokio::time::timeout(PATIENCE, waiting).await.expect("speaks in time");
    assert!(seen, "the line came while the build was at work");
    wait_until(|| (world.is_at_work)(), "it is at work").await;
    cancel.cancel();
    let result = tokio::time::timeout(PATIENCE, build).await.expect("ends in time").expect("does not panic");
    assert!(matches!(result, Err(BuildError::Cancelled)), "{result:?}");
    wait_until(|| !(world.is_at_work)(), "what was cancelled does not go on").await;
}

async fn wait_until(holds: impl Fn() -> bool, what: &str) {
    let wait = async {
        while !holds() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(PATIENCE, wait).await.expect(what);
}

pub(crate) async fn nobody_has_to_listen(world: World) {
    let (log, lines) = mpsc::channel(1);
    drop(lines);
    let build = world.builder.build(world.image, log, CancellationToken::new());
    let result = tokio::time::timeout(PATIENCE, build).await.expect("ends in time");
    result.expect("is a fine build");
}

mod fake {
    use super::*;

    fn lines(step: &str, text: &str) -> Vec<(String, String)> {
        vec![(step.to_owned(), text.to_owned())]
    }

    /// The fake builds one service of that name; each request of the world is for a service of its own.
    fn world() -> World {
        let fake = FakeBuilder::new();
        let named = |id, name: &str, work| {
            let mut request = request(id, work, "unused".into());
            request.place.service = name.parse().expect("is a name");
            request
        };
        let image = image(&plain_dockerfile());
        fake.script("image", Script { lines: lines("RUN echo hello", "hello"), result: Ok(None) });
        let failed = BuildError::DockerfileFailed {
            step: "[2/2] RUN false".to_owned(),
            message: "exit code: 1".to_owned(),
            last_lines: vec!["about to fail".to_owned()],
        };
        fake.fail_next("failing", failed);
        fake.script("endless", Script { lines: lines("RUN sleep", "waiting"), result: Ok(None) });
        fake.hold("endless");
        let fake = Arc::new(fake);
        let watched = fake.clone();
        World {
            is_at_work: Box::new(move || !watched.running().is_empty()),
            builder: fake,
            image: named(1, "image", &image),
            site: named(2, "site", &built_site("/site")),
            failing: named(3, "failing", &image),
            endless: named(4, "endless", &image),
        }
    }

    #[tokio::test]
    async fn makes_what_was_asked_for() {
        super::makes_what_was_asked_for(world()).await;
    }

    #[tokio::test]
    async fn sites_are_removed_unless_published_again() {
        super::sites_are_removed_unless_published_again(world()).await;
    }

    #[tokio::test]
    async fn a_failure_names_its_step_and_last_lines() {
        super::a_failure_names_its_step_and_last_lines(world()).await;
    }

    #[tokio::test]
    async fn lines_come_live_and_a_cancel_ends_it() {
        super::lines_come_live_and_a_cancel_ends_it(world()).await;
    }

    #[tokio::test]
    async fn nobody_has_to_listen() {
        super::nobody_has_to_listen(world()).await;
    }

    #[tokio::test]
    async fn it_is_driven_by_hand() {
        let fake = Arc::new(FakeBuilder::new());
        fake.hold("web");
        let request = request(5, &image(&plain_dockerfile()), "unused".into());
        let (log, _lines) = mpsc::channel(1);
        let (builder, asked) = (fake.clone(), request.clone());
        let build = tokio::spawn(async move { builder.build(asked, log, CancellationToken::new()).await });
        fake.wait_for_requests(1).await;
        assert_eq!(fake.running(), [request.id]);
        fake.release("web");
        let artifact = build.await.expect("does not panic").expect("succeeds");
        assert_eq!(artifact, havre_build::fake::artifact_of(&request));
        assert_eq!((fake.running(), fake.cancelled()), (Vec::new(), Vec::new()));
        assert_eq!(fake.requests().len(), 1);
    }
}
