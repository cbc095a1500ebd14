//! Who sends deliveries, and in which headers each of them says what. Names of headers are compared without case. Whether a
//! signature is right is [`crate::verify`]'s. Tests at the end of the file.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Who sends the deliveries of a webhook.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Provider {
    /// GitHub, its Enterprise Server, and its registry of images (GHCR), whose pushes are events of GitHub.
    GitHub,
    /// GitLab, with its secret token or its signing token.
    GitLab,
    /// Gitea and Forgejo, which differ in the names of headers only.
    #[serde(alias = "forgejo")]
    Gitea,
    /// Bitbucket Cloud. Bitbucket Data Center signs alike, but its payloads are others.
    Bitbucket,
    /// Everything else that can sign: the payload is our own (`docs/rooms/webhook.md`).
    Generic,
    /// Registries of images that sign nothing: the distribution registry, Docker Hub.
    Registry,
}

/// Text that names no provider.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is no sender of webhooks Havre knows: github, gitlab, gitea (also for Forgejo), bitbucket, generic, registry"
)]
pub struct ProviderError(String);

impl Provider {
    /// All of them.
    pub const ALL: [Self; 6] =
        [Self::GitHub, Self::GitLab, Self::Gitea, Self::Bitbucket, Self::Generic, Self::Registry];

    /// The text form.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::GitHub => "github",
            Self::GitLab => "gitlab",
            Self::Gitea => "gitea",
            Self::Bitbucket => "bitbucket",
            Self::Generic => "generic",
            Self::Registry => "registry",
        }
    }

    /// Headers that prove who has sent it. Where several are named, each that is there must be right.
    pub const fn signature_headers(self) -> &'static [&'static str] {
        match self {
            Self::GitHub => &["X-Hub-Signature-256"],
            // With a signing token it is `webhook-signature` alone: `verify` chooses by the secret, never by what came.
            Self::GitLab => &["X-Gitlab-Token"],
            Self::Gitea => &["X-Forgejo-Signature", "X-Gitea-Signature"],
            Self::Bitbucket => &["X-Hub-Signature"],
            Self::Generic => &["X-Havre-Signature"],
            Self::Registry => &["Authorization"],
        }
    }

    /// Headers that name the kind of event; the first that is there counts. None where the payload itself says it.
    pub const fn event_headers(self) -> &'static [&'static str] {
        match self {
            Self::GitHub => &["X-GitHub-Event"],
            Self::GitLab => &["X-Gitlab-Event"],
            Self::Gitea => &["X-Forgejo-Event", "X-Gitea-Event"],
            Self::Bitbucket => &["X-Event-Key"],
            Self::Generic | Self::Registry => &[],
        }
    }

    /// Headers that name the delivery; the first that is there counts.
    pub const fn delivery_headers(self) -> &'static [&'static str] {
        match self {
            Self::GitHub => &["X-GitHub-Delivery"],
            // The UUID comes last: deliveries that a delivery has caused share it.
            Self::GitLab => &["webhook-id", "Idempotency-Key", "X-Gitlab-Event-UUID"],
            Self::Gitea => &["X-Forgejo-Delivery", "X-Gitea-Delivery"],
            // `X-Hook-UUID` names the webhook, not the delivery.
            Self::Bitbucket => &["X-Request-UUID", "X-Request-Id"],
            Self::Generic => &["X-Havre-Delivery"],
            Self::Registry => &[],
        }
    }
}

impl fmt::Display for Provider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for Provider {
    type Err = ProviderError;

    fn from_str(text: &str) -> Result<Self, ProviderError> {
        if text == "forgejo" {
            return Ok(Self::Gitea);
        }
        let found = Self::ALL.into_iter().find(|provider| provider.as_str() == text);
        found.ok_or_else(|| ProviderError(text.chars().take(40).flat_map(char::escape_default).collect()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_and_json_agree() {
        for provider in Provider::ALL {
            assert_eq!(provider.to_string().parse(), Ok(provider));
            assert_eq!(serde_json::to_string(&provider).unwrap(), format!("\"{provider}\""));
            assert!(!provider.signature_headers().is_empty(), "{provider}");
        }
        assert_eq!("forgejo".parse(), Ok(Provider::Gitea));
        assert_eq!(serde_json::from_str::<Provider>("\"forgejo\"").unwrap(), Provider::Gitea);
        for wrong in ["", "GitHub", "gitea ", "gogs"] {
            assert!(wrong.parse::<Provider>().is_err(), "{wrong:?} must not parse");
        }
    }
}
