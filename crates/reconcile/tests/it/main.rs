//! The loops on a temp-file store, fakes and a hand-driven clock; and the restart matrix.

#![expect(clippy::unwrap_used, reason = "in a test a panic is the report")]

mod build;
mod certificate;
mod database;
mod database_loop;
mod database_restart;
mod deploy;
mod failure;
mod fetch;
mod forge;
mod forge_comment;
mod forge_http;
mod image;
mod job;
mod job_restart;
mod kill;
mod lfs;
mod lfs_http;
mod lfs_kept;
mod lfs_server;
mod loops;
mod outward;
mod pipeline;
mod pipeline_paths;
mod pipeline_test;
mod preview;
mod promotion;
mod provider;
mod public;
mod public_tls;
mod purge;
mod purge_http;
mod registry;
mod registry_http;
mod repack;
mod restart;
mod runner;
mod secret;
mod site;
mod submodule;
mod switch;
mod test_database;
mod tunnel;
mod world;
