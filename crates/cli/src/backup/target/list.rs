//! `havre backup target list`: places, media and states; credentials are never shown. Tests at the end of the file.

use havre_api::backup::{BackupTarget, BackupTargetList};
use havre_core::backup::target::TargetState;

use crate::exit::{CliError, Exit};
use crate::invocation::Invocation;
use crate::output::{self, table};

pub(crate) async fn run(invocation: &Invocation) -> Result<Exit, CliError> {
    let list: BackupTargetList = invocation.client()?.get("/v1/backup-targets").await?;
    if invocation.global.json {
        output::json(&list)?;
    } else {
        output::data(&render(&list.targets))?;
    }
    Ok(Exit::Ok)
}

fn render(targets: &[BackupTarget]) -> String {
    let mut rows = vec![table::row(["TARGET", "PLACE", "MEDIUM", "OFF-SITE", "KIT", "STATE"])];
    for target in targets {
        let state = match &target.state {
            TargetState::Waiting => "waits for its first use".to_owned(),
            TargetState::Ready => "ready".to_owned(),
            TargetState::Failed { reason } => format!("failed: {reason}"),
        };
        rows.push(table::row([
            target.name.as_str(),
            &target.address,
            target.medium.as_str(),
            if target.is_offsite { "yes" } else { "no" },
            if target.kit_shown_at.is_some() { "shown" } else { "never shown" },
            &state,
        ]));
    }
    table::columns(&rows)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_table() {
        let at = "2026-11-24T10:00:00.000Z";
        let disk: BackupTarget = serde_json::from_value(json!({
            "name": "disk-two", "location": { "kind": "folder", "path": "/mnt/two" }, "address": "/mnt/two",
            "medium": "disk-two", "is_offsite": false, "has_credential": false, "state": { "state": "ready" },
            "kit_shown_at": at, "created_at": at,
        }))
        .expect("is a body");
        let state = TargetState::Failed { reason: "access denied".to_owned() };
        let other = BackupTarget {
            name: "nas".parse().expect("a name"),
            is_offsite: true,
            kit_shown_at: None,
            state,
            ..disk.clone()
        };
        insta::assert_snapshot!(render(&[disk, other]), @r"
        TARGET    PLACE     MEDIUM    OFF-SITE  KIT          STATE
        disk-two  /mnt/two  disk-two  no        shown        ready
        nas       /mnt/two  disk-two  yes       never shown  failed: access denied
        ");
    }
}
