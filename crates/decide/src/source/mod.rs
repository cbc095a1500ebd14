//! When a repository is packed anew is `repack`; which submodules a commit has, and where they come from, is `submodule`; what is fetched with
//! Git LFS, and from where, is `lfs`. Tests at the ends of the files.

pub mod lfs;
pub mod repack;
pub mod submodule;
