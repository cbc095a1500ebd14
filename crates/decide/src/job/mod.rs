//! `plan` chooses what runs when, `check` holds the laws. Tests: `tests/it/job`.

pub mod check;
pub mod plan;
