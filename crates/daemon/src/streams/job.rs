//! The log of a run of a job: of attempts that have ended what was kept, of the present one what its task writes, as it comes.

use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream::BoxStream;
use havre_api::job::JobLogEntry;
use havre_core::id::JobRunId;
use havre_core::job::JobRun;
use havre_core::job::state::State;
use havre_core::task::spec::job_container;
use havre_decide::secret::redact::Redactor;
use havre_engine::error::EngineError;
use havre_engine::log::{LogLine, LogQuery};
use havre_reconcile::variable;
use havre_web::task::streams::TaskStreamError;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

use crate::streams::{EngineStreams, kept, logs, refuse, store_failed};

/// Lines on their way to one client.
const QUEUE: usize = 256;
/// How soon the next state of a run is noticed by a client that follows.
const LOOK: Duration = Duration::from_millis(300);

type Entries = BoxStream<'static, Result<JobLogEntry, TaskStreamError>>;

/// Opens the stream.
pub(crate) async fn open(
    streams: EngineStreams,
    id: JobRunId,
    follow: bool,
) -> Result<Entries, TaskStreamError> {
    let subject = Subject::read(&streams, id).await?;
    if !follow {
        let mut entries = Vec::new();
        for attempt in 1..=subject.run.attempt {
            entries.extend(subject.past(&streams, attempt).await?);
        }
        return Ok(futures_util::stream::iter(entries.into_iter().map(Ok)).boxed());
    }
    let (sender, receiver) = mpsc::channel(QUEUE);
    tokio::spawn(async move {
        if let Err(error) = carry(&streams, id, &sender).await {
            let _ = sender.send(Err(error)).await;
        }
    });
    Ok(ReceiverStream::new(receiver).boxed())
}

/// A run and the name of the task of its present attempt.
struct Subject {
    run: JobRun,
    container: String,
    redactor: Redactor,
}

impl Subject {
    async fn read(streams: &EngineStreams, id: JobRunId) -> Result<Self, TaskStreamError> {
        let read = streams.store.read(move |view| {
            let run = view.get_job_run(id)?;
            let place = view.get_service(run.service)?.place;
            Ok((run, place))
        });
        let (run, place) = read.await.map_err(store_failed)?;
        let redactor = variable::redactor(&streams.store, run.release).await;
        Ok(Self { container: job_container(&place, &run), run, redactor })
    }

    /// What there is of one attempt: from its task, while that is there, else from what was kept.
    async fn past(&self, streams: &EngineStreams, attempt: u32) -> Result<Vec<JobLogEntry>, TaskStreamError> {
        if attempt == self.run.attempt {
            let asked = LogQuery { since: None, tail: None, follow: false };
            match streams.engine.logs(&self.container, asked).await {
                Ok(mut lines) => {
                    let mut entries = Vec::new();
                    while let Some(line) = lines.next().await {
                        entries.push(self.entry(line.map_err(refuse)?, attempt));
                    }
                    return Ok(entries);
                }
                // What was kept can be read without the engine.
                Err(EngineError::NotFound { .. } | EngineError::Unreachable { .. }) => {}
                Err(error) => return Err(refuse(error)),
            }
        }
        let lines = kept::read_job(&streams.job_logs, &self.run, attempt).await;
        Ok(lines.into_iter().map(|(at, stream, line)| JobLogEntry { at, attempt, stream, line }).collect())
    }

    /// Without the secrets of its release.
    fn entry(&self, line: LogLine, attempt: u32) -> JobLogEntry {
        let text = self.redactor.text(line.line);
        JobLogEntry { at: line.at, attempt, stream: logs::source(line.stream), line: text }
    }
}

/// Sends every attempt whole, in order, until the run has ended or the client is gone.
async fn carry(
    streams: &EngineStreams,
    id: JobRunId,
    sender: &mpsc::Sender<Result<JobLogEntry, TaskStreamError>>,
) -> Result<(), TaskStreamError> {
    let mut sent = 0;
    loop {
        let subject = Subject::read(streams, id).await?;
        let (attempt, state) = (subject.run.attempt, &subject.run.state);
        let ended = if state.has_task() { attempt.saturating_sub(1) } else { attempt };
        while sent < ended {
            sent += 1;
            for entry in subject.past(streams, sent).await? {
                if sender.send(Ok(entry)).await.is_err() {
                    return Ok(());
                }
            }
        }
        if state.is_final() {
            return Ok(());
        }
        // Before it was seen at work there may be no task yet.
        let is_at_work = matches!(state, State::Running { .. } | State::Stopping { .. });
        if is_at_work && sent < attempt {
            if !tail(streams, &subject, sender).await? {
                return Ok(());
            }
            sent = attempt;
            continue;
        }
        tokio::select! {
            () = sender.closed() => return Ok(()),
            () = tokio::time::sleep(LOOK) => {}
        }
    }
}

/// Everything the present task writes, to its end; `false` when the client is gone.
async fn tail(
    streams: &EngineStreams,
    subject: &Subject,
    sender: &mpsc::Sender<Result<JobLogEntry, TaskStreamError>>,
) -> Result<bool, TaskStreamError> {
    let asked = LogQuery { since: None, tail: None, follow: true };
    let mut lines = match streams.engine.logs(&subject.container, asked).await {
        Ok(lines) => lines,
        // It ended and went just now: what was kept of it comes next.
        Err(EngineError::NotFound { .. }) => {
            for entry in subject.past(streams, subject.run.attempt).await? {
                if sender.send(Ok(entry)).await.is_err() {
                    return Ok(false);
                }
            }
            return Ok(true);
        }
        Err(error) => return Err(refuse(error)),
    };
    loop {
        tokio::select! {
            () = sender.closed() => return Ok(false),
            line = lines.next() => {
                let Some(line) = line else { return Ok(true) };
                let entry = subject.entry(line.map_err(refuse)?, subject.run.attempt);
                if sender.send(Ok(entry)).await.is_err() {
                    return Ok(false);
                }
            }
        }
    }
}
