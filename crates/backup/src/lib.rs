//! The seam to backup repositories: takes a stream in, reads it back before it calls it stored, gives it out again.
//!
//! A crate of its own because it isolates heavy dependencies: `rustic_core`, which is named in `restic` and nowhere else, `rusty-s3`,
//! which is named in `bucket`, and `russh`, which is named in `sftp`. What is in there stays readable for stock restic. It decides nothing: when a run is good, which
//! snapshots stay and how many copies there are is `havre_core::backup`. Tests: `tests/it/contract.rs`, one suite for all
//! repositories; `tests/it/sabotage.rs`, `tests/it/bucket_*.rs`, `tests/it/sftp_*.rs`, `tests/it/stock_restic.rs`.

pub mod bucket;
mod dial;
pub mod dump;
pub mod error;
pub mod fake;
mod fault;
pub mod name;
pub mod repository;
pub mod restic;
pub mod sftp;
pub mod source;
pub mod tally;

pub use bucket::Bucket;
pub use dump::Dump;
pub use error::RepositoryError;
pub use repository::{Entry, Pruned, Repository, Snapshot, Stored};
pub use sftp::Sftp;
pub use source::{Source, Verdict};
pub use tally::Tally;
