//! `havre`, the client: thin commands over the HTTP API, one file each. Decides nothing about services; keeps nothing
//! but the list of servers. Data goes to standard output, everything else to standard error.

mod access;
mod args;
mod backup;
mod build;
mod certificate;
mod completions;
mod context;
mod database;
mod deployment;
mod dns_provider;
mod dockerfile;
mod edge;
mod environment;
mod event;
mod exit;
mod http;
mod invocation;
mod issuer;
mod job;
mod output;
mod pipeline;
mod preview;
mod project;
mod registry;
mod release;
mod remote;
mod repository;
mod restore;
mod secret;
mod service;
mod ssh_key;
mod task;
mod version;
mod webhook;

use std::process::ExitCode;

use clap::Parser as _;

use crate::exit::Exit;

fn main() -> ExitCode {
    // clap ends the process itself: 2 for wrong usage, 0 for --help.
    let args = args::Args::parse();
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            output::say(&format!("havre: could not start: {error}"));
            return ExitCode::from(Exit::Failed.code());
        }
    };
    let result = runtime.block_on(args::run(args));
    // Reading standard input cannot be called off; it must not hold the process.
    runtime.shutdown_background();
    match result {
        Ok(exit) => ExitCode::from(exit.code()),
        Err(error) => {
            if !error.message.is_empty() {
                let style = output::style::Style::stderr();
                output::say(&format!("{} {error}", style.bad("error:")));
            }
            ExitCode::from(error.exit.code())
        }
    }
}
