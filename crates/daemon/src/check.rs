//! `havred backup-check`: what of backups somebody has to look at, out of the store alone, so that cron or a probe learns of it while control does
//! not run. Wiring only; what it is, is decided in `havre_rescue::check`. Tests: `tests/it/drill_to_a_second.rs`.

use std::process::ExitCode;

use anyhow::Context as _;
use havre_api::backup::BackupCheck;
use havre_reconcile::clock::{Clock as _, SystemClock};
use havre_store::inspect;

use crate::config::ControlConfig;

/// The exit code where somebody has to look, as that of the client.
const FOUND: u8 = 6;

/// Prints a line for each problem; silence is well.
pub(crate) fn run(control: &ControlConfig, is_json: bool) -> anyhow::Result<ExitCode> {
    let path = control.data_dir.join("store.sqlite");
    let now = SystemClock.now();
    let problems = inspect(&path, |view| view.list_backup_problems(now));
    let problems = problems.with_context(|| format!("look into the store {}", path.display()))?;
    let code = if problems.is_empty() { ExitCode::SUCCESS } else { ExitCode::from(FOUND) };
    let check = BackupCheck { problems };
    if is_json {
        println!("{}", serde_json::to_string(&check).context("write JSON")?);
        return Ok(code);
    }
    for problem in &check.problems {
        println!("{}", plain(&problem.to_string()));
    }
    Ok(code)
}

/// Without what would move a terminal: reasons hold words of programs.
fn plain(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}
