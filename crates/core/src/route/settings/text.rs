//! Texts of route settings with a closed grammar: none can hold a line end, frame a message, or claim what only the
//! edge may say. Tests at the end of the file.

use std::fmt;
use std::str::FromStr;

use crate::name::{NameError, names};

/// Largest page inside a configuration.
pub const PAGE_MAX: usize = 16 * 1024;

const HEADER_RULE: &str = "1 to 64 of a-z, 0-9 and -, and none of those that frame a message or that only \
    the edge sets (host, content-length, connection, x-forwarded-..., havre-...)";

/// Names the edge keeps for itself. A gateway may read `_` as `-`, so a name has none of either kind that could be
/// taken for one of these.
const KEPT: [&str; 22] = [
    "host",
    "content-length",
    "content-encoding",
    "content-range",
    "transfer-encoding",
    "connection",
    "keep-alive",
    "upgrade",
    "te",
    "trailer",
    "trailers",
    "expect",
    "forwarded",
    "x-real-ip",
    "x-request-id",
    "traceparent",
    "tracestate",
    "http2-settings",
    "date",
    "proxy",
    "sec-websocket-accept",
    "sec-websocket-key",
];

fn is_header(text: &str) -> bool {
    (1..=64).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
        && !KEPT.contains(&text)
        && !["x-forwarded-", "proxy-", "havre-"].iter().any(|prefix| text.starts_with(prefix))
}

const VALUE_RULE: &str = "1 to 4096 visible ASCII characters and spaces, without spaces at its ends";

fn is_value(text: &str) -> bool {
    (1..=4096).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_graphic() || byte == b' ')
        && text.trim_ascii() == text
}

const METHOD_RULE: &str = "1 to 32 capital letters, such as GET, and neither CONNECT nor TRACE";

fn is_method(text: &str) -> bool {
    (1..=32).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_uppercase() || byte == b'-')
        && !matches!(text, "CONNECT" | "TRACE" | "TRACK")
}

const COOKIE_RULE: &str = "1 to 64 of A-Z, a-z, 0-9, - and _";

fn is_cookie(text: &str) -> bool {
    (1..=64).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
}

const PAGE_RULE: &str = "1 to 16384 bytes of HTML";

fn is_page(text: &str) -> bool {
    (1..=PAGE_MAX).contains(&text.len()) && !text.contains('\0')
}

const USER_RULE: &str = "1 to 64 visible ASCII characters without : and \"";

fn is_user(text: &str) -> bool {
    (1..=64).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_graphic() && !matches!(byte, b':' | b'"' | b'\\'))
}

const REALM_RULE: &str = "1 to 64 of A-Z, a-z, 0-9, spaces and . _ - with no space at its ends";

fn is_realm(text: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b' ' | b'.' | b'_' | b'-');
    (1..=64).contains(&text.len()) && text.bytes().all(is_plain) && text.trim_ascii() == text
}

const STATUS_RULE: &str = "a status from 400 to 599 such as 404, or 4xx or 5xx";

fn is_status(text: &str) -> bool {
    matches!(text, "4xx" | "5xx")
        || (text.len() == 3
            && text.bytes().all(|byte| byte.is_ascii_digit())
            && text.parse::<u16>().is_ok_and(|status| (400..=599).contains(&status)))
}

names! {
    /// Name of a header line a configuration may change, in lower case.
    HeaderName "header name" is_header HEADER_RULE;
    /// Value of a header line.
    HeaderValue "header value" is_value VALUE_RULE;
    /// A method of HTTP.
    MethodName "method" is_method METHOD_RULE;
    /// Name of a cookie.
    CookieName "cookie name" is_cookie COOKIE_RULE;
    /// A small page.
    Page "page" is_page PAGE_RULE;
    /// Who signs in.
    UserName "user name" is_user USER_RULE;
    /// What a browser shows when it asks for a password.
    Realm "realm" is_realm REALM_RULE;
    /// A status of an error, or a class of them.
    StatusPattern "status" is_status STATUS_RULE;
}

impl StatusPattern {
    /// Whether a status is meant.
    pub fn covers(&self, status: u16) -> bool {
        match self.as_str() {
            "4xx" => (400..=499).contains(&status),
            "5xx" => (500..=599).contains(&status),
            exact => exact.parse() == Ok(status),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_header_can_frame_a_message_or_break_a_line() {
        for name in
            ["content-length", "host", "x-forwarded-for", "havre-release", "X-Env", "a_b", "a b", "a:", ""]
        {
            assert!(name.parse::<HeaderName>().is_err(), "{name}");
        }
        for value in ["a\r\nb: c", "a\nb", " a", "a ", "", "\u{e9}", "a\0"] {
            assert!(value.parse::<HeaderValue>().is_err(), "{value:?}");
        }
        assert!("x-env".parse::<HeaderName>().is_ok());
        assert!("max-age=60, public".parse::<HeaderValue>().is_ok());
    }

    #[test]
    fn a_status_pattern_covers_its_class() {
        let of = |text: &str| text.parse::<StatusPattern>().unwrap();
        assert!(of("5xx").covers(503) && !of("5xx").covers(404) && of("404").covers(404));
        for text in ["200", "3xx", "600", "4", "40x"] {
            assert!(text.parse::<StatusPattern>().is_err(), "{text}");
        }
    }
}
