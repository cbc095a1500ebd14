//! Which Java a program asks for beside its build: files that people, other platforms and version managers read. Knows no
//! build tool. Tests at the end of the file.

use crate::stack::StackError;
use crate::stack::folder::Folder;
use crate::stack::grammar::first_line;

use super::{no_image, supported};

/// Finds the version in the text of a file.
type Find = fn(&str) -> Option<&str>;

/// Files that name a version, in the order in which they count, and where in their text it stands.
const FILES: [(&str, Find); 4] = [
    ("system.properties", runtime),
    (".java-version", line),
    (".sdkmanrc", candidate),
    (".tool-versions", tool),
];

/// The version with long support that answers the first of these files, in the program's folder or else in that of the
/// whole build.
pub(super) fn pinned(program: &Folder<'_>, base: &Folder<'_>) -> Result<Option<u16>, StackError> {
    for (file, find) in FILES {
        let Some(text) = [program, base].into_iter().find_map(|folder| find(folder.text(file)?)) else {
            continue;
        };
        let version = major(text).and_then(supported).ok_or_else(|| no_image(program, text, file))?;
        return Ok(Some(version));
    }
    Ok(None)
}

fn runtime(text: &str) -> Option<&str> {
    property(text, "java.runtime.version")
}

fn candidate(text: &str) -> Option<&str> {
    property(text, "java")
}

fn line(text: &str) -> Option<&str> {
    Some(first_line(text)).filter(|line| !line.is_empty())
}

fn tool(text: &str) -> Option<&str> {
    let mut words = text.lines().map(str::split_whitespace);
    words.find_map(|mut words| words.next().filter(|name| *name == "java").and_then(|_| words.next()))
}

/// The value of a line `key=value`.
fn property<'a>(text: &'a str, key: &str) -> Option<&'a str> {
    let mut pairs = text.lines().filter_map(|line| line.split_once(['=', ':']));
    pairs.find(|(name, _)| name.trim() == key).map(|(_, value)| value.trim())
}

/// The first number of `17`, `1.8`, `21.0.2-tem`, `temurin-21.0.1+12`, `openjdk64-17.0.2` or `graalvm-ce-java17-22.3.0`.
fn major(text: &str) -> Option<u16> {
    let is_number = |part: &&str| part.starts_with(|c: char| c.is_ascii_digit());
    let named = text.split('-').filter_map(|part| part.strip_prefix("java")).find(is_number);
    let part = named.or_else(|| text.split('-').find(is_number))?;
    let part = part.strip_prefix("1.").unwrap_or(part);
    let end = part.find(|c: char| !c.is_ascii_digit()).unwrap_or(part.len());
    part[..end].parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stack::folder::snapshot_of;

    #[test]
    fn versions_as_people_write_them() {
        let table = [
            ("17", Some(17)),
            ("1.8", Some(8)),
            ("1.8.0_144", Some(8)),
            ("21.0.2-tem", Some(21)),
            ("temurin-21.0.1+12.0.LTS", Some(21)),
            ("openjdk64-17.0.2", Some(17)),
            ("zulu-11.0.9", Some(11)),
            ("graalvm-ce-java17-22.3.0", Some(17)),
            ("java-17", Some(17)),
            ("system", None),
            ("", None),
            ("99999999", None),
        ];
        for (text, expected) in table {
            assert_eq!(major(text), expected, "{text}");
        }
    }

    #[test]
    fn files_in_their_order() {
        type Files = &'static [(&'static str, &'static str)];
        let table: [(Files, Option<u16>); 8] = [
            (&[("system.properties", "# c\njava.runtime.version=17\n")], Some(17)),
            (&[("system.properties", "maven.version=3\n")], None),
            (&[(".java-version", "\n21\n"), ("system.properties", "java.runtime.version = 11")], Some(11)),
            (&[("a/.java-version", "21"), (".java-version", "11")], Some(21)),
            (&[(".java-version", "20.0.1")], Some(21)),
            (&[(".sdkmanrc", "# c\njava=17.0.2-tem\n")], Some(17)),
            (&[(".tool-versions", "nodejs 22\njava temurin-25.0.0+36\n")], Some(25)),
            (&[(".tool-versions", "nodejs 22\n")], None),
        ];
        for (files, expected) in table {
            let snapshot = snapshot_of(files);
            let base = Folder::new(&snapshot, &".".parse().expect("a path"));
            let program = Folder::new(&snapshot, &"a".parse().expect("a path"));
            assert_eq!(pinned(&program, &base).expect("is clear"), expected, "{files:?}");
        }
        let snapshot = snapshot_of(&[(".java-version", "system")]);
        let here = Folder::new(&snapshot, &".".parse().expect("a path"));
        let error = pinned(&here, &here).expect_err("names no version").to_string();
        assert!(error.contains("`system` in .java-version"), "{error}");
    }
}
