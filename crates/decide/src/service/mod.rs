//! `plan` keeps the live release as specified, from what `seen` was; `check` holds its laws. Tests: `tests/it/service.rs`, `tests/it/laws.rs`.

pub mod check;
pub mod plan;
pub mod seen;
pub mod step;
