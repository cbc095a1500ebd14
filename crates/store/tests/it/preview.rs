//! Previews of pull requests: of each the newest wish counts, states are compared and set, and what is over is forgotten in the end.

use havre_core::name::ProjectName;
use havre_core::pipeline::push::Verdict;
use havre_core::preview::{CloseReason, Preview, PullNumber, State, TTL, Wish};
use havre_core::source::{CommitId, HeadAt};
use havre_store::StoreError;

use crate::world::{World, at};

fn project() -> ProjectName {
    "dropit".parse().unwrap()
}

fn number(number: u64) -> PullNumber {
    PullNumber::try_from(number).unwrap()
}

fn commit(digit: char) -> CommitId {
    digit.to_string().repeat(40).parse().unwrap()
}

fn wish(pull: u64, head: Option<char>) -> Wish {
    Wish {
        project: project(),
        number: number(pull),
        head: head.map(commit),
        branch: "feature/x".parse().unwrap(),
        base: "main".parse().unwrap(),
        at: HeadAt::Pull,
        is_fork: pull == 8,
    }
}

fn preview(pull: u64, head: char) -> Preview {
    Preview {
        project: project(),
        number: number(pull),
        commit: commit(head),
        branch: "feature/x".parse().unwrap(),
        base: "main".parse().unwrap(),
        base_commit: commit('b'),
        is_fork: false,
        state: State::Open { since: at(1) },
        pushed_at: at(1),
        ttl: TTL,
    }
}

async fn open_wishes(world: &World) -> Vec<(u64, u32)> {
    let rows = world.store.read(|view| view.list_preview_wishes()).await.unwrap();
    rows.into_iter().map(|row| (row.wish.number.into(), row.tries)).collect()
}

#[tokio::test]
async fn of_each_pull_request_the_newest_wish_counts() {
    let world = World::new();
    world.write(1, |tx| tx.request_preview(&wish(7, Some('a')))).await;
    world.write(2, |tx| tx.request_preview(&wish(8, None))).await;
    let world = world.reopen();
    let rows = world.store.read(|view| view.list_preview_wishes()).await.unwrap();
    assert_eq!([&rows[0].wish, &rows[1].wish], [&wish(7, Some('a')), &wish(8, None)]);
    let old = rows[0].clone();
    let failed = old.clone();
    world.write(3, move |tx| tx.preview_wish_failed(&failed, at(9))).await;
    assert_eq!(open_wishes(&world).await, [(8, 0), (7, 1)]);

    world.write(4, |tx| tx.request_preview(&wish(7, Some('c')))).await;
    let late = old.clone();
    world
        .write(5, move |tx| {
            assert!(!tx.is_open_wish(&late)?);
            tx.judge_preview_wish(&late, &Verdict::Ignored { reason: "too late".to_owned() })
        })
        .await;
    assert_eq!(open_wishes(&world).await, [(8, 0), (7, 0)]);
    let new = world.store.read(|view| view.find_preview_wish(&project(), number(7))).await.unwrap().unwrap();
    let verdict = Verdict::Ignored { reason: "not today".to_owned() };
    let decided = verdict.clone();
    world.write(6, move |tx| tx.judge_preview_wish(&new, &decided)).await;
    assert_eq!(open_wishes(&world).await, [(8, 0)]);
    let row = world.store.read(|view| view.find_preview_wish(&project(), number(7))).await.unwrap().unwrap();
    assert_eq!(row.verdict, Some(verdict));
    world.write(7, |tx| tx.forget_preview_wish(&project(), number(8))).await;
    assert_eq!(open_wishes(&world).await, []);
    assert_eq!(world.story().await, ["dropit: pull request 7: not today"]);
}

#[tokio::test]
async fn states_are_compared_and_set() {
    let world = World::new();
    world.write(1, |tx| tx.put_preview(&preview(7, 'a'))).await;
    world.write(2, |tx| tx.put_preview(&preview(7, 'a'))).await;
    world.write(3, |tx| tx.put_preview(&preview(7, 'c'))).await;
    let closing = State::Closing { since: at(4), reason: CloseReason::Ended };
    let to = closing.clone();
    world.write(4, move |tx| tx.set_preview_state(&preview(7, 'c'), to)).await;
    let to = closing.clone();
    let error = world.try_write(5, move |tx| tx.set_preview_state(&preview(7, 'c'), to)).await;
    assert!(matches!(error, Err(StoreError::Conflict { .. })), "{error:?}");
    let to = closing.clone();
    let error = world.try_write(5, move |tx| tx.set_preview_state(&preview(9, 'c'), to)).await;
    assert!(matches!(error, Err(StoreError::NotFound { .. })), "{error:?}");
    let lasting = world.store.read(|view| view.list_lasting_previews()).await.unwrap();
    let goes = Preview { state: closing, ..preview(7, 'c') };
    assert_eq!(lasting, std::slice::from_ref(&goes));
    let closed = State::Closed { at: at(6), reason: CloseReason::Ended };
    let to = closed.clone();
    world.write(6, move |tx| tx.set_preview_state(&goes, to)).await;
    assert_eq!(world.store.read(|view| view.list_lasting_previews()).await.unwrap(), []);
    let listed = world.store.read(|view| view.list_previews(&project())).await.unwrap();
    assert_eq!(listed, [Preview { state: closed, ..preview(7, 'c') }]);
    assert_eq!(
        world.story().await,
        [
            "preview of pull request 7 of dropit is open",
            "preview of pull request 7 of dropit is made of aaaaaaaaaaaa",
            "preview of pull request 7 of dropit is made of cccccccccccc",
            "preview of pull request 7 of dropit is closing: the pull request was closed",
            "preview of pull request 7 of dropit is closed: the pull request was closed",
        ]
    );
}

#[tokio::test]
async fn old_ones_are_forgotten() {
    let world = World::new();
    for pull in 1..=103_u64 {
        let seconds = i64::try_from(pull).unwrap();
        world
            .write(seconds, move |tx| {
                let row = Preview { pushed_at: at(seconds), ..preview(pull, 'a') };
                tx.put_preview(&row)?;
                let to = State::Closed { at: at(seconds), reason: CloseReason::Ended };
                tx.set_preview_state(&row, to)
            })
            .await;
    }
    let kept = world.store.read(|view| view.list_previews(&project())).await.unwrap();
    let numbers: Vec<u64> = kept.iter().map(|row| row.number.into()).collect();
    assert_eq!((numbers.len(), numbers[0], numbers[99]), (100, 103, 4));
}
