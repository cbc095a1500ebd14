//! Streams a context as a plain tar archive: never whole in memory, the same bytes for the same files.
//! Tests at the end of the file.

use std::io::{self, Read as _, Write};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body_util::BodyExt as _;
use hyper::body::Frame;
use tar::{Builder, EntryType, Header};
use tokio::sync::mpsc;

use crate::build::walk::{self, Entry, EntryKind};
use crate::http::Body;

/// Bytes sent at once.
const CHUNK: usize = 64 * 1024;
/// Chunks waiting for a slow connection.
const WAITING: usize = 8;

/// How much has been sent.
#[derive(Debug, Clone, Default)]
pub(crate) struct Progress(Arc<AtomicU64>);

impl Progress {
    /// Bytes handed to the connection.
    pub(crate) fn bytes(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// A body that reads the files while it is sent.
pub(crate) fn body(context: walk::Context, progress: Progress) -> Body {
    let (sender, receiver) = mpsc::channel::<io::Result<Bytes>>(WAITING);
    tokio::task::spawn_blocking(move || {
        let failed = sender.clone();
        let mut writer = Chunks { sender, buffer: Vec::with_capacity(CHUNK), progress };
        let result = write(&context, &mut writer).and_then(|()| writer.flush());
        if let Err(error) = result {
            // A server that hung up does not need to know.
            let _ = failed.blocking_send(Err(error));
        }
    });
    Queue(receiver).boxed()
}

/// The chunks as they are made.
struct Queue(mpsc::Receiver<io::Result<Bytes>>);

impl hyper::body::Body for Queue {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        self.0.poll_recv(cx).map(|chunk| chunk.map(|chunk| chunk.map(Frame::data)))
    }
}

struct Chunks {
    sender: mpsc::Sender<io::Result<Bytes>>,
    buffer: Vec<u8>,
    progress: Progress,
}

impl Write for Chunks {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let room = CHUNK - self.buffer.len();
        let taken = bytes.len().min(room);
        self.buffer.extend_from_slice(&bytes[..taken]);
        if self.buffer.len() == CHUNK {
            self.flush()?;
        }
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        if self.buffer.is_empty() {
            return Ok(());
        }
        let chunk = std::mem::replace(&mut self.buffer, Vec::with_capacity(CHUNK));
        let length = chunk.len() as u64;
        self.sender.blocking_send(Ok(chunk.into())).map_err(|_| io::ErrorKind::BrokenPipe)?;
        self.progress.0.fetch_add(length, Ordering::Relaxed);
        Ok(())
    }
}

/// Writes the archive.
fn write(context: &walk::Context, out: &mut impl Write) -> io::Result<()> {
    let mut builder = Builder::new(out);
    for entry in &context.entries {
        append(&mut builder, entry)?;
    }
    builder.finish()
}

fn append<W: Write>(builder: &mut Builder<W>, entry: &Entry) -> io::Result<()> {
    let mut header = Header::new_gnu();
    header.set_mode(entry.mode);
    header.set_mtime(entry.modified);
    header.set_uid(0);
    header.set_gid(0);
    header.set_size(0);
    match &entry.kind {
        EntryKind::Folder => {
            header.set_entry_type(EntryType::Directory);
            builder.append_data(&mut header, format!("{}/", entry.name), io::empty())
        }
        EntryKind::Link { target } => {
            header.set_entry_type(EntryType::Symlink);
            builder.append_link(&mut header, &entry.name, target)
        }
        EntryKind::File { bytes } => {
            header.set_entry_type(EntryType::Regular);
            header.set_size(*bytes);
            let changed = || io::Error::other(format!("{} changed while it was read", entry.path.display()));
            let file = std::fs::File::open(&entry.path)?;
            let mut exact = Exact { inner: file.take(*bytes), left: *bytes };
            builder.append_data(&mut header, &entry.name, &mut exact)?;
            if exact.left > 0 { Err(changed()) } else { Ok(()) }
        }
        EntryKind::Text { text } => {
            header.set_entry_type(EntryType::Regular);
            header.set_size(text.len() as u64);
            builder.append_data(&mut header, &entry.name, text.as_bytes())
        }
    }
}

/// Counts, because a file that shrinks would damage the archive behind it.
struct Exact<R> {
    inner: R,
    left: u64,
}

impl<R: io::Read> io::Read for Exact<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.left -= count as u64;
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt as _;
    use std::time::{Duration, SystemTime};

    use super::*;

    #[tokio::test]
    async fn the_archive_is_complete_and_the_same_again() {
        let folder = tempfile::tempdir().expect("a folder");
        let script = folder.path().join("run.sh");
        fs::write(&script, "x".repeat(200_000)).expect("is written");
        fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).expect("is ours");
        let at = SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000);
        fs::File::options()
            .write(true)
            .open(&script)
            .and_then(|file| file.set_modified(at))
            .expect("is ours");
        let deep = format!("{}/{}", "d".repeat(90), "f".repeat(90));
        fs::create_dir(folder.path().join("d".repeat(90))).expect("is made");
        fs::write(folder.path().join(&deep), "deep").expect("is written");
        std::os::unix::fs::symlink("run.sh", folder.path().join("link")).expect("is made");
        let send = || async {
            let context = walk::of_folder(folder.path(), ".").expect("is listed");
            let progress = Progress::default();
            let bytes = body(context, progress.clone()).collect().await.expect("is read").to_bytes();
            assert_eq!(progress.bytes(), bytes.len() as u64);
            bytes
        };
        let (first, second) = (send().await, send().await);
        assert!(first == second, "the same files must make the same bytes");
        let mut archive = tar::Archive::new(&first[..]);
        let seen: Vec<(String, u64, u32)> = archive
            .entries()
            .expect("is an archive")
            .map(|entry| {
                let entry = entry.expect("is an entry");
                let header = entry.header();
                let name = entry.path().expect("has a name").display().to_string();
                (name, entry.size(), header.mode().expect("has one") & 0o100)
            })
            .collect();
        let folder_name = format!("{}/", "d".repeat(90));
        assert_eq!(
            seen,
            [
                (folder_name, 0, 0o100),
                (deep, 4, 0),
                ("link".to_owned(), 0, 0o100),
                ("run.sh".to_owned(), 200_000, 0o100)
            ]
        );
        let mut archive = tar::Archive::new(&first[..]);
        let last = archive.entries().expect("is an archive").last().expect("has one").expect("is an entry");
        assert_eq!(last.header().mtime().expect("has one"), 1_700_000_000);
    }

    #[tokio::test]
    async fn a_file_that_shrinks_breaks_the_upload_off() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("a");
        fs::write(&path, "0123456789").expect("is written");
        let context = walk::of_folder(folder.path(), ".").expect("is listed");
        fs::write(&path, "0").expect("is written");
        let error = body(context, Progress::default()).collect().await.expect_err("is not whole");
        assert!(error.to_string().ends_with("/a changed while it was read"), "{error}");
    }
}
