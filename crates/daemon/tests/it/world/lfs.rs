//! The client of Git LFS, as `script/lib/servers.sh` unpacks it or as it is installed.

use std::path::PathBuf;

/// The folder of `git-lfs`, for the start of a `PATH`.
pub(crate) fn programs() -> PathBuf {
    let from = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let cache = || from("XDG_CACHE_HOME").unwrap_or_else(|| from("HOME").unwrap_or_default().join(".cache"));
    let folder = from("HAVRE_SERVERS_DIR").unwrap_or_else(|| cache().join("havre/servers"));
    let folders = [folder.join("git-lfs/usr/bin"), PathBuf::from("/usr/bin")];
    let found = folders.into_iter().find(|folder| folder.join("git-lfs").exists());
    found.expect("git-lfs is missing: run script/e2e once, which puts it on this machine")
}
