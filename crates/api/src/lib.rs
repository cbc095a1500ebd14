//! What crosses a process boundary: HTTP bodies, the route table, edge reports. Golden-tested JSON, no behaviour.
//!
//! A crate of its own because it enforces a ban: client and edge see these types and never the store or a seam.

pub mod edge_report;
pub mod route_table;
