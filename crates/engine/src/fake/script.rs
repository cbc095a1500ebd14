//! How the tasks of one image behave.

use bytes::Bytes;
use havre_core::task::Healthcheck;

use crate::exec::ExecOutput;
use crate::log::LogSource;

/// Behaviour of every task of one image. The default runs until it is stopped and obeys the stop signal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Script {
    /// Lines written when it starts.
    pub lines: Vec<(LogSource, String)>,
    /// What happens after those lines.
    pub start: Start,
    /// What the stop signal does.
    pub stop: Stop,
    /// Result of the image's own health check while it runs.
    pub healthcheck: Healthcheck,
    /// What `exec` of a program does, by the first word of its command; any other ends with 127. Where the name has further words, those
    /// have to stand in arguments of the command; the name with the most of them counts, and of two the first.
    pub programs: Vec<(String, Program)>,
}

impl Default for Script {
    fn default() -> Self {
        Self {
            lines: Vec::new(),
            start: Start::Runs,
            stop: Stop::Exits(0),
            healthcheck: Healthcheck::None,
            programs: Vec::new(),
        }
    }
}

impl Script {
    /// Runs until it is stopped.
    pub fn runs() -> Self {
        Self::default()
    }

    /// Writes these lines and ends at once.
    pub fn exits(code: i64, lines: &[&str]) -> Self {
        let lines = lines.iter().map(|line| (LogSource::Stdout, (*line).to_owned())).collect();
        Self { lines, start: Start::Exits(code), ..Self::default() }
    }

    /// Uses more memory than its limit at once.
    pub fn runs_out_of_memory() -> Self {
        Self { start: Start::RunsOutOfMemory, ..Self::default() }
    }

    /// Its command cannot be run.
    pub fn cannot_start(message: &str) -> Self {
        Self { start: Start::CannotStart(message.to_owned()), ..Self::default() }
    }

    /// Ignores the stop signal, so that only SIGKILL ends it.
    pub fn ignores_stop() -> Self {
        Self { stop: Stop::Ignored, ..Self::default() }
    }
}

/// What a task does when it is started.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Start {
    /// Runs until something ends it.
    Runs,
    /// Ends at once with this code.
    Exits(i64),
    /// Is killed at once for using more memory than its limit.
    RunsOutOfMemory,
    /// The engine refuses to start it.
    CannotStart(String),
}

/// What a stop signal does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stop {
    /// Ends with this code.
    Exits(i64),
    /// Nothing: SIGKILL follows at once, the grace period is not waited for.
    Ignored,
}

/// What a program run by `exec` does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Program {
    /// What it writes first.
    pub output: Vec<ExecOutput>,
    /// Whether it then copies standard input to standard output until that is closed.
    pub echoes: bool,
    /// Whether it reads its standard input to the end before it ends, so that a test may look at it.
    pub reads: bool,
    /// Its exit code.
    pub code: i64,
}

impl Program {
    /// Writes text and ends.
    pub fn prints(text: &str, code: i64) -> Self {
        let output = ExecOutput { stream: LogSource::Stdout, bytes: Bytes::from(text.to_owned()) };
        Self { output: vec![output], echoes: false, reads: false, code }
    }

    /// Reads standard input to its end and then ends, and has written text before.
    pub fn reads(text: &str, code: i64) -> Self {
        Self { reads: true, ..Self::prints(text, code) }
    }
}
