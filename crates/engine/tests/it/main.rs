//! Tests of the engine seam: one contract for the fake and for Docker, and what only Docker can show.
//!
//! The Docker tests need a Docker daemon on `/var/run/docker.sock` (or `DOCKER_HOST=unix://...`) and fail without one. They
//! make their own image from `havre-test/tiny:1`, which `script/test` makes, use addresses of 10.231.0.0/16, and remove
//! what they made.

mod contract;
mod docker;
mod docker_world;
mod fake;
mod fake_world;
mod pretend;
mod world;

use std::panic::AssertUnwindSafe;

use futures_util::FutureExt;

use crate::docker_world::DockerWorld;
use crate::fake_world::FakeWorld;
use crate::world::World;

/// Runs one test in a world of its own and removes that world, also when the test fails.
async fn in_world<W: World>(test: impl AsyncFnOnce(&W)) {
    let world = W::start().await;
    let result = AssertUnwindSafe(test(&world)).catch_unwind().await;
    world.clean().await;
    if let Err(panic) = result {
        std::panic::resume_unwind(panic);
    }
}

macro_rules! contract {
    ($($test:ident)*) => {
        mod on_fake {
            $(#[tokio::test]
            async fn $test() {
                super::in_world(super::contract::$test::<super::FakeWorld>).await;
            })*
        }

        mod on_docker {
            $(#[tokio::test]
            async fn $test() {
                super::in_world(super::contract::$test::<super::DockerWorld>).await;
            })*
        }
    };
}

contract! {
    ensuring_twice_makes_one
    an_interrupted_ensure_is_finished
    stopping_and_removing_twice_is_fine
    an_exit_code_is_kept_and_nothing_restarts
    the_stop_signal_is_honoured
    a_task_that_ignores_the_signal_is_killed
    memory_over_the_limit_is_told
    foreign_containers_are_left_alone
    other_installations_are_foreign
    foreign_networks_and_volumes_are_left_alone
    networks_are_checked
    volumes_belong_to_one_service
    what_is_missing_is_named
    a_drill_meets_no_network_at_all
    a_test_meets_no_network_of_ours
    a_test_with_databases_meets_them_on_a_network_of_its_own
    a_name_taken_by_another_task_is_a_conflict
    the_address_given_is_the_address_got
    an_address_in_use_is_told
    logs_are_in_order_and_selected
    following_logs_ends_with_the_task
    a_long_line_is_cut
    a_command_runs_inside_a_task
    a_command_needs_a_running_task
    events_are_seen
    only_built_images_are_listed_and_removed
    an_unknown_image_is_not_found
    files_of_a_volume_come_back
    a_tar_that_breaks_off_is_told
    a_reading_that_is_given_up_holds_nothing
    only_volumes_of_ours_are_read
    a_paused_task_goes_on
}
