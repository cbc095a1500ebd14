//! What an apply would change of databases, and what their specifications must obey. Tests: `tests/it/database.rs`.

use std::collections::BTreeSet;

use havre_api::database::DatabaseChange;
use havre_api::environment::{Action, ApplyRequest, FieldChange};
use havre_core::database::Database;
use havre_core::database::spec::{DATABASES_MAX, DatabaseSpec};
use havre_core::name::ServiceName;
use havre_store::{StoreError, View};
use serde_json::Value;

use crate::error::Refusal;
use crate::extract::EnvironmentPath;

/// What breaks a rule, in words; empty when nothing does.
pub(crate) fn broken(request: &ApplyRequest) -> Vec<String> {
    let mut broken = Vec::new();
    if request.databases.len() > DATABASES_MAX {
        broken.push(format!("{} databases are too many: at most {DATABASES_MAX}", request.databases.len()));
    }
    let mut names = BTreeSet::new();
    for spec in &request.databases {
        if !names.insert(&spec.name) {
            broken.push(format!("the database {} is named twice", spec.name));
        }
        if request.services.iter().any(|service| service.name == ServiceName::from(&spec.name)) {
            broken.push(format!("{} is the name of a database and of a service", spec.name));
        }
        if matches!(spec.name.as_str(), "postgres" | "template0" | "template1") {
            broken.push(format!("{} is a database that every PostgreSQL server has by itself", spec.name));
        }
        broken.extend(spec.problems().into_iter().map(|text| format!("{}: {text}", spec.name)));
    }
    broken
}

/// Every change, by name; refuses what cannot be applied.
pub(crate) fn list(
    view: &View<'_>,
    path: &EnvironmentPath,
    request: &ApplyRequest,
) -> Result<Vec<DatabaseChange>, Refusal> {
    let existing = match view.find_environment(&path.project, &path.environment)? {
        Some(environment) => view.list_environment_databases(environment.id)?,
        None => Vec::new(),
    };
    check_uses(request, &existing)?;
    let mut changes = Vec::new();
    for spec in &request.databases {
        let before = existing.iter().find(|row| row.spec.name == spec.name);
        let fields = before.map(|row| compare(row, spec)).transpose()?;
        let action = match &fields {
            None => Action::Created,
            Some(fields) if fields.is_empty() => Action::Unchanged,
            Some(_) => Action::Changed,
        };
        changes.push(DatabaseChange {
            database: spec.name.clone(),
            action,
            fields: fields.unwrap_or_default(),
        });
    }
    for row in &existing {
        let is_named = request.databases.iter().any(|spec| spec.name == row.spec.name);
        if !is_named && !row.state.is_destroying() {
            let (database, fields) = (row.spec.name.clone(), Vec::new());
            changes.push(DatabaseChange { database, action: Action::NotNamed, fields });
        }
    }
    changes.sort_by(|a, b| a.database.cmp(&b.database));
    Ok(changes)
}

/// What services use is there, or comes with them.
fn check_uses(request: &ApplyRequest, existing: &[Database]) -> Result<(), Refusal> {
    let lasts = |row: &&Database| !row.state.is_destroying();
    let known: BTreeSet<_> = request
        .databases
        .iter()
        .map(|spec| &spec.name)
        .chain(existing.iter().filter(lasts).map(|row| &row.spec.name))
        .collect();
    let mut broken = Vec::new();
    for service in &request.services {
        let missing = service.uses().iter().filter(|name| !known.contains(*name));
        broken.extend(missing.map(|name| format!("{}: there is no database {name}", service.name)));
    }
    if broken.is_empty() {
        return Ok(());
    }
    Err(Refusal::new(crate::error::Code::SpecInvalid, broken.join("; "))
        .hint("add [databases.<name>] to havre.toml, or take it out of `uses`; nothing was changed")
        .details(serde_json::json!({ "broken": broken })))
}

/// Keys that differ.
fn compare(row: &Database, spec: &DatabaseSpec) -> Result<Vec<FieldChange>, Refusal> {
    let place = row.place();
    if row.state.is_destroying() {
        return Err(StoreError::BeingDestroyed { place }.into());
    }
    if (row.spec.engine, row.spec.version) != (spec.engine, spec.version) {
        let server = |spec: &DatabaseSpec| format!("{} {}", spec.engine, spec.version);
        return Err(StoreError::OtherServer {
            place: Box::new(place),
            is: server(&row.spec),
            wanted: server(spec),
        }
        .into());
    }
    let json = |spec: &DatabaseSpec| match serde_json::to_value(spec) {
        Ok(Value::Object(keys)) => keys,
        _ => serde_json::Map::new(),
    };
    let (from, to) = (json(&row.spec), json(spec));
    let paths: BTreeSet<&String> = from.keys().chain(to.keys()).collect();
    let differs = paths.into_iter().filter(|path| from.get(*path) != to.get(*path));
    let change = |path: &String| FieldChange {
        path: path.clone(),
        from: from.get(path).cloned(),
        to: to.get(path).cloned(),
    };
    Ok(differs.map(change).collect())
}

/// What is allowed but worth knowing.
pub(crate) fn warnings(changes: &[DatabaseChange]) -> Vec<String> {
    let warning = |change: &DatabaseChange| match change.action {
        // What is promised of its backups changes nothing of the server.
        Action::Changed if change.fields.iter().all(|field| field.path == "backup") => None,
        Action::Changed => Some(format!(
            "{}: its server is stopped and started again; services get no connection for some seconds",
            change.database
        )),
        Action::NotNamed => Some(format!(
            "{}: this database exists but is not named here; it stays (`havre db destroy {}` destroys it)",
            change.database, change.database
        )),
        _ => None,
    };
    changes.iter().filter_map(warning).collect()
}
