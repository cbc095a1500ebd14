//! Reads `redirects`: from a host or a path to an address. Refuses those that would never end.
//! Tests: `tests/it/manifest_edge.rs`.

use crate::problem::Code;
use crate::read::{Reader, Value};
use crate::route::RouteAt;
use crate::schema;
use havre_core::name::{AbsolutePath, HostName};
use havre_core::route::settings::EdgeSpec;
use havre_core::route::settings::redirect::{Location, PathPattern, Redirect, RedirectStatus};
use havre_core::service::spec::RouteSpec;

/// Redirects followed to find out whether they end.
const FOLLOWED: usize = 20;

/// Reads the table; a host of it becomes a route that only leads elsewhere.
pub(super) fn read(
    reader: &mut Reader<'_>,
    value: &Value<'_>,
    edge: &mut EdgeSpec,
    routes: &mut Vec<RouteAt>,
) {
    let own: Vec<HostName> = routes.iter().map(|route| route.spec.host.clone()).collect();
    for (from, entry) in reader.entries(value).unwrap_or_default() {
        let Some((to, status)) = read_target(reader, &entry) else { continue };
        if from.starts_with('/') {
            let Some(from) = reader.parsed_key::<PathPattern>(&from, &entry) else { continue };
            if to.keeps_rest() && !from.is_prefix() && to.origin().is_none() {
                let message = format!(
                    "`{}`: {to} takes over what follows, and {from} has nothing that follows",
                    entry.path
                );
                reader.report(Code::WrongValue, entry.at(), message, "write both with /* or both without");
                continue;
            }
            edge.settings.redirects.push(Redirect { from, to, status });
            continue;
        }
        let Some(host) = reader.parsed_key::<HostName>(&from, &entry) else { continue };
        if own.contains(&host) {
            let message =
                format!("`{}`: {host} is one of `hosts`, so it cannot only lead elsewhere", entry.path);
            reader.report(
                Code::Conflict,
                entry.key_at.clone(),
                message,
                "take it out of `hosts`, or of `redirects`",
            );
            continue;
        }
        if to.origin().is_none_or(|origin| *origin.host() == host) {
            let message = format!("`{}` leads back to {host}", entry.path);
            reader.report(
                Code::WrongValue,
                entry.at(),
                message,
                "name another host, such as \"https://example.org\"",
            );
            continue;
        }
        routes.push(RouteAt {
            spec: RouteSpec { host: host.clone(), path: AbsolutePath::root() },
            at: entry.key_at.clone(),
        });
        edge.redirect_hosts.insert(host, Redirect { from: PathPattern::all(), to, status });
    }
    // The longest pattern first, exact ones before prefixes: what is written more precisely is meant.
    edge.settings.redirects.sort_by_key(|redirect| {
        (redirect.from.is_prefix(), std::cmp::Reverse(redirect.from.to_string().len()))
    });
    refuse_endless(reader, value, edge, &own);
}

fn read_target(reader: &mut Reader<'_>, value: &Value<'_>) -> Option<(Location, RedirectStatus)> {
    if !value.is_table() {
        return Some((reader.parsed(value)?, RedirectStatus::Permanent));
    }
    let fields = reader.table(&schema::REDIRECT, value)?;
    let status = match fields.find("status") {
        Some(status) => {
            let number = reader.integer(&status, 100..=599)?;
            match RedirectStatus::try_from(u16::try_from(number).ok()?) {
                Ok(status) => status,
                Err(error) => {
                    let message = format!("`{}`: {error}", status.path);
                    reader.report(Code::WrongValue, status.at(), message, "");
                    return None;
                }
            }
        }
        None => RedirectStatus::Permanent,
    };
    let Some(to) = fields.find("to") else {
        let message = format!("`{}` has no `to`", value.path);
        reader.report(Code::MissingKey, value.at(), message, "add to = \"https://example.org\"");
        return None;
    };
    Some((reader.parsed(&to)?, status))
}

/// Follows each redirect of this table as a browser would.
fn refuse_endless(reader: &mut Reader<'_>, value: &Value<'_>, edge: &EdgeSpec, own: &[HostName]) {
    for redirect in &edge.settings.redirects {
        let mut place = sample(&redirect.from);
        let mut left = FOLLOWED;
        while left > 0 {
            let found = edge
                .settings
                .redirects
                .iter()
                .find_map(|next| next.from.rest(&place).map(|rest| (&next.to, rest.to_owned())));
            let Some((to, rest)) = found else { break };
            if to.origin().is_some_and(|origin| !own.contains(origin.host())) {
                break;
            }
            let filled = to.fill(&rest, None);
            let start = filled.find("://").map_or(0, |at| at + 3);
            place = filled[start..]
                .find('/')
                .map_or_else(|| "/".to_owned(), |slash| filled[start + slash..].to_owned());
            left -= 1;
        }
        if left == 0 {
            let message = format!("`{}`: the redirect from {} never ends", value.path, redirect.from);
            let at = value.key_of(&redirect.from.to_string());
            reader.report(
                Code::Conflict,
                at,
                message,
                "let it lead to a path that no redirect takes up again",
            );
        }
    }
    for (host, redirect) in &edge.redirect_hosts {
        let mut seen = vec![host];
        let mut next = redirect.to.origin().map(|origin| origin.host());
        while let Some(here) = next {
            if seen.contains(&here) {
                let message = format!("`{}`: the redirect from {host} never ends", value.path);
                reader.report(
                    Code::Conflict,
                    value.key_of(host.as_str()),
                    message,
                    "let it lead to a host of its own",
                );
                break;
            }
            seen.push(here);
            next =
                edge.redirect_hosts.get(here).and_then(|next| next.to.origin()).map(|origin| origin.host());
        }
    }
}

/// A path that a pattern means.
fn sample(pattern: &PathPattern) -> String {
    pattern.to_string().replace("/*", "/x")
}
