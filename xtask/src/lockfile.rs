//! Lockfiles of the examples name no registry and no folder of somebody's machine, so that `npm ci` uses whichever
//! registry the reader has set up. `Cargo.lock` is cargo-deny's (`deny.toml`, sources). Tests: at the end.

use anyhow::{Context, Result};
use serde_json::Value;

use crate::Finding;
use crate::tree::Tree;

/// Nothing npm writes begins with a slash or a drive but the path of a folder on one machine.
fn is_machine_path(text: &str) -> bool {
    let is_drive =
        text.as_bytes().first().is_some_and(u8::is_ascii_alphabetic) && text[1..].starts_with(":\\");
    text.starts_with('/') || text.starts_with("file:") || is_drive
}

/// Lists what a lockfile should not hold.
pub(crate) fn check(tree: &Tree) -> Result<Vec<Finding>> {
    let mut findings = Vec::new();
    for (path, text) in tree.ending("package-lock.json") {
        let lock: Value = serde_json::from_str(text).with_context(|| format!("read {path}"))?;
        let mut walk = Walk { path, findings: &mut findings };
        walk.visit(&lock, "");
    }
    for (path, text) in tree.ending(".npmrc") {
        if let Some(line) = text.lines().find(|line| line.contains("://") || line.contains("registry=")) {
            findings
                .push(format!("{path}: `{line}` names a registry; leave that to the reader's own settings"));
        }
    }
    Ok(findings)
}

struct Walk<'a> {
    path: &'a str,
    findings: &'a mut Vec<Finding>,
}

impl Walk<'_> {
    fn visit(&mut self, value: &Value, place: &str) {
        match value {
            Value::Object(fields) => {
                for (key, field) in fields {
                    if is_machine_path(key) {
                        self.findings
                            .push(format!("{}: {place}: `{key}` is a path of one machine", self.path));
                    }
                    self.visit(field, &format!("{place}/{key}"));
                }
            }
            Value::Array(items) => items.iter().for_each(|item| self.visit(item, place)),
            Value::String(text) => self.visit_text(text, place),
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }

    fn visit_text(&mut self, text: &str, place: &str) {
        // Home pages and funding links are no registries; only `resolved` says where a package is fetched from.
        if place.ends_with("/resolved") && text.contains("://") {
            let hint = "set omit-lockfile-registry-resolved=true in .npmrc and make the lockfile again";
            self.findings.push(format!("{}: {place}: `{text}` names a registry; {hint}", self.path));
        }
        if is_machine_path(text) {
            self.findings.push(format!("{}: {place}: `{text}` is a path of one machine", self.path));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn planted_violations_are_found_and_links_are_not() {
        let lock = r#"{"packages":{
            "node_modules/a":{"version":"1.0.0","resolved":"https://registry.example/a-1.0.0.tgz","integrity":"sha512-x"},
            "node_modules/b":{"version":"1.0.0","funding":{"url":"https://example.org/b"}},
            "node_modules/c":{"resolved":"file:../c"},
            "/home/someone/d":{"version":"1.0.0"}}}"#;
        let tree = Tree::of(&[
            ("examples/x/package-lock.json", lock),
            ("examples/x/.npmrc", "registry=https://registry.example/\n"),
            ("examples/y/.npmrc", "omit-lockfile-registry-resolved=true\n"),
        ]);
        let found = check(&tree).unwrap();
        let expected = [
            "package-lock.json: /packages: `/home/someone/d` is a path of one machine",
            "/packages/node_modules/a/resolved: `https://registry.example/a-1.0.0.tgz` names a registry",
            "/packages/node_modules/c/resolved: `file:../c` is a path of one machine",
            ".npmrc: `registry=https://registry.example/` names a registry",
        ];
        for part in expected {
            assert!(found.iter().any(|finding| finding.contains(part)), "{part} is not in {found:#?}");
        }
        assert_eq!(found.len(), expected.len(), "{found:#?}");
    }

    #[test]
    fn a_lockfile_that_cannot_be_read_is_an_error_not_a_pass() {
        assert!(check(&Tree::of(&[("package-lock.json", "{")])).is_err());
    }
}
