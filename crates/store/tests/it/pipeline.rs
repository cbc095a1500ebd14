//! Pipelines, and what was seen of branches.

use havre_core::event::Actor;
use havre_core::pipeline::push::Verdict;
use havre_core::pipeline::{Cause, Stage, StageTime, State, Untouched};
use havre_core::source::{CommitId, RefName};
use havre_store::{NewPipeline, StoreError};

use crate::world::{World, at};

fn main() -> RefName {
    "refs/heads/main".parse().expect("is a ref")
}

fn commit(digit: char) -> CommitId {
    digit.to_string().repeat(40).parse().expect("is a commit")
}

pub(crate) fn new(environment: &str) -> NewPipeline {
    NewPipeline {
        project: "dropit".parse().expect("is a name"),
        environment: environment.parse().expect("is a name"),
        reference: main(),
        commit: commit('a'),
        subject: "Say hello".to_owned(),
        author: "Ada".to_owned(),
        cause: Cause::Push { by: Actor::Local },
    }
}

#[tokio::test]
async fn states_are_compared_and_set() {
    let world = World::new();
    let first = world.write(1, |tx| tx.create_pipeline(new("production"))).await;
    let second = world.write(2, |tx| tx.create_pipeline(new("staging"))).await;
    let failed = State::Failed { at: at(3), stage: Stage::Checkout, reason: "no havre.toml".to_owned() };
    let to = failed.clone();
    world.write(3, move |tx| tx.set_pipeline_state(first.id, &State::Queued, to)).await;
    let error = world.try_write(4, move |tx| {
        tx.set_pipeline_state(first.id, &State::Queued, State::Cancelled { at: at(4) })
    });
    assert!(matches!(error.await, Err(StoreError::Conflict { .. })));
    let (open, all) = world
        .store
        .read(|view| {
            Ok((view.list_open_pipelines()?, view.list_pipelines(&"dropit".parse().expect("a name"), 9)?))
        })
        .await
        .unwrap();
    assert_eq!(open.iter().map(|one| one.id).collect::<Vec<_>>(), [second.id]);
    assert_eq!(all.iter().map(|one| one.id).collect::<Vec<_>>(), [second.id, first.id], "newest first");
    assert_eq!((&all[1].state, all[1].subject.as_str()), (&failed, "Say hello"));
    assert_eq!(
        world.story().await,
        [
            "pipeline i1 of dropit/production is queued",
            "pipeline i2 of dropit/staging is queued",
            "pipeline i1 of dropit/production failed (checkout): no havre.toml",
        ]
    );
}

#[tokio::test]
async fn a_push_is_looked_at_once_and_again_when_the_branch_moves() {
    let world = World::new();
    let project = || "dropit".parse::<havre_core::name::ProjectName>().expect("is a name");
    let note = |seconds, digit| {
        world.write(seconds, move |tx| tx.note_push(&project(), &main(), Some(&commit(digit))))
    };
    let waiting = || async {
        let rows = world.store.read(|view| view.list_unjudged_refs()).await.unwrap();
        rows.into_iter().map(|row| row.commit).collect::<Vec<_>>()
    };
    let ignored = Verdict::Ignored { reason: "nobody follows".to_owned() };
    note(1, 'a').await;
    let changes = world.changes();
    note(2, 'a').await;
    assert_eq!(world.changes(), changes, "known already");
    assert_eq!(waiting().await, [commit('a')]);
    note(3, 'b').await;
    let verdict = ignored.clone();
    let is_still = world.write(4, move |tx| tx.judge_ref(&project(), &main(), &commit('a'), &verdict)).await;
    assert!(!is_still, "it has moved on");
    assert_eq!(waiting().await, [commit('b')]);
    let verdict = ignored.clone();
    assert!(world.write(5, move |tx| tx.judge_ref(&project(), &main(), &commit('b'), &verdict)).await);
    assert_eq!(waiting().await, []);
    let row =
        world.store.read(move |view| view.find_ref(&project(), &main())).await.unwrap().expect("is there");
    assert_eq!((row.verdict, row.pushed_at), (Some(ignored), at(3)));
    note(6, 'c').await;
    assert_eq!(waiting().await, [commit('c')], "looked at anew");
    world.write(7, move |tx| tx.note_push(&project(), &main(), None)).await;
    assert_eq!(waiting().await, []);
}

#[tokio::test]
async fn its_stages_and_what_it_leaves_are_kept() {
    let world = World::new();
    let id = world.write(1, |tx| Ok(tx.create_pipeline(new("production"))?.id)).await;
    let reading = State::CheckingOut { since: at(2) };
    let to = reading.clone();
    world.write(2, move |tx| tx.set_pipeline_state(id, &State::Queued, to)).await;
    let untouched = Untouched { service: "web".parse().unwrap(), reason: "nothing has changed".to_owned() };
    let noted = vec![untouched.clone()];
    world
        .write(5, move |tx| {
            tx.set_pipeline_untouched(id, &noted)?;
            tx.set_pipeline_state(id, &reading, State::Testing { since: at(5) })
        })
        .await;
    let row = world.store.read(move |view| view.get_pipeline(id)).await.unwrap();
    let time = |stage, since, until| StageTime { stage, since: at(since), until };
    assert_eq!(row.stages, [time(Stage::Checkout, 2, Some(at(5))), time(Stage::Test, 5, None)]);
    assert_eq!(row.untouched, [untouched]);
}
