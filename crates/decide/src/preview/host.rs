//! Hosts of previews: templates of `[previews]` and what becomes of them for one pull request. A template without the number does not parse,
//! so two previews of a project never share a host. Tests at the end of the file.

use std::fmt;
use std::str::FromStr;

use havre_core::name::{AbsolutePath, HostName};
use havre_core::preview::PullNumber;
use havre_core::service::spec::RouteSpec;
use havre_core::source::BranchName;

/// Stands for the number of the pull request.
const NUMBER: &str = "{number}";
/// Stands for its branch, as a part of a host.
const BRANCH: &str = "{branch}";
/// Longest form of a branch in a host; a label has 63 characters, and other words want room.
const SLUG_MAX: usize = 30;

/// A host with `{number}` in it, and an optional path prefix: `{number}.preview.example.org`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostTemplate {
    host: String,
    path: AbsolutePath,
}

/// Text that is no such template.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TemplateError {
    /// Two previews would share it.
    #[error("a host of previews holds {{number}} once, so that no two previews share it")]
    Number,
    /// The branch more than once.
    #[error("a host of previews holds {{branch}} at most once")]
    Branch,
    /// The end of the one could be the beginning of the other.
    #[error(
        "{{number}} stands beside {{branch}} or a digit: put a - or a . between, so that no two previews share a host"
    )]
    Beside,
    /// A placeholder nobody knows, or one in the path.
    #[error("the placeholders are {{number}} and {{branch}}, and they stand in the host, not in the path")]
    Placeholder,
    /// Filled in, it is no host or path.
    #[error("with its placeholders filled in, such as {text}, it is not a host with an optional path")]
    Host {
        /// Filled in.
        text: String,
    },
}

impl HostTemplate {
    /// The address of one preview.
    pub fn fill(&self, number: PullNumber, branch: &BranchName) -> Option<RouteSpec> {
        let host = filled(&self.host, &number.to_string(), &slug(branch));
        Some(RouteSpec { host: host.parse().ok()?, path: self.path.clone() })
    }
}

impl FromStr for HostTemplate {
    type Err = TemplateError;

    fn from_str(text: &str) -> Result<Self, TemplateError> {
        let (host, path) = match text.find('/') {
            Some(slash) => text.split_at(slash),
            None => (text, "/"),
        };
        if path.contains(['{', '}']) {
            return Err(TemplateError::Placeholder);
        }
        let mut around = host.split(NUMBER);
        let (Some(before), Some(after), None) = (around.next(), around.next(), around.next()) else {
            return Err(TemplateError::Number);
        };
        if host.matches(BRANCH).count() > 1 {
            return Err(TemplateError::Branch);
        }
        if host.replace(NUMBER, "").replace(BRANCH, "").contains(['{', '}']) {
            return Err(TemplateError::Placeholder);
        }
        let is_beside = before.ends_with(|c: char| c == '}' || c.is_ascii_digit())
            || after.starts_with(|c: char| c == '{' || c.is_ascii_digit());
        if is_beside {
            return Err(TemplateError::Beside);
        }
        // The longest that can come; what is shorter has the same form.
        let longest = filled(host, &u32::MAX.to_string(), &"x".repeat(SLUG_MAX));
        let shown = || -> String {
            filled(text, "7", "my-branch").chars().take(120).flat_map(char::escape_debug).collect()
        };
        let trimmed = if path.len() > 1 { path.trim_end_matches('/') } else { path };
        match (longest.parse::<HostName>(), trimmed.parse::<AbsolutePath>()) {
            (Ok(_), Ok(path)) => Ok(Self { host: host.to_owned(), path }),
            _ => Err(TemplateError::Host { text: shown() }),
        }
    }
}

impl fmt::Display for HostTemplate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.host)?;
        if self.path == AbsolutePath::root() { Ok(()) } else { self.path.fmt(f) }
    }
}

fn filled(template: &str, number: &str, branch: &str) -> String {
    template.replace(NUMBER, number).replace(BRANCH, branch)
}

/// A branch as a part of a host: `Feature/Log_in` becomes `feature-log-in`. Different branches may become the same.
pub fn slug(branch: &BranchName) -> String {
    let mut slug = String::new();
    for character in branch.as_str().chars() {
        if slug.len() == SLUG_MAX {
            break;
        }
        match character.to_ascii_lowercase() {
            plain if plain.is_ascii_lowercase() || plain.is_ascii_digit() => slug.push(plain),
            _ if slug.is_empty() || slug.ends_with('-') => {}
            _ => slug.push('-'),
        }
    }
    let slug = slug.trim_end_matches('-');
    if slug.is_empty() { "branch".to_owned() } else { slug.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fill(template: &str, number: &str, branch: &str) -> String {
        let template: HostTemplate = template.parse().expect("is a template");
        let branch: BranchName = branch.parse().expect("is a branch");
        template.fill(number.parse().expect("a number"), &branch).expect("is a host").to_string()
    }

    #[test]
    fn templates_are_filled_in() {
        assert_eq!(fill("{number}.preview.example.org", "7", "main"), "7.preview.example.org/");
        assert_eq!(fill("pr{number}.example.org/api/", "12", "main"), "pr12.example.org/api");
        assert_eq!(
            fill("{branch}-{number}.example.org", "7", "Feature/Log_in"),
            "feature-log-in-7.example.org/"
        );
        assert_eq!(fill("{number}.{branch}.example.org", "7", "_"), "7.branch.example.org/");
        let text = "{number}.example.org/api";
        assert_eq!(text.parse::<HostTemplate>().expect("is a template").to_string(), text);
    }

    #[test]
    fn slugs_are_parts_of_hosts() {
        for (branch, expected) in [
            ("main", "main"),
            ("feature/x", "feature-x"),
            ("a_-_b", "a-b"),
            ("dependabot/npm_and_yarn/left-pad-1.2.3", "dependabot-npm-and-yarn-left-p"),
            ("twenty-nine-characters-and--x/y", "twenty-nine-characters-and-x-y"),
            ("___", "branch"),
        ] {
            assert_eq!(slug(&branch.parse().expect("a branch")), expected, "{branch}");
        }
    }

    #[test]
    fn what_two_previews_could_share_is_refused() {
        for (text, error) in [
            ("preview.example.org", TemplateError::Number),
            ("{branch}.example.org", TemplateError::Number),
            ("{number}.{number}.example.org", TemplateError::Number),
            ("{number}-{branch}-{branch}.example.org", TemplateError::Branch),
            ("{number}{branch}.example.org", TemplateError::Beside),
            ("{branch}{number}.example.org", TemplateError::Beside),
            ("a1{number}.example.org", TemplateError::Beside),
            ("{number}-{nr}.example.org", TemplateError::Placeholder),
            ("example.org/{number}", TemplateError::Placeholder),
            ("{number}.example.org/{branch}", TemplateError::Placeholder),
        ] {
            assert_eq!(text.parse::<HostTemplate>(), Err(error), "{text}");
        }
        let long = format!("{}-{{branch}}-{{number}}.example.org", "a".repeat(30));
        for text in [
            "{number}",
            "{number}.Example.org",
            "{number}.a..b",
            "{number}.a.org:80",
            "https://{number}.a",
            &long,
        ] {
            assert!(text.parse::<HostTemplate>().is_err(), "{text}");
        }
    }

    proptest::proptest! {
        #[test]
        fn two_numbers_never_share_a_host(
            template in "([a-z]{0,2}-)?(\\{branch\\}[-.])?\\{number\\}([-.]\\{branch\\})?\\.p\\.org",
            one in 1_u32..200, other in 1_u32..200,
            first in "[a-z0-9][a-z0-9/-]{0,8}", second in "[a-z0-9][a-z0-9/-]{0,8}",
        ) {
            if let (Ok(template), Ok(first), Ok(second)) =
                (template.parse::<HostTemplate>(), first.parse::<BranchName>(), second.parse::<BranchName>())
            {
                let fill = |number: u32, branch| {
                    let number = PullNumber::try_from(u64::from(number)).expect("is a number");
                    template.fill(number, branch).expect("is a host")
                };
                if one != other {
                    proptest::prop_assert_ne!(fill(one, &first), fill(other, &second));
                }
            }
        }
    }
}
