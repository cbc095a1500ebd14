//! A pattern over names of branches and tags, and over paths of a repository: those of a `.dockerignore` (`*` within a part, `**` over
//! parts, `?`, `[a-z]`), together with the text it was written as. Tests at the end of the file.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::build::pattern::Pattern;

/// Longest text.
const GLOB_MAX: usize = 512;

/// One pattern. `main` is a pattern too, which only `main` matches.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Glob {
    text: String,
    pattern: Pattern,
}

/// Text that is no pattern.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not a pattern such as `main`, `release/*` or `apps/**`: {why}")]
pub struct GlobError {
    text: String,
    why: String,
}

impl Glob {
    /// The text it was written as.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether it matches this very name.
    pub fn is_match(&self, name: &str) -> bool {
        self.pattern.is_match(name)
    }

    /// Whether it matches this path or a folder above it: `apps/api` covers all that lies below.
    pub fn covers(&self, path: &str) -> bool {
        self.is_match(path) || path.match_indices('/').any(|(at, _)| self.is_match(&path[..at]))
    }
}

impl FromStr for Glob {
    type Err = GlobError;

    fn from_str(text: &str) -> Result<Self, GlobError> {
        let wrong = |why: String| GlobError {
            text: text.chars().take(48).flat_map(char::escape_default).collect(),
            why,
        };
        if text.len() > GLOB_MAX {
            return Err(wrong(format!("longer than {GLOB_MAX} bytes")));
        }
        // People write paths from the root of the repository in several ways.
        let plain = text.strip_prefix("./").or_else(|| text.strip_prefix('/')).unwrap_or(text);
        let plain = plain.strip_suffix('/').unwrap_or(plain);
        if plain.is_empty() {
            return Err(wrong("it is empty".to_owned()));
        }
        let pattern = Pattern::parse(plain).map_err(wrong)?;
        Ok(Self { text: text.to_owned(), pattern })
    }
}

impl TryFrom<String> for Glob {
    type Error = GlobError;

    fn try_from(text: String) -> Result<Self, GlobError> {
        text.parse()
    }
}

impl From<Glob> for String {
    fn from(glob: Glob) -> Self {
        glob.text
    }
}

impl fmt::Display for Glob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.text)
    }
}

/// Which paths of a repository matter. A pattern covers what lies below what it matches, as in a `.dockerignore`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Paths {
    /// These matter; when there is none, all do.
    pub include: Vec<Glob>,
    /// These do not, even if they are included.
    pub exclude: Vec<Glob>,
}

impl Paths {
    /// Whether a push with these changes matters.
    pub fn is_concerned(&self, changed: &[String]) -> bool {
        let matters = |path: &String| {
            let is_in = self.include.is_empty() || self.include.iter().any(|glob| glob.covers(path));
            is_in && !self.exclude.iter().any(|glob| glob.covers(path))
        };
        changed.iter().any(matters)
    }

    /// Whether every push matters.
    pub fn is_empty(&self) -> bool {
        self.include.is_empty() && self.exclude.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn glob(text: &str) -> Glob {
        text.parse().unwrap()
    }

    #[test]
    fn names() {
        let rows: [(&str, &[&str], &[&str]); 5] = [
            ("main", &["main"], &["main2", "x/main", "mai"]),
            ("release/*", &["release/1", "release/x-1"], &["release", "release/1/2"]),
            ("release/**", &["release/1", "release/1/2"], &["releases/1"]),
            ("v[0-9]*", &["v1", "v1.2.3"], &["v", "vx", "v1/2"]),
            ("**", &["main", "a/b"], &[]),
        ];
        for (text, right, wrong) in rows {
            for name in right {
                assert!(glob(text).is_match(name), "{text} must match {name}");
            }
            for name in wrong {
                assert!(!glob(text).is_match(name), "{text} must not match {name}");
            }
        }
    }

    #[test]
    fn paths_are_covered_by_their_folders() {
        for text in ["apps/api", "/apps/api", "./apps/api/", "apps/api/**", "apps/*"] {
            assert!(glob(text).covers("apps/api/src/main.rs"), "{text}");
            assert!(!glob(text).covers("apps2/api/src/main.rs"), "{text}");
        }
        assert!(glob("**/*.md").covers("docs/a.md") && !glob("*.md").covers("docs/a.md"));
    }

    #[test]
    fn excluded_paths_do_not_matter() {
        let globs = |texts: &[&str]| texts.iter().map(|text| glob(text)).collect::<Vec<Glob>>();
        let paths = Paths { include: globs(&["apps/api"]), exclude: globs(&["**/*.md"]) };
        let is_concerned = |changed: &[&str]| {
            paths.is_concerned(&changed.iter().map(|path| (*path).to_owned()).collect::<Vec<String>>())
        };
        assert!(is_concerned(&["apps/web/a.ts", "apps/api/a.ts"]));
        assert!(!is_concerned(&["apps/api/README.md", "apps/web/a.ts"]));
        assert!(!is_concerned(&[]));
        assert!(Paths::default().is_empty() && !paths.is_empty());
    }

    #[test]
    fn what_is_no_pattern_is_refused() {
        let long = "a".repeat(513);
        for wrong in ["", "/", "./", "[", "a\\", &long] {
            assert!(wrong.parse::<Glob>().is_err(), "{wrong:?} must not parse");
        }
        assert_eq!(serde_json::to_string(&glob("./apps/*")).unwrap(), "\"./apps/*\"");
        assert_eq!(serde_json::from_str::<Glob>("\"main\"").unwrap(), glob("main"));
    }
}
