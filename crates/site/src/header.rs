//! Names and values of header lines that a site may set: no line end fits into them, and none frames a message or says
//! what only the edge may say. Tests: `tests/it/site.rs`.

use serde::{Deserialize, Serialize};

/// Longest value.
pub const VALUE_MAX: usize = 4096;

/// Name of a header line, as the user wrote it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Name(String);

/// Value of a header line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Text(String);

/// Names that the edge keeps for itself: they frame the message, describe the bytes it sends, or are its own word.
const KEPT: &[&str] = &[
    "accept-ranges",
    "connection",
    "content-encoding",
    "content-length",
    "content-range",
    "date",
    "etag",
    "keep-alive",
    "last-modified",
    "location",
    "proxy-authenticate",
    "proxy-connection",
    "retry-after",
    "sec-websocket-accept",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "x-request-id",
];

/// Headers that are lists: values of several rules stand beside each other. Of all others the last rule wins.
const JOINED: &[&str] = &[
    "accept-ch",
    "access-control-allow-headers",
    "access-control-allow-methods",
    "access-control-expose-headers",
    "cache-tag",
    "cdn-tag",
    "content-security-policy",
    "content-security-policy-report-only",
    "link",
    "permissions-policy",
    "server-timing",
    "vary",
];

impl Name {
    /// As written.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether it is this header, in any case.
    pub fn is(&self, name: &str) -> bool {
        self.0.eq_ignore_ascii_case(name)
    }

    /// Whether values of several rules stand beside each other, joined by commas.
    pub fn is_joined(&self) -> bool {
        JOINED.iter().any(|joined| self.is(joined))
    }
}

impl Text {
    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for Name {
    type Error = String;

    fn try_from(name: String) -> Result<Self, String> {
        let is_token = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
        if name.is_empty() || name.len() > 64 || !name.bytes().all(is_token) {
            return Err(format!(
                "`{}` is not the name of a header: 1 to 64 letters, digits and -",
                super::show(&name)
            ));
        }
        let lower = name.to_ascii_lowercase();
        if lower == "basic-auth" {
            return Err("Basic-Auth would publish the password; set `basic_auth` in havre.toml".to_owned());
        }
        if KEPT.contains(&lower.as_str()) || lower.starts_with("havre-") {
            return Err(format!("`{name}` is set by the edge itself"));
        }
        Ok(Self(name))
    }
}

impl TryFrom<String> for Text {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        if text.len() > VALUE_MAX {
            return Err(format!("the value has more than {VALUE_MAX} bytes"));
        }
        if text.trim_ascii() != text || !text.bytes().all(|byte| byte == b' ' || byte.is_ascii_graphic()) {
            return Err("a value is visible ASCII characters and spaces".to_owned());
        }
        Ok(Self(text))
    }
}

impl From<Name> for String {
    fn from(name: Name) -> Self {
        name.0
    }
}

impl From<Text> for String {
    fn from(text: Text) -> Self {
        text.0
    }
}
