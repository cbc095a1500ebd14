//! The content of a snapshot as it comes out. A channel that just ends looks like a file that just ends, so the end is said, and only
//! after all bytes were the right ones.

use bytes::Bytes;
use havre_core::backup::Content;
use tokio::sync::mpsc;

use crate::error::RepositoryError;

/// Parts that may wait for a slow reader; each is at most [`PART_BYTES`] long.
const QUEUE: usize = 4;
/// Bytes of one part.
pub(crate) const PART_BYTES: usize = 256 * 1024;

/// One thing that comes out.
#[derive(Debug)]
pub(crate) enum Part {
    /// The next bytes.
    Bytes(Bytes),
    /// There are no more: all came, and were what had been stored; or why not.
    End(Result<Content, RepositoryError>),
}

/// A snapshot on its way out. Nothing of it may be used before [`Dump::next`] has said that it was all.
#[derive(Debug)]
pub struct Dump {
    parts: mpsc::Receiver<Part>,
    content: Option<Content>,
}

pub(crate) fn channel() -> (mpsc::Sender<Part>, Dump) {
    let (sender, parts) = mpsc::channel(QUEUE);
    (sender, Dump { parts, content: None })
}

impl Dump {
    /// The next bytes; nothing once all have come and were what had been stored.
    ///
    /// # Errors
    /// They cannot be read, are not what was stored, or whoever reads them went away. Safe to drop and call again.
    pub async fn next(&mut self) -> Result<Option<Bytes>, RepositoryError> {
        if self.content.is_some() {
            return Ok(None);
        }
        match self.parts.recv().await {
            Some(Part::Bytes(bytes)) => Ok(Some(bytes)),
            Some(Part::End(Ok(content))) => {
                self.content = Some(content);
                Ok(None)
            }
            Some(Part::End(Err(error))) => Err(error),
            None => Err(RepositoryError::Failed {
                doing: "read a snapshot",
                place: "the repository".to_owned(),
                reason: "it ended before its end".to_owned(),
            }),
        }
    }

    /// What came, once [`Dump::next`] has said that it was all.
    pub fn content(&self) -> Option<&Content> {
        self.content.as_ref()
    }
}
