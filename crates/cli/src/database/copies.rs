//! `havre db copies`: copies into a database, newest first. Tests at the end of the file.

use havre_api::copy::{Copy, CopyList};
use havre_core::copy::Origin;
use havre_core::name::DatabaseName;
use havre_core::time::Timestamp;

use super::path;
use crate::exit::{CliError, Exit};
use crate::invocation::Invocation;
use crate::output::{self, printable, table, time};

#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Database
    database: DatabaseName,
}

pub(crate) async fn run(invocation: &Invocation, options: Options) -> Result<Exit, CliError> {
    let scope = invocation.scope()?;
    let list: CopyList = invocation.client()?.get(&path(&scope, &options.database, "/copies")).await?;
    if invocation.global.json {
        output::json(&list)?;
    } else {
        output::data(&render(&list.copies, time::now()))?;
    }
    Ok(Exit::Ok)
}

fn render(copies: &[Copy], now: Timestamp) -> String {
    let mut rows = vec![table::row(["COPY", "FROM", "MASKED", "STATE", "ASKED FOR", "BEFORE", "REMARK"])];
    for copy in copies {
        let from = match &copy.origin {
            Origin::Database { environment, .. } => environment.to_string(),
            Origin::Upload => "a dump".to_owned(),
        };
        rows.push(table::row([
            copy.id.to_string().as_str(),
            &from,
            if copy.masked { "yes" } else { "no" },
            copy.state.name(),
            &time::ago(copy.created_at, now),
            copy.before.as_deref().unwrap_or_default(),
            &remark(copy),
        ]));
    }
    table::columns(&rows)
}

/// Why it failed, in one line, or how far it has come.
fn remark(copy: &Copy) -> String {
    let text = if copy.failure.is_empty() { &copy.waiting } else { &copy.failure };
    printable(text.lines().next().unwrap_or_default())
}

#[cfg(test)]
pub(super) mod tests {
    use serde_json::{Value, json};

    use super::*;

    pub(crate) fn copy(more: Value) -> Copy {
        let at = "2026-11-24T10:00:00.000Z";
        let mut body = json!({"id": "q3", "origin": {"from": "database", "id": "m1", "environment": "production"},
            "place": {"project": "shop", "environment": "staging", "service": "db"}, "masked": true, "drop_old": false,
            "before": null, "beside": null, "attempt": 1, "state": {"state": "copying", "since": at}, "is_final": false,
            "failure": "", "waiting": "", "cancel_requested": false, "ended_at": null, "created_at": at});
        for (key, value) in more.as_object().expect("is a table") {
            body[key] = value.clone();
        }
        serde_json::from_value(body).expect("is a body")
    }

    #[test]
    fn a_table() {
        let at = "2026-11-24T10:01:00.000Z";
        let failed = json!({"state": "failed", "at": at, "reason": {"code": "refused", "message": "a\nb"}});
        let copies = [
            copy(json!({"waiting": "copying: 12 MB so far"})),
            copy(json!({"id": "q2", "state": {"state": "succeeded", "at": at, "report": {"bytes": 10}},
                "before": "db_before_2", "is_final": true, "ended_at": at})),
            copy(json!({"id": "q1", "state": failed, "failure": "add these lines:\nemail = \"email\"",
                "is_final": true, "ended_at": at})),
        ];
        let now = Timestamp::parse("2026-11-24T12:00:00Z").expect("an instant");
        insta::assert_snapshot!(render(&copies, now), @r"
        COPY  FROM        MASKED  STATE      ASKED FOR  BEFORE       REMARK
        q3    production  yes     copying    2h ago                  copying: 12 MB so far
        q2    production  yes     succeeded  2h ago     db_before_2
        q1    production  yes     failed     2h ago                  add these lines:
        ");
    }
}
