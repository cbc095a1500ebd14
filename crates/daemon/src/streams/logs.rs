//! Log lines of all tasks of a service: first what there is, merged by time, then what comes, as it comes.

use std::collections::BTreeSet;
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream::BoxStream;
use havre_api::task::{LogEntry, LogQuery, LogStream};
use havre_core::id::{ReleaseId, ServiceId, TaskId};
use havre_decide::secret::redact::Redactor;
use havre_engine::log::{LogLine, LogQuery as EngineQuery, LogSource};
use havre_engine::task::EngineTask;
use havre_reconcile::variable;
use havre_web::task::streams::TaskStreamError;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

use crate::streams::{EngineStreams, kept, refuse};

/// Lines on their way to one client; a slow one slows its own tail only.
const QUEUE: usize = 256;
/// How soon a new task is noticed by a client that follows.
const NEW_TASKS: Duration = Duration::from_secs(1);
/// Most lines of one answer without `follow`, so that a long history cannot fill the memory.
const LINES_MAX: usize = 100_000;

type Entries = BoxStream<'static, Result<LogEntry, TaskStreamError>>;

/// Opens the stream.
pub(crate) async fn open(
    streams: EngineStreams,
    service: ServiceId,
    query: LogQuery,
) -> Result<Entries, TaskStreamError> {
    let tasks = wanted(&streams, service, &query).await?;
    let past = past(&streams, service, &query, &tasks).await?;
    if !query.follow {
        return Ok(futures_util::stream::iter(past.into_iter().map(Ok)).boxed());
    }
    let (sender, receiver) = mpsc::channel(QUEUE);
    tokio::spawn(async move {
        if let Err(error) = follow(streams, service, query, past, &sender).await {
            let _ = sender.send(Err(error)).await;
        }
    });
    Ok(ReceiverStream::new(receiver).boxed())
}

async fn wanted(
    streams: &EngineStreams,
    service: ServiceId,
    query: &LogQuery,
) -> Result<Vec<(TaskId, EngineTask)>, TaskStreamError> {
    let mut tasks = streams.tasks(service).await?;
    tasks.retain(|(task, _)| query.task.is_none_or(|wanted| wanted == *task));
    Ok(tasks)
}

/// What there is: running tasks, ended ones, and kept logs of removed ones.
async fn past(
    streams: &EngineStreams,
    service: ServiceId,
    query: &LogQuery,
    tasks: &[(TaskId, EngineTask)],
) -> Result<Vec<LogEntry>, TaskStreamError> {
    let mut entries = Vec::new();
    for mut kept in kept::read(&streams.task_logs, service, query.task).await {
        kept.retain(|entry| query.since.is_none_or(|since| entry.at >= since));
        let surplus = query.tail.map_or(0, |tail| kept.len().saturating_sub(tail as usize));
        entries.extend(kept.into_iter().skip(surplus));
    }
    for (task, found) in tasks {
        let asked = EngineQuery { since: query.since, tail: query.tail, follow: false };
        // A task that was removed a moment ago is in the kept logs the next time.
        let Ok(mut lines) = streams.engine.logs(&found.name, asked).await else { continue };
        let redactor = variable::redactor(&streams.store, found.release).await;
        while let Some(line) = lines.next().await {
            entries.push(entry(line.map_err(refuse)?, *task, found.release, &redactor));
        }
    }
    entries.sort_by_key(|entry| (entry.at, entry.task));
    let surplus = entries.len().saturating_sub(LINES_MAX);
    entries.drain(..surplus);
    Ok(entries)
}

/// Sends the past, then joins every task's own stream, also of tasks that start later, until the client is gone.
async fn follow(
    streams: EngineStreams,
    service: ServiceId,
    query: LogQuery,
    past: Vec<LogEntry>,
    sender: &mpsc::Sender<Result<LogEntry, TaskStreamError>>,
) -> Result<(), TaskStreamError> {
    let mut last_seen = std::collections::BTreeMap::new();
    for entry in past {
        last_seen.insert(entry.task, entry.at);
        if sender.send(Ok(entry)).await.is_err() {
            return Ok(());
        }
    }
    let mut followed = BTreeSet::new();
    loop {
        for (task, found) in wanted(&streams, service, &query).await? {
            if followed.insert(task) {
                // One millisecond on: the line of that instant has been sent. A task not seen yet is read from its start.
                let since = last_seen.get(&task).map(|at| at.after(Duration::from_millis(1)));
                tokio::spawn(tail(streams.clone(), task, found, since, sender.clone()));
            }
        }
        tokio::select! {
            () = sender.closed() => return Ok(()),
            () = tokio::time::sleep(NEW_TASKS) => {}
        }
    }
}

async fn tail(
    streams: EngineStreams,
    task: TaskId,
    found: EngineTask,
    since: Option<havre_core::time::Timestamp>,
    sender: mpsc::Sender<Result<LogEntry, TaskStreamError>>,
) {
    let asked = EngineQuery { since, tail: None, follow: true };
    let Ok(mut lines) = streams.engine.logs(&found.name, asked).await else { return };
    let redactor = variable::redactor(&streams.store, found.release).await;
    loop {
        tokio::select! {
            () = sender.closed() => return,
            line = lines.next() => {
                let Some(Ok(line)) = line else { return };
                if sender.send(Ok(entry(line, task, found.release, &redactor))).await.is_err() {
                    return;
                }
            }
        }
    }
}

/// Without the secrets of its release.
fn entry(line: LogLine, task: TaskId, release: ReleaseId, redactor: &Redactor) -> LogEntry {
    LogEntry { at: line.at, task, release, stream: source(line.stream), line: redactor.text(line.line) }
}

/// Where a line was written, as the API says it.
pub(crate) const fn source(source: LogSource) -> LogStream {
    match source {
        LogSource::Stdout => LogStream::Stdout,
        LogSource::Stderr => LogStream::Stderr,
    }
}
