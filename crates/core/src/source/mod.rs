//! Where source comes from: branches, tags, commits and addresses of repositories, as types with a closed grammar, so that
//! none of them can be an option of `git`, a path of this machine, or a piece of a command. Tests at the end of the file.

pub mod forge;
pub mod lfs;
pub mod pull;
pub mod remote;

use std::fmt;
use std::str::FromStr;

use crate::name::{NameError, names};

pub use pull::{HeadAt, Pull};
pub use remote::{RemoteUrl, RemoteUrlError};

const BRANCH_RULE: &str = "1 to 200 of the characters A-Z, a-z, 0-9, . _ - + @ # = and /, no part starting with . or -, \
    none ending with . or .lock, without .. and @{ (git check-ref-format, and stricter)";

fn is_branch(text: &str) -> bool {
    let part = |part: &str| {
        !part.is_empty()
            && !part.starts_with(['.', '-'])
            && !part.ends_with('.')
            && !part.ends_with(".lock")
            && part.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-+@#=".contains(&b))
    };
    text.len() <= 200 && text != "@" && text != "HEAD" && !text.contains("..") && text.split('/').all(part)
}

const REF_RULE: &str = "refs/heads/ or refs/tags/ and a name such as main";

fn is_ref(text: &str) -> bool {
    ["refs/heads/", "refs/tags/"].iter().any(|start| text.strip_prefix(start).is_some_and(is_branch))
}

const COMMIT_RULE: &str = "40 or 64 of the characters 0-9 and a-f";

fn is_commit(text: &str) -> bool {
    matches!(text.len(), 40 | 64) && text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
}

names! {
    /// Name of a branch or tag without `refs/heads/`: `main`, `feature/x`.
    BranchName "branch" is_branch BRANCH_RULE;
    /// Full name of a branch or tag: `refs/heads/main`.
    RefName "ref" is_ref REF_RULE;
    /// A whole commit (or other object) id in lower-case hex, SHA-1 or SHA-256.
    CommitId "commit" is_commit COMMIT_RULE;
}

impl RefName {
    /// The branch, if it is one and not a tag.
    pub fn branch(&self) -> Option<BranchName> {
        self.as_str().strip_prefix("refs/heads/")?.parse().ok()
    }

    /// The name of the tag, if it is one.
    pub fn tag(&self) -> Option<BranchName> {
        self.as_str().strip_prefix("refs/tags/")?.parse().ok()
    }
}

impl From<&BranchName> for RefName {
    fn from(branch: &BranchName) -> Self {
        format!("refs/heads/{branch}").parse().expect("a branch makes a ref")
    }
}

impl CommitId {
    /// The first twelve digits, for people.
    pub fn short(&self) -> &str {
        &self.as_str()[..12]
    }

    /// The id git writes for "nothing": a ref that is being made or removed.
    pub fn is_zero(&self) -> bool {
        self.as_str().bytes().all(|byte| byte == b'0')
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn branches() {
        for right in
            ["main", "feature/x", "release-1.2", "a/b/c", "dependabot/npm/x-1.2.3", "v1.0.0+b", "a@b"]
        {
            assert!(right.parse::<BranchName>().is_ok(), "{right:?} must parse");
        }
        let wrong = [
            "",
            "-x",
            "--upload-pack=x",
            "$(id)",
            "a b",
            "a;b",
            "a`b`",
            "a..b",
            "/a",
            "a/",
            "a//b",
            ".a",
            "a/.b",
            "a.",
            "a.lock",
            "a.lock/b",
            "@",
            "HEAD",
            "a@{1}",
            "a~1",
            "a^",
            "a:b",
            "a?",
            "a*",
            "a[",
            "a\\b",
            "a\nb",
            "é",
            "a/-b",
        ];
        for wrong in wrong {
            assert!(wrong.parse::<BranchName>().is_err(), "{wrong:?} must not parse");
        }
    }

    #[test]
    fn refs() {
        let main: RefName = "refs/heads/main".parse().expect("is a ref");
        assert_eq!(main.branch().map(|branch| branch.to_string()).as_deref(), Some("main"));
        assert_eq!(main.tag(), None);
        assert_eq!(RefName::from(&"main".parse::<BranchName>().expect("is a branch")), main);
        for wrong in ["main", "refs/heads/", "refs/notes/x", "refs/heads/-x", "refs/../heads/x", "HEAD"] {
            assert!(wrong.parse::<RefName>().is_err(), "{wrong:?} must not parse");
        }
    }

    #[test]
    fn commits() {
        let id: CommitId = "0123456789abcdef0123456789abcdef01234567".parse().expect("is a commit");
        assert_eq!(id.short(), "0123456789ab");
        assert!(!id.is_zero() && "0".repeat(40).parse::<CommitId>().expect("is one").is_zero());
        for wrong in ["", "main", "0123456", "0123456789ABCDEF0123456789abcdef01234567"] {
            assert!(wrong.parse::<CommitId>().is_err(), "{wrong:?} must not parse");
        }
    }

    proptest::proptest! {
        #[test]
        fn what_parses_is_no_option_and_no_path_upwards(text in "[a-z./@{-]{0,12}") {
            if let Ok(branch) = text.parse::<BranchName>() {
                let text = branch.as_str();
                let is_safe = !text.starts_with(['-', '/']) && !text.contains("..") && !text.contains("@{");
                proptest::prop_assert!(is_safe, "{text:?} parses");
            }
        }
    }
}
