//! `havre-bench zero-loss`: deploys again and again under load and looks for one lost request, one reset, one answer of
//! the wrong release. Whatever it cannot prove counts as a problem. Tests: `tests.rs` and in the files of its parts.

mod deploy;
mod judge;
mod report;
mod streams;
mod subject;
#[cfg(test)]
mod tests;
mod traffic;
mod websocket;

use std::net::SocketAddr;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use clap::Args;

use deploy::{Ran, run_argv};
use report::{Report, StreamReport, SubjectReport};
use streams::{StreamEnd, StreamPlan};
use subject::{Rules, Subject};

/// Rate for the host of the streams where it has a service of its own: enough to time its switch.
const STREAMS_RATE: f64 = 50.0;
/// A stream must end this much after it could at the latest; then it hangs.
const STREAM_SLACK: Duration = Duration::from_secs(60);

/// Arguments of `havre-bench zero-loss`.
#[derive(Debug, Clone, Args)]
pub(crate) struct ZeroLossArguments {
    /// Address of the edge: `ip:port`.
    #[arg(long)]
    target: SocketAddr,
    /// Host of the service that is deployed.
    #[arg(long)]
    host: String,
    /// Path that is asked for.
    #[arg(long, default_value = "/")]
    path: String,
    /// How many deploys.
    #[arg(long, default_value_t = 50)]
    deploys: u32,
    /// Requests per second.
    #[arg(long, default_value_t = 500.0)]
    rate: f64,
    /// Part of the requests that open a connection of their own.
    #[arg(long, default_value_t = 0.5)]
    fresh_share: f64,
    /// Most requests in flight.
    #[arg(long, default_value_t = 64)]
    connections: usize,
    /// Where the last line of the command's output, a JSON object, names the release. Without such a line the release is
    /// what the probe after the deploy finds.
    #[arg(long, default_value = "release")]
    release_key: String,
    /// The command is expected to fail, and the release that was live must stay the only one that answers.
    #[arg(long)]
    expect_failure: bool,
    /// A deploy need not change the release (restarts).
    #[arg(long)]
    same_release: bool,
    /// Longest time for one deploy, in seconds.
    #[arg(long, default_value_t = 300)]
    deploy_timeout: u64,
    /// Load before the first, between two and after the last deploy, in seconds.
    #[arg(long, default_value_t = 2.0)]
    pause: f64,
    /// Host of a service that serves the long streams (`examples/faults`, `streams`).
    #[arg(long)]
    streams_host: Option<String>,
    /// Command that deploys the service of the streams, as a JSON array such as `["havre","deploy","streams"]`; left
    /// out, the main command does (`--streams-host` is then another host of the same service, or the same).
    #[arg(long, requires = "streams_host", value_name = "JSON", value_parser = parse_argv)]
    streams_command: Option<Argv>,
    /// Before which deploys streams begin; left out, before the first and the last.
    #[arg(long, requires = "streams_host", value_delimiter = ',')]
    streams_at: Vec<u32>,
    /// How long the slow answer, the WebSocket and the events last, in seconds; must be below the drain deadline.
    #[arg(long, default_value_t = 25)]
    stream_seconds: u32,
    /// How long the upload lasts, in seconds.
    #[arg(long, default_value_t = 15)]
    upload_seconds: u32,
    /// Command that deploys, run without a shell; `{n}` in an argument becomes the number of the deploy.
    #[arg(last = true, required = true)]
    command: Vec<String>,
}

/// A command and its arguments.
#[derive(Debug, Clone)]
struct Argv(Vec<String>);

fn parse_argv(text: &str) -> Result<Argv, serde_json::Error> {
    serde_json::from_str(text).map(Argv)
}

/// Runs the proof with real commands; `true` when nothing was found.
pub(crate) fn run_command(arguments: &ZeroLossArguments) -> anyhow::Result<bool> {
    let limit = Duration::from_secs(arguments.deploy_timeout);
    let mut main = |number| run_argv(&arguments.command, number, limit);
    let streams_argv = arguments.streams_command.clone();
    let mut streams = |number| run_argv(&streams_argv.as_ref().unwrap_or(&Argv(Vec::new())).0, number, limit);
    let report = prove(arguments, &mut main, &mut streams)?;
    eprint!("{}", report.table());
    println!("{}", serde_json::to_string(&report)?);
    Ok(report.problems.is_empty())
}

/// Something that deploys and says how it ended.
type Deploy<'a> = &'a mut dyn FnMut(u32) -> anyhow::Result<Ran>;

/// The proof itself; tests give their own deploys.
fn prove(arguments: &ZeroLossArguments, main: Deploy<'_>, streams: Deploy<'_>) -> anyhow::Result<Report> {
    let pause = Duration::try_from_secs_f64(arguments.pause).context("read --pause")?;
    let rules = Rules {
        target: arguments.target,
        path: arguments.path.clone(),
        rate: arguments.rate,
        fresh_share: arguments.fresh_share,
        connections: arguments.connections,
        release_key: arguments.release_key.clone(),
        expect_failure: arguments.expect_failure,
        same_release: arguments.same_release,
    };
    let began = Instant::now();
    let mut service = Subject::begin(&arguments.host, rules.clone())?;
    let mut own_streams = match (&arguments.streams_host, &arguments.streams_command) {
        (Some(host), Some(_)) => {
            let rules = Rules { rate: STREAMS_RATE, expect_failure: false, path: "/".to_owned(), ..rules };
            Some(Subject::begin(host, rules)?)
        }
        _ => None,
    };
    let mut ended = Vec::new();
    std::thread::sleep(pause);
    for number in 1..=arguments.deploys {
        let has_streams = arguments.streams_host.is_some() && is_stream_deploy(arguments, number);
        let handles = if has_streams { streams::start(&stream_plan(arguments)?)? } else { Vec::new() };
        match &mut own_streams {
            Some(subject) if has_streams => {
                subject.deploy(number, streams)?;
                ended.extend(join(arguments, handles, (number, subject.deploys.len() - 1))?);
                service.deploy(number, main)?;
            }
            _ => {
                service.deploy(number, main)?;
                ended.extend(join(arguments, handles, (number, service.deploys.len() - 1))?);
            }
        }
        eprintln!("deploy {number} of {}: {}", arguments.deploys, service.last_line());
        std::thread::sleep(pause);
    }
    let service = service.finish()?;
    let own_streams = own_streams.map(Subject::finish).transpose()?;
    let judged = own_streams.as_ref().unwrap_or(&service);
    let streams = ended.into_iter().map(|stream| stream_report(stream, judged)).collect();
    Ok(Report::new(began.elapsed(), service, own_streams, streams))
}

fn is_stream_deploy(arguments: &ZeroLossArguments, number: u32) -> bool {
    if arguments.streams_at.is_empty() {
        number == 1 || number == arguments.deploys
    } else {
        arguments.streams_at.contains(&number)
    }
}

fn stream_plan(arguments: &ZeroLossArguments) -> anyhow::Result<StreamPlan> {
    let seconds = 1..=600;
    ensure!(
        seconds.contains(&arguments.stream_seconds) && seconds.contains(&arguments.upload_seconds),
        "streams last 1 to 600 seconds"
    );
    Ok(StreamPlan {
        target: arguments.target,
        host: arguments.streams_host.clone().context("streams need --streams-host")?,
        seconds: arguments.stream_seconds,
        upload_seconds: arguments.upload_seconds,
    })
}

/// A stream that is over, the number of the deploy it was to survive, and the place of that in its subject.
struct Ended {
    stream: StreamEnd,
    number: u32,
    place: usize,
}

fn join(
    arguments: &ZeroLossArguments,
    handles: Vec<JoinHandle<StreamEnd>>,
    (number, place): (u32, usize),
) -> anyhow::Result<Vec<Ended>> {
    let longest = arguments.stream_seconds.max(arguments.upload_seconds);
    let deadline = Instant::now() + Duration::from_secs(longest.into()) + STREAM_SLACK;
    let mut ended = Vec::new();
    for handle in handles {
        while !handle.is_finished() {
            ensure!(Instant::now() < deadline, "a stream hangs");
            std::thread::sleep(Duration::from_millis(20));
        }
        let stream = handle.join().map_err(|_| anyhow::anyhow!("the thread of a stream panicked"))?;
        ended.push(Ended { stream, number, place });
    }
    Ok(ended)
}

/// A stream proves something only if it ended after the new release had begun to answer others.
fn stream_report(ended: Ended, subject: &SubjectReport) -> StreamReport {
    let Ended { stream, number, place } = ended;
    let switched = subject.deploys.get(place).and_then(|deploy| deploy.first_answer);
    let seconds_after_switch = switched
        .filter(|switched| *switched <= stream.ended && *switched >= stream.began)
        .map(|switched| stream.ended.duration_since(switched).as_secs_f64());
    StreamReport {
        kind: stream.kind,
        deploy: number,
        seconds: stream.ended.duration_since(stream.began).as_secs_f64(),
        seconds_after_switch,
        cut: stream.outcome.err(),
    }
}
