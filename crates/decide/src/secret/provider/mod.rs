//! Providers of secrets: who keeps values outside of Havre, and how `havre.toml` says which one is meant. Asking them is done in
//! `havre-provider`. Tests at the end of the files.

pub mod reference;
pub mod setting;

use std::fmt;

use havre_core::name::{ProjectName, ProviderName};
use havre_core::secret::Secret;

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
