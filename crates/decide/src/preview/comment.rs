//! What people are told of a preview at the forge, in one comment below the pull request, in Markdown. Whatever others had a hand in is shown
//! as it is and read as no markup. Sends nothing and knows no forge: who calls is the `forge` loop, when a call is made again is decided as
//! for statuses. Tests at the end of the file.

use std::fmt::{self, Write as _};
use std::str::FromStr;

use havre_core::certificate::Certificate;
use havre_core::name::{CertificateName, ServiceName};
use havre_core::pipeline::{Pipeline, State as PipelineState};
use havre_core::preview::{CloseReason, Preview};
use havre_core::service::Service;
use havre_core::service::spec::{HttpsMode, RouteSpec};
use havre_core::time::Timestamp;

/// Longest reason that is shown, in characters.
const REASON_MAX: usize = 1000;
/// Most lines of it.
const LINES_MAX: usize = 20;
/// Most lines of the table.
const SHOWN_MAX: usize = 50;

/// A comment, by the number it has at its forge.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CommentId(pub u64);

/// Random part of the mark by which a comment of ours is found again where its number was lost. Nobody knows it before the comment is there,
/// so nobody can have written it into a comment of their own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommentMark(String);

/// Text that is no such mark.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the mark of a comment has 16 lower-case hex digits")]
pub struct CommentMarkError;

impl CommentMark {
    /// Of random bytes.
    pub fn new(bytes: [u8; 8]) -> Self {
        Self(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for CommentMark {
    type Err = CommentMarkError;

    fn from_str(text: &str) -> Result<Self, CommentMarkError> {
        match text.len() == 16 && text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b)) {
            true => Ok(Self(text.to_owned())),
            false => Err(CommentMarkError),
        }
    }
}

impl fmt::Display for CommentMark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// What a comment is known by at the forge: `shop/pr-7/0123456789abcdef`. Two projects may deploy one repository.
pub fn key(preview: &Preview, mark: &CommentMark) -> String {
    format!("{}/{}/{mark}", preview.project, preview.environment())
}

/// One address of a preview, or a service without one.
#[derive(Debug, Clone, Copy)]
pub struct Shown<'a> {
    /// Name of the service.
    pub name: &'a ServiceName,
    /// Where users find it; `None` for one that only other services reach.
    pub route: Option<&'a RouteSpec>,
    /// Whether that address has a certificate.
    pub is_https: bool,
    /// How it is, in a word.
    pub state: &'static str,
}

/// What is shown of a service: each of its addresses. Nothing of one that is on its way out.
pub fn shown<'a>(service: &'a Service, certificates: &[Certificate], now: Timestamp) -> Vec<Shown<'a>> {
    if service.destroyed_at.is_some() {
        return Vec::new();
    }
    let name = &service.spec.name;
    let state = match (&service.maintenance, service.live) {
        (Some(_), _) => "in maintenance",
        (None, Some(_)) => "live",
        (None, None) => "not deployed yet",
    };
    if service.spec.routes.is_empty() {
        return vec![Shown { name, route: None, is_https: false, state }];
    }
    let has_certificate = |route: &RouteSpec| {
        let host = CertificateName::from(route.host.clone());
        let mut current = certificates.iter().filter_map(|row| row.current.as_ref());
        service.spec.https.mode != HttpsMode::Off
            && current.any(|current| current.is_valid(now) && current.covers(&host))
    };
    let routes = service.spec.routes.iter();
    routes.map(|route| Shown { name, route: Some(route), is_https: has_certificate(route), state }).collect()
}

/// The whole comment, without its mark: where the preview is, of which commit, and how its newest pipeline stands; or that it is gone, which
/// reads the same while it is taken down and afterwards.
pub fn comment_text(preview: &Preview, services: &[Shown<'_>], pipeline: Option<&Pipeline>) -> String {
    let commit = pipeline.map_or(&preview.commit, |pipeline| &pipeline.commit).short();
    let mut text = format!("**{}**, preview `{}` of `{commit}`: ", preview.project, preview.environment());
    if let Some(reason) = preview.state.reason() {
        writeln!(text, "closed, {}", close_words(reason)).expect("a string takes everything");
        return text;
    }
    text.push_str(&pipeline.map_or_else(|| "open".to_owned(), |pipeline| words(&pipeline.state)));
    text.push('\n');
    if !services.is_empty() {
        text.push_str("\n| service | address | state |\n|---|---|---|\n");
    }
    for service in services.iter().take(SHOWN_MAX) {
        let address = service.route.map(|route| address(route, service.is_https)).unwrap_or_default();
        writeln!(text, "| {} | {address} | {} |", service.name, service.state)
            .expect("a string takes everything");
    }
    if services.len() > SHOWN_MAX {
        writeln!(text, "\n{} more are not shown.", services.len() - SHOWN_MAX)
            .expect("a string takes everything");
    }
    if let Some(Pipeline { id, state: PipelineState::Failed { reason, .. }, .. }) = pipeline {
        text.push('\n');
        push_reason(&mut text, reason);
        writeln!(text, "\n`havre ci logs {id}` shows what it said.").expect("a string takes everything");
    }
    if preview.is_fork {
        text.push_str("\nIt comes from a fork, so it has no secrets.\n");
    }
    text
}

/// A text that others had a hand in. Four spaces: nothing in it is markup, and nothing in it can end that.
fn push_reason(text: &mut String, reason: &str) {
    let short: String = reason.chars().take(REASON_MAX).collect();
    for line in short.lines().take(LINES_MAX) {
        let line: String = line.chars().map(|c| if is_visible(c) { c } else { ' ' }).collect();
        writeln!(text, "    {line}").expect("a string takes everything");
    }
    if short.len() < reason.len() || short.lines().count() > LINES_MAX {
        text.push_str("    …\n");
    }
}

/// No control character, and none that makes other text look as it is not: invisible ones, and those that turn its direction.
fn is_visible(c: char) -> bool {
    let is_hidden = matches!(c, '\u{ad}' | '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}');
    !c.is_control() && !is_hidden
}

/// An address that forges show as a link. Its path is written by the pull request: what could be markup is escaped as in any address.
fn address(route: &RouteSpec, is_https: bool) -> String {
    let mut text = format!("{}://{}", if is_https { "https" } else { "http" }, route.host);
    for byte in route.path.as_str().bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'/' | b'-' | b'.' => text.push(char::from(byte)),
            _ => write!(text, "%{byte:02X}").expect("a string takes everything"),
        }
    }
    text
}

/// Who asked is nobody's business at the forge.
fn close_words(reason: &CloseReason) -> String {
    match reason {
        CloseReason::Asked { .. } => "somebody asked for it".to_owned(),
        CloseReason::Ended | CloseReason::Expired { .. } | CloseReason::MadeRoom { .. } => reason.to_string(),
    }
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
    use havre_core::event::Actor;
    use havre_core::pipeline::Stage;
    use havre_core::preview::{State, TTL};

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

    fn pipeline(state: &PipelineState) -> Pipeline {
        let text = serde_json::json!({
            "id": "i7", "project": "shop", "environment": "pr-7", "reference": "refs/heads/feature/x",
            "commit": "c".repeat(40), "subject": "", "author": "",
            "cause": { "kind": "push", "by": { "kind": "havre" } }, "state": state, "created_at": AT,
        });
        serde_json::from_value(text).expect("is a pipeline")
    }

    fn name(text: &str) -> ServiceName {
        text.parse().expect("a name")
    }

    fn route(path: &str) -> RouteSpec {
        RouteSpec {
            host: "7.preview.example.org".parse().expect("a host"),
            path: path.parse().expect("a path"),
        }
    }

    #[test]
    fn a_comment_says_where_and_how() {
        let (web, worker, route) = (name("web"), name("worker"), route("/"));
        let services = [
            Shown { name: &web, route: Some(&route), is_https: true, state: "live" },
            Shown { name: &worker, route: None, is_https: false, state: "live" },
        ];
        let done = pipeline(&PipelineState::Succeeded { at: AT });
        let text = comment_text(&preview(), &services, Some(&done));
        let expected = "**shop**, preview `pr-7` of `cccccccccccc`: ready\n\n\
            | service | address | state |\n|---|---|---|\n| web | https://7.preview.example.org/ | live |\n\
            | worker |  | live |\n";
        assert_eq!(text, expected);
        let text = comment_text(&preview(), &[], None);
        assert_eq!(text, "**shop**, preview `pr-7` of `aaaaaaaaaaaa`: open\n");
    }

    #[test]
    fn what_strangers_wrote_is_no_markup() {
        let reason = "step failed\n```\n<img src=x>\u{1b}[1m\u{202e}\n/merge @acme".to_owned();
        let failed = pipeline(&PipelineState::Failed { at: AT, stage: Stage::Build, reason });
        let fork = Preview { is_fork: true, ..preview() };
        let text = comment_text(&fork, &[], Some(&failed));
        let expected = "**shop**, preview `pr-7` of `cccccccccccc`: failed (build)\n\n    \
            step failed\n    ```\n    <img src=x> [1m \n    /merge @acme\n\n`havre ci logs i7` shows what it said.\n\n\
            It comes from a fork, so it has no secrets.\n";
        assert_eq!(text, expected);
        assert_eq!(
            address(&route("/a_b/](x)|<y>"), false),
            "http://7.preview.example.org/a%5Fb/%5D%28x%29%7C%3Cy%3E"
        );
    }

    #[test]
    fn a_reason_has_an_end() {
        let shown = |reason: &str| {
            let mut text = String::new();
            push_reason(&mut text, reason);
            text
        };
        let lines = shown(&"x\n".repeat(LINES_MAX + 1));
        assert_eq!(lines.lines().count(), LINES_MAX + 1);
        assert!(lines.ends_with("    x\n    …\n"), "{lines}");
        let long = shown(&"é".repeat(REASON_MAX + 1));
        assert_eq!(long, format!("    {}\n    …\n", "é".repeat(REASON_MAX)));
        assert_eq!(shown("short"), "    short\n");
    }

    #[test]
    fn the_end_reads_the_same_before_and_after() {
        let reason = CloseReason::Asked { by: Actor::Token { name: "planted".to_owned() } };
        let closing = Preview { state: State::Closing { since: AT, reason: reason.clone() }, ..preview() };
        let closed = Preview { state: State::Closed { at: AT, reason }, ..preview() };
        let done = pipeline(&PipelineState::Cancelled { at: AT });
        let text = comment_text(&closing, &[], Some(&done));
        assert_eq!(text, "**shop**, preview `pr-7` of `cccccccccccc`: closed, somebody asked for it\n");
        assert_eq!(comment_text(&closed, &[], Some(&done)), text);
    }

    #[test]
    fn one_mark_has_one_text() {
        let mark = CommentMark::new([0, 1, 2, 3, 0xab, 0xcd, 0xef, 0xff]);
        assert_eq!(mark.as_str(), "00010203abcdefff");
        assert_eq!(mark.as_str().parse(), Ok(mark.clone()));
        assert_eq!(key(&preview(), &mark), "shop/pr-7/00010203abcdefff");
        for wrong in ["", "00010203ABCDEFFF", "00010203abcdeff", "00010203abcdefff0", "00010203abcdef -"] {
            assert_eq!(wrong.parse::<CommentMark>(), Err(CommentMarkError), "{wrong:?}");
        }
    }
}
