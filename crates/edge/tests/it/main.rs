//! Integration tests of the edge: one binary, one file for each subject.

mod control;
mod metrics;
mod probe;
mod site;
mod world;
