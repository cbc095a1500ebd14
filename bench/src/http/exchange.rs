//! One request after the other on one blocking connection, for what needs no speed: probes and long streams.
//! Tests: `zero_loss/streams.rs` and the self-test.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Context as _, bail};

use super::answer::{Answer, Reader, Wanted};

/// Longest wait for a connection.
const CONNECT: Duration = Duration::from_secs(5);

/// A connection and the bytes that arrived after the last answer.
#[derive(Debug)]
pub(crate) struct Exchange {
    pub(crate) stream: TcpStream,
    pub(crate) left_over: Vec<u8>,
}

impl Exchange {
    /// Connects; `quiet` is the longest silence that is accepted.
    ///
    /// # Errors
    /// Nobody listens, or not in time.
    pub(crate) fn connect(target: SocketAddr, quiet: Duration) -> anyhow::Result<Self> {
        let stream = TcpStream::connect_timeout(&target, CONNECT).context("connect")?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(quiet))?;
        stream.set_write_timeout(Some(quiet))?;
        Ok(Self { stream, left_over: Vec::new() })
    }

    /// Writes `request`, then reads the answer; `progress` sees it after every piece.
    ///
    /// # Errors
    /// The connection ended or fell silent before the answer was complete, or the answer is not legal.
    pub(crate) fn ask(
        &mut self,
        request: &[u8],
        wanted: Wanted,
        progress: impl FnMut(&Reader),
    ) -> anyhow::Result<Answer> {
        self.stream.write_all(request).context("write the request")?;
        self.answer(wanted, progress)
    }

    /// Reads an answer to something already written.
    ///
    /// # Errors
    /// As [`Exchange::ask`].
    pub(crate) fn answer(
        &mut self,
        wanted: Wanted,
        mut progress: impl FnMut(&Reader),
    ) -> anyhow::Result<Answer> {
        let mut reader = Reader::new(wanted);
        let mut piece = [0; 16 * 1024];
        loop {
            let length = match self.stream.read(&mut piece) {
                Ok(0) if reader.has_bytes() => bail!("closed in the middle of the answer"),
                Ok(0) => bail!("closed without an answer"),
                Ok(length) => length,
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                    bail!("silent for too long")
                }
                Err(error) => return Err(error).context("read the answer"),
            };
            let end = reader.feed(&piece[..length]).map_err(|what| anyhow::anyhow!("malformed: {what}"))?;
            progress(&reader);
            if let Some(used) = end {
                self.left_over = piece[used..length].to_vec();
                return Ok(reader.answer().clone());
            }
        }
    }
}

/// The text of a `GET`; `extra` holds whole header lines.
pub(crate) fn get(host: &str, path: &str, extra: &str) -> Vec<u8> {
    format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: havre-bench\r\n{extra}\r\n").into_bytes()
}
