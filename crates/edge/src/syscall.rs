//! System calls that tokio does not offer: splice, sendfile, peek, a periodic timer. All of them through rustix's
//! safe wrappers where there are any; what unsafe code this crate needs stands here.
//! Tests: `tests/it/bodies.rs`.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::process::CommandExt as _;
use std::process::Command;
use std::time::Duration;

use rustix::event::Timespec;
use rustix::net::{RecvFlags, SendFlags, sockopt};
use rustix::pipe::{PipeFlags, SpliceFlags};
use rustix::time::{Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags};
use tokio::io::unix::AsyncFd;

/// Bytes a splice pipe should hold; the kernel may give less.
pub(crate) const PIPE_SIZE: usize = 256 * 1024;

/// A pipe between two sockets. Empty whenever it is not in use.
#[derive(Debug)]
pub(crate) struct Pipe {
    reader: OwnedFd,
    writer: OwnedFd,
}

impl Pipe {
    pub(crate) fn new() -> io::Result<Self> {
        let (reader, writer) = rustix::pipe::pipe_with(PipeFlags::NONBLOCK | PipeFlags::CLOEXEC)?;
        // Refused above the user's limit for pipes; the default of 64 KB works too.
        let _ = rustix::pipe::fcntl_setpipe_size(&writer, PIPE_SIZE);
        Ok(Self { reader, writer })
    }

    /// Moves up to `most` bytes from a socket into the pipe; 0 at the end of the stream. Call it with an empty
    /// pipe only: then `WouldBlock` can mean nothing but a socket without bytes.
    pub(crate) fn fill(&self, from: impl AsFd, most: usize) -> io::Result<usize> {
        let flags = SpliceFlags::MOVE | SpliceFlags::NONBLOCK;
        Ok(rustix::pipe::splice(from, None, &self.writer, None, most.min(PIPE_SIZE), flags)?)
    }

    /// Moves up to `most` bytes from the pipe into a socket.
    pub(crate) fn empty(&self, to: impl AsFd, most: usize) -> io::Result<usize> {
        let flags = SpliceFlags::MOVE | SpliceFlags::NONBLOCK;
        Ok(rustix::pipe::splice(&self.reader, None, to, None, most, flags)?)
    }
}

/// Sends up to `most` bytes of a file from `offset`, which moves on; 0 when the file ended early.
pub(crate) fn send_file(to: impl AsFd, file: &File, offset: &mut u64, most: usize) -> io::Result<usize> {
    Ok(rustix::fs::sendfile(to, file, Some(offset), most)?)
}

/// Writes bytes that more will follow at once: the kernel may keep the end of them to send both together, for 200 ms
/// at most (`MSG_MORE`, send(2)).
pub(crate) fn send_more(to: impl AsFd, bytes: &[u8]) -> io::Result<usize> {
    Ok(rustix::net::send(to, bytes, SendFlags::MORE | SendFlags::NOSIGNAL)?)
}

/// While it lives, a socket sends full packets only (`TCP_CORK`, tcp(7)).
#[derive(Debug)]
pub(crate) struct Cork<'s, S: AsFd>(&'s S);

impl<'s, S: AsFd> Cork<'s, S> {
    pub(crate) fn put(socket: &'s S) -> Self {
        // Without it, the same bytes go out in more packets.
        let _ = sockopt::set_tcp_cork(socket, true);
        Self(socket)
    }
}

impl<S: AsFd> Drop for Cork<'_, S> {
    fn drop(&mut self) {
        let _ = sockopt::set_tcp_cork(self.0, false);
    }
}

/// Whether nothing has arrived on a socket, not even its end: one `recv` that takes nothing.
pub(crate) fn is_silent(socket: impl AsFd) -> bool {
    let flags = RecvFlags::PEEK | RecvFlags::DONTWAIT;
    matches!(rustix::net::recv(socket, &mut [0_u8; 1], flags), Err(rustix::io::Errno::AGAIN))
}

/// A timer that fires once in each period.
#[derive(Debug)]
pub(crate) struct Ticker(AsyncFd<OwnedFd>);

impl Ticker {
    /// Starts it; needs a runtime.
    pub(crate) fn start(period: Duration) -> io::Result<Self> {
        let flags = TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC;
        let timer = rustix::time::timerfd_create(TimerfdClockId::Monotonic, flags)?;
        let period = Timespec {
            tv_sec: i64::try_from(period.as_secs()).unwrap_or(i64::MAX),
            tv_nsec: i64::from(period.subsec_nanos()),
        };
        let plan = Itimerspec { it_interval: period, it_value: period };
        rustix::time::timerfd_settime(&timer, TimerfdTimerFlags::empty(), &plan)?;
        #[expect(unsafe_code, reason = "the safe way to wait for a descriptor is deprecated as unsound")]
        // SAFETY: an `OwnedFd` is open, always names the same file, and is closed only when the `AsyncFd` that
        // owns it from here on is dropped.
        let timer = unsafe { AsyncFd::register(timer) }?;
        Ok(Self(timer))
    }

    /// Waits for the end of the running period.
    pub(crate) async fn next(&mut self) -> io::Result<()> {
        loop {
            let mut ready = self.0.readable().await?;
            let read = ready.try_io(|timer| Ok(rustix::io::read(timer.get_ref(), &mut [0_u8; 8])?));
            match read {
                Ok(Ok(_)) => return Ok(()),
                Ok(Err(problem)) => return Err(problem),
                Err(_) => {}
            }
        }
    }
}

/// Reads what has already arrived on a socket, at most 64 KB, and forgets it.
pub(crate) fn discard(socket: impl AsFd) -> io::Result<()> {
    let mut block = [0_u8; 4096];
    for _ in 0..16 {
        let (_, count) = rustix::net::recv(&socket, &mut block, RecvFlags::DONTWAIT)?;
        if count < block.len() {
            break;
        }
    }
    Ok(())
}

/// First descriptor that is handed to a process by `sd_listen_fds(3)`.
pub const FIRST_HANDED: RawFd = 3;

/// Gives `descriptors` to the program that `command` starts, as 3, 4, … (`sd_listen_fds(3)`).
///
/// # Errors
/// This process has no more descriptors.
pub fn hand_over(command: &mut Command, descriptors: &[OwnedFd]) -> io::Result<()> {
    // Copies above the range that the child wants, so that moving one never overwrites another.
    let above = i32::try_from(descriptors.len()).ok().and_then(|count| FIRST_HANDED.checked_add(count));
    let above = above.ok_or(io::ErrorKind::InvalidInput)?;
    let copies: Vec<OwnedFd> = descriptors
        .iter()
        .map(|descriptor| Ok(rustix::io::fcntl_dupfd_cloexec(descriptor, above)?))
        .collect::<io::Result<_>>()?;
    let place = move || {
        for (target, copy) in (FIRST_HANDED..).zip(&copies) {
            #[expect(unsafe_code, reason = "descriptors can be placed only between fork and exec")]
            // SAFETY: dup2 is async-signal-safe; both numbers are valid in the child, which has its own table.
            if unsafe { libc::dup2(copy.as_raw_fd(), target) } < 0 {
                return Err(io::Error::last_os_error());
            }
        }
        Ok(())
    };
    #[expect(unsafe_code, reason = "descriptors can be placed only between fork and exec")]
    // SAFETY: the closure calls only dup2, which is async-signal-safe, and allocates nothing.
    unsafe {
        command.pre_exec(place);
    }
    Ok(())
}

/// Takes a descriptor that the service manager opened for this process (`sd_listen_fds(3)`); at most once for
/// each number.
pub(crate) fn take_descriptor(number: RawFd) -> OwnedFd {
    #[expect(
        unsafe_code,
        reason = "there is no safe way to take a descriptor that was open before the program"
    )]
    // SAFETY: by that protocol the descriptor is this process's own and nothing else in it knows the number; if
    // the environment lies and nothing is open there, every use fails cleanly with `EBADF`.
    unsafe {
        OwnedFd::from_raw_fd(number)
    }
}

/// Takes the pages of a range of the program's own code out of this process (`MADV_DONTNEED`, madvise(2)); using them maps
/// them again from the file. `range` must be a whole mapping that nothing can write to. Best effort.
pub(crate) fn unmap_code(range: std::ops::Range<usize>) {
    let start = std::ptr::with_exposed_provenance_mut::<libc::c_void>(range.start);
    #[expect(unsafe_code, reason = "there is no safe way to say which pages of a mapping are not needed")]
    // SAFETY: the mapping is private, of a file, and never written, so that every page is what the file holds; the kernel
    // reads it again on the next access, also for the code that runs now.
    let _ = unsafe { libc::madvise(start, range.len(), libc::MADV_DONTNEED) };
}
