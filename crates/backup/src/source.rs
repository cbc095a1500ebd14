//! What should be saved: a stream of bytes, and how its producer ended, which is known only after the last byte. The two are kept
//! apart because a program that dies half way closes its output just like one that is done. Whoever says nothing has failed.
//! Tests at the end of the file.

use std::fmt;

use havre_core::backup::Content;
use tokio::io::AsyncRead;
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

use crate::error::RepositoryError;

/// A stream to be stored.
pub struct Source {
    reader: Box<dyn AsyncRead + Send + Unpin>,
    ended: Ended,
}

/// How the producer will have ended.
pub(crate) struct Ended(oneshot::Receiver<Result<(), String>>);

/// What the producer says in the end. Dropped without a word, it says that the producer failed.
#[derive(Debug)]
pub struct Verdict(oneshot::Sender<Result<(), String>>);

impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Source(..)")
    }
}

impl Source {
    /// A stream whose producer speaks through the verdict once it has ended.
    pub fn new(reader: impl AsyncRead + Send + Unpin + 'static) -> (Self, Verdict) {
        let (sender, receiver) = oneshot::channel();
        (Self { reader: Box::new(reader), ended: Ended(receiver) }, Verdict(sender))
    }

    /// Bytes that are all there.
    pub fn whole(bytes: Vec<u8>) -> Self {
        let (source, verdict) = Self::new(std::io::Cursor::new(bytes));
        verdict.succeeded();
        source
    }

    pub(crate) fn into_parts(self) -> (Box<dyn AsyncRead + Send + Unpin>, Ended) {
        (self.reader, self.ended)
    }
}

impl Verdict {
    /// It ended with the status 0 and had written everything.
    pub fn succeeded(self) {
        // Nobody listens any more where the run was given up.
        let _ = self.0.send(Ok(()));
    }

    /// It ended in any other way.
    pub fn failed(self, reason: impl Into<String>) {
        let _ = self.0.send(Err(reason.into()));
    }
}

impl Ended {
    /// Waits for the verdict on what was read to its end.
    pub(crate) async fn judge(
        self,
        content: Content,
        cancel: &CancellationToken,
    ) -> Result<Content, RepositoryError> {
        let said = tokio::select! {
            () = cancel.cancelled() => return Err(RepositoryError::Cancelled),
            said = self.0 => said,
        };
        match said {
            Ok(Ok(())) if content.bytes == 0 => Err(RepositoryError::Empty),
            Ok(Ok(())) => Ok(content),
            Ok(Err(reason)) => Err(RepositoryError::Source { reason }),
            Err(_) => {
                let reason = "its producer went away without saying how it ended".to_owned();
                Err(RepositoryError::Source { reason })
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn content(bytes: u64) -> Content {
        Content { bytes, sha256: "a".repeat(64).parse().expect("is a digest") }
    }

    #[tokio::test]
    async fn whoever_says_nothing_has_failed() {
        let (source, verdict) = Source::new(std::io::Cursor::new(Vec::new()));
        drop(verdict);
        let judged = source.into_parts().1.judge(content(1), &CancellationToken::new()).await;
        assert!(matches!(judged, Err(RepositoryError::Source { .. })), "{judged:?}");
    }

    #[tokio::test]
    async fn success_needs_a_byte() {
        let never = CancellationToken::new();
        let judged = Source::whole(vec![1]).into_parts().1.judge(content(1), &never).await;
        assert_eq!(judged, Ok(content(1)));
        let judged = Source::whole(Vec::new()).into_parts().1.judge(content(0), &never).await;
        assert_eq!(judged, Err(RepositoryError::Empty));
    }
}
