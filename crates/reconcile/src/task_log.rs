//! Last logs of tasks: a few lines for events and failures, and a file kept after the container is gone. Best effort:
//! a log that cannot be read never blocks a step.

use std::path::Path;

use futures_util::StreamExt;
use havre_core::id::{ReleaseId, TaskId};
use havre_core::task::Task;
use havre_decide::secret::redact::Redactor;

use havre_engine::log::LogSource;

use crate::execute::tail;
use crate::variable;
use crate::world::World;

/// Lines kept of a removed task.
const SAVED_LINES: u32 = 2_000;

/// Files kept for one service; the oldest go first.
const SAVED_FILES: usize = 20;

/// Name of the file with the last log of a removed task: `t3-r1.log`, lines of `<instant> <out|err> <text>`.
pub fn file_name(task: TaskId, release: ReleaseId) -> String {
    format!("{task}-{release}.log")
}

/// The last lines of the log of a container of this release, without its secrets; empty when there is none.
pub async fn last_lines(world: &World, container: &str, release: ReleaseId, count: u32) -> Vec<String> {
    let redactor = variable::redactor(&world.store, release).await;
    last_lines_without(world, container, &redactor, count).await
}

/// The same without what a redactor knows.
pub async fn last_lines_without(
    world: &World,
    container: &str,
    redactor: &Redactor,
    count: u32,
) -> Vec<String> {
    let Ok(mut lines) = world.engine.logs(container, tail(count)).await else { return Vec::new() };
    let mut kept = Vec::new();
    while let Some(Ok(line)) = lines.next().await {
        kept.push(redactor.text(line.line));
    }
    kept
}

/// Writes the end of a container's log with timestamps, see [`file_name`].
pub async fn save(world: &World, task: &Task, container: &str) {
    let text = read(world, container, task.release).await;
    if text.is_empty() {
        return;
    }
    let folder = world.settings.task_log_dir.join(task.service.to_string());
    let name = file_name(task.id, task.release);
    let kept = async {
        write(&folder, &name, text).await?;
        prune(&folder).await
    };
    if let Err(error) = kept.await {
        tracing::warn!(task = %task.id, %error, folder = %folder.display(), "could not keep the last log of a task");
    }
}

/// The end of the log of a container of this release, as it is kept: without its secrets; empty when there is none.
pub(crate) async fn read(world: &World, container: &str, release: ReleaseId) -> String {
    let mut text = String::new();
    let Ok(mut lines) = world.engine.logs(container, tail(SAVED_LINES)).await else { return text };
    let redactor = variable::redactor(&world.store, release).await;
    while let Some(Ok(line)) = lines.next().await {
        let shown = redactor.text(line.line);
        text.push_str(&format!("{} {} {shown}\n", line.at, source(line.stream)));
    }
    text
}

const fn source(stream: LogSource) -> &'static str {
    match stream {
        LogSource::Stdout => "out",
        LogSource::Stderr => "err",
    }
}

/// Writes a file of this name, whole or not at all.
pub(crate) async fn write(folder: &Path, name: &str, text: String) -> std::io::Result<()> {
    tokio::fs::create_dir_all(folder).await?;
    let temporary = folder.join(format!(".{name}.tmp"));
    tokio::fs::write(&temporary, text).await?;
    tokio::fs::rename(&temporary, folder.join(name)).await
}

async fn prune(folder: &Path) -> std::io::Result<()> {
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
