//! When a repository is packed anew. Tests at the end of the file.

pub mod repack;
