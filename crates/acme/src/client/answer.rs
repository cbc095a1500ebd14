//! Reads what an issuer answers when it does not do what was asked, and classes it. Pure. Tests at the end of the file.

use std::time::Duration;

use havre_core::name::CertificateName;
use http::{HeaderMap, StatusCode};
use serde::Deserialize;

use crate::error::{AuthorityError, NameProblem, Problem, ProblemKind};

/// Most names an issuer's problem is read for; orders have at most 100.
const NAMES_MAX: usize = 100;

#[derive(Deserialize)]
struct Document {
    r#type: String,
    #[serde(default)]
    detail: String,
    #[serde(default)]
    subproblems: Vec<Part>,
}

#[derive(Deserialize)]
struct Part {
    #[serde(default)]
    r#type: String,
    #[serde(default)]
    detail: String,
    identifier: Option<Identifier>,
}

#[derive(Deserialize)]
struct Identifier {
    #[serde(default)]
    value: String,
}

fn kind(text: &str) -> ProblemKind {
    text.strip_prefix("urn:ietf:params:acme:error:").unwrap_or(text).to_owned().into()
}

/// The problem document in a body, where there is one.
pub(crate) fn problem(body: &[u8]) -> Option<Problem> {
    let document: Document = serde_json::from_slice(body).ok()?;
    let mut problem = Problem::new(kind(&document.r#type), &document.detail);
    problem.names = document
        .subproblems
        .into_iter()
        .take(NAMES_MAX)
        .filter_map(|part| {
            let name: CertificateName = part.identifier?.value.parse().ok()?;
            let Problem { kind, detail, .. } = Problem::new(kind(&part.r#type), &part.detail);
            Some(NameProblem { name, kind, detail })
        })
        .collect();
    Some(problem)
}

/// The same for a problem that came inside another document, already read.
pub(crate) fn from_inside(inner: &instant_acme::Problem) -> Problem {
    Problem::new(
        kind(inner.r#type.as_deref().unwrap_or("about:blank")),
        inner.detail.as_deref().unwrap_or_default(),
    )
}

/// What an answer that is neither success nor a refused nonce means.
pub(crate) fn refusal(what: &str, status: StatusCode, headers: &HeaderMap, body: &[u8]) -> AuthorityError {
    let what = what.to_owned();
    let retry_after = retry_after(headers);
    if status.is_redirection() {
        let to = headers.get(http::header::LOCATION).and_then(|to| to.to_str().ok()).unwrap_or("somewhere");
        let to: String = to.chars().filter(char::is_ascii_graphic).take(200).collect();
        return AuthorityError::Garbled {
            what,
            message: format!("it redirects ({status}) to {to}, and no redirect is followed"),
        };
    }
    let Some(problem) = problem(body) else {
        return match status {
            StatusCode::TOO_MANY_REQUESTS => {
                let problem =
                    Problem::new(ProblemKind::RateLimited, "too many requests, without a reason given");
                AuthorityError::RateLimited { what, retry_after, problem }
            }
            _ if status.is_server_error() => {
                AuthorityError::Unavailable { what, retry_after, message: status.to_string() }
            }
            // Some issuers say no more than that of what they do not have.
            StatusCode::NOT_FOUND | StatusCode::GONE => {
                let problem = Problem::new(kind("about:blank"), &format!("{status}, without a reason given"));
                AuthorityError::Refused { what, problem }
            }
            _ => AuthorityError::Garbled { what, message: format!("{status} without a problem document") },
        };
    };
    match problem.kind {
        ProblemKind::RateLimited => AuthorityError::RateLimited { what, retry_after, problem },
        _ if status == StatusCode::TOO_MANY_REQUESTS => {
            AuthorityError::RateLimited { what, retry_after, problem }
        }
        ProblemKind::ServerInternal | ProblemKind::BadNonce => {
            unavailable(what, retry_after, status, &problem)
        }
        _ if status.is_server_error() => unavailable(what, retry_after, status, &problem),
        // Said of a request, not of a challenge: the account may not do this.
        ProblemKind::AccountDoesNotExist
        | ProblemKind::ExternalAccountRequired
        | ProblemKind::UserActionRequired
        | ProblemKind::InvalidContact
        | ProblemKind::UnsupportedContact
        | ProblemKind::Unauthorized => AuthorityError::Account { what, problem },
        _ => AuthorityError::Refused { what, problem },
    }
}

fn unavailable(
    what: String,
    retry_after: Option<Duration>,
    status: StatusCode,
    problem: &Problem,
) -> AuthorityError {
    AuthorityError::Unavailable { what, retry_after, message: format!("{status}: {problem}") }
}

/// `Retry-After`: seconds, or a date, which is read against the `Date` of the same answer: the issuer's clock, not ours. At most
/// a week: an issuer that is wrong by a year must not stop renewals for one.
pub(crate) fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    const LONGEST: Duration = Duration::from_secs(7 * 86_400);
    let text = |name: http::HeaderName| headers.get(name)?.to_str().ok();
    let value = text(http::header::RETRY_AFTER)?.trim();
    if let Ok(seconds) = value.parse() {
        return Some(Duration::from_secs(seconds).min(LONGEST));
    }
    let then = httpdate::parse_http_date(value).ok()?;
    let now = httpdate::parse_http_date(text(http::header::DATE)?).ok()?;
    Some(then.duration_since(now).unwrap_or_default().min(LONGEST))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(status: u16, headers: &[(&'static str, &'static str)], body: &str) -> AuthorityError {
        let headers = headers
            .iter()
            .map(|(name, value)| (http::HeaderName::from_static(name), http::HeaderValue::from_static(value)))
            .collect();
        refusal("order a certificate", StatusCode::from_u16(status).unwrap(), &headers, body.as_bytes())
    }

    #[test]
    fn each_answer_has_its_class() {
        let problem = |kind: &str| format!(r#"{{"type":"urn:ietf:params:acme:error:{kind}","detail":"no"}}"#);
        let lines: Vec<String> = [
            said(429, &[("retry-after", "3600")], &problem("rateLimited")),
            said(429, &[], "slow down"),
            said(
                503,
                &[
                    ("retry-after", "Thu, 01 Jan 2026 00:02:00 GMT"),
                    ("date", "Thu, 01 Jan 2026 00:00:00 GMT"),
                ],
                "<html>",
            ),
            said(502, &[("retry-after", "99999999999")], ""),
            said(500, &[], &problem("serverInternal")),
            said(400, &[], &problem("badNonce")),
            said(403, &[], &problem("unauthorized")),
            said(400, &[], &problem("accountDoesNotExist")),
            said(400, &[], &problem("rejectedIdentifier")),
            said(404, &[], "not here"),
            said(302, &[("location", "http://10.0.0.1/")], ""),
            said(418, &[], r#"{"type":"about:blank","title":"teapot"}"#),
        ]
        .iter()
        .map(|error| format!("passing: {}, after: {:?}: {error}", error.is_passing(), error.retry_after()))
        .collect();
        insta::assert_snapshot!(lines.join("\n"));
    }

    #[test]
    fn names_at_fault_are_named() {
        let body = r#"{"type":"urn:ietf:params:acme:error:compound","detail":"two","subproblems":[
            {"type":"urn:ietf:params:acme:error:rejectedIdentifier","detail":"on a list","identifier":{"type":"dns","value":"a.example.org"}},
            {"type":"urn:ietf:params:acme:error:caa","detail":"forbidden","identifier":{"type":"dns","value":"not a name"}},
            {"type":"urn:ietf:params:acme:error:caa","detail":"forbidden"}]}"#;
        let names = problem(body.as_bytes()).unwrap().names;
        assert_eq!(
            names.iter().map(ToString::to_string).collect::<Vec<_>>(),
            ["a.example.org: on a list (rejectedIdentifier)"]
        );
    }

    #[test]
    fn what_is_no_problem_document_is_none() {
        for body in ["", "[]", "null", "{}", "<html>", "{\"type\":1}", "\u{0}"] {
            assert_eq!(problem(body.as_bytes()), None, "{body:?}");
        }
    }
}
