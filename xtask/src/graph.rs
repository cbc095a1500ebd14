//! The dependency graph as `cargo metadata` tells it, reduced to what the bans need: who depends on whom, by name, and
//! in which way. Tests: at the end, and in `dependency`.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use serde::Deserialize;

/// One use of a package by another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Edge {
    /// Package id of what is used.
    pub(crate) to: String,
    /// Linked or run by a build script; false when only tests use it.
    pub(crate) is_shipped: bool,
}

/// All packages and their uses.
#[derive(Debug, Default)]
pub(crate) struct Graph {
    /// Package id to name.
    pub(crate) names: BTreeMap<String, String>,
    /// Package id to what it uses.
    pub(crate) edges: BTreeMap<String, Vec<Edge>>,
    /// Ids of our own packages.
    pub(crate) members: BTreeSet<String>,
}

impl Graph {
    /// Asks Cargo, for all platforms.
    pub(crate) fn of_workspace(root: &Path) -> Result<Self> {
        let output = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
            .args(["metadata", "--format-version", "1", "--locked"])
            .current_dir(root)
            .output()
            .context("run cargo metadata")?;
        ensure!(
            output.status.success(),
            "cargo metadata failed: {}",
            String::from_utf8_lossy(&output.stderr).trim()
        );
        Self::parse(&output.stdout)
    }

    /// Reads the answer of `cargo metadata --format-version 1`.
    pub(crate) fn parse(json: &[u8]) -> Result<Self> {
        let metadata: Metadata = serde_json::from_slice(json).context("read the answer of cargo metadata")?;
        let packages: BTreeMap<&str, &Package> =
            metadata.packages.iter().map(|one| (one.id.as_str(), one)).collect();
        let mut graph = Self { members: metadata.workspace_members.into_iter().collect(), ..Self::default() };
        for node in &metadata.resolve.nodes {
            let package =
                packages.get(node.id.as_str()).context("cargo metadata names a package it does not list")?;
            let mut edges = Vec::new();
            for used in &node.deps {
                let name = &packages
                    .get(used.pkg.as_str())
                    .context("cargo metadata uses a package it does not list")?
                    .name;
                if package.really_uses(name, &node.features) {
                    let is_shipped = used.dep_kinds.iter().any(|one| one.kind.as_deref() != Some("dev"));
                    edges.push(Edge { to: used.pkg.clone(), is_shipped });
                }
            }
            graph.names.insert(node.id.clone(), package.name.clone());
            graph.edges.insert(node.id.clone(), edges);
        }
        Ok(graph)
    }

    /// Name of a package id.
    pub(crate) fn name(&self, id: &str) -> &str {
        self.names.get(id).map_or("?", String::as_str)
    }

    /// What ships with `start`, each with a shortest way to it: `havre-web -> a -> b`.
    pub(crate) fn shipped_with(&self, start: &str) -> BTreeMap<String, String> {
        self.reach([(start.to_owned(), self.name(start).to_owned())], |edge| edge.is_shipped)
    }

    /// Everything that is built for anything of ours, tests included, each with a shortest way to it.
    pub(crate) fn built(&self) -> BTreeMap<String, String> {
        self.reach(self.members.iter().map(|id| (id.clone(), self.name(id).to_owned())), |_| true)
    }

    fn reach(
        &self,
        start: impl IntoIterator<Item = (String, String)>,
        follow: impl Fn(&Edge) -> bool,
    ) -> BTreeMap<String, String> {
        let mut found: BTreeMap<String, String> = start.into_iter().collect();
        let mut queue: VecDeque<String> = found.keys().cloned().collect();
        while let Some(id) = queue.pop_front() {
            let way = found[&id].clone();
            for edge in self.edges.get(&id).into_iter().flatten().filter(|edge| follow(edge)) {
                if !found.contains_key(&edge.to) {
                    found.insert(edge.to.clone(), format!("{way} -> {}", self.name(&edge.to)));
                    queue.push_back(edge.to.clone());
                }
            }
        }
        found
    }
}

#[derive(Deserialize)]
struct Metadata {
    packages: Vec<Package>,
    workspace_members: Vec<String>,
    resolve: Resolve,
}

#[derive(Deserialize)]
struct Package {
    id: String,
    name: String,
    dependencies: Vec<Declared>,
    features: BTreeMap<String, Vec<String>>,
}

#[derive(Deserialize)]
struct Declared {
    name: String,
    rename: Option<String>,
    optional: bool,
}

#[derive(Deserialize)]
struct Resolve {
    nodes: Vec<Node>,
}

#[derive(Deserialize)]
struct Node {
    id: String,
    features: Vec<String>,
    deps: Vec<Used>,
}

#[derive(Deserialize)]
struct Used {
    pkg: String,
    dep_kinds: Vec<Kind>,
}

#[derive(Deserialize)]
struct Kind {
    kind: Option<String>,
}

impl Package {
    /// Cargo also lists optional packages that only a weak feature (`ring?/std`) names, although it never builds them.
    fn really_uses(&self, name: &str, features: &[String]) -> bool {
        let mut declared = self.dependencies.iter().filter(|one| one.name == name).peekable();
        if declared.peek().is_none() {
            return true;
        }
        declared.any(|one| !one.optional || self.turns_on(one.rename.as_deref().unwrap_or(name), features))
    }

    fn turns_on(&self, optional: &str, features: &[String]) -> bool {
        features.iter().any(|feature| {
            feature == optional
                || self.features.get(feature).into_iter().flatten().any(|entry| {
                    entry.strip_prefix("dep:").unwrap_or(entry) == optional
                        || entry.split_once('/').is_some_and(|(package, _)| package == optional)
                })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn metadata(features_of_a: &str) -> String {
        format!(
            r#"{{"workspace_members":["a"],"packages":[
              {{"id":"a","name":"a","features":{{"std":["tls?/std"],"tls":["dep:tls"],"full":["tls/std"]}},
                "dependencies":[{{"name":"tls","rename":null,"optional":true}},{{"name":"log","rename":null,"optional":false}}]}},
              {{"id":"tls","name":"tls","features":{{}},"dependencies":[]}},
              {{"id":"log","name":"log","features":{{}},"dependencies":[]}}],
             "resolve":{{"nodes":[
              {{"id":"a","features":{features_of_a},"deps":[
                 {{"pkg":"tls","dep_kinds":[{{"kind":null}}]}},{{"pkg":"log","dep_kinds":[{{"kind":"dev"}}]}}]}},
              {{"id":"tls","features":[],"deps":[]}},{{"id":"log","features":[],"deps":[]}}]}}}}"#
        )
    }

    fn uses_of_a(features: &str) -> Vec<Edge> {
        Graph::parse(metadata(features).as_bytes()).unwrap().edges["a"].clone()
    }

    #[test]
    fn optional_packages_count_only_where_a_feature_turns_them_on() {
        let log = Edge { to: "log".to_owned(), is_shipped: false };
        let tls = Edge { to: "tls".to_owned(), is_shipped: true };
        assert_eq!(uses_of_a(r#"["std"]"#), vec![log.clone()]);
        assert_eq!(uses_of_a(r#"["std","tls"]"#), vec![tls.clone(), log.clone()]);
        assert_eq!(uses_of_a(r#"["full"]"#), vec![tls, log]);
    }

    #[test]
    fn test_only_uses_do_not_ship() {
        let graph = Graph::parse(metadata("[]").as_bytes()).unwrap();
        assert_eq!(graph.shipped_with("a").into_values().collect::<Vec<_>>(), ["a"]);
        assert_eq!(graph.built().into_values().collect::<Vec<_>>(), ["a", "a -> log"]);
    }
}
