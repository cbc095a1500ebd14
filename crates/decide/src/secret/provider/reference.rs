//! References to values that a provider keeps, in values of `env`: `${secrets.vault-main:secret/data/app#password}`. They begin as references to
//! our own secrets do, and were refused as broken before there were providers, so that no text has another meaning than it had. Values that
//! were fetched hold no references. Pure. Tests at the end of the file.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::str::FromStr;

use havre_core::name::{EnvKey, ProviderName};
use havre_core::secret::reference::{self, OPEN};
use havre_core::secret::variables::{Variables, derive_variables};
use havre_core::secret::{Secret, variables};
use havre_core::service::spec::TaskWork;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Longest place of a value, in bytes.
pub const LOCATION_MAX: usize = 512;

/// Most values of providers that one service refers to.
pub const REFERENCES_MAX: usize = 64;

/// How the places of 1Password begin.
const ITEM: &str = "op://";
/// Longest part of such a place, and longest name of a field, in bytes.
const PART_MAX: usize = 128;

/// Text that is no place of a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "a value of a provider is named as path#field, such as secret/data/app#password, as a path, such as db/password, or as \
     op://vault/item/field; at most 512 of the characters A-Z, a-z, 0-9, . _ - and @ (op:// also takes spaces), and no part of a path \
     begins with a dot"
)]
pub struct LocationError;

/// The forms a place has. Only [`Location`] makes sure that their texts are of the grammar.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Form {
    /// `secret/data/app#password`: a field of what lies at a path.
    Field {
        /// Parts joined by `/`.
        path: String,
        /// Name of the field.
        field: String,
    },
    /// `db/password`: all of what lies at a path.
    Whole {
        /// Parts joined by `/`.
        path: String,
    },
    /// `op://vault/item/field` or `op://vault/item/section/field`, as 1Password copies it.
    Item {
        /// Name or id of the vault.
        vault: String,
        /// Title or id of the item.
        item: String,
        /// Name or id of the section, where one is said.
        section: Option<String>,
        /// Name or id of the field.
        field: String,
    },
}

/// Where a provider has a value.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Location(Form);

impl Location {
    /// Its form.
    pub const fn form(&self) -> &Form {
        &self.0
    }
}

impl FromStr for Location {
    type Err = LocationError;

    fn from_str(text: &str) -> Result<Self, LocationError> {
        let form = if text.len() > LOCATION_MAX {
            None
        } else if let Some(rest) = text.strip_prefix(ITEM) {
            parse_item(rest)
        } else {
            match text.split_once('#') {
                Some((path, field)) => (is_path(path) && is_field(field))
                    .then(|| Form::Field { path: path.to_owned(), field: field.to_owned() }),
                None => is_path(text).then(|| Form::Whole { path: text.to_owned() }),
            }
        };
        form.map(Self).ok_or(LocationError)
    }
}

fn parse_item(text: &str) -> Option<Form> {
    let parts: Vec<&str> = text.split('/').collect();
    if !parts.iter().all(|part| is_part(part)) {
        return None;
    }
    let (vault, item, section, field) = match parts[..] {
        [vault, item, field] => (vault, item, None, field),
        [vault, item, section, field] => (vault, item, Some(section.to_owned()), field),
        _ => return None,
    };
    Some(Form::Item { vault: vault.to_owned(), item: item.to_owned(), section, field: field.to_owned() })
}

const fn is_plain(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-' | b'@')
}

/// Parts joined by `/`, none of which is hidden or leads upwards.
pub(super) fn is_path(text: &str) -> bool {
    let part = |part: &str| !part.is_empty() && !part.starts_with('.') && part.bytes().all(is_plain);
    text.split('/').all(part)
}

fn is_field(text: &str) -> bool {
    (1..=PART_MAX).contains(&text.len()) && text.bytes().all(is_plain)
}

/// What 1Password takes in a reference, without spaces at the ends.
fn is_part(text: &str) -> bool {
    let is_good = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-' | b' ');
    (1..=PART_MAX).contains(&text.len()) && text.trim() == text && text.bytes().all(is_good)
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Form::Field { path, field } => write!(f, "{path}#{field}"),
            Form::Whole { path } => f.write_str(path),
            Form::Item { vault, item, section: None, field } => write!(f, "{ITEM}{vault}/{item}/{field}"),
            Form::Item { vault, item, section: Some(section), field } => {
                write!(f, "{ITEM}{vault}/{item}/{section}/{field}")
            }
        }
    }
}

impl Serialize for Location {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Location {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

/// Text that names no value of a provider.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ReferenceError {
    /// It names no provider.
    #[error("it begins with the name of a provider and a colon, such as vault-main:secret/data/app#password")]
    Provider,
    /// It names no place.
    #[error(transparent)]
    Location(#[from] LocationError),
}

/// One value of one provider: `vault-main:secret/data/app#password`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Reference {
    /// The provider.
    pub provider: ProviderName,
    /// Where it has the value.
    pub location: Location,
}

impl FromStr for Reference {
    type Err = ReferenceError;

    fn from_str(text: &str) -> Result<Self, ReferenceError> {
        let (provider, location) = text.split_once(':').ok_or(ReferenceError::Provider)?;
        let provider = provider.parse().map_err(|_| ReferenceError::Provider)?;
        Ok(Self { provider, location: location.parse()? })
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.provider, self.location)
    }
}

/// A piece of a value.
enum Part<'t> {
    /// Text in which references to our own secrets may stand.
    Text(&'t str),
    /// The value of a provider.
    Value(Reference),
}

fn parts(text: &str) -> Vec<Part<'_>> {
    let mut parts = Vec::new();
    // Where the piece of text begins, and from where on a reference is looked for.
    let (mut kept, mut from) = (0, 0);
    while let Some(at) = text[from..].find(OPEN).map(|found| from + found) {
        let inside = at + OPEN.len();
        let named = text[inside..].split_once('}');
        match named.and_then(|(name, _)| Some((name.parse::<Reference>().ok()?, inside + name.len() + 1))) {
            Some((reference, end)) => {
                parts.extend([Part::Text(&text[kept..at]), Part::Value(reference)]);
                (kept, from) = (end, end);
            }
            None => from = inside,
        }
    }
    parts.push(Part::Text(&text[kept..]));
    parts
}

/// Values of providers a value refers to.
pub fn references(text: &str) -> BTreeSet<Reference> {
    let named = |part| match part {
        Part::Value(reference) => Some(reference),
        Part::Text(_) => None,
    };
    parts(text).into_iter().filter_map(named).collect()
}

/// Whether something in it begins like a reference, to a secret of ours or to a value of a provider, and is none.
pub fn is_broken(text: &str) -> bool {
    parts(text).iter().any(|part| matches!(part, Part::Text(text) if reference::is_broken(text)))
}

/// The value with those it refers to in it, ours and those of providers; `None` where one of them is missing.
pub fn resolve(
    text: &str,
    secrets: &BTreeMap<EnvKey, Secret>,
    fetched: &BTreeMap<Reference, Secret>,
) -> Option<Secret> {
    let value = |part| match part {
        Part::Text(text) => reference::resolve(text, secrets),
        Part::Value(reference) => fetched.get(&reference).cloned(),
    };
    let pieces: Vec<Secret> = parts(text).into_iter().map(value).collect::<Option<_>>()?;
    // Joined at once: a buffer that grows leaves copies in memory.
    Some(Secret::new(pieces.iter().map(Secret::expose).collect::<Vec<_>>().concat()))
}

/// Every value of a provider a service refers to.
pub fn references_of(work: &TaskWork) -> BTreeSet<Reference> {
    work.env.values().flat_map(|text| references(text)).collect()
}

/// Whether its tasks get values that must be looked up, ours or those of providers.
pub fn wants_values(work: &TaskWork) -> bool {
    !variables::secrets_of(work).is_empty() || !references_of(work).is_empty()
}

/// What tasks of a specification should get and nobody has.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Missing {
    /// Secrets of ours.
    pub secrets: BTreeSet<EnvKey>,
    /// Values of providers that were not fetched.
    pub values: BTreeSet<Reference>,
}

/// What tasks of this specification get, where secrets and values of providers are these: each secret by its name, and each variable of
/// `env` that refers to something.
///
/// # Errors
/// Says what has no value.
pub fn derive(
    work: &TaskWork,
    secrets: &BTreeMap<EnvKey, Secret>,
    fetched: &BTreeMap<Reference, Secret>,
) -> Result<Variables, Missing> {
    let mut values = references_of(work);
    values.retain(|reference| !fetched.contains_key(reference));
    let derived = derive_variables(work, secrets);
    let mut variables = match derived {
        Ok(variables) if values.is_empty() => variables,
        Ok(_) => return Err(Missing { secrets: BTreeSet::new(), values }),
        Err(secrets) => return Err(Missing { secrets, values }),
    };
    for (name, text) in &work.env {
        if !references(text).is_empty()
            && let Some(value) = resolve(text, secrets, fetched)
        {
            variables.add(name.clone(), value);
        }
    }
    Ok(variables)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn reference(text: &str) -> Reference {
        text.parse().unwrap()
    }

    #[test]
    fn what_a_place_is() {
        for right in [
            "secret/data/app#password",
            "kv/app#.dockerconfigjson",
            "db/password",
            "be8e0ad8-d545-4017-a55a-b02f014d4158",
            "op://Production/data base/password",
            "op://v/i/section one/f",
        ] {
            assert_eq!(right.parse::<Location>().unwrap().to_string(), right);
        }
        let long = "a/".repeat(300);
        for wrong in [
            "",
            "#password",
            "secret/data/app#",
            "secret//app#x",
            "/etc/shadow",
            "a/../b",
            "../a",
            "a/.hidden",
            "a/",
            "a b",
            "a#b#c",
            "a%2fb",
            "a?version=1#b",
            "op://vault/item",
            "op://a/b/c/d/e",
            "op://a/ b/c",
            "op://a/b\"/c",
            "a\u{e9}",
            long.as_str(),
        ] {
            assert_eq!(wrong.parse::<Location>(), Err(LocationError), "{wrong}");
        }
    }

    #[test]
    fn what_a_reference_is() {
        let found = reference("vault-main:secret/data/app#password");
        assert_eq!(found.provider.as_str(), "vault-main");
        assert_eq!(
            found.location.form(),
            &Form::Field { path: "secret/data/app".to_owned(), field: "password".to_owned() }
        );
        assert_eq!("x".parse::<Reference>(), Err(ReferenceError::Provider));
        assert_eq!("X:a".parse::<Reference>(), Err(ReferenceError::Provider));
        assert_eq!("x:".parse::<Reference>(), Err(ReferenceError::Location(LocationError)));
    }

    #[test]
    fn both_kinds_of_references_are_found_and_resolved_once() {
        let secrets = BTreeMap::from([("A".parse().unwrap(), Secret::from("${secrets.v:a#b}"))]);
        let fetched = BTreeMap::from([
            (reference("v:a#b"), Secret::from("${secrets.A}")),
            (reference("op:op://x/y z/w"), Secret::from("two")),
        ]);
        for (text, named, is_wrong, value) in [
            ("plain ${v:a#b}", 0, false, Some("plain ${v:a#b}")),
            ("x${secrets.v:a#b}y", 1, false, Some("x${secrets.A}y")),
            ("${secrets.A}${secrets.op:op://x/y z/w}", 1, false, Some("${secrets.v:a#b}two")),
            ("${secrets.v:a#c}", 1, false, None),
            ("${secrets.B}${secrets.v:a#b}", 1, false, None),
            ("${secrets.v:}", 0, true, Some("${secrets.v:}")),
            ("${secrets.${secrets.v:a#b}", 1, true, Some("${secrets.${secrets.A}")),
            ("${secrets.v:a#b", 0, true, Some("${secrets.v:a#b")),
        ] {
            assert_eq!((references(text).len(), is_broken(text)), (named, is_wrong), "{text}");
            let resolved = resolve(text, &secrets, &fetched);
            assert_eq!(resolved.as_ref().and_then(Secret::expose_text), value, "{text}");
        }
    }

    fn any_location() -> impl Strategy<Value = String> {
        let path = "[a-zA-Z0-9_@-][a-zA-Z0-9._@-]{0,9}(/[a-zA-Z0-9_-][a-zA-Z0-9._-]{0,9}){0,3}";
        let part = "[a-zA-Z0-9._-]([a-zA-Z0-9._ -]{0,9}[a-zA-Z0-9._-])?";
        prop_oneof![
            path,
            (path, "[a-zA-Z0-9._@-]{1,20}").prop_map(|(path, field)| format!("{path}#{field}")),
            proptest::collection::vec(part, 3..5).prop_map(|parts| format!("op://{}", parts.join("/"))),
        ]
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_again(location in any_location(), name in "[a-z][a-z0-9]{0,9}") {
            let text = format!("{name}:{location}");
            let found: Reference = text.parse().unwrap();
            prop_assert_eq!(found.to_string(), text.clone());
            prop_assert_eq!(references(&format!("a${{secrets.{text}}}b")), BTreeSet::from([found]));
        }

        // Nothing makes it panic, what is read is of the grammar, and text without references stays as it is.
        #[test]
        fn any_text_is_read(text in "(\\$\\{secrets\\.|[a-z]{1,3}|:|#|/|\\.|\\}|op://| |\u{e9}|\\$|\\{){0,24}") {
            for found in references(&text) {
                prop_assert_eq!(found.to_string().parse::<Reference>().unwrap(), found.clone());
                let path = match found.location.form() {
                    Form::Field { path, .. } | Form::Whole { path } => path.clone(),
                    Form::Item { .. } => continue,
                };
                prop_assert!(path.split('/').all(|part| !part.is_empty() && !part.starts_with('.')));
            }
            if references(&text).is_empty() && reference::names(&text).is_empty() {
                let resolved = resolve(&text, &BTreeMap::new(), &BTreeMap::new()).unwrap();
                prop_assert_eq!(resolved.expose_text(), Some(text.as_str()));
            }
        }

        // A value that came from outside is never read as text with references.
        #[test]
        fn values_are_not_looked_into(value in "(\\$\\{secrets\\.v:a#b\\}|\\$\\{secrets\\.A\\}|x){1,5}") {
            let fetched = BTreeMap::from([(reference("v:a#b"), Secret::from(value.as_str()))]);
            let secrets = BTreeMap::from([("A".parse().unwrap(), Secret::from("never"))]);
            let resolved = resolve("${secrets.v:a#b}", &secrets, &fetched).unwrap();
            prop_assert_eq!(resolved.expose_text(), Some(value.as_str()));
        }
    }
}
