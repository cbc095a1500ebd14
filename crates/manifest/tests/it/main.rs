//! Tests of `havre.toml`: what each table may say, and what is said of what it may not.

mod manifest;
mod manifest_database;
mod manifest_edge;
mod manifest_job;
mod manifest_secret;
mod manifest_test;
mod manifest_volume;
mod previews;
mod site_purge;
