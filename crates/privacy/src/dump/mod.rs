//! The text that `pg_dump --format=plain` writes: rows, statements, tables. Tests: at the end of its files, and `tests/it`.

pub mod copy;
pub(crate) mod split;
pub(crate) mod statement;
pub mod table;
pub(crate) mod token;
