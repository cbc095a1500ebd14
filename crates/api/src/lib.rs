//! What crosses a process boundary: HTTP bodies, the route table, edge reports. Golden-tested JSON, no behaviour.
//!
//! A crate of its own because it enforces a ban: client and edge see these types and never the store or a seam.
//! Requests refuse unknown fields, so that a misspelt option is never silently ignored; answers do not, so that a
//! client may be older than its server. Golden JSON: `tests/it/main.rs`.

pub mod access;
pub mod backup;
pub mod build;
pub mod certificate;
pub mod copy;
pub mod database;
pub mod deployment;
pub mod edge_report;
pub mod environment;
pub mod error;
pub mod event;
pub mod frame;
pub mod job;
pub mod node;
pub mod pipeline;
pub mod preview;
pub mod project;
pub mod promotion;
pub mod registry;
pub mod release;
pub mod remote;
pub mod repository;
pub mod restore;
pub mod route_change;
pub mod route_table;
pub mod secret;
pub mod secret_provider;
pub mod service;
pub mod ssh_key;
pub mod swap;
pub mod task;
pub mod traffic;
pub mod tunnel;
pub mod volume;
pub mod webhook;

/// Media type of streamed answers: one JSON object on each line. An empty line keeps the connection alive and
/// means nothing.
pub const JSON_LINES: &str = "application/x-ndjson";
