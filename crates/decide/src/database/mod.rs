//! `plan` chooses what becomes of a database next, `check` holds the laws; `tuning` is what its server is started with, `variable` what services
//! are told, `mariadb` what is said to such a server; `insight` is what servers say about themselves, `throw_away` what tests get instead.
//! Tests: `tests/it/database`, and at the ends of files.

pub mod check;
pub mod insight;
pub mod mariadb;
pub mod plan;
pub mod throw_away;
pub mod tuning;
pub mod variable;
