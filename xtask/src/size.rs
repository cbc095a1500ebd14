//! How long files and crates may be, tests aside. Functions are clippy's (`clippy.toml`). Tests: at the end.

use std::collections::BTreeMap;

use crate::Finding;
use crate::tree::Tree;

/// A file longer than this holds more than one thing.
const FILE_LINES: usize = 600;

/// A crate longer than this is split by room.
const CRATE_LINES: usize = 15_000;

/// Files that are rightly longer, and why. A file that no longer needs its exception is a finding too.
const EXCEPTIONS: [(&str, &str); 0] = [];

/// Lists what is too long.
pub(crate) fn check(tree: &Tree) -> Vec<Finding> {
    check_with(tree, &EXCEPTIONS)
}

fn check_with(tree: &Tree, exceptions: &[(&str, &str)]) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut crates: BTreeMap<&str, usize> = BTreeMap::new();
    let mut excused = Vec::new();
    for (path, text) in tree.ending(".rs").filter(|(path, _)| !is_test(path)) {
        let lines = lines_without_tests(text);
        *crates.entry(crate_of(path)).or_default() += lines;
        if lines > FILE_LINES {
            match exceptions.iter().find(|(excepted, _)| *excepted == path) {
                Some((excepted, _)) => excused.push(*excepted),
                None => findings
                    .push(format!("{path}: {lines} lines without tests, at most {FILE_LINES}: split it")),
            }
        }
    }
    let long = crates.iter().filter(|(_, lines)| **lines > CRATE_LINES);
    findings.extend(long.map(|(name, lines)| {
        format!("{name}: {lines} lines without tests, at most {CRATE_LINES}: split it by room")
    }));
    let idle = exceptions.iter().filter(|(path, _)| !excused.contains(path));
    findings.extend(
        idle.map(|(path, _)| format!("{path}: has an exception in xtask/src/size.rs and needs none")),
    );
    findings
}

/// The folder above `src`.
fn crate_of(path: &str) -> &str {
    path.split_once("/src/").map_or(path, |(folder, _)| folder)
}

fn is_test(path: &str) -> bool {
    let stem = path.rsplit('/').next().unwrap_or(path).trim_end_matches(".rs");
    path.contains("/tests/") || stem == "tests" || stem.ends_with("_tests")
}

/// Leaves out modules under `#[cfg(test)]` that begin and end at the margin, as rustfmt sets them.
fn lines_without_tests(text: &str) -> usize {
    let mut count = 0;
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        if line != "#[cfg(test)]" {
            count += 1;
            continue;
        }
        let opens = lines.by_ref().find(|line| !line.starts_with("#["));
        match opens {
            Some(line) if line.starts_with("mod ") && line.ends_with('{') => {
                let _end = lines.by_ref().find(|line| *line == "}");
            }
            Some(line) if line.starts_with("mod ") => {}
            _ => count += 2,
        }
    }
    count
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_file_is_found_and_tests_do_not_count() {
        let code = "//! x\n".repeat(FILE_LINES);
        let with_tests = format!("{code}#[cfg(test)]\nmod tests {{\n    fn a() {{\n    }}\n}}\n");
        let too_long = format!("{with_tests}fn after() {{}}\n");
        let tree = Tree::of(&[
            ("crates/a/src/good.rs", &with_tests),
            ("crates/a/src/bad.rs", &too_long),
            ("crates/a/src/bad/tests.rs", &too_long),
            ("crates/a/tests/it/main.rs", &too_long),
            ("crates/a/src/plan_tests.rs", &too_long),
        ]);
        assert_eq!(check(&tree), ["crates/a/src/bad.rs: 601 lines without tests, at most 600: split it"]);
    }

    #[test]
    fn a_test_module_in_a_file_of_its_own_hides_nothing_after_it() {
        assert_eq!(lines_without_tests("a\n#[cfg(test)]\nmod tests;\nb\n"), 2);
        assert_eq!(lines_without_tests("a\n#[cfg(test)]\n#[path = \"x.rs\"]\nmod tests;\nb\n"), 2);
        assert_eq!(lines_without_tests("a\n#[cfg(test)]\nfn for_tests() {\n}\nb\n"), 5);
    }

    #[test]
    fn a_long_crate_is_found() {
        let file = "x\n".repeat(500);
        let paths: Vec<String> = (0..31).map(|number| format!("crates/a/src/{number}.rs")).collect();
        let files: Vec<(&str, &str)> = paths.iter().map(|path| (path.as_str(), file.as_str())).collect();
        assert_eq!(
            check(&Tree::of(&files)),
            ["crates/a: 15500 lines without tests, at most 15000: split it by room"]
        );
    }

    #[test]
    fn exceptions_excuse_one_file_and_do_not_outlive_it() {
        let long = "x\n".repeat(FILE_LINES + 1);
        let tree = Tree::of(&[("crates/a/src/list.rs", &long)]);
        let exceptions = [("crates/a/src/list.rs", "one list"), ("crates/a/src/gone.rs", "one list")];
        assert_eq!(
            check_with(&tree, &exceptions),
            ["crates/a/src/gone.rs: has an exception in xtask/src/size.rs and needs none"]
        );
    }
}
