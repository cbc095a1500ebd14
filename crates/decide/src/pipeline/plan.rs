//! What to do about open pipelines now: which to begin, which to supersede, and what the next step of one at work is.
//! Tests at the end of the file.

use serde::{Deserialize, Serialize};

use havre_core::build::{Build, State as BuildState};
use havre_core::deployment::state::State as DeploymentState;
use havre_core::id::{BuildId, DeploymentId, PipelineId};
use havre_core::pipeline::{Pipeline, Stage, State};

/// What to do about the queue.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Queue {
    /// Queued ones whose place a newer one took, with that newer one.
    pub supersede: Vec<(PipelineId, PipelineId)>,
    /// Those to begin now.
    pub begin: Vec<PipelineId>,
}

/// Chooses among the open pipelines, in any order. One at a time reads, tests and builds for an environment; while it does, only
/// the newest of the others keeps its place, so that ten pushes in ten seconds make at most two builds.
pub fn queue(open: &[Pipeline]) -> Queue {
    let mut queue = Queue::default();
    let same = |one: &Pipeline, other: &Pipeline| {
        one.project == other.project && one.environment == other.environment
    };
    let is_at_work =
        |pipeline: &Pipeline| matches!(pipeline.state.stage(), Some(stage) if stage != Stage::Deploy);
    let mut queued: Vec<&Pipeline> = open.iter().filter(|one| one.state == State::Queued).collect();
    queued.sort_by_key(|pipeline| pipeline.id);
    for (at, pipeline) in queued.iter().enumerate() {
        let newest = queued[at + 1..].iter().rev().find(|newer| same(newer, pipeline));
        match newest {
            Some(newer) => queue.supersede.push((pipeline.id, newer.id)),
            None if open.iter().any(|other| is_at_work(other) && same(other, pipeline)) => {}
            None => queue.begin.push(pipeline.id),
        }
    }
    queue
}

/// The next step of a pipeline that is testing, building or deploying.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Nothing has to be done until a test, a build or a deployment ends.
    Wait,
    /// Every test has passed: the builds may begin.
    Build,
    /// Every build is made: make releases and deployments of all of them, in one transaction.
    Deploy {
        /// The builds.
        builds: Vec<BuildId>,
    },
    /// It is over.
    End {
        /// How.
        end: End,
        /// Builds that are still open and have lost their purpose.
        cancel: Vec<BuildId>,
    },
}

/// How a pipeline ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum End {
    /// Users get everything.
    Succeeded,
    /// Something failed.
    Failed {
        /// Where.
        stage: Stage,
        /// Why, for people.
        reason: String,
    },
    /// Somebody cancelled a part of it.
    Cancelled,
}

/// A build of a pipeline, or a test, with the name of its service.
#[derive(Debug, Clone)]
pub struct Part<'a> {
    /// Name of the service.
    pub service: &'a str,
    /// The build.
    pub build: &'a Build,
    /// The deployment it led to, once it has.
    pub deployment: Option<(DeploymentId, &'a DeploymentState)>,
}

/// Decides from all builds of the pipeline, tests among them, and their deployments.
pub fn step(state: &State, parts: &[Part<'_>]) -> Step {
    let (tests, parts): (Vec<&Part<'_>>, Vec<&Part<'_>>) =
        parts.iter().partition(|part| part.build.is_test());
    let all = || tests.iter().chain(&parts).copied();
    let open = || -> Vec<BuildId> {
        all().filter(|part| !part.build.state.is_final()).map(|part| part.build.id).collect()
    };
    if let Some(end) = all().find_map(part_end) {
        return Step::End { end, cancel: open() };
    }
    if parts.is_empty() {
        let reason = "its services were destroyed".to_owned();
        return Step::End { end: End::Failed { stage: Stage::Build, reason }, cancel: open() };
    }
    if matches!(state, State::Testing { .. }) {
        let has_passed = |part: &Part<'_>| matches!(part.build.state, BuildState::Passed { .. });
        return if tests.iter().copied().all(has_passed) { Step::Build } else { Step::Wait };
    }
    let built = parts.iter().filter(|part| matches!(part.build.state, BuildState::Built { .. })).count();
    if built > 0 {
        return match built == parts.len() {
            true => Step::Deploy { builds: parts.iter().map(|part| part.build.id).collect() },
            false => Step::Wait,
        };
    }
    if parts.iter().any(|part| !part.build.state.is_final()) {
        return Step::Wait;
    }
    // Every build has its deployment. All of them are let come to their end, so that the reason names each that failed.
    let is_over = |part: &Part<'_>| part.deployment.is_none_or(|(_, state)| state.is_final());
    if !parts.iter().copied().all(is_over) {
        return Step::Wait;
    }
    let failures: Vec<String> = parts.iter().copied().filter_map(deployment_failure).collect();
    let end = match failures.is_empty() {
        true => End::Succeeded,
        false => End::Failed { stage: Stage::Deploy, reason: failures.join("; ") },
    };
    Step::End { end, cancel: Vec::new() }
}

/// How a part that came to nothing ends the whole.
fn part_end(part: &Part<'_>) -> Option<End> {
    let (id, service) = (part.build.id, part.service);
    let (stage, what) = if part.build.is_test() { (Stage::Test, "test") } else { (Stage::Build, "build") };
    let failed = |reason| Some(End::Failed { stage, reason });
    match &part.build.state {
        BuildState::Failed { reason, step, .. } if step.is_empty() => {
            failed(format!("{what} {id} of {service} failed: {reason}"))
        }
        BuildState::Failed { reason, step, .. } => {
            failed(format!("{what} {id} of {service} failed at step {step}: {reason}"))
        }
        BuildState::Superseded { by, .. } => {
            failed(format!("{what} {id} of {service} was superseded by {by}"))
        }
        BuildState::Cancelled { .. } => Some(End::Cancelled),
        _ => None,
    }
}

fn deployment_failure(part: &Part<'_>) -> Option<String> {
    let (id, state) = part.deployment?;
    let service = part.service;
    match state {
        DeploymentState::Succeeded { .. } => None,
        DeploymentState::Failed { reason, .. } => {
            Some(format!("deployment {id} of {service} failed: {reason}"))
        }
        other => Some(format!("deployment {id} of {service} was {}", other.name())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use havre_core::artifact::Artifact;
    use havre_core::build::Purpose;
    use havre_core::id::ServiceId;
    use havre_core::time::Timestamp;

    const AT: Timestamp = Timestamp::from_millis(0);

    fn pipeline(id: i64, environment: &str, state: State) -> Pipeline {
        let text = serde_json::json!({
            "id": format!("i{id}"), "project": "p", "environment": environment, "reference": "refs/heads/main",
            "commit": "0".repeat(40), "subject": "", "author": "",
            "cause": { "kind": "push", "by": { "kind": "havre" } }, "state": state, "created_at": AT,
        });
        serde_json::from_value(text).expect("is a pipeline")
    }

    fn ids(numbers: &[i64]) -> Vec<PipelineId> {
        numbers.iter().copied().map(PipelineId::new).collect()
    }

    #[test]
    fn ten_pushes_make_at_most_two_runs() {
        let mut open = vec![pipeline(1, "production", State::Building { since: AT })];
        open.extend((2..=10).map(|id| pipeline(id, "production", State::Queued)));
        let chosen = queue(&open);
        assert_eq!(chosen.begin, ids(&[]));
        assert_eq!(chosen.supersede.len(), 8);
        assert!(chosen.supersede.iter().all(|(_, by)| *by == PipelineId::new(10)));
        // What deploys holds nobody back: deployments wait for each other themselves.
        open[0].state = State::Deploying { since: AT };
        assert_eq!(queue(&open).begin, ids(&[10]));
    }

    #[test]
    fn environments_do_not_wait_for_each_other() {
        let open = [
            pipeline(1, "production", State::CheckingOut { since: AT }),
            pipeline(2, "staging", State::Queued),
            pipeline(3, "production", State::Queued),
        ];
        assert_eq!(queue(&open), Queue { supersede: Vec::new(), begin: ids(&[2]) });
    }

    fn build(id: i64, state: BuildState) -> Build {
        let spec = serde_json::json!({
            "version": 1, "name": "api", "routes": [], "expose_release": true,
            "work": { "kind": "site", "spa": false, "source": { "kind": "folder", "root": "." } },
        });
        Build {
            id: BuildId::new(id),
            service: ServiceId::new(id),
            spec: serde_json::from_value(spec).expect("is a specification"),
            revision: 1,
            commit: String::new(),
            pipeline: None,
            purpose: Purpose::Artifact,
            state,
            report: Default::default(),
            created_at: AT,
        }
    }

    fn test(id: i64, state: BuildState) -> Build {
        let test = serde_json::json!({ "target": "test", "timeout": "10m", "memory": "1GB" });
        let purpose = Purpose::Test(serde_json::from_value(test).expect("is a test"));
        Build { purpose, ..build(id, state) }
    }

    fn artifact() -> Artifact {
        Artifact::Site { digest: "a".repeat(64).parse().expect("is a digest") }
    }

    fn built(id: i64) -> Build {
        build(id, BuildState::Built { at: AT, artifact: artifact() })
    }

    fn decide(builds: &[Build], deployments: &[DeploymentState]) -> Step {
        decide_in(&State::Building { since: AT }, builds, deployments)
    }

    fn decide_in(state: &State, builds: &[Build], deployments: &[DeploymentState]) -> Step {
        let part = |(at, build)| Part {
            service: "api",
            build,
            deployment: deployments.get(at).map(|state| (DeploymentId::new(7), state)),
        };
        step(state, &builds.iter().enumerate().map(part).collect::<Vec<_>>())
    }

    #[test]
    fn nothing_is_deployed_before_everything_is_built() {
        let running = build(2, BuildState::Running { since: AT });
        assert_eq!(decide(&[built(1), running.clone()], &[]), Step::Wait);
        assert_eq!(decide(std::slice::from_ref(&running), &[]), Step::Wait);
        let all = Step::Deploy { builds: vec![BuildId::new(1), BuildId::new(2)] };
        assert_eq!(decide(&[built(1), built(2)], &[]), all);
        let failed = BuildState::Failed {
            at: AT,
            reason: "exit code: 1".to_owned(),
            step: "[2/2] RUN false".to_owned(),
            last_lines: Vec::new(),
        };
        let reason = "build b3 of api failed at step [2/2] RUN false: exit code: 1".to_owned();
        let end = End::Failed { stage: Stage::Build, reason };
        let cancel = vec![BuildId::new(1), BuildId::new(2)];
        assert_eq!(decide(&[built(1), running, build(3, failed)], &[]), Step::End { end, cancel });
    }

    #[test]
    fn it_has_succeeded_when_every_deployment_has() {
        let deployed = |id| {
            build(
                id,
                BuildState::Succeeded { at: AT, artifact: artifact(), deployment: DeploymentId::new(id) },
            )
        };
        let builds = [deployed(1), deployed(2)];
        let good = DeploymentState::Succeeded { at: AT };
        let open = DeploymentState::Pending;
        assert_eq!(decide(&builds, &[good.clone(), open.clone()]), Step::Wait);
        let ended = |end| Step::End { end, cancel: Vec::new() };
        assert_eq!(decide(&builds, &[good.clone(), good.clone()]), ended(End::Succeeded));
        let bad = DeploymentState::Cancelled { at: AT };
        // The other one is waited for, so that the reason is whole.
        assert_eq!(decide(&builds, &[bad.clone(), open]), Step::Wait);
        let reason = "deployment d7 of api was cancelled".to_owned();
        assert_eq!(decide(&builds, &[good, bad]), ended(End::Failed { stage: Stage::Deploy, reason }));
    }

    #[test]
    fn nothing_is_built_before_every_test_has_passed() {
        let testing = State::Testing { since: AT };
        let passed = || test(1, BuildState::Passed { at: AT });
        let running = || test(2, BuildState::Running { since: AT });
        let queued = || build(3, BuildState::Queued);
        assert_eq!(decide_in(&testing, &[passed(), running(), queued()], &[]), Step::Wait);
        assert_eq!(decide_in(&testing, &[passed(), test(2, BuildState::Queued), queued()], &[]), Step::Wait);
        let both = [passed(), test(2, BuildState::Passed { at: AT }), queued()];
        assert_eq!(decide_in(&testing, &both, &[]), Step::Build);
        // Once it builds, tests that have passed are no builds that are missing.
        assert_eq!(decide(&both, &[]), Step::Wait);
        assert_eq!(decide(&[passed(), built(3)], &[]), Step::Deploy { builds: vec![BuildId::new(3)] });
    }

    #[test]
    fn a_test_that_fails_ends_everything() {
        let failed = |step: &str| BuildState::Failed {
            at: AT,
            reason: "it ended with code 1".to_owned(),
            step: step.to_owned(),
            last_lines: Vec::new(),
        };
        let open = [test(2, BuildState::Running { since: AT }), build(3, BuildState::Queued)];
        for (step, reason) in [
            ("npm test", "test b1 of api failed at step npm test: it ended with code 1"),
            ("", "test b1 of api failed: it ended with code 1"),
        ] {
            let mut parts = vec![test(1, failed(step))];
            parts.extend(open.clone());
            let end = End::Failed { stage: Stage::Test, reason: reason.to_owned() };
            let cancel = vec![BuildId::new(2), BuildId::new(3)];
            assert_eq!(decide_in(&State::Testing { since: AT }, &parts, &[]), Step::End { end, cancel });
        }
        let cancelled = [test(1, BuildState::Cancelled { at: AT }), build(3, BuildState::Queued)];
        let end = Step::End { end: End::Cancelled, cancel: vec![BuildId::new(3)] };
        assert_eq!(decide_in(&State::Testing { since: AT }, &cancelled, &[]), end);
    }

    #[test]
    fn one_that_tests_holds_its_place() {
        let open = [
            pipeline(1, "production", State::Testing { since: AT }),
            pipeline(2, "production", State::Queued),
        ];
        assert_eq!(queue(&open), Queue::default());
    }

    #[test]
    fn a_pipeline_without_services_ends() {
        let building = State::Building { since: AT };
        assert!(matches!(step(&building, &[]), Step::End { end: End::Failed { .. }, .. }));
    }
}
