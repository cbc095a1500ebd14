//! What happened to registries. Tests: those of `store` and `reconcile`.

use serde::{Deserialize, Serialize};

use crate::artifact::{Digest, ImageRef};
use crate::registry::{RegistryHost, RegistryUser};

/// A past-tense fact. Its subject is the installation, but for pulls, which are about the service that wanted one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "type")]
pub enum Event {
    /// A registry has credentials now, or others.
    CredentialsSet {
        /// The registry.
        host: RegistryHost,
        /// Who pulls.
        user: RegistryUser,
    },
    /// A registry has no credentials any more.
    CredentialsRemoved {
        /// The registry.
        host: RegistryHost,
    },
    /// A registry wanted fewer pulls, and the image of that name on this machine served instead.
    PresentImageUsed {
        /// What should have been pulled.
        reference: ImageRef,
        /// The image that was here: the engine's id of it.
        image: Digest,
    },
    /// A registry said that few pulls are left.
    FewPullsLeft {
        /// The registry.
        host: RegistryHost,
        /// Pulls that are left.
        remaining: u64,
        /// Pulls in a window.
        limit: u64,
        /// How long each pull counts.
        window_ms: u64,
    },
}

impl std::fmt::Display for Event {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::CredentialsSet { host, user } => write!(f, "images of {host} are pulled as {user}"),
            Self::CredentialsRemoved { host } => write!(f, "images of {host} are pulled without credentials"),
            Self::PresentImageUsed { reference, image } => write!(
                f,
                "{} limits pulls: {reference} is the image that was on this machine ({})",
                RegistryHost::of(reference),
                image.short()
            ),
            Self::FewPullsLeft { host, remaining, limit, window_ms } => write!(
                f,
                "{host} gives few more pulls: {remaining} of {limit} in {} are left",
                crate::quantity::Span::millis(*window_ms)
            ),
        }
    }
}
