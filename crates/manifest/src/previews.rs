//! Reads `[previews]`: what the preview of a pull request is like, and who gets one. The table of the base branch counts, never that of the
//! pull request. Tests: `tests/it/previews.rs`.

use std::collections::BTreeMap;
use std::ops::Range;

use havre_core::suggest::nearest;

use crate::environment::{Overrides, per_service};
use crate::problem::Code;
use crate::read::{Reader, Value};
use crate::service::{read_memory, read_or};
use crate::{Found, Services, law, resolve, schema, source};
use havre_core::name::{EnvKey, EnvironmentName, ServiceName};
use havre_core::preview::{MAX, MAX_MOST, Policy, PullNumber, TTL, TTL_MAX, TTL_MIN};
use havre_core::quantity::{ByteSize, Span};
use havre_core::route::settings::RouteSettings;
use havre_core::route::settings::text::{HeaderName, HeaderValue};
use havre_core::service::spec::{ServiceSpec, Work, defaults};
use havre_core::source::BranchName;
use havre_decide::preview::host::HostTemplate;

/// Keeps search engines away: two addresses with one text help nobody.
const ROBOTS: (&str, &str) = ("x-robots-tag", "noindex");

/// `[previews]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Previews {
    /// Where each service or site is found; one that is not named is reached by other services only.
    hosts: BTreeMap<ServiceName, Vec<HostTemplate>>,
    /// The environment whose variables and numbers are taken before those of this table.
    from: Option<EnvironmentName>,
    /// Added to the service's own, and stronger.
    env: BTreeMap<ServiceName, BTreeMap<EnvKey, String>>,
    /// In place of the service's own.
    memory: BTreeMap<ServiceName, ByteSize>,
    /// In place of one.
    replicas: BTreeMap<ServiceName, u32>,
    /// Whether previews have jobs.
    has_jobs: bool,
    policy: Policy,
}

impl Previews {
    /// Who gets a preview, how many there are, and how long they stay.
    pub fn policy(&self) -> Policy {
        self.policy
    }

    /// The environment whose overrides are taken.
    pub(super) fn made_from(&self) -> Option<&EnvironmentName> {
        self.from.as_ref()
    }

    /// Services of a pull request as its preview has them; `overrides` are those of the environment it is made from.
    pub(super) fn resolve(
        &self,
        services: &[ServiceSpec],
        overrides: Option<&Overrides>,
        number: PullNumber,
        branch: &BranchName,
    ) -> Vec<ServiceSpec> {
        let mut specs = match overrides {
            Some(overrides) => resolve(services, overrides),
            None => services.to_vec(),
        };
        for spec in &mut specs {
            let templates = self.hosts.get(&spec.name).map(Vec::as_slice).unwrap_or_default();
            spec.routes = templates.iter().filter_map(|template| template.fill(number, branch)).collect();
            // They stand beside the hosts of the service, which are not those of a preview.
            spec.edge.redirect_hosts.clear();
            keep_robots_away(&mut spec.edge.settings);
            spec.edge.paths.values_mut().for_each(keep_robots_away);
            if !self.has_jobs {
                spec.jobs.clear();
            }
            match &mut spec.work {
                Work::Tasks(work) => {
                    work.replicas =
                        self.replicas.get(&spec.name).copied().unwrap_or_else(|| work.replicas.min(1));
                    work.memory = self.memory.get(&spec.name).copied().unwrap_or(work.memory);
                    let env = self.env.get(&spec.name).into_iter().flatten();
                    work.secrets.retain(|name| !env.clone().any(|(key, _)| key == name));
                    work.env.extend(env.map(|(key, value)| (key.clone(), value.clone())));
                    // There are few users, and somebody waits.
                    work.canary = None;
                    work.bake = Span::seconds(0);
                }
                // The CDN is in front of other hosts, and its secret is theirs.
                Work::Site(site) => site.settings.cdn = None,
            }
        }
        specs
    }
}

fn keep_robots_away(settings: &mut RouteSettings) {
    let name: HeaderName = ROBOTS.0.parse().expect("it is the name of a header");
    let value: HeaderValue = ROBOTS.1.parse().expect("it is the value of a header");
    let edits = &mut settings.response_headers;
    edits.add.remove(&name);
    edits.remove.remove(&name);
    edits.set.insert(name, value);
}

/// Reads the table of a file with these services, sites and environments.
pub(super) fn read(
    reader: &mut Reader<'_>,
    services: &Services,
    environments: &BTreeMap<EnvironmentName, Overrides>,
    value: &Value<'_>,
) -> Option<Previews> {
    let (names, found) = (&services.names, services.found.as_slice());
    let fields = reader.table(&schema::PREVIEWS, value)?;
    let mut previews = Previews {
        hosts: BTreeMap::new(),
        from: fields.find("from").and_then(|from| read_from(reader, environments, &from)),
        env: BTreeMap::new(),
        memory: BTreeMap::new(),
        replicas: BTreeMap::new(),
        has_jobs: read_or(reader, &fields, "jobs", false, Reader::boolean),
        policy: Policy {
            forks: read_or(reader, &fields, "forks", false, Reader::boolean),
            max: read_or(reader, &fields, "max", MAX, |reader, value| reader.integer(value, 1..=MAX_MOST)),
            ttl: read_or(reader, &fields, "ttl", TTL, |reader, value| reader.span(value, TTL_MIN..=TTL_MAX)),
        },
    };
    if let Some(hosts) = fields.find("hosts") {
        let mut seen = BTreeMap::new();
        for (name, value) in per_service(reader, names, &hosts, false) {
            check_port(reader, found, &name, &value);
            previews.hosts.insert(name, read_hosts(reader, &mut seen, &value));
        }
    }
    if let Some(env) = fields.find("env") {
        for (name, value) in per_service(reader, names, &env, true) {
            previews.env.insert(name, source::read_env(reader, &value));
        }
    }
    if let Some(memory) = fields.find("memory") {
        for (name, value) in per_service(reader, names, &memory, true) {
            let Some(memory) = read_memory(reader, &value) else { continue };
            previews.memory.insert(name, memory);
        }
    }
    if let Some(replicas) = fields.find("replicas") {
        for (name, value) in per_service(reader, names, &replicas, true) {
            let Some(count) = reader.integer(&value, 0..=defaults::REPLICAS_MAX) else { continue };
            if let Some(found) = found.iter().find(|found| found.spec.name == name) {
                law::check_volume(reader, found, count, value.at());
            }
            previews.replicas.insert(name, count);
        }
    }
    Some(previews)
}

fn read_from(
    reader: &mut Reader<'_>,
    environments: &BTreeMap<EnvironmentName, Overrides>,
    value: &Value<'_>,
) -> Option<EnvironmentName> {
    let name: EnvironmentName = reader.parsed(value)?;
    let production = EnvironmentName::production();
    if name == production || environments.contains_key(&name) {
        return Some(name);
    }
    let mut known: Vec<&str> = environments.keys().map(EnvironmentName::as_str).collect();
    known.push(production.as_str());
    known.sort_unstable();
    known.dedup();
    let hint = match nearest(name.as_str(), &known) {
        Some(near) => format!("did you mean \"{near}\"?"),
        None => format!("there are: {}", known.join(", ")),
    };
    let message = format!("`{}`: `{name}` is no environment of this file", value.path);
    reader.report(Code::UnknownEnvironment, value.at(), message, hint);
    None
}

/// One host, or a list of them; `seen` are those of services before.
fn read_hosts(
    reader: &mut Reader<'_>,
    seen: &mut BTreeMap<String, Range<usize>>,
    value: &Value<'_>,
) -> Vec<HostTemplate> {
    let values = match value.is_list() {
        true => reader.list(value, "a list of hosts").unwrap_or_default(),
        false => vec![value.clone()],
    };
    let mut hosts = Vec::new();
    for value in values {
        let expected = "a host in quotes with {number} in it, such as \"{number}.preview.example.org\"";
        let Some(text) = reader.text(&value, expected) else { continue };
        let Some(host) = reader.parsed_text::<HostTemplate>(text, &value) else { continue };
        if let Some(first) = seen.insert(host.to_string(), value.at()) {
            let message = format!("`{}`: {host} is taken on line {}", value.path, reader.line(&first));
            reader.report(Code::Conflict, value.at(), message, "each host and path leads to one place");
        }
        hosts.push(host);
    }
    hosts
}

/// Hosts lead to a port.
fn check_port(reader: &mut Reader<'_>, found: &[Found], name: &ServiceName, value: &Value<'_>) {
    let spec = found.iter().find(|found| found.spec.name == *name).map(|found| &found.spec);
    if spec.and_then(ServiceSpec::tasks).is_some_and(|work| work.port.is_none()) {
        let message = format!("`{}` needs `port` of services.{name}", value.path);
        reader.report(Code::MissingKey, value.at(), message, "add `port`, such as port = 3000");
    }
}
