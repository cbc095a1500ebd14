//! Addresses outside that Havre itself calls: CDNs, forges, Docker Hub. Opens no connection and resolves no name: which addresses may be
//! reached is asked where names are looked up (`reconcile/src/outward.rs`). Remote repositories are git's to fetch and have a stricter grammar
//! (`source::remote`). Tests at the end of the file.
//!
//! The rules:
//! - `https://`, or `http://`, which is for caches and forges within a network; whether it may be called is the server's setting.
//! - The host is what it seems to be: a lower-case name, an IPv4 address of four parts, or an IPv6 address in brackets. No user before it, no
//!   number that only looks like a name.
//! - The port is a number from 1 to 65535.
//! - Path and query are visible ASCII without quotes, angle brackets, backslash, `^` and backtick; there is no fragment, which is never sent.
//! - Braces only as `{tag}`, in path or query, where a caller fills something in; never in host or port, so that nothing that is filled in
//!   decides whom is called.
//! - At most 1024 bytes, or 8192 where another server made it.

use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use crate::name::HostName;
use crate::text::text_json;

/// What stands in an address, or in what is sent there, where a tag is filled in.
pub const TAG: &str = "{tag}";
/// Longest address, in bytes.
pub const URL_MAX: usize = 1024;
/// Longest address that another server has made, in bytes: with credentials of a storage in its query it is a long one.
pub const LONG_MAX: usize = 8192;

const URL_RULE: &str = "an address such as https://api.example.org/purge/{tag}: at most 1024 visible ASCII characters, a host, \
    a path, neither user nor fragment, no braces but those of {tag}";

/// Text that is no address to call.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not {}", URL_RULE)]
pub struct OutwardUrlError {
    /// What was given, escaped and at most 80 characters of it.
    text: String,
}

/// An address to call: `https://host[:port]/path?query`, or `http://` within a network.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutwardUrl {
    text: String,
    /// Length of `https://host:port`, in bytes.
    origin: usize,
}

impl OutwardUrl {
    /// Reads an address that another server has made: the same grammar, up to [`LONG_MAX`].
    ///
    /// # Errors
    /// It is none.
    pub fn parse_long(text: &str) -> Result<Self, OutwardUrlError> {
        Self::parse(text, LONG_MAX)
    }

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

    /// The port; where none is said, that of the scheme.
    pub fn port(&self) -> u16 {
        let after_host = self.authority().rsplit(']').next().unwrap_or("");
        let said = after_host.rsplit_once(':').and_then(|(_, port)| port.parse().ok());
        said.unwrap_or(if self.is_plain() { 80 } else { 443 })
    }

    /// Whether it begins with `http://`: everybody on the way can read what is sent.
    pub fn is_plain(&self) -> bool {
        self.text.starts_with("http://")
    }

    /// Path and query, as they stand in a request.
    pub fn target(&self) -> String {
        let target = &self.text[self.origin..];
        if target.starts_with('/') { target.to_owned() } else { format!("/{target}") }
    }

    /// The same with a tag filled in.
    pub fn target_of(&self, tag: &str) -> String {
        self.target().replace(TAG, tag)
    }
}

impl FromStr for OutwardUrl {
    type Err = OutwardUrlError;

    fn from_str(text: &str) -> Result<Self, OutwardUrlError> {
        Self::parse(text, URL_MAX)
    }
}

impl OutwardUrl {
    fn parse(text: &str, most: usize) -> Result<Self, OutwardUrlError> {
        let wrong = || OutwardUrlError { text: text.chars().take(80).flat_map(char::escape_debug).collect() };
        let is_plain = |byte: u8| byte.is_ascii_graphic() && !b"\"<>\\^`#".contains(&byte);
        if text.len() > most || !text.bytes().all(is_plain) || text.replace(TAG, "").contains(['{', '}']) {
            return Err(wrong());
        }
        let scheme = ["https://", "http://"].into_iter().find(|scheme| text.starts_with(scheme));
        let Some(scheme) = scheme else { return Err(wrong()) };
        let rest = &text[scheme.len()..];
        let end = rest.find(['/', '?']).unwrap_or(rest.len());
        let authority = &rest[..end];
        let (host, port) = match authority.rsplit_once(':') {
            Some((host, port)) if !port.ends_with(']') => (host, Some(port)),
            _ => (authority, None),
        };
        let has_good_port = port.is_none_or(|port| {
            port.bytes().all(|byte| byte.is_ascii_digit()) && port.parse::<u16>().is_ok_and(|port| port > 0)
        });
        if !is_host(host) || !has_good_port {
            return Err(wrong());
        }
        Ok(Self { text: text.to_owned(), origin: scheme.len() + end })
    }
}

/// A name, an IPv4 address, or an IPv6 address in brackets.
fn is_host(host: &str) -> bool {
    match host.strip_prefix('[') {
        Some(rest) => rest.strip_suffix(']').is_some_and(|inner| inner.parse::<Ipv6Addr>().is_ok()),
        None => host.parse::<HostName>().is_ok() || host.parse::<Ipv4Addr>().is_ok(),
    }
}

impl fmt::Display for OutwardUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

text_json! { OutwardUrl }

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_what_they_seem() {
        for (text, host, authority, port, target) in [
            (
                "https://api.example.org/purge/{tag}",
                "api.example.org",
                "api.example.org",
                443,
                "/purge/a-b-c-pages",
            ),
            (
                "https://api.example.org:8443?tag={tag}",
                "api.example.org",
                "api.example.org:8443",
                8443,
                "/?tag=a-b-c-pages",
            ),
            ("https://api.example.org", "api.example.org", "api.example.org", 443, "/"),
            ("http://[::1]:6081/", "::1", "[::1]:6081", 6081, "/"),
            ("http://[fd00::1]/x", "fd00::1", "[fd00::1]", 80, "/x"),
            ("http://10.0.0.5/x", "10.0.0.5", "10.0.0.5", 80, "/x"),
        ] {
            let url: OutwardUrl = text.parse().expect("is an address");
            assert_eq!((url.host(), url.authority(), url.port()), (host, authority, port), "{text}");
            assert_eq!(url.target_of("a-b-c-pages"), target, "{text}");
            assert_eq!(url.is_plain(), text.starts_with("http://"));
            assert_eq!(url.to_string(), text);
        }
        let long = format!("https://a.example/{}", "a".repeat(1024));
        for text in [
            "",
            "ftp://a.example/",
            "HTTPS://a.example/",
            "https://",
            "https:///x",
            "https://a b/",
            "https://user@a.example/",
            "https://user:x@a.example/",
            "https://a.example\\@b.example/",
            "https://a.example/#x",
            "https://a.example/\r\nX: y",
            "https://a.example/é",
            "https://a.example:/",
            "https://a.example:0/",
            "https://a.example:+1/",
            "https://a.example:99999/",
            "https://{tag}/",
            "https://a.example:{tag}/",
            "https://a.example/{site}",
            "https://A.example/",
            "https://127.1/",
            "https://2130706433/",
            "https://::1/",
            "https://[::1/",
            "https://[a.example]/",
            "//a.example/",
            &long,
        ] {
            assert!(text.parse::<OutwardUrl>().is_err(), "{text:?} must not parse");
        }
    }

    #[test]
    fn what_is_none_says_what_one_is() {
        let error = "https://{x}\n".parse::<OutwardUrl>().expect_err("is none");
        assert_eq!(
            error.to_string(),
            "`https://{x}\\n` is not an address such as https://api.example.org/purge/{tag}: at most 1024 visible ASCII \
             characters, a host, a path, neither user nor fragment, no braces but those of {tag}"
        );
        let long = "a".repeat(5000).parse::<OutwardUrl>().expect_err("is none");
        assert!(long.to_string().len() < 300, "{long}");
    }

    #[test]
    fn what_another_server_made_may_be_longer_and_nothing_else() {
        let long = format!("https://a.example/{}", "a".repeat(URL_MAX));
        assert!(long.parse::<OutwardUrl>().is_err());
        assert_eq!(OutwardUrl::parse_long(&long).expect("is an address").to_string(), long);
        let too_long = format!("https://a.example/{}", "a".repeat(LONG_MAX));
        for text in
            [too_long.as_str(), "https://user@a.example/", "https://A.example/", "https://a.example/#x"]
        {
            assert!(OutwardUrl::parse_long(text).is_err(), "{text:.40} must not parse");
        }
    }
}
