//! Which built images nobody needs any more. Tests: `tests/it/image.rs`.

pub mod retention;
