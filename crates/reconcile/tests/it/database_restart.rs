//! The restart matrix of a database: control is killed at every point where it waits for anything, while a database is made and then changed.
//! It ends ready, with one server, and two never ran on its volume.

use havre_core::quantity::Span;
use havre_engine::fake::script::{Program, Script};
use havre_reconcile::database;
use serde_json::json;

use crate::database::{add_postgres, apply, row, tasks};
use crate::kill::{Killed, incarnation};
use crate::world::{Control, Outside};

fn prepare() -> Outside {
    let outside = Outside::new();
    let programs = vec![("pg_isready".to_owned(), Program::prints("", 0))];
    add_postgres(&outside, Script { programs, ..Script::runs() });
    outside
}

/// Makes it, then changes it, and goes on until it is ready as changed.
async fn finish(control: &Control) {
    let id = apply(control, json!({})).await;
    let mut is_changed = row(control, id).await.revision > 1;
    for _ in 0..80 {
        // The first may only ask the server; the second acts on what it said, before that is too old.
        for _ in 0..2 {
            database::activate(&control.world).await.unwrap();
            control.background().await;
        }
        let found = row(control, id).await;
        if found.state.is_ready() && found.started_revision == found.revision {
            if is_changed && found.revision == 2 {
                return;
            }
            apply(control, json!({"memory": "1GB"})).await;
            is_changed = true;
        }
        control.outside.clock.advance(Span::seconds(1).duration());
    }
    panic!(
        "it does not become ready: {:?}; engine: {:?}",
        row(control, id).await,
        control.outside.engine.done()
    );
}

/// Kills control after so many polls; `false` once it was done before that.
fn run(polls: usize) -> bool {
    let outside = prepare();
    let was_killed = incarnation(async || {
        let control = outside.control();
        let finish = Killed { future: Box::pin(async { finish(&control).await }), polls };
        finish.await.is_none()
    });
    incarnation(async || {
        let control = outside.control();
        // What is asked for first is what was asked for: nothing is changed back.
        let known = control.world.store.read(|view| view.list_databases()).await.unwrap();
        if known.first().is_none_or(|known| known.revision == 1) {
            finish(&control).await;
        } else {
            settle(&control).await;
        }
        let found = control.world.store.read(|view| view.list_databases()).await.unwrap().remove(0);
        assert_eq!(found.started_revision, 2, "killed after {polls} polls: {found:?}");
        assert_eq!(tasks(&outside).await.len(), 1, "killed after {polls} polls");
        assert!(outside.engine.volume_overlaps().is_empty(), "killed after {polls} polls");
    });
    was_killed
}

/// Goes on until it is ready as it is wanted.
async fn settle(control: &Control) {
    for _ in 0..80 {
        // The first may only ask the server; the second acts on what it said, before that is too old.
        for _ in 0..2 {
            database::activate(&control.world).await.unwrap();
            control.background().await;
        }
        let found = control.world.store.read(|view| view.list_databases()).await.unwrap().remove(0);
        if found.state.is_ready() && found.started_revision == found.revision {
            return;
        }
        control.outside.clock.advance(Span::seconds(1).duration());
    }
    panic!("it does not become ready; engine: {:?}", control.outside.engine.done());
}

#[test]
fn one_that_is_made_and_changed() {
    let mut polls = 1;
    while run(polls) {
        polls += 1;
    }
    assert!(polls > 15, "only {polls} points were tried; the matrix does not cover it");
}
