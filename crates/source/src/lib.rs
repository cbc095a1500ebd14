//! The seam to where source comes from: repositories served here, trees and contexts of commits.
//!
//! A crate of its own because it isolates the system's `git`, the only program it runs. [`source`] is the trait, [`git`] the real
//! one, [`fake`] the one of tests; [`pkt`], [`push`], [`tail`], [`tree`] and [`context`] are pure. It decides neither what is
//! built nor who may push, and speaks no HTTP. Tests: `tests/it/contract.rs`, one suite for both sources.

mod archive;
pub mod context;
pub mod error;
pub mod fake;
pub mod git;
pub mod pkt;
pub mod push;
pub mod source;
pub mod tail;
pub mod tree;

pub use context::{LocalFile, PackPlan, PackSummary, plan_context};
pub use error::SourceError;
pub use source::{Commit, Remote, Source, SshAccess};
pub use tree::Tree;
