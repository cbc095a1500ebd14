//! Takes an uploaded context in: streamed to a file beside its final place, verified, fsynced, renamed.
//! A writer that is dropped before [`ContextWriter::finish`] leaves nothing. Does not unpack anything and does not
//! speak HTTP. Tests in `tests/it/context.rs`.

mod verify;

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use havre_core::id::BuildId;
use havre_core::quantity::ByteSize;
use tokio::fs::{File, OpenOptions};
use tokio::io::AsyncWriteExt as _;

use crate::builder::BuildError;
pub(crate) use verify::contains_file;
pub use verify::read_text;

/// Most entries of a context.
pub const ENTRIES_MAX: usize = 200_000;
/// Most links in a context.
pub const LINKS_MAX: usize = 20_000;

const TEMPORARY: &str = ".upload-";

/// Where the context of a build lies once it was taken in.
pub fn context_path(dir: &Path, id: BuildId) -> PathBuf {
    dir.join(format!("{id}.tar"))
}

/// Removes what interrupted uploads left in `dir`. Call it at start, before the first upload.
///
/// # Errors
/// [`BuildError::Failed`] when the folder cannot be read or a file not removed.
pub fn remove_leftovers(dir: &Path) -> Result<(), BuildError> {
    let failed = |error| BuildError::failed("remove uploads that were never finished", error);
    for entry in std::fs::read_dir(dir).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        if entry.file_name().as_encoded_bytes().starts_with(TEMPORARY.as_bytes()) {
            std::fs::remove_file(entry.path()).map_err(failed)?;
        }
    }
    Ok(())
}

/// One upload at work.
#[derive(Debug)]
pub struct ContextWriter {
    file: File,
    upload: Upload,
    target: PathBuf,
    limit: u64,
    written: u64,
}

/// Removes the temporary file unless it was renamed.
#[derive(Debug)]
struct Upload(Option<PathBuf>);

impl Drop for Upload {
    fn drop(&mut self) {
        if let Some(path) = self.0.take()
            && let Err(error) = std::fs::remove_file(&path)
            && error.kind() != ErrorKind::NotFound
        {
            tracing::warn!(path = %path.display(), %error, "could not remove an unfinished upload");
        }
    }
}

impl ContextWriter {
    /// Starts the upload of the context of `id`, at most `limit` bytes of plain tar, into the folder `dir`.
    ///
    /// # Errors
    /// [`BuildError::NoSpace`], or [`BuildError::Failed`] when the file cannot be made, for example because the
    /// same upload is already at work.
    pub async fn create(dir: &Path, id: BuildId, limit: ByteSize) -> Result<Self, BuildError> {
        let path = dir.join(format!("{TEMPORARY}{id}"));
        // Sources may hold secrets: nobody else reads them.
        let file = OpenOptions::new().write(true).read(true).create_new(true).mode(0o600).open(&path).await;
        let file = file.map_err(|error| BuildError::failed(format!("start the upload of {id}"), error))?;
        Ok(Self {
            file,
            upload: Upload(Some(path)),
            target: context_path(dir, id),
            limit: limit.as_bytes(),
            written: 0,
        })
    }

    /// Appends the next bytes.
    ///
    /// # Errors
    /// [`BuildError::TooLarge`] past the limit, [`BuildError::NoSpace`] on a full disk. Drop the writer then.
    pub async fn write(&mut self, chunk: &[u8]) -> Result<(), BuildError> {
        self.written = self.written.saturating_add(chunk.len() as u64);
        if self.written > self.limit {
            return Err(BuildError::TooLarge {
                what: "the uploaded context".to_owned(),
                limit: ByteSize::bytes(self.limit).to_string(),
            });
        }
        self.file.write_all(chunk).await.map_err(|error| BuildError::failed("store the upload", error))
    }

    /// Verifies what was uploaded and gives it its name; answers that name.
    ///
    /// # Errors
    /// [`BuildError::ContextInvalid`] naming the entry, [`BuildError::TooLarge`] for too many entries, else as for
    /// [`ContextWriter::write`].
    pub async fn finish(mut self) -> Result<PathBuf, BuildError> {
        let failed = |error| BuildError::failed("store the upload", error);
        // Tokio's file reports a failed write with the next call only.
        self.file.flush().await.map_err(failed)?;
        let file = self.file.into_std().await;
        let (upload, target) = (self.upload, self.target);
        tokio::task::spawn_blocking(move || take_in(&file, upload, target))
            .await
            .map_err(|error| BuildError::failed("verify the upload", error))?
    }
}

fn take_in(file: &std::fs::File, mut upload: Upload, target: PathBuf) -> Result<PathBuf, BuildError> {
    let failed = |error| BuildError::failed("store the upload", error);
    verify::verify(file)?;
    file.sync_all().map_err(failed)?;
    if let Some(path) = upload.0.as_deref() {
        std::fs::rename(path, &target).map_err(failed)?;
    }
    upload.0 = None;
    sync_folder(target.parent().unwrap_or(Path::new("."))).map_err(failed)?;
    Ok(target)
}

/// Makes names in a folder survive a power cut.
pub(crate) fn sync_folder(dir: &Path) -> std::io::Result<()> {
    std::fs::File::open(dir)?.sync_all()
}
