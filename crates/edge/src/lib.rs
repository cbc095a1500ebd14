//! The edge: takes requests from users and brings them to tasks or site files. It obeys the route table that
//! control derives and lives on its last accepted one; it decides nothing, opens no store, talks to no engine.
//!
//! A crate of its own because it enforces a ban: what faces the internet sees neither the store nor the engine.
//!
//! Threads: one per worker (`worker`, the data path), one for probes (`probe`), one for control and metrics
//! (`control`, `metrics`). They meet in [`Shared`] only. A soft stop is a `tokio::sync::watch::Receiver<bool>` that
//! turns true, or whose sender is gone. Tests: `tests/it/main.rs` and at the end of files.

pub mod account;
pub mod balance;
pub mod certificate;
mod client;
pub mod config;
pub mod control;
mod door;
mod durable;
pub mod h2;
pub mod listen;
pub mod metrics;
mod notify;
mod pace;
mod pool;
pub mod probe;
mod proxy;
pub mod role;
mod shared;
pub mod site;
mod started;
mod stream;
mod succession;
pub mod syscall;
pub mod table;
pub mod tls;
pub mod upstream;
pub mod worker;

pub use shared::Shared;
