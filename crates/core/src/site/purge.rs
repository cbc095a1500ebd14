//! The call that tells a CDN to forget pages after a switch: where to, what is sent, when it is due, and when it is tried
//! again. Opens no connection; who calls is the `purge` loop. Tests: `tests/it/site_purge.rs`.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::deployment::Deployment;
use crate::deployment::state::State;
use crate::name::{NameError, names};
use crate::outward::{OutwardUrl, TAG};
use crate::quantity::Span;
use crate::service::Place;
use crate::text::text_json;
use crate::time::Timestamp;

/// Longest body, in bytes.
pub const BODY_MAX: usize = 1024;
/// Tries before a call is given up: eighteen hours. A CDN that listens to nobody that long needs a person.
pub const TRIES_MAX: u32 = 24;
/// Pauses before a call is made again: a hiccup costs seconds, an outage a few calls in an hour. The last one repeats.
const PAUSES: [Span; 7] = [
    Span::seconds(10),
    Span::seconds(30),
    Span::seconds(60),
    Span::seconds(300),
    Span::seconds(900),
    Span::seconds(1800),
    PAUSE_MAX,
];
/// The longest of them.
const PAUSE_MAX: Span = Span::seconds(3600);

/// How to tell a CDN.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PurgeSpec {
    /// Where to.
    pub url: OutwardUrl,
    /// How.
    #[serde(default)]
    pub method: PurgeMethod,
    /// Header that carries the secret.
    pub header: PurgeHeader,
    /// Name of the secret; its value is on the server only.
    pub secret: SecretName,
    /// JSON to send; none when empty.
    #[serde(default, skip_serializing_if = "PurgeBody::is_empty")]
    pub body: PurgeBody,
}

/// Methods CDNs want.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum PurgeMethod {
    /// Most of them.
    #[default]
    Post,
    /// What Varnish and its relatives made up.
    Purge,
}

impl PurgeMethod {
    /// As it stands in a request.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Post => "POST",
            Self::Purge => "PURGE",
        }
    }
}

const SECRET_RULE: &str = "1 to 64 of the characters a-z, 0-9 and -, not starting with -";

/// Safe as the name of a file.
fn is_secret_name(text: &str) -> bool {
    (1..=64).contains(&text.len())
        && !text.starts_with('-')
        && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
}

const HEADER_RULE: &str =
    "1 to 64 letters, digits and -, and none of those that frame the call or say whom it is for";

/// Headers of the call itself: a secret in one of them would break it, or send it elsewhere.
const OWN_HEADERS: [&str; 14] = [
    "connection",
    "content-encoding",
    "content-length",
    "content-type",
    "expect",
    "host",
    "keep-alive",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "user-agent",
];

fn is_free_header(text: &str) -> bool {
    (1..=64).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
        && !OWN_HEADERS.iter().any(|own| text.eq_ignore_ascii_case(own))
}

names! {
    /// Name of a secret that lies on the server.
    SecretName "name of a secret" is_secret_name SECRET_RULE;
    /// Name of the header that carries the secret of a call.
    PurgeHeader "header for a secret" is_free_header HEADER_RULE;
}

/// Text that is no body to send.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not JSON of at most 1024 bytes")]
pub struct PurgeBodyError {
    /// What was given, escaped and at most 80 characters of it.
    text: String,
}

/// JSON to send, with `{tag}` where the tag goes.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PurgeBody(String);

impl PurgeBody {
    /// Whether nothing is sent.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The text to send. A tag has letters, digits and `-` only, so it breaks no JSON.
    pub fn filled(&self, tag: &str) -> String {
        self.0.replace(TAG, tag)
    }
}

impl FromStr for PurgeBody {
    type Err = PurgeBodyError;

    fn from_str(text: &str) -> Result<Self, PurgeBodyError> {
        let is_json = || serde_json::from_str::<serde_json::Value>(text).is_ok();
        if text.is_empty() || (text.len() <= BODY_MAX && is_json()) {
            return Ok(Self(text.to_owned()));
        }
        Err(PurgeBodyError { text: super::show(text) })
    }
}

impl fmt::Display for PurgeBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

text_json! { PurgeBody }

/// Tag of everything a site answers. The same for every release, so that a CDN can be told to forget them all.
pub fn site_tag(place: &Place) -> String {
    format!("{}-{}-{}", place.project, place.environment, place.service)
}

/// Tag of what another release may answer otherwise: pages, and all else without a hash in its name.
pub fn pages_tag(site_tag: &str) -> String {
    format!("{site_tag}-pages")
}

/// Whether the call of a service with these `open` deployments is to be made now. While it is between two releases some edge
/// may still answer with old pages, and a CDN that forgot them would fetch them again.
pub fn is_due(next_at: Timestamp, open: &[Deployment], now: Timestamp) -> bool {
    // A clock that was set back must not hold a call up for years.
    let is_time = next_at <= now || next_at.since(now) > PAUSE_MAX.duration();
    let is_between =
        |one: &Deployment| matches!(one.state, State::Switching { .. } | State::Reverting { .. });
    is_time && !open.iter().any(is_between)
}

/// When a call that has failed `tries` times is made again; `None` gives up.
pub fn next_try(tries: u32, now: Timestamp) -> Option<Timestamp> {
    if tries >= TRIES_MAX {
        return None;
    }
    let place = usize::try_from(tries.saturating_sub(1)).unwrap_or(usize::MAX);
    let pause = PAUSES.get(place).copied().unwrap_or(PAUSE_MAX);
    Some(now.after(pause.duration()))
}
