//! `plan` chooses what a deployment does next, `check` lists what must never happen; `course` says which states come, `outline` tells
//! people so beforehand. Tests: `tests/it/deployment.rs`, `tests/it/laws.rs`.

pub mod check;
pub mod course;
pub mod outline;
pub mod plan;
