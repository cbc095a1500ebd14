//! `havre-bench load`: arguments in, one JSON object out.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use clap::Args;

use super::{Pace, Plan, engine, run};

/// Arguments of `havre-bench load`.
#[derive(Debug, Args)]
pub(crate) struct LoadArguments {
    /// Where to connect: `ip:port`.
    #[arg(long)]
    target: SocketAddr,
    /// `Host` header.
    #[arg(long)]
    host: String,
    /// Path of the `GET`.
    #[arg(long, default_value = "/")]
    path: String,
    /// Most requests in flight; with kept connections, how many of them.
    #[arg(long, default_value_t = 64)]
    connections: usize,
    /// How long requests are begun.
    #[arg(long, default_value_t = 5.0)]
    seconds: f64,
    /// Requests per second (open loop); left out, as fast as answers come (closed loop).
    #[arg(long)]
    rate: Option<f64>,
    /// Part of the requests that open a connection of their own, 0 to 1.
    #[arg(long, default_value_t = 0.0)]
    fresh_share: f64,
    /// Longest time for one request, in milliseconds.
    #[arg(long, default_value_t = 10_000)]
    timeout_ms: u64,
}

/// Runs the load and prints its report. `true` when nothing failed.
pub(crate) fn run_command(arguments: &LoadArguments) -> anyhow::Result<bool> {
    let plan = Plan {
        connections: arguments.connections,
        pace: arguments.rate.map_or(Pace::Closed, |per_second| Pace::Open { per_second }),
        fresh_share: arguments.fresh_share,
        timeout: Duration::from_millis(arguments.timeout_ms),
        ..Plan::get(arguments.target, &arguments.host, &arguments.path)
    };
    engine::check(&plan)?;
    let end = Instant::now() + Duration::try_from_secs_f64(arguments.seconds)?;
    let tally = run(&plan, |now| now >= end, |_| {})?;
    println!("{}", serde_json::to_string_pretty(&tally.report())?);
    Ok(tally.is_clean())
}
