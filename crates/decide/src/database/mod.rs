//! `plan` chooses what becomes of a database next, `check` holds the laws; `throw_away` is what tests get instead. Tests: `tests/it/database`.

pub mod check;
pub mod plan;
pub mod throw_away;
pub mod variable;
