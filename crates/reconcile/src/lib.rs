//! One loop per room: observe, plan, check, record, execute. Chooses nothing itself; every decision is in
//! `havre_core`.
//!
//! A crate of its own because it enforces a ban: it sees neither `web` nor the edge; it meets them only in the store.

pub mod build;
pub mod certificate;
pub mod clock;
pub mod database;
pub mod deployment;
pub mod execute;
pub mod forge;
pub mod image;
pub mod job;
pub mod lfs;
pub mod observe;
pub mod pipeline;
pub mod provider;
pub mod public;
pub mod purge;
pub mod registry;
pub mod repositories;
pub mod route;
pub mod runner;
pub mod service;
pub mod site;
pub mod task_log;
pub mod tunnel;
pub mod variable;
pub mod world;

mod prepare;
mod preview;
