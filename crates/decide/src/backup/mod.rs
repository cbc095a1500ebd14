//! Which snapshots stay is `retention`; how many copies there are and how old is `account`. Tests at the ends of the files.

pub mod account;
pub mod retention;
