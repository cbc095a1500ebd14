//! Reading and writing connections under a pace, and moving bytes between them. It knows nothing of HTTP, and of TLS
//! only that bytes cannot pass inside the kernel. Tests: `tests/it/slow.rs`, `tests/it/bodies.rs`.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::pin::pin;
use std::task::{Context, Poll, ready};

use tokio::io::{Interest, ReadBuf};
use tokio::net::TcpStream;

use super::buffer::Buffer;
use super::clock::{Clock, Lane, Pace, Watch};
use crate::stream::{ReadEnd, WriteEnd};
use crate::syscall::{self, Pipe};

/// How operations of one connection wait.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Wire<'w> {
    pub(crate) clock: &'w Clock,
    pub(crate) watch: &'w Watch,
    pub(crate) lane: Lane,
}

/// Which end of a copy failed.
#[derive(Debug)]
pub(crate) enum Broken {
    /// Reading failed, ended early or was too slow.
    Source(io::Error),
    /// Writing failed or was too slow.
    Sink,
}

impl Wire<'_> {
    /// Runs `poll` until it is ready; the deadline of `pace` ends it with `TimedOut`.
    pub(crate) async fn paced<T>(
        self,
        pace: &mut Pace,
        mut poll: impl FnMut(&mut Context<'_>, &mut Pace) -> Poll<io::Result<T>>,
    ) -> io::Result<T> {
        poll_fn(|context| match poll(context, pace) {
            Poll::Ready(result) => {
                self.watch.clear(self.lane);
                Poll::Ready(result)
            }
            Poll::Pending if pace.may_wait(self.clock, self.watch, self.lane) => Poll::Pending,
            Poll::Pending => Poll::Ready(Err(io::ErrorKind::TimedOut.into())),
        })
        .await
    }

    /// Connects and switches off Nagle's delay.
    pub(crate) async fn connect(self, address: SocketAddr, pace: &mut Pace) -> io::Result<TcpStream> {
        let mut connecting = pin!(TcpStream::connect(address));
        let stream = self.paced(pace, |context, _| connecting.as_mut().poll(context)).await?;
        stream.set_nodelay(true)?;
        Ok(stream)
    }

    /// Waits until there is something to read, without holding memory for it.
    pub(crate) async fn readable(self, from: &ReadEnd<'_>, pace: &mut Pace) -> io::Result<()> {
        self.paced(pace, |context, _| from.poll_ready(context)).await
    }

    /// Reads at most `most` bytes into the room of `buffer`, which must have some; 0 at the end of the stream.
    pub(crate) async fn read(
        self,
        from: &mut ReadEnd<'_>,
        buffer: &mut Buffer,
        most: u64,
        pace: &mut Pace,
    ) -> io::Result<usize> {
        let most = usize::try_from(most).unwrap_or(usize::MAX);
        let count = self
            .paced(pace, |context, pace| {
                let room = buffer.room();
                let room_length = room.len().min(most);
                let mut space = ReadBuf::new(&mut room[..room_length]);
                from.poll_read(context, &mut space).map_ok(|()| pace.count(space.filled().len()))
            })
            .await?;
        buffer.filled(count);
        Ok(count)
    }

    /// Reads what has arrived; `None` if that is nothing.
    pub(crate) async fn read_now(from: &mut ReadEnd<'_>, buffer: &mut Buffer) -> io::Result<Option<usize>> {
        Self::read_most(from, buffer, u64::MAX).await
    }

    /// Reads at most `most` bytes of what has arrived; `None` if that is nothing.
    pub(crate) async fn read_most(
        from: &mut ReadEnd<'_>,
        buffer: &mut Buffer,
        most: u64,
    ) -> io::Result<Option<usize>> {
        let most = usize::try_from(most).unwrap_or(usize::MAX);
        let count = poll_fn(|context| {
            let room = buffer.room();
            let room_length = room.len().min(most);
            let mut space = ReadBuf::new(&mut room[..room_length]);
            match from.poll_read(context, &mut space) {
                Poll::Ready(result) => Poll::Ready(result.map(|()| Some(space.filled().len()))),
                Poll::Pending => Poll::Ready(Ok(None)),
            }
        })
        .await?;
        buffer.filled(count.unwrap_or(0));
        Ok(count)
    }

    /// Writes all `parts`, several of them in one call, and sends them.
    pub(crate) async fn send<const N: usize>(
        self,
        to: &mut WriteEnd<'_>,
        mut parts: [&[u8]; N],
        pace: &mut Pace,
    ) -> io::Result<()> {
        self.paced(pace, |context, pace| {
            ready!(poll_queue(to, &mut parts, context, pace))?;
            poll_flush(to, context, pace)
        })
        .await
    }

    /// Writes all `parts`, but leaves the sending to whoever writes or flushes next if there is little of it. Plain
    /// connections send at once.
    pub(crate) async fn queue<const N: usize>(
        self,
        to: &mut WriteEnd<'_>,
        mut parts: [&[u8]; N],
        pace: &mut Pace,
    ) -> io::Result<()> {
        self.paced(pace, |context, pace| poll_queue(to, &mut parts, context, pace)).await
    }

    /// Writes bytes that others follow at once, so that the kernel can send them together.
    pub(crate) async fn hold(
        self,
        to: &mut WriteEnd<'_>,
        mut bytes: &[u8],
        pace: &mut Pace,
    ) -> io::Result<()> {
        let Some(socket) = to.plain() else { return self.queue(to, [bytes], pace).await };
        while !bytes.is_empty() {
            let send = |context: &mut Context<'_>, pace: &mut Pace| {
                let send = || syscall::send_more(socket, bytes);
                poll_io(socket, Interest::WRITABLE, context, send).map_ok(|count| pace.count(count))
            };
            let count = self.paced(pace, send).await?;
            bytes = &bytes[count..];
        }
        Ok(())
    }

    /// Sends what was queued.
    pub(crate) async fn flush(self, to: &mut WriteEnd<'_>, pace: &mut Pace) -> io::Result<()> {
        self.paced(pace, |context, pace| poll_flush(to, context, pace)).await
    }

    /// Moves `left` bytes from one socket to another inside the kernel; `left` is what has not been read yet.
    pub(crate) async fn splice(
        self,
        (from, read_pace): (&TcpStream, &mut Pace),
        (to, write_pace): (&TcpStream, &mut Pace),
        pipe: &mut PipeLease<'_>,
        left: &Cell<u64>,
    ) -> Result<(), Broken> {
        while left.get() > 0 {
            let most = usize::try_from(left.get()).unwrap_or(usize::MAX);
            let count = self
                .paced(read_pace, |context, pace| {
                    let fill = || pipe.pipe().fill(from, most);
                    poll_io(from, Interest::READABLE, context, fill).map_ok(|count| pace.count(count))
                })
                .await
                .map_err(Broken::Source)?;
            if count == 0 {
                return Err(Broken::Source(io::ErrorKind::UnexpectedEof.into()));
            }
            left.set(left.get() - count as u64);
            pipe.level = count;
            write_pace.restart();
            while pipe.level > 0 {
                let level = pipe.level;
                let moved = self
                    .paced(write_pace, |context, pace| {
                        let empty = || pipe.pipe().empty(to, level);
                        poll_io(to, Interest::WRITABLE, context, empty).map_ok(|count| pace.count(count))
                    })
                    .await
                    .map_err(|_| Broken::Sink)?;
                pipe.level -= moved;
            }
            if write_pace.has_waited() || read_pace.is_about_silence() {
                // The receiver was slow and not the sender, or the silence is over.
                read_pace.restart();
            }
        }
        Ok(())
    }

    /// Sends `length` bytes of a file from `offset`: inside the kernel, or read and encrypted.
    pub(crate) async fn send_file(
        self,
        to: &mut WriteEnd<'_>,
        file: &std::fs::File,
        (mut offset, length): (u64, u64),
        pace: &mut Pace,
    ) -> io::Result<()> {
        let end = offset + length;
        let Some(socket) = to.plain() else {
            return self.send_file_read(to, file, (offset, end), pace).await;
        };
        // Otherwise the kernel pushes a small packet out after each call.
        let _cork = (length > SEND_MOST as u64).then(|| syscall::Cork::put(socket));
        while offset < end {
            // Bounded, so that one large file does not keep the worker from its other connections.
            let most = usize::try_from(end - offset).unwrap_or(usize::MAX).min(SEND_MOST);
            let count = self
                .paced(pace, |context, pace| {
                    let send = || syscall::send_file(socket, file, &mut offset, most);
                    poll_io(socket, Interest::WRITABLE, context, send).map_ok(|count| pace.count(count))
                })
                .await?;
            if count == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
        Ok(())
    }

    /// The same for connections that encrypt: read, encrypted and sent in blocks; no block is held during a wait.
    async fn send_file_read(
        self,
        to: &mut WriteEnd<'_>,
        file: &std::fs::File,
        (mut offset, end): (u64, u64),
        pace: &mut Pace,
    ) -> io::Result<()> {
        while offset < end {
            let most = usize::try_from(end - offset).unwrap_or(usize::MAX).min(FILE_BLOCK);
            let count = self
                .paced(pace, |context, pace| {
                    if to.is_full() {
                        ready!(poll_flush(to, context, pace))?;
                    }
                    let mut block = Vec::with_capacity(most);
                    rustix::io::pread(file, rustix::buffer::spare_capacity(&mut block), offset)?;
                    // Nothing waits: the flush has made room for a block.
                    if block.is_empty() { Poll::Ready(Ok(0)) } else { poll_write(to, &[&block], context) }
                })
                .await?;
            if count == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            offset += count as u64;
        }
        self.flush(to, pace).await
    }
}

/// Size of a read of a file that must be encrypted.
const FILE_BLOCK: usize = 64 * 1024;
/// Most bytes of a file in one call: under a millisecond (measured, `bench/edge`).
const SEND_MOST: usize = 2 * 1024 * 1024;

fn poll_queue(
    to: &mut WriteEnd<'_>,
    parts: &mut [&[u8]],
    context: &mut Context<'_>,
    pace: &mut Pace,
) -> Poll<io::Result<()>> {
    while parts.iter().any(|part| !part.is_empty()) {
        let count = ready!(poll_write(to, parts, context))?;
        if count == 0 {
            return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
        }
        pace.count(count);
        advance(parts, count);
    }
    Poll::Ready(Ok(()))
}

fn poll_flush(to: &mut WriteEnd<'_>, context: &mut Context<'_>, pace: &mut Pace) -> Poll<io::Result<()>> {
    let mut moved = 0;
    let flushed = to.poll_flush(context, &mut moved);
    pace.count(moved);
    flushed
}

fn poll_write(to: &mut WriteEnd<'_>, parts: &[&[u8]], context: &mut Context<'_>) -> Poll<io::Result<usize>> {
    let mut slices = [IoSlice::new(&[]); 8];
    let mut count = 0;
    for part in parts.iter().filter(|part| !part.is_empty()).take(slices.len()) {
        slices[count] = IoSlice::new(part);
        count += 1;
    }
    to.poll_write(context, &slices[..count])
}

fn advance(parts: &mut [&[u8]], mut count: usize) {
    for part in parts {
        let here = count.min(part.len());
        *part = &part[here..];
        count -= here;
    }
}

/// One non-blocking call on a socket, repeated when the runtime says it may succeed.
fn poll_io<T>(
    stream: &TcpStream,
    interest: Interest,
    context: &mut Context<'_>,
    mut call: impl FnMut() -> io::Result<T>,
) -> Poll<io::Result<T>> {
    loop {
        let ready = if interest.is_readable() {
            stream.poll_read_ready(context)
        } else {
            stream.poll_write_ready(context)
        };
        match ready {
            Poll::Pending => return Poll::Pending,
            Poll::Ready(Err(problem)) => return Poll::Ready(Err(problem)),
            Poll::Ready(Ok(())) => {}
        }
        match stream.try_io(interest, &mut call) {
            Err(problem) if problem.kind() == io::ErrorKind::WouldBlock => {}
            Err(problem) if problem.kind() == io::ErrorKind::Interrupted => {}
            result => return Poll::Ready(result),
        }
    }
}

/// Unused pipes of a worker.
#[derive(Debug, Default)]
pub(crate) struct Pipes(RefCell<Vec<Pipe>>);

/// Most unused pipes a worker keeps: two descriptors each.
const SPARE_PIPES: usize = 8;

impl Pipes {
    /// A pipe, or none when the system has no more: then bodies are copied.
    pub(crate) fn lease(&self) -> Option<PipeLease<'_>> {
        let pipe = self.0.borrow_mut().pop();
        let pipe = pipe.or_else(|| Pipe::new().ok())?;
        Some(PipeLease { home: self, pipe: Some(pipe), level: 0 })
    }
}

/// A pipe in use; goes home when it is empty, and is closed when bytes are left in it.
#[derive(Debug)]
pub(crate) struct PipeLease<'p> {
    home: &'p Pipes,
    pipe: Option<Pipe>,
    level: usize,
}

impl PipeLease<'_> {
    fn pipe(&self) -> &Pipe {
        self.pipe.as_ref().expect("the pipe leaves only in drop")
    }
}

impl Drop for PipeLease<'_> {
    fn drop(&mut self) {
        let mut home = self.home.0.borrow_mut();
        if let Some(pipe) = self.pipe.take()
            && self.level == 0
            && home.len() < SPARE_PIPES
        {
            home.push(pipe);
        }
    }
}
