//! What forges were told: rows come with pipelines, say what was told and tried, and go with their remote repository.

use havre_core::event::Actor;
use havre_core::id::PipelineId;
use havre_core::name::ProjectName;
use havre_core::pipeline::status::CommitStatus;
use havre_core::pipeline::{Cause, Pipeline, State};
use havre_core::secret::Secret;
use havre_core::source::forge::Forge;
use havre_core::time::Timestamp;
use havre_store::{NewPipeline, StatusRow, TellingFailure, TellingSpec};

use crate::world::{World, at};

const GITHUB: &str = "https://github.com/acme/dropit.git";

fn project() -> ProjectName {
    "dropit".parse().unwrap()
}

fn new(environment: &str, digit: char) -> NewPipeline {
    NewPipeline {
        project: project(),
        environment: environment.parse().unwrap(),
        reference: "refs/heads/main".parse().unwrap(),
        commit: digit.to_string().repeat(40).parse().unwrap(),
        subject: "Say hello".to_owned(),
        author: "Ada".to_owned(),
        cause: Cause::Push { by: Actor::Local },
    }
}

async fn begin(world: &World, environment: &'static str, digit: char) -> PipelineId {
    world.write(1, move |tx| Ok(tx.create_pipeline(new(environment, digit))?.id)).await
}

async fn set_remote(world: &World, url: &'static str, token: Option<&'static str>) {
    world
        .write(0, move |tx| {
            let token = token.map(Secret::from);
            tx.set_remote(&project(), &url.parse().unwrap(), token.as_ref())?;
            tx.set_telling(&project(), TellingSpec::default())
        })
        .await;
}

async fn open(world: &World) -> Vec<(Pipeline, StatusRow)> {
    world.store.read(|view| view.list_open_statuses()).await.unwrap()
}

async fn ids(world: &World) -> Vec<i64> {
    open(world).await.iter().map(|(pipeline, _)| pipeline.id.row()).collect()
}

async fn told(world: &World, seconds: i64, row: &StatusRow, status: CommitStatus) {
    let row = row.clone();
    world.write(seconds, move |tx| tx.status_told(&row, status)).await;
}

async fn failed(world: &World, seconds: i64, row: &StatusRow, status: CommitStatus, next: Option<i64>) {
    let failure = TellingFailure { reason: "no".to_owned(), next_at: next.map(at), quiet_until: None };
    let row = row.clone();
    world.write(seconds, move |tx| tx.status_failed(&row, status, failure)).await;
}

async fn token(world: &World) -> String {
    let token = world.store.read(|view| view.find_status_token(&project())).await.unwrap().unwrap();
    token.expose_text().unwrap().to_owned()
}

async fn quiet_until(world: &World) -> Option<Timestamp> {
    world.store.read(|view| view.find_remote(&project())).await.unwrap().unwrap().quiet_until
}

/// What events say of forges.
async fn story(world: &World) -> Vec<String> {
    world.story().await.into_iter().filter(|text| text.starts_with("forge")).collect()
}

#[tokio::test]
async fn a_pipeline_has_a_row_where_there_is_a_forge_to_tell() {
    let world = World::new();
    begin(&world, "production", 'a').await;
    set_remote(&world, "https://git.example.org/acme/dropit.git", Some("planted-token")).await;
    begin(&world, "production", 'b').await;
    set_remote(&world, GITHUB, None).await;
    begin(&world, "production", 'c').await;
    assert_eq!(ids(&world).await, Vec::<i64>::new(), "no forge, an unknown one, no token");
    set_remote(&world, GITHUB, Some("planted-token")).await;
    assert_eq!(ids(&world).await, Vec::<i64>::new(), "what was before is not told");
    begin(&world, "production", 'd').await;
    assert_eq!(ids(&world).await, [4]);
    let off = TellingSpec { is_off: true, ..TellingSpec::default() };
    world.write(2, move |tx| tx.set_telling(&project(), off)).await;
    begin(&world, "production", 'e').await;
    assert_eq!(ids(&world).await, Vec::<i64>::new(), "nobody wants it");
}

#[tokio::test]
async fn only_the_newest_pipeline_of_a_commit_and_environment_is_told() {
    let world = World::new();
    set_remote(&world, GITHUB, Some("planted-token")).await;
    for (environment, digit) in
        [("production", 'a'), ("staging", 'a'), ("production", 'b'), ("production", 'a')]
    {
        begin(&world, environment, digit).await;
    }
    assert_eq!(ids(&world).await, [2, 3, 4]);
    set_remote(&world, "https://gitlab.com/acme/dropit.git", Some("planted-token")).await;
    assert_eq!(ids(&world).await, Vec::<i64>::new(), "they are of another forge");
}

#[tokio::test]
async fn what_was_told_is_remembered_until_nothing_can_follow() {
    let world = World::new();
    set_remote(&world, GITHUB, Some("planted-token")).await;
    let id = begin(&world, "production", 'a').await;
    let (_, first) = open(&world).await.remove(0);
    told(&world, 2, &first, CommitStatus::Pending).await;
    let (_, second) = open(&world).await.remove(0);
    assert_eq!((second.memory.told, second.told_at), (Some(CommitStatus::Pending), Some(at(2))));
    told(&world, 3, &first, CommitStatus::Success).await;
    assert_eq!(open(&world).await[0].1, second, "a call that was made before says nothing");

    world
        .write(4, move |tx| tx.set_pipeline_state(id, &State::Queued, State::Building { since: at(4) }))
        .await;
    failed(&world, 5, &second, CommitStatus::Running, Some(10)).await;
    let (_, third) = open(&world).await.remove(0);
    assert_eq!(
        (third.memory.tries, third.memory.next_at, third.reason.as_deref()),
        (1, Some(at(10)), Some("no"))
    );
    failed(&world, 10, &third, CommitStatus::Running, None).await;
    let (_, fourth) = open(&world).await.remove(0);
    assert_eq!((fourth.memory.tries, fourth.memory.next_at), (2, None));

    let done = State::Succeeded { at: at(11) };
    world.write(11, move |tx| tx.set_pipeline_state(id, &State::Building { since: at(4) }, done)).await;
    let world = world.reopen();
    told(&world, 12, &fourth, CommitStatus::Success).await;
    assert_eq!(ids(&world).await, Vec::<i64>::new(), "nothing can follow");
    let last = world.store.read(|view| view.find_last_status(&project())).await.unwrap().unwrap();
    assert_eq!((last.memory.told, last.reason), (Some(CommitStatus::Success), None));
    assert_eq!(
        story(&world).await,
        [
            "forge of dropit told that i1 is pending",
            "forge of dropit not told that i1 is running: no",
            "forge of dropit told that i1 is success",
        ]
    );
}

#[tokio::test]
async fn a_reason_is_told_once_and_what_failed_is_told_with_another_token() {
    let world = World::new();
    set_remote(&world, GITHUB, Some("planted-token")).await;
    let id = begin(&world, "production", 'a').await;
    let (_, row) = open(&world).await.remove(0);
    failed(&world, 2, &row, CommitStatus::Pending, None).await;
    world.write(3, move |tx| tx.set_pipeline_state(id, &State::Queued, State::Cancelled { at: at(3) })).await;
    let (_, row) = open(&world).await.remove(0);
    failed(&world, 4, &row, CommitStatus::Cancelled, None).await;
    assert_eq!(ids(&world).await, Vec::<i64>::new());
    assert_eq!(story(&world).await, ["forge of dropit not told that i1 is pending: no"]);
    set_remote(&world, GITHUB, Some("another-token")).await;
    let (_, row) = open(&world).await.remove(0);
    assert!(row.memory.is_due(&CommitStatus::Cancelled, at(5)), "{row:?}");
}

#[tokio::test]
async fn a_forge_that_wants_quiet_gets_it_until_somebody_sets_it_anew() {
    let world = World::new();
    set_remote(&world, GITHUB, Some("planted-token")).await;
    begin(&world, "production", 'a').await;
    let (_, row) = open(&world).await.remove(0);
    let failure = TellingFailure { reason: "no".to_owned(), next_at: Some(at(7)), quiet_until: Some(at(60)) };
    world.write(2, move |tx| tx.status_failed(&row, CommitStatus::Pending, failure)).await;
    assert_eq!(quiet_until(&world).await, Some(at(60)));
    set_remote(&world, GITHUB, Some("planted-token")).await;
    assert_eq!(quiet_until(&world).await, None);
    world.write(3, |tx| tx.remove_remote(&project())).await;
    assert_eq!(ids(&world).await, Vec::<i64>::new());
}

#[tokio::test]
async fn a_token_for_this_alone_goes_before_that_of_the_repository() {
    let world = World::new();
    set_remote(&world, GITHUB, Some("planted-token")).await;
    assert_eq!(token(&world).await, "planted-token");
    let gitea = Some(Forge::Gitea);
    world
        .write(1, move |tx| {
            let token = Secret::from("planted-status-token");
            tx.set_telling(
                &project(),
                TellingSpec { forge: gitea, token: Some(&token), ..TellingSpec::default() },
            )
        })
        .await;
    let world = world.reopen();
    assert_eq!(token(&world).await, "planted-status-token");
    let remote = world.store.read(|view| view.find_remote(&project())).await.unwrap().unwrap();
    assert_eq!((remote.forge, remote.has_token, remote.has_status_token), (gitea, true, true));
    for entry in std::fs::read_dir(world.folder.path()).unwrap() {
        let bytes = std::fs::read(entry.unwrap().path()).unwrap();
        assert!(!bytes.windows(20).any(|part| part == b"planted-status-token"));
    }
}

#[tokio::test]
async fn rows_go_with_their_pipelines() {
    let world = World::new();
    set_remote(&world, GITHUB, Some("planted-token")).await;
    let first = begin(&world, "production", 'a').await;
    world
        .write(2, move |tx| tx.set_pipeline_state(first, &State::Queued, State::Cancelled { at: at(2) }))
        .await;
    let kept = i64::from(havre_store::pipeline::PIPELINES_KEPT);
    world
        .write(3, move |tx| {
            for _ in 0..kept {
                tx.create_pipeline(new("staging", 'b'))?;
            }
            Ok(())
        })
        .await;
    assert_eq!(world.store.read(move |view| view.find_status(first)).await.unwrap(), None);
    assert_eq!(ids(&world).await, [kept + 1]);
}
