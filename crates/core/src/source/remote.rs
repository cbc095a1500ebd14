//! Where a repository is fetched from when a webhook says that something was pushed there, and when a fetch that failed is tried
//! again. Opens no connection; which addresses may be reached is asked where names are looked up. Tests at the end of the file.

use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use crate::name::HostName;
use crate::quantity::Span;
use crate::text::text_json;
use crate::time::Timestamp;

/// Longest address, in bytes.
pub const URL_MAX: usize = 512;

/// Scheme of addresses for SSH.
const SSH: &str = "ssh://";

/// Pauses before a fetch is tried again: a forge may be slow to show what it announces, or away for some minutes. After the last one
/// it is given up: the next push asks anew.
const PAUSES: [Span; 4] = [Span::seconds(5), Span::seconds(30), Span::seconds(120), PAUSE_MAX];
/// The longest of them.
pub const PAUSE_MAX: Span = Span::seconds(600);

/// Text that is no address of a remote repository. Never says the text itself: people paste passwords in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RemoteUrlError {
    /// A user or a password before the host.
    #[error(
        "the address of the remote repository holds a user or a password, which everybody who may read it would see: leave it out, and \
         give the token by itself"
    )]
    Credentials,
    /// One that seems to be for SSH.
    #[error(
        "the address of the remote repository is not of the form ssh://git@git.example.org/acme/shop.git or git@git.example.org:acme/shop.git: \
         a user without a password, a lower-case host, a path of A-Z, a-z, 0-9, . _ - ~ + @ and /, no part of it starting with . or -"
    )]
    Ssh,
    /// Anything else.
    #[error(
        "the address of the remote repository is not of the form https://git.example.org/acme/shop.git: at most 512 characters, a \
         lower-case host, a path of A-Z, a-z, 0-9, . _ - ~ + @ and /, no part of it starting with . or -, without ?, # and %"
    )]
    Malformed,
}

/// Address of a remote repository: `https://host[:port]/path`, or `http://` where the server allows it, `ssh://user@host[:port]/path`, or
/// `user@host:path`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RemoteUrl {
    text: String,
    /// Length of `https://host:port`, or of `user@host:`, in bytes.
    origin: usize,
}

impl RemoteUrl {
    /// The text.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether it begins with `http://`: everybody on the way can read what is fetched, and the token.
    pub fn is_plain(&self) -> bool {
        self.text.starts_with("http://")
    }

    /// Whether it is fetched over SSH, with a key instead of a token.
    pub fn is_ssh(&self) -> bool {
        self.user().is_some()
    }

    /// Who logs in at the host, over SSH.
    pub fn user(&self) -> Option<&str> {
        let before = self.text[..self.origin].rsplit_once('@')?.0;
        Some(before.strip_prefix(SSH).unwrap_or(before))
    }

    /// Name or address of the host, without brackets.
    pub fn host(&self) -> &str {
        let authority = self.authority();
        match authority.strip_prefix('[') {
            Some(rest) => rest.split(']').next().unwrap_or(rest),
            None => authority.split(':').next().unwrap_or(authority),
        }
    }

    /// The port; where none is said, that of the scheme.
    pub fn port(&self) -> u16 {
        let after_host = self.authority().rsplit(']').next().unwrap_or("");
        let said = after_host.rsplit_once(':').and_then(|(_, port)| port.parse().ok());
        let web = if self.is_plain() { 80 } else { 443 };
        said.unwrap_or(if self.is_ssh() { 22 } else { web })
    }

    /// Scheme, host and port, as they stand in the address.
    pub fn origin(&self) -> &str {
        &self.text[..self.origin]
    }

    /// What follows the host, with the slash it begins with; `user@host:path` need not have one.
    pub fn path(&self) -> &str {
        &self.text[self.origin..]
    }

    /// Whether it is the address of the repository that a forge calls `name`, such as `acme/shop`: its path, or the end of it, without
    /// regard to case.
    pub fn is_of(&self, name: &str) -> bool {
        let path = self.text[self.origin..].trim_matches('/');
        let path = path.strip_suffix(".git").unwrap_or(path).to_ascii_lowercase();
        let name = name.to_ascii_lowercase();
        let before = path.strip_suffix(&name);
        !name.is_empty() && before.is_some_and(|before| before.is_empty() || before.ends_with('/'))
    }

    /// Host and port.
    fn authority(&self) -> &str {
        let before = self.text[..self.origin].trim_end_matches(':');
        before.rsplit_once(['@', '/']).map_or(before, |(_, authority)| authority)
    }
}

impl FromStr for RemoteUrl {
    type Err = RemoteUrlError;

    fn from_str(text: &str) -> Result<Self, RemoteUrlError> {
        let wrong = if is_ssh(text) { RemoteUrlError::Ssh } else { RemoteUrlError::Malformed };
        let scheme = ["https://", "http://", SSH].into_iter().find(|scheme| text.starts_with(scheme));
        let Some(scheme) = scheme else { return parse_short(text).ok_or(wrong) };
        let rest = &text[scheme.len()..];
        let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
        let (authority, path) = rest.split_at(end);
        let authority = match authority.split_once('@') {
            Some((user, host)) if scheme == SSH && is_user(user) => host,
            Some(_) if scheme != SSH => return Err(RemoteUrlError::Credentials),
            None if scheme != SSH => authority,
            Some(_) | None => return Err(wrong),
        };
        let (host, port) = match authority.rsplit_once(':') {
            Some((host, port)) if !port.ends_with(']') => (host, Some(port)),
            _ => (authority, None),
        };
        if text.len() <= URL_MAX && is_host(host) && port.is_none_or(is_port) && is_path(path) {
            return Ok(Self { text: text.to_owned(), origin: scheme.len() + end });
        }
        Err(wrong)
    }
}

/// `git@host:path`, whose path may begin at the home of the user.
fn parse_short(text: &str) -> Option<RemoteUrl> {
    let (authority, path) = text.split_once(':')?;
    let (user, host) = authority.split_once('@')?;
    let is_one = text.len() <= URL_MAX && is_user(user) && is_host(host) && is_path(path);
    is_one.then_some(RemoteUrl { text: text.to_owned(), origin: authority.len() + 1 })
}

/// Never an option, nor anything a shell would read.
fn is_user(user: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    (1..=32).contains(&user.len()) && !user.starts_with(['-', '.']) && user.bytes().all(is_plain)
}

/// `ssh://...`, or `git@host:path`, or meant as one of them.
fn is_ssh(text: &str) -> bool {
    let before = text.split_once(':').map_or("", |(before, _)| before);
    before.ends_with("ssh") || before.starts_with("ssh+") || (before.contains('@') && !before.contains('/'))
}

/// A name, an IPv4 address, or an IPv6 address in brackets.
fn is_host(host: &str) -> bool {
    match host.strip_prefix('[') {
        Some(rest) => rest.strip_suffix(']').is_some_and(|inner| inner.parse::<Ipv6Addr>().is_ok()),
        None => host.parse::<HostName>().is_ok() || host.parse::<Ipv4Addr>().is_ok(),
    }
}

fn is_port(port: &str) -> bool {
    port.bytes().all(|byte| byte.is_ascii_digit()) && port.parse::<u16>().is_ok_and(|port| port > 0)
}

fn is_path(path: &str) -> bool {
    let part = |part: &str| {
        !part.is_empty()
            && !part.starts_with(['.', '-'])
            && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-~+@".contains(&byte))
    };
    let path = path.strip_prefix('/').unwrap_or(path);
    path.strip_suffix('/').unwrap_or(path).split('/').all(part)
}

impl fmt::Display for RemoteUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.text)
    }
}

text_json! { RemoteUrl }

/// When a fetch that has failed `tries` times is tried again; `None` gives up.
pub fn next_try(tries: u32, now: Timestamp) -> Option<Timestamp> {
    let place = usize::try_from(tries.checked_sub(1)?).ok()?;
    PAUSES.get(place).map(|pause| now.after(pause.duration()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses() {
        let right = [
            ("https://github.com/acme/shop.git", "github.com", 443),
            ("https://git.example.org:8443/shop", "git.example.org", 8443),
            ("https://gitlab.com/a/b/c/d.git/", "gitlab.com", 443),
            ("https://203.0.113.7/~ada/x_y.git", "203.0.113.7", 443),
            ("https://[2001:db8::1]:3000/x.git", "2001:db8::1", 3000),
            ("http://[::1]/x.git", "::1", 80),
            ("http://localhost:7070/git/upstream.git", "localhost", 7070),
        ];
        for (text, host, port) in right {
            let url: RemoteUrl = text.parse().expect("is an address");
            assert_eq!((url.as_str(), url.host(), url.port()), (text, host, port));
            assert_eq!(url.is_plain(), text.starts_with("http:"));
            assert_eq!(format!("{}{}", url.origin(), url.path()), text);
            assert!(url.path().starts_with('/'));
            assert_eq!(serde_json::to_string(&url).expect("is JSON"), format!("\"{text}\""));
        }
    }

    #[test]
    fn addresses_for_ssh() {
        for (text, user, host, port, path) in [
            ("ssh://git@github.com/acme/shop.git", "git", "github.com", 22, "/acme/shop.git"),
            ("ssh://forge_1@git.example.org:2222/~ada/x", "forge_1", "git.example.org", 2222, "/~ada/x"),
            ("ssh://git@[2001:db8::1]:22/x.git", "git", "2001:db8::1", 22, "/x.git"),
            ("ssh://git@[2001:db8::1]/x.git", "git", "2001:db8::1", 22, "/x.git"),
            ("git@gitlab.com:a/b/c.git", "git", "gitlab.com", 22, "a/b/c.git"),
            ("git@203.0.113.7:/srv/git/x.git/", "git", "203.0.113.7", 22, "/srv/git/x.git/"),
            ("http@a.org:2222/x.git", "http", "a.org", 22, "2222/x.git"),
        ] {
            let url: RemoteUrl = text.parse().expect("is an address");
            assert_eq!((url.user(), url.host(), url.port(), url.path()), (Some(user), host, port, path));
            assert!(url.is_ssh() && !url.is_plain());
            assert_eq!(serde_json::to_string(&url).expect("is JSON"), format!("\"{text}\""));
        }
        let url: RemoteUrl = "git@github.com:Acme/shop.git".parse().expect("is an address");
        assert!(url.is_of("acme/shop") && url.is_of("shop") && !url.is_of("hop"));
        let url: RemoteUrl = "https://github.com/@acme/shop.git".parse().expect("is an address");
        assert_eq!((url.user(), url.is_ssh(), url.host()), (None, false, "github.com"));
    }

    #[test]
    fn a_repository_is_known_by_the_end_of_its_address() {
        for text in
            ["https://a.org/acme/Shop.git", "https://a.org:8443/acme/shop/", "https://a.org/git/acme/shop"]
        {
            let url: RemoteUrl = text.parse().expect("is an address");
            assert!(url.is_of("Acme/shop") && url.is_of("shop"), "{text}");
            assert!(
                !url.is_of("") && !url.is_of("op") && !url.is_of("other/shop") && !url.is_of("acme"),
                "{text}"
            );
        }
    }

    #[test]
    fn what_is_none_says_what_to_do_and_not_what_it_was() {
        let long = format!("https://a.org/{}", "a".repeat(URL_MAX));
        let malformed = [
            "",
            "-x",
            "--upload-pack=x",
            "ext::sh -c id",
            "file:///etc/passwd",
            "/srv/git/x.git",
            "git://a.org/x.git",
            "ftp://a.org/x.git",
            "https://",
            "https://a.org",
            "https://a.org/",
            "https:///x.git",
            "https://-a.org/x.git",
            "https://A.org/x.git",
            "https://a.org:0/x.git",
            "https://a.org:+1/x.git",
            "https://a.org:/x.git",
            "https://a.org:65536/x.git",
            "https://2130706433/x.git",
            "https://[::1/x.git",
            "https://a.org//x.git",
            "https://a.org/../x.git",
            "https://a.org/./x.git",
            "https://a.org/-x.git",
            "https://a.org/x.git?a=b",
            "https://a.org/x.git#a",
            "https://a.org?x@y/z",
            "https://a.org/%2e%2e/x",
            "https://a.org/a b",
            "https://a.org/a\nb",
            "https://a.org/é",
            "HTTPS://a.org/x.git",
            long.as_str(),
        ];
        for wrong in malformed {
            assert_eq!(wrong.parse::<RemoteUrl>(), Err(RemoteUrlError::Malformed), "{wrong:?}");
        }
        for wrong in ["https://ada:hush@a.org/x.git", "https://hush@a.org/x.git", "http://@a.org/x.git"] {
            assert_eq!(wrong.parse::<RemoteUrl>(), Err(RemoteUrlError::Credentials), "{wrong:?}");
        }
    }

    #[test]
    fn addresses_of_ssh_that_are_none() {
        let no_ssh = [
            "ssh://a.org/x.git",
            "ssh://git@a.org",
            "ssh://git@a.org/",
            "ssh://git:hush@a.org/x.git",
            "ssh://@a.org/x.git",
            "ssh://-oProxyCommand=x/",
            "ssh://-oProxyCommand=x@a.org/x.git",
            "ssh://git@-oProxyCommand=x/y.git",
            "ssh://git@a.org/-x.git",
            "ssh://git@a.org/../x.git",
            "ssh://git@a.org/x'y.git",
            "ssh://git@a.org:0/x.git",
            "ssh://git@a.org:ssh/x.git",
            "ssh://git@A.org/x.git",
            "ssh://git@a.org@b.org/x.git",
            "git+ssh://git@a.org/x.git",
            "git@a.org:",
            "git@a.org:/",
            "git@a.org:-x.git",
            "git@a.org:../x.git",
            "git@a.org:x y.git",
            "git@a.org:`id`",
            "git@-a.org:x.git",
            "-oProxyCommand=x@a.org:y.git",
            "git@[::1]:x.git",
        ];
        for wrong in no_ssh {
            assert_eq!(wrong.parse::<RemoteUrl>(), Err(RemoteUrlError::Ssh), "{wrong:?}");
        }
        for error in [RemoteUrlError::Credentials, RemoteUrlError::Ssh, RemoteUrlError::Malformed] {
            assert!(!error.to_string().contains("hush"));
        }
    }

    #[test]
    fn a_fetch_is_given_up_after_a_quarter_of_an_hour() {
        let now = Timestamp::from_millis(1_000_000);
        let pauses: Vec<Option<u64>> =
            (0..6).map(|tries| next_try(tries, now).map(|at| at.since(now).as_secs())).collect();
        assert_eq!(pauses, [None, Some(5), Some(30), Some(120), Some(600), None]);
    }

    proptest::proptest! {
        #[test]
        fn what_parses_is_no_option_and_goes_where_it_seems_to(text in "https?://[a-z.:@/?#%\\[\\]~-]{0,16}") {
            if let Ok(url) = text.parse::<RemoteUrl>() {
                let is_safe = !text.contains(['?', '#', '%']) && !text[..url.origin].contains('@');
                proptest::prop_assert!(is_safe && !text.contains("/.") && !text.contains("/-"), "{text:?} parses");
                let again = url.as_str().parse::<RemoteUrl>();
                proptest::prop_assert_eq!(again, Ok(url));
            }
        }

        #[test]
        fn what_goes_over_ssh_is_no_option_either(text in "(ssh://)?[a-z.:@/?#%\\[\\]~'`$-]{0,16}") {
            if let Ok(url) = text.parse::<RemoteUrl>() {
                let words = [url.user().unwrap_or("-"), url.host(), url.path().trim_start_matches('/')];
                proptest::prop_assert!(url.is_ssh() && url.port() > 0);
                proptest::prop_assert!(words.iter().all(|word| !word.is_empty() && !word.starts_with('-')));
                proptest::prop_assert!(!text.contains(['?', '#', '%', '\'', '`', '$']), "{text:?} parses");
                proptest::prop_assert_eq!(url.as_str().parse::<RemoteUrl>(), Ok(url));
            }
        }
    }
}
