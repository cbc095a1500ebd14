//! Which previews are made and which go is `plan`; what people are told of them at the forge is `comment`. Tests at the ends of the files.

pub mod comment;
pub mod host;
pub mod plan;
