//! `havre backup check`: what of backups somebody has to look at, one line for each. Ends with 6 when there is anything, so that a probe can call
//! it. It asks control; `havred backup-check` says the same out of the store alone. Tests at the end of the file.

use havre_api::backup::BackupCheck;

use crate::exit::{CliError, Exit};
use crate::invocation::Invocation;
use crate::output::{self, printable};

pub(crate) async fn run(invocation: &Invocation) -> Result<Exit, CliError> {
    let check: BackupCheck = invocation.client()?.get("/v1/backup-check").await?;
    if invocation.global.json {
        output::json(&check)?;
    } else {
        output::data(&render(&check))?;
    }
    Ok(if check.problems.is_empty() { Exit::Ok } else { Exit::Found })
}

fn render(check: &BackupCheck) -> String {
    check.problems.iter().map(|problem| format!("{}\n", printable(&problem.to_string()))).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn each_problem_is_a_line() {
        let what =
            json!({ "kind": "database", "project": "shop", "environment": "production", "database": "db" });
        let check: BackupCheck = serde_json::from_value(json!({ "problems": [
            { "subject": "target", "what": null, "target": "bucket", "reason": "it cannot be used:\nno route" },
            { "subject": "wal", "what": what, "target": null, "reason": "bucket has nothing" },
        ] }))
        .expect("is a body");
        assert_eq!(
            render(&check),
            "target in bucket: it cannot be used: no route\nwal of database shop/production/db: bucket has nothing\n"
        );
        assert_eq!(render(&BackupCheck { problems: Vec::new() }), "", "silence is well");
    }
}
