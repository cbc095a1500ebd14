//! One non-blocking connection of the load. It counts nothing and knows no other connection. Tests: the self-test.

use std::io::{self, ErrorKind};
use std::net::{SocketAddr, TcpStream};
use std::time::Instant;

use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType};

use super::stream::Stream;
use super::tally::Failure;
use crate::http::answer::Reader;

/// What a connection is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    Connecting,
    /// A request is being written or its answer awaited.
    Busy,
    Idle,
}

#[derive(Debug)]
pub(super) struct Connection {
    pub(super) stream: Stream,
    pub(super) state: State,
    /// Opened for one request.
    pub(super) is_fresh: bool,
    /// Has answered before, so that a close is a race and not a refusal.
    pub(super) is_used: bool,
    /// When the request should have begun.
    pub(super) intended: Instant,
    /// When it did.
    pub(super) started: Instant,
    /// Which of the plan's requests on kept connections.
    pub(super) chosen: usize,
    /// How much of it is written.
    pub(super) written: usize,
    pub(super) reader: Reader,
}

/// A socket on its way to `target`.
pub(super) fn connect(target: SocketAddr) -> io::Result<TcpStream> {
    let family = if target.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
    let socket = rustix::net::socket_with(family, SocketType::STREAM, flags, None)?;
    rustix::net::sockopt::set_tcp_nodelay(&socket, true)?;
    match rustix::net::connect(&socket, &target) {
        Ok(()) | Err(Errno::INPROGRESS) => Ok(TcpStream::from(socket)),
        Err(error) => Err(error.into()),
    }
}

/// A failure to connect; the error itself where this machine is at fault and the run proves nothing.
pub(super) fn connect_failure(error: io::Error) -> io::Result<Failure> {
    match error.raw_os_error().map(Errno::from_raw_os_error) {
        Some(Errno::CONNREFUSED) => Ok(Failure::Refused),
        Some(Errno::TIMEDOUT) => Ok(Failure::ConnectTimeout),
        Some(
            Errno::CONNRESET | Errno::CONNABORTED | Errno::PIPE | Errno::HOSTUNREACH | Errno::NETUNREACH,
        ) => Ok(Failure::NotConnected),
        _ => Err(error),
    }
}

impl Connection {
    /// Writes what is left of `request`. `false`: the rest must wait.
    pub(super) fn write(&mut self, request: &[u8]) -> io::Result<bool> {
        while self.written < request.len() {
            match self.stream.write(&request[self.written..]) {
                Ok(length) => self.written += length,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(false),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        match self.stream.flush() {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// What a close in this moment means for the request.
    pub(super) fn closed(&self) -> Failure {
        match (self.reader.has_bytes(), self.is_used) {
            (true, _) => Failure::ClosedMidAnswer,
            (false, true) => Failure::RaceClosed,
            (false, false) => Failure::ClosedBeforeAnswer,
        }
    }

    /// What a reset in this moment means for the request.
    pub(super) fn reset(&self) -> Failure {
        match (self.reader.has_bytes(), self.is_used) {
            (true, _) => Failure::ResetMidAnswer,
            (false, true) => Failure::RaceReset,
            (false, false) => Failure::ResetBeforeAnswer,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_other_side_is_told_from_this_machine() {
        let failure = |errno: Errno| connect_failure(errno.into());
        assert_eq!(failure(Errno::CONNREFUSED).unwrap(), Failure::Refused);
        assert_eq!(failure(Errno::TIMEDOUT).unwrap(), Failure::ConnectTimeout);
        for errno in [Errno::CONNRESET, Errno::CONNABORTED, Errno::HOSTUNREACH, Errno::NETUNREACH] {
            assert_eq!(failure(errno).unwrap(), Failure::NotConnected, "{errno}");
        }
        for errno in [Errno::ADDRNOTAVAIL, Errno::MFILE, Errno::NFILE, Errno::NOBUFS] {
            assert!(failure(errno).is_err(), "{errno} is our own fault and must end the run");
        }
    }
}
