//! What a Python program depends on: its package manager, its direct dependencies, its version of Python. Does not ask
//! what starts it. Tests: `python/tests.rs`.

use std::collections::BTreeSet;

use toml::{Table, Value};

use crate::stack::folder::{Folder, value_at};
use crate::stack::grammar::first_line;
use crate::stack::version::{Numbers, Requirement, Version};
use crate::stack::{StackError, shown};

/// Version where nobody says.
const DEFAULT: Version = Version::new(3, 12);
/// Versions there are images of, in the order in which they are preferred: the default, newer ones, older ones.
const KNOWN: [Version; 7] = [
    DEFAULT,
    Version::new(3, 13),
    Version::new(3, 14),
    Version::new(3, 11),
    Version::new(3, 10),
    Version::new(3, 9),
    Version::new(3, 8),
];
/// Where lists of dependencies for pip are looked for.
const LISTS: [&str; 3] = ["requirements.txt", "requirements/production.txt", "requirements/prod.txt"];
/// Any of these makes a folder a Python program.
const SIGNS: [&str; 5] = ["uv.lock", "poetry.lock", "Pipfile", "manage.py", "setup.py"];
/// A program in one of these needs no dependencies.
pub(super) const PROGRAMS: [&str; 4] = ["main.py", "app.py", "server.py", "run.py"];
/// Where one of these is, a stray Python file does not make the folder Python.
const OTHERS: [&str; 8] = [
    "package.json",
    "Cargo.toml",
    "go.mod",
    "Gemfile",
    "composer.json",
    "pom.xml",
    "build.gradle",
    "build.gradle.kts",
];
/// Lines of a list for pip that begin so name files of the program.
const NAMES_FILES: [&str; 8] =
    ["-r", "--requirement", "-c", "--constraint", "-e", "--editable", ".", "file:"];
/// Most lists that include one another.
const INCLUDES_MAX: usize = 16;

/// How dependencies are installed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Installer {
    /// `uv.lock`.
    Uv {
        /// The program is a package itself, and is installed.
        is_package: bool,
        /// Dependencies are folders of the repository.
        needs_sources: bool,
    },
    /// `poetry.lock`.
    Poetry {
        /// Dependencies are folders of the repository.
        needs_sources: bool,
    },
    /// A list for pip.
    Requirements {
        /// The list.
        file: &'static str,
        /// It names other files.
        needs_sources: bool,
    },
    /// `project.dependencies` of `pyproject.toml`, without a lock file.
    Pyproject,
    /// No dependencies.
    Nothing,
}

/// What is known of the program.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Project {
    pub(super) installer: Installer,
    /// Normalised names of direct dependencies.
    pub(super) dependencies: BTreeSet<String>,
    pub(super) python: Version,
    /// A dependency comes from a git repository.
    pub(super) has_git: bool,
    pub(super) notes: Vec<String>,
}

/// Packages of Debian that a Python package without a wheel needs.
struct Native {
    name: &'static str,
    build: &'static [&'static str],
    run: &'static [&'static str],
}

static NATIVES: [Native; 8] = [
    Native { name: "psycopg2", build: &["build-essential", "libpq-dev"], run: &["libpq5"] },
    Native { name: "psycopg-c", build: &["build-essential", "libpq-dev"], run: &["libpq5"] },
    Native { name: "psycopg", build: &[], run: &["libpq5"] },
    Native {
        name: "mysqlclient",
        build: &["build-essential", "default-libmysqlclient-dev", "pkg-config"],
        run: &["libmariadb3"],
    },
    Native { name: "uwsgi", build: &["build-essential"], run: &[] },
    Native { name: "python-magic", build: &[], run: &["libmagic1"] },
    Native { name: "weasyprint", build: &[], run: &["libpango-1.0-0", "libpangoft2-1.0-0"] },
    Native { name: "opencv-python", build: &[], run: &["libgl1", "libglib2.0-0"] },
];

impl Project {
    /// Whether it depends on a package directly.
    pub(super) fn has(&self, name: &str) -> bool {
        self.dependencies.contains(name)
    }

    /// The package manager, for people.
    pub(super) fn tool(&self) -> Option<String> {
        let tool = match self.installer {
            Installer::Uv { .. } => "uv",
            Installer::Poetry { .. } => "Poetry",
            Installer::Requirements { .. } | Installer::Pyproject => "pip",
            Installer::Nothing => return None,
        };
        Some(tool.to_owned())
    }

    fn natives(&self) -> impl Iterator<Item = &'static Native> {
        // What psycopg comes with in binary form includes the library.
        NATIVES.iter().filter(move |native| {
            self.has(native.name) && !(native.name == "psycopg" && self.has("psycopg-binary"))
        })
    }

    /// Packages of Debian to install dependencies with.
    pub(super) fn build_packages(&self) -> Vec<&'static str> {
        let mut packages: BTreeSet<&str> =
            self.natives().flat_map(|native| native.build.iter().copied()).collect();
        if self.has_git {
            packages.insert("git");
        }
        packages.into_iter().collect()
    }

    /// Packages of Debian to run with.
    pub(super) fn run_packages(&self) -> Vec<&'static str> {
        let packages: BTreeSet<&str> = self.natives().flat_map(|native| native.run.iter().copied()).collect();
        packages.into_iter().collect()
    }
}

/// Whether the folder is a Python program. A `pyproject.toml` that only configures tools makes none.
pub(super) fn is_python(folder: &Folder<'_>) -> bool {
    if SIGNS.iter().chain(&LISTS).any(|name| folder.has(name)) {
        return true;
    }
    let is_declared = match folder.table("pyproject.toml") {
        Ok(table) => table.is_some_and(|table| is_project(&table)),
        // Why it cannot be read is told when the program is written.
        Err(_) => true,
    };
    if is_declared {
        return true;
    }
    PROGRAMS.iter().any(|name| folder.has(name)) && !OTHERS.iter().any(|name| folder.has(name))
}

fn is_project(table: &Table) -> bool {
    let keys: [&[&str]; 3] = [&["project"], &["tool", "poetry"], &["tool", "uv"]];
    keys.iter().any(|keys| value_at(table, keys).is_some())
}

/// Reads what the folder says.
pub(super) fn read(folder: &Folder<'_>) -> Result<Project, StackError> {
    let table = folder.table("pyproject.toml")?.unwrap_or_default();
    let mut notes = Vec::new();
    let installer = choose(folder, &table)?;
    let python = python(folder, &table)?;
    let mut dependencies = BTreeSet::new();
    let mut has_git = false;
    match installer {
        Installer::Requirements { file, .. } => {
            let list = read_list(folder, file);
            dependencies = list.names;
            has_git = list.has_git;
            if list.needs_sources {
                notes.push(format!(
                    "{file} names other files, so dependencies are installed again with every change."
                ));
            }
        }
        Installer::Nothing => {
            notes.push("No list of dependencies was found, so none are installed.".to_owned())
        }
        Installer::Uv { .. } | Installer::Poetry { .. } | Installer::Pyproject => {
            add_pyproject(&table, &mut dependencies);
            let lock = folder.text("uv.lock").or_else(|| folder.text("poetry.lock")).unwrap_or_default();
            let sources = folder.text("pyproject.toml").unwrap_or_default();
            has_git = ["git+", "git = ", "type = \"git\""]
                .iter()
                .any(|mark| lock.contains(mark) || sources.contains(mark));
        }
    }
    if installer == Installer::Pyproject {
        notes.push(
            "Without a lock file two builds may install different versions: `uv lock` writes one.".to_owned(),
        );
    }
    Ok(Project { installer, dependencies, python, has_git, notes })
}

fn choose(folder: &Folder<'_>, table: &Table) -> Result<Installer, StackError> {
    let is_there = |keys: &[&str]| value_at(table, keys).is_some();
    if folder.has("uv.lock") && is_there(&["project"]) {
        let is_declared = value_at(table, &["tool", "uv", "package"]).and_then(Value::as_bool);
        let is_package = is_declared.unwrap_or_else(|| is_there(&["build-system"]));
        return Ok(Installer::Uv {
            is_package,
            needs_sources: has_path_source(table, &["tool", "uv", "sources"]),
        });
    }
    if folder.has("poetry.lock") && (is_there(&["tool", "poetry"]) || is_there(&["project"])) {
        let needs_sources = has_path_source(table, &["tool", "poetry", "dependencies"]);
        return Ok(Installer::Poetry { needs_sources });
    }
    if let Some(file) = LISTS.iter().copied().find(|name| folder.has(name)) {
        return Ok(Installer::Requirements { file, needs_sources: read_list(folder, file).needs_sources });
    }
    if is_there(&["tool", "poetry"]) {
        return Err(folder.unclear("there is no poetry.lock", "run `poetry lock` and commit the file"));
    }
    if is_there(&["tool", "uv", "sources"]) || folder.above(is_workspace).is_some() {
        return Err(folder.unclear(
            "it takes dependencies from a workspace or from folders, and has no uv.lock of its own",
            "run `uv lock` in this folder, or name the workspace as the service's folder",
        ));
    }
    if is_there(&["project"]) {
        return pyproject(folder, table);
    }
    if folder.has("Pipfile") {
        return Err(folder.unclear(
            "it uses Pipenv, which is not supported",
            "run `pipenv requirements > requirements.txt` and commit the file",
        ));
    }
    if folder.has("setup.py") || folder.has("manage.py") {
        return Err(folder.unclear(
            "no file lists its dependencies",
            "write them into requirements.txt or pyproject.toml",
        ));
    }
    Ok(Installer::Nothing)
}

fn pyproject(folder: &Folder<'_>, table: &Table) -> Result<Installer, StackError> {
    let dynamic = value_at(table, &["project", "dynamic"]).and_then(Value::as_array);
    let is_dynamic =
        dynamic.is_some_and(|names| names.iter().any(|name| name.as_str() == Some("dependencies")));
    if is_dynamic {
        return Err(folder.unclear(
            "`project.dependencies` in pyproject.toml is dynamic",
            "list the dependencies there, or in requirements.txt",
        ));
    }
    Ok(Installer::Pyproject)
}

fn is_workspace(folder: &Folder<'_>) -> bool {
    folder.has("uv.lock")
        && folder.text("pyproject.toml").is_some_and(|text| text.contains("[tool.uv.workspace]"))
}

/// Whether one of the dependencies is a folder of the repository.
fn has_path_source(table: &Table, keys: &[&str]) -> bool {
    let Some(sources) = value_at(table, keys).and_then(Value::as_table) else { return false };
    let is_path = |value: &Value| {
        value.as_table().is_some_and(|source| source.contains_key("path") || source.contains_key("workspace"))
    };
    sources.values().any(is_path)
}

/// `.python-version`, then what the package manager requires, then `runtime.txt`.
fn python(folder: &Folder<'_>, table: &Table) -> Result<Version, StackError> {
    if let Some(text) = folder.text(".python-version") {
        return exact(folder, ".python-version", first_line(text));
    }
    let required = value_at(table, &["project", "requires-python"])
        .or_else(|| value_at(table, &["tool", "poetry", "dependencies", "python"]));
    if let Some(text) = required.and_then(Value::as_str) {
        let chosen = Requirement::parse(text).and_then(|requirement| requirement.choose(&KNOWN));
        return chosen.ok_or_else(|| {
            let reason = format!("no image of Python answers `{}` in pyproject.toml", shown(text));
            folder.unclear(reason, "require a version from 3.8 to 3.14, such as `>=3.12`")
        });
    }
    match folder.text("runtime.txt") {
        Some(text) => {
            let line = first_line(text);
            exact(folder, "runtime.txt", line.strip_prefix("python-").unwrap_or(line))
        }
        None => Ok(DEFAULT),
    }
}

fn exact(folder: &Folder<'_>, file: &str, text: &str) -> Result<Version, StackError> {
    let found = Numbers::parse(text).filter(|numbers| numbers.major == 3);
    match found {
        Some(Numbers { minor: None, .. }) => Ok(DEFAULT),
        Some(Numbers { major, minor: Some(minor), .. }) if minor >= 8 => Ok(Version::new(major, minor)),
        _ => {
            let reason = format!("`{}` in {file} is no version of Python from 3.8 on", shown(text));
            Err(folder.unclear(reason, format!("write one such as `3.12` into {file}")))
        }
    }
}

/// Names in `project.dependencies` and in Poetry's table.
fn add_pyproject(table: &Table, names: &mut BTreeSet<String>) {
    let listed = value_at(table, &["project", "dependencies"]).and_then(Value::as_array);
    for requirement in listed.into_iter().flatten().filter_map(Value::as_str) {
        add(names, requirement);
    }
    let poetry = value_at(table, &["tool", "poetry", "dependencies"]).and_then(Value::as_table);
    for (name, value) in poetry.into_iter().flatten() {
        let extras = value.as_table().and_then(|table| table.get("extras")).and_then(Value::as_array);
        let extras: Vec<&str> = extras.into_iter().flatten().filter_map(Value::as_str).collect();
        add(names, &format!("{name}[{}]", extras.join(",")));
    }
}

/// What a list for pip says, with the lists it includes.
#[derive(Debug, Default)]
struct List {
    names: BTreeSet<String>,
    needs_sources: bool,
    has_git: bool,
}

fn read_list(folder: &Folder<'_>, file: &str) -> List {
    let mut list = List::default();
    let mut waiting = vec![file.to_owned()];
    let mut seen = BTreeSet::new();
    while let Some(file) = waiting.pop() {
        if seen.len() >= INCLUDES_MAX || !seen.insert(file.clone()) {
            continue;
        }
        let above = file.rsplit_once('/').map_or("", |(above, _)| above);
        for line in folder.text(&file).unwrap_or_default().lines().map(str::trim) {
            list.has_git |= line.contains("git+");
            let included = ["-r", "--requirement"].iter().find_map(|option| line.strip_prefix(*option));
            if let Some(included) = included {
                let included = included.trim_start_matches([' ', '=']);
                waiting.push(if above.is_empty() {
                    included.to_owned()
                } else {
                    format!("{above}/{included}")
                });
            }
            list.needs_sources |= NAMES_FILES.iter().any(|start| line.starts_with(*start));
            if line.starts_with(|c: char| c.is_ascii_alphanumeric()) {
                add(&mut list.names, line);
            }
        }
    }
    list
}

/// Adds the normalised name of a requirement (PEP 503, PEP 508), and of what an extra brings that we look for.
fn add(names: &mut BTreeSet<String>, requirement: &str) {
    let requirement = requirement.trim();
    let is_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    let end = requirement.find(|c: char| !is_name(c)).unwrap_or(requirement.len());
    let name = requirement[..end].to_ascii_lowercase().replace(['_', '.'], "-");
    let extras = requirement[end..].trim_start().strip_prefix('[').and_then(|rest| rest.split_once(']'));
    for extra in extras.map_or("", |(extras, _)| extras).split(',').map(str::trim) {
        match (name.as_str(), extra) {
            ("fastapi", "standard" | "all") => {
                names.insert("uvicorn".to_owned());
            }
            ("psycopg", "binary" | "c") => {
                names.insert(format!("psycopg-{extra}"));
            }
            _ => {}
        }
    }
    if !name.is_empty() {
        names.insert(name);
    }
}
