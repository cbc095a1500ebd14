//! Reads `edge` and `redirects` of a service or site: what the edge does with its requests and answers. `parts` reads
//! the tables inside, `redirect` the redirects. Tests: `tests/it/manifest_edge.rs`.

mod parts;
mod redirect;

use crate::problem::Code;
use crate::read::{Fields, Reader, Value};
use crate::route::RouteAt;
use crate::schema;
use havre_core::name::AbsolutePath;
use havre_core::quantity::{ByteSize, Span};
use havre_core::route::settings::network::Network;
use havre_core::route::settings::{EdgeSpec, HOLD_MOST, RouteSettings};

const DAY: Span = Span::seconds(86_400);

/// Reads what a service or site says about its addresses. Hosts that only lead elsewhere are added to `routes`.
pub(super) fn read(reader: &mut Reader<'_>, fields: &Fields<'_>, routes: &mut Vec<RouteAt>) -> EdgeSpec {
    let mut edge = EdgeSpec::default();
    if let Some(value) = fields.find("edge")
        && let Some(table) = reader.table(&schema::EDGE, &value)
    {
        read_settings(reader, &table, &mut edge.settings);
        if let Some(paths) = table.find("paths") {
            read_paths(reader, &paths, &mut edge, routes);
        }
    }
    if let Some(value) = fields.find("redirects") {
        redirect::read(reader, &value, &mut edge, routes);
    }
    if let (true, Some(value)) = (routes.is_empty(), fields.find("edge").or_else(|| fields.find("redirects")))
    {
        let message = format!("`{}` says what the edge does for `hosts`, and there are none", value.path);
        reader.report(Code::MissingKey, value.key_at.clone(), message, "add hosts = [\"www.example.org\"]");
    }
    edge
}

/// A section starts with what holds for the section around it, or for the whole service.
fn read_paths(reader: &mut Reader<'_>, value: &Value<'_>, edge: &mut EdgeSpec, routes: &[RouteAt]) {
    let mut sections = Vec::new();
    for (name, entry) in reader.entries(value).unwrap_or_default() {
        let text = if name.len() > 1 { name.trim_end_matches('/') } else { name.as_str() };
        let Some(path) = reader.parsed_key::<AbsolutePath>(text, &entry) else { continue };
        if !routes.is_empty() && !routes.iter().any(|route| route.spec.path.covers(&path)) {
            let message = format!("`{}`: no host of this service or site serves {path}", entry.path);
            let hint = "write the whole path as users ask for it, with the path of its host";
            reader.report(Code::Conflict, entry.key_at.clone(), message, hint);
        }
        sections.push((path, entry));
    }
    sections.sort_by_key(|(path, _)| path.as_str().len());
    for (path, entry) in sections {
        let mut settings = edge.section(&path).map_or(&edge.settings, |(_, around)| around).clone();
        let Some(table) = reader.table(&schema::EDGE_PATH, &entry) else { continue };
        read_settings(reader, &table, &mut settings);
        if edge.paths.insert(path.clone(), settings).is_some() {
            let message = format!("`{}`: {path} has a section already", entry.path);
            reader.report(Code::Conflict, entry.key_at.clone(), message, "put both into one");
        }
    }
}

fn read_settings(reader: &mut Reader<'_>, fields: &Fields<'_>, settings: &mut RouteSettings) {
    let mut each = |key: &str, read: &mut dyn FnMut(&mut Reader<'_>, &Value<'_>)| {
        if let Some(value) = fields.find(key) {
            read(reader, &value);
        }
    };
    each("strip_prefix", &mut |reader, value| settings.strip_prefix = reader.parsed(value));
    each("request_headers", &mut |reader, value| settings.request_headers = parts::headers(reader, value));
    each("response_headers", &mut |reader, value| settings.response_headers = parts::headers(reader, value));
    each("basic_auth", &mut |reader, value| settings.basic_auth = parts::basic_auth(reader, value));
    each("allow", &mut |reader, value| settings.allow = networks(reader, value));
    each("deny", &mut |reader, value| settings.deny = networks(reader, value));
    each("rate_limit", &mut |reader, value| settings.rate_limits = parts::rate_limits(reader, value));
    each("max_body", &mut |reader, value| settings.limits.body = size(reader, value));
    each("max_head", &mut |reader, value| settings.limits.head = size(reader, value));
    each("timeouts", &mut |reader, value| parts::timeouts(reader, value, &mut settings.limits));
    each("compress", &mut |reader, value| settings.compress = reader.boolean(value).unwrap_or_default());
    each("sticky", &mut |reader, value| settings.sticky = parts::sticky(reader, value));
    each("cors", &mut |reader, value| settings.cors = parts::cors(reader, value));
    each("error_pages", &mut |reader, value| settings.error_pages = parts::error_pages(reader, value));
    each("maintenance", &mut |reader, value| settings.maintenance = parts::maintenance(reader, value));
    each("hold", &mut |reader, value| settings.hold = reader.span(value, Span::seconds(0)..=HOLD_MOST));
    if let (true, Some(cors)) = (settings.basic_auth.is_some(), fields.find("cors"))
        && settings.cors.as_ref().is_some_and(|cors| !cors.credentials)
    {
        let message = format!(
            "`{}` lets other origins ask without credentials, and `basic_auth` needs some",
            cors.path
        );
        reader.report(
            Code::Conflict,
            cors.key_at.clone(),
            message,
            "add credentials = true and name the origins",
        );
    }
}

/// A list of networks; an empty one would mean everybody, which nobody writes on purpose.
fn networks(reader: &mut Reader<'_>, value: &Value<'_>) -> Vec<Network> {
    let list = reader.list(value, "a list of networks such as [\"10.0.0.0/8\"]").unwrap_or_default();
    if list.is_empty() && value.is_list() {
        let message = format!("`{}` is empty", value.path);
        reader.report(Code::WrongValue, value.at(), message, "name a network, or remove the key");
    }
    list.iter().filter_map(|entry| reader.parsed(entry)).collect()
}

fn size(reader: &mut Reader<'_>, value: &Value<'_>) -> Option<ByteSize> {
    let text = reader.text(value, "a size in quotes, such as \"10MB\"")?;
    let size: ByteSize = reader.parsed_text(text, value)?;
    if size.as_bytes() == 0 {
        let message = format!("`{}` is nothing at all", value.path);
        reader.report(
            Code::WrongValue,
            value.at(),
            message,
            "write a size such as \"10MB\", or remove the key",
        );
        return None;
    }
    Some(size)
}
