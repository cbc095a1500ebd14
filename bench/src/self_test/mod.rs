//! `havre-bench self-test`: plants every failure the load can report and proves that it is reported, as what it is. A
//! load that cannot see failures proves nothing by finding none. `not_connected` is the one kind without a case: it
//! needs a broken network; its mapping has a test in `load/connection.rs`.

mod faults;

use std::cell::Cell;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::{Duration, Instant};

use anyhow::Context as _;

use crate::load::tally::{Failure, LoadReport, Tally};
use crate::load::{Pace, Plan, run};

/// What a case must show.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Expected {
    /// Every request is answered well and nothing else is counted.
    Clean,
    /// Every request fails in this way.
    All(Failure),
    /// Requests are answered well or fail in this way, and at least one does.
    Some(Failure),
    /// Answered well, and then the server closes the kept connection: legal.
    IdleClosed,
    /// Answered well, and then reset.
    IdleReset,
    /// Answered well, and then sent bytes that nobody asked for.
    IdleBytes,
}

/// One planted behaviour.
#[derive(Debug, Clone, Copy)]
struct Case {
    path: &'static str,
    expected: Expected,
    fresh_share: f64,
    timeout: Duration,
}

const PATIENT: Duration = Duration::from_secs(5);
const HASTY: Duration = Duration::from_millis(150);
/// Wait for what happens after an answer; the faults take 100 ms.
const AFTERMATH: Duration = Duration::from_millis(600);

const fn case(path: &'static str, expected: Expected) -> Case {
    Case { path, expected, fresh_share: 0.0, timeout: PATIENT }
}

const CASES: [Case; 21] = [
    case("/ok", Expected::Clean),
    Case { fresh_share: 0.5, ..case("/ok", Expected::Clean) },
    case("/chunked", Expected::Clean),
    case("/polite", Expected::Clean),
    case("/close", Expected::All(Failure::ClosedBeforeAnswer)),
    case("/reset", Expected::All(Failure::ResetBeforeAnswer)),
    Case { fresh_share: 1.0, ..case("/reset", Expected::All(Failure::ResetBeforeAnswer)) },
    case("/half", Expected::All(Failure::ClosedMidAnswer)),
    case("/half-reset", Expected::All(Failure::ResetMidAnswer)),
    case("/race", Expected::Some(Failure::RaceClosed)),
    case("/race-reset", Expected::Some(Failure::RaceReset)),
    case("/500", Expected::All(Failure::Status)),
    case("/nothing-here", Expected::All(Failure::Status)),
    Case { timeout: HASTY, ..case("/stall", Expected::All(Failure::Timeout)) },
    Case { timeout: HASTY, ..case("/stall-half", Expected::All(Failure::Timeout)) },
    case("/garbage", Expected::All(Failure::Malformed)),
    case("/unframed", Expected::All(Failure::Malformed)),
    case("/extra", Expected::All(Failure::Malformed)),
    case("/idle-close", Expected::IdleClosed),
    case("/idle-reset", Expected::IdleReset),
    case("/idle-bytes", Expected::IdleBytes),
];

/// Runs all cases, prints a line for each, `true` when all are as expected.
pub(crate) fn run_command() -> anyhow::Result<bool> {
    let mut is_good = true;
    for (name, problem) in results()? {
        is_good &= problem.is_none();
        println!(
            "{} {name}{}",
            if problem.is_none() { "seen  " } else { "MISSED" },
            problem.unwrap_or_default()
        );
    }
    Ok(is_good)
}

/// Each case with what is wrong about its result.
fn results() -> anyhow::Result<Vec<(String, Option<String>)>> {
    let server = faults::spawn().context("start the server with the planted faults")?;
    let mut results = Vec::new();
    for case in CASES {
        let tally = play(server, case, 5)?;
        results.push((describe(case), problem(case.expected, &tally)));
    }
    let refused = case("/", Expected::All(Failure::Refused));
    let closed = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
    results.push((describe(refused), problem(refused.expected, &play(closed, refused, 5)?)));
    let full = Case { timeout: HASTY, ..case("/", Expected::All(Failure::ConnectTimeout)) };
    let (address, _kept) = full_listener()?;
    results.push((describe(full), problem(full.expected, &play(address, full, 5)?)));
    Ok(results)
}

fn describe(case: Case) -> String {
    format!("{:<14} fresh {:.1}  {:?}", case.path, case.fresh_share, case.expected)
}

/// A listener that never accepts and whose queue is full, so that the kernel ignores who wants to connect.
fn full_listener() -> anyhow::Result<(SocketAddr, (std::os::fd::OwnedFd, Vec<TcpStream>))> {
    use rustix::net::{AddressFamily, SocketFlags, SocketType};
    let flags = SocketFlags::CLOEXEC;
    let socket = rustix::net::socket_with(AddressFamily::INET, SocketType::STREAM, flags, None)?;
    rustix::net::bind(&socket, &SocketAddr::from(([127, 0, 0, 1], 0)))?;
    rustix::net::listen(&socket, 0)?;
    let address = SocketAddr::try_from(rustix::net::getsockname(&socket)?)?;
    let mut kept = Vec::new();
    for _ in 0..8 {
        match TcpStream::connect_timeout(&address, Duration::from_millis(100)) {
            Ok(stream) => kept.push(stream),
            Err(_) => break,
        }
    }
    Ok((address, (socket, kept)))
}

/// Sends at least `count` requests; one where something is to happen after its answer.
fn play(target: SocketAddr, case: Case, count: u64) -> anyhow::Result<Tally> {
    let is_idle = matches!(case.expected, Expected::IdleClosed | Expected::IdleReset | Expected::IdleBytes);
    let is_race = matches!(case.expected, Expected::Some(_));
    let plan = Plan {
        // One after the other where the second request on a connection is the point.
        connections: if is_idle || is_race { 1 } else { 4 },
        // One request alone where something is to happen after the answer.
        pace: Pace::Open { per_second: if is_idle { 0.01 } else { 50.0 } },
        fresh_share: case.fresh_share,
        timeout: case.timeout,
        ..Plan::get(target, "faults.test", case.path)
    };
    let ended = Cell::new(0);
    let last = Cell::new(None);
    let is_over = |now: Instant| match last.get() {
        Some(last) if is_idle => now.duration_since(last) > AFTERMATH,
        _ => !is_idle && ended.get() >= count,
    };
    run(&plan, is_over, |sample| {
        ended.set(ended.get() + 1);
        last.set(Some(sample.ended));
    })
}

/// What is wrong with `tally`, as text for people.
fn problem(expected: Expected, tally: &Tally) -> Option<String> {
    let only = |kind: Failure| tally.failures.total() == tally.failures.of(kind);
    let failed = tally.failures.total();
    let idle = (tally.idle_closed, tally.idle_resets, tally.idle_bytes);
    let is_whole = tally.requests > 0 && tally.ok + failed == tally.requests;
    let is_met = is_whole
        && match expected {
            Expected::Clean => failed == 0 && idle == (0, 0, 0) && tally.is_clean(),
            Expected::All(kind) => only(kind) && tally.ok == 0 && failed > 0 && !tally.is_clean(),
            Expected::Some(kind) => only(kind) && failed > 0 && tally.ok > 0 && !tally.is_clean(),
            Expected::IdleClosed => failed == 0 && idle == (1, 0, 0) && tally.is_clean(),
            Expected::IdleReset => failed == 0 && idle == (0, 1, 0) && !tally.is_clean(),
            Expected::IdleBytes => failed == 0 && idle == (0, 0, 1) && !tally.is_clean(),
        };
    let report: LoadReport = tally.report();
    (!is_met).then(|| format!("  got {}", serde_json::to_string(&report).unwrap_or_default()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_planted_fault_is_seen_as_what_it_is() {
        let missed: Vec<_> =
            results().unwrap().into_iter().filter(|(_, problem)| problem.is_some()).collect();
        assert_eq!(missed, Vec::new());
    }

    #[test]
    fn every_kind_of_failure_but_one_is_planted() {
        let planted: Vec<Failure> = CASES
            .iter()
            .filter_map(|case| match case.expected {
                Expected::All(kind) | Expected::Some(kind) => Some(kind),
                _ => None,
            })
            .chain([Failure::Refused, Failure::ConnectTimeout])
            .collect();
        let left: Vec<_> = Failure::ALL.into_iter().filter(|kind| !planted.contains(kind)).collect();
        assert_eq!(left, [Failure::NotConnected]);
    }

    #[test]
    fn our_upstream_answers_both_loops() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let target = listener.local_addr().unwrap();
        std::thread::spawn(move || crate::upstream::serve(&listener, &[200, 300_000]));
        for (path, size, pace) in [
            ("/", 200, Pace::Closed),
            ("/300000", 300_000, Pace::Closed),
            ("/200", 200, Pace::Open { per_second: 200.0 }),
        ] {
            let plan =
                Plan { connections: 8, pace, fresh_share: 0.25, ..Plan::get(target, "upstream.test", path) };
            let end = Instant::now() + Duration::from_millis(200);
            let mut samples = 0_u64;
            let tally = run(&plan, |now| now >= end, |_| samples += 1).unwrap();
            assert!(tally.is_clean() && tally.ok > 0, "{path}: {:?}", tally.report());
            assert_eq!((tally.requests, samples), (tally.ok, tally.ok));
            assert_eq!(tally.body_bytes, tally.ok * size);
            assert!(tally.connections >= tally.ok / 4, "a quarter opens connections of its own");
        }
    }
}
