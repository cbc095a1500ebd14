//! Comments on pull requests: rows come with previews, say what was told and tried, and go with what they were about.

use havre_core::name::ProjectName;
use havre_core::preview::{CloseReason, Preview, PullNumber, State, TTL};
use havre_core::secret::Secret;
use havre_core::time::Timestamp;
use havre_decide::preview::comment::CommentId;
use havre_store::{CommentRow, CommentSaying, TellingFailure, TellingSpec};

use crate::world::{World, at};

const GITHUB: &str = "https://github.com/acme/dropit.git";
const NONE: [u64; 0] = [];

fn project() -> ProjectName {
    "dropit".parse().unwrap()
}

fn number(number: u64) -> PullNumber {
    PullNumber::try_from(number).unwrap()
}

fn preview(pull: u64, head: char) -> Preview {
    Preview {
        project: project(),
        number: number(pull),
        commit: head.to_string().repeat(40).parse().unwrap(),
        branch: "feature/x".parse().unwrap(),
        base: "main".parse().unwrap(),
        base_commit: "b".repeat(40).parse().unwrap(),
        is_fork: false,
        state: State::Open { since: at(1) },
        pushed_at: at(1),
        ttl: TTL,
    }
}

async fn set_remote(world: &World, url: &'static str, has_no_comments: bool) {
    world
        .write(0, move |tx| {
            let token = Secret::from("planted-token");
            tx.set_remote(&project(), &url.parse().unwrap(), Some(&token))?;
            tx.set_telling(&project(), TellingSpec { has_no_comments, ..TellingSpec::default() })
        })
        .await;
}

async fn put(world: &World, pull: u64, head: char) {
    world.write(1, move |tx| tx.put_preview(&preview(pull, head))).await;
}

async fn set_state(world: &World, pull: u64, to: State) {
    world
        .write(2, move |tx| {
            let row = tx.find_preview(&project(), number(pull))?.unwrap();
            tx.set_preview_state(&row, to)
        })
        .await;
}

fn closed() -> State {
    State::Closed { at: at(2), reason: CloseReason::Ended }
}

async fn open(world: &World) -> Vec<CommentRow> {
    world.store.read(|view| view.list_open_comments()).await.unwrap()
}

async fn numbers(world: &World) -> Vec<u64> {
    open(world).await.iter().map(|row| row.number.into()).collect()
}

async fn told(world: &World, seconds: i64, row: &CommentRow, (text, is_end): (&str, bool), id: u64) {
    let (row, saying) = (row.clone(), CommentSaying::of(text, is_end));
    world.write(seconds, move |tx| tx.comment_told(&row, &saying, Some(CommentId(id)))).await;
}

async fn failed(world: &World, seconds: i64, row: &CommentRow, text: &str, next: Option<Timestamp>) {
    let (row, saying) = (row.clone(), CommentSaying::of(text, false));
    let failure = TellingFailure { reason: "no".to_owned(), next_at: next, quiet_until: next };
    world.write(seconds, move |tx| tx.comment_failed(&row, &saying, false, failure)).await;
}

/// What events say of comments.
async fn story(world: &World) -> Vec<String> {
    world.story().await.into_iter().filter(|text| text.contains("in a comment")).collect()
}

#[tokio::test]
async fn a_preview_has_a_row_where_there_is_a_forge_to_tell() {
    let world = World::new();
    put(&world, 7, 'a').await;
    assert_eq!(numbers(&world).await, NONE, "no forge");
    set_remote(&world, GITHUB, true).await;
    put(&world, 7, 'c').await;
    assert_eq!(numbers(&world).await, NONE, "nobody wants it");
    set_remote(&world, GITHUB, false).await;
    assert_eq!(numbers(&world).await, [7], "what is open is told from now on");
    put(&world, 8, 'a').await;
    assert_eq!(numbers(&world).await, [8, 7]);
    let marks: Vec<String> = open(&world).await.iter().map(|row| row.mark.to_string()).collect();
    assert_ne!(marks[0], marks[1]);
    put(&world, 8, 'c').await;
    assert_eq!(open(&world).await[0].mark.to_string(), marks[0], "a push changes no mark");
    set_remote(&world, GITHUB, true).await;
    assert_eq!(numbers(&world).await, NONE);
    set_remote(&world, "https://gitlab.com/acme/dropit.git", false).await;
    let rows = open(&world).await;
    assert_eq!(rows.len(), 2);
    assert!(rows.iter().all(|row| !marks.contains(&row.mark.to_string())), "those were of another forge");
    world.write(3, |tx| tx.remove_remote(&project())).await;
    assert_eq!(numbers(&world).await, NONE);
}

#[tokio::test]
async fn what_was_told_is_remembered_until_nothing_can_follow() {
    let world = World::new();
    set_remote(&world, GITHUB, false).await;
    put(&world, 7, 'a').await;
    let first = open(&world).await.remove(0);
    assert_eq!((first.id, first.memory.told.as_ref(), first.told_at), (None, None, None));
    told(&world, 2, &first, ("one", false), 345).await;
    let second = open(&world).await.remove(0);
    assert_eq!((second.id, second.told_at), (Some(CommentId(345)), Some(at(2))));
    assert_eq!(second.memory.told, Some(CommentSaying::of("one", false).digest));
    told(&world, 3, &first, ("two", false), 346).await;
    assert_eq!(open(&world).await[0], second, "a call that was made before says nothing");

    failed(&world, 4, &second, "two", Some(at(10))).await;
    let third = open(&world).await.remove(0);
    assert_eq!((third.memory.tries, third.memory.next_at, third.id), (1, Some(at(10)), second.id));
    let quiet = world.store.read(|view| view.find_remote(&project())).await.unwrap().unwrap().quiet_until;
    assert_eq!(quiet, Some(at(10)));
    failed(&world, 10, &third, "two", None).await;
    let fourth = open(&world).await.remove(0);
    assert_eq!((fourth.memory.tries, fourth.memory.next_at), (2, None));
    failed(&world, 11, &fourth, "three", None).await;

    set_state(&world, 7, closed()).await;
    let world = world.reopen();
    let fifth = open(&world).await.remove(0);
    told(&world, 12, &fifth, ("gone", true), 345).await;
    assert_eq!(numbers(&world).await, NONE, "nothing can follow");
    let last = world.store.read(|view| view.find_last_comment(&project())).await.unwrap().unwrap();
    assert_eq!((last.id, last.reason), (Some(CommentId(345)), None));
    put(&world, 7, 'c').await;
    assert_eq!(open(&world).await[0].id, Some(CommentId(345)), "opened again it has the same one");
    let sent = "forge of dropit told in a comment on pull request 7";
    let not_sent = "forge of dropit not told in a comment on pull request 7: no";
    assert_eq!(story(&world).await, [sent, not_sent, sent]);
}

#[tokio::test]
async fn one_that_is_opened_again_while_its_end_is_told_goes_on() {
    let world = World::new();
    set_remote(&world, GITHUB, false).await;
    put(&world, 7, 'a').await;
    set_state(&world, 7, closed()).await;
    let row = open(&world).await.remove(0);
    put(&world, 7, 'c').await;
    told(&world, 3, &row, ("gone", true), 345).await;
    assert_eq!(numbers(&world).await, [7]);
}

#[tokio::test]
async fn one_that_is_gone_loses_its_number() {
    let world = World::new();
    set_remote(&world, GITHUB, false).await;
    put(&world, 7, 'a').await;
    told(&world, 2, &open(&world).await[0], ("one", false), 345).await;
    let row = open(&world).await.remove(0);
    world
        .write(3, move |tx| {
            let failure =
                TellingFailure { reason: "gone".to_owned(), next_at: Some(at(8)), quiet_until: None };
            tx.comment_failed(&row, &CommentSaying::of("two", false), true, failure)
        })
        .await;
    let row = open(&world).await.remove(0);
    assert_eq!((row.id, row.memory.tries), (None, 1));
}

#[tokio::test]
async fn rows_go_with_their_previews() {
    let world = World::new();
    set_remote(&world, GITHUB, false).await;
    let kept = u64::from(havre_store::preview::PREVIEWS_KEPT);
    for pull in 1..=kept + 1 {
        let one = Preview { pushed_at: at(i64::try_from(pull).unwrap()), ..preview(pull, 'a') };
        world.write(1, move |tx| tx.put_preview(&one)).await;
        set_state(&world, pull, closed()).await;
    }
    let first = world.store.read(|view| view.find_comment(&project(), number(1))).await.unwrap();
    assert_eq!(first, None);
    assert_eq!(numbers(&world).await.len(), usize::try_from(kept).unwrap());
}
