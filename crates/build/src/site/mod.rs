//! Publishes folders of finished files: unpacked safely into a temporary folder, named by digest, fsynced, renamed.
//! Who serves them is the edge's business; which may be removed is decided elsewhere. Tests in `tests/it/site.rs`.
//!
//! The digest is SHA-256 over `havre-site-1\n` and, for each file in byte order of its path: length of the path
//! (8 bytes, little endian), path, length of the contents (the same), SHA-256 of the contents. Modes, owners, times
//! and empty folders are not in it, because a published site has none of its own.

mod unpack;

use std::fs;
use std::io::{ErrorKind, Read};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use havre_core::artifact::Digest;
use havre_core::id::BuildId;
use tokio_util::sync::CancellationToken;

use crate::builder::BuildError;
use crate::context::sync_folder;

/// Most files of a site.
pub const FILES_MAX: usize = 20_000;
/// Most bytes of a site, all files together.
pub const BYTES_MAX: u64 = 1024 * 1024 * 1024;

/// What every site must have.
const INDEX: &str = "index.html";
const TEMPORARY: &str = ".tmp-";

/// Limits of one site; the constants above outside of tests.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Most files.
    pub files: usize,
    /// Most bytes in all.
    pub bytes: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self { files: FILES_MAX, bytes: BYTES_MAX }
    }
}

/// The folder of published sites.
#[derive(Debug, Clone)]
pub struct Sites {
    dir: PathBuf,
    limits: Limits,
}

/// Removes a temporary folder unless it was renamed.
struct Temporary(Option<PathBuf>);

impl Drop for Temporary {
    fn drop(&mut self) {
        if let Some(path) = self.0.take()
            && let Err(error) = fs::remove_dir_all(&path)
            && error.kind() != ErrorKind::NotFound
        {
            tracing::warn!(path = %path.display(), %error, "could not remove an unfinished site");
        }
    }
}

impl Sites {
    /// Opens, or makes, the folder of sites and removes what interrupted builds left in it.
    ///
    /// # Errors
    /// [`BuildError::Failed`] or [`BuildError::NoSpace`] when the folder cannot be made or cleaned.
    pub fn open(dir: &Path, limits: Limits) -> Result<Self, BuildError> {
        let failed = |error| BuildError::failed(format!("open the sites folder {}", dir.display()), error);
        fs::create_dir_all(dir).map_err(failed)?;
        // The edge runs as another user.
        fs::set_permissions(dir, fs::Permissions::from_mode(0o755)).map_err(failed)?;
        for entry in fs::read_dir(dir).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            if entry.file_name().as_encoded_bytes().starts_with(TEMPORARY.as_bytes()) {
                fs::remove_dir_all(entry.path()).map_err(failed)?;
            }
        }
        Ok(Self { dir: dir.to_owned(), limits })
    }

    /// Where the files of a site lie.
    pub fn path(&self, digest: &Digest) -> PathBuf {
        self.dir.join(digest.hex())
    }

    /// Publishes the files of a tar stream, which must hold `index.html`. With `inside`, every entry must lie in the
    /// folder of that name at the root of the archive, which is left out of the paths. Blocking.
    ///
    /// A site that is there already is kept as it is. `cancel` is looked at between chunks.
    ///
    /// # Errors
    /// [`BuildError::OutputInvalid`], [`BuildError::OutputMissing`], [`BuildError::TooLarge`],
    /// [`BuildError::Cancelled`], [`BuildError::NoSpace`] or [`BuildError::Failed`]; nothing is left then.
    pub fn publish(
        &self,
        id: BuildId,
        tar: impl Read,
        inside: Option<&str>,
        cancel: &CancellationToken,
    ) -> Result<Digest, BuildError> {
        let failed = |error| BuildError::failed("publish the site", error);
        let path = self.dir.join(format!("{TEMPORARY}{id}"));
        fs::create_dir(&path).map_err(failed)?;
        let mut temporary = Temporary(Some(path.clone()));
        let files = unpack::unpack(tar, &path, inside, self.limits, cancel)?;
        if !files.contains_key(INDEX) {
            return Err(BuildError::OutputMissing { path: INDEX.to_owned() });
        }
        let digest = unpack::digest(&files);
        let target = self.path(&digest);
        if target.is_dir() {
            return Ok(digest);
        }
        unpack::seal(&path).map_err(failed)?;
        match fs::rename(&path, &target) {
            Ok(()) => temporary.0 = None,
            // Another build published the same files meanwhile.
            Err(error) if matches!(error.kind(), ErrorKind::DirectoryNotEmpty | ErrorKind::AlreadyExists) => {
            }
            Err(error) => return Err(failed(error)),
        }
        sync_folder(&self.dir).map_err(failed)?;
        Ok(digest)
    }
}
