//! Reads `env` and `secrets` of a service, which share their names. Tests: `tests/it/manifest_secret.rs`.

use std::collections::{BTreeMap, BTreeSet};

use crate::problem::Code;
use crate::read::{Fields, Reader, Value};
use crate::source;
use havre_core::name::EnvKey;
use havre_core::secret::reference;
use havre_core::task::spec::is_own_variable;
use havre_decide::secret::provider::reference::{self as provider, REFERENCES_MAX, Reference};

/// Reads both.
pub(super) fn read(
    reader: &mut Reader<'_>,
    fields: &Fields<'_>,
) -> (BTreeMap<EnvKey, String>, BTreeSet<EnvKey>) {
    let env = fields.find("env");
    let variables = env.as_ref().map(|value| source::read_env(reader, value)).unwrap_or_default();
    if let Some(env) = &env {
        refuse_too_many(reader, env, &variables);
    }
    let Some(value) = fields.find("secrets") else { return (variables, BTreeSet::new()) };
    let mut secrets = BTreeSet::new();
    let list =
        reader.list(&value, "a list of names such as [\"JWT_SECRET\"]; values never stand in this file");
    for entry in list.unwrap_or_default() {
        let Some(name) = reader.parsed::<EnvKey>(&entry) else { continue };
        if is_own_variable(name.as_str()) {
            let message = format!("`{}`: Havre sets the variable {name} itself", entry.path);
            reader.report(Code::Conflict, entry.at(), message, "choose another name");
        }
        if let Some(env) = env.as_ref().filter(|_| variables.contains_key(&name)) {
            let line = reader.line(&env.key_of(name.as_str()));
            let message = format!("`{}`: {name} is in `env` as well, on line {line}", entry.path);
            reader.report(Code::Conflict, entry.at(), message, "keep the one that is meant");
        }
        if !secrets.insert(name.clone()) {
            let message = format!("`{}`: {name} is in the list already", entry.path);
            reader.report(Code::Conflict, entry.at(), message, "remove it here");
        }
    }
    (variables, secrets)
}

/// Reports more values of providers than are fetched for one service.
fn refuse_too_many(reader: &mut Reader<'_>, value: &Value<'_>, variables: &BTreeMap<EnvKey, String>) {
    let wanted: BTreeSet<Reference> =
        variables.values().flat_map(|text| provider::references(text)).collect();
    if wanted.len() > REFERENCES_MAX {
        let message = format!(
            "`{}` refers to {} values of providers, and {REFERENCES_MAX} are fetched at most",
            value.path,
            wanted.len()
        );
        reader.report(
            Code::TooLarge,
            value.key_at.clone(),
            message,
            "keep some of them with `havre secret set`",
        );
    }
}

/// Reports variables that refer to a secret where nothing gets any.
pub(super) fn refuse_references(
    reader: &mut Reader<'_>,
    value: &Value<'_>,
    variables: &BTreeMap<EnvKey, String>,
) {
    let refers = |text: &str| !reference::names(text).is_empty() || !provider::references(text).is_empty();
    for (key, _) in variables.iter().filter(|(_, text)| refers(text)) {
        let message = format!("`{}.{key}` refers to a secret, and tests get none", value.path);
        let hint = "give tests values of their own: what they print is kept with the build";
        reader.report(Code::Conflict, value.key_of(key.as_str()), message, hint);
    }
}
