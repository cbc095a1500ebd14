//! Providers of secrets: who keeps values outside of Havre, and how `havre.toml` says which one is meant. Asking them is done in
//! `havre-provider`. Tests at the end of the files.

pub mod reference;
pub mod setting;

use std::collections::BTreeSet;
use std::fmt;

use havre_core::name::{ProjectName, ProviderName};
use havre_core::secret::Secret;
use havre_core::service::Place;

use crate::secret::provider::reference::{Location, REFERENCES_MAX, Reference};
use crate::secret::provider::setting::ProviderSpec;

/// Most providers of one project.
pub const PROVIDERS_MAX: usize = 32;

/// Longest version of a value that is kept, in characters: a provider has a hand in it.
const VERSION_MAX: usize = 64;

/// A provider with what opens it.
#[derive(Debug, Clone)]
pub struct OpenProvider {
    /// The project it belongs to; files of each lie in a folder of their own.
    pub project: ProjectName,
    /// Its name.
    pub name: ProviderName,
    /// What it is.
    pub spec: ProviderSpec,
    /// What proves to it who asks; none for files.
    pub credential: Option<Secret>,
}

/// Which version of a value a provider gave: a number or an instant, as it says it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ValueVersion(String);

impl ValueVersion {
    /// From what the provider says, without what cannot be shown; empty where it counts none.
    pub fn new(text: &str) -> Self {
        let is_shown = |c: &char| c.is_ascii_graphic() && *c != '"';
        Self(text.chars().filter(is_shown).take(VERSION_MAX).collect())
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ValueVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.as_str() {
            "" => f.write_str("without a version"),
            version => write!(f, "version {version}"),
        }
    }
}

/// A value a provider gave.
#[derive(Debug, Clone)]
pub struct Fetched {
    /// The value.
    pub value: Secret,
    /// Which one.
    pub version: ValueVersion,
}

/// What a release refers to and has no value of yet.
#[derive(Debug)]
pub struct WantedValues {
    /// Of which service.
    pub place: Place,
    /// A preview of a fork gets no value, whatever it refers to.
    pub is_refused: bool,
    /// Whom to ask, and for what.
    pub asked: Vec<(OpenProvider, BTreeSet<Location>)>,
    /// References to providers that the project does not have.
    pub unknown: BTreeSet<Reference>,
}

impl WantedValues {
    /// Why nobody is asked, for people.
    pub fn refusal(&self) -> Option<String> {
        let Place { project, environment, .. } = &self.place;
        let place = &self.place;
        if self.is_refused {
            return Some(format!(
                "{place} refers to values of secret providers, and the preview of a fork never gets any"
            ));
        }
        let count =
            self.unknown.len() + self.asked.iter().map(|(_, locations)| locations.len()).sum::<usize>();
        if count > REFERENCES_MAX {
            return Some(format!(
                "{place} refers to {count} values of secret providers, and {REFERENCES_MAX} are fetched at most"
            ));
        }
        let unknown = self.unknown.first()?;
        Some(format!(
            "{project}/{environment} has no secret provider `{}`, which {unknown} is of; `havre secret provider add` makes it, then \
             deploy again",
            unknown.provider
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted(unknown: &[String], is_refused: bool) -> WantedValues {
        WantedValues {
            place: Place {
                project: "shop".parse().unwrap(),
                environment: "production".parse().unwrap(),
                service: "api".parse().unwrap(),
            },
            is_refused,
            asked: Vec::new(),
            unknown: unknown.iter().map(|text| text.parse().unwrap()).collect(),
        }
    }

    #[test]
    fn nobody_is_asked_for_what_cannot_be_had() {
        let one = ["v:a#b".to_owned()];
        let many: Vec<String> = (0..=REFERENCES_MAX).map(|number| format!("v:a#f{number}")).collect();
        assert_eq!(wanted(&[], false).refusal(), None);
        for (wanted, part) in [
            (wanted(&one, false), "shop/production has no secret provider `v`, which v:a#b is of"),
            (wanted(&one, true), "the preview of a fork never gets any"),
            (wanted(&many, false), "refers to 65 values"),
        ] {
            let text = wanted.refusal().unwrap();
            assert!(text.contains(part), "{text}");
        }
    }

    #[test]
    fn a_version_is_what_can_be_shown() {
        assert_eq!(ValueVersion::new("7").to_string(), "version 7");
        assert_eq!(ValueVersion::new("").to_string(), "without a version");
        assert_eq!(ValueVersion::new("2026\u{7} \"x\u{e9}").as_str(), "2026x");
        assert_eq!(ValueVersion::new(&"x".repeat(100)).as_str().len(), VERSION_MAX);
    }
}
