//! `_redirects`: one rule a line, `from to [status][!]`, the first that matches counts. Rules of hosts, countries,
//! languages, roles or query parameters, and proxies to other servers, are refused by name. Tests: `tests/it/site.rs`.

use serde::{Deserialize, Serialize};

use super::pattern::{PATTERN_MAX, Pattern, Template, decode, encode};
use super::{RuleError, lines, loops, show};

pub(super) const FILE: &str = "_redirects";
/// Most rules of the file.
pub const RULES_MAX: usize = 2000;
/// Most rules with a placeholder or `*` among them: each is tried on each path that no file answers.
pub const PATTERNS_MAX: usize = 200;
/// What a rule without a status means.
const STATUS_DEFAULT: u16 = 301;

/// One rule.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Written", into = "Written")]
pub struct RedirectRule {
    /// Its line.
    pub line: usize,
    /// Which paths.
    pub from: Pattern,
    /// What is done.
    pub action: Action,
    /// It counts even where a file would answer.
    pub force: bool,
    to: String,
    template: Template,
}

/// What a rule does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// Sends the client elsewhere: 301, 302, 303, 307 or 308.
    Redirect(u16),
    /// Answers with another file of the site: 200 or 404.
    Rewrite(u16),
}

/// Where a request goes by a rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// To this location.
    Redirect {
        /// Status.
        status: u16,
        /// Value of `Location`: ASCII, a path or an absolute URL, never `//host`.
        location: String,
    },
    /// To the file of this decoded path.
    Rewrite {
        /// Status.
        status: u16,
        /// Absolute, decoded.
        path: String,
    },
}

/// A rule in a document.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    line: usize,
    from: String,
    to: String,
    status: u16,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    force: bool,
}

impl TryFrom<Written> for RedirectRule {
    type Error = String;

    fn try_from(written: Written) -> Result<Self, String> {
        let Written { line, from, to, status, force } = written;
        let action = action(status).ok_or_else(|| format!("the status {status} is none of a redirect"))?;
        let from = Pattern::parse(&from, false)?;
        let template = template(&to, &from, action)?;
        Ok(Self { line, from, action, force, to, template })
    }
}

impl From<RedirectRule> for Written {
    fn from(rule: RedirectRule) -> Self {
        let status = match rule.action {
            Action::Redirect(status) | Action::Rewrite(status) => status,
        };
        let from = rule.from.as_str().to_owned();
        Self { line: rule.line, from, to: rule.to, status, force: rule.force }
    }
}

impl RedirectRule {
    /// The path of a target on this site, decoded and without a slash at its end, as a pattern: what may come out.
    pub(super) fn lands(&self) -> Option<Pattern> {
        if !matches!(self.action, Action::Redirect(_)) || !self.to.starts_with('/') {
            return None;
        }
        let path = self.to.split(['?', '#']).next().unwrap_or(&self.to);
        let known: Vec<&str> = self.from.names().collect();
        Some(Pattern::of(Template::parse(&decode(path)?, &known)))
    }

    /// Where the rule leads as it was written.
    pub fn target(&self) -> &str {
        &self.to
    }

    /// Applies the rule to a decoded path without a slash at its end. `None` when it does not match, or when what the
    /// client put into the path would lead to another host.
    pub fn apply(&self, path: &str, query: Option<&str>) -> Option<Outcome> {
        let found = self.from.matches(path)?;
        match self.action {
            Action::Rewrite(status) => {
                Some(Outcome::Rewrite { status, path: self.template.fill(&found, str::to_owned) })
            }
            Action::Redirect(status) => {
                let location = self.template.fill(&found, encode);
                if location.starts_with("//") || location.len() > 4 * PATTERN_MAX {
                    return None;
                }
                Some(Outcome::Redirect { status, location: with_query(location, query) })
            }
        }
    }
}

/// Hands the query on where the rule names none of its own.
fn with_query(location: String, query: Option<&str>) -> String {
    let Some(query) = query.filter(|query| !query.is_empty() && !location.contains('?')) else {
        return location;
    };
    // The request's own bytes: only what a header may carry.
    if !query.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'#' && byte != b'\\') {
        return location;
    }
    match location.split_once('#') {
        Some((before, fragment)) => format!("{before}?{query}#{fragment}"),
        None => format!("{location}?{query}"),
    }
}

/// Reads the file. `is_file` says whether the site answers a decoded path by itself, which rules without `!` give way
/// to.
///
/// # Errors
/// The first line that is wrong, or the rule that starts a loop.
pub fn parse(text: &str, is_file: impl Fn(&str) -> bool) -> Result<Vec<RedirectRule>, RuleError> {
    let mut rules = Vec::new();
    let mut patterns = 0;
    for (line, written) in lines(FILE, text)? {
        let wrong = |message: String| RuleError { file: FILE, line, message };
        let rule = read(line, written).map_err(wrong)?;
        patterns += usize::from(rule.from.literal().is_none());
        if rules.len() == RULES_MAX {
            return Err(wrong(format!("there are more than {RULES_MAX} rules")));
        }
        if patterns > PATTERNS_MAX {
            return Err(wrong(format!("there are more than {PATTERNS_MAX} rules with a placeholder or *")));
        }
        rules.push(rule);
    }
    loops::check(&rules, is_file)?;
    Ok(rules)
}

fn read(line: usize, text: &str) -> Result<RedirectRule, String> {
    // A comment may follow after a space; a `#` inside of a target is a fragment.
    let words: Vec<&str> = text.split_whitespace().take_while(|word| !word.starts_with('#')).collect();
    let (from, rest) = words.split_first().ok_or("the line is empty")?;
    if let Some(query) = rest.first().filter(|word| is_condition(word)) {
        return Err(format!("`{}`: query parameters cannot be matched", show(query)));
    }
    let Some((to, rest)) = rest.split_first() else {
        return Err("a rule has a path, where it leads, and perhaps a status: /old /new 301".to_owned());
    };
    let (status, rest) = match rest.split_first() {
        Some((status, rest)) if status.starts_with(|c: char| c.is_ascii_digit()) => (*status, rest),
        _ => ("", rest),
    };
    if let Some(condition) = rest.first() {
        return Err(format!("`{}`: conditions on the visitor are not supported", show(condition)));
    }
    let (number, force) = match status.strip_suffix('!') {
        Some(number) => (number, true),
        None => (status, false),
    };
    let status = if number.is_empty() {
        STATUS_DEFAULT
    } else {
        let status = number.parse().ok().filter(|status| action(*status).is_some());
        status.ok_or_else(|| {
            format!("`{}` is no status of a rule: 200, 301, 302, 303, 307, 308 or 404", show(number))
        })?
    };
    let (from, to) = ((*from).to_owned(), (*to).to_owned());
    RedirectRule::try_from(Written { line, from, to, status, force })
}

/// `name=:value` of a query, or `Country=de`.
fn is_condition(word: &str) -> bool {
    !word.starts_with('/') && !word.contains("://") && word.contains('=')
}

fn action(status: u16) -> Option<Action> {
    match status {
        301 | 302 | 303 | 307 | 308 => Some(Action::Redirect(status)),
        200 | 404 => Some(Action::Rewrite(status)),
        _ => None,
    }
}

fn template(to: &str, from: &Pattern, action: Action) -> Result<Template, String> {
    if to.len() > PATTERN_MAX {
        return Err(format!("the target has more than {PATTERN_MAX} bytes"));
    }
    if to.contains(['\\', '"', '<', '>', '*']) {
        return Err(format!("`{}`: a target holds none of \\ \" < > *; write :splat for *", show(to)));
    }
    let known: Vec<&str> = from.names().collect();
    let is_url = to.starts_with("https://") || to.starts_with("http://");
    if is_url && matches!(action, Action::Rewrite(_)) {
        let message = "answering from another server is a proxy; give that server a service, or redirect";
        return Err(format!("`{}`: {message}", show(to)));
    }
    if !is_url && (!to.starts_with('/') || to.starts_with("//")) {
        return Err(format!("`{}` is neither a path nor an http:// or https:// URL", show(to)));
    }
    if matches!(action, Action::Rewrite(_)) {
        let path = decode(to).filter(|path| !path.contains(['?', '#']));
        let path = path.ok_or_else(|| format!("`{}`: a rewrite leads to a file of this site", show(to)))?;
        check_names(&path, &known)?;
        return Ok(Template::parse(&path, &known));
    }
    let ascii: String =
        to.chars().map(|c| if c.is_ascii() { c.to_string() } else { encode(&c.to_string()) }).collect();
    if is_url {
        let rest = ascii.split_once("://").map_or("", |(_, rest)| rest);
        let (host, path) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
        let is_host = |byte: u8| byte.is_ascii_alphanumeric() || b"-._:[]".contains(&byte);
        let names_client = known.iter().any(|name| host.contains(&format!(":{name}")));
        if host.is_empty() || names_client || !host.bytes().all(is_host) {
            return Err(format!("`{}`: the host must stand there as it is, without placeholders", show(to)));
        }
        check_names(path, &known)?;
    } else {
        check_names(&ascii, &known)?;
    }
    Ok(Template::parse(&ascii, &known))
}

/// A segment that looks like a placeholder must be one.
fn check_names(path: &str, known: &[&str]) -> Result<(), String> {
    for segment in path.split(['/', '?', '&', '=', '#']) {
        let Some(name) = segment.strip_prefix(':') else { continue };
        let end = name.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(name.len());
        if end > 0 && !known.contains(&&name[..end]) {
            return Err(format!("`:{}` is not in the path of the rule", show(&name[..end])));
        }
    }
    Ok(())
}
