//! The HTTP API: reads rows and events, writes desired state. It never makes anything true: loops do.
//!
//! A crate of its own because it enforces a ban: nothing here sees an engine, a builder or a loop. The routers
//! are in [`api`], who may do what in [`access`], the page of status codes in [`error`]. One file per endpoint.

pub mod access;
pub mod api;
pub mod backup;
pub mod build;
pub mod certificate;
pub mod copy;
pub mod database;
pub mod deployment;
pub mod dns_provider;
pub mod edge;
pub mod environment;
pub mod error;
pub mod event;
pub mod git;
pub mod issuer;
pub mod job;
pub mod node;
pub mod pipeline;
pub mod preview;
pub mod project;
pub mod registry;
pub mod release;
pub mod remote;
pub mod repository;
pub mod restore;
pub mod secret;
pub mod serve;
pub mod service;
pub mod ssh_key;
pub mod state;
pub mod swap;
pub mod task;
pub mod tunnel;
pub mod webhook;

mod extract;
mod lines;
mod lookup;
mod transaction;

pub use api::{edge_api, local_api, openapi, public_api, ssh_api};
pub use state::{AppState, Limits, NodeView, Wiring};
