//! Copies of PostgreSQL databases without the people in them: the text of a dump in, the text of a masked dump out, by the rules of
//! `privacy.toml`. And what belongs to one person: statements that export it and that erase it.
//!
//! A crate of its own because it enforces a ban: no I/O, no async, no clock, no network. In order: [`policy::Policy::parse`],
//! [`masker::Masker`] over the chunks of a dump, and where wanted [`leak::Leak`] over what came out of it. Who runs `pg_dump` and psql,
//! and who throws a refused copy away, is not here. Reference for people: `docs/privacy-toml.md`. Tests: `tests/it`, and at the end of
//! files.

mod check;
pub mod dump;
pub mod error;
pub mod leak;
mod mask;
pub mod masker;
pub mod name;
pub mod person;
mod personal;
pub mod policy;
mod row;
pub mod salt;
