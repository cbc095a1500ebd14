//! `plan` chooses what becomes of a database next, `check` holds the laws; `tuning` is what its server is started with, `variable` what services
//! are told, `mariadb` what is said to such a server; `throw_away` is what tests get instead. Tests: `tests/it/database`, and at the ends of files.

pub mod check;
pub mod mariadb;
pub mod plan;
pub mod throw_away;
pub mod tuning;
pub mod variable;
