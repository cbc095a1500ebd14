//! What is added to the environment of a task beside its specification. Names may be seen, values not. Tests at the end of the
//! file.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use crate::name::EnvKey;
use crate::secret::{Secret, reference};
use crate::service::spec::TaskWork;

/// Variables whose values are secret, by name.
#[derive(Clone, Default)]
pub struct Variables(BTreeMap<EnvKey, Secret>);

impl Variables {
    /// Adds one, in place of one of that name.
    pub fn add(&mut self, name: EnvKey, value: Secret) {
        self.0.insert(name, value);
    }

    /// Takes one away.
    pub fn remove(&mut self, name: &EnvKey) {
        self.0.remove(name);
    }

    /// Each with its value.
    pub fn iter(&self) -> impl Iterator<Item = (&EnvKey, &Secret)> {
        self.0.iter()
    }

    /// Whether there is one of that name.
    pub fn contains(&self, name: &EnvKey) -> bool {
        self.0.contains_key(name)
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl fmt::Debug for Variables {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

impl PartialEq for Variables {
    fn eq(&self, other: &Self) -> bool {
        let plain = |(name, value): (&EnvKey, &Secret)| (name.clone(), value.expose().to_vec());
        self.0.iter().map(plain).eq(other.0.iter().map(plain))
    }
}

impl Eq for Variables {}

/// Every secret a service uses: those its tasks get as variables, and those its `env` refers to.
pub fn secrets_of(work: &TaskWork) -> BTreeSet<EnvKey> {
    let mut names = work.secrets.clone();
    names.extend(work.env.values().flat_map(|text| reference::names(text)));
    names
}

/// What tasks of this specification get, where the secrets have these values: each secret by its name, and each variable of `env`
/// that refers to one.
///
/// # Errors
/// Names of those that have no value.
pub fn derive_variables(
    work: &TaskWork,
    values: &BTreeMap<EnvKey, Secret>,
) -> Result<Variables, BTreeSet<EnvKey>> {
    let mut missing = secrets_of(work);
    missing.retain(|name| !values.contains_key(name));
    if !missing.is_empty() {
        return Err(missing);
    }
    let mut variables = Variables::default();
    for (name, text) in &work.env {
        if !reference::names(text).is_empty()
            && let Some(value) = reference::resolve(text, values)
        {
            variables.add(name.clone(), value);
        }
    }
    for name in &work.secrets {
        if let Some(value) = values.get(name) {
            variables.add(name.clone(), value.clone());
        }
    }
    Ok(variables)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_seen_and_values_are_not() {
        let mut variables = Variables::default();
        variables.add("TOKEN".parse().expect("a name"), Secret::from("planted"));
        let text = format!("{variables:?} {variables:#?}");
        assert!(text.contains("TOKEN") && !text.contains("planted"), "{text}");
        let mut other = Variables::default();
        assert_ne!(variables, other);
        other.add("TOKEN".parse().expect("a name"), Secret::from("planted"));
        assert_eq!(variables, other);
    }
}
