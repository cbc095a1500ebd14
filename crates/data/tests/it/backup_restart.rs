//! The restart matrix of backups: control is killed at every point where it waits for anything while it saves a database and itself. What it
//! left is marked, both are saved in the end, and nothing lies in the repository that no row stands for.

use havre_backup::Repository as _;
use havre_core::backup::state::{Failure, State};
use havre_data::backup;

use crate::backup::{later, prepare, repository, rounds, runs};
use crate::kill::{Killed, incarnation};
use crate::world::{Control, Outside};

/// Kills control after so many polls; `false` once it was done before that.
fn run(polls: usize) -> bool {
    let outside = Outside::new();
    incarnation(async || prepare(&outside.control()).await);
    let was_killed = incarnation(async || {
        let control = outside.control();
        let first = Killed { future: Box::pin(async { rounds(&control).await }), polls };
        first.await.is_none()
    });
    incarnation(async || {
        let control = outside.control();
        finish(&control, polls).await;
    });
    was_killed
}

async fn finish(control: &Control, polls: usize) {
    backup::activate(&control.world).await.unwrap();
    control.background().await;
    let context = format!("killed after {polls} polls");
    // Each of them is saved once more at least, with what is left of those before.
    for _ in 0..3 {
        later(control, 90_000).await;
    }
    let all = runs(control).await;
    let unfinished: Vec<_> = all.iter().filter(|run| !run.state.is_over()).collect();
    assert!(unfinished.is_empty(), "{context}: {unfinished:?}");
    for run in &all {
        if let State::Failed { reason, .. } = &run.state {
            assert_eq!(*reason, Failure::Interrupted, "{context}");
        }
    }
    let mut good: Vec<_> =
        all.iter().filter(|run| run.is_good()).filter_map(|run| run.snapshot.clone()).collect();
    good.sort();
    let listed = repository(control).await.list().await.unwrap();
    let mut there: Vec<_> = listed.into_iter().map(|snapshot| snapshot.id).collect();
    there.sort();
    assert_eq!(there, good, "{context}");
    assert!(good.len() >= 2, "{context}: {all:?}");
    assert_eq!(std::fs::read_dir(control.outside.path("backup")).unwrap().count(), 0, "{context}");
}

#[test]
fn a_first_backup() {
    let mut polls = 1;
    while run(polls) {
        polls += 1;
    }
    assert!(polls > 10, "only {polls} points were tried; the matrix does not cover it");
}
