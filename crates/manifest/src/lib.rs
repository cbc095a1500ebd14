//! `havre.toml`: turns its text into specifications, or into problems that name line, column and a way out.
//!
//! `schema` lists the keys, `read` reads values, `service`, `site`, `test`, `database`, `job`, `environment` and `previews` one table each (`source`, `paths` and
//! `route` what they share), `law` what only several tables together can break, `problem` what went wrong. Opens no file and
//! knows no server; which addresses and names are taken there is the server's answer. Reference for people:
//! `docs/havre-toml.md`. A crate of its own because it isolates the reader of TOML; client and server read with the same. Tests: `tests/it/manifest.rs`, `tests/it/manifest_job.rs`,
//! `tests/it/manifest_database.rs`, `tests/it/manifest_secret.rs`, `tests/it/manifest_test.rs`.

mod backup;
mod balance;
mod canary;
mod database;
mod edge;
mod environment;
pub mod follow;
mod https;
mod job;
mod law;
mod paths;
pub mod previews;

pub mod problem;
mod read;
mod route;
pub mod schema;
mod secret;
mod service;
mod site;
mod source;
mod test;
mod tls;

use havre_core::suggest::nearest;
use std::collections::BTreeMap;

use toml::de::DeTable;

use crate::environment::Overrides;
use crate::previews::Previews;
use crate::problem::{Code, ManifestError, Problem};
use crate::read::{Fields, Reader, Value};
use havre_core::build::test::TestSpec;
use havre_core::database::spec::DatabaseSpec;
use havre_core::glob::Paths;
use havre_core::name::{DatabaseName, EnvironmentName, ProjectName, ServiceName};
use havre_core::preview::PullNumber;
use havre_core::service::spec::{ServiceSpec, Work};
use havre_core::source::BranchName;

/// Largest text that is read; a real one has a few kilobytes.
pub const TEXT_MAX: usize = 256 * 1024;
/// Most services and sites of one file; what a server accepts for one environment.
pub const SERVICES_MAX: usize = 200;
/// Most entries of one list or table inside a service.
pub const ENTRIES_MAX: usize = 256;
/// Most bytes of all environment variables of one service.
pub const ENV_BYTES_MAX: usize = 64 * 1024;

/// A `havre.toml` without problems.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Manifest {
    project: ProjectName,
    has_submodules: bool,
    has_lfs: bool,
    /// As they stand in `services` and `sites`, by name.
    services: Vec<ServiceSpec>,
    /// Of services that have some.
    tests: BTreeMap<ServiceName, TestSpec>,
    /// Of services and sites that name some.
    paths: BTreeMap<ServiceName, Paths>,
    environments: BTreeMap<EnvironmentName, Overrides>,
    previews: Option<Previews>,
    /// By name.
    databases: Vec<DatabaseSpec>,
}

impl Manifest {
    /// Name of the project.
    pub fn project(&self) -> &ProjectName {
        &self.project
    }

    /// Whether the files of submodules belong to what is built.
    pub fn has_submodules(&self) -> bool {
        self.has_submodules
    }

    /// Whether contents that Git LFS keeps belong to what is built, instead of their pointers.
    pub fn has_lfs(&self) -> bool {
        self.has_lfs
    }

    /// Every service and site, by name.
    pub fn services(&self) -> impl Iterator<Item = &ServiceName> {
        self.services.iter().map(|spec| &spec.name)
    }

    /// Every environment that can be resolved: `production`, and those the file names.
    pub fn environments(&self) -> Vec<EnvironmentName> {
        let mut names: Vec<EnvironmentName> = self.environments.keys().cloned().collect();
        let production = EnvironmentName::production();
        if !names.contains(&production) {
            names.push(production);
        }
        names.sort();
        names
    }

    /// Branch whose pushes an environment is meant for; only git deploys of a later version read it.
    pub fn branch(&self, environment: &EnvironmentName) -> Option<&str> {
        self.environments.get(environment)?.branch.as_deref()
    }

    /// The tests of a service. They belong to the commit, not to its releases: no specification holds them.
    pub fn test(&self, service: &ServiceName) -> Option<&TestSpec> {
        self.tests.get(service)
    }

    /// Which paths of the repository matter to a service or site; `None` where it names none, so that all do.
    pub fn paths(&self, service: &ServiceName) -> Option<&Paths> {
        self.paths.get(service)
    }

    /// Complete specifications of every service and site of one environment, by name.
    ///
    /// # Errors
    /// The file does not name the environment.
    pub fn resolve(&self, environment: &EnvironmentName) -> Result<Vec<ServiceSpec>, ManifestError> {
        match self.environments.get(environment) {
            Some(overrides) => Ok(resolve(&self.services, overrides)),
            None if *environment == EnvironmentName::production() => Ok(self.services.clone()),
            None => Err(self.unknown_environment(environment)),
        }
    }

    /// Databases of one environment, by name; those of the file where it does not name the environment.
    pub fn databases(&self, environment: &EnvironmentName) -> Vec<DatabaseSpec> {
        let mut databases = self.databases.clone();
        if let Some(overrides) = self.environments.get(environment) {
            for spec in &mut databases {
                spec.memory = overrides.databases.get(&spec.name).copied().unwrap_or(spec.memory);
            }
        }
        databases
    }

    /// Databases of the preview of a pull request: new and empty ones, as in the environment `previews` are made from.
    pub fn preview_databases(&self, previews: &Previews) -> Vec<DatabaseSpec> {
        let production = EnvironmentName::production();
        self.databases(previews.made_from().unwrap_or(&production))
    }

    /// What previews of pull requests are like; `None` where there are none.
    pub fn previews(&self) -> Option<&Previews> {
        self.previews.as_ref()
    }

    /// Complete specifications of every service and site of the preview of a pull request, by name: what runs is said by this file, which
    /// is that of the pull request, and where and how by `previews`, which are those of its base branch.
    ///
    /// # Errors
    /// The file does not name the environment `previews` are made from.
    pub fn resolve_preview(
        &self,
        previews: &Previews,
        number: PullNumber,
        branch: &BranchName,
    ) -> Result<Vec<ServiceSpec>, ManifestError> {
        let overrides = match previews.made_from() {
            None => None,
            Some(name) => match self.environments.get(name) {
                Some(overrides) => Some(overrides),
                None if *name == EnvironmentName::production() => None,
                None => return Err(self.unknown_environment(name)),
            },
        };
        Ok(previews.resolve(&self.services, overrides, number, branch))
    }

    fn unknown_environment(&self, environment: &EnvironmentName) -> ManifestError {
        let known = self.environments();
        let names: Vec<&str> = known.iter().map(EnvironmentName::as_str).collect();
        let hint = match nearest(environment.as_str(), &names) {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("add `[environments.{environment}]`, or use one of: {}", names.join(", ")),
        };
        let message = format!("havre.toml has no environment `{environment}`");
        ManifestError::new(vec![Problem { code: Code::UnknownEnvironment, at: None, message, hint }])
    }
}

/// Applies what an environment changes.
fn resolve(services: &[ServiceSpec], overrides: &Overrides) -> Vec<ServiceSpec> {
    let mut specs = services.to_vec();
    for spec in &mut specs {
        spec.jobs.retain(|name, _| !overrides.without_jobs.contains(name));
        if let Some(routes) = overrides.hosts.get(&spec.name) {
            spec.routes = routes.iter().map(|route| route.spec.clone()).collect();
            // They stand beside the hosts of the service, which are not those of this environment.
            spec.edge.redirect_hosts.clear();
        }
        if let Work::Tasks(work) = &mut spec.work {
            if let Some(replicas) = overrides.replicas.get(&spec.name) {
                work.replicas = *replicas;
            }
            if let Some(env) = overrides.env.get(&spec.name) {
                // In place of a secret of that name as well.
                work.secrets.retain(|name| !env.contains_key(name));
                work.env.extend(env.iter().map(|(key, value)| (key.clone(), value.clone())));
            }
        }
    }
    specs
}

/// Reads a `havre.toml`.
///
/// # Errors
/// Every problem that can be found in one pass, by position.
pub fn parse(text: &str) -> Result<Manifest, ManifestError> {
    if text.len() > TEXT_MAX {
        let message = format!("havre.toml has {} bytes, more than the {TEXT_MAX} that are read", text.len());
        let hint = "move data out of it".to_owned();
        return Err(ManifestError::new(vec![Problem { code: Code::TooLarge, at: None, message, hint }]));
    }
    let mut reader = Reader::new(text);
    let (document, errors) = DeTable::parse_recoverable(text);
    if !errors.is_empty() {
        for error in errors {
            let at = error.span().unwrap_or(0..0);
            reader.report(Code::Syntax, at, error.message().replace('\n', ", "), "");
        }
        return Err(reader.finish());
    }
    let manifest = read_document(&mut reader, document.get_ref());
    match manifest {
        Some(manifest) if reader.is_clean() => Ok(manifest),
        _ => Err(reader.finish()),
    }
}

fn read_document(reader: &mut Reader<'_>, document: &DeTable<'_>) -> Option<Manifest> {
    let root = reader.fields(&schema::ROOT, "", 0..0, document);
    let project = match root.find("project") {
        Some(value) => reader.parsed::<ProjectName>(&value),
        None => {
            let hint = "start the file with project = \"my-project\"";
            reader.report(Code::MissingKey, 0..0, "`project` is missing".to_owned(), hint);
            None
        }
    };
    let (has_submodules, has_lfs) = read_source(reader, root.find("source"));
    let mut read = Services::default();
    for (name, value) in named(reader, root.find("services")) {
        let at = value.key_at.clone();
        read.add(reader, &name, at, |reader, name| service::read(reader, name, &value));
    }
    for (name, value) in named(reader, root.find("sites")) {
        let at = value.key_at.clone();
        read.add(reader, &name, at, |reader, name| site::read(reader, name, &value));
    }
    if read.names.is_empty() && reader.is_clean() {
        let hint = "add [services.<name>] for a program or [sites.<name>] for a folder of files";
        reader.report(Code::MissingKey, 0..0, "the file describes no service and no site".to_owned(), hint);
    }
    if read.names.len() > SERVICES_MAX {
        let message = format!("{} services and sites are too many: at most {SERVICES_MAX}", read.names.len());
        reader.report(Code::TooLarge, 0..0, message, "split the project");
    }
    let jobs = job::read_all(reader, &mut read, root.find("jobs"));
    let databases = database::read_all(reader, &read, root.find("databases"));
    let mut environments = BTreeMap::new();
    for (name, value) in named(reader, root.find("environments")) {
        let Some(name) = reader.parsed_key::<EnvironmentName>(&name, &value) else { continue };
        if name.pull().is_some() {
            let message = format!("`{name}` is the environment of the preview of a pull request");
            reader.report(Code::WrongName, value.key_at.clone(), message, "choose another name");
        }
        if let Some(overrides) = environment::read(reader, &read.names, (&jobs, &databases), &value) {
            environments.insert(name, overrides);
        }
    }
    law::check(reader, &read.found, &environments);
    let previews =
        root.find("previews").and_then(|value| previews::read(reader, &read, &environments, &value));
    let (mut services, mut tests, mut paths) = (Vec::new(), BTreeMap::new(), BTreeMap::new());
    for found in read.found {
        let name = &found.spec.name;
        let test = found.test.map(|test| database::resolve_test(test, &databases));
        tests.extend(test.map(|test| (name.clone(), test)));
        paths.extend(found.paths.map(|paths| (name.clone(), paths)));
        services.push(found.spec);
    }
    services.sort_by(|one, other| one.name.cmp(&other.name));
    let databases = databases.into_values().flatten().collect();
    Some(Manifest {
        project: project?,
        has_submodules,
        has_lfs,
        services,
        tests,
        paths,
        environments,
        previews,
        databases,
    })
}

/// `submodules` and `lfs` of `[source]`.
fn read_source(reader: &mut Reader<'_>, source: Option<Value<'_>>) -> (bool, bool) {
    let Some(fields) = source.and_then(|source| reader.table(&schema::SOURCE, &source)) else {
        return (false, false);
    };
    let mut read = |key: &str| service::read_or(reader, &fields, key, false, Reader::boolean);
    (read("submodules"), read("lfs"))
}

/// The tables inside a table such as `services`, in the order of the file.
fn named<'a>(reader: &mut Reader<'_>, value: Option<Value<'a>>) -> Vec<(String, Value<'a>)> {
    let Some(value) = value else { return Vec::new() };
    let Some(table) = reader.any_table(&value) else { return Vec::new() };
    let fields = Fields::open(&value.path, value.at(), table);
    fields.all()
}

/// A service or site with the places of what laws may complain about.
#[derive(Debug)]
struct Found {
    spec: ServiceSpec,
    test: Option<test::FoundTest>,
    paths: Option<Paths>,
    /// Databases it uses, and where each is written.
    uses: Vec<(DatabaseName, std::ops::Range<usize>)>,
    /// Where its routes are written, in the order of `spec.routes`.
    routes: Vec<route::RouteAt>,
    /// Where its name is written.
    at: std::ops::Range<usize>,
    /// Where `replicas` is written, else its name.
    replicas_at: std::ops::Range<usize>,
}

/// Everything in `services` and `sites`.
#[derive(Debug, Default)]
struct Services {
    /// Every name with its kind, also of tables with problems, so that one problem does not cause more.
    names: BTreeMap<ServiceName, Kind>,
    found: Vec<Found>,
}

/// What a name stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Service,
    Site,
}

impl Services {
    fn add(
        &mut self,
        reader: &mut Reader<'_>,
        text: &str,
        at: std::ops::Range<usize>,
        read: impl FnOnce(&mut Reader<'_>, ServiceName) -> (Kind, Option<Found>),
    ) {
        let name: ServiceName = match text.parse() {
            Ok(name) => name,
            Err(error) => {
                let error: havre_core::name::NameError = error;
                reader.report(Code::WrongName, at, error.to_string(), "");
                return;
            }
        };
        if schema::is_reserved(text) {
            let message = format!("`{text}` is a name Havre uses itself");
            reader.report(Code::WrongName, at.clone(), message, "choose another name");
        }
        let (kind, found) = read(reader, name.clone());
        if self.names.insert(name.clone(), kind).is_some() {
            let message = format!("`{name}` is a service and a site: each needs a name of its own");
            reader.report(Code::Conflict, at, message, "rename one of them");
        }
        self.found.extend(found);
    }
}
