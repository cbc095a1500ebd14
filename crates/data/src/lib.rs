//! The loops of what must not be lost: backups, restores and drills, copies, swaps. As in `havre_reconcile`, nothing is chosen here; every
//! decision is in `havre_decide`.
//!
//! A crate of its own because it enforces a ban: the loops that keep services running know nothing of repositories and snapshots.

pub mod backup;
pub mod copy;
pub mod restore;
pub mod runner;
pub mod swap;
pub mod world;
