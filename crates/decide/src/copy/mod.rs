//! `plan` chooses what becomes of a copy next, `sql` makes what servers are told, `command` how their programs are called, `header` reads what a
//! dump says of itself. Tests at the ends of the files.

pub mod command;
pub mod header;
pub mod plan;
pub mod sql;
