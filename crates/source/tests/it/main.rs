//! Tests of the source seam: one contract for the fake and for git, and what only git can show.
//!
//! They need the system's `git` and fail without one. Each makes its repositories in a temporary folder of its own.

mod contract;
mod fake_world;
mod git;
mod git_push;
mod git_repack;
mod git_world;
mod world;

macro_rules! contract {
    ($($test:ident)*) => {
        mod on_fake {
            $(#[tokio::test]
            async fn $test() {
                super::contract::$test(super::fake_world::FakeWorld::default()).await;
            })*
        }

        mod on_git {
            $(#[tokio::test]
            async fn $test() {
                super::contract::$test(super::git_world::GitWorld::start()).await;
            })*
        }
    };
}

contract! {
    repositories_come_and_go
    repositories_are_measured
    packing_anew_changes_nothing_that_is_seen
    branches_and_tags_lead_to_commits
    commits_are_described
    trees_are_listed
    what_is_missing_is_named
    blobs_are_read
    contexts_are_packed
    files_of_this_machine_are_packed_in_place_of_pointers
    links_out_of_a_context_are_refused
    packing_ends_when_nobody_listens
    changes_are_listed
    clients_are_told_what_there_is
    a_push_moves_refs
    the_answer_does_not_wait_for_the_end_of_the_request
    a_push_is_checked_first
    protected_branches_are_neither_removed_nor_rewritten
    a_probe_and_what_is_no_push
}
