//! Publishes folders of finished files: unpacked safely into a temporary folder, named by digest, fsynced, renamed. What
//! Havre makes of the files lies in a folder of its own beside them (`havre_site::document`).
//! Who serves them is the edge's business; which may be removed is decided in `core`. Tests in `tests/it/site.rs`.
//!
//! The digest is SHA-256 over `havre-site-1\n` and, for each file in byte order of its path: length of the path
//! (8 bytes, little endian), path, length of the contents (the same), SHA-256 of the contents. Modes, owners, times
//! and empty folders are not in it, because a published site has none of its own.

mod compress;
mod make;
mod unpack;

use std::fs;
use std::io::{self, ErrorKind, Read};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use havre_core::artifact::Digest;
use havre_core::id::BuildId;
use havre_site::document::made_folder;
use rustix::fs::{Timespec, Timestamps, UTIME_NOW, UTIME_OMIT, futimens};
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
    /// Held while a site is put in its place, found there, or taken away.
    places: Arc<Mutex<()>>,
}

/// A site on disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Published {
    /// Its name.
    pub digest: Digest,
    /// When it was last published, in the file system's own terms: only good to tell whether it was published again.
    pub mark: (i64, i64),
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
        let mut made = Vec::new();
        for entry in fs::read_dir(dir).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            let name = entry.file_name();
            if name.as_encoded_bytes().starts_with(TEMPORARY.as_bytes()) {
                fs::remove_dir_all(entry.path()).map_err(failed)?;
            } else if let Some(hex) = name.to_str().and_then(|name| name.strip_suffix(&made_folder(""))) {
                made.push((hex.to_owned(), entry.path()));
            }
        }
        // What was made of files that never got their place, or have lost it.
        for (_, path) in made.into_iter().filter(|(hex, _)| !dir.join(hex).is_dir()) {
            fs::remove_dir_all(path).map_err(failed)?;
        }
        Ok(Self { dir: dir.to_owned(), limits, places: Arc::default() })
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
        if self.find_again(&digest).map_err(failed)? {
            return Ok(digest);
        }
        let made = self.dir.join(format!("{TEMPORARY}{id}-made"));
        fs::create_dir(&made).map_err(failed)?;
        let mut temporary_made = Temporary(Some(made.clone()));
        make::make(&path, &made, &files, &self.made_folders().map_err(failed)?, cancel)?;
        unpack::seal(&made).map_err(failed)?;
        unpack::seal(&path).map_err(failed)?;
        let _places = self.places.lock().unwrap_or_else(PoisonError::into_inner);
        // What was made first: a site in its place is whole.
        put(&made, &self.dir.join(made_folder(digest.hex())), &mut temporary_made).map_err(failed)?;
        put(&path, &self.path(&digest), &mut temporary).map_err(failed)?;
        touch(&self.path(&digest)).map_err(failed)?;
        sync_folder(&self.dir).map_err(failed)?;
        Ok(digest)
    }

    /// Whether the site is whole in its place; then it counts as published just now.
    fn find_again(&self, digest: &Digest) -> io::Result<bool> {
        let _places = self.places.lock().unwrap_or_else(PoisonError::into_inner);
        let (site, made) = (self.path(digest), self.dir.join(made_folder(digest.hex())));
        if !site.is_dir() || !made.is_dir() {
            return Ok(false);
        }
        touch(&site)?;
        Ok(true)
    }

    /// Folders with what was made of other sites.
    fn made_folders(&self) -> io::Result<Vec<PathBuf>> {
        let mut found = Vec::new();
        for entry in fs::read_dir(&self.dir)? {
            let entry = entry?;
            let name = entry.file_name();
            if name.to_str().is_some_and(|name| !name.starts_with('.') && name.ends_with(&made_folder(""))) {
                found.push(entry.path());
            }
        }
        Ok(found)
    }

    /// Every published site. Blocking.
    ///
    /// # Errors
    /// When the folder cannot be read.
    pub fn list(&self) -> io::Result<Vec<Published>> {
        let mut found = Vec::new();
        for entry in fs::read_dir(&self.dir)? {
            let entry = entry?;
            let name = entry.file_name();
            let Some(digest) = name.to_str().and_then(|name| name.parse::<Digest>().ok()) else { continue };
            match mark(&entry.path()) {
                Ok(mark) => found.push(Published { digest, mark }),
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
        found.sort_by(|a, b| a.digest.cmp(&b.digest));
        Ok(found)
    }

    /// Removes a site unless it was published again since it was listed; whether it is gone. An edge that has it open
    /// goes on with what it has. Blocking.
    ///
    /// # Errors
    /// When it cannot be removed; trying again is fine.
    pub fn remove(&self, site: &Published) -> io::Result<bool> {
        let path = self.path(&site.digest);
        let away = self.dir.join(format!("{TEMPORARY}remove-{}", site.digest.hex()));
        {
            let _places = self.places.lock().unwrap_or_else(PoisonError::into_inner);
            match mark(&path) {
                Ok(mark) if mark == site.mark => fs::rename(&path, &away)?,
                Ok(_) => return Ok(false),
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
            remove_folder(&self.dir.join(made_folder(site.digest.hex())))?;
        }
        remove_folder(&away)?;
        Ok(true)
    }
}

/// Renames a finished folder into its place; one that is there already is as good.
fn put(from: &Path, to: &Path, temporary: &mut Temporary) -> io::Result<()> {
    match fs::rename(from, to) {
        Ok(()) => temporary.0 = None,
        Err(error) if matches!(error.kind(), ErrorKind::DirectoryNotEmpty | ErrorKind::AlreadyExists) => {}
        Err(error) => return Err(error),
    }
    Ok(())
}

fn remove_folder(path: &Path) -> io::Result<()> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Says that a site was published now, so that who listed it before does not remove it.
fn touch(site: &Path) -> io::Result<()> {
    let at = |tv_nsec| Timespec { tv_sec: 0, tv_nsec };
    let times = Timestamps { last_access: at(UTIME_OMIT), last_modification: at(UTIME_NOW) };
    Ok(futimens(fs::File::open(site)?, &times)?)
}

fn mark(site: &Path) -> io::Result<(i64, i64)> {
    let metadata = fs::metadata(site)?;
    Ok((metadata.mtime(), metadata.mtime_nsec()))
}
