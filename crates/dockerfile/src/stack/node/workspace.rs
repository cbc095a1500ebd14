//! Where packages are installed, and of which packages of a monorepo a program is made: workspaces of npm, pnpm and yarn.
//! Tests: `tests/it/stack.rs`.

use std::collections::{BTreeMap, BTreeSet};

use havre_core::build::pattern::Pattern;
use havre_core::name::RelativePath;

use crate::stack::node::package::Package;
use crate::stack::snapshot::{Snapshot, inside};
use crate::stack::text::checked_path;
use crate::stack::{StackError, unclear};

/// Most workspaces of one repository.
const WORKSPACES_MAX: usize = 300;
/// Most patterns that are read.
const PATTERNS_MAX: usize = 100;
/// Files that fix which packages are installed; their folder is where that happens.
pub(super) const LOCKFILES: [&str; 6] =
    ["pnpm-lock.yaml", "yarn.lock", "package-lock.json", "npm-shrinkwrap.json", "bun.lock", "bun.lockb"];

/// A program and what it is installed with.
#[derive(Debug, Clone)]
pub(crate) struct Project {
    /// The program or site.
    pub(crate) program: Package,
    /// The package of the folder where everything is installed; the program itself unless it is a workspace.
    pub(crate) top: Package,
    /// Every workspace, by folder; empty when there are none.
    pub(crate) workspaces: Vec<Package>,
    /// Workspaces the program is made of, each behind what it needs, the program last.
    pub(crate) needed: Vec<Package>,
}

impl Project {
    /// Looks around a program.
    pub(crate) fn read(snapshot: &Snapshot, program: Package) -> Result<Self, StackError> {
        let root = program.folder.clone();
        let base = find_base(snapshot, &root);
        let top = if base == root {
            program.clone()
        } else {
            Package::read(snapshot, &base)
                .unwrap_or_else(|| Err(unclear(&base, "it has workspaces and no package.json", "add one")))?
        };
        let workspaces = match patterns(snapshot, &base) {
            Some(patterns) => list(snapshot, &base, &patterns)?,
            None => Vec::new(),
        };
        let needed = needed(&workspaces, &program);
        Ok(Self { program, top, workspaces, needed })
    }

    /// Folder where everything is installed.
    pub(crate) fn base(&self) -> &RelativePath {
        &self.top.folder
    }

    /// Whether the program is a workspace below that folder.
    pub(crate) fn is_workspace(&self) -> bool {
        self.program.folder != self.top.folder
    }

    /// A folder of it as seen from where everything is installed, `.` for that itself.
    pub(crate) fn inside<'a>(&self, folder: &'a RelativePath) -> &'a str {
        inside(self.base().as_str(), folder.as_str()).unwrap_or(".")
    }

    /// Workspaces the program is not made of, and that hold nothing it is made of.
    pub(crate) fn others(&self) -> Vec<&Package> {
        if !self.is_workspace() {
            return Vec::new();
        }
        let holds = |folder: &RelativePath| {
            self.needed.iter().any(|needed| inside(folder.as_str(), needed.folder.as_str()).is_some())
        };
        self.workspaces.iter().filter(|package| !holds(&package.folder)).collect()
    }
}

/// The folder of the lockfile: its own, else the nearest above that counts it among its workspaces, else its own.
fn find_base(snapshot: &Snapshot, root: &RelativePath) -> RelativePath {
    if LOCKFILES.iter().any(|name| snapshot.has(root, name)) {
        return root.clone();
    }
    let holds = |folder: &RelativePath| {
        let below = inside(folder.as_str(), root.as_str());
        let patterns = patterns(snapshot, folder);
        below.zip(patterns).is_some_and(|(below, patterns)| patterns.cover(below))
    };
    above(root).into_iter().find(holds).unwrap_or_else(|| root.clone())
}

/// The folders above one, the nearest first.
pub(super) fn above(root: &RelativePath) -> Vec<RelativePath> {
    let text = root.as_str();
    if text == "." {
        return Vec::new();
    }
    let mut folders: Vec<RelativePath> =
        text.rmatch_indices('/').filter_map(|(at, _)| text[..at].parse().ok()).collect();
    folders.push(RelativePath::here());
    folders
}

/// Which folders are workspaces.
struct Patterns {
    wanted: Vec<Pattern>,
    refused: Vec<Pattern>,
}

impl Patterns {
    fn of(lines: &[String]) -> Self {
        let mut patterns = Self { wanted: Vec::new(), refused: Vec::new() };
        for line in lines.iter().take(PATTERNS_MAX) {
            let (list, line) = match line.strip_prefix('!') {
                Some(rest) => (&mut patterns.refused, rest),
                None => (&mut patterns.wanted, line.as_str()),
            };
            let line = line.trim_start_matches("./").trim_end_matches('/');
            list.extend(Pattern::parse(line).ok());
        }
        patterns
    }

    fn cover(&self, folder: &str) -> bool {
        self.wanted.iter().any(|pattern| pattern.is_match(folder))
            && !self.refused.iter().any(|pattern| pattern.is_match(folder))
    }
}

/// What a folder says its workspaces are; `None` when it says nothing, or nothing that can be read.
fn patterns(snapshot: &Snapshot, folder: &RelativePath) -> Option<Patterns> {
    let of_pnpm = snapshot.text(folder, "pnpm-workspace.yaml").and_then(packages_of_yaml);
    let lines = of_pnpm.or_else(|| Package::read(snapshot, folder)?.ok()?.workspaces())?;
    Some(Patterns::of(&lines))
}

/// The list `packages` of a `pnpm-workspace.yaml`, in the two forms people write; no YAML beyond that.
fn packages_of_yaml(text: &str) -> Option<Vec<String>> {
    let plain = |item: &str| {
        let item = item.split(" #").next().unwrap_or_default();
        item.trim().trim_matches(['"', '\'']).to_owned()
    };
    let mut lines = text.lines();
    let rest = lines.by_ref().find_map(|line| line.strip_prefix("packages:"))?.trim();
    if let Some(list) = rest.strip_prefix('[') {
        let list = list.split(']').next().unwrap_or_default();
        return Some(list.split(',').map(plain).filter(|item| !item.is_empty()).collect());
    }
    let mut packages = Vec::new();
    for line in lines.map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#')) {
        match line.strip_prefix('-') {
            Some(item) => packages.push(plain(item)),
            None => break,
        }
    }
    Some(packages)
}

fn list(snapshot: &Snapshot, base: &RelativePath, patterns: &Patterns) -> Result<Vec<Package>, StackError> {
    let mut found = Vec::new();
    for path in &snapshot.paths {
        let Some(folder) = path.strip_suffix("/package.json") else { continue };
        let Some(below) = inside(base.as_str(), folder) else { continue };
        if folder.split('/').any(|part| part == "node_modules") || below == "." || !patterns.cover(below) {
            continue;
        }
        if found.len() == WORKSPACES_MAX {
            let reason = format!("it has more than {WORKSPACES_MAX} workspaces");
            return Err(unclear(base, reason, "write a Dockerfile of your own"));
        }
        let folder = checked_path(base, folder)?;
        if let Some(package) = Package::read(snapshot, &folder) {
            found.push(package?);
        }
    }
    Ok(found)
}

/// The program and the workspaces it depends on, directly or not.
fn needed(workspaces: &[Package], program: &Package) -> Vec<Package> {
    let mut by_name: BTreeMap<&str, &Package> = BTreeMap::new();
    for package in workspaces {
        if let Some(name) = package.name() {
            by_name.insert(name, package);
        }
    }
    let mut order = Vec::new();
    visit(program, &by_name, &mut BTreeSet::new(), &mut order);
    order
}

/// As deep as there are workspaces at most: none is visited twice.
fn visit<'p>(
    package: &'p Package,
    by_name: &BTreeMap<&str, &'p Package>,
    seen: &mut BTreeSet<&'p str>,
    order: &mut Vec<Package>,
) {
    if !seen.insert(package.folder.as_str()) {
        return;
    }
    for (name, _) in package.dependencies() {
        if let Some(other) = by_name.get(name).copied() {
            visit(other, by_name, seen, order);
        }
    }
    order.push(package.clone());
}
