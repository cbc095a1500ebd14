//! The loops of data on the same world as all others: a temp-file store, fakes and a hand-driven clock.

#![expect(clippy::unwrap_used, reason = "in a test a panic is the report")]
#![expect(dead_code, reason = "the world is that of other loops as well")]

mod backup;
mod backup_restart;
mod copy;
mod copy_restart;
mod copy_transfer;
#[path = "../../../reconcile/tests/it/database.rs"]
mod database;
mod drill;
mod drill_to_a_second;
#[path = "../../../reconcile/tests/it/kill.rs"]
mod kill;
mod loops;
#[path = "../../../reconcile/tests/it/outward.rs"]
mod outward;
mod places;
mod rebuild;
mod recovery;
mod restore;
mod restore_redis;
mod swap;
mod volume;
mod wal;
#[path = "../../../reconcile/tests/it/world.rs"]
mod world;
