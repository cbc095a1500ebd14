//! What people are told of a preview at the forge, below the pull request, in Markdown. The first line is for us: by it the comment is found
//! again and replaced, so that there is one. Whatever others had a hand in is shown as it is and read as no markup. Sends nothing. Tests at
//! the end of the file.

use std::fmt::Write as _;

use crate::name::ServiceName;
use crate::pipeline::State as PipelineState;
use crate::preview::{Preview, State};
use crate::service::spec::RouteSpec;

/// Longest reason that is shown, in characters.
const REASON_MAX: usize = 1000;

/// One service of a preview.
#[derive(Debug, Clone, Copy)]
pub struct Shown<'a> {
    /// Its name.
    pub name: &'a ServiceName,
    /// Where users find it; `None` for one that only other services reach.
    pub route: Option<&'a RouteSpec>,
    /// Whether that address has a certificate.
    pub is_https: bool,
    /// How it is, in a word.
    pub state: &'static str,
}

/// The line by which the comment about a preview is known.
pub fn marker(preview: &Preview) -> String {
    format!("<!-- havre preview {}/{} -->", preview.project, preview.number)
}

/// The whole comment: where the preview is, of which commit, and how its newest pipeline stands.
pub fn comment_text(preview: &Preview, services: &[Shown<'_>], state: &PipelineState) -> String {
    let mut text = marker(preview);
    let commit = preview.commit.short();
    let head = match &preview.state {
        State::Open { .. } => format!("**Preview** of `{commit}`: {}", words(state)),
        State::Closing { reason, .. } | State::Closed { reason, .. } => {
            format!("**Preview** of `{commit}`: closed, {reason}")
        }
    };
    text.push('\n');
    text.push_str(&head);
    text.push('\n');
    if !preview.is_open() {
        return text;
    }
    if !services.is_empty() {
        text.push_str("\n| service | address | state |\n|---|---|---|\n");
    }
    for service in services {
        let address = match service.route {
            Some(route) if service.is_https => format!("https://{route}"),
            Some(route) => format!("http://{route}"),
            None => String::new(),
        };
        writeln!(text, "| {} | {address} | {} |", service.name, service.state)
            .expect("a string takes everything");
    }
    if let PipelineState::Failed { reason, .. } = state {
        text.push('\n');
        for line in reason.chars().take(REASON_MAX).collect::<String>().lines() {
            // Four spaces: nothing in it is markup, and nothing in it can end that.
            let line: String = line.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
            writeln!(text, "    {line}").expect("a string takes everything");
        }
    }
    if preview.is_fork {
        text.push_str("\nIt comes from a fork, so it has no secrets.\n");
    }
    text
}

fn words(state: &PipelineState) -> String {
    match state {
        PipelineState::Queued => "waits for its turn".to_owned(),
        PipelineState::CheckingOut { .. } | PipelineState::Building { .. } => "is being built".to_owned(),
        PipelineState::Testing { .. } => "is being tested".to_owned(),
        PipelineState::Deploying { .. } => "is being deployed".to_owned(),
        PipelineState::Succeeded { .. } => "ready".to_owned(),
        PipelineState::Failed { stage, .. } => format!("failed ({})", stage.name()),
        PipelineState::Cancelled { .. } => "cancelled".to_owned(),
        PipelineState::Superseded { .. } => "gave way to a newer commit".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pipeline::Stage;
    use crate::preview::{CloseReason, TTL};
    use crate::time::Timestamp;

    const AT: Timestamp = Timestamp::from_millis(0);

    fn preview() -> Preview {
        Preview {
            project: "shop".parse().expect("a name"),
            number: "7".parse().expect("a number"),
            commit: "a".repeat(40).parse().expect("a commit"),
            branch: "feature/x".parse().expect("a branch"),
            base: "main".parse().expect("a branch"),
            base_commit: "b".repeat(40).parse().expect("a commit"),
            is_fork: false,
            state: State::Open { since: AT },
            pushed_at: AT,
            ttl: TTL,
        }
    }

    #[test]
    fn a_comment_says_where_and_how() {
        let (web, worker): (ServiceName, ServiceName) =
            ("web".parse().expect("a name"), "worker".parse().expect("a name"));
        let route = RouteSpec {
            host: "7.preview.example.org".parse().expect("a host"),
            path: "/".parse().expect("a path"),
        };
        let services = [
            Shown { name: &web, route: Some(&route), is_https: true, state: "live" },
            Shown { name: &worker, route: None, is_https: false, state: "live" },
        ];
        let text = comment_text(&preview(), &services, &PipelineState::Succeeded { at: AT });
        let expected = "<!-- havre preview shop/7 -->\n**Preview** of `aaaaaaaaaaaa`: ready\n\n\
            | service | address | state |\n|---|---|---|\n| web | https://7.preview.example.org/ | live |\n\
            | worker |  | live |\n";
        assert_eq!(text, expected);
    }

    #[test]
    fn what_strangers_wrote_is_no_markup() {
        let reason = "step failed\n```\n<img src=x>\u{1b}[1m".to_owned();
        let failed = PipelineState::Failed { at: AT, stage: Stage::Build, reason };
        let fork = Preview { is_fork: true, ..preview() };
        let text = comment_text(&fork, &[], &failed);
        let expected = "<!-- havre preview shop/7 -->\n**Preview** of `aaaaaaaaaaaa`: failed (build)\n\n    \
            step failed\n    ```\n    <img src=x> [1m\n\nIt comes from a fork, so it has no secrets.\n";
        assert_eq!(text, expected);
        let gone = State::Closed { at: AT, reason: CloseReason::Ended };
        let text = comment_text(&Preview { state: gone, ..fork }, &[], &failed);
        assert!(text.ends_with("closed, the pull request was closed\n"), "{text}");
    }
}
