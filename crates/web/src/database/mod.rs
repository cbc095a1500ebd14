//! Databases of environments: read, looked into and asked to go here; run by the loop. `change` says what an apply would change. No answer
//! holds a password.

pub mod console;
pub mod destroy;
pub mod get;
pub mod insight;
pub mod list;
pub mod logs;
pub mod rotate;

pub(crate) mod change;

use havre_api::database::DatabaseRole;
use havre_core::database::Database;
use havre_store::View;

use crate::error::Refusal;

/// The wire form.
pub(crate) fn wire(view: &View<'_>, row: Database) -> Result<havre_api::database::Database, Refusal> {
    let roles = view.list_database_roles(row.id)?.into_iter();
    let status = if view.find_loss(&row)?.is_some() { "lost" } else { row.shown_state() };
    Ok(havre_api::database::Database {
        users: view.list_database_users(&row)?.into_iter().collect(),
        roles: roles.map(|role| DatabaseRole { name: role.name, state: role.state }).collect(),
        waiting: view.waiting("database", row.id.row())?.unwrap_or_default(),
        status: status.to_owned(),
        id: row.id,
        name: row.spec.name.clone(),
        environment_id: row.environment,
        revision: row.revision,
        task: row.task,
        image: row.image.map(|image| image.id),
        ready_at: row.ready_at,
        created_at: row.created_at,
        state: row.state,
        spec: row.spec,
    })
}
