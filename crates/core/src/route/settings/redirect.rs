//! Redirects the edge answers itself. Where one leads is fixed by the configuration up to the path: no part of a
//! request can ever name another host. Tests at the end of the file.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::name::{AbsolutePath, HostName};
use crate::text::text_json;

/// From a path, or all paths below one, to a place.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Redirect {
    /// Which paths.
    pub from: PathPattern,
    /// Where to.
    pub to: Location,
    /// How.
    pub status: RedirectStatus,
}

/// Status of a redirect.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "u16", into = "u16")]
pub enum RedirectStatus {
    /// For ever; the method may become GET.
    MovedPermanently,
    /// For now; the method may become GET.
    Found,
    /// See there, with GET.
    SeeOther,
    /// For now, with the same method.
    Temporary,
    /// For ever, with the same method.
    Permanent,
}

/// Text or number that is no part of a redirect.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RedirectError {
    /// Another status.
    #[error("{0} is no status of a redirect: use 301, 302, 303, 307 or 308")]
    Status(u16),
    /// No path pattern.
    #[error("`{0}` is no path such as /old, or /old/* for everything below it")]
    Pattern(String),
    /// No location.
    #[error(
        "`{0}` leads nowhere: write a path such as /new or /new/*, or an address such as https://example.org"
    )]
    Location(String),
    /// No origin.
    #[error("`{0}` is no origin such as https://example.org or http://localhost:5173")]
    Origin(String),
}

fn shown(text: &str) -> String {
    text.chars().take(64).flat_map(char::escape_default).collect()
}

impl TryFrom<u16> for RedirectStatus {
    type Error = RedirectError;

    fn try_from(status: u16) -> Result<Self, RedirectError> {
        Ok(match status {
            301 => Self::MovedPermanently,
            302 => Self::Found,
            303 => Self::SeeOther,
            307 => Self::Temporary,
            308 => Self::Permanent,
            other => return Err(RedirectError::Status(other)),
        })
    }
}

impl From<RedirectStatus> for u16 {
    fn from(status: RedirectStatus) -> Self {
        match status {
            RedirectStatus::MovedPermanently => 301,
            RedirectStatus::Found => 302,
            RedirectStatus::SeeOther => 303,
            RedirectStatus::Temporary => 307,
            RedirectStatus::Permanent => 308,
        }
    }
}

/// `/old` is that path only, `/old/*` it and everything below it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PathPattern {
    path: AbsolutePath,
    is_prefix: bool,
}

/// Where a redirect leads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Location {
    /// Another host; the same one when absent.
    origin: Option<SiteOrigin>,
    path: AbsolutePath,
    /// What followed the pattern's prefix is put behind the path.
    keeps_rest: bool,
}

/// Scheme, host and port.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SiteOrigin {
    is_https: bool,
    host: HostName,
    port: Option<u16>,
}

impl PathPattern {
    /// Every path.
    pub fn all() -> Self {
        Self { path: AbsolutePath::root(), is_prefix: true }
    }

    /// What follows the prefix if `path` is meant: empty, or without a slash at its front.
    pub fn rest<'p>(&self, path: &'p str) -> Option<&'p str> {
        if !self.is_prefix {
            return (path == self.path.as_str()).then_some("");
        }
        if self.path.as_str() == "/" {
            return Some(path.trim_start_matches(['/', '\\']));
        }
        let rest = path.strip_prefix(self.path.as_str())?;
        // Leading slashes, and what browsers take for them, would name a host behind a path of one slash.
        (rest.is_empty() || rest.starts_with('/')).then(|| rest.trim_start_matches(['/', '\\']))
    }

    /// It has a rest.
    pub fn is_prefix(&self) -> bool {
        self.is_prefix
    }
}

impl Location {
    /// The same path on another host.
    pub fn host(origin: SiteOrigin) -> Self {
        Self { origin: Some(origin), path: AbsolutePath::root(), keeps_rest: true }
    }

    /// The other host.
    pub fn origin(&self) -> Option<&SiteOrigin> {
        self.origin.as_ref()
    }

    /// Whether it has room for the rest of a path.
    pub fn keeps_rest(&self) -> bool {
        self.keeps_rest
    }

    /// The value of the `Location` header: for the rest of a path and the query of a request.
    pub fn fill(&self, rest: &str, query: Option<&str>) -> String {
        let mut text = self.origin.as_ref().map(ToString::to_string).unwrap_or_default();
        text.push_str(self.path.as_str());
        if self.keeps_rest && !rest.is_empty() {
            if !text.ends_with('/') {
                text.push('/');
            }
            text.push_str(rest);
        }
        if let Some(query) = query {
            text.push('?');
            text.push_str(query);
        }
        text
    }
}

impl SiteOrigin {
    /// Its host.
    pub fn host(&self) -> &HostName {
        &self.host
    }
}

impl FromStr for PathPattern {
    type Err = RedirectError;

    fn from_str(text: &str) -> Result<Self, RedirectError> {
        let (path, is_prefix) = match text.strip_suffix("/*") {
            Some("") => return Ok(Self::all()),
            Some(path) => (path, true),
            None => (text, false),
        };
        match path.parse() {
            Ok(path) if !text[..text.len() - 1].contains('*') && (is_prefix || !text.ends_with('*')) => {
                Ok(Self { path, is_prefix })
            }
            _ => Err(RedirectError::Pattern(shown(text))),
        }
    }
}

impl fmt::Display for PathPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = if self.is_prefix { self.path.as_str().trim_end_matches('/') } else { self.path.as_str() };
        write!(f, "{path}{}", if self.is_prefix { "/*" } else { "" })
    }
}

impl FromStr for Location {
    type Err = RedirectError;

    fn from_str(text: &str) -> Result<Self, RedirectError> {
        let wrong = || RedirectError::Location(shown(text));
        let (origin, path) = match text.find("://") {
            Some(at) => {
                let end = text[at + 3..].find('/').map_or(text.len(), |slash| at + 3 + slash);
                (Some(text[..end].parse::<SiteOrigin>().map_err(|_| wrong())?), &text[end..])
            }
            None => (None, text),
        };
        if path.is_empty() && origin.is_some() {
            return Ok(Self { origin, path: AbsolutePath::root(), keeps_rest: true });
        }
        let pattern: PathPattern = path.parse().map_err(|_| wrong())?;
        Ok(Self { origin, path: pattern.path, keeps_rest: pattern.is_prefix })
    }
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(origin) = &self.origin {
            origin.fmt(f)?;
        }
        PathPattern { path: self.path.clone(), is_prefix: self.keeps_rest }.fmt(f)
    }
}

impl FromStr for SiteOrigin {
    type Err = RedirectError;

    fn from_str(text: &str) -> Result<Self, RedirectError> {
        let wrong = || RedirectError::Origin(shown(text));
        let (scheme, rest) = text.split_once("://").ok_or_else(wrong)?;
        let is_https = match scheme {
            "https" => true,
            "http" => false,
            _ => return Err(wrong()),
        };
        let (host, port) = match rest.split_once(':') {
            Some((host, digits)) => {
                let is_number = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
                let port =
                    digits.parse::<u16>().ok().filter(|port| is_number && *port > 0).ok_or_else(wrong)?;
                (host, Some(port))
            }
            None => (rest, None),
        };
        let port = port.filter(|port| *port != if is_https { 443 } else { 80 });
        Ok(Self { is_https, host: host.parse().map_err(|_| wrong())?, port })
    }
}

impl fmt::Display for SiteOrigin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", if self.is_https { "https" } else { "http" }, self.host)?;
        self.port.map_or(Ok(()), |port| write!(f, ":{port}"))
    }
}

text_json! { PathPattern Location SiteOrigin }

#[cfg(test)]
mod tests {
    use super::*;

    fn lead(from: &str, to: &str, path: &str, query: Option<&str>) -> Option<String> {
        let (from, to): (PathPattern, Location) = (from.parse().unwrap(), to.parse().unwrap());
        from.rest(path).map(|rest| to.fill(rest, query))
    }

    #[test]
    fn where_redirects_lead() {
        let to = |text: &str| Some(text.to_owned());
        assert_eq!(lead("/*", "https://x.org", "/a/b", Some("q=1")), to("https://x.org/a/b?q=1"));
        assert_eq!(lead("/*", "https://x.org", "*", None), to("https://x.org/*"));
        assert_eq!(lead("/old", "/new", "/old", None), to("/new"));
        assert_eq!(lead("/old", "/new", "/old/x", None), None);
        assert_eq!(lead("/blog/*", "/news/*", "/blog/a", None), to("/news/a"));
        assert_eq!(lead("/blog/*", "/news/*", "/blog", None), to("/news"));
        assert_eq!(lead("/blog/*", "/news/*", "/blogs", None), None);
        assert_eq!(lead("/blog/*", "/news", "/blog/a", None), to("/news"));
        assert_eq!(lead("/go/*", "http://x.org:8080/to/*", "/go/a", None), to("http://x.org:8080/to/a"));
    }

    #[test]
    fn no_request_can_choose_the_host() {
        assert_eq!(lead("/go/*", "/*", "/go//evil.example", None).as_deref(), Some("/evil.example"));
        assert_eq!(lead("/go/*", "/*", "/go/\\/evil.example", None).as_deref(), Some("/evil.example"));
        assert_eq!(lead("/*", "/*", "//evil.example", None).as_deref(), Some("/evil.example"));
        for bad in
            ["//x.org", "/\\x", "x.org", "ftp://x.org", "https://", "https://a b", "https://u@x.org", "/a*"]
        {
            assert!(bad.parse::<Location>().is_err(), "{bad}");
        }
        for bad in ["old", "", "*", "/a*", "/*/b", "/a?b"] {
            assert!(bad.parse::<PathPattern>().is_err(), "{bad}");
        }
    }

    #[test]
    fn texts_come_back_as_they_were() {
        for text in ["/a", "/", "/*", "/a/*"] {
            assert_eq!(text.parse::<PathPattern>().unwrap().to_string(), text);
        }
        for text in ["/a", "/a/*", "https://x.org/*", "https://x.org/a", "http://localhost:5173/*"] {
            assert_eq!(text.parse::<Location>().unwrap().to_string(), text);
        }
        assert_eq!("https://x.org".parse::<Location>().unwrap().to_string(), "https://x.org/*");
    }
}
