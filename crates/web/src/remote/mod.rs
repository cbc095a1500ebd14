//! Remote repositories: where the repository of a project is fetched from, and whether its forge is told what becomes of commits.
//! Tokens go in and never come out; what fetches and tells are loops.

pub mod get;
pub mod remove;
pub mod set;

use havre_api::remote::{Remote, RemoteStatus};
use havre_core::source::forge::{Forge, Telling};
use havre_store::{RemoteRow, StoreError, View};

use crate::pipeline::report;

/// The wire form.
fn wire(view: &View<'_>, row: RemoteRow) -> Result<Remote, StoreError> {
    let telling = row.telling();
    let status = RemoteStatus {
        is_on: matches!(telling, Telling::On(_)),
        forge: row.forge.or_else(|| Forge::of_host(row.url.host())),
        has_token: row.has_status_token,
        obstacle: telling.obstacle().map(ToOwned::to_owned),
        quiet_until: row.quiet_until,
        last: view.find_last_status(&row.project)?.map(report),
    };
    let RemoteRow { project, url, has_token, created_at, .. } = row;
    Ok(Remote { project, url, has_token, status, created_at })
}
