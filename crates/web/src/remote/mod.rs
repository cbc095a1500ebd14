//! Remote repositories: where the repository of a project is fetched from, and whether its forge is told what becomes of commits and
//! previews. Tokens go in and never come out, and neither do private halves of deploy keys; what fetches and tells are loops.

pub mod confirm;
pub mod get;
pub mod remove;
pub mod rotate;
pub mod set;
mod ssh;

use havre_api::remote::{CommentReport, Remote, RemoteComments, RemoteStatus};
use havre_core::name::ProjectName;
use havre_core::source::forge::{Forge, Telling};
use havre_store::{CommentRow, RemoteRow, StoreError, View};

use crate::error::{Code, Refusal};
use crate::pipeline::report;

/// The remote repository of a project.
fn find(view: &View<'_>, project: &ProjectName) -> Result<RemoteRow, Refusal> {
    let missing = || {
        Refusal::new(Code::RemoteNotFound, format!("the project {project} has no remote repository"))
            .hint("set one with `havre remote set URL`")
    };
    view.find_remote(project)?.ok_or_else(missing)
}

/// The same where it is fetched over SSH.
fn find_over_ssh(view: &View<'_>, project: &ProjectName) -> Result<RemoteRow, Refusal> {
    let row = find(view, project)?;
    if row.url.is_ssh() {
        return Ok(row);
    }
    let message = format!("{} is no address for SSH, so that {project} has no deploy key", row.url);
    Err(Refusal::new(Code::RemoteInvalid, message).hint("set one with `havre remote set git@HOST:PATH`"))
}

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
    let commenting = row.commenting();
    let comments = RemoteComments {
        is_on: matches!(commenting, Telling::On(_)),
        obstacle: commenting.comment_obstacle().map(ToOwned::to_owned),
        last: view.find_last_comment(&row.project)?.map(comment_report),
    };
    let ssh = ssh::wire(view, &row)?;
    let RemoteRow { project, url, has_token, created_at, .. } = row;
    Ok(Remote { project, url, has_token, ssh, status, comments, created_at })
}

fn comment_report(row: CommentRow) -> CommentReport {
    let CommentRow { number, told_at, reason, memory, .. } = row;
    CommentReport { number, told_at, reason, next_at: memory.next_at }
}
