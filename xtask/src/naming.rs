//! How files are named and how they begin, and that every package takes part in the shared lints. Tests: at the end.

use crate::Finding;
use crate::tree::Tree;

/// Names that say nothing about what is inside.
const REFUSED: [&str; 10] =
    ["utils", "util", "helpers", "helper", "common", "manager", "managers", "misc", "shared_utils", "stuff"];

/// Lists names and beginnings that break a rule.
pub(crate) fn check(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (path, text) in tree.ending(".rs") {
        let parts = path.trim_end_matches(".rs").split('/');
        if let Some(part) = parts.clone().find(|part| REFUSED.contains(part)) {
            findings.push(format!("{path}: `{part}` says nothing; name it after the noun it is about"));
        }
        if !text.starts_with("//!") {
            findings.push(format!(
                "{path}: open it with `//!`: its job, what it does not do, where its tests are"
            ));
        }
    }
    for (path, text) in tree.ending("/Cargo.toml") {
        if !text.replace(' ', "").contains("[lints]\nworkspace=true") {
            findings.push(format!("{path}: add `[lints] workspace = true`"));
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn planted_violations_are_found_and_good_files_are_not() {
        let tree = Tree::of(&[
            ("crates/a/src/utils.rs", "//! Things."),
            ("crates/a/src/helpers/mod.rs", "//! Things."),
            ("crates/a/src/plan.rs", "use std::fmt;\n//! too late"),
            ("crates/a/src/uncommon.rs", "//! A fine name."),
            ("crates/a/Cargo.toml", "[package]\nname = \"a\"\n"),
            ("crates/b/Cargo.toml", "[package]\n\n[lints]\nworkspace = true\n"),
        ]);
        assert_eq!(
            check(&tree),
            [
                "crates/a/src/helpers/mod.rs: `helpers` says nothing; name it after the noun it is about",
                "crates/a/src/plan.rs: open it with `//!`: its job, what it does not do, where its tests are",
                "crates/a/src/utils.rs: `utils` says nothing; name it after the noun it is about",
                "crates/a/Cargo.toml: add `[lints] workspace = true`",
            ]
        );
    }
}
