//! Databases: what runs, what it waits for, a client inside, ways in from here, copies, new passwords, new names and versions, and taking one
//! away. Tests at the end of the files.

pub(crate) mod cancel;
pub(crate) mod command;
pub(crate) mod connect;
pub(crate) mod console;
pub(crate) mod copies;
pub(crate) mod copy;
pub(crate) mod destroy;
pub(crate) mod dump;
pub(crate) mod import;
pub(crate) mod info;
pub(crate) mod list;
pub(crate) mod logs;
pub(crate) mod person;
pub(crate) mod rotate;
pub(crate) mod swap;
pub(crate) mod swaps;
pub(crate) mod upgrade;

mod frames;
mod insight;

use havre_core::name::DatabaseName;

use crate::invocation::Scope;

/// Path of something of a database; `rest` is empty or begins with a slash.
pub(crate) fn path(scope: &Scope, database: &DatabaseName, rest: &str) -> String {
    format!("{}/databases/{database}{rest}", scope.path())
}
