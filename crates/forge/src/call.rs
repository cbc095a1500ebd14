//! One HTTP call as data, without the token. Makes none. Tests: `tests/it`.

use havre_core::source::forge::Forge;
use serde_json::Value;

/// How a call changes something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    /// Reads.
    Get,
    /// Makes something.
    Post,
    /// Replaces something (GitLab, Bitbucket).
    Put,
    /// Changes something (GitHub, Gitea).
    Patch,
}

impl Method {
    /// As it stands in a request.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Post => "POST",
            Self::Put => "PUT",
            Self::Patch => "PATCH",
        }
    }
}

/// Where the token goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TokenPlace {
    /// The header.
    pub header: &'static str,
    /// What stands before the token there.
    pub before: &'static str,
}

impl TokenPlace {
    /// Where this forge looks for a token.
    pub const fn of(forge: Forge) -> Self {
        match forge {
            Forge::GitHub | Forge::Bitbucket => Self { header: "authorization", before: "Bearer " },
            // The one header that personal, project and group access tokens share.
            Forge::GitLab => Self { header: "private-token", before: "" },
            Forge::Gitea => Self { header: "authorization", before: "token " },
        }
    }
}

/// One call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call {
    /// What it does.
    pub method: Method,
    /// Where to: scheme, host, path, query.
    pub url: String,
    /// Where the token goes.
    pub token: TokenPlace,
    /// Header lines beside the usual ones.
    pub headers: &'static [(&'static str, &'static str)],
    /// JSON to send.
    pub body: Option<Value>,
}

/// What GitHub wants to see: a version of its interface that stays as it is.
const GITHUB: [(&str, &str); 2] =
    [("accept", "application/vnd.github+json"), ("x-github-api-version", "2022-11-28")];
const OTHERS: [(&str, &str); 1] = [("accept", "application/json")];

impl Call {
    pub(crate) fn new(forge: Forge, method: Method, url: String, body: Option<Value>) -> Self {
        let headers: &'static [(&'static str, &'static str)] = match forge {
            Forge::GitHub => &GITHUB,
            Forge::GitLab | Forge::Gitea | Forge::Bitbucket => &OTHERS,
        };
        Self { method, url, token: TokenPlace::of(forge), headers, body }
    }
}
