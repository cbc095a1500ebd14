//! `havre logs`: lines of every task, merged by time; followed, in the order they arrive. Tests at the end of the file
//! and in `tests/it/stream.rs`.

use std::collections::BTreeMap;
use std::time::Duration;

use havre_api::environment::EnvironmentStatus;
use havre_api::task::{LogEntry, LogStream};
use havre_core::id::TaskId;
use havre_core::name::ServiceName;
use havre_core::quantity::Span;
use havre_core::time::Timestamp;
use tokio::sync::mpsc;

use crate::exit::{CliError, Exit};
use crate::http::{Client, Line, path};
use crate::invocation::{Invocation, Scope};
use crate::output::style::Style;
use crate::output::{self, printable, time};

/// Pause before a lost stream is opened again.
const PAUSE: Duration = Duration::from_secs(1);
/// Attempts in a row before giving up on a stream.
const ATTEMPTS: u32 = 60;
/// Most lines that are held to be merged.
const HELD_MAX: usize = 500_000;
/// Colours of services, by their order.
const COLOURS: usize = 2;

#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Services [default: all of the environment]
    services: Vec<ServiceName>,
    /// Stay and show what is written from now on, by tasks that start later too
    #[arg(long, short)]
    follow: bool,
    /// Only lines since then: an instant, or a length of time before now, such as 15m
    #[arg(long, value_name = "TIME")]
    since: Option<String>,
    /// Only the last lines of each task, 0 to 10000 [default: 100, or all with --since]
    #[arg(long, short = 'n', value_name = "LINES", value_parser = clap::value_parser!(u32).range(0..=10_000))]
    tail: Option<u32>,
    /// Only this task, such as t3
    #[arg(long)]
    task: Option<TaskId>,
}

/// One line of one service.
#[derive(Debug)]
struct Entry {
    service: ServiceName,
    line: LogEntry,
}

pub(crate) async fn run(invocation: &Invocation, options: Options) -> Result<Exit, CliError> {
    let since = options.since.as_deref().map(|text| parse_since(text, time::now())).transpose()?;
    let scope = invocation.scope()?;
    let client = invocation.client()?;
    let services = if options.services.is_empty() {
        let status: EnvironmentStatus = client.get(&scope.path()).await?;
        status.services.into_iter().filter(|service| service.spec.tasks().is_some()).map(|s| s.name).collect()
    } else {
        options.services.clone()
    };
    if services.is_empty() {
        output::say("no service of this environment runs tasks");
        return Ok(Exit::Ok);
    }
    let printer = Printer::new(&services, invocation.global.json);
    let (sender, receiver) = mpsc::channel(1024);
    for service in services {
        let query = Query { follow: options.follow, since, tail: options.tail, task: options.task };
        tokio::spawn(read(client.clone(), scope.clone(), service, query, sender.clone()));
    }
    drop(sender);
    tokio::select! {
        result = show(receiver, &printer, options.follow) => result,
        _ = tokio::signal::ctrl_c() => Ok(Exit::Interrupted),
    }
}

/// `15m` before now, or an instant.
fn parse_since(text: &str, now: Timestamp) -> Result<Timestamp, CliError> {
    if let Ok(span) = text.parse::<Span>() {
        let millis = i64::try_from(span.as_millis()).unwrap_or(i64::MAX);
        return Ok(Timestamp::from_millis(now.as_millis().saturating_sub(millis)));
    }
    Timestamp::parse(text).map_err(|error| {
        CliError::usage(format!("--since: {error}")).hint("or a length of time before now, such as 15m or 2h")
    })
}

#[derive(Debug, Clone, Copy)]
struct Query {
    follow: bool,
    since: Option<Timestamp>,
    tail: Option<u32>,
    task: Option<TaskId>,
}

type Told = Result<Entry, CliError>;

/// Reads one service to its end, or for ever.
async fn read(
    client: Client,
    scope: Scope,
    service: ServiceName,
    mut query: Query,
    told: mpsc::Sender<Told>,
) {
    let (mut attempts, mut last) = (0, Resume::default());
    loop {
        let target = path::query(
            &scope.service(&service, "/logs"),
            &[
                ("follow", Some(&query.follow)),
                ("since", query.since.as_ref().map(|since| since as _)),
                ("tail", query.tail.as_ref().map(|tail| tail as _)),
                ("task", query.task.as_ref().map(|task| task as _)),
            ],
        );
        let lost = match client.lines(&target).await {
            Err(error) => error,
            Ok(mut lines) => loop {
                match lines.next().await {
                    Line::Object(value) => {
                        attempts = 0;
                        let Ok(line) = serde_json::from_value::<LogEntry>(value) else { continue };
                        if !last.is_new(&line) {
                            continue;
                        }
                        if told.send(Ok(Entry { service: service.clone(), line })).await.is_err() {
                            return;
                        }
                    }
                    Line::End if !query.follow => return,
                    Line::End => break CliError::new(Exit::Unreachable, "the server ended the connection"),
                    Line::Lost(why) => break CliError::new(Exit::Unreachable, why),
                    Line::Refused(error) => break error,
                }
            },
        };
        let is_worth = query.follow && last.at.is_some() && lost.exit == Exit::Unreachable;
        if !is_worth || attempts >= ATTEMPTS {
            let _ = told.send(Err(lost)).await;
            return;
        }
        if attempts == 0 {
            output::say(&format!("{service}: {}; trying again", lost.message));
        }
        attempts += 1;
        (query.since, query.tail) = (last.at, None);
        last.reopen();
        tokio::time::sleep(PAUSE).await;
    }
}

/// Where a stream that is opened again goes on: at the last instant, without the lines of it that were shown.
#[derive(Debug, Default)]
struct Resume {
    at: Option<Timestamp>,
    /// Lines of that instant that were shown, by task.
    shown: BTreeMap<TaskId, Vec<String>>,
    /// The same, not met again yet.
    due: BTreeMap<TaskId, Vec<String>>,
}

impl Resume {
    fn reopen(&mut self) {
        self.due = self.shown.clone();
    }

    fn is_new(&mut self, line: &LogEntry) -> bool {
        if Some(line.at) == self.at {
            let due = self.due.get_mut(&line.task);
            if let Some((due, at)) =
                due.and_then(|due| due.iter().position(|l| *l == line.line).map(|at| (due, at)))
            {
                due.remove(at);
                return false;
            }
        } else if self.at.is_none_or(|at| line.at > at) {
            self.at = Some(line.at);
            self.shown.clear();
            self.due.clear();
        }
        self.shown.entry(line.task).or_default().push(line.line.clone());
        true
    }
}

async fn show(mut told: mpsc::Receiver<Told>, printer: &Printer, follow: bool) -> Result<Exit, CliError> {
    let mut held = Vec::new();
    let mut failed = None;
    while let Some(entry) = told.recv().await {
        match entry {
            Ok(entry) if follow => printer.print(&entry)?,
            Ok(entry) => held.push(entry),
            Err(error) => failed = Some(error),
        }
        if held.len() > HELD_MAX {
            return Err(
                CliError::usage(format!("more than {HELD_MAX} lines")).hint("use --tail or a later --since")
            );
        }
    }
    // Stable: lines of one instant stay in the order their task wrote them.
    held.sort_by_key(|entry| entry.line.at);
    for entry in &held {
        printer.print(entry)?;
    }
    failed.map_or(Ok(Exit::Ok), Err)
}

struct Printer {
    json: bool,
    style: Style,
    width: usize,
    names: Vec<ServiceName>,
}

impl Printer {
    fn new(services: &[ServiceName], json: bool) -> Self {
        let width = services.iter().map(|name| name.as_str().len()).max().unwrap_or(0);
        Self { json, style: Style::stdout(), width, names: services.to_vec() }
    }

    fn print(&self, entry: &Entry) -> Result<(), CliError> {
        if !self.json {
            return output::data(&self.render(entry));
        }
        let mut value = serde_json::to_value(&entry.line).expect("wire types are always JSON");
        value["service"] = entry.service.to_string().into();
        output::json_line(&value)
    }

    fn render(&self, entry: &Entry) -> String {
        let Entry { service, line } = entry;
        let order = self.names.iter().position(|name| name == service).unwrap_or(0);
        let mark = if line.stream == LogStream::Stderr { "!" } else { "|" };
        let head = format!("{service:<width$} {} {}", line.task, line.release, width = self.width);
        let head = if order % COLOURS == 0 { self.style.strong(&head) } else { self.style.notable(&head) };
        format!("{} {head} {mark} {}\n", self.style.dim(&line.at.to_string()), printable(&line.line))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(at: i64, task: i64, text: &str) -> LogEntry {
        LogEntry {
            at: Timestamp::from_millis(at),
            task: TaskId::new(task),
            release: havre_core::id::ReleaseId::new(7),
            stream: if text.contains("error") { LogStream::Stderr } else { LogStream::Stdout },
            line: text.to_owned(),
        }
    }

    #[test]
    fn since_is_an_instant_or_a_length_of_time() {
        let now = Timestamp::from_millis(10_000_000);
        assert_eq!(parse_since("15m", now).expect("parses"), Timestamp::from_millis(9_100_000));
        assert_eq!(parse_since("1970-01-01T00:00:01Z", now).expect("parses"), Timestamp::from_millis(1000));
        assert_eq!(parse_since("yesterday", now).expect_err("is wrong").exit, Exit::Usage);
    }

    #[test]
    fn a_reopened_stream_repeats_and_loses_nothing() {
        let mut resume = Resume::default();
        for (at, task, text) in [(1, 1, "a"), (2, 1, "b"), (2, 1, "b"), (2, 2, "c")] {
            assert!(resume.is_new(&line(at, task, text)), "{text}");
        }
        resume.reopen();
        let again: Vec<bool> = [(2, 1, "b"), (2, 1, "b"), (2, 2, "c"), (2, 1, "b"), (3, 1, "d")]
            .iter()
            .map(|(at, task, text)| resume.is_new(&line(*at, *task, text)))
            .collect();
        assert_eq!(again, [false, false, false, true, true]);
    }

    #[test]
    fn lines_name_their_task() {
        let names: Vec<ServiceName> = ["api", "worker"].map(|name| name.parse().expect("a name")).to_vec();
        let printer = Printer { json: false, style: Style::plain(), width: 6, names: names.clone() };
        let text: String = [("listening on 3000", 0), ("error: \x1b[2Jno", 1)]
            .iter()
            .map(|(text, index)| {
                printer.render(&Entry { service: names[*index].clone(), line: line(0, 3, text) })
            })
            .collect();
        insta::assert_snapshot!(text, @r"
        1970-01-01T00:00:00.000Z api    t3 r7 | listening on 3000
        1970-01-01T00:00:00.000Z worker t3 r7 ! error: �[2Jno
        ");
    }
}
