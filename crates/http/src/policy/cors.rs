//! What other origins may do (Fetch standard, CORS protocol). Preflights are answered here and never reach a task.
//! Tests: `tests.rs`.

use havre_core::route::settings::{Cors, CorsOrigins};

use super::{Line, View};

/// Lines every answer to this request carries.
pub(super) fn lines(cors: &Cors, view: &View<'_>) -> Vec<Line> {
    let mut lines = Vec::new();
    if let CorsOrigins::Only(_) = cors.origins {
        // Caches must not give one origin's answer to another.
        lines.push(("Vary", "Origin".to_owned()));
    }
    let Some(origin) = allowed(cors, view) else { return lines };
    lines.push(("Access-Control-Allow-Origin", origin));
    if cors.credentials {
        lines.push(("Access-Control-Allow-Credentials", "true".to_owned()));
    }
    if !cors.expose.is_empty() {
        lines.push(("Access-Control-Expose-Headers", join(cors.expose.iter().map(|name| name.as_str()))));
    }
    lines
}

/// Lines of the answer to a preflight; `None` when the request is none.
pub(super) fn preflight(cors: &Cors, view: &View<'_>) -> Option<Vec<Line>> {
    if view.method != "OPTIONS" || (view.header)("access-control-request-method").is_none() {
        return None;
    }
    if allowed(cors, view).is_none() {
        return Some(Vec::new());
    }
    let mut lines = vec![
        ("Access-Control-Allow-Methods", join(cors.methods.iter().map(|method| method.as_str()))),
        ("Access-Control-Max-Age", (cors.max_age.as_millis() / 1000).to_string()),
    ];
    let headers = if cors.headers.is_empty() {
        lines.push(("Vary", "Access-Control-Request-Headers".to_owned()));
        asked_headers(view)
    } else {
        Some(join(cors.headers.iter().map(|name| name.as_str())))
    };
    lines.extend(headers.map(|headers| ("Access-Control-Allow-Headers", headers)));
    Some(lines)
}

/// What is said to the origin of a request; `None` when it may not.
fn allowed(cors: &Cors, view: &View<'_>) -> Option<String> {
    let sent = std::str::from_utf8((view.header)("origin")?).ok()?;
    match &cors.origins {
        CorsOrigins::Any => Some("*".to_owned()),
        CorsOrigins::Only(origins) => {
            origins.iter().map(ToString::to_string).find(|origin| origin.as_str() == sent)
        }
    }
}

/// The names a preflight asks for, if they are names and not more than a browser sends.
fn asked_headers(view: &View<'_>) -> Option<String> {
    let asked = std::str::from_utf8((view.header)("access-control-request-headers")?).ok()?;
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b',' | b' ');
    (asked.len() <= 2048 && asked.bytes().all(is_plain)).then(|| asked.to_owned())
}

fn join<'n>(names: impl Iterator<Item = &'n str>) -> String {
    names.collect::<Vec<_>>().join(", ")
}
