//! The restart matrix of a copy: control is killed at every point where it waits for anything. The next one finishes it, and no original value
//! was sent to the target on the way.

use havre_data::copy;

use crate::copy::{DUMP, ask, databases, finish, masked, sent, servers};
use crate::database::add_postgres;
use crate::kill::{Killed, incarnation};
use crate::world::{Control, Outside};

/// Goes on until no copy is open.
async fn settle(control: &Control) {
    for _ in 0..60 {
        copy::activate(&control.world).await.unwrap();
        control.background().await;
        let open = control.world.store.read(|view| view.list_open_copies()).await.unwrap();
        let Some(open) = open.first() else { return };
        finish(control, open.id).await;
    }
    panic!("a copy stays open");
}

/// Kills control after so many polls; `false` once it was done before that.
fn run(polls: usize) -> bool {
    let outside = Outside::new();
    add_postgres(&outside, servers(DUMP, 0, 0));
    incarnation(async || {
        let control = outside.control();
        let both = databases(&control).await;
        ask(&control, both, masked()).await;
    });
    let was_killed = incarnation(async || {
        let control = outside.control();
        let settle = Killed { future: Box::pin(async { settle(&control).await }), polls };
        settle.await.is_none()
    });
    incarnation(async || {
        let control = outside.control();
        settle(&control).await;
        let found = control.world.store.read(|view| {
            let open = view.list_open_copies()?.len();
            let mut copies = Vec::new();
            for database in view.list_databases()? {
                copies.extend(view.list_copies(database.id)?);
            }
            Ok((open, copies))
        });
        let (open, copies) = found.await.unwrap();
        assert_eq!((open, copies.len()), (0, 1), "killed after {polls} polls");
        assert_eq!(copies[0].state.name(), "succeeded", "killed after {polls} polls: {:?}", copies[0].state);
        assert!(!sent(&outside, "havre_load").contains("dropit.example"), "killed after {polls} polls");
    });
    was_killed
}

#[test]
fn killed_anywhere_it_is_finished_by_the_next() {
    let mut polls = 0;
    while run(polls) {
        polls += 1;
        assert!(polls < 2000, "it never comes to its end");
    }
    assert!(polls > 10, "killed {polls} times");
}
