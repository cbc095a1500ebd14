//! The files of a volume as a tar: read while somebody uses them, or put into a volume nobody uses.

use std::io;

use bytes::Bytes;
use futures_util::stream::BoxStream;
use havre_core::artifact::Digest;
use serde::{Deserialize, Serialize};

use crate::error::EngineError;

/// What the volume itself is called in the tar; everything else is below it.
pub const ROOT: &str = "havre-volume";

/// A volume, and how the engine comes to it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VolumeFiles {
    /// Engine's name of the volume.
    pub volume: String,
    /// An image that is here. Engines reach a volume only through a container; that is made of it and never started, so it does not matter
    /// what is in there.
    pub image: Digest,
}

/// A tar on its way out. A stream that ends is no proof of a whole one: engines leave out the end mark where a file became shorter meanwhile.
pub type TarOut = BoxStream<'static, Result<Bytes, EngineError>>;

/// A tar on its way in. Where it ends with an error, nothing of it counts.
pub type TarIn = BoxStream<'static, io::Result<Bytes>>;
