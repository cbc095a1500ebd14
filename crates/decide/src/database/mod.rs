//! `plan` chooses what becomes of a database next, `check` holds the laws. Tests: `tests/it/database`.

pub mod check;
pub mod plan;
