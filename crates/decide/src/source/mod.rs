//! When a repository is packed anew is `repack`; which submodules a commit has, and where they come from, is `submodule`. Tests at the ends
//! of the files.

pub mod repack;
pub mod submodule;
