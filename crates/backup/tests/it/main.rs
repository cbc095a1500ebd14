//! Tests of the seam to repositories: one contract for the fake and for the real one in a folder; what only the real one can show, when
//! it is damaged, full or gone; and what stock restic says about what we wrote.
//!
//! Each makes its repository in a temporary folder of its own. Those of `stock_restic` need Debian's `restic` and fail without it.

mod contract;
mod fake_world;
mod folder_world;
mod sabotage;
mod stock_restic;
mod world;

macro_rules! contract {
    ($($test:ident)*) => {
        mod on_fake {
            $(#[tokio::test]
            async fn $test() {
                super::contract::$test(super::fake_world::FakeWorld::default()).await;
            })*
        }

        mod on_folder {
            $(#[tokio::test]
            async fn $test() {
                super::contract::$test(super::folder_world::FolderWorld::start()).await;
            })*
        }
    };
}

contract! {
    it_is_made_once
    nothing_makes_it_by_itself
    the_password_is_asked
    what_goes_in_comes_out
    a_source_that_breaks_leaves_nothing
    a_producer_that_fails_leaves_nothing
    no_bytes_are_no_backup
    cancelling_leaves_nothing
    a_dropped_run_leaves_nothing
    the_same_again_is_not_stored_twice
    snapshots_are_forgotten
    what_nobody_needs_goes_in_two_steps
}
