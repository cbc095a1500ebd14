//! Locks of Git LFS: there are none, and the answer is the one that makes `git lfs` go on without them (git-lfs, "File Locking API"). Tests:
//! `tests/it/lfs.rs`.

use super::Told;
use crate::error::{Code, Refusal};

fn unsupported() -> Told {
    Refusal::new(Code::LocksUnsupported, "files are not locked on this server").into()
}

/// Locks, of which there are none.
#[utoipa::path(get, path = "/git/{repository}/info/lfs/locks", tag = "git", operation_id = "lfs_list_locks",
    params(("repository" = String, Path, example = "dropit.git")),
    responses((status = 501, content_type = "application/vnd.git-lfs+json", body = String)))]
pub(crate) async fn list() -> Told {
    unsupported()
}

/// Lock a file, which is not possible.
#[utoipa::path(post, path = "/git/{repository}/info/lfs/locks", tag = "git", operation_id = "lfs_lock",
    params(("repository" = String, Path, example = "dropit.git")),
    responses((status = 501, content_type = "application/vnd.git-lfs+json", body = String)))]
pub(crate) async fn create() -> Told {
    unsupported()
}

/// Whose locks a push would meet, of which there are none.
#[utoipa::path(post, path = "/git/{repository}/info/lfs/locks/verify", tag = "git", operation_id = "lfs_verify_locks",
    params(("repository" = String, Path, example = "dropit.git")),
    responses((status = 501, content_type = "application/vnd.git-lfs+json", body = String)))]
pub(crate) async fn verify() -> Told {
    unsupported()
}

/// Unlock a file, which is not possible.
#[utoipa::path(post, path = "/git/{repository}/info/lfs/locks/{lock}/unlock", tag = "git", operation_id = "lfs_unlock",
    params(("repository" = String, Path, example = "dropit.git"), ("lock" = String, Path)),
    responses((status = 501, content_type = "application/vnd.git-lfs+json", body = String)))]
pub(crate) async fn remove() -> Told {
    unsupported()
}
