//! Tests of the seam to repositories: one contract for the fake, and for the real one in a folder, in a bucket and on another machine; what
//! only the real ones can show, when they are damaged, full or gone, or when a storage fails; and what stock restic says about what we wrote.
//!
//! Each makes its repository in a temporary folder, or in a bucket of a storage in memory, of its own. Those of `stock_restic` need
//! Debian's `restic`, those of `s3_server` and `on_s3_server` SeaweedFS, those of `sftp` and `on_sftp` an sshd; they fail without it.

mod bucket_failures;
mod bucket_sabotage;
mod bucket_tls;
mod bucket_world;
mod contract;
mod cutting_proxy;
mod fake_world;
mod folder_world;
mod memory_storage;
mod s3_server;
mod sabotage;
mod sftp_failures;
mod sftp_sabotage;
mod sftp_server;
mod sftp_world;
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

        mod on_bucket {
            $(#[tokio::test]
            async fn $test() {
                super::contract::$test(super::bucket_world::BucketWorld::in_memory()).await;
            })*
        }

        mod on_sftp {
            $(#[tokio::test]
            async fn $test() {
                super::contract::$test(super::sftp_world::SftpWorld::start().await).await;
            })*
        }

        /// One server for all of them: it takes seconds to start.
        mod on_s3_server {
            #[tokio::test]
            async fn every_promise() {
                let server = super::s3_server::S3Server::start().await;
                $(super::contract::$test(server.world(stringify!($test))).await;)*
            }
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
