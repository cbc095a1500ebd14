//! Streamed answers: one JSON object on each line; empty lines keep the connection alive.
//! Tests: `tests/it/follow.rs`.

use std::time::Duration;

use bytes::{Buf as _, BytesMut};
use havre_api::error::StreamEnd;
use http_body_util::BodyExt as _;
use hyper::body::Incoming;

use crate::exit::{CliError, Exit};

/// Longest line that is read.
const LINE_MAX: usize = 4 * 1024 * 1024;
/// A server sends at least an empty line this often; beyond it the connection counts as lost.
const SILENCE: Duration = Duration::from_secs(90);

/// A stream of lines.
#[derive(Debug)]
pub(crate) struct Lines {
    body: Incoming,
    buffer: BytesMut,
    endpoint: String,
}

/// What a stream gives.
#[derive(Debug)]
pub(crate) enum Line {
    /// One object, not parsed yet: readers are more lenient than the types.
    Object(serde_json::Value),
    /// The stream ended as it should.
    End,
    /// The connection broke; the stream may be opened again.
    Lost(String),
    /// The server ended the stream with an error.
    Refused(CliError),
}

impl Lines {
    pub(super) fn new(body: Incoming, endpoint: String) -> Self {
        Self { body, buffer: BytesMut::new(), endpoint }
    }

    /// The next line; can be dropped and called again.
    pub(crate) async fn next(&mut self) -> Line {
        loop {
            while let Some(end) = self.buffer.iter().position(|byte| *byte == b'\n') {
                let line = self.buffer.split_to(end);
                self.buffer.advance(1);
                if !line.iter().all(u8::is_ascii_whitespace) {
                    return self.parse(&line);
                }
            }
            if self.buffer.len() > LINE_MAX {
                return Line::Lost(format!("{} sent a line that is too long", self.endpoint));
            }
            match tokio::time::timeout(SILENCE, self.body.frame()).await {
                Err(_) => return Line::Lost(format!("{} has fallen silent", self.endpoint)),
                Ok(Some(Err(error))) => {
                    return Line::Lost(format!("the connection to {} broke off: {error}", self.endpoint));
                }
                Ok(None) if self.buffer.is_empty() => return Line::End,
                Ok(None) => return Line::Lost(format!("{} ended within a line", self.endpoint)),
                Ok(Some(Ok(frame))) => {
                    if let Ok(data) = frame.into_data() {
                        self.buffer.extend_from_slice(&data);
                    }
                }
            }
        }
    }

    fn parse(&self, line: &[u8]) -> Line {
        if let Ok(end) = serde_json::from_slice::<StreamEnd>(line) {
            let mut error = CliError::new(Exit::Failed, end.error.message);
            error.hint = end.error.hint;
            error.code = end.error.code;
            return Line::Refused(error);
        }
        match serde_json::from_slice(line) {
            Ok(value) => Line::Object(value),
            Err(error) => Line::Refused(CliError::new(
                Exit::Failed,
                format!("could not understand a line of {}: {error}", self.endpoint),
            )),
        }
    }
}
