//! What becomes of a build next. Tests: `tests/it/build.rs`.

pub mod admission;
pub mod limit;
pub mod plan;
