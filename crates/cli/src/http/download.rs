//! Answers that are bytes of a known number: fewer of them are an error, whatever the connection says. Tests: `tests/it/restore.rs`.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use hyper::{Method, Response};

use super::{Client, empty};
use crate::exit::{CliError, Exit};

/// Longest wait for the next bytes: the server may have to read a whole part of a repository before it has some.
const SILENCE: Duration = Duration::from_secs(600);

/// Bytes on their way here.
#[derive(Debug)]
pub(crate) struct Download {
    response: Response<Incoming>,
    /// How many there will be.
    pub(crate) length: u64,
    got: u64,
}

impl Client {
    /// `GET` of bytes.
    pub(crate) async fn download(&self, path: &str) -> Result<Download, CliError> {
        let response = self.send(Method::GET, path, "application/json", empty()).await?;
        let length = response.headers().get("content-length").and_then(|value| value.to_str().ok());
        let Some(length) = length.and_then(|text| text.parse().ok()) else {
            return Err(CliError::new(Exit::Failed, "the server does not say how many bytes there are")
                .hint("client and server may be of different versions; see `havre version`"));
        };
        Ok(Download { response, length, got: 0 })
    }
}

impl Download {
    /// A header of the answer.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.response.headers().get(name).and_then(|value| value.to_str().ok())
    }

    /// The next bytes; nothing once all have come.
    pub(crate) async fn next(&mut self) -> Result<Option<Bytes>, CliError> {
        loop {
            let frame = tokio::time::timeout(SILENCE, self.response.body_mut().frame()).await;
            let frame = match frame {
                Err(_) => return Err(self.broken("the server has fallen silent")),
                Ok(None) if self.got == self.length => return Ok(None),
                Ok(None) => return Err(self.broken("it ended before its end")),
                Ok(Some(Err(error))) => return Err(self.broken(&error.to_string())),
                Ok(Some(Ok(frame))) => frame,
            };
            if let Ok(bytes) = frame.into_data() {
                self.got += bytes.len() as u64;
                return Ok(Some(bytes));
            }
        }
    }

    fn broken(&self, why: &str) -> CliError {
        let text = format!("only {} of {} bytes have come: {why}", self.got, self.length);
        CliError::new(Exit::Unreachable, text)
            .hint("the log of havred says whether the snapshot could be read; try again, or another one")
    }
}
