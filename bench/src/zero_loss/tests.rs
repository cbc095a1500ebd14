//! The proof against a small server of our own: it must hold when nothing is wrong, and fail for each thing that is.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use clap::Parser;

use super::*;

/// A server whose release the test switches.
struct World {
    target: SocketAddr,
    release: Arc<AtomicU64>,
}

/// How the server misbehaves.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Fault {
    None,
    /// Every 20th answer comes from the release before.
    OldRelease,
    /// Every 20th answer names no release.
    NoName,
    /// Every 20th request is never answered.
    Close,
}

impl World {
    fn start(fault: Fault) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let target = listener.local_addr().unwrap();
        let release = Arc::new(AtomicU64::new(1));
        let count = Arc::new(AtomicU64::new(0));
        let shown = Arc::clone(&release);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (shown, count) = (Arc::clone(&shown), Arc::clone(&count));
                std::thread::spawn(move || serve(stream, fault, (&shown, &count)));
            }
        });
        Self { target, release }
    }

    fn prove(&self, extra: &[&str], mut deploy: impl FnMut(u32) -> Option<u64>) -> Report {
        let mut main = |number| {
            let began = Instant::now();
            std::thread::sleep(Duration::from_millis(50));
            let release = deploy(number);
            Ok(Ran {
                began,
                ended: Instant::now(),
                succeeded: release.is_some(),
                stdout: release.map(|number| format!("{{\"release\":\"r{number}\"}}\n")).unwrap_or_default(),
                stderr: "no luck\n".to_owned(),
            })
        };
        let mut never = |_| anyhow::bail!("there is no service of the streams");
        prove(&self.arguments(extra), &mut main, &mut never).unwrap()
    }

    fn arguments(&self, extra: &[&str]) -> ZeroLossArguments {
        #[derive(Parser)]
        #[command(args_override_self = true)]
        struct Line {
            #[command(flatten)]
            arguments: ZeroLossArguments,
        }
        let target = self.target.to_string();
        let line = [
            "x",
            "--target",
            &target,
            "--host",
            "a.test",
            "--deploys",
            "3",
            "--rate",
            "200",
            "--pause",
            "0.3",
        ];
        Line::parse_from(line.iter().chain(extra).chain(&["--", "none"])).arguments
    }
}

fn serve(mut stream: TcpStream, fault: Fault, (release, count): (&AtomicU64, &AtomicU64)) {
    let mut piece = [0; 4096];
    let mut head = Vec::new();
    while let Ok(length @ 1..) = stream.read(&mut piece) {
        head.extend_from_slice(&piece[..length]);
        if !head.ends_with(b"\r\n\r\n") {
            continue;
        }
        let is_last = String::from_utf8_lossy(&head).contains("Connection: close");
        head.clear();
        let live = release.load(Ordering::SeqCst);
        // The probe and the first requests are always answered well.
        let number = count.fetch_add(1, Ordering::SeqCst);
        let is_faulty = number % 20 == 19;
        let header = match fault {
            Fault::Close if is_faulty => return,
            Fault::NoName if is_faulty => String::new(),
            Fault::OldRelease if is_faulty && live > 1 => format!("Havre-Release: r{}\r\n", live - 1),
            _ => format!("Havre-Release: r{live}\r\n"),
        };
        let answer = format!("HTTP/1.1 200 OK\r\n{header}Content-Length: 2\r\n\r\nok");
        if stream.write_all(answer.as_bytes()).is_err() || is_last {
            return;
        }
    }
}

#[test]
fn a_clean_series_of_deploys_is_proven() {
    let world = World::start(Fault::None);
    let report = world.prove(&[], |_| Some(world.release.fetch_add(1, Ordering::SeqCst) + 1));
    assert_eq!(report.problems, Vec::<String>::new());
    assert_eq!((report.failed, report.wrong_release, report.resets, report.unnamed_release), (0, 0, 0, 0));
    assert_eq!(report.deploys_succeeded, 3);
    let releases: Vec<&str> = report.service.deploys.iter().map(|deploy| deploy.release.as_str()).collect();
    assert_eq!(releases, ["r2", "r3", "r4"]);
    assert!(report.service.deploys.iter().all(|deploy| deploy.switch_seconds.is_some()));
    assert!(report.table().ends_with("nothing was lost\n"), "{}", report.table());
}

#[test]
fn answers_of_an_old_release_are_found() {
    let world = World::start(Fault::OldRelease);
    let report = world.prove(&[], |_| Some(world.release.fetch_add(1, Ordering::SeqCst) + 1));
    assert!(report.wrong_release > 0 && report.failed == 0, "{}", report.table());
    assert!(!report.service.wrong_examples.is_empty() && !report.problems.is_empty());
}

#[test]
fn lost_requests_and_nameless_answers_are_found() {
    for fault in [Fault::Close, Fault::NoName] {
        let world = World::start(fault);
        let report = world.prove(&[], |_| Some(world.release.fetch_add(1, Ordering::SeqCst) + 1));
        assert_eq!(report.failed > 0, fault == Fault::Close, "{}", report.table());
        assert_eq!(report.unnamed_release > 0, fault == Fault::NoName, "{}", report.table());
        assert!(!report.problems.is_empty());
    }
}

#[test]
fn a_deploy_that_says_more_than_it_did_is_found() {
    let world = World::start(Fault::None);
    let report = world.prove(&["--deploys", "1"], |_| Some(2));
    assert!(report.wrong_release > 0);
    assert!(
        report
            .problems
            .contains(&"after deploy 1 of a.test: the command made r2 live, but r1 answers".to_owned()),
        "{:?}",
        report.problems
    );
}

#[test]
fn a_failed_deploy_is_a_problem_unless_it_is_expected() {
    let world = World::start(Fault::None);
    let report = world.prove(&["--deploys", "1"], |_| None);
    assert_eq!(report.problems, ["deploy 1 of a.test failed: no luck"]);
    let report = world.prove(&["--deploys", "1", "--expect-failure"], |_| None);
    assert_eq!(report.problems, Vec::<String>::new());
    assert_eq!(report.service.deploys[0].release, "r1");
    let report = world.prove(&["--deploys", "1", "--expect-failure"], |_| {
        world.release.fetch_add(1, Ordering::SeqCst);
        None
    });
    assert!(report.wrong_release > 0, "the release that failed answered users");
}

#[test]
fn streams_that_end_before_the_switch_prove_nothing() {
    let stream = |kind, after, cut: Option<&str>| StreamReport {
        kind,
        deploy: 1,
        seconds: 1.0,
        seconds_after_switch: after,
        cut: cut.map(str::to_owned),
    };
    let world = World::start(Fault::None);
    let good = world.prove(&["--deploys", "1"], |_| Some(world.release.fetch_add(1, Ordering::SeqCst) + 1));
    let streams = vec![
        stream("slow", Some(0.5), None),
        stream("upload", None, None),
        stream("events", None, Some("cut")),
    ];
    let report = Report::new(Duration::from_secs(1), good.service, None, streams);
    assert_eq!((report.streams_finished, report.streams_too_early, report.streams_cut), (1, 1, 1));
    assert_eq!(
        report.problems,
        [
            "stream upload begun before deploy 1 ended before the switch and proves nothing",
            "stream events begun before deploy 1: cut"
        ]
    );
}
