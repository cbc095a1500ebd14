//! Repositories are packed anew once a day at most, after pushes only, and never while somebody pushes.

use havre_core::name::ProjectName;
use havre_core::quantity::Span;
use havre_core::source::BranchName;
use havre_reconcile::pipeline;
use havre_source::SourceError;
use havre_source::fake::FakeFile;

use crate::world::{Control, Outside};

const DAY: u64 = 24 * 60 * 60;

fn name(text: &str) -> ProjectName {
    text.parse().unwrap()
}

/// Pushes to a branch nobody follows, and control looks at it.
async fn push(outside: &Outside, control: &Control, project: &str) {
    let branch: BranchName = "work".parse().unwrap();
    outside.source.push(&name(project), &branch, &[("a", FakeFile::text("a"))]);
    pipeline::notice(&control.world).await.unwrap();
    pipeline::activate(&control.world).await.unwrap();
    control.background().await;
}

/// Time goes by, then one round to the end of what it has begun; every project that was packed so far.
async fn after(outside: &Outside, control: &Control, seconds: u64) -> Vec<String> {
    outside.clock.advance(Span::seconds(seconds).duration());
    pipeline::activate(&control.world).await.unwrap();
    control.background().await;
    outside.source.repacked().iter().map(ToString::to_string).collect()
}

#[tokio::test]
async fn once_a_day_after_pushes_and_one_at_a_time() {
    let outside = Outside::new();
    let control = outside.control();
    push(&outside, &control, "dropit").await;
    push(&outside, &control, "shop").await;
    assert_eq!(after(&outside, &control, 599).await, Vec::<String>::new());
    assert_eq!(after(&outside, &control, 1).await, ["dropit"]);
    assert_eq!(after(&outside, &control, 1).await, ["dropit", "shop"]);
    assert_eq!(after(&outside, &control, 2 * DAY).await, ["dropit", "shop"], "nothing was pushed since");
    push(&outside, &control, "shop").await;
    push(&outside, &control, "shop").await;
    assert_eq!(after(&outside, &control, 600).await, ["dropit", "shop", "shop"]);
    outside.clock.advance(Span::seconds(1).duration());
    push(&outside, &control, "shop").await;
    assert_eq!(after(&outside, &control, 3600).await.len(), 3, "the day is not over");
    assert_eq!(after(&outside, &control, DAY).await.len(), 4);
}

#[tokio::test]
async fn who_pushes_is_waited_for_and_what_fails_is_not_tried_all_day() {
    let outside = Outside::new();
    let control = outside.control();
    push(&outside, &control, "dropit").await;
    outside.source.set_busy(true);
    assert_eq!(after(&outside, &control, 600).await, Vec::<String>::new());
    outside.source.set_busy(false);
    assert_eq!(after(&outside, &control, 1).await, ["dropit"]);

    outside.clock.advance(Span::seconds(DAY).duration());
    push(&outside, &control, "dropit").await;
    outside.clock.advance(Span::seconds(600).duration());
    outside.source.fail_next(SourceError::NoSpace { what: "pack".to_owned() });
    assert_eq!(after(&outside, &control, 0).await, ["dropit"]);
    assert_eq!(after(&outside, &control, 3600).await, ["dropit"], "not again before the next push and day");
    push(&outside, &control, "dropit").await;
    assert_eq!(after(&outside, &control, DAY).await, ["dropit", "dropit"]);
}
