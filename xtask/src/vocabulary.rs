//! One word for one thing: terms of the `do not say` column of `docs/vocabulary.md` must not appear in what users read.
//! Code, quoted in backticks or fenced, is not prose and is left out; so are words with another honest meaning, which
//! that page lists in a column of its own. Tests: at the end.

use anyhow::{Result, ensure};

use crate::Finding;
use crate::tree::Tree;

/// Where the terms are.
const PAGE: &str = "docs/vocabulary.md";

/// Places where a term is rightly said: file, term, and why.
const ALLOWED: [(&str, &str, &str); 0] = [];

/// A term to avoid and what to say instead.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Term {
    avoid: String,
    say: String,
}

/// Lists sentences that use another word than ours.
pub(crate) fn check(tree: &Tree) -> Result<Vec<Finding>> {
    let page = tree.get(PAGE).unwrap_or_default();
    let terms = terms(page);
    ensure!(!terms.is_empty(), "{PAGE} has no table with a column `do not say`");
    let mut findings = Vec::new();
    for (path, text) in tree.ending(".md").filter(|(path, _)| is_for_users(path)) {
        for (number, line) in prose(text) {
            for term in terms.iter().filter(|term| says(&line, &term.avoid)) {
                if !ALLOWED.iter().any(|(file, allowed, _)| *file == path && *allowed == term.avoid) {
                    findings.push(format!("{path}:{number}: not `{}`, say `{}`", term.avoid, term.say));
                }
            }
        }
    }
    Ok(findings)
}

/// The page itself names what it refuses.
fn is_for_users(path: &str) -> bool {
    path != PAGE && (path.starts_with("docs/") || !path.contains('/'))
}

/// Reads rows `| term | meaning | do not say | ... |` below the first header that has such a column.
fn terms(page: &str) -> Vec<Term> {
    let mut terms = Vec::new();
    let mut is_inside = false;
    for line in page.lines() {
        let cells: Vec<&str> = line.trim().trim_matches('|').split('|').map(str::trim).collect();
        if !line.starts_with('|') {
            is_inside = false;
        } else if cells.get(2) == Some(&"do not say") {
            is_inside = true;
        } else if is_inside && cells.len() > 2 && !cells[0].starts_with("--") {
            let avoided = cells[2].split(',').map(str::trim).filter(|term| !term.is_empty());
            terms.extend(avoided.map(|avoid| Term { avoid: avoid.to_lowercase(), say: cells[0].to_owned() }));
        }
    }
    terms
}

/// Lines with their numbers, lower case, without fenced, indented and quoted code.
fn prose(text: &str) -> Vec<(usize, String)> {
    let mut lines = Vec::new();
    let mut is_fenced = false;
    for (index, line) in text.lines().enumerate() {
        if line.trim_start().starts_with("```") {
            is_fenced = !is_fenced;
        } else if !is_fenced && !line.starts_with("    ") {
            let words: Vec<&str> = line.split('`').step_by(2).collect();
            lines.push((index + 1, words.join(" ` ").to_lowercase()));
        }
    }
    lines
}

/// As whole words, also with a plural `s`.
fn says(line: &str, term: &str) -> bool {
    let is_word = |text: Option<char>| text.is_some_and(|c| c.is_alphanumeric() || c == '-' || c == '_');
    line.match_indices(term).any(|(start, _)| {
        let after = &line[start + term.len()..];
        let after = after.strip_prefix('s').unwrap_or(after);
        !is_word(line[..start].chars().next_back()) && !is_word(after.chars().next())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: &str = "\
# Words

| term | meaning | do not say | fine elsewhere |
|---|---|---|---|
| deployment | one attempt | rollout, app group | push |
| task | a running instance | pod | container |

Pods are said here.
";

    #[test]
    fn reads_the_table() {
        let found: Vec<(String, String)> =
            terms(TABLE).into_iter().map(|term| (term.avoid, term.say)).collect();
        let expected = [("rollout", "deployment"), ("app group", "deployment"), ("pod", "task")];
        assert_eq!(found, expected.map(|(avoid, say)| (avoid.to_owned(), say.to_owned())));
    }

    #[test]
    fn planted_words_are_found_in_prose_only() {
        let text = "A Rollout ends.\nTwo pods, one app group.\nA tripod and a pod-like thing; a `pod` in code.\n```\npod\n```\n    pod\n";
        let tree = Tree::of(&[
            (PAGE, TABLE),
            ("README.md", text),
            ("docs/howto/x.md", "a pod"),
            ("examples/README.md", "a pod"),
        ]);
        assert_eq!(
            check(&tree).unwrap(),
            [
                "README.md:1: not `rollout`, say `deployment`",
                "README.md:2: not `app group`, say `deployment`",
                "README.md:2: not `pod`, say `task`",
                "docs/howto/x.md:1: not `pod`, say `task`",
            ]
        );
    }

    #[test]
    fn a_page_without_terms_is_an_error_not_a_pass() {
        assert!(check(&Tree::of(&[("README.md", "a pod")])).is_err());
    }
}
