//! `havre restore DATABASE`: a new database out of a snapshot, followed to its end by asking. It belongs to the server: leaving does not stop
//! it. Tests at the end of the file, and in `tests/it/restore.rs`.

use havre_api::restore::{CreateRestoreRequest, CreateRestoreResponse, Restore};
use havre_core::name::DatabaseName;
use hyper::Method;

use super::Options;
use crate::database::path;
use crate::exit::{CliError, Exit};
use crate::http::{Client, ending};
use crate::invocation::Invocation;
use crate::output::{self, printable, time};

pub(super) async fn run(
    invocation: &Invocation,
    database: &DatabaseName,
    options: Options,
) -> Result<Exit, CliError> {
    let json = invocation.global.json;
    let scope = invocation.scope()?;
    let client = invocation.client()?;
    let Options { snapshot, at, name, dry_run, detach, .. } = options;
    let at = super::meant(invocation, database, at).await?;
    let request = CreateRestoreRequest { snapshot, at, name, dry_run };
    let asked: CreateRestoreResponse =
        client.call(Method::POST, &path(&scope, database, "/restores"), &request).await?;
    let plan = plan(database, &asked);
    let begun = asked.restore.clone().filter(|_| !dry_run).map(|restore| (restore.id.to_string(), restore));
    let Some(restore) = super::show(json, &asked, &plan, begun, detach)? else { return Ok(Exit::Ok) };
    tokio::select! {
        result = follow(&client, restore, json) => result,
        _ = tokio::signal::ctrl_c() => {
            output::say(&format!("it goes on; `havre restore list {database} --done` shows it"));
            Ok(Exit::Interrupted)
        }
    }
}

/// What comes back, and into what.
fn plan(database: &DatabaseName, asked: &CreateRestoreResponse) -> String {
    let point = &asked.point;
    let old = match asked.database == *database {
        true => "    takes the place of the one whose data is lost\n".to_owned(),
        false => format!("= {database}\n    stays as it is\n"),
    };
    format!(
        "+ {} ({})\n    a new database, with {database} as it was at {} (snapshot {} in {}, {})\n{old}",
        asked.database,
        printable(&asked.server),
        point.at,
        point.snapshot.short(),
        point.target,
        time::size(point.bytes),
    )
}

/// Says how it goes on, until it is over. With `--json`, only how it ended.
async fn follow(client: &Client, asked: Restore, json: bool) -> Result<Exit, CliError> {
    let path = format!("/v1/restores/{}", asked.id);
    let progress = |found: &Restore| format!("{} is {}", found.id, found.status);
    ended(&ending::last(client, &path, |found: &Restore| found.is_final, progress).await?, json)
}

fn ended(found: &Restore, json: bool) -> Result<Exit, CliError> {
    if json {
        output::json(found)?;
    }
    if !found.failure.is_empty() {
        let text = format!("{} failed: {}", found.id, printable(&found.failure));
        return Err(CliError::new(Exit::Failed, text).hint(format!(
            "{} was not touched, and what was made of {} goes",
            found.source, found.database
        )));
    }
    let took = found
        .ended_at
        .map_or_else(String::new, |at| format!(" in {}", time::length(at.since(found.created_at))));
    let name = &found.database;
    output::say(&format!("{name} is what {} was at {}{took}", found.source, found.at));
    output::say(&format!(
        "look into it with `havre db console {name}`; services use it once havre.toml has [databases.{name}] and \
         `uses = [\"{name}\"]`, and they are deployed"
    ));
    Ok(Exit::Ok)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::list::tests::restore;
    use super::*;

    #[test]
    fn a_plan_names_what_is_new_and_what_stays() {
        let asked: CreateRestoreResponse = serde_json::from_value(json!({
            "dry_run": true, "database": "db-restored-1", "server": "postgres 16",
            "point": { "at": "2026-11-24T10:00:00.000Z", "snapshot": "1".repeat(64), "target": "disk-two", "run": "u1",
                "bytes": 1536, "sha256": "a".repeat(64), "tables": 2, "rows": 7, "source_version": "PostgreSQL 16.14",
                "verified_at": "2026-11-24T10:00:00.000Z" },
        }))
        .expect("is a body");
        insta::assert_snapshot!(plan(&"db".parse().expect("is a name"), &asked), @r"
        + db-restored-1 (postgres 16)
            a new database, with db as it was at 2026-11-24T10:00:00.000Z (snapshot 11111111 in disk-two, 1.5 KB)
        = db
            stays as it is
        ");
    }

    #[test]
    fn one_that_failed_ends_with_an_error() {
        let failed =
            restore(json!({ "status": "failed", "is_final": true, "failure": "Havre ended while it ran" }));
        let error = ended(&failed, false).expect_err("it failed");
        assert_eq!(error.exit, Exit::Failed);
        assert_eq!(error.message, "v3 failed: Havre ended while it ran");
    }
}
