//! Logs of runs that have ended: one file for each attempt, kept as long as the run has a row. Best effort: a log that cannot be
//! read or written never blocks a step.

use std::collections::BTreeSet;
use std::path::Path;

use havre_core::id::{JobRunId, ServiceId};
use havre_core::job::JobRun;

use crate::task_log;
use crate::world::World;

/// Name of the file with the log of one attempt: `j12-1.log`, lines as those of [`task_log`].
pub fn file_name(run: JobRunId, attempt: u32) -> String {
    format!("{run}-{attempt}.log")
}

/// The run a file belongs to.
fn run_of(name: &str) -> Option<JobRunId> {
    name.split_once('-')?.0.parse().ok()
}

/// Keeps the end of the log of the present attempt.
pub(super) async fn save(world: &World, run: &JobRun, container: &str) {
    let text = task_log::read(world, container, run.release).await;
    if text.is_empty() {
        return;
    }
    let folder = world.settings.job_log_dir.join(run.service.to_string());
    if let Err(error) = task_log::write(&folder, &file_name(run.id, run.attempt), text).await {
        tracing::warn!(run = %run.id, %error, folder = %folder.display(), "could not keep the log of a job");
    }
}

/// Removes logs of runs that have no row any more.
pub(super) async fn tidy(world: &World, service: ServiceId) {
    let rows = match world.store.read(move |view| view.job_run_ids(service)).await {
        Ok(rows) => rows,
        Err(error) => {
            tracing::warn!(%service, %error, "could not tidy up the logs of jobs; the next run that ends does");
            return;
        }
    };
    let folder = world.settings.job_log_dir.join(service.to_string());
    if let Err(error) = remove_others(&folder, &rows).await {
        tracing::warn!(%service, %error, folder = %folder.display(), "could not tidy up the logs of jobs");
    }
}

async fn remove_others(folder: &Path, rows: &BTreeSet<JobRunId>) -> std::io::Result<()> {
    let mut entries = match tokio::fs::read_dir(folder).await {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    while let Some(entry) = entries.next_entry().await? {
        let run = entry.file_name().to_str().and_then(run_of);
        if run.is_some_and(|run| !rows.contains(&run)) {
            tokio::fs::remove_file(entry.path()).await?;
        }
    }
    Ok(())
}
