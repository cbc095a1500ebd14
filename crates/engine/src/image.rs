//! Images as plain data.

use havre_core::artifact::{Digest, ImageRef};
use havre_core::id::{BuildId, ServiceId};
use havre_core::quantity::ByteSize;
use havre_core::time::Timestamp;
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;

/// An image that is here.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImageInfo {
    /// The engine's id of it.
    pub id: Digest,
    /// Where it can be pulled from again, pinned by digest; `None` for images built here.
    pub pull: Option<ImageRef>,
    /// Room it takes, layers shared with other images included.
    pub size: ByteSize,
}

/// An image this installation has built.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BuiltImage {
    /// The engine's id of it.
    pub id: Digest,
    /// Service it was built for.
    pub service: Option<ServiceId>,
    /// The build that made it.
    pub build: Option<BuildId>,
    /// When it was made.
    pub created_at: Timestamp,
    /// Room it takes, layers shared with other images included.
    pub size: ByteSize,
}

/// A name turned into an image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ResolvedImage {
    /// The engine's id of it.
    pub id: Digest,
    /// Where it can be pulled from again, pinned by digest; `None` for images only this engine has, as far as the
    /// engine can tell (Docker with images in containerd cannot).
    pub pull: Option<ImageRef>,
}

/// When a registry is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PullPolicy {
    /// Never: only what the engine has.
    Never,
    /// Only when the engine has no image of that name.
    IfMissing,
    /// Always: a tag may have moved.
    Always,
}

/// How far a pull is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PullProgress {
    /// Layer, or empty for the image as a whole.
    pub layer: String,
    /// What is being done, such as `Downloading`.
    pub status: String,
    /// Bytes done of this layer.
    pub done: ByteSize,
    /// Bytes of this layer, where known.
    pub total: Option<ByteSize>,
}

/// Where progress of a pull goes. Bounded by its maker; what does not fit is dropped.
pub type ProgressSender = mpsc::Sender<PullProgress>;
