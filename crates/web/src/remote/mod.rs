//! Remote repositories: where the repository of a project is fetched from. Tokens go in and never come out; what fetches is a loop.

pub mod get;
pub mod remove;
pub mod set;

use havre_api::remote::Remote;
use havre_store::RemoteRow;

/// The wire form.
fn wire(row: RemoteRow) -> Remote {
    Remote { project: row.project, url: row.url, has_token: row.has_token, created_at: row.created_at }
}
