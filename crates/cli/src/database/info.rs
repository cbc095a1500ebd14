//! `havre db info`: one database, without any password, and what its server says about itself. Tests at the end of the file.

use havre_api::database::{Database, DatabaseInsight};
use havre_core::database::RoleState;
use havre_core::name::DatabaseName;
use serde::Serialize;

use super::list::server;
use super::{insight, path};
use crate::exit::{CliError, Exit};
use crate::invocation::Invocation;
use crate::output::{self, printable};

#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Database
    database: DatabaseName,
}

/// The database, and what its server says, where it was asked and answered.
#[derive(Serialize)]
struct Shown {
    #[serde(flatten)]
    database: Database,
    #[serde(skip_serializing_if = "Option::is_none")]
    insight: Option<DatabaseInsight>,
}

pub(crate) async fn run(invocation: &Invocation, options: Options) -> Result<Exit, CliError> {
    let scope = invocation.scope()?;
    let client = invocation.client()?;
    let database: Database = client.get(&path(&scope, &options.database, "")).await?;
    let asked = if database.state.is_ready() {
        Some(client.get::<DatabaseInsight>(&path(&scope, &options.database, "/insight")).await)
    } else {
        None
    };
    // What Havre itself knows is there all the same.
    let insight = match asked.transpose() {
        Ok(insight) => insight,
        Err(error) => {
            output::say(&format!("note: {}", printable(&error.message)));
            None
        }
    };
    if invocation.global.json {
        output::json(&Shown { database, insight })?;
    } else {
        let inside = insight.as_ref().map_or_else(String::new, insight::render);
        output::data(&(render(&database) + &inside))?;
    }
    Ok(Exit::Ok)
}

fn render(database: &Database) -> String {
    let mut text = format!("{}  {}  {}\n", database.name, server(database), database.status);
    let mut item = |name: &str, value: String| {
        if !value.is_empty() {
            text.push_str(&format!("    {name:<9} {value}\n"));
        }
    };
    item("waits for", printable(&database.waiting));
    item("host", format!("{}:{}", database.name, database.spec.engine.port()));
    item("memory", database.spec.memory.to_string());
    item("image", database.image.as_ref().map_or_else(String::new, |image| image.short().to_owned()));
    let settings = database.spec.settings.iter().map(|(name, value)| format!("{name} = {value}"));
    item("settings", settings.collect::<Vec<_>>().join(", "));
    for role in &database.roles {
        let state = match role.state {
            RoleState::Wanted => "being made",
            RoleState::Made => "lets in",
            RoleState::Replaced { .. } => "replaced, locked once no task uses it",
        };
        item("role", format!("{} of {}: {state}", role.name, role.name.service));
    }
    text
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::list::tests::database;
    use super::*;

    #[test]
    fn everything_but_passwords() {
        let mut spec =
            json!({"name": "db", "engine": "postgres", "version": 16, "memory": "1GB", "cpus": "1"});
        spec["settings"] = json!({"max_connections": "200"});
        insta::assert_snapshot!(render(&database(json!({"spec": spec}))), @r"
        db  postgres 16  ready
            host      db:5432
            memory    1GB
            settings  max_connections = 200
            role      api_a of api: lets in
        ");
    }
}
