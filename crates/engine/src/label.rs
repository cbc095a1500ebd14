//! Labels that say what is ours. Whatever lacks [`INSTALLATION`] with our own value is foreign. Tests at the end of the file.

use std::collections::HashMap;
use std::fmt;
use std::str::FromStr;

use havre_core::database::task::NO_SERVICE;
use havre_core::id::{EnvironmentId, ReleaseId, ServiceId};
use havre_core::task::spec::{NO_RELEASE, Purpose, TaskSpec};

/// Which installation of Havre made it.
pub const INSTALLATION: &str = "dev.havre.installation";
/// Name of the project, for people.
pub const PROJECT: &str = "dev.havre.project";
/// Name of the environment, for people.
pub const ENVIRONMENT: &str = "dev.havre.environment";
/// Id of the environment.
pub const ENVIRONMENT_ID: &str = "dev.havre.environment-id";
/// Name of the service, for people.
pub const SERVICE: &str = "dev.havre.service";
/// Id of the service.
pub const SERVICE_ID: &str = "dev.havre.service-id";
/// Id of the release.
pub const RELEASE: &str = "dev.havre.release";
/// Id of the task, where the purpose is a task.
pub const TASK: &str = "dev.havre.task";
/// Id of the deployment, where the purpose is a release command.
pub const DEPLOYMENT: &str = "dev.havre.deployment";
/// Number of the session, where the purpose is a one-off task.
pub const ONE_OFF: &str = "dev.havre.one-off";
/// Id of the run, where the purpose is a job.
pub const JOB_RUN: &str = "dev.havre.job-run";
/// Number of the attempt of that run.
pub const ATTEMPT: &str = "dev.havre.attempt";
/// Id of the database, where the purpose is one.
pub const DATABASE: &str = "dev.havre.database";
/// Number of the task of that database.
pub const DATABASE_TASK: &str = "dev.havre.database-task";
/// Number of a database of a test, where the purpose is one.
pub const TEST_DATABASE: &str = "dev.havre.test-database";
/// Id of the drill, where the purpose is one.
pub const DRILL: &str = "dev.havre.drill";
/// Id of the restore, where the purpose is a recovery.
pub const RESTORE: &str = "dev.havre.restore";
/// Name of the volume, where a container exists only to reach it: such a container has no purpose and is never started.
pub const HOLDER: &str = "dev.havre.holder";
/// Why a container exists: `task`, `release-command`, `one-off`, `job`, `test`, `test-database`, `database`, `drill` or `recovery`.
pub const PURPOSE: &str = "dev.havre.purpose";
/// Id of the build that made an image; on a container, where the purpose is a test or a database of one, that of the test.
pub const BUILD: &str = "dev.havre.build";

const PURPOSE_TASK: &str = "task";
const PURPOSE_COMMAND: &str = "release-command";
const PURPOSE_ONE_OFF: &str = "one-off";
const PURPOSE_JOB: &str = "job";
const PURPOSE_TEST: &str = "test";
const PURPOSE_TEST_DATABASE: &str = "test-database";
const PURPOSE_DATABASE: &str = "database";
const PURPOSE_DRILL: &str = "drill";
const PURPOSE_RECOVERY: &str = "recovery";

/// Names one installation of Havre for ever; two on one engine leave each other alone.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Installation(String);

/// Text that cannot name an installation.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("an installation id is 1 to 64 of the characters a-z, 0-9 and -")]
pub struct InstallationError;

impl FromStr for Installation {
    type Err = InstallationError;

    fn from_str(text: &str) -> Result<Self, InstallationError> {
        let is_ok = (1..=64).contains(&text.len())
            && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
        if is_ok { Ok(Self(text.to_owned())) } else { Err(InstallationError) }
    }
}

impl fmt::Display for Installation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Installation {
    /// Whether these labels are ours.
    pub fn owns(&self, labels: &HashMap<String, String>) -> bool {
        labels.get(INSTALLATION) == Some(&self.0)
    }

    /// The label every thing of ours carries.
    pub fn label(&self) -> (String, String) {
        (INSTALLATION.to_owned(), self.0.clone())
    }
}

/// Who a container is, by its labels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TaskLabels {
    pub(crate) purpose: Purpose,
    pub(crate) service: ServiceId,
    pub(crate) release: ReleaseId,
    pub(crate) environment: EnvironmentId,
}

/// Labels of a task's container.
pub(crate) fn derive_labels(installation: &Installation, task: &TaskSpec) -> HashMap<String, String> {
    let purpose = match task.purpose {
        Purpose::Task { task } => vec![(PURPOSE, PURPOSE_TASK.to_owned()), (TASK, task.to_string())],
        Purpose::ReleaseCommand { deployment } => {
            vec![(PURPOSE, PURPOSE_COMMAND.to_owned()), (DEPLOYMENT, deployment.to_string())]
        }
        Purpose::OneOff { number } => {
            vec![(PURPOSE, PURPOSE_ONE_OFF.to_owned()), (ONE_OFF, number.to_string())]
        }
        Purpose::Job { run, attempt } => vec![
            (PURPOSE, PURPOSE_JOB.to_owned()),
            (JOB_RUN, run.to_string()),
            (ATTEMPT, attempt.to_string()),
        ],
        Purpose::Test { build } => vec![(PURPOSE, PURPOSE_TEST.to_owned()), (BUILD, build.to_string())],
        Purpose::TestDatabase { build, number } => vec![
            (PURPOSE, PURPOSE_TEST_DATABASE.to_owned()),
            (BUILD, build.to_string()),
            (TEST_DATABASE, number.to_string()),
        ],
        Purpose::Database { database, task } => vec![
            (PURPOSE, PURPOSE_DATABASE.to_owned()),
            (DATABASE, database.to_string()),
            (DATABASE_TASK, task.to_string()),
        ],
        Purpose::Drill { drill } => vec![(PURPOSE, PURPOSE_DRILL.to_owned()), (DRILL, drill.to_string())],
        Purpose::Recovery { restore } => {
            vec![(PURPOSE, PURPOSE_RECOVERY.to_owned()), (RESTORE, restore.to_string())]
        }
    };
    let place = [
        (PROJECT, task.place.project.to_string()),
        (ENVIRONMENT, task.place.environment.to_string()),
        (ENVIRONMENT_ID, task.environment.to_string()),
        (SERVICE, task.place.service.to_string()),
        (SERVICE_ID, task.service.to_string()),
        (RELEASE, task.release.to_string()),
    ];
    let ours = place.into_iter().chain(purpose).map(|(key, value)| (key.to_owned(), value));
    ours.chain([installation.label()]).collect()
}

/// Reads them back; `None` for containers that are not tasks, such as those of a build.
pub(crate) fn parse_labels(labels: &HashMap<String, String>) -> Option<TaskLabels> {
    let purpose = match labels.get(PURPOSE)?.as_str() {
        PURPOSE_TASK => Purpose::Task { task: parse(labels, TASK)? },
        PURPOSE_COMMAND => Purpose::ReleaseCommand { deployment: parse(labels, DEPLOYMENT)? },
        PURPOSE_ONE_OFF => Purpose::OneOff { number: parse(labels, ONE_OFF)? },
        PURPOSE_JOB => Purpose::Job { run: parse(labels, JOB_RUN)?, attempt: parse(labels, ATTEMPT)? },
        PURPOSE_TEST => Purpose::Test { build: parse(labels, BUILD)? },
        PURPOSE_TEST_DATABASE => {
            Purpose::TestDatabase { build: parse(labels, BUILD)?, number: parse(labels, TEST_DATABASE)? }
        }
        PURPOSE_DATABASE => {
            Purpose::Database { database: parse(labels, DATABASE)?, task: parse(labels, DATABASE_TASK)? }
        }
        PURPOSE_DRILL => Purpose::Drill { drill: parse(labels, DRILL)? },
        PURPOSE_RECOVERY => Purpose::Recovery { restore: parse(labels, RESTORE)? },
        _ => return None,
    };
    let release = match purpose {
        // Text of an id is never that of row 0.
        Purpose::Test { .. }
        | Purpose::TestDatabase { .. }
        | Purpose::Database { .. }
        | Purpose::Drill { .. }
        | Purpose::Recovery { .. } => NO_RELEASE,
        _ => parse(labels, RELEASE)?,
    };
    let service = match purpose {
        Purpose::TestDatabase { .. }
        | Purpose::Database { .. }
        | Purpose::Drill { .. }
        | Purpose::Recovery { .. } => NO_SERVICE,
        _ => parse(labels, SERVICE_ID)?,
    };
    Some(TaskLabels { purpose, service, release, environment: parse(labels, ENVIRONMENT_ID)? })
}

/// A typed label; `None` when absent or not of that type.
pub(crate) fn parse<T: FromStr>(labels: &HashMap<String, String>, key: &str) -> Option<T> {
    labels.get(key)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_of_a_job_is_known_by_its_labels() {
        let mut labels: HashMap<String, String> = [
            (PURPOSE, PURPOSE_JOB),
            (JOB_RUN, "j12"),
            (ATTEMPT, "2"),
            (SERVICE_ID, "s1"),
            (RELEASE, "r7"),
            (ENVIRONMENT_ID, "e1"),
        ]
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .into();
        let found = parse_labels(&labels).expect("is a task of ours");
        assert_eq!(found.purpose, Purpose::Job { run: havre_core::id::JobRunId::new(12), attempt: 2 });
        labels.remove(ATTEMPT);
        assert_eq!(parse_labels(&labels), None, "half a name names nothing");
    }

    #[test]
    fn a_test_is_known_by_its_build_and_runs_no_release() {
        let labels: HashMap<String, String> = [
            (PURPOSE, PURPOSE_TEST),
            (BUILD, "b12"),
            (SERVICE_ID, "s1"),
            (RELEASE, "r0"),
            (ENVIRONMENT_ID, "e1"),
        ]
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .into();
        let found = parse_labels(&labels).expect("is a task of ours");
        assert_eq!(found.purpose, Purpose::Test { build: havre_core::id::BuildId::new(12) });
        assert_eq!(found.release, NO_RELEASE);
    }

    #[test]
    fn a_database_is_known_by_its_number_and_belongs_to_no_service() {
        let labels: HashMap<String, String> = [
            (PURPOSE, PURPOSE_DATABASE),
            (DATABASE, "m3"),
            (DATABASE_TASK, "2"),
            (SERVICE_ID, "s0"),
            (RELEASE, "r0"),
            (ENVIRONMENT_ID, "e1"),
        ]
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .into();
        let found = parse_labels(&labels).expect("is a task of ours");
        let database = havre_core::id::DatabaseId::new(3);
        assert_eq!(found.purpose, Purpose::Database { database, task: 2 });
        assert_eq!((found.service, found.release), (NO_SERVICE, NO_RELEASE));
    }

    #[test]
    fn a_database_of_a_test_is_known_by_its_build_and_its_number() {
        let mut labels: HashMap<String, String> = [
            (PURPOSE, PURPOSE_TEST_DATABASE),
            (BUILD, "b12"),
            (TEST_DATABASE, "2"),
            (SERVICE_ID, "s0"),
            (RELEASE, "r0"),
            (ENVIRONMENT_ID, "e1"),
        ]
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .into();
        let found = parse_labels(&labels).expect("is a task of ours");
        let build = havre_core::id::BuildId::new(12);
        assert_eq!(found.purpose, Purpose::TestDatabase { build, number: 2 });
        assert_eq!((found.service, found.release), (NO_SERVICE, NO_RELEASE));
        labels.remove(TEST_DATABASE);
        assert_eq!(parse_labels(&labels), None, "half a name names nothing");
    }

    #[test]
    fn only_our_own_installation_is_ours() {
        let ours: Installation = "a1".parse().expect("valid");
        let labels = |value: &str| HashMap::from([(INSTALLATION.to_owned(), value.to_owned())]);
        assert!(ours.owns(&labels("a1")));
        for other in ["a", "a11", "A1", ""] {
            assert!(!ours.owns(&labels(other)), "{other:?} must be foreign");
        }
        assert!(!ours.owns(&HashMap::new()));
        for wrong in ["", "a b", "a\n", "A", &"a".repeat(65)] {
            assert!(wrong.parse::<Installation>().is_err(), "{wrong:?} must not parse");
        }
    }

    #[test]
    fn a_drill_is_known_by_its_number() {
        let labels: HashMap<String, String> = [
            (PURPOSE, PURPOSE_DRILL),
            (DRILL, "x3"),
            (SERVICE_ID, "s0"),
            (RELEASE, "r0"),
            (ENVIRONMENT_ID, "e1"),
        ]
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .into();
        let found = parse_labels(&labels).expect("is a task of ours");
        assert_eq!(found.purpose, Purpose::Drill { drill: havre_core::id::DrillId::new(3) });
        assert_eq!((found.service, found.release), (NO_SERVICE, NO_RELEASE));
    }
}
