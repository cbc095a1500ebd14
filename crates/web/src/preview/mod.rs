//! Previews of pull requests: listed, opened and closed by hand here; announced by webhooks, decided and taken down by the loop.

pub mod close;
pub mod list;
pub mod open;

use havre_core::preview::Preview;
use havre_store::{StoreError, View};

/// The wire form.
pub(crate) fn wire(view: &View<'_>, row: Preview) -> Result<havre_api::preview::Preview, StoreError> {
    let (environment, expires_at) = (row.environment(), row.expires_at());
    let services = match view.find_environment(&row.project, &environment)? {
        Some(found) => view.list_environment_services(found.id)?,
        None => Vec::new(),
    };
    let lasting = services.iter().filter(|service| service.destroyed_at.is_none());
    let routes = lasting.flat_map(|service| service.spec.routes.iter().map(ToString::to_string)).collect();
    Ok(havre_api::preview::Preview {
        project: row.project,
        number: row.number,
        environment,
        commit: row.commit,
        branch: row.branch,
        base: row.base,
        is_fork: row.is_fork,
        state: row.state,
        routes,
        pushed_at: row.pushed_at,
        expires_at,
    })
}
