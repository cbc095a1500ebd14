//! Writes an uncompressed tar archive into a channel, piece by piece, the same bytes for the same plan. Contents come from
//! whoever calls: git's objects, or the fake's memory. Decides nothing about what goes in ([`crate::context`] does).
//! Tests at the end of the file.

use std::ffi::OsStr;
use std::io;
use std::mem;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use bytes::Bytes;
use havre_core::source::lfs::is_pointer;
use havre_core::time::Timestamp;
use tar::{Builder, EntryType, Header};
use tokio::io::AsyncReadExt as _;
use tokio::sync::mpsc;

use crate::context::{LFS_POINTERS_MAX, LocalFile, PackEntry, PackSummary, check_link};
use crate::error::{SourceError, show};

/// Bytes sent at once, about.
pub(crate) const CHUNK: usize = 64 * 1024;
/// Contents are padded to whole blocks.
const BLOCK: u64 = 512;

/// An archive on its way.
#[derive(Debug)]
pub(crate) struct Archive {
    output: mpsc::Sender<Bytes>,
    buffer: Vec<u8>,
    modified: u64,
    summary: PackSummary,
}

impl Archive {
    /// Every entry gets the time `modified`.
    pub(crate) fn new(output: mpsc::Sender<Bytes>, modified: Timestamp) -> Self {
        Self {
            output,
            buffer: Vec::with_capacity(CHUNK),
            modified: u64::try_from(modified.as_millis() / 1000).unwrap_or(0),
            summary: PackSummary::default(),
        }
    }

    /// Writes a folder.
    pub(crate) async fn folder(&mut self, entry: &PackEntry) -> Result<(), SourceError> {
        let mut header = self.header(entry.mode, EntryType::Directory, 0);
        let bytes = encode(entry, |builder| {
            builder.append_data(&mut header, format!("{}/", entry.path), io::empty())
        })?;
        self.summary.entries += 1;
        self.write(&bytes).await
    }

    /// Writes a link.
    ///
    /// # Errors
    /// [`SourceError::Refused`] when it leads out of the archive.
    pub(crate) async fn link(&mut self, entry: &PackEntry, target: &[u8]) -> Result<(), SourceError> {
        check_link(&entry.path, target)?;
        let mut header = self.header(entry.mode, EntryType::Symlink, 0);
        let bytes = encode(entry, |builder| {
            builder.append_link(&mut header, &entry.path, Path::new(OsStr::from_bytes(target)))
        })?;
        self.summary.entries += 1;
        self.write(&bytes).await
    }

    /// Writes a whole small file.
    pub(crate) async fn file(&mut self, entry: &PackEntry, content: &[u8]) -> Result<(), SourceError> {
        if is_pointer(content) && self.summary.lfs_pointers.len() < LFS_POINTERS_MAX {
            self.summary.lfs_pointers.push(entry.path.clone());
        }
        let size = content.len() as u64;
        self.begin_file(entry, size).await?;
        self.content(content).await?;
        self.end_file(size).await
    }

    /// Writes a file of this machine. Its content is what it is, also where that looks like a pointer.
    pub(crate) async fn local(&mut self, entry: &PackEntry, file: &LocalFile) -> Result<(), SourceError> {
        let what = format!("pack {}", show(entry.path.as_bytes()));
        let failed = |error| SourceError::failed(&what, error);
        let mut from = tokio::fs::File::open(&file.path).await.map_err(failed)?;
        self.begin_file(entry, file.size).await?;
        let (mut left, mut chunk) = (file.size, vec![0; CHUNK]);
        while left > 0 {
            let wanted = usize::try_from(left).unwrap_or(CHUNK).min(CHUNK);
            let count = from.read(&mut chunk[..wanted]).await.map_err(failed)?;
            if count == 0 {
                return Err(failed(io::ErrorKind::UnexpectedEof.into()));
            }
            self.content(&chunk[..count]).await?;
            left -= count as u64;
        }
        self.end_file(file.size).await
    }

    /// Writes what comes before a file of `size` bytes. Exactly so many are then given to [`Archive::content`], and the same
    /// number to [`Archive::end_file`].
    pub(crate) async fn begin_file(&mut self, entry: &PackEntry, size: u64) -> Result<(), SourceError> {
        let mut header = self.header(entry.mode, EntryType::Regular, size);
        let bytes = encode(entry, |builder| builder.append_data(&mut header, &entry.path, io::empty()))?;
        self.summary.entries += 1;
        self.write(&bytes).await
    }

    /// The next bytes of a file.
    pub(crate) async fn content(&mut self, bytes: &[u8]) -> Result<(), SourceError> {
        self.write(bytes).await
    }

    /// Pads the file to whole blocks.
    pub(crate) async fn end_file(&mut self, size: u64) -> Result<(), SourceError> {
        let rest = size.next_multiple_of(BLOCK) - size;
        self.write(&[0; BLOCK as usize][..rest as usize]).await
    }

    /// Ends the archive and hands the last bytes over.
    pub(crate) async fn finish(mut self) -> Result<PackSummary, SourceError> {
        self.write(&[0; 2 * BLOCK as usize]).await?;
        self.flush().await?;
        Ok(self.summary)
    }

    fn header(&self, mode: u32, kind: EntryType, size: u64) -> Header {
        let mut header = Header::new_gnu();
        header.set_entry_type(kind);
        header.set_mode(mode);
        header.set_mtime(self.modified);
        header.set_uid(0);
        header.set_gid(0);
        header.set_size(size);
        header
    }

    async fn write(&mut self, bytes: &[u8]) -> Result<(), SourceError> {
        self.summary.bytes += bytes.len() as u64;
        self.buffer.extend_from_slice(bytes);
        if self.buffer.len() >= CHUNK { self.flush().await } else { Ok(()) }
    }

    async fn flush(&mut self) -> Result<(), SourceError> {
        let chunk = mem::replace(&mut self.buffer, Vec::with_capacity(CHUNK));
        // Nobody listens any more: there is nothing left to do.
        self.output.send(chunk.into()).await.map_err(|_| SourceError::Cancelled)
    }
}

/// The bytes before the content: the header, and in front of it a long name in the form of GNU tar.
fn encode(
    entry: &PackEntry,
    append: impl FnOnce(&mut Builder<Vec<u8>>) -> io::Result<()>,
) -> Result<Vec<u8>, SourceError> {
    let mut builder = Builder::new(Vec::new());
    append(&mut builder)
        .map_err(|error| SourceError::failed(format!("pack {}", show(entry.path.as_bytes())), error))?;
    // Taken before the builder ends, which would end the archive.
    Ok(mem::take(builder.get_mut()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::context::PackKind;

    fn entry(path: &str, mode: u32) -> PackEntry {
        PackEntry { path: path.to_owned(), mode, kind: PackKind::Folder }
    }

    async fn collect(mut receiver: mpsc::Receiver<Bytes>) -> Vec<u8> {
        let mut all = Vec::new();
        while let Some(chunk) = receiver.recv().await {
            all.extend_from_slice(&chunk);
        }
        all
    }

    async fn write(mut archive: Archive, deep: &str) -> Result<PackSummary, SourceError> {
        archive.folder(&entry("src", 0o755)).await?;
        archive.file(&entry(deep, 0o755), &[b'x'; 1000]).await?;
        archive.file(&entry("empty", 0o644), b"").await?;
        archive.link(&entry("link", 0o777), b"src/../link").await.expect_err("leads out");
        archive.link(&entry("link", 0o777), "l".repeat(150).as_bytes()).await?;
        archive.file(&entry("-x", 0o644), b"version https://git-lfs.github.com/spec/v1\n").await?;
        archive.begin_file(&entry("big", 0o644), 200_000).await?;
        for _ in 0..10 {
            archive.content(&[b'y'; 20_000]).await?;
        }
        archive.end_file(200_000).await?;
        archive.finish().await
    }

    #[tokio::test]
    async fn the_archive_is_whole_and_the_same_again() {
        let deep = format!("src/{}/{}", "d".repeat(90), "f".repeat(90));
        let make = async || {
            let (sender, receiver) = mpsc::channel(2);
            let archive = Archive::new(sender, Timestamp::from_millis(1_700_000_000_999));
            let (summary, bytes) = tokio::join!(write(archive, &deep), collect(receiver));
            (summary.expect("is written"), bytes)
        };
        let (summary, bytes) = make().await;
        assert!(make().await.1 == bytes, "the same plan makes the same bytes");
        assert_eq!((summary.entries, summary.bytes), (6, bytes.len() as u64));
        assert_eq!(summary.lfs_pointers, ["-x"]);
        let mut archive = tar::Archive::new(&bytes[..]);
        let mut seen = Vec::new();
        for found in archive.entries().expect("is an archive") {
            let found = found.expect("is an entry");
            let name = found.path().expect("has a name").display().to_string();
            let target = found.link_name().expect("is readable").map(|target| target.display().to_string());
            assert_eq!(found.header().mtime().expect("has one"), 1_700_000_000);
            seen.push((name, found.size(), found.header().mode().expect("has one"), target));
        }
        let row = |name: &str, size: u64, mode: u32| (name.to_owned(), size, mode, None);
        let expected = [
            row("src/", 0, 0o755),
            row(&deep, 1000, 0o755),
            row("empty", 0, 0o644),
            ("link".to_owned(), 0, 0o777, Some("l".repeat(150))),
            row("-x", 43, 0o644),
            row("big", 200_000, 0o644),
        ];
        assert_eq!(seen, expected);
    }

    #[tokio::test]
    async fn nobody_listens() {
        let (sender, receiver) = mpsc::channel(1);
        drop(receiver);
        let error = Archive::new(sender, Timestamp::default()).finish().await.expect_err("nobody listens");
        assert!(matches!(error, SourceError::Cancelled), "{error}");
    }
}
