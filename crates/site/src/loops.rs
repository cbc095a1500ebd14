//! Finds redirects of a site that lead back to themselves. It walks from a path of each rule, and from the paths of each
//! rule that lead to another one, as a browser would. A loop that needs a chain of three particular values can escape it;
//! then the browser ends it, and the edge does no more than answer. Tests: `tests/it/site.rs`.

use std::collections::HashMap;

use super::RuleError;
use super::pattern::{Found, decode};
use super::redirects::{Action, FILE, Outcome, RedirectRule};

/// Redirects in a row that browsers follow.
const HOPS: usize = 20;

/// Refuses rules of which one leads in a circle.
pub(super) fn check(rules: &[RedirectRule], is_file: impl Fn(&str) -> bool) -> Result<(), RuleError> {
    let index = Index::new(rules);
    let goals: Vec<String> = rules.iter().map(|rule| rule.from.instance(&Found::default())).collect();
    for (rule, own) in rules.iter().zip(&goals) {
        let Some(lands) = rule.lands() else { continue };
        let mut starts = vec![own.clone()];
        // Whatever path it was, this is where it leads.
        if let Some(path) = lands.literal() {
            starts.push(path.to_owned());
        } else {
            let reached = goals.iter().filter_map(|goal| lands.matches(goal));
            starts.extend(reached.map(|found| rule.from.instance(&found)));
        }
        for start in starts {
            if let Some(chain) = walk(rules, &index, &is_file, start) {
                let shown = chain.iter().take(4).map(String::as_str).collect::<Vec<_>>().join(" -> ");
                let message = format!("this rule leads in a circle: {shown} -> ...");
                return Err(RuleError { file: FILE, line: rule.line, message });
            }
        }
    }
    Ok(())
}

/// Rules by what they match.
struct Index<'r> {
    literal: HashMap<&'r str, usize>,
    patterns: Vec<usize>,
}

impl<'r> Index<'r> {
    fn new(rules: &'r [RedirectRule]) -> Self {
        let mut literal = HashMap::new();
        let mut patterns = Vec::new();
        for (place, rule) in rules.iter().enumerate() {
            match rule.from.literal() {
                Some(path) => drop(literal.entry(path).or_insert(place)),
                None => patterns.push(place),
            }
        }
        Self { literal, patterns }
    }

    /// The first rule that matches.
    fn find(&self, rules: &[RedirectRule], path: &str) -> Option<usize> {
        let exact = self.literal.get(path).copied().unwrap_or(usize::MAX);
        let by_pattern = self
            .patterns
            .iter()
            .copied()
            .take_while(|place| *place < exact)
            .find(|place| rules[*place].from.matches(path).is_some());
        by_pattern.or((exact != usize::MAX).then_some(exact))
    }
}

/// The paths of a chain that does not end.
fn walk(
    rules: &[RedirectRule],
    index: &Index<'_>,
    is_file: &impl Fn(&str) -> bool,
    start: String,
) -> Option<Vec<String>> {
    let mut chain = vec![start];
    while chain.len() <= HOPS {
        let path = chain.last()?;
        let rule = &rules[index.find(rules, path)?];
        if matches!(rule.action, Action::Rewrite(_)) || (!rule.force && is_file(path)) {
            return None;
        }
        let Outcome::Redirect { location, .. } = rule.apply(path, None)? else { return None };
        let next = location.split(['?', '#']).next().filter(|path| path.starts_with('/'))?;
        let next = decode(next)?;
        let next = if next.len() > 1 { next.trim_end_matches('/') } else { &next };
        chain.push(next.to_owned());
    }
    Some(chain)
}
