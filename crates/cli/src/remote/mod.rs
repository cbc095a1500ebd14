//! `havre remote`: where the repository of a project is fetched from, and whether its forge is told what becomes of commits and previews.
//! Tests at the end of the file.

pub(crate) mod key;
pub(crate) mod remove;
pub(crate) mod set;
pub(crate) mod show;

use havre_api::remote::{CommentReport, Remote};
use havre_core::name::ProjectName;
use havre_core::time::Timestamp;

use crate::output::time;

/// Path in the API.
fn path(project: &ProjectName) -> String {
    format!("/v1/projects/{project}/remote")
}

/// With what it is fetched, in some words.
fn how(remote: &Remote) -> &'static str {
    match (&remote.ssh, remote.has_token) {
        (Some(_), _) => "with a deploy key",
        (None, true) => "with a token",
        (None, false) => "without a token",
    }
}

/// Whether the forge is told what becomes of commits, on one line.
fn telling(remote: &Remote) -> String {
    let status = &remote.status;
    match (status.is_on, status.forge, &status.obstacle) {
        (true, Some(forge), _) => {
            let how = if status.has_token { ", with a token of its own" } else { "" };
            format!("{forge} is told what becomes of commits{how}")
        }
        (_, _, Some(obstacle)) => format!("the forge is not told what becomes of commits: {obstacle}"),
        _ => "the forge is not told what becomes of commits".to_owned(),
    }
}

/// Whether the forge is told how previews stand, on one line.
fn commenting(remote: &Remote) -> String {
    let comments = &remote.comments;
    match (comments.is_on, &comments.obstacle) {
        (true, _) => "previews are told of in comments on pull requests".to_owned(),
        (false, Some(obstacle)) => {
            format!("previews are not told of in comments on pull requests: {obstacle}")
        }
        (false, None) => "previews are not told of in comments on pull requests".to_owned(),
    }
}

/// What became of a comment, on one line.
fn commented(report: &CommentReport, now: Timestamp) -> String {
    let mut text = match report.told_at {
        Some(at) => format!("pull request {}: told {}", report.number, time::ago(at, now)),
        None => format!("pull request {}: not told yet", report.number),
    };
    if let Some(reason) = &report.reason {
        let next = if report.next_at.is_some() { "tried again" } else { "given up" };
        text.push_str(&format!("; what came after was refused, {next}: {reason}"));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_comment_on_one_line() {
        let at = Timestamp::parse("2026-11-24T11:00:00Z").expect("an instant");
        let now = Timestamp::parse("2026-11-24T12:00:00Z").expect("an instant");
        let number = "7".parse().expect("a number");
        let told = CommentReport { number, told_at: Some(at), reason: None, next_at: None };
        assert_eq!(commented(&told, now), "pull request 7: told 1h ago");
        let failed =
            CommentReport { told_at: None, reason: Some("no answer".to_owned()), next_at: Some(now), ..told };
        assert_eq!(
            commented(&failed, now),
            "pull request 7: not told yet; what came after was refused, tried again: no answer"
        );
    }
}
