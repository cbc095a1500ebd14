//! Events: read and followed by cursor.

pub mod list;
