//! Secrets of services: values go in, and one comes out where a person asks for it, which is told. Values are opened for tasks by
//! the loops, never here.

pub mod history;
pub mod list;
pub mod provider;
pub mod remove;
pub mod reveal;
pub mod rotate;
pub mod set;

use havre_api::secret::{SecretInfo, UsedSecret};
use havre_store::{SecretRow, StoreError, View};

/// The wire form.
fn wire(row: SecretRow) -> SecretInfo {
    let SecretRow { environment, name, version, set_at, set_by, .. } = row;
    SecretInfo { name, environment, version, set_at, set_by }
}

/// The wire form with who gets it.
fn wire_used(view: &View<'_>, row: SecretRow) -> Result<UsedSecret, StoreError> {
    let users = view.list_secret_users(&row.project, row.environment.as_ref(), &row.name)?;
    let used_by = users.into_iter().map(|service| service.place).collect();
    Ok(UsedSecret { secret: wire(row), used_by })
}
