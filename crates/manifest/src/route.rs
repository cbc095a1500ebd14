//! Reads `hosts`: host names, each with an optional path prefix. Tests: `tests/it/manifest.rs`.

use std::ops::Range;

use crate::problem::Code;
use crate::read::{Reader, Value};
use havre_core::name::{AbsolutePath, HostName};
use havre_core::service::spec::RouteSpec;

/// A route and where it is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct RouteAt {
    pub(super) spec: RouteSpec,
    pub(super) at: Range<usize>,
}

/// Reads a list of hosts; leaves out what has problems.
pub(super) fn read_hosts(reader: &mut Reader<'_>, value: &Value<'_>) -> Vec<RouteAt> {
    if value.is_text() {
        let message = format!("`{}` is one text, expected a list of hosts", value.path);
        reader.report(
            Code::WrongType,
            value.at(),
            message,
            "put it in brackets, such as [\"api.example.org\"]",
        );
        return Vec::new();
    }
    let list = reader.list(value, "a list of hosts such as [\"api.example.org\"]").unwrap_or_default();
    list.iter().filter_map(|host| read_host(reader, host)).collect()
}

fn read_host(reader: &mut Reader<'_>, value: &Value<'_>) -> Option<RouteAt> {
    let text = reader.text(value, "a host in quotes, such as \"api.example.org\"")?;
    let (host, path) = match text.find('/') {
        Some(slash) if !text.contains("://") => text.split_at(slash),
        _ => (text, "/"),
    };
    let host = match host.parse::<HostName>() {
        Ok(host) => host,
        Err(error) => {
            let hint = advise(host);
            reader.report(Code::WrongValue, value.at(), format!("`{}`: {error}", value.path), hint);
            return None;
        }
    };
    // `/api` and `/api/` are one prefix on whole segments; one route has one text.
    let trimmed = if path.len() > 1 { path.trim_end_matches('/') } else { path };
    let path: AbsolutePath = reader.parsed_text(if trimmed.is_empty() { path } else { trimmed }, value)?;
    Some(RouteAt { spec: RouteSpec { host, path }, at: value.at() })
}

/// What to write instead of a host that is not one.
fn advise(text: &str) -> String {
    if let Some((_, rest)) = text.split_once("://") {
        return format!("leave out the scheme: \"{}\"", printable(rest.trim_end_matches('/')));
    }
    if text.contains('*') {
        return "name each host by itself; wildcards need a later version".to_owned();
    }
    if !text.is_ascii() {
        return "write international names in the xn-- form your domain registrar shows".to_owned();
    }
    if let Some((host, _)) = text.split_once(':') {
        return format!("leave out the port: \"{}\"", printable(host));
    }
    let lower = text.to_ascii_lowercase();
    let trimmed = lower.trim_end_matches('.');
    if trimmed != text && trimmed.parse::<HostName>().is_ok() {
        return format!("did you mean \"{trimmed}\"?");
    }
    String::new()
}

fn printable(text: &str) -> String {
    text.chars().take(80).flat_map(char::escape_debug).collect()
}
