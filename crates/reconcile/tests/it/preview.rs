//! Previews of pull requests: made, moved, taken down by hand, by time and for others, and what a crash changes.

use havre_build::fake::artifact_of;
use havre_core::artifact::Artifact;
use havre_core::event::Actor;
use havre_core::name::{EnvironmentName, ProjectName};
use havre_core::pipeline::push::Verdict;
use havre_core::pipeline::{Cause, Pipeline, State as PipelineState};
use havre_core::preview::{CloseReason, Preview, PullNumber, State, Wish};
use havre_core::quantity::Span;
use havre_core::source::{BranchName, CommitId, HeadAt, Pull};
use havre_engine::fake::script::Script;
use havre_reconcile::pipeline;
use havre_source::fake::FakeFile;

use crate::world::{Control, Outside};

const MANIFEST: &str = r#"
project = "dropit"
[services.api]
dockerfile = "Dockerfile"
port = 3000
hosts = ["api.example"]
https = "off"
replicas = 3
[previews]
hosts = { api = "{number}.preview.example" }
max = 2
ttl = "1d"
"#;

fn project() -> ProjectName {
    "dropit".parse().unwrap()
}

/// Where the repository really is.
fn upstream() -> ProjectName {
    "upstream".parse().unwrap()
}

fn number(number: u64) -> PullNumber {
    PullNumber::try_from(number).unwrap()
}

fn branch(name: &str) -> BranchName {
    name.parse().unwrap()
}

fn files(manifest: &str) -> Vec<(&'static str, FakeFile)> {
    vec![("havre.toml", FakeFile::text(manifest)), ("Dockerfile", FakeFile::text("FROM scratch\n"))]
}

/// A control that fetches from `upstream`, with production in place as the base branch says.
async fn control(outside: &Outside, manifest: &str) -> Control {
    let control = outside.control_with_private_remotes();
    outside.source.push(&project(), &branch("main"), &files(manifest));
    let url = "http://127.0.0.1:1/upstream.git".parse().unwrap();
    let set = control
        .world
        .store
        .write(control.world.now(), Actor::Local, move |tx| tx.set_remote(&project(), &url, None));
    set.await.unwrap();
    settle(&control).await;
    control
}

/// Somebody pushes to a pull request at the forge.
fn push(outside: &Outside, pull: u64, manifest: &str) -> CommitId {
    let commit = outside.source.commit(&upstream(), None, "Say hello", &files(manifest));
    let pull = Pull { number: number(pull), at: HeadAt::Pull };
    outside.source.set_pull(&upstream(), &pull, &commit);
    commit
}

fn wish(pull: u64, head: &CommitId) -> Wish {
    Wish {
        project: project(),
        number: number(pull),
        head: Some(head.clone()),
        branch: branch("feature/x"),
        base: branch("main"),
        at: HeadAt::Pull,
        is_fork: false,
    }
}

async fn announce(control: &Control, wish: Wish) {
    let by = Actor::Webhook { provider: "github".to_owned() };
    let written = control.world.store.write(control.world.now(), by, move |tx| tx.request_preview(&wish));
    written.await.unwrap();
}

/// Pushes and announces it.
async fn push_and_announce(control: &Control, pull: u64) -> CommitId {
    let commit = push(&control.outside, pull, MANIFEST);
    announce(control, wish(pull, &commit)).await;
    commit
}

async fn turn(control: &Control) {
    for request in control.outside.builder.requests() {
        if let Artifact::Image { id, .. } = artifact_of(&request) {
            control.outside.engine.add_image(&id, None, Script::runs());
        }
    }
    pipeline::notice(&control.world).await.unwrap();
    pipeline::activate(&control.world).await.unwrap();
    control.background().await;
}

async fn pipelines(control: &Control) -> Vec<Pipeline> {
    let mut all = control.world.store.read(|view| view.list_pipelines(&project(), 100)).await.unwrap();
    all.reverse();
    all
}

/// Environments of all pipelines with how they ended, those of production apart.
async fn story(control: &Control) -> Vec<(String, &'static str)> {
    let all = pipelines(control).await;
    let of_previews = all.iter().filter(|one| one.environment.pull().is_some());
    of_previews.map(|one| (one.environment.to_string(), one.state.name())).collect()
}

async fn is_quiet(control: &Control) -> bool {
    let read = control.world.store.read(|view| {
        Ok((
            view.list_open_pipelines()?.is_empty(),
            view.list_preview_wishes()?.is_empty(),
            view.list_lasting_previews()?.iter().all(Preview::is_open),
        ))
    });
    read.await.unwrap() == (true, true, true)
}

/// Goes on until nothing is left to do.
async fn settle(control: &Control) {
    for _ in 0..80 {
        turn(control).await;
        control.activate().await;
        control.edge_catches_up().await;
        if is_quiet(control).await {
            control.activate().await;
            control.edge_catches_up().await;
            return;
        }
        control.outside.clock.advance(Span::seconds(5).duration());
    }
    panic!("it does not end: {:?} {:?}", pipelines(control).await, preview(control, 7).await);
}

async fn preview(control: &Control, pull: u64) -> Option<Preview> {
    let pull = number(pull);
    control.world.store.read(move |view| view.find_preview(&project(), pull)).await.unwrap()
}

async fn verdict(control: &Control, pull: u64) -> Option<Verdict> {
    let pull = number(pull);
    let row = control.world.store.read(move |view| view.find_preview_wish(&project(), pull)).await.unwrap();
    row.and_then(|row| row.verdict)
}

/// Why nothing followed.
async fn reason(control: &Control, pull: u64) -> String {
    match verdict(control, pull).await {
        Some(Verdict::Ignored { reason }) => reason,
        other => panic!("{other:?}"),
    }
}

/// Hosts users reach.
fn hosts(control: &Control) -> Vec<String> {
    let state = control.outside.edge.state.lock().unwrap();
    state.table.routes.iter().map(|route| route.host.to_string()).collect()
}

async fn close(control: &Control, pull: u64) {
    let row = preview(control, pull).await.unwrap();
    let now = control.world.now();
    let closing = State::Closing { since: now, reason: CloseReason::Ended };
    let written =
        control.world.store.write(now, Actor::Local, move |tx| tx.set_preview_state(&row, closing)).await;
    written.unwrap();
}

/// Nothing of the preview is left but its row.
async fn assert_gone(control: &Control, pull: u64) {
    let row = preview(control, pull).await.unwrap();
    assert!(matches!(row.state, State::Closed { .. }), "{:?}", row.state);
    let environment = EnvironmentName::preview(number(pull));
    let (environments, services, tasks) = control
        .world
        .store
        .read(|view| Ok((view.list_environments()?, view.list_services()?, view.list_all_tasks()?)))
        .await
        .unwrap();
    assert!(environments.iter().all(|one| one.name != environment), "{environments:?}");
    // That of the edge, and one of each environment.
    assert_eq!(control.outside.engine.network_names().len(), environments.len() + 1);
    let places: Vec<String> = services.iter().map(|service| service.place.to_string()).collect();
    assert!(!places.contains(&format!("dropit/pr-{pull}/api")), "{places:?}");
    assert!(tasks.iter().all(|task| services.iter().any(|service| service.id == task.service)), "{tasks:?}");
    assert!(!hosts(control).contains(&format!("{pull}.preview.example")), "{:?}", hosts(control));
    assert_eq!(control.outside.source.kept_pull(&project(), number(pull)), None);
}

#[tokio::test]
async fn a_pull_request_gets_an_environment_and_a_push_moves_it() {
    let outside = Outside::new();
    let control = control(&outside, MANIFEST).await;
    let first = push_and_announce(&control, 7).await;
    settle(&control).await;
    assert_eq!(story(&control).await, [("pr-7".to_owned(), "succeeded")]);
    let all = pipelines(&control).await;
    let last = all.last().unwrap();
    assert_eq!(verdict(&control, 7).await, Some(Verdict::Started { pipelines: vec![last.id] }));
    assert_eq!((last.commit.clone(), last.reference.as_str()), (first.clone(), "refs/heads/feature/x"));
    let by = Actor::Webhook { provider: "github".to_owned() };
    assert_eq!(last.cause, Cause::PullRequest { number: number(7), by });
    assert_eq!(hosts(&control), ["7.preview.example", "api.example"]);
    let refs = control.world.store.read(|view| view.list_refs(&project())).await.unwrap();
    assert_eq!(refs.len(), 1, "its commit is on no branch");
    assert_eq!(outside.source.kept_pull(&project(), number(7)), Some(first.clone()));
    let service = control.world.store.read(|view| view.list_services()).await.unwrap().pop().unwrap();
    assert_eq!((service.place.environment.as_str(), service.replicas), ("pr-7", 1));
    let headers = serde_json::to_value(&service.spec.edge.settings.response_headers).unwrap();
    assert_eq!(headers["set"]["x-robots-tag"], "noindex");

    announce(&control, wish(7, &first)).await;
    settle(&control).await;
    assert_eq!(reason(&control, 7).await, "the preview is of this commit already");

    let second = push_and_announce(&control, 7).await;
    settle(&control).await;
    assert_eq!(story(&control).await.len(), 2);
    let row = preview(&control, 7).await.unwrap();
    assert_eq!((&row.commit, row.is_open()), (&second, true));
    assert_eq!(hosts(&control), ["7.preview.example", "api.example"]);
}

#[tokio::test]
async fn closed_it_is_taken_down_and_comes_back_when_it_is_opened_again() {
    let outside = Outside::new();
    let control = control(&outside, MANIFEST).await;
    push_and_announce(&control, 7).await;
    settle(&control).await;
    close(&control, 7).await;
    // Opened again before the old one is gone.
    let commit = push_and_announce(&control, 7).await;
    turn(&control).await;
    assert_eq!(verdict(&control, 7).await, None, "it waits");
    settle(&control).await;
    let row = preview(&control, 7).await.unwrap();
    assert_eq!((row.commit.clone(), row.is_open()), (commit, true));
    assert_eq!(hosts(&control), ["7.preview.example", "api.example"]);
    close(&control, 7).await;
    settle(&control).await;
    assert_gone(&control, 7).await;
    assert_eq!(hosts(&control), ["api.example"]);
    // A commit of a preview that is closed is not built again.
    let again = pipelines(&control).await.pop().unwrap();
    let now = control.world.now();
    let rerun = control.world.store.write(now, Actor::Local, move |tx| {
        tx.create_pipeline(havre_store::NewPipeline {
            project: again.project,
            environment: again.environment,
            reference: again.reference,
            commit: again.commit,
            subject: String::new(),
            author: String::new(),
            cause: Cause::Rerun { of: again.id, by: Actor::Local },
        })
    });
    rerun.await.unwrap();
    settle(&control).await;
    let PipelineState::Failed { reason, .. } = pipelines(&control).await.pop().unwrap().state else {
        panic!("must fail")
    };
    assert_eq!(reason, "the preview of pull request 7 is closed");
    assert_gone(&control, 7).await;
}

#[tokio::test]
async fn what_is_being_built_is_cancelled_when_it_is_closed() {
    let outside = Outside::new();
    let control = control(&outside, MANIFEST).await;
    push_and_announce(&control, 7).await;
    turn(&control).await;
    turn(&control).await;
    assert_ne!(story(&control).await[0].1, "succeeded");
    close(&control, 7).await;
    settle(&control).await;
    assert_eq!(story(&control).await, [("pr-7".to_owned(), "cancelled")]);
    assert_gone(&control, 7).await;
}

#[tokio::test]
async fn without_a_push_it_goes() {
    let outside = Outside::new();
    let control = control(&outside, MANIFEST).await;
    push_and_announce(&control, 7).await;
    settle(&control).await;
    outside.clock.advance(Span::seconds(86_400 / 2).duration());
    push_and_announce(&control, 7).await;
    settle(&control).await;
    outside.clock.advance(Span::seconds(86_400 / 2 + 3600).duration());
    settle(&control).await;
    assert!(preview(&control, 7).await.unwrap().is_open(), "it was pushed to");
    outside.clock.advance(Span::seconds(86_400 / 2).duration());
    settle(&control).await;
    assert_gone(&control, 7).await;
    let State::Closed { reason, .. } = preview(&control, 7).await.unwrap().state else { panic!("is closed") };
    assert_eq!(reason, CloseReason::Expired { ttl: Span::seconds(86_400) });
    assert_eq!(hosts(&control), ["api.example"], "production stays");
}

#[tokio::test]
async fn the_oldest_makes_room() {
    let outside = Outside::new();
    let control = control(&outside, MANIFEST).await;
    for pull in [1, 2, 3] {
        push_and_announce(&control, pull).await;
        settle(&control).await;
    }
    assert_gone(&control, 1).await;
    let State::Closed { reason, .. } = preview(&control, 1).await.unwrap().state else { panic!("is closed") };
    assert_eq!(reason, CloseReason::MadeRoom { number: number(3) });
    assert_eq!(hosts(&control), ["2.preview.example", "3.preview.example", "api.example"]);
}

#[tokio::test]
async fn what_the_base_branch_does_not_allow_does_not_happen() {
    let outside = Outside::new();
    let control = control(&outside, MANIFEST).await;
    // What the pull request says of itself does not count.
    let generous = MANIFEST.replace("max = 2", "max = 50\nforks = true");
    let commit = push(&outside, 7, &generous.replace("{number}.preview", "{number}.login"));
    announce(&control, Wish { is_fork: true, ..wish(7, &commit) }).await;
    settle(&control).await;
    assert!(reason(&control, 7).await.contains("comes from a fork"));
    assert_eq!(outside.source.kept_pull(&project(), number(7)), None, "it was not even fetched");

    announce(&control, wish(7, &commit)).await;
    settle(&control).await;
    assert_eq!(hosts(&control), ["7.preview.example", "api.example"], "hosts are those of the base branch");

    announce(&control, Wish { base: branch("unknown"), ..wish(8, &commit) }).await;
    settle(&control).await;
    assert!(
        reason(&control, 8).await.contains("the branch unknown, for which the pull request is, is not known")
    );
    outside.source.push(&project(), &branch("plain"), &files(MANIFEST.split("[previews]").next().unwrap()));
    settle(&control).await;
    announce(&control, Wish { base: branch("plain"), ..wish(8, &commit) }).await;
    settle(&control).await;
    assert!(reason(&control, 8).await.contains("havre.toml of the branch plain has no [previews]"));
    assert_eq!(story(&control).await.len(), 1);
}

#[tokio::test]
async fn a_fork_that_may_is_built() {
    let outside = Outside::new();
    let control = control(&outside, &MANIFEST.replace("max = 2", "forks = true")).await;
    let commit = push(&outside, 7, MANIFEST);
    announce(&control, Wish { is_fork: true, ..wish(7, &commit) }).await;
    settle(&control).await;
    assert_eq!(story(&control).await, [("pr-7".to_owned(), "succeeded")]);
    assert!(!preview(&control, 7).await.unwrap().has_secrets());
}

#[tokio::test]
async fn a_commit_that_does_not_come_is_given_up() {
    let outside = Outside::new();
    let control = control(&outside, MANIFEST).await;
    let commit = outside.source.commit(&project(), None, "elsewhere", &[]);
    announce(&control, wish(9, &commit)).await;
    settle(&control).await;
    assert_eq!(reason(&control, 9).await, "the remote repository has no refs/pull/9/head");
    let skipped = outside.source.commit(&upstream(), None, "words [skip ci]", &files(MANIFEST));
    outside.source.set_pull(&upstream(), &Pull { number: number(9), at: HeadAt::Pull }, &skipped);
    announce(&control, wish(9, &skipped)).await;
    settle(&control).await;
    assert_eq!(reason(&control, 9).await, "the commit's message says [skip ci]");
    assert_eq!(story(&control).await, []);
}

#[tokio::test]
async fn a_crash_at_any_step_changes_nothing() {
    for steps in 0..9 {
        let outside = Outside::new();
        let first = control(&outside, MANIFEST).await;
        push_and_announce(&first, 7).await;
        some_steps(&first, steps).await;
        // Everything this process knew is gone; the disk, the engine and the repository stay.
        drop(first);
        let second = outside.control_with_private_remotes();
        settle(&second).await;
        assert_eq!(story(&second).await, [("pr-7".to_owned(), "succeeded")], "after {steps} steps");
        assert_eq!(hosts(&second), ["7.preview.example", "api.example"], "after {steps} steps");
        close(&second, 7).await;
        some_steps(&second, steps).await;
        drop(second);
        let third = outside.control_with_private_remotes();
        settle(&third).await;
        assert_gone(&third, 7).await;
        assert_eq!(hosts(&third), ["api.example"], "after {steps} steps");
    }
}

async fn some_steps(control: &Control, steps: u32) {
    for step in 0..steps {
        match step % 3 {
            0 => turn(control).await,
            1 => control.activate().await,
            _ => control.edge_catches_up().await,
        }
    }
}
