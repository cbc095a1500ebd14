//! `havre db list`: every database of the environment. Tests at the end of the file.

use havre_api::database::{Database, DatabaseList};

use crate::exit::{CliError, Exit};
use crate::invocation::Invocation;
use crate::output::{self, printable, table};

pub(crate) async fn run(invocation: &Invocation) -> Result<Exit, CliError> {
    let scope = invocation.scope()?;
    let list: DatabaseList = invocation.client()?.get(&format!("{}/databases", scope.path())).await?;
    if invocation.global.json {
        output::json(&list)?;
    } else {
        output::data(&render(&list.databases))?;
    }
    Ok(Exit::Ok)
}

fn render(databases: &[Database]) -> String {
    let mut rows = vec![table::row(["DATABASE", "SERVER", "MEMORY", "STATE", "USED BY", "WAITS FOR"])];
    for database in databases {
        let users: Vec<&str> = database.users.iter().map(|name| name.as_str()).collect();
        rows.push(table::row([
            database.name.as_str(),
            &server(database),
            &database.spec.memory.to_string(),
            &database.status,
            &users.join(", "),
            &printable(&database.waiting),
        ]));
    }
    table::columns(&rows)
}

/// Which server it is, with its version.
pub(super) fn server(database: &Database) -> String {
    format!("{} {}", database.spec.engine, database.spec.version)
}

#[cfg(test)]
pub(super) mod tests {
    use serde_json::{Value, json};

    use super::*;

    pub(crate) fn database(more: Value) -> Database {
        let at = "2026-11-24T10:00:00.000Z";
        let mut body = json!({"id": "m1", "name": "db", "environment_id": "e1", "revision": 1,
            "spec": {"name": "db", "engine": "postgres", "version": 16, "memory": "512MB", "cpus": "1"},
            "state": {"state": "ready", "since": at}, "status": "ready", "waiting": "", "task": 1, "image": null,
            "ready_at": at, "roles": [{"name": "api_a", "state": {"state": "made"}}], "users": ["api", "worker"],
            "created_at": at});
        for (key, value) in more.as_object().expect("is a table") {
            body[key] = value.clone();
        }
        serde_json::from_value(body).expect("is a body")
    }

    #[test]
    fn a_table() {
        let waits = database(json!({"name": "log", "status": "creating", "users": [],
            "waiting": "does not answer yet: no response"}));
        insta::assert_snapshot!(render(&[database(json!({})), waits]), @r"
        DATABASE  SERVER       MEMORY  STATE     USED BY      WAITS FOR
        db        postgres 16  512MB   ready     api, worker
        log       postgres 16  512MB   creating               does not answer yet: no response
        ");
    }
}
