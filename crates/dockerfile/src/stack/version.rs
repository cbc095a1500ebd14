//! Versions of languages as numbers: what a repository asks for, and which of the versions there are images of answers.
//! Patch levels count for nothing, because an image carries the newest. Tests at the end of the file.

use std::fmt;

/// Major and minor version of a language.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Version {
    /// Before the first dot.
    pub(crate) major: u16,
    /// After it.
    pub(crate) minor: u16,
}

impl Version {
    /// A version.
    pub(crate) const fn new(major: u16, minor: u16) -> Self {
        Self { major, minor }
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)
    }
}

/// A version as somebody wrote it: `3`, `3.12`, `3.12.4`, `3.*`, `v1.2.3-rc1`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Numbers {
    /// Before the first dot.
    pub(crate) major: u16,
    /// After it; `None` where nothing or a placeholder is written.
    pub(crate) minor: Option<u16>,
    /// After the second dot.
    pub(crate) patch: Option<u16>,
}

impl Numbers {
    /// Reads numbers and dots; what follows them, such as `-rc1`, is checked and left out.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        let text = text.strip_prefix('v').unwrap_or(text);
        let end = text.find(|c: char| !matches!(c, '0'..='9' | '.' | '*' | 'x')).unwrap_or(text.len());
        let (numbers, suffix) = text.split_at(end);
        let is_fine = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '+' | '_');
        if text.len() > 32 || !suffix.chars().all(is_fine) {
            return None;
        }
        let mut parts = numbers.trim_end_matches('.').split('.');
        let major = parts.next()?.parse().ok()?;
        let mut rest = [None, None];
        for (place, part) in rest.iter_mut().zip(parts) {
            if matches!(part, "*" | "x") {
                break;
            }
            *place = Some(part.parse().ok()?);
        }
        let [minor, patch] = rest;
        Some(Self { major, minor, patch })
    }

    /// Major and minor, where both are written.
    pub(crate) fn version(self) -> Option<Version> {
        self.minor.map(|minor| Version::new(self.major, minor))
    }
}

/// Which versions will do, as package managers write it: `>=3.10,<4`, `^8.2 || ^8.3`, `~> 3.2`, `3.12.*`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Requirement {
    /// One of these must hold as a whole.
    alternatives: Vec<Vec<Bound>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Bound {
    operator: Operator,
    numbers: Numbers,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Operator {
    Same,
    Not,
    AtLeast,
    Above,
    AtMost,
    Below,
    Caret,
    /// `~`, `~=` and `~>` differ from one package manager to the other; the version they name is right for all.
    Tilde,
}

impl Requirement {
    /// Reads a requirement; `None` for what is none.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        if text.len() > 256 {
            return None;
        }
        let mut alternatives = Vec::new();
        for alternative in text.split('|').map(str::trim).filter(|part| !part.is_empty()) {
            alternatives.push(parse_bounds(alternative)?);
        }
        Some(Self { alternatives })
    }

    /// The first of these versions that will do.
    pub(crate) fn choose(&self, candidates: &[Version]) -> Option<Version> {
        candidates.iter().copied().find(|version| self.is_met(*version))
    }

    fn is_met(&self, version: Version) -> bool {
        self.alternatives.is_empty()
            || self.alternatives.iter().any(|bounds| bounds.iter().all(|bound| bound.is_met(version)))
    }
}

fn parse_bounds(text: &str) -> Option<Vec<Bound>> {
    let mut bounds = Vec::new();
    let mut rest = text;
    loop {
        rest = rest.trim_start_matches([' ', ',', '\t']);
        if rest.is_empty() {
            return Some(bounds);
        }
        let is_operator = |c: char| matches!(c, '<' | '>' | '=' | '!' | '~' | '^');
        let (operator, after) = rest.split_at(rest.find(|c: char| !is_operator(c)).unwrap_or(rest.len()));
        let after = after.trim_start();
        let is_end = |c: char| is_operator(c) || matches!(c, ' ' | ',' | '\t');
        let (number, after) = after.split_at(after.find(is_end).unwrap_or(after.len()));
        rest = after;
        if !(operator.is_empty() && number == "*") {
            bounds.push(Bound { operator: parse_operator(operator)?, numbers: Numbers::parse(number)? });
        }
    }
}

fn parse_operator(text: &str) -> Option<Operator> {
    match text {
        "" | "=" | "==" | "===" => Some(Operator::Same),
        "!=" => Some(Operator::Not),
        ">=" => Some(Operator::AtLeast),
        ">" => Some(Operator::Above),
        "<=" => Some(Operator::AtMost),
        "<" => Some(Operator::Below),
        "^" => Some(Operator::Caret),
        "~" | "~=" | "~>" => Some(Operator::Tilde),
        _ => None,
    }
}

impl Bound {
    fn is_met(self, version: Version) -> bool {
        let Numbers { major, minor, patch } = self.numbers;
        let floor = Version::new(major, minor.unwrap_or(0));
        let is_same = version.major == major && minor.is_none_or(|minor| minor == version.minor);
        match self.operator {
            Operator::Same | Operator::Tilde => is_same,
            // One patch level that is left out leaves the others.
            Operator::Not => patch.is_some() || !is_same,
            Operator::AtLeast => version >= floor,
            Operator::Above if patch.is_some() => version >= floor,
            Operator::Above => version > floor && !is_same,
            Operator::AtMost => version <= floor || is_same,
            Operator::Below => version < floor,
            Operator::Caret => version.major == major && version >= floor,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CANDIDATES: [Version; 5] = [
        Version::new(3, 12),
        Version::new(3, 13),
        Version::new(3, 14),
        Version::new(3, 11),
        Version::new(3, 10),
    ];

    #[test]
    fn requirements_choose() {
        let table = [
            ("", Some("3.12")),
            ("*", Some("3.12")),
            (">=3.10", Some("3.12")),
            (">= 3.10, < 4", Some("3.12")),
            (">=3.13", Some("3.13")),
            (">3.12", Some("3.13")),
            (">3.12.1", Some("3.12")),
            ("<3.12", Some("3.11")),
            ("<=3.11", Some("3.11")),
            ("<=3", Some("3.12")),
            ("==3.11.*", Some("3.11")),
            ("3.11.4", Some("3.11")),
            ("3", Some("3.12")),
            ("^3.13", Some("3.13")),
            ("^3.8", Some("3.12")),
            ("~3.10", Some("3.10")),
            ("~=3.11.2", Some("3.11")),
            ("~> 3.13", Some("3.13")),
            ("!=3.12.*", Some("3.13")),
            ("!=3.12.1", Some("3.12")),
            ("^3.14 || ^3.11", Some("3.12")),
            ("^2.7|~3.11", Some("3.11")),
            (">=3.9 <3.12", Some("3.11")),
            (">=3.15", None),
            ("^2.7", None),
        ];
        for (text, expected) in table {
            let chosen = Requirement::parse(text).expect("parses").choose(&CANDIDATES);
            assert_eq!(chosen.map(|version| version.to_string()).as_deref(), expected, "{text}");
        }
    }

    #[test]
    fn what_is_no_requirement() {
        for wrong in ["latest", ">=", "=>3", "3.12; RUN x", "3 - 4", ">=a", "99999999", "3.99999999"] {
            assert_eq!(Requirement::parse(wrong), None, "{wrong:?} must not parse");
        }
    }

    #[test]
    fn numbers() {
        let table = [
            ("3", Some((3, None, None))),
            ("3.12", Some((3, Some(12), None))),
            ("v1.2.3", Some((1, Some(2), Some(3)))),
            ("1.2.3-rc1", Some((1, Some(2), Some(3)))),
            ("3.*", Some((3, None, None))),
            ("1.82.0.1", Some((1, Some(82), Some(0)))),
            ("", None),
            (".1", None),
            ("1..2", None),
            ("pypy3.9", None),
            ("1.2 && x", None),
            ("1.2\nRUN x", None),
        ];
        for (text, expected) in table {
            let found = Numbers::parse(text).map(|numbers| (numbers.major, numbers.minor, numbers.patch));
            assert_eq!(found, expected, "{text:?}");
        }
    }

    proptest::proptest! {
        #[test]
        fn nothing_panics(text in ".{0,40}") {
            let _ = Numbers::parse(&text);
            if let Some(requirement) = Requirement::parse(&text) {
                let _ = requirement.choose(&CANDIDATES);
            }
        }
    }
}
