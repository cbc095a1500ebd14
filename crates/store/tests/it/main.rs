//! The store's laws on temporary files, one file per room.

#![expect(clippy::unwrap_used, reason = "a test ends at the first surprise")]

mod backup;
mod backup_promise;
mod build;
mod build_secret;
mod certificate;
mod comment;
mod copy;
mod crash;
mod database;
mod deploy_key;
mod deployment;
mod drill;
mod edge;
mod environment;
mod event;
mod forge;
mod image;
mod issuer;
mod job;
mod open;
mod pipeline;
mod preview;
mod provider;
mod purge;
mod registry;
mod release;
mod remote;
mod repository;
mod restore;
mod route;
mod seal;
mod secret;
mod service;
mod site;
mod ssh_key;
mod swap;
mod task;
mod test_network;
mod token;
mod tunnel;
mod waiting;
mod wal;
mod webhook;
mod world;
