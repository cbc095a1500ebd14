//! `havre webhook`: which senders may say that something was pushed.

pub(crate) mod list;
pub(crate) mod remove;
pub(crate) mod set;

use std::str::FromStr;

/// Name of a sender; which there are the server knows.
#[derive(Debug, Clone)]
pub(crate) struct ProviderName(String);

impl FromStr for ProviderName {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        // It becomes a part of a path.
        if (1..=32).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_lowercase()) {
            return Ok(Self(text.to_owned()));
        }
        Err("a sender has 1 to 32 of the characters a-z, such as github, gitlab, gitea, bitbucket or generic")
    }
}

impl std::fmt::Display for ProviderName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}
