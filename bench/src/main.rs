//! `havre-bench`: measures Havre and tries to catch it losing requests. `bench/README.md` says what each command does.
//! It ships with nothing and is no test of correctness by itself. Tests: at the end of files.

mod edge;
mod http;
mod idle;
mod load;
mod process;
mod self_test;
mod upstream;
mod zero_loss;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

#[derive(Debug, Parser)]
#[command(name = "havre-bench", version, about = "Measures Havre and tries to catch it losing requests")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// An application that costs next to nothing: fixed bodies, connections kept.
    Upstream(upstream::UpstreamArguments),
    /// Load with every kind of failure counted by itself; prints JSON.
    Load(load::LoadArguments),
    /// Deploys again and again under load and looks for lost requests, resets and answers of the wrong release.
    ZeroLoss(zero_loss::ZeroLossArguments),
    /// The edge beside its peers, in interleaved rounds; prints tables.
    Edge(edge::EdgeArguments),
    /// Memory of the edge and its peers with idle connections, and with many hosts; prints a table.
    EdgeMemory(edge::MemoryArguments),
    /// How soon a change among many routes reaches users, and what ten changes a second cost; prints a table.
    EdgeRoutes(edge::RoutesArguments),
    /// Memory and CPU of processes that should cost next to nothing; prints JSON.
    Idle(idle::IdleArguments),
    /// Plants every failure and proves that the load sees it.
    SelfTest,
}

fn main() -> ExitCode {
    let result = match Arguments::parse().command {
        Command::Upstream(arguments) => upstream::run_command(&arguments).map(|()| true),
        Command::Load(arguments) => load::run_command(&arguments),
        Command::ZeroLoss(arguments) => zero_loss::run_command(&arguments),
        Command::Edge(arguments) => edge::run_command(&arguments),
        Command::EdgeMemory(arguments) => edge::run_memory_command(&arguments),
        Command::EdgeRoutes(arguments) => edge::run_routes_command(&arguments),
        Command::Idle(arguments) => idle::run_command(&arguments),
        Command::SelfTest => self_test::run_command(),
    };
    match result {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("havre-bench: {error:#}");
            ExitCode::from(2)
        }
    }
}
