//! Laws of the decisions, on a simulated world: golden walks through deployments and property tests of `check`.

mod build;
mod certificate;
mod database;
mod deployment;
mod image;
mod job;
mod laws;
mod sample;
mod secret;
mod service;
mod settings;
mod sim;
mod site;
