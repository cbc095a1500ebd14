//! What an apply would change, found out without writing: a dry run and the real thing share it.
//! Tests: `tests/it/environment.rs`.

use havre_api::environment::{Action, ApplyRequest, Change, FieldChange};
use havre_core::service::Service;
use havre_core::service::spec::{RouteSpec, ServiceSpec, Work};
use havre_store::{StoreError, View};
use serde_json::Value;

use crate::error::{Refusal, route_taken};
use crate::extract::EnvironmentPath;

/// Every change, by service name; refuses what cannot be applied.
pub(crate) fn list(
    view: &View<'_>,
    path: &EnvironmentPath,
    request: &ApplyRequest,
) -> Result<Vec<Change>, Refusal> {
    let existing = match view.find_environment(&path.project, &path.environment)? {
        Some(environment) => view.list_environment_services(environment.id)?,
        None => Vec::new(),
    };
    let mut changes = Vec::new();
    for spec in &request.services {
        for route in &spec.routes {
            check_owner(view, route, path, request)?;
        }
        let before = existing.iter().find(|service| service.place.service == spec.name);
        changes.push(match before {
            None => created(spec),
            Some(service) => compare(view, service, spec)?,
        });
    }
    for service in &existing {
        let is_named = request.services.iter().any(|spec| spec.name == service.place.service);
        if !is_named && service.destroyed_at.is_none() {
            changes.push(not_named(service, request.prune));
        }
    }
    changes.sort_by(|a, b| a.service.cmp(&b.service));
    Ok(changes)
}

fn created(spec: &ServiceSpec) -> Change {
    Change {
        service: spec.name.clone(),
        action: Action::Created,
        revision: None,
        fields: Vec::new(),
        needs_deployment: true,
    }
}

fn not_named(service: &Service, prune: bool) -> Change {
    let (action, revision) =
        if prune { (Action::Destroyed, None) } else { (Action::NotNamed, Some(service.revision)) };
    let service = service.place.service.clone();
    Change { service, action, revision, fields: Vec::new(), needs_deployment: false }
}

fn compare(view: &View<'_>, service: &Service, spec: &ServiceSpec) -> Result<Change, Refusal> {
    let place = service.place.clone();
    if service.destroyed_at.is_some() {
        return Err(StoreError::BeingDestroyed { place }.into());
    }
    if kind(&service.spec) != kind(spec) {
        return Err(StoreError::OtherKind { place, is: kind(&service.spec), wanted: kind(spec) }.into());
    }
    let fields = differences(&service.spec, spec);
    let live = match service.live {
        Some(live) => Some(view.get_release(live)?.spec),
        None => None,
    };
    let (action, revision) = if fields.is_empty() {
        (Action::Unchanged, service.revision)
    } else {
        (Action::Changed, service.revision + 1)
    };
    let needs_deployment = live.is_none_or(|live| differs_for_users(&live, spec));
    Ok(Change { service: spec.name.clone(), action, revision: Some(revision), fields, needs_deployment })
}

/// The number of tasks is the one thing that takes effect without a deployment.
fn differs_for_users(live: &ServiceSpec, wanted: &ServiceSpec) -> bool {
    let mut live = live.clone();
    if let (Work::Tasks(live), Some(wanted)) = (&mut live.work, wanted.tasks()) {
        live.replicas = wanted.replicas;
    }
    live != *wanted
}

const fn kind(spec: &ServiceSpec) -> &'static str {
    match spec.work {
        Work::Tasks(_) => "service with tasks",
        Work::Site(_) => "site",
    }
}

/// Refuses a route somebody else keeps after this apply.
fn check_owner(
    view: &View<'_>,
    route: &RouteSpec,
    path: &EnvironmentPath,
    request: &ApplyRequest,
) -> Result<(), Refusal> {
    let Some(owner) = view.find_route_owner(route)? else { return Ok(()) };
    let is_here = owner.project == path.project && owner.environment == path.environment;
    let gives_up = is_here
        && match request.services.iter().find(|spec| spec.name == owner.service) {
            // Named: its new specification counts, and `rule` has refused a route named twice.
            Some(_) => true,
            None => request.prune,
        };
    if gives_up { Ok(()) } else { Err(route_taken(&route.to_string(), &owner.to_string())) }
}

/// Every field that differs. Values of environment variables and hashes of passwords are hidden: plans are shown in build logs, and people
/// put passwords there.
fn differences(from: &ServiceSpec, to: &ServiceSpec) -> Vec<FieldChange> {
    let json = |spec: &ServiceSpec| serde_json::to_value(spec).expect("a specification is always JSON");
    let mut found = Vec::new();
    compare_values("", Some(&json(from)), Some(&json(to)), &mut found);
    let is_private = |path: &str| path.starts_with("work.env.") || path.contains(".basic_auth.users.");
    for change in found.iter_mut().filter(|change| is_private(&change.path)) {
        let hidden = || Value::String("(hidden)".to_owned());
        change.from = change.from.as_ref().map(|_| hidden());
        change.to = change.to.as_ref().map(|_| hidden());
    }
    found
}

fn compare_values(path: &str, from: Option<&Value>, to: Option<&Value>, found: &mut Vec<FieldChange>) {
    match (from, to) {
        (Some(Value::Object(from)), Some(Value::Object(to))) => {
            let mut keys: Vec<&String> = from.keys().chain(to.keys()).collect();
            keys.sort();
            keys.dedup();
            for key in keys {
                let inner = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
                compare_values(&inner, from.get(key), to.get(key), found);
            }
        }
        // Lists of words (commands) are shown whole: word by word nobody understands them.
        (Some(Value::Array(from)), Some(Value::Array(to))) if from.iter().chain(to).all(Value::is_object) => {
            for index in 0..from.len().max(to.len()) {
                compare_values(&format!("{path}[{index}]"), from.get(index), to.get(index), found);
            }
        }
        (from, to) if from != to => {
            found.push(FieldChange { path: path.to_owned(), from: from.cloned(), to: to.cloned() });
        }
        _ => {}
    }
}
