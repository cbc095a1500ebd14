//! Container registries: which one an image reference names, and what proves there who pulls. What their limits mean is decided
//! in `decide`; what is known of one registry only is in [`hub`]. Opens no connection. Tests at the end of the file, and
//! `tests/it/registry.rs`.

pub mod event;
pub mod hub;

use std::fmt;
use std::str::FromStr;

use crate::artifact::ImageRef;
use crate::secret::Secret;
use crate::text::text_json;

/// Longest host with its port, in bytes.
pub const HOST_MAX: usize = 255;
/// Longest user name, in bytes.
pub const USER_MAX: usize = 255;
/// Longest password, in bytes: some registries take a whole key as JSON.
pub const PASSWORD_MAX: usize = 8192;

/// Text that is no registry. Never says the text itself: people paste passwords in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "that is not the host of a registry, as image references name it, such as registry.example.org or registry.example.org:5000: \
     no https://, no user, no path"
)]
pub struct RegistryHostError;

/// Text that is no user of a registry. Never says the text itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the user of a registry has 1 to 255 visible ASCII characters, without spaces and colons")]
pub struct RegistryUserError;

/// Text that is no password of a registry. Never says the text itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "the password has to have 1 to 8192 bytes of text, without control characters other than line breaks and tabs"
)]
pub struct PasswordError;

/// Host of a registry as image references name it, with its port where they name one: `registry.example.org:5000`. In lower
/// case; the names of Docker Hub are one. Another port is another registry.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RegistryHost(String);

impl RegistryHost {
    /// Docker Hub: where images without a host come from.
    pub fn hub() -> Self {
        Self(hub::HOST.to_owned())
    }

    /// The registry an image reference names, by Docker's own rule: the first part of the name is a host when it holds a dot, a
    /// colon or a capital, or is `localhost`.
    pub fn of(reference: &ImageRef) -> Self {
        Self::split(reference).0
    }

    /// The same with the path of the repository there, as it is written: `library/` is not filled in.
    pub fn split(reference: &ImageRef) -> (Self, &str) {
        let name = reference.repository();
        match name.split_once('/') {
            Some((first, path)) if names_host(first) => (Self::normal(first), path),
            _ => (Self::hub(), name),
        }
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether it is Docker Hub.
    pub fn is_hub(&self) -> bool {
        self.0 == hub::HOST
    }

    fn normal(text: &str) -> Self {
        let lower = text.to_ascii_lowercase();
        if hub::ALIASES.contains(&lower.as_str()) { Self::hub() } else { Self(lower) }
    }
}

/// Docker's rule for telling a host from the first part of a path.
fn names_host(first: &str) -> bool {
    first.contains(['.', ':']) || first == "localhost" || first.bytes().any(|byte| byte.is_ascii_uppercase())
}

/// Whether an image reference can begin with it: the same grammar as there, so that every registry that can be named can be set.
fn is_host(text: &str) -> bool {
    let (name, port) = text.split_once(':').map_or((text, None), |(name, port)| (name, Some(port)));
    let is_end = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_alphanumeric);
    let bytes = name.as_bytes();
    let is_name = is_end(bytes.first())
        && is_end(bytes.last())
        && bytes.iter().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-'));
    let is_port =
        |port: &str| (1..=5).contains(&port.len()) && port.bytes().all(|byte| byte.is_ascii_digit());
    text.len() <= HOST_MAX && is_name && port.is_none_or(is_port)
}

impl FromStr for RegistryHost {
    type Err = RegistryHostError;

    fn from_str(text: &str) -> Result<Self, RegistryHostError> {
        if !is_host(text) || !names_host(text) {
            return Err(RegistryHostError);
        }
        Ok(Self::normal(text))
    }
}

impl fmt::Display for RegistryHost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Who pulls, as a registry knows them: visible ASCII without colons, which end the name in HTTP.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RegistryUser(String);

impl RegistryUser {
    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for RegistryUser {
    type Err = RegistryUserError;

    fn from_str(text: &str) -> Result<Self, RegistryUserError> {
        let is_sound = (1..=USER_MAX).contains(&text.len())
            && text.bytes().all(|byte| byte.is_ascii_graphic() && byte != b':');
        if is_sound { Ok(Self(text.to_owned())) } else { Err(RegistryUserError) }
    }
}

impl fmt::Display for RegistryUser {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Checks what somebody gave as a password or token.
///
/// # Errors
/// When it is empty, too long, or holds control characters.
pub fn parse_password(text: String) -> Result<Secret, PasswordError> {
    let is_odd = |c: char| c.is_control() && !matches!(c, '\n' | '\r' | '\t');
    let secret = Secret::from(text);
    let is_sound = secret.expose_text().is_some_and(|text| {
        (1..=PASSWORD_MAX).contains(&text.len()) && !text.trim().is_empty() && !text.contains(is_odd)
    });
    if is_sound { Ok(secret) } else { Err(PasswordError) }
}

/// What proves to one registry who pulls. Goes to that registry and to no other.
#[derive(Debug, Clone)]
pub struct Credentials {
    /// The registry.
    pub host: RegistryHost,
    /// Who pulls.
    pub user: RegistryUser,
    /// Password or access token.
    pub password: Secret,
}

impl Credentials {
    /// Themselves where they belong to the registry that `reference` names, and nothing otherwise: the last check before they
    /// leave.
    pub fn only_for(&self, reference: &ImageRef) -> Option<&Self> {
        (self.host == RegistryHost::of(reference)).then_some(self)
    }
}

text_json! { RegistryHost RegistryUser }

#[cfg(test)]
mod tests {
    use super::*;

    fn of(reference: &str) -> String {
        RegistryHost::of(&reference.parse().expect("a reference")).to_string()
    }

    #[test]
    fn references_name_one_registry() {
        let digest = format!("sha256:{}", "a".repeat(64));
        assert_eq!(of("registry.example.org/team/app:1"), "registry.example.org");
        assert_eq!(of("registry.example.org:5000/app"), "registry.example.org:5000");
        assert_eq!(of(&format!("127.0.0.1:5000/app@{digest}")), "127.0.0.1:5000");
        assert_eq!(of("localhost/app"), "localhost");
        assert_eq!(of("localhost:5000/app:1"), "localhost:5000");
        assert_eq!(of("Registry.Example.ORG/app"), "registry.example.org");
        // A capital makes it a host for newer engines and nothing at all for older ones.
        assert_eq!(of("Team/app"), "team");
    }

    #[test]
    fn hosts_are_hosts_and_nothing_else() {
        for right in ["a.example", "A.example", "localhost", "localhost:1", "a:65535", "127.0.0.1:5000"] {
            assert!(right.parse::<RegistryHost>().is_ok(), "{right:?} must parse");
        }
        for wrong in [
            "",
            "team",
            "https://a.example",
            "a.example/team",
            "ada:planted@a.example",
            "a.example:",
            "a.example:123456",
            "a.example:+1",
            ".example",
            "-a.example",
            "a.example.",
            "a b.example",
            "é.example",
            "[::1]:5000",
            "a.example\n",
        ] {
            let error = wrong.parse::<RegistryHost>().expect_err(wrong);
            assert!(!error.to_string().contains("planted"));
        }
        assert!(format!("{}.example", "a".repeat(260)).parse::<RegistryHost>().is_err());
    }

    #[test]
    fn users_and_passwords() {
        for right in
            ["ada", "robot$ci", "ada@example.org", "_json_key", "00000000-0000-0000-0000-000000000000"]
        {
            assert!(right.parse::<RegistryUser>().is_ok(), "{right:?} must parse");
        }
        for wrong in ["", "a:b", "a b", "a\n", "é"] {
            assert!(wrong.parse::<RegistryUser>().is_err(), "{wrong:?} must not parse");
        }
        assert!("a".repeat(256).parse::<RegistryUser>().is_err());
        for right in ["x", "pass word", "{\n\t\"type\": \"service_account\"\n}", "ünïcode~?>"] {
            assert!(parse_password(right.to_owned()).is_ok(), "{right:?} must do");
        }
        let long = "a".repeat(PASSWORD_MAX + 1);
        for wrong in ["", " \n", "a\0b", "a\u{1b}[0m", long.as_str()] {
            assert!(parse_password(wrong.to_owned()).is_err(), "{wrong:?} must not do");
        }
    }

    #[test]
    fn credentials_belong_to_one_registry() {
        let credentials = Credentials {
            host: "registry.example.org".parse().expect("a host"),
            user: "ada".parse().expect("a user"),
            password: Secret::from("planted"),
        };
        let goes = |reference: &str| credentials.only_for(&reference.parse().expect("a reference")).is_some();
        assert!(goes("registry.example.org/team/app:1"));
        for other in ["registry.example.org:5000/a", "registry.example.org.evil.example/a", "a", "evil/a"] {
            assert!(!goes(other), "{other}");
        }
        assert!(!format!("{credentials:?}").contains("planted"));
    }
}
