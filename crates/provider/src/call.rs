//! One call to a server of secrets, and what its answer means where all of them agree. Tests: `tests/it`.

use havre_core::outward::OutwardUrl;
use havre_core::secret::Secret;
use havre_outward::{CallError, Caller, Request};
use hyper::header::{HeaderName, HeaderValue};
use serde_json::Value;

use crate::FetchError;

/// Most bytes of an answer that are read: items hold notes and files beside a value.
pub(crate) const BODY_MAX: usize = 1024 * 1024;
/// Most characters of what a server says about itself.
const WORDS_MAX: usize = 160;

/// What is asked.
pub(crate) struct Ask {
    pub(crate) method: &'static str,
    /// Path and query, below the base.
    pub(crate) target: String,
    pub(crate) headers: Vec<(HeaderName, HeaderValue)>,
    pub(crate) body: String,
}

/// What came: JSON, or null where there is none.
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: Value,
    authority: String,
}

/// Calls one server.
#[derive(Debug)]
pub(crate) struct Client {
    caller: Caller,
    url: OutwardUrl,
    base: String,
}

impl Client {
    /// Calls below `base`, which has no `/` at the end.
    pub(crate) const fn new(caller: Caller, url: OutwardUrl, base: String) -> Self {
        Self { caller, url, base }
    }

    pub(crate) async fn ask(&self, ask: Ask) -> Result<Answer, FetchError> {
        let Ask { method, target, headers, body } = ask;
        let target = format!("{}{target}", self.base);
        let request = Request { url: &self.url, method, target, headers, body };
        let answer = self.caller.call(request).await.map_err(|error| match error {
            CallError::Refused(text) => FetchError::refused(text),
            CallError::Away(text) => FetchError::away(text),
        })?;
        let authority = self.url.authority().to_owned();
        // Wiped when it is read: there may be a value in it.
        let bytes = Secret::new(answer.body);
        if bytes.expose().len() > BODY_MAX {
            return Err(FetchError::refused(format!("{authority}: its answer has more than 1 MB")));
        }
        let body = serde_json::from_slice(bytes.expose()).unwrap_or(Value::Null);
        Ok(Answer { status: answer.status, body, authority })
    }
}

impl Answer {
    /// The body of an answer of success; else what we wanted and what came instead.
    pub(crate) fn good(self, wanted: &str) -> Result<Value, FetchError> {
        match self.status {
            200..=299 if self.body.is_null() => {
                let message = "the answer is no JSON; is this the address of the interface?";
                Err(FetchError::refused(format!("{}: could not {wanted}: {message}", self.authority)))
            }
            200..=299 => Ok(self.body),
            _ => Err(self.bad(wanted, "")),
        }
    }

    /// What went wrong, with what to do where somebody knows.
    pub(crate) fn bad(&self, wanted: &str, hint: &str) -> FetchError {
        let words = words(&self.body);
        let said = if words.is_empty() { String::new() } else { format!(" (it says: {words})") };
        let moved = if (300..400).contains(&self.status) { ", and redirects are not followed" } else { "" };
        let text =
            format!("{}: could not {wanted}: it answered {}{moved}{said}{hint}", self.authority, self.status);
        match self.status {
            408 | 425 | 429 | 472 | 473 | 500..=599 => FetchError::away(text),
            _ => FetchError::refused(text),
        }
    }
}

/// What it says about it, where that is text in one of the usual places; else nothing.
fn words(body: &Value) -> String {
    let places =
        [&body["errors"][0], &body["error_description"], &body["message"], &body["Message"], &body["error"]];
    let found = places.into_iter().find_map(Value::as_str).unwrap_or_default();
    found.chars().filter(|c| !c.is_control()).take(WORDS_MAX).collect()
}

/// A header line with a secret, which is never printed.
pub(crate) fn proof(
    name: &'static str,
    before: &str,
    secret: &Secret,
) -> Result<(HeaderName, HeaderValue), FetchError> {
    let line = Secret::new([before.as_bytes(), secret.expose()].concat());
    let value = HeaderValue::from_bytes(line.expose());
    let mut value = value.map_err(|_| FetchError::refused("the credential is no value of a header"))?;
    value.set_sensitive(true);
    Ok((HeaderName::from_static(name), value))
}
