//! Reads the tables inside `edge`. Tests: `tests/it/manifest_edge.rs`.

use std::collections::{BTreeMap, BTreeSet};

use super::{DAY, networks};
use crate::problem::Code;
use crate::read::{Reader, Value};
use crate::schema;
use havre_core::quantity::Span;
use havre_core::route::settings::auth::{BasicAuth, PasswordHash};
use havre_core::route::settings::rate::{RateKey, RateLimit};
use havre_core::route::settings::redirect::SiteOrigin;
use havre_core::route::settings::text::{
    CookieName, HeaderName, HeaderValue, MethodName, Page, StatusPattern, UserName,
};
use havre_core::route::settings::{
    Cors, CorsOrigins, ErrorPages, HeaderEdits, MaintenanceSettings, RouteLimits, Sticky,
};

/// Most requests of a rate limit, in one period or at once.
const REQUESTS_MAX: u32 = 10_000_000;
/// Most rate limits of one route: each costs a look for every request.
const RATE_LIMITS_MAX: usize = 8;

/// Names are written as people know them and kept in lower case.
fn header_name(reader: &mut Reader<'_>, text: &str, value: &Value<'_>) -> Option<HeaderName> {
    reader.parsed_key(&text.to_ascii_lowercase(), value)
}

fn header_names(reader: &mut Reader<'_>, value: &Value<'_>) -> BTreeSet<HeaderName> {
    let list = reader.list(value, "a list of header names such as [\"X-Debug\"]").unwrap_or_default();
    let mut names = BTreeSet::new();
    for entry in &list {
        let Some(text) = reader.text(entry, "a header name in quotes") else { continue };
        names.extend(reader.parsed_text::<HeaderName>(&text.to_ascii_lowercase(), entry));
    }
    names
}

pub(super) fn headers(reader: &mut Reader<'_>, value: &Value<'_>) -> HeaderEdits {
    let mut edits = HeaderEdits::default();
    let Some(fields) = reader.table(&schema::HEADERS, value) else { return edits };
    if let Some(remove) = fields.find("remove") {
        edits.remove = header_names(reader, &remove);
    }
    for (key, into) in [("set", &mut edits.set), ("add", &mut edits.add)] {
        let Some(table) = fields.find(key) else { continue };
        for (name, entry) in reader.entries(&table).unwrap_or_default() {
            let Some(name) = header_name(reader, &name, &entry) else { continue };
            let Some(value) = reader.parsed::<HeaderValue>(&entry) else { continue };
            if edits.remove.contains(&name) {
                let message = format!("`{}`: {name} is removed too", entry.path);
                reader.report(
                    Code::Conflict,
                    entry.key_at.clone(),
                    message,
                    "`set` alone replaces every line of a name",
                );
            }
            into.insert(name, value);
        }
    }
    edits
}

pub(super) fn basic_auth(reader: &mut Reader<'_>, value: &Value<'_>) -> Option<BasicAuth> {
    let fields = reader.table(&schema::BASIC_AUTH, value)?;
    let realm = match fields.find("realm") {
        Some(realm) => reader.parsed(&realm)?,
        None => "Restricted".parse().expect("a plain word is a realm"),
    };
    let mut users = BTreeMap::new();
    if let Some(table) = fields.find("users") {
        for (name, entry) in reader.entries(&table).unwrap_or_default() {
            let Some(name) = reader.parsed_key::<UserName>(&name, &entry) else { continue };
            let Some(hash) = reader.parsed::<PasswordHash>(&entry) else { continue };
            users.insert(name, hash);
        }
    }
    if users.is_empty() && reader.is_clean() {
        let message = format!("`{}` has no users, so nobody could sign in", value.path);
        let hint = "add users = { ada = \"$argon2id$...\" }; `havre password hash` makes such a hash";
        reader.report(Code::MissingKey, value.key_at.clone(), message, hint);
        return None;
    }
    Some(BasicAuth { realm, users })
}

pub(super) fn rate_limits(reader: &mut Reader<'_>, value: &Value<'_>) -> Vec<RateLimit> {
    if value.is_table() {
        return rate_limit(reader, value).into_iter().collect();
    }
    let list = reader.list(value, "a table such as { requests = 100, per = \"1m\" }, or a list of them");
    let list = list.unwrap_or_default();
    if list.len() > RATE_LIMITS_MAX {
        let message = format!("`{}` has more than {RATE_LIMITS_MAX} entries", value.path);
        reader.report(Code::TooLarge, value.at(), message, "");
    }
    list.iter().filter_map(|entry| rate_limit(reader, entry)).collect()
}

fn rate_limit(reader: &mut Reader<'_>, value: &Value<'_>) -> Option<RateLimit> {
    let fields = reader.table(&schema::RATE_LIMIT, value)?;
    let Some(requests) = fields.find("requests") else {
        let message = format!("`{}` has no `requests`", value.path);
        reader.report(Code::MissingKey, value.at(), message, "add requests = 100");
        return None;
    };
    let requests = reader.integer(&requests, 1..=REQUESTS_MAX)?;
    let per = match fields.find("per") {
        Some(per) => reader.span(&per, Span::seconds(1)..=DAY)?,
        None => Span::seconds(1),
    };
    let burst = match fields.find("burst") {
        Some(burst) => reader.integer(&burst, 1..=REQUESTS_MAX)?,
        None => requests,
    };
    let by = match fields.find("by") {
        None => RateKey::Client,
        Some(by) => match reader.text(&by, "\"client\", or the name of a header in quotes")? {
            "client" => RateKey::Client,
            name => RateKey::Header(reader.parsed_text(&name.to_ascii_lowercase(), &by)?),
        },
    };
    Some(RateLimit { by, requests, per, burst })
}

pub(super) fn timeouts(reader: &mut Reader<'_>, value: &Value<'_>, limits: &mut RouteLimits) {
    let Some(fields) = reader.table(&schema::TIMEOUTS, value) else { return };
    for (key, into) in [
        ("connect", &mut limits.connect),
        ("first_byte", &mut limits.first_byte),
        ("total", &mut limits.total),
    ] {
        if let Some(value) = fields.find(key) {
            *into = reader.span(&value, Span::millis(100)..=DAY);
        }
    }
}

pub(super) fn sticky(reader: &mut Reader<'_>, value: &Value<'_>) -> Option<Sticky> {
    let cookie: CookieName = "havre_task".parse().expect("a plain word is a cookie name");
    if !value.is_table() {
        return reader.boolean(value)?.then_some(Sticky { cookie, max_age: None });
    }
    let fields = reader.table(&schema::STICKY, value)?;
    let cookie = match fields.find("cookie") {
        Some(name) => reader.parsed(&name)?,
        None => cookie,
    };
    let max_age = match fields.find("max_age") {
        Some(age) => Some(reader.span(&age, Span::seconds(1)..=Span::seconds(365 * 86_400))?),
        None => None,
    };
    Some(Sticky { cookie, max_age })
}

pub(super) fn cors(reader: &mut Reader<'_>, value: &Value<'_>) -> Option<Cors> {
    let preset = |origins| Cors {
        origins,
        methods: ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"].into_iter().flat_map(str::parse).collect(),
        headers: BTreeSet::new(),
        expose: BTreeSet::new(),
        credentials: false,
        max_age: Span::seconds(600),
    };
    if !value.is_table() {
        return origins(reader, value).map(preset);
    }
    let fields = reader.table(&schema::CORS, value)?;
    let Some(from) = fields.find("origins") else {
        let message = format!("`{}` has no `origins`", value.path);
        reader.report(Code::MissingKey, value.at(), message, "add origins = [\"https://app.example.org\"]");
        return None;
    };
    let mut cors = preset(origins(reader, &from)?);
    if let Some(methods) = fields.find("methods") {
        let list = reader.list(&methods, "a list of methods such as [\"GET\"]").unwrap_or_default();
        cors.methods = list.iter().filter_map(|entry| reader.parsed::<MethodName>(entry)).collect();
    }
    if let Some(names) = fields.find("headers") {
        cors.headers = header_names(reader, &names);
    }
    if let Some(names) = fields.find("expose") {
        cors.expose = header_names(reader, &names);
    }
    if let Some(age) = fields.find("max_age") {
        cors.max_age = reader.span(&age, Span::seconds(0)..=DAY)?;
    }
    if let Some(flag) = fields.find("credentials") {
        cors.credentials = reader.boolean(&flag)?;
        if cors.credentials && cors.origins == CorsOrigins::Any {
            let message =
                format!("`{}`: with any origin, every page of the web could act as your users", flag.path);
            reader.report(Code::Conflict, flag.at(), message, "name the origins");
        }
    }
    Some(cors)
}

fn origins(reader: &mut Reader<'_>, value: &Value<'_>) -> Option<CorsOrigins> {
    if value.is_text() {
        if reader.text(value, "")? == "*" {
            return Some(CorsOrigins::Any);
        }
        return Some(CorsOrigins::Only(BTreeSet::from([reader.parsed::<SiteOrigin>(value)?])));
    }
    let list = reader.list(value, "\"*\", or a list of origins such as [\"https://app.example.org\"]")?;
    Some(CorsOrigins::Only(list.iter().filter_map(|entry| reader.parsed(entry)).collect()))
}

pub(super) fn error_pages(reader: &mut Reader<'_>, value: &Value<'_>) -> ErrorPages {
    let mut pages = ErrorPages::default();
    for (key, entry) in reader.entries(value).unwrap_or_default() {
        if key == "replace" {
            pages.replace = reader.boolean(&entry).unwrap_or_default();
            continue;
        }
        let Some(pattern) = reader.parsed_key::<StatusPattern>(&key, &entry) else { continue };
        let Some(page) = reader.parsed::<Page>(&entry) else { continue };
        pages.pages.insert(pattern, page);
    }
    pages
}

pub(super) fn maintenance(reader: &mut Reader<'_>, value: &Value<'_>) -> MaintenanceSettings {
    let mut settings = MaintenanceSettings::default();
    let Some(fields) = reader.table(&schema::MAINTENANCE, value) else { return settings };
    if let Some(page) = fields.find("page") {
        settings.page = reader.parsed(&page);
    }
    if let Some(allow) = fields.find("allow") {
        settings.allow = networks(reader, &allow);
    }
    settings
}
