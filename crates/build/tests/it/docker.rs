//! Real Docker.
