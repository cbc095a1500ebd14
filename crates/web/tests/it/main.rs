//! Tests of the HTTP API on real routers, a store in a temporary folder and fakes for what the daemon hands over.

mod access;
mod build;
mod certificate;
mod database;
mod deployment;
mod destroy;
mod edge;
mod environment;
mod event;
mod fake_git;
mod git;
mod issuer;
mod job;
mod node;
mod pipeline;
mod preview;
mod promotion;
mod refusal;
mod registry;
mod remote;
mod serve;
mod service;
mod task;
mod webhook;
mod webhook_image;
mod world;
