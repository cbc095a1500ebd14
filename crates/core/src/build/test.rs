//! Tests of a service: what `[services.<name>.test]` asks for, and how its command has ended. Tests at the end of the file.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::database::spec::DatabaseSpec;
use crate::name::{EnvKey, StageName};
use crate::pipeline::line;
use crate::quantity::{ByteSize, Span};
use crate::service::spec::{Argv, ImageSource, ServiceSpec, Work};
use crate::task::EngineState;
use crate::time::Timestamp;

/// Longest run of the tests where nobody says otherwise.
pub const TIMEOUT: Span = Span::seconds(600);
/// The least that can be asked for.
pub const TIMEOUT_MIN: Span = Span::seconds(1);
/// The most: as long as any build may take.
pub const TIMEOUT_MAX: Span = Span::seconds(3600);
/// Most memory of a test command: runners of tests want more than the program itself.
pub const MEMORY: ByteSize = ByteSize::mebibytes(1024);

/// The tests of one service. At least one of `target` and `command` is there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TestSpec {
    /// Stage of the Dockerfile that is built to its end; the service's own where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<StageName>,
    /// Run in a task of the image that was built; without one the steps of `target` are the tests.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub command: Option<Argv>,
    /// Variables of that task. Those of the service are not there: they lead to what users have.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub env: BTreeMap<EnvKey, String>,
    /// Throw-away databases of that task, as their specifications were in the commit, in the order in which the test names them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub databases: Vec<DatabaseSpec>,
    /// Longest run of the command; of the build of `target`, where there is no command.
    pub timeout: Span,
    /// Most memory of that task.
    pub memory: ByteSize,
}

impl TestSpec {
    /// What is built for the tests of a service: the same with their stage in place of its own.
    pub fn derive_spec(&self, service: &ServiceSpec) -> ServiceSpec {
        let mut spec = service.clone();
        if let (Some(target), Work::Tasks(work)) = (&self.target, &mut spec.work)
            && let ImageSource::Dockerfile(source) = &mut work.source
        {
            source.target = Some(target.clone());
        }
        spec
    }

    /// Longest build of the image; `None` where only the command is a test.
    pub fn build_limit(&self) -> Option<Span> {
        if self.command.is_none() { Some(self.timeout) } else { None }
    }

    /// Why it was stopped.
    pub fn too_long(&self) -> String {
        format!("it did not end within {} and was stopped", self.timeout)
    }
}

/// A command as the name of a step: one line, bounded.
pub fn step_name(command: &Argv) -> String {
    line(&command.words().join(" "))
}

/// How far a test command has come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It is at work.
    Runs,
    /// It ended with 0.
    Passed,
    /// It ended otherwise, or not in time.
    Failed {
        /// Why, for people.
        reason: String,
        /// Its task still runs and is to be stopped.
        is_running: bool,
    },
}

/// Judges a test command that was started at `started` by what the engine says of its task.
pub fn judge(test: &TestSpec, task: &EngineState, started: Timestamp, now: Timestamp) -> Verdict {
    let failed = |reason: String| Verdict::Failed { reason, is_running: false };
    match task {
        EngineState::Exited { code: 0, .. } => Verdict::Passed,
        EngineState::Exited { out_of_memory: true, .. } => {
            failed(format!("it was killed: it used more memory than its {}", test.memory))
        }
        EngineState::Exited { code, .. } => failed(format!("it ended with code {code}")),
        EngineState::Absent => failed("its task was removed by somebody else".to_owned()),
        EngineState::Created | EngineState::Running { .. } => {
            if now.since(started) < test.timeout.duration() {
                return Verdict::Runs;
            }
            Verdict::Failed { reason: test.too_long(), is_running: true }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::task::Healthcheck;

    fn test(target: Option<&str>, command: Option<&[&str]>) -> TestSpec {
        let json =
            serde_json::json!({ "target": target, "command": command, "timeout": "10m", "memory": "1GB" });
        serde_json::from_value(json).expect("is a test")
    }

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_millis(seconds * 1000)
    }

    #[test]
    fn a_command_is_judged_by_its_end() {
        let test = test(None, Some(&["npm", "test"]));
        let seen = |task: EngineState, seconds| judge(&test, &task, at(0), at(seconds));
        let ended = |code, out_of_memory| seen(EngineState::Exited { code, out_of_memory }, 1);
        let reason = |verdict| match verdict {
            Verdict::Failed { reason, is_running: false } => reason,
            other => panic!("{other:?}"),
        };
        assert_eq!(ended(0, false), Verdict::Passed);
        // A worker of its own that was killed is its own business.
        assert_eq!(ended(0, true), Verdict::Passed);
        assert_eq!(reason(ended(3, false)), "it ended with code 3");
        assert_eq!(reason(ended(137, true)), "it was killed: it used more memory than its 1GB");
        assert_eq!(reason(seen(EngineState::Absent, 1)), "its task was removed by somebody else");
        let running = || EngineState::Running { healthcheck: Healthcheck::None };
        assert_eq!(seen(running(), 599), Verdict::Runs);
        assert_eq!(seen(EngineState::Created, 599), Verdict::Runs);
        let reason = "it did not end within 10m and was stopped".to_owned();
        assert_eq!(seen(running(), 600), Verdict::Failed { reason, is_running: true });
        // An end that was seen late is an end.
        assert_eq!(seen(EngineState::Exited { code: 0, out_of_memory: false }, 900), Verdict::Passed);
    }

    #[test]
    fn only_the_stage_differs() {
        let spec: ServiceSpec = serde_json::from_value(serde_json::json!({
            "version": 1, "name": "web", "routes": [], "expose_release": true,
            "work": { "kind": "site", "spa": false, "source": { "kind": "folder", "root": "." } },
        }))
        .expect("is a specification");
        assert_eq!(test(Some("test"), None).derive_spec(&spec), spec, "a site has no stage of its own here");
        assert_eq!(test(Some("test"), None).build_limit(), Some(Span::seconds(600)));
        assert_eq!(test(Some("test"), Some(&["a"])).build_limit(), None);
    }

    #[test]
    fn a_test_is_stored_without_what_it_does_not_have() {
        let json = serde_json::json!({ "target": "test", "timeout": "10m", "memory": "1GB" });
        assert_eq!(serde_json::to_value(test(Some("test"), None)).expect("JSON"), json);
    }

    #[test]
    fn steps_are_one_line() {
        let command = Argv::try_from(vec!["sh".to_owned(), "a\nb".to_owned()]).expect("is a command");
        assert_eq!(step_name(&command), "sh a");
    }
}
