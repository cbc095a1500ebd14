//! When a repository is packed anew is `repack`; which submodules a commit has, and where they come from, is `submodule`; which keys the host of
//! a remote repository may show is `host_key`; what is fetched with Git LFS, and from where, is `lfs`. Tests at the ends of the files.

pub mod host_key;
pub mod lfs;
pub mod repack;
pub mod submodule;
