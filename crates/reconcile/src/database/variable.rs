//! Variables of databases for tasks of services that use them. What they are is decided in `havre_decide::database::variable`.
//! Tests: `tests/it/database.rs`.

use std::collections::BTreeMap;

use havre_core::id::EnvironmentId;
use havre_core::name::{DatabaseName, EnvKey, ServiceName};
use havre_core::secret::Secret;
use havre_decide::database::variable::{Link, password_name, variables};
use havre_store::{StoreError, View};

/// A database that does not let a service in, and why, for people.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the database {database} does not let it in: {why}")]
pub struct Missing {
    /// Which.
    pub database: DatabaseName,
    /// Why.
    pub why: String,
}

/// Variables of the databases that a service of an environment uses, or the first that does not let it in.
///
/// # Errors
/// When the store fails, or a password cannot be opened.
pub fn read(
    view: &View<'_>,
    environment: EnvironmentId,
    service: &ServiceName,
    uses: &[DatabaseName],
) -> Result<Result<BTreeMap<EnvKey, Secret>, Missing>, StoreError> {
    let mut links: Vec<Link> = Vec::new();
    for name in uses {
        match link(view, environment, service, name)? {
            Ok(link) => links.push(link),
            Err(why) => return Ok(Err(Missing { database: name.clone(), why })),
        }
    }
    Ok(Ok(variables(&links)))
}

/// Passwords of these databases, as logs name them. One that does not let the service in has none.
///
/// # Errors
/// As [`read`].
pub(crate) fn passwords(
    view: &View<'_>,
    environment: EnvironmentId,
    service: &ServiceName,
    uses: &[DatabaseName],
) -> Result<Vec<(EnvKey, Secret)>, StoreError> {
    let mut found = Vec::new();
    for name in uses {
        if let Ok(link) = link(view, environment, service, name)? {
            found.push((password_name(name), link.password));
        }
    }
    Ok(found)
}

fn link(
    view: &View<'_>,
    environment: EnvironmentId,
    service: &ServiceName,
    name: &DatabaseName,
) -> Result<Result<Link, String>, StoreError> {
    let Some(database) = view.find_environment_database(environment, name)? else {
        return Ok(Err("there is none of this name in the environment; `havre apply` makes it".to_owned()));
    };
    let link = view.find_database_link(&database, service)?;
    Ok(link.ok_or_else(|| format!("it is {}, and has no role for {service} yet", database.shown_state())))
}

/// Databases a new release would wait for: those that do not answer, or do not let it in.
///
/// # Errors
/// As [`read`].
pub(crate) fn missing(
    view: &View<'_>,
    environment: EnvironmentId,
    service: &ServiceName,
    uses: &[DatabaseName],
) -> Result<Vec<(DatabaseName, String)>, StoreError> {
    let mut missing = Vec::new();
    for name in uses {
        let why = match link(view, environment, service, name)? {
            Err(why) => Some(why),
            Ok(_) => silence(view, environment, name)?,
        };
        missing.extend(why.map(|why| (name.clone(), why)));
    }
    Ok(missing)
}

/// Why a database does not answer, if it does not.
fn silence(
    view: &View<'_>,
    environment: EnvironmentId,
    name: &DatabaseName,
) -> Result<Option<String>, StoreError> {
    let Some(database) = view.find_environment_database(environment, name)? else { return Ok(None) };
    if database.state.is_ready() {
        return Ok(None);
    }
    let waiting = view.waiting("database", database.id.row())?.unwrap_or_default();
    let state = database.shown_state();
    Ok(Some(if waiting.is_empty() { format!("it is {state}") } else { format!("it is {state}: {waiting}") }))
}
