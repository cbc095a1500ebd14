//! Last logs of tasks: a few lines for events and failures, and a file kept after the container is gone. Best effort:
//! a log that cannot be read never blocks a step.

use std::path::Path;

use futures_util::StreamExt;
use havre_core::id::{ReleaseId, TaskId};
use havre_core::task::Task;

use havre_engine::log::LogSource;

use crate::execute::tail;
use crate::world::World;

/// Lines kept of a removed task.
const SAVED_LINES: u32 = 2_000;

/// Files kept for one service; the oldest go first.
const SAVED_FILES: usize = 20;

/// Name of the file with the last log of a removed task: `t3-r1.log`, lines of `<instant> <out|err> <text>`.
pub fn file_name(task: TaskId, release: ReleaseId) -> String {
    format!("{task}-{release}.log")
}

/// The last lines of a container's log; empty when there is none.
pub async fn last_lines(world: &World, container: &str, count: u32) -> Vec<String> {
    let Ok(mut lines) = world.engine.logs(container, tail(count)).await else { return Vec::new() };
    let mut kept = Vec::new();
    while let Some(Ok(line)) = lines.next().await {
        kept.push(line.line);
    }
    kept
}

/// Writes the end of a container's log with timestamps, see [`file_name`].
pub async fn save(world: &World, task: &Task, container: &str) {
    let folder = world.settings.task_log_dir.join(task.service.to_string());
    let Ok(mut lines) = world.engine.logs(container, tail(SAVED_LINES)).await else { return };
    let mut text = String::new();
    while let Some(Ok(line)) = lines.next().await {
        text.push_str(&format!("{} {} {}\n", line.at, source(line.stream), line.line));
    }
    if text.is_empty() {
        return;
    }
    if let Err(error) = write(&folder, task, text).await {
        tracing::warn!(task = %task.id, %error, folder = %folder.display(), "could not keep the last log of a task");
    }
}

const fn source(stream: LogSource) -> &'static str {
    match stream {
        LogSource::Stdout => "out",
        LogSource::Stderr => "err",
    }
}

async fn write(folder: &Path, task: &Task, text: String) -> std::io::Result<()> {
    tokio::fs::create_dir_all(folder).await?;
    let target = folder.join(file_name(task.id, task.release));
    let temporary = folder.join(format!(".{}.tmp", task.id));
    tokio::fs::write(&temporary, text).await?;
    tokio::fs::rename(&temporary, &target).await?;
    let mut files = Vec::new();
    let mut entries = tokio::fs::read_dir(folder).await?;
    while let Some(entry) = entries.next_entry().await? {
        files.push((entry.metadata().await?.modified()?, entry.path()));
    }
    files.sort();
    let surplus = files.len().saturating_sub(SAVED_FILES);
    for (_, path) in files.into_iter().take(surplus) {
        tokio::fs::remove_file(path).await?;
    }
    Ok(())
}
