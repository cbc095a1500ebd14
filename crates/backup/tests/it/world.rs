//! What the contract needs of a world, and streams to store.

use std::collections::BTreeSet;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use havre_backup::{Dump, Entry, Repository, RepositoryError, Source, Verdict};
use havre_core::time::Timestamp;
use tokio::io::{AsyncRead, AsyncReadExt as _, ReadBuf};
use tokio_util::sync::CancellationToken;

/// A place where there is no repository yet.
pub(crate) trait World {
    /// It.
    fn repository(&self) -> Arc<dyn Repository>;
    /// It, with the password of another one.
    fn with_wrong_password(&self) -> Arc<dyn Repository>;
}

pub(crate) const PASSWORD: &str = "correct horse battery staple";

/// An entry of that second.
pub(crate) fn entry(second: i64) -> Entry {
    Entry {
        name: "shop-production-db.dump".parse().expect("is a name"),
        tags: BTreeSet::from(["shop/production/db".parse().expect("is a tag")]),
        at: Timestamp::from_millis(1_763_978_400_000 + second * 1000),
    }
}

/// Bytes that nothing compresses, the same for the same seed.
pub(crate) fn noise(length: usize, seed: u64) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut bytes = Vec::with_capacity(length + 8);
    while bytes.len() < length {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes.truncate(length);
    bytes
}

struct Broken;

impl AsyncRead for Broken {
    fn poll_read(self: Pin<&mut Self>, _: &mut Context<'_>, _: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Err(io::Error::other("connection reset")))
    }
}

/// A stream that breaks after these bytes, of a producer that calls itself done.
pub(crate) fn breaking(bytes: &[u8]) -> Source {
    let (source, verdict) = Source::new(io::Cursor::new(bytes.to_vec()).chain(Broken));
    verdict.succeeded();
    source
}

/// A stream that ends after these bytes, of a producer that says later how it ended.
pub(crate) fn ending(bytes: &[u8]) -> (Source, Verdict) {
    Source::new(io::Cursor::new(bytes.to_vec()))
}

pub(crate) async fn put(repository: &Arc<dyn Repository>, second: i64, bytes: &[u8]) -> havre_backup::Stored {
    let never = CancellationToken::new();
    repository.store(&entry(second), Source::whole(bytes.to_vec()), &never).await.expect("is stored")
}

pub(crate) async fn all(mut dump: Dump) -> Result<Vec<u8>, RepositoryError> {
    let mut bytes = Vec::new();
    while let Some(part) = dump.next().await? {
        bytes.extend_from_slice(&part);
    }
    Ok(bytes)
}
