//! Hands uploads from the API to the build crate. An upload gets a number of its own until a build exists for it.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicI64, Ordering};

use async_trait::async_trait;
use bytes::Bytes;
use havre_build::builder::BuildError;
use havre_build::context::{ContextWriter, context_path};
use havre_core::id::BuildId;
use havre_core::quantity::ByteSize;
use havre_web::build::intake::{ContextIntake, ContextUpload, IntakeError, ReceivedContext};

/// Uploads into `<build_dir>/incoming`, published into `<build_dir>`.
#[derive(Debug)]
pub(crate) struct Intake {
    build_dir: PathBuf,
    incoming: PathBuf,
    next: AtomicI64,
}

impl Intake {
    /// Empties what interrupted uploads left.
    pub(crate) fn open(build_dir: &Path) -> std::io::Result<Self> {
        let incoming = build_dir.join("incoming");
        match std::fs::remove_dir_all(&incoming) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
            _ => std::fs::create_dir(&incoming)?,
        }
        Ok(Self { build_dir: build_dir.to_owned(), incoming, next: AtomicI64::new(1) })
    }
}

#[async_trait]
impl ContextIntake for Intake {
    async fn begin(&self, limit: u64) -> Result<Box<dyn ContextUpload>, IntakeError> {
        let number = BuildId::new(self.next.fetch_add(1, Ordering::Relaxed));
        let writer =
            ContextWriter::create(&self.incoming, number, ByteSize::bytes(limit)).await.map_err(refuse)?;
        Ok(Box::new(Upload { writer, build_dir: self.build_dir.clone() }))
    }
}

struct Upload {
    writer: ContextWriter,
    build_dir: PathBuf,
}

#[async_trait]
impl ContextUpload for Upload {
    async fn write(&mut self, chunk: Bytes) -> Result<(), IntakeError> {
        self.writer.write(&chunk).await.map_err(refuse)
    }

    async fn finish(self: Box<Self>) -> Result<Box<dyn ReceivedContext>, IntakeError> {
        let path = self.writer.finish().await.map_err(refuse)?;
        Ok(Box::new(Received { path: Some(path), build_dir: self.build_dir }))
    }
}

struct Received {
    path: Option<PathBuf>,
    build_dir: PathBuf,
}

impl ReceivedContext for Received {
    fn publish(mut self: Box<Self>, build: BuildId) -> Result<(), IntakeError> {
        let Some(path) = self.path.take() else { return Ok(()) };
        std::fs::rename(&path, context_path(&self.build_dir, build)).map_err(|error| {
            let _ = std::fs::remove_file(&path);
            IntakeError::Failed(format!("give the context of {build} its name: {error}"))
        })
    }
}

impl Drop for Received {
    fn drop(&mut self) {
        if let Some(path) = self.path.take()
            && let Err(error) = std::fs::remove_file(&path)
        {
            tracing::warn!(path = %path.display(), %error, "could not remove an upload nobody wants");
        }
    }
}

fn refuse(error: BuildError) -> IntakeError {
    match error {
        BuildError::ContextInvalid { reason } => IntakeError::Invalid(reason),
        BuildError::TooLarge { what, limit } => {
            IntakeError::TooLarge(format!("{what}, the limit is {limit}"))
        }
        BuildError::NoSpace { .. } => IntakeError::NoSpace,
        other => IntakeError::Failed(other.to_string()),
    }
}
