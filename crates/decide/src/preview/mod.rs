//! Which previews are made and which go. Tests at the end of the file.

pub mod plan;
