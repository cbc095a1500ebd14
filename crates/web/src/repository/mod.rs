//! The repository of a project: what is in it, and which branches are protected. What is pushed goes through [`crate::git`].

pub mod get;
pub mod protect;
