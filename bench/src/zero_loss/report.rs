//! The result of a proof: one JSON object for programs, a table for people. Tests: `tests.rs`.

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use serde::Serialize;

use super::judge::Judgement;
use crate::load::tally::{LoadReport, Tally};

/// The load must have kept at least this part of its rate, or it proves less than it says.
const MIN_RATE: f64 = 0.95;

/// Everything; `problems` is empty exactly when the proof holds.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    pub(super) seconds: f64,
    pub(super) requests: u64,
    pub(super) failed: u64,
    pub(super) resets: u64,
    pub(super) wrong_release: u64,
    pub(super) unnamed_release: u64,
    pub(super) deploys_succeeded: usize,
    pub(super) streams_finished: usize,
    pub(super) streams_cut: usize,
    /// Finished, but before the new release answered: nothing was proven by them.
    pub(super) streams_too_early: usize,
    pub(super) problems: Vec<String>,
    pub(super) service: SubjectReport,
    /// The service of the streams, where it is another one.
    pub(super) streams_service: Option<SubjectReport>,
    pub(super) streams: Vec<StreamReport>,
}

/// One service.
#[derive(Debug, Serialize)]
pub(super) struct SubjectReport {
    pub(super) host: String,
    pub(super) rate: f64,
    pub(super) wrong_release: u64,
    pub(super) wrong_examples: Vec<String>,
    pub(super) unnamed_release: u64,
    pub(super) load: LoadReport,
    pub(super) deploys: Vec<DeployReport>,
    #[serde(skip)]
    pub(super) problems: Vec<String>,
}

/// One deploy.
#[derive(Debug, Serialize)]
pub(super) struct DeployReport {
    pub(super) number: u32,
    pub(super) succeeded: bool,
    /// What was live after it.
    pub(super) release: String,
    /// From the start of the command to its end.
    pub(super) seconds: f64,
    /// From the start of the command to the first answer of the new release.
    pub(super) switch_seconds: Option<f64>,
    #[serde(skip)]
    pub(super) first_answer: Option<Instant>,
}

/// One stream.
#[derive(Debug, Serialize)]
pub(super) struct StreamReport {
    pub(super) kind: &'static str,
    /// Deploy it had to survive.
    pub(super) deploy: u32,
    pub(super) seconds: f64,
    /// How long it went on after the new release had answered; absent when it ended before.
    pub(super) seconds_after_switch: Option<f64>,
    /// Why it did not end well; absent when it did.
    pub(super) cut: Option<String>,
}

impl SubjectReport {
    pub(super) fn new(
        host: String,
        rate: f64,
        (tally, judgement): (&Tally, Judgement),
        (deploys, mut problems): (Vec<DeployReport>, Vec<String>),
    ) -> Self {
        let load = tally.report();
        let mut note = |count: u64, what: &str| {
            if count > 0 {
                problems.push(format!("{host}: {count} {what}"));
            }
        };
        for (kind, count) in tally.failures.seen() {
            note(count, &format!("requests failed: {}", kind.name()));
        }
        note(tally.idle_resets, "connections were reset between requests");
        note(tally.idle_bytes, "connections brought bytes that nobody had asked for");
        note(judgement.wrong, "answers came from a release that was not live");
        note(judgement.unnamed, "answers named no release");
        let kept = load.requests as f64 / load.seconds.max(f64::MIN_POSITIVE);
        if kept < rate * MIN_RATE {
            problems.push(format!("{host}: {kept:.0} requests a second were sent, {rate:.0} were asked for"));
        }
        Self {
            host,
            rate,
            wrong_release: judgement.wrong,
            wrong_examples: judgement.examples,
            unnamed_release: judgement.unnamed,
            load,
            deploys,
            problems,
        }
    }

    fn table(&self, text: &mut String) {
        let load = &self.load;
        let _ = writeln!(
            text,
            "{}: {} requests in {:.0} s, {} failed, {} resets, {} of a wrong release, {} of none",
            self.host,
            load.requests,
            load.seconds,
            load.failed,
            load.resets,
            self.wrong_release,
            self.unnamed_release
        );
        let latency = &load.latency_ms;
        let _ = writeln!(
            text,
            "  connections {}, closed between requests {}, latency p50 {:.1} ms, p99 {:.1} ms, max {:.1} ms",
            load.connections, load.idle_closed, latency.p50, latency.p99, latency.max
        );
        let seconds = quartiles(self.deploys.iter().map(|deploy| deploy.seconds).collect());
        let switch = quartiles(self.deploys.iter().filter_map(|deploy| deploy.switch_seconds).collect());
        let good = self.deploys.iter().filter(|deploy| deploy.succeeded).count();
        let _ = writeln!(
            text,
            "  {good} of {} deploys succeeded; whole command {seconds}; to the first new answer {switch}",
            self.deploys.len()
        );
        for example in &self.wrong_examples {
            let _ = writeln!(text, "  wrong: {example}");
        }
    }
}

/// `median 1.20 s [1.10..1.35], longest 2.00 s`.
fn quartiles(mut seconds: Vec<f64>) -> String {
    seconds.sort_by(f64::total_cmp);
    let at = |share: f64| seconds[((seconds.len() - 1) as f64 * share).round() as usize];
    if seconds.is_empty() {
        return "never".to_owned();
    }
    format!("median {:.2} s [{:.2}..{:.2}], longest {:.2} s", at(0.5), at(0.25), at(0.75), at(1.0))
}

impl Report {
    pub(super) fn new(
        took: Duration,
        service: SubjectReport,
        streams_service: Option<SubjectReport>,
        streams: Vec<StreamReport>,
    ) -> Self {
        let both = || std::iter::once(&service).chain(&streams_service);
        let sum = |count: fn(&SubjectReport) -> u64| both().map(count).sum();
        let mut problems: Vec<String> = both().flat_map(|subject| subject.problems.clone()).collect();
        for stream in &streams {
            let about = format!("{} begun before deploy {}", stream.kind, stream.deploy);
            match (&stream.cut, stream.seconds_after_switch) {
                (Some(why), _) => problems.push(format!("stream {about}: {why}")),
                (None, None) => {
                    problems.push(format!("stream {about} ended before the switch and proves nothing"))
                }
                (None, Some(_)) => {}
            }
        }
        let count = |is: fn(&StreamReport) -> bool| streams.iter().filter(|stream| is(stream)).count();
        Self {
            seconds: took.as_secs_f64(),
            requests: sum(|subject| subject.load.requests),
            failed: sum(|subject| subject.load.failed),
            resets: sum(|subject| subject.load.resets),
            wrong_release: sum(|subject| subject.wrong_release),
            unnamed_release: sum(|subject| subject.unnamed_release),
            deploys_succeeded: both()
                .flat_map(|subject| &subject.deploys)
                .filter(|deploy| deploy.succeeded)
                .count(),
            streams_finished: count(|stream| stream.cut.is_none() && stream.seconds_after_switch.is_some()),
            streams_cut: count(|stream| stream.cut.is_some()),
            streams_too_early: count(|stream| stream.cut.is_none() && stream.seconds_after_switch.is_none()),
            problems,
            service,
            streams_service,
            streams,
        }
    }

    /// For people.
    pub(super) fn table(&self) -> String {
        let mut text = String::new();
        self.service.table(&mut text);
        if let Some(subject) = &self.streams_service {
            subject.table(&mut text);
        }
        for stream in &self.streams {
            let how = match (&stream.cut, stream.seconds_after_switch) {
                (Some(why), _) => format!("CUT after {:.1} s: {why}", stream.seconds),
                (None, Some(after)) => {
                    format!("finished after {:.1} s, {after:.1} s after the switch", stream.seconds)
                }
                (None, None) => format!("finished after {:.1} s, BEFORE the switch", stream.seconds),
            };
            let _ = writeln!(text, "stream {:<9} over deploy {}: {how}", stream.kind, stream.deploy);
        }
        if self.problems.is_empty() {
            text.push_str("nothing was lost\n");
        }
        for problem in &self.problems {
            let _ = writeln!(text, "PROBLEM {problem}");
        }
        text
    }
}
