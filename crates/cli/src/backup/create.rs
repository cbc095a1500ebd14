//! `havre backup run`: runs now, followed to their end by asking. They belong to the server: leaving does not stop them. Tests at the end
//! of the file.

use std::collections::BTreeMap;

use havre_api::backup::{BackupRun, BackupRunList, CreateBackupRunsRequest};
use havre_core::backup::run::RunState;
use havre_core::id::BackupRunId;
use havre_core::name::TargetName;
use hyper::Method;

use super::Named;
use crate::exit::{CliError, Exit};
use crate::http::Client;
use crate::invocation::Invocation;
use crate::output::{self, printable, time};

/// Pause between looks.
const PAUSE: std::time::Duration = std::time::Duration::from_secs(1);
/// Looks in a row that may find no server before it is given up.
const ATTEMPTS: u32 = 60;

#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    #[command(flatten)]
    named: Named,
    /// Only to this target; else to those of the policy
    #[arg(long, value_name = "NAME")]
    target: Option<TargetName>,
    /// Only ask for the runs, do not wait for their end
    #[arg(long)]
    detach: bool,
}

pub(crate) async fn run(invocation: &Invocation, options: Options) -> Result<Exit, CliError> {
    let json = invocation.global.json;
    let client = invocation.client()?;
    let request = CreateBackupRunsRequest { what: options.named.what(invocation)?, target: options.target };
    let asked: BackupRunList = client.call(Method::POST, "/v1/backup-runs", &request).await?;
    for run in &asked.runs {
        output::say(&format!("{} of {} to {} is asked for", run.id, run.name, run.target));
    }
    if options.detach {
        if json {
            output::json(&asked)?;
        } else {
            let ids: String = asked.runs.iter().map(|run| format!("{}\n", run.id)).collect();
            output::data(&ids)?;
        }
        return Ok(Exit::Ok);
    }
    tokio::select! {
        result = follow(&client, asked, json) => result,
        _ = tokio::signal::ctrl_c() => {
            output::say("the runs go on; `havre backup list` shows them, `havre backup cancel RUN` stops one");
            Ok(Exit::Interrupted)
        }
    }
}

/// Says how each run goes on, until all are over. With `--json`, only the runs as they ended.
async fn follow(client: &Client, asked: BackupRunList, json: bool) -> Result<Exit, CliError> {
    let mut said: BTreeMap<BackupRunId, String> = BTreeMap::new();
    let mut ended = Vec::new();
    for run in asked.runs {
        let mut attempts = 0;
        loop {
            match client.get::<BackupRun>(&format!("/v1/backup-runs/{}", run.id)).await {
                Ok(found) => {
                    attempts = 0;
                    let line = progress(&found);
                    if said.get(&found.id) != Some(&line) {
                        output::say(&line);
                        said.insert(found.id, line);
                    }
                    if found.is_final {
                        ended.push(found);
                        break;
                    }
                }
                Err(error) if error.exit == Exit::Unreachable && attempts < ATTEMPTS => attempts += 1,
                Err(error) => return Err(error),
            }
            tokio::time::sleep(PAUSE).await;
        }
    }
    let failed = ended.iter().filter(|run| run.status != RunState::Good).count();
    if json {
        output::json(&BackupRunList { runs: ended })?;
    }
    if failed == 0 {
        return Ok(Exit::Ok);
    }
    let message =
        if failed == 1 { "a run left no backup".to_owned() } else { format!("{failed} runs left no backup") };
    Err(CliError::new(Exit::Failed, message).hint("`havre backup list` says why"))
}

/// One line for a run as it is.
fn progress(run: &BackupRun) -> String {
    let place = format!("{} of {} to {}", run.id, run.name, run.target);
    match run.status {
        RunState::Waiting => format!("{place} waits for its turn"),
        RunState::Dumping | RunState::Storing | RunState::Verifying => {
            format!("{place} is {}: {}", run.status, time::size(run.produced_bytes))
        }
        RunState::Good => {
            let (all, added) = (time::size(run.produced_bytes), time::size(run.added_bytes));
            format!("{place} is good: {all} read back, {added} added")
        }
        RunState::Failed => format!("{place} failed: {}", printable(&run.failure)),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::list::tests::run;
    use super::*;

    #[test]
    fn a_line_for_each_state() {
        let lines = [
            run("u1", json!({ "status": "waiting" })),
            run("u1", json!({})),
            run("u1", json!({ "status": "good", "is_final": true })),
            run("u1", json!({ "status": "failed", "is_final": true, "failure": "it was cancelled" })),
        ]
        .map(|run| progress(&run));
        assert_eq!(
            lines,
            [
                "u1 of platform to disk-two waits for its turn",
                "u1 of platform to disk-two is dumping: 1.5 KB",
                "u1 of platform to disk-two is good: 1.5 KB read back, 512 B added",
                "u1 of platform to disk-two failed: it was cancelled",
            ]
        );
    }
}
