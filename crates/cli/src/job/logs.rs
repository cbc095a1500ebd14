//! `havre job logs`: what every attempt of a run wrote, and with `-f` what it writes until it ends. A lost connection is
//! opened again. Tests at the end of the file and in `tests/it/job.rs`.

use std::time::Duration;

use havre_api::job::JobLogEntry;
use havre_api::task::LogStream;
use havre_core::id::JobRunId;
use havre_core::time::Timestamp;

use crate::exit::{CliError, Exit};
use crate::http::{Client, Line, path};
use crate::invocation::Invocation;
use crate::output::style::Style;
use crate::output::{self, printable};

/// Pause before a lost stream is opened again.
pub(super) const PAUSE: Duration = Duration::from_secs(1);
/// Attempts in a row before giving up.
pub(super) const ATTEMPTS: u32 = 60;

#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Run, such as j12; `havre job runs` lists them
    run: JobRunId,
    /// Stay and show what is written, until the run ends
    #[arg(long, short)]
    follow: bool,
}

pub(crate) async fn run(invocation: &Invocation, options: Options) -> Result<Exit, CliError> {
    let client = invocation.client()?;
    let shown = show(&client, options.run, options.follow, invocation.global.json);
    tokio::select! {
        result = shown => result.map(|()| Exit::Ok),
        _ = tokio::signal::ctrl_c() => Ok(Exit::Interrupted),
    }
}

/// Shows the log of a run, when it is followed to the end of the run.
pub(super) async fn show(client: &Client, run: JobRunId, follow: bool, json: bool) -> Result<(), CliError> {
    let style = Style::stdout();
    let target = path::query(&format!("/v1/job-runs/{run}/log"), &[("follow", Some(&follow))]);
    let (mut attempts, mut resume) = (0, Resume::default());
    loop {
        let lost = match client.lines(&target).await {
            Err(error) => error,
            Ok(mut lines) => loop {
                match lines.next().await {
                    Line::Object(value) => {
                        attempts = 0;
                        let Ok(entry) = serde_json::from_value::<JobLogEntry>(value) else { continue };
                        if !resume.is_new(&entry) {
                            continue;
                        }
                        if json { output::json_line(&entry)? } else { output::data(&render(&entry, style))? }
                    }
                    Line::End => return Ok(()),
                    Line::Lost(why) => break CliError::new(Exit::Unreachable, why),
                    Line::Refused(error) => return Err(error),
                }
            },
        };
        if !follow || lost.exit != Exit::Unreachable || attempts >= ATTEMPTS {
            return Err(lost);
        }
        if attempts == 0 {
            output::say(&format!("{}; trying again", lost.message));
        }
        attempts += 1;
        resume.reopen();
        tokio::time::sleep(PAUSE).await;
    }
}

/// Where a stream that is opened again, from its beginning, goes on.
#[derive(Debug, Default)]
struct Resume {
    /// Attempt and instant of the last line that was shown.
    last: Option<(u32, Timestamp)>,
    /// Lines of that attempt and instant that were shown.
    shown: usize,
    /// The same, not met again yet.
    due: usize,
    /// What comes before the last line was shown already.
    is_again: bool,
}

impl Resume {
    fn reopen(&mut self) {
        self.due = self.shown;
        self.is_again = true;
    }

    fn is_new(&mut self, entry: &JobLogEntry) -> bool {
        let key = (entry.attempt, entry.at);
        match self.last {
            Some(last) if key < last => !self.is_again,
            Some(last) if key == last && self.due > 0 => {
                self.due -= 1;
                false
            }
            Some(last) if key == last => {
                self.shown += 1;
                true
            }
            _ => {
                *self = Self { last: Some(key), shown: 1, due: 0, is_again: false };
                true
            }
        }
    }
}

fn render(entry: &JobLogEntry, style: Style) -> String {
    let mark = if entry.stream == LogStream::Stderr { "!" } else { "|" };
    let head = style.strong(&format!("attempt {}", entry.attempt));
    format!("{} {head} {mark} {}\n", style.dim(&entry.at.to_string()), printable(&entry.line))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(attempt: u32, at: i64, text: &str) -> JobLogEntry {
        let stream = if text.contains("error") { LogStream::Stderr } else { LogStream::Stdout };
        JobLogEntry { at: Timestamp::from_millis(at), attempt, stream, line: text.to_owned() }
    }

    #[test]
    fn a_reopened_stream_repeats_and_loses_nothing() {
        let mut resume = Resume::default();
        let first = [(1, 5, "a"), (1, 4, "b"), (2, 6, "c"), (2, 6, "d")];
        assert!(first.iter().all(|(attempt, at, text)| resume.is_new(&entry(*attempt, *at, text))));
        resume.reopen();
        let again =
            [(1, 5, "a"), (1, 4, "b"), (2, 6, "c"), (2, 6, "d"), (2, 6, "e"), (2, 7, "f"), (2, 6, "g")];
        let shown: Vec<&str> = again
            .iter()
            .filter(|(attempt, at, text)| resume.is_new(&entry(*attempt, *at, text)))
            .map(|(_, _, text)| *text)
            .collect();
        assert_eq!(shown, ["e", "f", "g"]);
    }

    #[test]
    fn lines_name_their_attempt() {
        let text: String = [entry(1, 0, "cleaning"), entry(2, 0, "error: \x1b[2Jno")]
            .iter()
            .map(|entry| render(entry, Style::plain()))
            .collect();
        insta::assert_snapshot!(text, @r"
        1970-01-01T00:00:00.000Z attempt 1 | cleaning
        1970-01-01T00:00:00.000Z attempt 2 ! error: �[2Jno
        ");
    }
}
