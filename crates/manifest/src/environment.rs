//! Reads `[environments.<name>]`: what one environment changes. Tests: `tests/it/manifest.rs`.

use havre_core::suggest::nearest;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use crate::database::Databases;
use crate::problem::Code;
use crate::read::{Reader, Value};
use crate::route::{self, RouteAt};
use crate::{Kind, database, schema, source};
use havre_core::name::{DatabaseName, EnvKey, JobName, ServiceName};
use havre_core::quantity::ByteSize;
use havre_core::service::spec::defaults;

/// What an environment changes.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Overrides {
    pub(super) branch: Option<String>,
    /// In place of the service's own.
    pub(super) hosts: BTreeMap<ServiceName, Vec<RouteAt>>,
    /// In place of the service's own.
    pub(super) replicas: BTreeMap<ServiceName, u32>,
    /// Where each of `replicas` is written.
    pub(super) replicas_at: BTreeMap<ServiceName, Range<usize>>,
    /// Added to the service's own, and stronger.
    pub(super) env: BTreeMap<ServiceName, BTreeMap<EnvKey, String>>,
    /// Jobs it does not have.
    pub(super) without_jobs: BTreeSet<JobName>,
    /// Memory of databases, in place of their own.
    pub(super) databases: BTreeMap<DatabaseName, ByteSize>,
    /// Its path, for messages.
    pub(super) path: String,
}

/// Reads one environment of a file with these services, sites, jobs and databases.
pub(super) fn read(
    reader: &mut Reader<'_>,
    names: &BTreeMap<ServiceName, Kind>,
    (jobs, databases): (&BTreeSet<JobName>, &Databases),
    value: &Value<'_>,
) -> Option<Overrides> {
    let fields = reader.table(&schema::ENVIRONMENT, value)?;
    let mut overrides = Overrides { path: value.path.clone(), ..Overrides::default() };
    if let Some(branch) = fields.find("branch") {
        overrides.branch = read_branch(reader, &branch);
    }
    if let Some(hosts) = fields.find("hosts") {
        for (name, value) in per_service(reader, names, &hosts, false) {
            overrides.hosts.insert(name, route::read_hosts(reader, &value));
        }
    }
    if let Some(replicas) = fields.find("replicas") {
        for (name, value) in per_service(reader, names, &replicas, true) {
            let Some(count) = reader.integer(&value, 0..=defaults::REPLICAS_MAX) else { continue };
            overrides.replicas_at.insert(name.clone(), value.at());
            overrides.replicas.insert(name, count);
        }
    }
    if let Some(env) = fields.find("env") {
        for (name, value) in per_service(reader, names, &env, true) {
            overrides.env.insert(name, source::read_env(reader, &value));
        }
    }
    if let Some(value) = fields.find("jobs") {
        overrides.without_jobs = read_without_jobs(reader, jobs, &value);
    }
    if let Some(value) = fields.find("databases") {
        overrides.databases = database::read_overrides(reader, databases, &value);
    }
    Some(overrides)
}

/// `{ cleanup = false }`: `true` says what is so anyway.
fn read_without_jobs(
    reader: &mut Reader<'_>,
    jobs: &BTreeSet<JobName>,
    value: &Value<'_>,
) -> BTreeSet<JobName> {
    let mut without = BTreeSet::new();
    for (text, entry) in reader.entries(value).unwrap_or_default() {
        let Some(name) = jobs.iter().find(|name| name.as_str() == text) else {
            let known: Vec<&str> = jobs.iter().map(JobName::as_str).collect();
            let hint = match nearest(&text, &known) {
                Some(near) => format!("did you mean `{near}`?"),
                None if known.is_empty() => "there are no jobs; add [jobs.<name>]".to_owned(),
                None => format!("there are: {}", known.join(", ")),
            };
            let message = format!("`{}` names no job of this file", entry.path);
            reader.report(Code::UnknownJob, entry.key_at, message, hint);
            continue;
        };
        if reader.boolean(&entry) == Some(false) {
            without.insert(name.clone());
        }
    }
    without
}

/// The entries of a table whose keys are names of services.
pub(super) fn per_service<'a>(
    reader: &mut Reader<'_>,
    names: &BTreeMap<ServiceName, Kind>,
    value: &Value<'a>,
    only_services: bool,
) -> Vec<(ServiceName, Value<'a>)> {
    let mut entries = Vec::new();
    for (text, entry) in reader.entries(value).unwrap_or_default() {
        let found = names.iter().find(|(name, _)| name.as_str() == text);
        match found {
            Some((name, Kind::Service)) => entries.push((name.clone(), entry)),
            Some((name, Kind::Site)) if !only_services => entries.push((name.clone(), entry)),
            Some((name, Kind::Site)) => {
                let message = format!("`{}`: {name} is a site, which runs no tasks", entry.path);
                reader.report(Code::Conflict, entry.key_at, message, "remove it");
            }
            None => {
                let known: Vec<&str> = names.keys().map(ServiceName::as_str).collect();
                let hint = match nearest(&text, &known) {
                    Some(near) => format!("did you mean `{near}`?"),
                    None => format!("there are: {}", known.join(", ")),
                };
                let message = format!("`{}` names no service of this file", entry.path);
                reader.report(Code::UnknownService, entry.key_at, message, hint);
            }
        }
    }
    entries
}

/// Checked as text only: which branches exist is known to git.
fn read_branch(reader: &mut Reader<'_>, value: &Value<'_>) -> Option<String> {
    let text = reader.text(value, "the name of a branch in quotes")?;
    let is_plain = (1..=255).contains(&text.len())
        && !text.starts_with(['-', '/'])
        && !text.contains("..")
        && text.bytes().all(|byte| byte.is_ascii_graphic() && !b"~^:?*[\\".contains(&byte));
    if !is_plain {
        let message = format!("`{}` is not the name of a branch", value.path);
        reader.report(Code::WrongValue, value.at(), message, "such as \"main\"");
        return None;
    }
    Some(text.to_owned())
}
