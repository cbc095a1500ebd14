//! A `package.json`: what of it decides how a program is built. Tests: `tests/it/stack.rs`.

use havre_core::name::RelativePath;
use serde_json::Value;

use crate::stack::snapshot::Snapshot;
use crate::stack::text::is_package_name;
use crate::stack::{StackError, unclear};

/// Where packages are named that are there when the program runs.
const RUNNING: [&str; 2] = ["dependencies", "optionalDependencies"];
/// Where packages are named.
const ALL: [&str; 4] = ["dependencies", "optionalDependencies", "devDependencies", "peerDependencies"];
/// Scripts a package manager runs by itself when it installs.
const HOOKS: [&str; 4] = ["preinstall", "install", "postinstall", "prepare"];

/// A folder with a `package.json`.
#[derive(Debug, Clone)]
pub(crate) struct Package {
    /// Where it lies in the repository.
    pub(crate) folder: RelativePath,
    json: Value,
}

impl Package {
    /// Reads the one of a folder; `None` when it has none.
    pub(crate) fn read(snapshot: &Snapshot, folder: &RelativePath) -> Option<Result<Self, StackError>> {
        Some(snapshot.json(folder, "package.json")?.and_then(|json| match json {
            Value::Object(_) => Ok(Self { folder: folder.clone(), json }),
            _ => Err(unclear(folder, "package.json is not an object", "repair it")),
        }))
    }

    /// Text at a JSON pointer.
    pub(crate) fn text(&self, pointer: &str) -> Option<&str> {
        self.json.pointer(pointer)?.as_str()
    }

    /// Its name, when it is one that registries accept.
    pub(crate) fn name(&self) -> Option<&str> {
        self.text("/name").filter(|name| is_package_name(name))
    }

    /// A script that is not empty.
    pub(crate) fn script(&self, name: &str) -> Option<&str> {
        let script = self.json.get("scripts")?.get(name)?.as_str()?;
        (!script.trim().is_empty()).then_some(script)
    }

    /// The scripts that run when it is installed.
    pub(crate) fn hooks(&self) -> Vec<(&'static str, &str)> {
        HOOKS.iter().filter_map(|name| Some((*name, self.script(name)?))).collect()
    }

    /// Whether it needs this package when it runs.
    pub(crate) fn runs_with(&self, name: &str) -> bool {
        self.is_in(&RUNNING, name)
    }

    /// Whether it needs this package when it is built or runs.
    pub(crate) fn depends_on(&self, name: &str) -> bool {
        self.is_in(&ALL[..3], name)
    }

    /// Whether it needs this package only while it is built.
    pub(crate) fn only_builds_with(&self, name: &str) -> bool {
        self.depends_on(name) && !self.runs_with(name)
    }

    fn is_in(&self, sections: &[&str], name: &str) -> bool {
        sections.iter().any(|section| self.json.get(section).is_some_and(|all| all.get(name).is_some()))
    }

    /// Every package it names, with the version it asks for.
    pub(crate) fn dependencies(&self) -> impl Iterator<Item = (&str, &str)> {
        let sections = ALL.iter().filter_map(|section| self.json.get(section)?.as_object());
        sections.flatten().map(|(name, version)| (name.as_str(), version.as_str().unwrap_or_default()))
    }

    /// The patterns of `workspaces`, in either form; `None` when it has none.
    pub(crate) fn workspaces(&self) -> Option<Vec<String>> {
        let found = self.json.get("workspaces")?;
        let list = found.as_array().or_else(|| found.get("packages")?.as_array())?;
        Some(list.iter().filter_map(|pattern| pattern.as_str().map(str::to_owned)).collect())
    }
}
