//! References to secrets in values of `env`: `postgres://app:${secrets.DB_PASSWORD}@db/app`. Secrets hold none themselves, so
//! that there can be no cycle. Pure. Tests at the end of the file.

use std::collections::{BTreeMap, BTreeSet};

use crate::name::EnvKey;
use crate::secret::Secret;

/// How a reference begins; it ends with `}`.
pub const OPEN: &str = "${secrets.";

/// A piece of a value.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Part<'t> {
    /// Text that stays.
    Text(&'t str),
    /// The beginning of a reference that names nothing; it stays as well.
    Broken,
    /// The value of a secret.
    Secret(EnvKey),
}

fn parts(text: &str) -> Vec<Part<'_>> {
    let mut parts = Vec::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once(OPEN) {
        parts.push(Part::Text(before));
        let named =
            after.split_once('}').and_then(|(name, behind)| Some((name.parse::<EnvKey>().ok()?, behind)));
        match named {
            Some((name, behind)) => {
                parts.push(Part::Secret(name));
                rest = behind;
            }
            None => {
                parts.push(Part::Broken);
                rest = after;
            }
        }
    }
    parts.push(Part::Text(rest));
    parts
}

/// Secrets a value refers to.
pub fn names(text: &str) -> BTreeSet<EnvKey> {
    let named = |part| match part {
        Part::Secret(name) => Some(name),
        Part::Text(_) | Part::Broken => None,
    };
    parts(text).into_iter().filter_map(named).collect()
}

/// Whether something in it begins like a reference and is none.
pub fn is_broken(text: &str) -> bool {
    parts(text).contains(&Part::Broken)
}

/// The value with those of secrets in it; `None` where one of them is missing.
pub fn resolve(text: &str, values: &BTreeMap<EnvKey, Secret>) -> Option<Secret> {
    let mut bytes: Vec<&[u8]> = Vec::new();
    let parts = parts(text);
    for part in &parts {
        match part {
            Part::Text(text) => bytes.push(text.as_bytes()),
            Part::Broken => bytes.push(OPEN.as_bytes()),
            Part::Secret(name) => bytes.push(values.get(name)?.expose()),
        }
    }
    // Joined at once: a buffer that grows leaves copies in memory.
    Some(Secret::new(bytes.concat()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(name: &str) -> EnvKey {
        name.parse().expect("a name")
    }

    #[test]
    fn references_are_found_and_resolved() {
        let values =
            BTreeMap::from([(key("A"), Secret::from("${secrets.B}")), (key("B"), Secret::from("two"))]);
        for (text, named, value) in [
            ("plain $A ${A} ${secrets}", vec![], Some("plain $A ${A} ${secrets}")),
            ("x${secrets.B}y${secrets.B}", vec!["B"], Some("xtwoytwo")),
            ("${secrets.A}", vec!["A"], Some("${secrets.B}")),
            ("${secrets.B}${secrets.C}", vec!["B", "C"], None),
            ("é${secrets.}${secrets.B}", vec!["B"], Some("é${secrets.}two")),
            ("${secrets.${secrets.B}", vec!["B"], Some("${secrets.two")),
            ("${secrets.B", vec![], Some("${secrets.B")),
        ] {
            let found: Vec<String> = names(text).iter().map(ToString::to_string).collect();
            assert_eq!(found, named, "{text}");
            let resolved = resolve(text, &values);
            assert_eq!(resolved.as_ref().and_then(Secret::expose_text), value, "{text}");
        }
        assert!(is_broken("${secrets.") && is_broken("a${secrets.x-y}") && !is_broken("${secrets.B}"));
    }
}
