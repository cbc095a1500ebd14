//! Last logs of removed tasks and of runs of jobs, as `havre_reconcile::task_log` keeps them. Tests at the end of the file.

use std::path::Path;

use havre_api::task::{LogEntry, LogStream};
use havre_core::id::{ReleaseId, ServiceId, TaskId};
use havre_core::job::JobRun;
use havre_core::time::Timestamp;

/// Kept lines of tasks of a service, each task's in order; files that cannot be read are left out and logged.
pub(crate) async fn read(task_logs: &Path, service: ServiceId, wanted: Option<TaskId>) -> Vec<Vec<LogEntry>> {
    let folder = task_logs.join(service.to_string());
    let mut kept = Vec::new();
    let Ok(mut files) = tokio::fs::read_dir(&folder).await else { return kept };
    while let Ok(Some(file)) = files.next_entry().await {
        let name = file.file_name();
        let Some((task, release)) = name.to_str().and_then(parse_name) else { continue };
        if wanted.is_some_and(|wanted| wanted != task) {
            continue;
        }
        match tokio::fs::read_to_string(file.path()).await {
            Ok(text) => {
                kept.push(parse(&text, |(at, stream, line)| LogEntry { at, task, release, stream, line }))
            }
            Err(error) => tracing::warn!(path = %file.path().display(), %error, "could not read a kept log"),
        }
    }
    kept
}

fn parse_name(name: &str) -> Option<(TaskId, ReleaseId)> {
    let (task, release) = name.strip_suffix(".log")?.split_once('-')?;
    Some((task.parse().ok()?, release.parse().ok()?))
}

/// A line: when, where to, and its text.
type Line = (Timestamp, LogStream, String);

/// Kept lines of one attempt of a run of a job; none where there is no such file.
pub(crate) async fn read_job(job_logs: &Path, run: &JobRun, attempt: u32) -> Vec<Line> {
    let name = havre_reconcile::job::log::file_name(run.id, attempt);
    let path = job_logs.join(run.service.to_string()).join(name);
    match tokio::fs::read_to_string(&path).await {
        Ok(text) => parse(&text, |line| line),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Vec::new(),
        Err(error) => {
            tracing::warn!(path = %path.display(), %error, "could not read a kept log");
            Vec::new()
        }
    }
}

fn parse<T>(text: &str, make: impl Fn(Line) -> T) -> Vec<T> {
    text.lines().filter_map(parse_line).map(make).collect()
}

fn parse_line(line: &str) -> Option<Line> {
    let (at, rest) = line.split_once(' ')?;
    let (stream, text) = rest.split_once(' ')?;
    let stream = match stream {
        "out" => LogStream::Stdout,
        "err" => LogStream::Stderr,
        _ => return None,
    };
    Some((Timestamp::parse(at).ok()?, stream, text.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_was_kept_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let service = folder.path().join("s1");
        std::fs::create_dir(&service).unwrap();
        let name = havre_reconcile::task_log::file_name(TaskId::new(3), ReleaseId::new(2));
        std::fs::write(service.join(name), "2026-11-24T10:00:00.000Z out hello there\nbroken\n").unwrap();
        std::fs::write(service.join("notes.txt"), "2026-11-24T10:00:00.000Z out no\n").unwrap();
        let expected = LogEntry {
            at: Timestamp::parse("2026-11-24T10:00:00Z").unwrap(),
            task: TaskId::new(3),
            release: ReleaseId::new(2),
            stream: LogStream::Stdout,
            line: "hello there".to_owned(),
        };
        assert_eq!(read(folder.path(), ServiceId::new(1), None).await, [[expected]]);
        assert_eq!(
            read(folder.path(), ServiceId::new(1), Some(TaskId::new(4))).await,
            Vec::<Vec<LogEntry>>::new()
        );
    }

    #[tokio::test]
    async fn what_was_kept_of_a_run_of_a_job_is_read() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("s1")).unwrap();
        let run: JobRun = serde_json::from_value(serde_json::json!({
            "id": "j12", "service": "s1", "job": "cleanup", "release": "r1", "trigger": "schedule",
            "planned_at": "2026-11-24T03:00:00Z", "missed": 0, "attempt": 2, "started_at": null,
            "state": { "state": "succeeded", "at": "2026-11-24T03:00:09Z" }, "cancel_requested": false,
            "created_at": "2026-11-24T03:00:00Z",
        }))
        .unwrap();
        std::fs::write(folder.path().join("s1/j12-1.log"), "2026-11-24T03:00:01.000Z err no\n").unwrap();
        let at = Timestamp::parse("2026-11-24T03:00:01Z").unwrap();
        assert_eq!(read_job(folder.path(), &run, 1).await, [(at, LogStream::Stderr, "no".to_owned())]);
        assert_eq!(read_job(folder.path(), &run, 2).await, Vec::<Line>::new());
    }
}
