//! The call that tells a CDN to forget pages after a switch: where to, what is sent, and when it is tried again. Purely
//! data; who calls is the `purge` loop. Tests: `tests/it/site.rs`.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::quantity::Span;
use crate::site::header::Name;
use crate::time::Timestamp;

/// What is replaced by the tag of the pages of a site.
pub const TAG: &str = "{tag}";
/// Pauses before a call is tried again; the last one repeats.
const PAUSES: [Span; 7] = [
    Span::seconds(10),
    Span::seconds(30),
    Span::seconds(60),
    Span::seconds(300),
    Span::seconds(900),
    Span::seconds(1800),
    Span::seconds(3600),
];
/// Most tries: about a day. Then pages are old only as long as the CDN may hold them.
const TRIES_MAX: u32 = 24;
/// Longest body.
const BODY_MAX: usize = 1024;

/// How to tell a CDN.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PurgeSpec {
    /// Where to.
    pub url: PurgeUrl,
    /// How.
    #[serde(default)]
    pub method: PurgeMethod,
    /// Header that carries the secret.
    pub header: Name,
    /// Name of the secret: a file of that name in the server's folder of secrets.
    pub secret: SecretName,
    /// JSON to send; none when empty.
    #[serde(default, skip_serializing_if = "PurgeBody::is_empty")]
    pub body: PurgeBody,
}

/// Methods CDNs want.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum PurgeMethod {
    /// Most.
    #[default]
    Post,
    /// Fastly's and Varnish's own.
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

/// Text that is none of these.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct PurgeTextError(String);

fn wrong(text: &str, rule: &str) -> PurgeTextError {
    PurgeTextError(format!("`{}` is not {rule}", super::show(text)))
}

/// An address to call: `https://host[:port]/path?query`, no user, no fragment, the host as it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PurgeUrl {
    text: String,
    /// Length of `https://host:port`.
    origin: usize,
}

impl PurgeUrl {
    /// Name or address of the host, without brackets.
    pub fn host(&self) -> &str {
        let authority = self.authority();
        match authority.strip_prefix('[') {
            Some(rest) => rest.split(']').next().unwrap_or(rest),
            None => authority.split(':').next().unwrap_or(authority),
        }
    }

    /// Host and port as they stand in the address.
    pub fn authority(&self) -> &str {
        self.text[..self.origin].split_once("://").map_or("", |(_, authority)| authority)
    }

    /// The port.
    pub fn port(&self) -> u16 {
        let after = self.authority().rsplit(']').next().unwrap_or("");
        let named = after.rsplit_once(':').and_then(|(_, port)| port.parse().ok());
        named.unwrap_or(if self.is_plain() { 80 } else { 443 })
    }

    /// `http://`: only for a cache on the machine's own network.
    pub fn is_plain(&self) -> bool {
        self.text.starts_with("http://")
    }

    /// Path and query with the tag filled in.
    pub fn target(&self, tag: &str) -> String {
        let target = self.text[self.origin..].replace(TAG, tag);
        if target.starts_with('/') { target } else { format!("/{target}") }
    }
}

impl FromStr for PurgeUrl {
    type Err = PurgeTextError;

    fn from_str(text: &str) -> Result<Self, PurgeTextError> {
        let rule = "an address such as https://api.example.org/purge/{tag}: at most 1024 visible ASCII characters, \
            a host, a path, neither user nor fragment";
        let plain = |byte: u8| byte.is_ascii_graphic() && !b"\"<>\\^`#".contains(&byte);
        if text.len() > 1024 || !text.bytes().all(plain) {
            return Err(wrong(text, rule));
        }
        let scheme = ["https://", "http://"].into_iter().find(|scheme| text.starts_with(scheme));
        let scheme = scheme.ok_or_else(|| wrong(text, rule))?;
        let rest = &text[scheme.len()..];
        let end = rest.find(['/', '?']).unwrap_or(rest.len());
        let (authority, _) = rest.split_at(end);
        let (host, port) = match authority.rsplit_once(':') {
            Some((host, port)) if !port.ends_with(']') => (host, Some(port)),
            _ => (authority, None),
        };
        let is_address = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).is_some_and(|inner| {
            inner.parse::<std::net::Ipv6Addr>().is_ok()
        });
        let is_host = host.parse::<crate::name::HostName>().is_ok() || host.parse::<std::net::Ipv4Addr>().is_ok();
        let is_port = port.is_none_or(|port| port.parse::<u16>().is_ok_and(|port| port > 0));
        if !(is_address || is_host) || !is_port {
            return Err(wrong(text, rule));
        }
        Ok(Self { text: text.to_owned(), origin: scheme.len() + end })
    }
}

impl fmt::Display for PurgeUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// Name of a secret on the server: safe as the name of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SecretName(String);

impl SecretName {
    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for SecretName {
    type Err = PurgeTextError;

    fn from_str(text: &str) -> Result<Self, PurgeTextError> {
        let is_plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        if text.is_empty() || text.len() > 64 || text.starts_with('-') || !text.bytes().all(is_plain) {
            return Err(wrong(text, "the name of a secret: 1 to 64 of a-z, 0-9 and -, no - in front"));
        }
        Ok(Self(text.to_owned()))
    }
}

impl fmt::Display for SecretName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// JSON to send, with `{tag}` where the tag goes.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PurgeBody(String);

impl PurgeBody {
    /// Nothing is sent.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The bytes to send. A tag has letters, digits and `-` only, so it breaks no JSON.
    pub fn filled(&self, tag: &str) -> String {
        self.0.replace(TAG, tag)
    }
}

impl FromStr for PurgeBody {
    type Err = PurgeTextError;

    fn from_str(text: &str) -> Result<Self, PurgeTextError> {
        let is_json = serde_json::from_str::<serde_json::Value>(text).is_ok();
        if text.is_empty() || (text.len() <= BODY_MAX && is_json) {
            return Ok(Self(text.to_owned()));
        }
        Err(wrong(text, "JSON of at most 1024 bytes"))
    }
}

impl fmt::Display for PurgeBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

macro_rules! text_json {
    ($($name:ident)*) => {$(
        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }
    )*};
}

text_json! { PurgeUrl SecretName PurgeBody }

/// When a call that failed for the `tries`th time is made again; `None` gives up.
pub fn next_try(tries: u32, now: Timestamp) -> Option<Timestamp> {
    if tries >= TRIES_MAX {
        return None;
    }
    let place = usize::try_from(tries.saturating_sub(1)).unwrap_or(usize::MAX).min(PAUSES.len() - 1);
    Some(now.after(PAUSES[place].duration()))
}
