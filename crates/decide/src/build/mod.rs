//! What becomes of a build next. Tests: `tests/it/build.rs`.

pub mod plan;
