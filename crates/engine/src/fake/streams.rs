//! Streams of the fake: logs that can be followed, events, and a process run by `exec`.

use bytes::Bytes;
use futures_util::{FutureExt, StreamExt, stream};
use havre_core::service::spec::Argv;
use tokio::sync::{broadcast, mpsc, oneshot};

use crate::error::EngineError;
use crate::event::{EngineEvent, EventStream};
use crate::exec::{ExecOutput, ExecSession};
use crate::fake::FakeEngine;
use crate::fake::script::{Program, Script};
use crate::fake::world::Container;
use crate::log::{LogLine, LogQuery, LogSource, LogStream};

/// Pieces of input or output on their way; the fake is never fast enough to need more.
const PIECES: usize = 16;

impl FakeEngine {
    pub(super) fn log_stream(&self, name: &str, query: LogQuery) -> LogStream {
        let (lines, _) = self.read_lines(name, 0);
        let is_wanted = move |line: &LogLine| query.since.is_none_or(|since| line.at >= since);
        let seen = lines.len();
        let mut first: Vec<LogLine> = lines.into_iter().filter(is_wanted).collect();
        if let Some(tail) = query.tail {
            first.drain(..first.len().saturating_sub(usize::try_from(tail).unwrap_or(usize::MAX)));
        }
        let head = stream::iter(first.into_iter().map(Ok));
        if !query.follow {
            return head.boxed();
        }
        let state = (self.clone(), name.to_owned(), seen, self.shared.changed.subscribe());
        let rest = stream::unfold(state, |(fake, name, seen, mut changed)| async move {
            loop {
                changed.mark_unchanged();
                let (lines, is_running) = fake.read_lines(&name, seen);
                if !lines.is_empty() {
                    let seen = seen + lines.len();
                    return Some((stream::iter(lines.into_iter().map(Ok)), (fake, name, seen, changed)));
                }
                if !is_running || changed.changed().await.is_err() {
                    return None;
                }
            }
        });
        head.chain(rest.flatten()).boxed()
    }

    /// Lines after the first `skip`, and whether more may come.
    fn read_lines(&self, name: &str, skip: usize) -> (Vec<LogLine>, bool) {
        match self.world().containers.get(name) {
            Some(Container::Ours(ours)) => {
                (ours.lines.iter().skip(skip).cloned().collect(), ours.is_running())
            }
            _ => (Vec::new(), false),
        }
    }

    pub(super) fn event_stream(&self) -> EventStream {
        let receiver = self.world().events.subscribe();
        let rest = stream::unfold(receiver, |mut receiver| async move {
            match receiver.recv().await {
                Ok(event) => Some((event, receiver)),
                Err(broadcast::error::RecvError::Lagged(_)) => Some((EngineEvent::Reset, receiver)),
                Err(broadcast::error::RecvError::Closed) => None,
            }
        });
        // The trait promises a stream that never ends, also when the fake itself is dropped.
        stream::iter([EngineEvent::Reset]).chain(rest).chain(stream::pending()).boxed()
    }
}

/// The program a command means: of those whose words it has, the one that names the most of them; a word that is an argument says more
/// than one that is part of an argument.
fn find_program(script: &Script, argv: &Argv) -> Program {
    let mut found: Option<(usize, &Program)> = None;
    for (name, program) in &script.programs {
        let Some(score) = fit(name, argv) else { continue };
        if found.is_none_or(|(most, _)| score > most) {
            found = Some((score, program));
        }
    }
    match found {
        Some((_, program)) => program.clone(),
        None => Program { output: Vec::new(), echoes: false, reads: false, code: 127 },
    }
}

/// How well a name fits a command; `None` where it does not.
fn fit(name: &str, argv: &Argv) -> Option<usize> {
    let (program, arguments) = argv.words().split_first()?;
    let mut words = name.split(' ');
    if words.next() != Some(program.as_str()) {
        return None;
    }
    let mut score = 1;
    for word in words {
        score += match arguments.iter().find(|argument| argument.contains(word)) {
            None => return None,
            Some(_) if arguments.iter().any(|argument| argument == word) => 2,
            Some(_) => 1,
        };
    }
    Some(score)
}

/// Reads what nobody needs, so that whoever writes it is not held up.
async fn swallow(mut input: mpsc::Receiver<Bytes>) {
    while input.recv().await.is_some() {}
}

/// A process run by `exec`.
pub(super) fn run(fake: &FakeEngine, script: &Script, argv: &Argv) -> ExecSession {
    let program = find_program(script, argv);
    let (input, received) = mpsc::channel::<Bytes>(PIECES);
    let (resize, _) = mpsc::channel(1);
    let (ended, exit_code) = oneshot::channel();
    let code = program.code;
    let (echo, mut read) = match (program.echoes, program.reads) {
        (true, _) => (Some(received), None),
        (false, true) => (None, Some(received)),
        (false, false) => {
            tokio::spawn(swallow(received));
            (None, None)
        }
    };
    let echoed = stream::unfold(echo, |received| async move {
        let mut received = received?;
        let bytes = received.recv().await?;
        Some((Ok(ExecOutput { stream: LogSource::Stdout, bytes }), Some(received)))
    });
    let (fake, line) = (fake.clone(), argv.words().join(" "));
    let end = stream::once(async move {
        if let Some(received) = &mut read {
            let mut input = Vec::new();
            while let Some(bytes) = received.recv().await {
                input.extend_from_slice(&bytes);
            }
            fake.change(|world| world.inputs.push((line, input)));
        }
        // Nobody waiting for the exit code is fine.
        let _ = ended.send(code);
        stream::empty()
    });
    let output = stream::iter(program.output.into_iter().map(Ok)).chain(echoed).chain(end.flatten());
    let exit_code = exit_code.map(|code| {
        code.map_err(|_| EngineError::Failed {
            what: "wait for a command".to_owned(),
            message: "its output was dropped".to_owned(),
        })
    });
    ExecSession { input, output: output.boxed(), resize, exit_code: exit_code.boxed() }
}
