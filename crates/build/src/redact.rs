//! Takes secrets out of what a build says: its lines, and its errors with what caused them. How a value is found is the redactor's
//! of `havre_decide::secret::redact`. Pure. Tests at the end of the file.

use std::collections::BTreeMap;
use std::sync::Arc;

use havre_core::name::BuildSecretName;
use havre_core::secret::Secret;
use havre_decide::secret::redact::Redactor;

use crate::builder::{BuildError, BuildLine, Cause};

/// For the secrets of one build.
pub(crate) fn redactor(secrets: &BTreeMap<BuildSecretName, Secret>) -> Redactor {
    let mut redactor = Redactor::default();
    secrets.iter().for_each(|(name, value)| redactor.add(name, value));
    redactor
}

/// A line that is whole, its step included.
pub(crate) fn line(redactor: &Redactor, line: BuildLine) -> BuildLine {
    BuildLine { step: redactor.text(line.step), text: redactor.text(line.text), ..line }
}

/// What an error says, cause and all.
pub(crate) fn error(redactor: &Redactor, error: BuildError) -> BuildError {
    if redactor.is_empty() {
        return error;
    }
    match error {
        BuildError::DockerfileFailed { step, message, last_lines } => BuildError::DockerfileFailed {
            step: redactor.text(step),
            message: redactor.text(message),
            last_lines: all(redactor, last_lines),
        },
        BuildError::OutOfMemory { limit, step, last_lines } => BuildError::OutOfMemory {
            limit,
            step: redactor.text(step),
            last_lines: all(redactor, last_lines),
        },
        BuildError::OutOfProcesses { limit, step, last_lines } => BuildError::OutOfProcesses {
            limit,
            step: redactor.text(step),
            last_lines: all(redactor, last_lines),
        },
        BuildError::Denied { image, message } => {
            BuildError::Denied { image: redactor.text(image), message: redactor.text(message) }
        }
        BuildError::RateLimited { image, message } => {
            BuildError::RateLimited { image: redactor.text(image), message: redactor.text(message) }
        }
        BuildError::NoSpace { what } => BuildError::NoSpace { what: redactor.text(what) },
        BuildError::OutputInvalid { reason } => BuildError::OutputInvalid { reason: redactor.text(reason) },
        BuildError::Failed { what, source } => {
            BuildError::Failed { what: redactor.text(what), source: cause(redactor, source) }
        }
        BuildError::Unreachable { what, source } => {
            BuildError::Unreachable { what: redactor.text(what), source: cause(redactor, source) }
        }
        // Their words are ours, or come from what was uploaded.
        other => other,
    }
}

fn all(redactor: &Redactor, lines: Vec<String>) -> Vec<String> {
    lines.into_iter().map(|line| redactor.text(line)).collect()
}

/// The cause as it is, unless one of its words must not be said.
fn cause(redactor: &Redactor, source: Cause) -> Cause {
    let mut words = source.to_string();
    let mut next = source.source();
    while let Some(error) = next {
        words.push_str(": ");
        words.push_str(&error.to_string());
        next = error.source();
    }
    let said = redactor.text(words.clone());
    if said == words { source } else { Arc::new(std::io::Error::other(said)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_and_lines_are_redacted_whole() {
        let secrets = BTreeMap::from([("A".parse().expect("is a name"), Secret::from("planted-value"))]);
        let redactor = redactor(&secrets);
        let line = BuildLine {
            at: havre_core::time::Timestamp::default(),
            step: "[2/2] RUN x planted-value".to_owned(),
            text: "planted-value".to_owned(),
            was_cached: None,
        };
        let line = super::line(&redactor, line);
        assert_eq!((line.step.as_str(), line.text.as_str()), ("[2/2] RUN x [secret A]", "[secret A]"));
        let found = error(
            &redactor,
            BuildError::DockerfileFailed {
                step: "RUN planted-value".to_owned(),
                message: "planted-value".to_owned(),
                last_lines: vec!["a planted-value".to_owned()],
            },
        );
        assert!(!format!("{found:?} {found}").contains("planted"), "{found:?}");
        let cause = Arc::new(std::io::Error::other("no planted-value here"));
        let found = error(&redactor, BuildError::Failed { what: "x".to_owned(), source: cause });
        assert!(!format!("{found:?}").contains("planted"), "{found:?}");
        let cause = Arc::new(std::io::Error::from(std::io::ErrorKind::NotFound));
        let found = error(&redactor, BuildError::Failed { what: "x".to_owned(), source: cause });
        assert!(format!("{found:?}").contains("NotFound"), "left as it is: {found:?}");
    }
}
