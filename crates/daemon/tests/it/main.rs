//! The promises, kept by the real programs: `havred` as control and edge on the real Docker daemon, driven over the
//! HTTP API, with users at work meanwhile. One file for each subject. `script/e2e` makes Docker and the image ready.
//! Files named `edge_…` look at the edge; most of them run it alone.

mod backup;
mod backup_sftp;
mod build_secret;
mod canary;
mod command;
mod copy;
mod crash;
mod database;
mod deploy;
mod deploy_key;
mod destroy;
mod edge_descriptors;
mod edge_hand_over;
mod edge_memory;
mod edge_top;
mod edge_upload;
mod failure;
mod fake_forge;
mod hook;
mod job;
mod mariadb;
mod point_in_time;
mod preview;
mod promote;
mod provider;
mod push;
mod push_ssh;
mod registry;
mod restore;
mod restore_redis;
mod rollback;
mod scale;
mod secret;
mod streams;
mod succession;
mod swap;
mod test_database;
mod test_stage;
mod tunnel;
mod volume;
mod world;
