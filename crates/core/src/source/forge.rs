//! Which forge a remote repository is at, and whether it is told what became of commits. How each of them is told is
//! `havre-forge`'s. Tests at the end of the file.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::RemoteUrl;

/// A kind of forge that can be told about commits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Forge {
    /// GitHub and its Enterprise Server.
    GitHub,
    /// GitLab, wherever it runs.
    GitLab,
    /// Gitea and Forgejo, which are told alike.
    #[serde(alias = "forgejo")]
    Gitea,
    /// Bitbucket Cloud. Bitbucket Data Center is told otherwise, and not known here.
    Bitbucket,
}

/// Text that names no forge.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no forge Havre knows: github, gitlab, gitea (also for Forgejo), bitbucket")]
pub struct ForgeError(String);

impl Forge {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::GitHub, Self::GitLab, Self::Gitea, Self::Bitbucket];

    /// The text form.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::GitHub => "github",
            Self::GitLab => "gitlab",
            Self::Gitea => "gitea",
            Self::Bitbucket => "bitbucket",
        }
    }

    /// The forge at this host, where that is known to everybody.
    pub fn of_host(host: &str) -> Option<Self> {
        match host {
            "github.com" => Some(Self::GitHub),
            "gitlab.com" => Some(Self::GitLab),
            "codeberg.org" | "gitea.com" => Some(Self::Gitea),
            "bitbucket.org" => Some(Self::Bitbucket),
            // GitHub Enterprise Cloud with a domain of the company's own.
            _ if host.ends_with(".ghe.com") => Some(Self::GitHub),
            _ => None,
        }
    }
}

impl fmt::Display for Forge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for Forge {
    type Err = ForgeError;

    fn from_str(text: &str) -> Result<Self, ForgeError> {
        if text == "forgejo" {
            return Ok(Self::Gitea);
        }
        let found = Self::ALL.into_iter().find(|forge| forge.as_str() == text);
        found.ok_or_else(|| ForgeError(text.chars().take(40).flat_map(char::escape_default).collect()))
    }
}

/// Whether the forge of a remote repository is told what became of its commits, or of its pull requests' previews.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Telling {
    /// It is.
    On(Forge),
    /// Somebody does not want it.
    Off,
    /// Nobody said which forge is at that host.
    ForgeUnknown,
    /// There is no token, and no forge listens to strangers.
    TokenMissing,
}

impl Telling {
    /// Decides; `forge` is what somebody has said, which counts more than what the host seems to be.
    pub fn decide(url: &RemoteUrl, forge: Option<Forge>, is_wanted: bool, has_token: bool) -> Self {
        match forge.or_else(|| Forge::of_host(url.host())) {
            _ if !is_wanted => Self::Off,
            None => Self::ForgeUnknown,
            Some(_) if !has_token => Self::TokenMissing,
            Some(forge) => Self::On(forge),
        }
    }

    /// The same about comments on pull requests, which are switched off by themselves.
    pub const fn comment_obstacle(self) -> Option<&'static str> {
        match self {
            Self::Off => Some("somebody set it so (`--no-comments`)"),
            other => other.obstacle(),
        }
    }

    /// Why nothing is told, and what to do about it, for people.
    pub const fn obstacle(self) -> Option<&'static str> {
        match self {
            Self::On(_) => None,
            Self::Off => Some("somebody set it so (`--no-status`)"),
            Self::ForgeUnknown => Some(
                "which forge is at this host is not known; say it with `havre remote set URL --forge NAME`",
            ),
            Self::TokenMissing => Some(
                "there is no token; give one with `havre remote set URL --token-stdin` or `--status-token-stdin`",
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_and_json_agree() {
        for forge in Forge::ALL {
            assert_eq!(forge.to_string().parse(), Ok(forge));
            assert_eq!(serde_json::to_string(&forge).expect("is JSON"), format!("\"{forge}\""));
        }
        assert_eq!("forgejo".parse(), Ok(Forge::Gitea));
        for wrong in ["", "GitHub", "gitlab ", "gogs"] {
            assert!(wrong.parse::<Forge>().is_err(), "{wrong:?} must not parse");
        }
    }

    #[test]
    fn only_hosts_that_are_known_say_their_forge() {
        for (host, forge) in [
            ("github.com", Some(Forge::GitHub)),
            ("acme.ghe.com", Some(Forge::GitHub)),
            ("gitlab.com", Some(Forge::GitLab)),
            ("codeberg.org", Some(Forge::Gitea)),
            ("bitbucket.org", Some(Forge::Bitbucket)),
            ("github.com.example.org", None),
            ("notgithub.com", None),
            ("gitlab.example.org", None),
        ] {
            assert_eq!(Forge::of_host(host), forge, "{host}");
        }
    }

    #[test]
    fn a_forge_is_told_when_it_is_known_and_there_is_a_token() {
        let known: RemoteUrl = "https://github.com/acme/shop.git".parse().expect("is an address");
        let own: RemoteUrl = "https://git.example.org/acme/shop.git".parse().expect("is an address");
        let gitea = Some(Forge::Gitea);
        assert_eq!(Telling::decide(&known, None, true, true), Telling::On(Forge::GitHub));
        assert_eq!(Telling::decide(&known, gitea, true, true), Telling::On(Forge::Gitea));
        assert_eq!(Telling::decide(&own, gitea, true, true), Telling::On(Forge::Gitea));
        assert_eq!(Telling::decide(&own, None, true, true), Telling::ForgeUnknown);
        assert_eq!(Telling::decide(&own, gitea, true, false), Telling::TokenMissing);
        assert_eq!(Telling::decide(&own, None, false, false), Telling::Off);
        assert_eq!(Telling::On(Forge::GitHub).obstacle(), None);
        for telling in [Telling::Off, Telling::ForgeUnknown, Telling::TokenMissing] {
            assert!(telling.obstacle().is_some(), "{telling:?}");
            assert_eq!(
                telling.comment_obstacle() == telling.obstacle(),
                telling != Telling::Off,
                "{telling:?}"
            );
        }
    }
}
