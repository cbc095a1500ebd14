//! What is known of one service's way from upload to live: a plain reducer of events. Prints nothing.
//! Tests at the end of the file.

use havre_api::deployment::Deployment;
use havre_core::build::State as BuildState;
use havre_core::deployment::event::Event as DeploymentEvent;
use havre_core::deployment::state::State;
use havre_core::event::EventKind;
use havre_core::id::{BuildId, DeploymentId, ReleaseId, ServiceId};
use havre_core::name::ServiceName;
use serde::Serialize;

/// One service that is followed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Track {
    /// Its name.
    pub(crate) service: ServiceName,
    /// Its row.
    pub(crate) id: ServiceId,
    /// The build it began with.
    pub(crate) build: Option<BuildId>,
    /// The deployment it came to.
    pub(crate) deployment: Option<DeploymentId>,
    /// The release that becomes live, once it is known.
    pub(crate) release: Option<ReleaseId>,
    /// The newest deployment of the service that was requested; the build names it only afterwards.
    requested: Option<(DeploymentId, ReleaseId)>,
    /// Name of the state it is in, for people.
    pub(crate) state: &'static str,
    /// How it ended.
    pub(crate) end: Option<End>,
}

/// How following ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case", tag = "outcome")]
pub(crate) enum End {
    /// The release is live.
    Succeeded,
    /// It failed.
    Failed {
        /// Why, for people.
        reason: String,
        /// Log lines that belong to it.
        last_lines: Vec<String>,
    },
    /// Somebody cancelled it.
    Cancelled,
    /// A newer one took its place.
    Superseded {
        /// The newer one.
        by: String,
    },
}

/// What is worth saying about an event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum News {
    /// It entered a state.
    State,
    /// The output of the release command.
    Output(Vec<String>),
    /// Something happened to its tasks, for people.
    Note(String),
}

impl Track {
    /// Follows a build, then the deployment it leads to.
    pub(crate) fn of_build(service: ServiceName, id: ServiceId, build: BuildId) -> Self {
        let (deployment, release, requested, end) = (None, None, None, None);
        Self { service, id, build: Some(build), deployment, release, requested, state: "queued", end }
    }

    /// Follows a deployment.
    pub(crate) fn of_deployment(deployment: &Deployment) -> Self {
        let mut track = Self {
            service: deployment.place.service.clone(),
            id: deployment.service_id,
            build: None,
            deployment: Some(deployment.id),
            release: Some(deployment.release),
            requested: None,
            state: "pending",
            end: None,
        };
        track.enter(&deployment.state);
        track
    }

    /// Takes an event in.
    pub(crate) fn event(&mut self, service: Option<ServiceId>, kind: &EventKind) -> Option<News> {
        if self.end.is_some() || service != Some(self.id) {
            return None;
        }
        match kind {
            EventKind::Build(havre_core::build::event::Event::StateChanged { build, to }) => {
                (Some(*build) == self.build && self.deployment.is_none()).then(|| self.build(to)).flatten()
            }
            EventKind::Deployment(event) => self.deployment(event),
            EventKind::Task(event) => Some(News::Note(event.to_string())),
            EventKind::Release(event) => event.is_notable().then(|| News::Note(event.to_string())),
            EventKind::Registry(event) => Some(News::Note(event.to_string())),
            _ => None,
        }
    }

    /// Takes the state of its build in.
    pub(crate) fn build(&mut self, state: &BuildState) -> Option<News> {
        let before = (self.state, self.deployment);
        match state {
            BuildState::Queued => self.state = "queued",
            BuildState::Running { .. } => self.state = "building",
            // Only tests of pipelines end so, and nobody tracks one here.
            BuildState::Built { .. } | BuildState::Passed { .. } => self.state = "built",
            BuildState::Succeeded { deployment, .. } => {
                self.deployment = Some(*deployment);
                self.release = self.requested.filter(|(id, _)| id == deployment).map(|(_, release)| release);
                self.state = "built";
            }
            BuildState::Failed { reason, step, last_lines, .. } => {
                let reason =
                    if step.is_empty() { reason.clone() } else { format!("{reason} (step: {step})") };
                self.finish("failed", End::Failed { reason, last_lines: last_lines.clone() });
            }
            BuildState::Cancelled { .. } => self.finish("cancelled", End::Cancelled),
            BuildState::Superseded { by, .. } => {
                self.finish("superseded", End::Superseded { by: format!("build {by}") });
            }
        }
        (before != (self.state, self.deployment)).then_some(News::State)
    }

    fn deployment(&mut self, event: &DeploymentEvent) -> Option<News> {
        match event {
            DeploymentEvent::Requested { deployment, release, .. } => {
                self.requested = Some((*deployment, *release));
                if self.is_mine(*deployment) {
                    self.release = Some(*release);
                }
                None
            }
            DeploymentEvent::StateChanged { deployment, to } if self.is_mine(*deployment) => self.enter(to),
            DeploymentEvent::CommandOutput { deployment, lines } if self.is_mine(*deployment) => {
                Some(News::Output(lines.clone()))
            }
            DeploymentEvent::CancelRequested { deployment } if self.is_mine(*deployment) => {
                Some(News::Note("somebody asked to cancel it".to_owned()))
            }
            _ => None,
        }
    }

    fn is_mine(&self, deployment: DeploymentId) -> bool {
        self.deployment == Some(deployment)
    }

    /// Takes the state of its deployment in.
    pub(crate) fn enter(&mut self, state: &State) -> Option<News> {
        if self.end.is_some() || self.state == state.name() {
            return None;
        }
        self.state = state.name();
        self.end = match state {
            State::Succeeded { .. } => Some(End::Succeeded),
            State::Failed { reason, .. } => {
                Some(End::Failed { reason: reason.to_string(), last_lines: reason.last_lines().to_vec() })
            }
            State::Cancelled { .. } => Some(End::Cancelled),
            State::Superseded { by, .. } => Some(End::Superseded { by: by.to_string() }),
            _ => None,
        };
        Some(News::State)
    }

    fn finish(&mut self, state: &'static str, end: End) {
        self.state = state;
        self.end = Some(end);
    }

    /// What it is called in commands: its deployment, else its build.
    pub(crate) fn handle(&self) -> String {
        match (self.deployment, self.build) {
            (Some(deployment), _) => deployment.to_string(),
            (None, Some(build)) => build.to_string(),
            (None, None) => String::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use havre_core::deployment::state::FailureReason;
    use havre_core::id::TaskId;
    use havre_core::time::Timestamp;

    use super::*;

    fn at() -> Timestamp {
        Timestamp::from_millis(0)
    }

    fn track() -> Track {
        Track::of_build("api".parse().expect("a name"), ServiceId::new(2), BuildId::new(4))
    }

    fn build(id: i64, to: BuildState) -> EventKind {
        EventKind::Build(havre_core::build::event::Event::StateChanged { build: BuildId::new(id), to })
    }

    fn deployment(id: i64, to: State) -> EventKind {
        EventKind::Deployment(DeploymentEvent::StateChanged { deployment: DeploymentId::new(id), to })
    }

    fn built(deployment: i64) -> BuildState {
        let digest = "a".repeat(64).parse().expect("a digest");
        let artifact = havre_core::artifact::Artifact::Site { digest };
        BuildState::Succeeded { at: at(), artifact, deployment: DeploymentId::new(deployment) }
    }

    #[test]
    fn from_build_to_live() {
        let mut track = track();
        let mine = Some(ServiceId::new(2));
        let steps = [
            build(9, BuildState::Running { since: at() }),
            build(4, BuildState::Running { since: at() }),
            build(4, built(7)),
            deployment(6, State::Starting { since: at() }),
            deployment(7, State::Starting { since: at() }),
            deployment(7, State::Succeeded { at: at() }),
            deployment(7, State::Cancelled { at: at() }),
        ];
        let states: Vec<&str> = steps
            .iter()
            .map(|event| {
                track.event(mine, event);
                track.state
            })
            .collect();
        assert_eq!(states, ["queued", "building", "built", "built", "starting", "succeeded", "succeeded"]);
        assert_eq!(track.end, Some(End::Succeeded));
        assert_eq!(track.handle(), "d7");
    }

    #[test]
    fn the_release_is_known_although_it_is_requested_before_the_build_says_so() {
        let mut track = track();
        let requested = DeploymentEvent::Requested {
            deployment: DeploymentId::new(7),
            release: ReleaseId::new(8),
            kind: havre_core::deployment::Kind::Deploy,
        };
        track.event(Some(ServiceId::new(2)), &EventKind::Deployment(requested));
        track.build(&built(7));
        assert_eq!(track.release, Some(ReleaseId::new(8)));
    }

    #[test]
    fn other_services_change_nothing() {
        let mut track = track();
        assert_eq!(track.event(Some(ServiceId::new(3)), &build(4, built(7))), None);
        assert_eq!(track.event(None, &build(4, built(7))), None);
        assert_eq!(track.deployment, None);
    }

    #[test]
    fn failures_keep_their_lines() {
        let mut track = track();
        let lines = vec!["npm ERR!".to_owned()];
        let failed = BuildState::Failed {
            at: at(),
            reason: "the build failed".to_owned(),
            step: "RUN npm ci".to_owned(),
            last_lines: lines.clone(),
        };
        assert_eq!(track.build(&failed), Some(News::State));
        let reason = "the build failed (step: RUN npm ci)".to_owned();
        assert_eq!(track.end, Some(End::Failed { reason, last_lines: lines.clone() }));

        let mut track = self::track();
        track.build(&built(7));
        let reason = FailureReason::TaskExited {
            task: TaskId::new(3),
            exit: 1,
            out_of_memory: false,
            last_lines: lines,
        };
        track.enter(&State::Failed { at: at(), reason });
        let Some(End::Failed { reason, last_lines }) = track.end else { panic!("must have failed") };
        assert_eq!((reason.as_str(), last_lines.len()), ("t3 ended with code 1 before it was healthy", 1));
    }

    #[test]
    fn superseded_by_a_newer_build() {
        let mut track = track();
        track.build(&BuildState::Superseded { at: at(), by: BuildId::new(5) });
        assert_eq!(track.end, Some(End::Superseded { by: "build b5".to_owned() }));
    }
}
