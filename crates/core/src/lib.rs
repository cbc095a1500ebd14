//! Vocabulary of Havre: names, specifications, states, events, and what follows from one of them alone. Plans and laws are `decide`'s.
//!
//! A crate of its own because it enforces a ban: no I/O, no async, no clock, no randomness. Everything here
//! is a plain function of its arguments; `now` is one of them.

pub mod artifact;
pub mod backup;
pub mod build;
pub mod certificate;
pub mod copy;
pub mod database;
pub mod deployment;
pub mod dns;
pub mod event;
pub mod glob;
pub mod id;
pub mod image;
pub mod job;
pub mod name;
pub mod outward;
pub mod pipeline;
pub mod preview;
pub mod quantity;
pub mod registry;
pub mod release;
pub mod route;
pub mod secret;
pub mod service;
pub mod site;
pub mod source;
pub mod ssh_key;
pub mod suggest;
pub mod task;
mod text;
pub mod time;
