//! Every decision of Havre: plans, what they rest on, and the laws no plan may break. The nouns they speak of are `core`'s; a room
//! here has the name of its noun there.
//!
//! A crate of its own because it enforces a ban: no I/O, no async, no clock, no randomness. Everything here is a plain
//! function of its arguments; `now` is one of them.

pub mod build;
pub mod certificate;
pub mod copy;
pub mod database;
pub mod deployment;
pub mod dns;
pub mod image;
pub mod job;
pub mod pipeline;
pub mod preview;
pub mod registry;
pub mod route;
pub mod secret;
pub mod service;
pub mod site;
pub mod source;
pub mod ssh_key;
pub mod swap;
pub mod tunnel;
