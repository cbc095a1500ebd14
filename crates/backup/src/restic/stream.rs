//! Streams between ours and `rustic_core`'s, which are synchronous: what comes from a producer, what comes out of a repository, and an
//! eye on both that counts, hashes, and remembers how it ended. The last is what matters: `archive` logs a reader's failure, leaves
//! the file out, and answers `Ok`.

use std::io::{self, Read};
use std::iter::{Once, once};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::{Buf, Bytes};
use havre_core::backup::Content;
use rustic_core::repofile::{BlobType, Metadata, Node, NodeType};
use rustic_core::{
    BlobId, DataId, IndexedFullStatus, ReadSource, ReadSourceEntry, Repository, RusticResult, jiff,
};
use sha2::{Digest as _, Sha256};
use tokio::io::{AsyncRead, AsyncReadExt as _};
use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;

use crate::error::RepositoryError;

/// A producer's stream, read on a thread that may wait.
pub(super) struct Bridge {
    reader: Box<dyn AsyncRead + Send + Unpin>,
    runtime: Handle,
    cancel: CancellationToken,
}

impl Bridge {
    pub(super) fn new(
        reader: Box<dyn AsyncRead + Send + Unpin>,
        runtime: Handle,
        cancel: CancellationToken,
    ) -> Self {
        Self { reader, runtime, cancel }
    }
}

impl Read for Bridge {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let Self { reader, runtime, cancel } = self;
        runtime.block_on(async {
            tokio::select! {
                () = cancel.cancelled() => Err(io::Error::other("cancelled")),
                count = reader.read(buffer) => count,
            }
        })
    }
}

/// The content of a file in a repository, one blob after the other.
pub(super) struct Blobs {
    repository: Arc<Repository<IndexedFullStatus>>,
    left: std::vec::IntoIter<DataId>,
    current: Bytes,
}

impl Blobs {
    pub(super) fn new(repository: Arc<Repository<IndexedFullStatus>>, content: Vec<DataId>) -> Self {
        Self { repository, left: content.into_iter(), current: Bytes::new() }
    }
}

impl Read for Blobs {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.current.is_empty() {
            let Some(id) = self.left.next() else { return Ok(0) };
            self.current = self
                .repository
                .get_blob_cached(&BlobId::from(id), BlobType::Data)
                .map_err(|error| io::Error::other(error.display_log()))?;
        }
        let count = buffer.len().min(self.current.len());
        buffer[..count].copy_from_slice(&self.current[..count]);
        self.current.advance(count);
        Ok(count)
    }
}

/// How far a stream was read.
#[derive(Debug, Clone, Default)]
enum End {
    /// Not to its end. It stays so where nobody reads on.
    #[default]
    Open,
    /// To its end.
    Reached(Content),
    /// It failed.
    Failed(String),
    /// Somebody stopped it.
    Cancelled,
}

/// What is known about a stream while and after it is read.
#[derive(Debug, Clone, Default)]
pub(super) struct Watch(Arc<Mutex<End>>);

impl Watch {
    fn set(&self, end: End) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = end;
    }

    /// What was read, if it was read to its end.
    ///
    /// # Errors
    /// [`RepositoryError::Source`] or [`RepositoryError::Cancelled`].
    pub(super) fn content(&self) -> Result<Content, RepositoryError> {
        match self.0.lock().unwrap_or_else(PoisonError::into_inner).clone() {
            End::Reached(content) => Ok(content),
            End::Failed(reason) => Err(RepositoryError::Source { reason }),
            End::Cancelled => Err(RepositoryError::Cancelled),
            End::Open => Err(RepositoryError::Source { reason: "it was not read to its end".to_owned() }),
        }
    }

    /// Whether it is the stream itself that failed.
    pub(super) fn has_failed(&self) -> bool {
        let end = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        matches!(*end, End::Failed(_) | End::Cancelled)
    }
}

/// A stream with an eye on it.
pub(super) struct Watched<R> {
    inner: R,
    watch: Watch,
    cancel: CancellationToken,
    hasher: Sha256,
    bytes: u64,
}

impl<R> Watched<R> {
    pub(super) fn new(inner: R, watch: Watch, cancel: CancellationToken) -> Self {
        Self { inner, watch, cancel, hasher: Sha256::new(), bytes: 0 }
    }

    fn content(&self) -> Content {
        let sha256 = format!("{:x}", self.hasher.clone().finalize());
        Content { bytes: self.bytes, sha256: sha256.parse().expect("64 hex digits are a digest") }
    }
}

impl<R: Read> Watched<R> {
    /// Reads until the buffer is full, or the stream ends. `rustic_core` 0.13 makes its buffer as small as the smallest piece it was ever given, and
    /// reads the rest of the stream with that: a single piece of one byte would make it read byte by byte.
    fn fill(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut filled = 0;
        while filled < buffer.len() {
            match self.inner.read(&mut buffer[filled..]) {
                Ok(0) => break,
                Ok(count) => filled += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(filled)
    }
}

impl<R: Read> Read for Watched<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.cancel.is_cancelled() {
            self.watch.set(End::Cancelled);
            return Err(io::Error::other("cancelled"));
        }
        match self.fill(buffer) {
            Ok(0) if !buffer.is_empty() => {
                self.watch.set(End::Reached(self.content()));
                Ok(0)
            }
            Ok(count) => {
                self.hasher.update(&buffer[..count]);
                self.bytes += count as u64;
                Ok(count)
            }
            Err(error) => {
                let is_cancelled = self.cancel.is_cancelled();
                self.watch.set(if is_cancelled { End::Cancelled } else { End::Failed(error.to_string()) });
                Err(error)
            }
        }
    }
}

/// One file to be stored. The format wants its size before its bytes: where that is not known yet it is 0, and the file is described once
/// more afterwards, because restic believes the number.
pub(super) struct OneFile<R> {
    path: PathBuf,
    size: u64,
    at: jiff::Timestamp,
    reader: Mutex<Option<R>>,
}

impl<R> OneFile<R> {
    pub(super) fn new(path: PathBuf, size: u64, at: jiff::Timestamp, reader: R) -> Self {
        Self { path, size, at, reader: Mutex::new(Some(reader)) }
    }
}

impl<R: Read + Send + 'static> ReadSource for OneFile<R> {
    type Open = R;
    type Iter = Once<RusticResult<ReadSourceEntry<R>>>;

    fn size(&self) -> RusticResult<Option<u64>> {
        Ok(None)
    }

    fn entries(&self) -> Self::Iter {
        let meta = Metadata {
            mode: Some(0o600),
            mtime: Some(self.at),
            atime: Some(self.at),
            ctime: Some(self.at),
            size: self.size,
            ..Metadata::default()
        };
        let name = self.path.file_name().expect("the path of an entry ends with its name");
        let node = Node::new_node(name, NodeType::File, meta);
        let open = self.reader.lock().unwrap_or_else(PoisonError::into_inner).take();
        once(Ok(ReadSourceEntry { path: self.path.clone(), node, open }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Gives some bytes, then fails.
    struct Breaks(&'static [u8]);

    impl Read for Breaks {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            if self.0.is_empty() {
                return Err(io::Error::other("the disk is gone"));
            }
            Read::read(&mut self.0, buffer)
        }
    }

    fn read(inner: impl Read, cancel: &CancellationToken) -> (Watch, io::Result<usize>) {
        let watch = Watch::default();
        let mut watched = Watched::new(inner, watch.clone(), cancel.clone());
        let result = watched.read_to_end(&mut Vec::new());
        (watch, result)
    }

    /// Gives one byte at a time.
    struct Trickles(&'static [u8]);

    impl Read for Trickles {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let most = buffer.len().min(1);
            Read::read(&mut self.0, &mut buffer[..most])
        }
    }

    #[test]
    fn pieces_are_as_large_as_they_were_asked_for_but_for_the_last() {
        let mut watched = Watched::new(Trickles(b"0123456789"), Watch::default(), CancellationToken::new());
        let mut buffer = [0; 4];
        let sizes = [(); 4].map(|()| watched.read(&mut buffer).expect("is read"));
        assert_eq!(sizes, [4, 4, 2, 0]);
    }

    #[test]
    fn the_end_is_remembered() {
        let never = CancellationToken::new();
        let (watch, result) = read(&b"abc"[..], &never);
        assert_eq!(result.expect("is read"), 3);
        let content = watch.content().expect("was read");
        assert_eq!(content.to_string(), "3 bytes with the SHA-256 ba7816bf8f01");
        assert!(!watch.has_failed());

        let (watch, result) = read(Breaks(b"abc"), &never);
        assert!(result.is_err() && watch.has_failed());
        assert_eq!(watch.content(), Err(RepositoryError::Source { reason: "the disk is gone".to_owned() }));

        let stopped = CancellationToken::new();
        stopped.cancel();
        assert_eq!(read(&b"abc"[..], &stopped).0.content(), Err(RepositoryError::Cancelled));
    }

    #[test]
    fn what_nobody_read_to_its_end_is_not_read() {
        let watch = Watch::default();
        let mut watched = Watched::new(&b"abc"[..], watch.clone(), CancellationToken::new());
        let mut two = [0; 2];
        watched.read_exact(&mut two).expect("is read");
        assert!(matches!(watch.content(), Err(RepositoryError::Source { .. })));
    }
}
