//! `_headers`: a path, then indented lines `Name: value` for every file below it, or `! Name` to take one away again.
//! Tests: `tests/it/site.rs`.

use serde::{Deserialize, Serialize};

use super::header::{Name, Text};
use super::pattern::Pattern;
use super::{RuleError, lines, show};

const FILE: &str = "_headers";
/// Most paths of the file.
pub const RULES_MAX: usize = 200;
/// Most lines below one path.
pub const LINES_MAX: usize = 50;

/// What one path of `_headers` asks for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Written", into = "Written")]
pub struct HeaderRule {
    /// Line of the path.
    pub line: usize,
    /// Which paths.
    pub path: Pattern,
    /// Set and taken away, in this order.
    pub changes: Vec<Change>,
}

/// One line below a path.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Change {
    /// `Name: value`.
    Set(Name, Text),
    /// `! Name`.
    Remove(Name),
}

/// A rule in a document.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    line: usize,
    path: String,
    changes: Vec<Change>,
}

impl TryFrom<Written> for HeaderRule {
    type Error = String;

    fn try_from(written: Written) -> Result<Self, String> {
        let Written { line, path, changes } = written;
        Ok(Self { line, path: Pattern::parse(&path, true)?, changes })
    }
}

impl From<HeaderRule> for Written {
    fn from(rule: HeaderRule) -> Self {
        Self { line: rule.line, path: rule.path.as_str().to_owned(), changes: rule.changes }
    }
}

/// Reads the file.
///
/// # Errors
/// The first line that is wrong.
pub fn parse(text: &str) -> Result<Vec<HeaderRule>, RuleError> {
    let mut rules: Vec<HeaderRule> = Vec::new();
    for (line, written) in lines(FILE, text)? {
        let wrong = |message: String| RuleError { file: FILE, line, message };
        if !written.starts_with([' ', '\t']) {
            if rules.len() == RULES_MAX {
                return Err(wrong(format!("there are more than {RULES_MAX} paths")));
            }
            rules.push(HeaderRule {
                line,
                path: read_path(written.trim()).map_err(wrong)?,
                changes: Vec::new(),
            });
            continue;
        }
        let Some(rule) = rules.last_mut() else {
            return Err(wrong("a header needs a path above it, such as /*".to_owned()));
        };
        if rule.changes.len() == LINES_MAX {
            return Err(wrong(format!("there are more than {LINES_MAX} lines for one path")));
        }
        rule.changes.push(read_change(written.trim()).map_err(wrong)?);
    }
    if let Some(empty) = rules.iter().find(|rule| rule.changes.is_empty()) {
        let message = format!("nothing is set for {}; headers stand below it, indented", empty.path.as_str());
        return Err(RuleError { file: FILE, line: empty.line, message });
    }
    Ok(rules)
}

fn read_path(text: &str) -> Result<Pattern, String> {
    if !text.starts_with('/') && !text.contains("://") && text.contains(':') {
        return Err(format!("`{}`: indent the lines of a path with spaces", show(text)));
    }
    Pattern::parse(text, true)
}

fn read_change(text: &str) -> Result<Change, String> {
    if let Some(name) = text.strip_prefix('!') {
        return Ok(Change::Remove(Name::try_from(name.trim().to_owned())?));
    }
    let Some((name, value)) = text.split_once(':') else {
        return Err(format!("`{}` is not `Name: value`", show(text)));
    };
    let value = Text::try_from(value.trim().to_owned())?;
    if value.as_str().is_empty() {
        return Err(format!("`{}` has no value; `! {}` takes a header away", show(name), show(name.trim())));
    }
    Ok(Change::Set(Name::try_from(name.trim().to_owned())?, value))
}
