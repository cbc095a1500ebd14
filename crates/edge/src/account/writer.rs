//! The one thread that writes the access log: takes whole blocks of lines from workers, appends them, and puts a
//! full file aside so that all files together stay within a bound. A slow disk costs lines, which are counted, never
//! requests. It formats nothing (`line`). Tests at the end of the file.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::thread::JoinHandle;

use tracing::{info, warn};

use crate::metrics::Number;

/// Blocks on their way; with blocks of 64 KB at most 4 MB.
const MOST_BLOCKS: usize = 64;
/// Most files, whatever the bounds say.
const MOST_FILES: u64 = 100;

/// What workers send.
#[derive(Debug)]
enum Order {
    Lines { text: Vec<u8>, count: u64 },
    Stop,
}

/// The way to the writer.
#[derive(Debug, Clone)]
pub(crate) struct Sink {
    orders: SyncSender<Order>,
    /// Lines that were not written.
    dropped: Arc<Number>,
}

impl Sink {
    /// Hands a block of `count` lines over; never waits. Gives the block's memory back when it was not taken.
    pub(crate) fn send(&self, text: Vec<u8>, count: u64) {
        if let Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) =
            self.orders.try_send(Order::Lines { text, count })
        {
            self.dropped.add(count);
        }
    }
}

/// Where and how much.
#[derive(Debug, Clone)]
pub(crate) struct Place {
    pub(crate) folder: PathBuf,
    pub(crate) file_size: u64,
    pub(crate) keep_size: u64,
}

/// The running thread. Dropping it writes what was handed over and ends it.
#[derive(Debug)]
pub(crate) struct Writer {
    orders: SyncSender<Order>,
    thread: Option<JoinHandle<()>>,
}

impl Drop for Writer {
    fn drop(&mut self) {
        // Refused only when the thread is gone.
        let _ = self.orders.send(Order::Stop);
        if self.thread.take().is_some_and(|thread| thread.join().is_err()) {
            tracing::error!("the thread of the access log had panicked");
        }
    }
}

/// Opens the log and starts the thread.
///
/// # Errors
/// The folder cannot be made or the file not opened.
pub(crate) fn start(place: Place, dropped: Arc<Number>) -> io::Result<(Sink, Writer)> {
    let log = Log::open(place)?;
    let (orders, inbox) = sync_channel(MOST_BLOCKS);
    let counter = Arc::clone(&dropped);
    let thread = std::thread::Builder::new()
        .name("edge-log".to_owned())
        .spawn(move || write(log, &inbox, &counter))?;
    Ok((Sink { orders: orders.clone(), dropped }, Writer { orders, thread: Some(thread) }))
}

fn write(mut log: Log, inbox: &Receiver<Order>, dropped: &Number) {
    let mut is_failing = false;
    while let Ok(Order::Lines { text, count }) = inbox.recv() {
        match log.append(&text) {
            Ok(()) if is_failing => {
                is_failing = false;
                info!(dropped = dropped.get(), "the access log is written again");
            }
            Ok(()) => {}
            Err(problem) => {
                dropped.add(count);
                // Once, not at every block: the disk is full for a while.
                if !std::mem::replace(&mut is_failing, true) {
                    warn!(%problem, folder = %log.place.folder.display(),
                        "cannot write the access log; requests are served, their lines are lost and counted");
                }
            }
        }
    }
}

struct Log {
    place: Place,
    file: File,
    size: u64,
}

impl Log {
    fn open(place: Place) -> io::Result<Self> {
        fs::create_dir_all(&place.folder)?;
        let file = open(&place.folder)?;
        let size = file.metadata()?.len();
        Ok(Self { place, file, size })
    }

    fn append(&mut self, text: &[u8]) -> io::Result<()> {
        if self.size > 0 && self.size + text.len() as u64 > self.place.file_size {
            self.rotate()?;
        }
        // A part that was written before an error stays; the next line then begins in the middle of one.
        let written = self.file.write_all(text);
        self.size += text.len() as u64;
        written
    }

    /// `access.log` becomes `access.1.log`, that one `access.2.log`; the last one goes.
    fn rotate(&mut self) -> io::Result<()> {
        let kept = (self.place.keep_size / self.place.file_size.max(1)).clamp(1, MOST_FILES) - 1;
        let name = |number: u64| match number {
            0 => self.place.folder.join("access.log"),
            number => self.place.folder.join(format!("access.{number}.log")),
        };
        for number in (0..kept).rev() {
            match fs::rename(name(number), name(number + 1)) {
                Err(problem) if problem.kind() != io::ErrorKind::NotFound => return Err(problem),
                _ => {}
            }
        }
        // A smaller bound than at the last start leaves files behind.
        for number in kept + 1..=MOST_FILES {
            if fs::remove_file(name(number)).is_err() {
                break;
            }
        }
        if kept == 0 {
            fs::remove_file(name(0))?;
        }
        self.file = open(&self.place.folder)?;
        self.size = 0;
        Ok(())
    }
}

/// Readable by the group, so that people who may read logs may read this one.
fn open(folder: &Path) -> io::Result<File> {
    OpenOptions::new().append(true).create(true).mode(0o640).open(folder.join("access.log"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        let mut names: Vec<_> = fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    #[test]
    fn all_files_together_stay_within_the_bound_and_the_newest_lines_stay() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("log");
        let place = Place { folder: folder.clone(), file_size: 100, keep_size: 300 };
        let mut log = Log::open(place.clone()).unwrap();
        for number in 0..100 {
            log.append(format!("line {number:04}\n").as_bytes()).unwrap();
        }
        assert_eq!(names(&folder), ["access.1.log", "access.2.log", "access.log"]);
        let total: u64 =
            names(&folder).iter().map(|name| fs::metadata(folder.join(name)).unwrap().len()).sum();
        assert!(total <= 300, "{total}");
        let kept: String = ["access.2.log", "access.1.log", "access.log"]
            .map(|name| fs::read_to_string(folder.join(name)).unwrap())
            .concat();
        let expected: String =
            (100 - kept.lines().count()..100).map(|number| format!("line {number:04}\n")).collect();
        assert_eq!(kept, expected);
        // After a restart the same file is continued, and a smaller bound removes what is too much.
        let mut log = Log::open(Place { keep_size: 100, ..place }).unwrap();
        for _ in 0..20 {
            log.append(b"line more\n").unwrap();
        }
        assert_eq!(names(&folder), ["access.log"]);
    }

    #[test]
    fn lines_that_find_no_room_are_counted() {
        let dropped = Arc::new(Number::default());
        let (orders, inbox) = sync_channel(1);
        let sink = Sink { orders, dropped: Arc::clone(&dropped) };
        sink.send(b"a\n".to_vec(), 1);
        sink.send(b"b\nc\n".to_vec(), 2);
        assert_eq!(dropped.get(), 2);
        drop(inbox);
        sink.send(b"d\n".to_vec(), 1);
        assert_eq!(dropped.get(), 3);
    }

    #[test]
    fn what_was_handed_over_is_written_before_the_end() {
        let dir = tempfile::tempdir().unwrap();
        let place = Place { folder: dir.path().to_owned(), file_size: 1000, keep_size: 1000 };
        let (sink, writer) = start(place, Arc::default()).unwrap();
        sink.send(b"a\n".to_vec(), 1);
        sink.send(b"b\n".to_vec(), 1);
        drop(writer);
        assert_eq!(fs::read_to_string(dir.path().join("access.log")).unwrap(), "a\nb\n");
    }
}
