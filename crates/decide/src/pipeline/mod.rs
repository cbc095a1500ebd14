//! `plan` carries a pipeline from its commit to what users get; `paths` says which services a commit concerns. Tests at the ends of the
//! files.

pub mod paths;
pub mod plan;
