//! Events: read and followed by cursor.

pub mod list;
pub mod verify;
