//! What a forge is told of a pipeline's commit: in which words, when it is due, and when a call that failed is made again. Opens no
//! connection and knows no forge; who calls is the `forge` loop. Tests at the end of the file.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::id::PipelineId;
use crate::pipeline::{Pipeline, Stage, State};
use crate::quantity::Span;
use crate::source::{RemoteUrl, remote};
use crate::text::text_json;
use crate::time::Timestamp;

/// Longest time a forge is left alone because it asks for that. Their limits are counted by the hour.
pub const QUIET_MAX: Span = Span::seconds(3600);

/// Longest address of this installation, in bytes: with the path behind it, it must fit where the forges keep it (255 at GitLab).
const PUBLIC_URL_MAX: usize = 200;

/// What a forge shows beside a commit. The stages between are left out on purpose: three calls for each pipeline are enough.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CommitStatus {
    /// It waits, or the commit is being read.
    Pending,
    /// It builds or deploys.
    Running,
    /// Users get the commit.
    Success,
    /// It came to nothing.
    Failure,
    /// It was stopped, or gave way to a newer one.
    Cancelled,
}

impl CommitStatus {
    /// The status of a pipeline in this state.
    pub const fn of(state: &State) -> Self {
        match state {
            State::Queued | State::CheckingOut { .. } => Self::Pending,
            State::Testing { .. } | State::Building { .. } | State::Deploying { .. } => Self::Running,
            State::Succeeded { .. } => Self::Success,
            State::Failed { .. } => Self::Failure,
            State::Cancelled { .. } | State::Superseded { .. } => Self::Cancelled,
        }
    }

    /// Its name in text, JSON and tables.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Running => "running",
            Self::Success => "success",
            Self::Failure => "failure",
            Self::Cancelled => "cancelled",
        }
    }
}

impl fmt::Display for CommitStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// The line beside the status. Says never why a pipeline failed: that is text of builds, and everybody may read a public repository.
pub fn describe(pipeline: &Pipeline) -> String {
    let Pipeline { id, environment, state, .. } = pipeline;
    match state {
        State::Queued | State::CheckingOut { .. } => format!("{id} is about to begin"),
        State::Testing { .. } | State::Building { .. } | State::Deploying { .. } => {
            format!("{id} tests and builds everything, then deploys it to {environment}")
        }
        State::Succeeded { .. } => format!("{id}: users of {environment} get this commit"),
        State::Failed { stage, .. } => {
            let doing = match stage {
                Stage::Checkout => "when it read the commit",
                Stage::Test => "in a test, so nothing was deployed",
                Stage::Build => "in a build, so nothing was deployed",
                Stage::Deploy => "in a deployment",
            };
            format!("{id} failed {doing}; havre ci status {id} says why")
        }
        State::Cancelled { .. } => format!("{id} was cancelled"),
        State::Superseded { by, .. } => format!("{id} gave way to {by}, of a newer push"),
    }
}

/// What is remembered of telling a forge one thing, such as the status of a pipeline's commit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Memory<W = CommitStatus> {
    /// What it was told last.
    pub told: Option<W>,
    /// What it could not be told since.
    pub tried: Option<W>,
    /// How often that failed.
    pub tries: u32,
    /// When that is tried again. Without an instant it was given up; another status is begun anew.
    pub next_at: Option<Timestamp>,
}

impl<W> Default for Memory<W> {
    /// Nothing was told or tried.
    fn default() -> Self {
        Self { told: None, tried: None, tries: 0, next_at: None }
    }
}

impl<W: PartialEq> Memory<W> {
    /// Whether the forge is to be told `wanted` now.
    pub fn is_due(&self, wanted: &W, now: Timestamp) -> bool {
        if self.told.as_ref() == Some(wanted) {
            return false;
        }
        match self.next_at {
            Some(at) => is_time(at, now, remote::PAUSE_MAX),
            None => self.tried.as_ref() != Some(wanted),
        }
    }

    /// Failed tries once telling it `wanted` has failed once more.
    pub fn tries_after(&self, wanted: &W) -> u32 {
        match self.tried.as_ref() == Some(wanted) {
            true => self.tries.saturating_add(1),
            false => 1,
        }
    }
}

/// Whether a forge that wants no call before `quiet_until` may be called.
pub fn is_quiet(quiet_until: Option<Timestamp>, now: Timestamp) -> bool {
    quiet_until.is_some_and(|until| !is_time(until, now, QUIET_MAX))
}

/// Until when a forge is left alone that asks for a pause of `length`.
pub fn quiet_until(length: Duration, now: Timestamp) -> Timestamp {
    now.after(length.min(QUIET_MAX.duration()))
}

/// A clock that was set back must not hold a call up for years.
fn is_time(at: Timestamp, now: Timestamp, longest: Span) -> bool {
    at <= now || at.since(now) > longest.duration()
}

/// Text that is no address of this installation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "the public address is not of the form https://havre.example.org: at most 200 characters, without user, ?, # and %"
)]
pub struct PublicUrlError;

/// Where people reach the API of this installation: `https://havre.example.org`, with a path where a proxy wants one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublicUrl(String);

impl PublicUrl {
    /// The text, without a slash at its end.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Where a pipeline is shown.
    pub fn pipeline(&self, id: PipelineId) -> String {
        format!("{}/v1/pipelines/{id}", self.0)
    }
}

impl FromStr for PublicUrl {
    type Err = PublicUrlError;

    fn from_str(text: &str) -> Result<Self, PublicUrlError> {
        let text = text.strip_suffix('/').unwrap_or(text);
        // The grammar of remote repositories, which must have a path; not over SSH.
        let is_address = || format!("{text}/v1").parse::<RemoteUrl>().is_ok_and(|url| !url.is_ssh());
        if text.len() <= PUBLIC_URL_MAX && is_address() {
            return Ok(Self(text.to_owned()));
        }
        Err(PublicUrlError)
    }
}

impl fmt::Display for PublicUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

text_json! { PublicUrl }

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Actor;
    use crate::pipeline::Cause;

    const NOW: Timestamp = Timestamp::from_millis(1_000_000_000);

    fn pipeline(state: State) -> Pipeline {
        Pipeline {
            id: PipelineId::new(7),
            project: "dropit".parse().expect("is a name"),
            environment: "production".parse().expect("is a name"),
            reference: "refs/heads/main".parse().expect("is a ref"),
            commit: "a".repeat(40).parse().expect("is a commit"),
            subject: "Say hello".to_owned(),
            author: "Ada".to_owned(),
            cause: Cause::Push { by: Actor::Local },
            state,
            stages: Vec::new(),
            untouched: Vec::new(),
            created_at: NOW,
        }
    }

    fn all() -> [State; 9] {
        let reason = || "planted-reason".to_owned();
        [
            State::Queued,
            State::CheckingOut { since: NOW },
            State::Testing { since: NOW },
            State::Building { since: NOW },
            State::Deploying { since: NOW },
            State::Succeeded { at: NOW },
            State::Failed { at: NOW, stage: Stage::Build, reason: reason() },
            State::Cancelled { at: NOW },
            State::Superseded { at: NOW, by: PipelineId::new(8) },
        ]
    }

    #[test]
    fn each_state_has_a_status_and_a_line() {
        let told: Vec<String> = all()
            .into_iter()
            .map(|state| format!("{}: {}", CommitStatus::of(&state), describe(&pipeline(state))))
            .collect();
        assert_eq!(
            told,
            [
                "pending: i7 is about to begin",
                "pending: i7 is about to begin",
                "running: i7 tests and builds everything, then deploys it to production",
                "running: i7 tests and builds everything, then deploys it to production",
                "running: i7 tests and builds everything, then deploys it to production",
                "success: i7: users of production get this commit",
                "failure: i7 failed in a build, so nothing was deployed; havre ci status i7 says why",
                "cancelled: i7 was cancelled",
                "cancelled: i7 gave way to i8, of a newer push",
            ]
        );
    }

    #[test]
    fn names_and_json_agree() {
        for state in all() {
            let status = CommitStatus::of(&state);
            let json = serde_json::to_string(&status).expect("is JSON");
            assert_eq!(json, format!("\"{status}\""));
        }
    }

    #[test]
    fn what_is_new_is_due_and_what_was_told_or_given_up_is_not() {
        let (pending, running) = (CommitStatus::Pending, CommitStatus::Running);
        let fresh: Memory = Memory::default();
        assert!(fresh.is_due(&pending, NOW));
        let told = Memory { told: Some(pending), ..fresh };
        assert!(!told.is_due(&pending, NOW) && told.is_due(&running, NOW));
        let later = NOW.after(Duration::from_secs(5));
        let waits = Memory { tried: Some(running), tries: 1, next_at: Some(later), ..told };
        assert!(!waits.is_due(&running, NOW) && waits.is_due(&running, later));
        assert!(!waits.is_due(&CommitStatus::Success, NOW), "a forge that is away is not asked more often");
        let set_back = Timestamp::from_millis(0);
        assert!(waits.is_due(&running, set_back));
        let given_up = Memory { next_at: None, tries: 5, ..waits };
        assert!(!given_up.is_due(&running, later) && given_up.is_due(&CommitStatus::Success, later));
        assert_eq!((given_up.tries_after(&running), given_up.tries_after(&CommitStatus::Success)), (6, 1));
    }

    #[test]
    fn a_forge_is_left_alone_for_an_hour_at_most() {
        let minute = quiet_until(Duration::from_secs(60), NOW);
        assert!(is_quiet(Some(minute), NOW) && !is_quiet(Some(minute), minute) && !is_quiet(None, NOW));
        let year = quiet_until(Duration::from_secs(31_536_000), NOW);
        assert_eq!(year.since(NOW), QUIET_MAX.duration());
        assert!(!is_quiet(Some(year), Timestamp::from_millis(0)), "the clock was set back");
    }

    #[test]
    fn addresses_of_this_installation() {
        for (text, link) in [
            ("https://havre.example.org", "https://havre.example.org/v1/pipelines/i7"),
            ("https://havre.example.org:8443/", "https://havre.example.org:8443/v1/pipelines/i7"),
            ("http://localhost:7070/havre", "http://localhost:7070/havre/v1/pipelines/i7"),
        ] {
            let url: PublicUrl = text.parse().expect("is an address");
            assert_eq!(url.pipeline(PipelineId::new(7)), link);
        }
        let long = format!("https://{}.org", "a.".repeat(120));
        for wrong in
            ["", "havre.example.org", "https://", "https://a@b.org", "https://a.org?x", "ftp://a.org", &long]
        {
            assert_eq!(wrong.parse::<PublicUrl>(), Err(PublicUrlError), "{wrong:?}");
        }
    }
}
