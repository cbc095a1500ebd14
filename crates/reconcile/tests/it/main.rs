//! The loops on a temp-file store, fakes and a hand-driven clock; and the restart matrix.

#![expect(clippy::unwrap_used, reason = "in a test a panic is the report")]

mod backup;
mod backup_restart;
mod build;
mod certificate;
mod copy;
mod copy_restart;
mod copy_transfer;
mod database;
mod database_restart;
mod deploy;
mod drill;
mod failure;
mod fetch;
mod forge;
mod forge_comment;
mod forge_http;
mod image;
mod job;
mod job_restart;
mod outward;
mod pipeline;
mod pipeline_paths;
mod pipeline_test;
mod preview;
mod promotion;
mod public;
mod public_tls;
mod purge;
mod purge_http;
mod recovery;
mod registry;
mod registry_http;
mod repack;
mod restart;
mod restore;
mod runner;
mod secret;
mod site;
mod submodule;
mod switch;
mod test_database;
mod wal;
mod world;
