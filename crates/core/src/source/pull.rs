//! Where the head of a pull request lies at its forge, and the name it gets here: outside of branches and tags, so that no environment
//! follows it and nobody can push to it. Tests at the end of the file.

use serde::{Deserialize, Serialize};

use crate::preview::PullNumber;
use crate::source::{BranchName, RefName};

/// Where a forge keeps the newest commit of a pull request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum HeadAt {
    /// `refs/pull/7/head`, also for a fork: GitHub, Gitea, Forgejo.
    Pull,
    /// `refs/merge-requests/7/head`, also for a fork: GitLab.
    MergeRequest,
    /// Only in the branch itself, which of a fork lies in another repository: Bitbucket, and whoever is none of these.
    Branch {
        /// The branch.
        branch: BranchName,
    },
}

/// The head of a pull request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pull {
    /// Its number.
    pub number: PullNumber,
    /// Where it lies there.
    pub at: HeadAt,
}

impl Pull {
    /// Full name of the ref at the forge.
    pub fn theirs(&self) -> String {
        let number = self.number;
        match &self.at {
            HeadAt::Pull => format!("refs/pull/{number}/head"),
            HeadAt::MergeRequest => format!("refs/merge-requests/{number}/head"),
            HeadAt::Branch { branch } => RefName::from(branch).to_string(),
        }
    }

    /// Full name of the ref in the repository here.
    pub fn ours(&self) -> String {
        kept_as(self.number)
    }
}

/// Full name of the ref here of the head of a pull request.
pub fn kept_as(number: PullNumber) -> String {
    format!("refs/havre/pull/{number}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heads_of_the_forges() {
        let branch = HeadAt::Branch { branch: "feature/x".parse().expect("a branch") };
        for (at, theirs) in [
            (HeadAt::Pull, "refs/pull/7/head"),
            (HeadAt::MergeRequest, "refs/merge-requests/7/head"),
            (branch, "refs/heads/feature/x"),
        ] {
            let pull = Pull { number: "7".parse().expect("a number"), at };
            assert_eq!((pull.theirs().as_str(), pull.ours().as_str()), (theirs, "refs/havre/pull/7"));
            assert!(pull.ours().parse::<RefName>().is_err(), "nobody can push there");
        }
    }
}
