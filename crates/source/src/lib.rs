//! The seam to where source comes from: repositories served here, remote ones, trees and contexts of commits.
//!
//! A crate of its own because it isolates the system's `git`, the only program it runs.

mod archive;
pub mod context;
pub mod error;
pub mod git;
pub mod pkt;
pub mod push;
pub mod source;
pub mod tail;
pub mod tree;

pub use context::{PackPlan, PackSummary, plan_context};
pub use error::SourceError;
pub use source::{Commit, Remote, Source};
pub use tree::Tree;
