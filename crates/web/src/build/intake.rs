//! Where a build context goes: a function handed over by the daemon, so that `web` sees no builder. Plain data only.

use async_trait::async_trait;
use bytes::Bytes;
use havre_core::id::BuildId;

use crate::error::{Code, Refusal};

/// Takes build contexts in.
#[async_trait]
pub trait ContextIntake: Send + Sync + 'static {
    /// Begins a context of at most `limit` bytes.
    async fn begin(&self, limit: u64) -> Result<Box<dyn ContextUpload>, IntakeError>;
}

/// A context on its way in. Dropped without [`ContextUpload::finish`], nothing of it stays.
#[async_trait]
pub trait ContextUpload: Send {
    /// Takes the next bytes of the tar stream.
    async fn write(&mut self, chunk: Bytes) -> Result<(), IntakeError>;

    /// Ends and verifies it.
    async fn finish(self: Box<Self>) -> Result<Box<dyn ReceivedContext>, IntakeError>;
}

/// A complete, verified context without a build. Dropped without [`ReceivedContext::publish`], nothing of it stays.
pub trait ReceivedContext: Send {
    /// Gives it to a build, replacing what may be there under that id. Called inside the store's write transaction,
    /// just before it commits: it should only rename.
    fn publish(self: Box<Self>, build: BuildId) -> Result<(), IntakeError>;
}

/// Why a context was not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IntakeError {
    /// It is not a tar stream, or holds what no context may hold.
    #[error("the build context is not usable: {0}")]
    Invalid(String),
    /// It is over the limit.
    #[error("the build context is too large: {0}")]
    TooLarge(String),
    /// The disk is full.
    #[error("the server's disk is full")]
    NoSpace,
    /// Something else on the server; the text goes to the log only.
    #[error("could not store the build context: {0}")]
    Failed(String),
}

impl From<IntakeError> for Refusal {
    fn from(error: IntakeError) -> Self {
        let text = error.to_string();
        match error {
            IntakeError::Invalid(_) => Self::new(Code::ContextInvalid, text),
            IntakeError::TooLarge(_) => {
                Self::new(Code::ContextTooLarge, text).hint("leave files out with a .dockerignore")
            }
            IntakeError::NoSpace => Self::new(Code::DiskFull, text).hint("free some space on the server"),
            IntakeError::Failed(_) => Self::internal("take a build context in", &error),
        }
    }
}
