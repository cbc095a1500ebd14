//! What a request says, and what the settings of its route make of it: parsers that refuse whatever has two meanings, the
//! judgement of route settings, the edge's own pages, the numbers of what requests came to.
//!
//! A crate of its own because it enforces a ban: what reads the bytes of strangers opens no connection and no file, and keeps
//! no time but what it is told. Every parser has a target in `fuzz`. The data path around it is `havre-edge`, whose tests
//! (`crates/edge/tests/it`) send it real bytes; the rest are at the end of files.

pub mod account;
pub mod date;
pub mod h1;
pub mod h2;
pub mod page;
pub mod policy;
pub mod proxy_protocol;
pub mod site;
pub mod trace;
pub mod trust;
