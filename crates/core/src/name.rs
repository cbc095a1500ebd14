//! Names with a closed grammar: what does not parse cannot reach an engine, a path, an argv or a query.
//! Tests at the end of the file.

use std::fmt;
use std::str::FromStr;

use crate::preview::PullNumber;

/// Text outside the grammar of a name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not a valid {kind}: {rule}")]
pub struct NameError {
    /// What was given, escaped and at most 48 characters of it.
    pub text: String,
    /// Kind of name that was expected.
    pub kind: &'static str,
    /// The grammar in words.
    pub rule: &'static str,
}

/// Longest project, environment, service or volume name. Leaves room for all of them in one 63-byte DNS label or
/// Docker name with ids.
pub const NAME_MAX: usize = 32;

const LABEL_RULE: &str =
    "1 to 32 of the characters a-z, 0-9 and -, starting with a letter, not ending with - and without --";

fn is_label(text: &str) -> bool {
    let bytes = text.as_bytes();
    (1..=NAME_MAX).contains(&bytes.len())
        && bytes[0].is_ascii_lowercase()
        && bytes[bytes.len() - 1] != b'-'
        && bytes.iter().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || *b == b'-')
        && !text.contains("--")
}

const ENV_RULE: &str = "1 to 128 of the characters A-Z, a-z, 0-9 and _, not starting with a digit";

fn is_env_key(text: &str) -> bool {
    (1..=128).contains(&text.len())
        && !text.as_bytes()[0].is_ascii_digit()
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

const HOST_RULE: &str = "a lower-case host name such as api.example.org: labels of a-z, 0-9 and - joined by dots, at most 253 characters; \
    no port, no wildcard, and international names in their xn-- form";

fn is_host(text: &str) -> bool {
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
    };
    // A last label of digits only would be read as an IPv4 address (WHATWG URL, host parsing).
    let last_is_number = text.rsplit('.').next().is_some_and(|l| l.bytes().all(|b| b.is_ascii_digit()));
    text.len() <= 253 && !last_is_number && text.split('.').all(label)
}

const CERTIFICATE_RULE: &str = "a lower-case host name such as api.example.org, or *. and a host name of two or more labels such as *.example.org";

fn is_certificate_name(text: &str) -> bool {
    match text.strip_prefix("*.") {
        Some(host) => text.len() <= 253 && host.contains('.') && is_host(host),
        None => is_host(text),
    }
}

const DNS_RULE: &str = "a lower-case name in DNS such as _acme-challenge.example.org: labels of a-z, 0-9, - and _ joined by dots, \
    at most 253 characters, without a dot at the end";

fn is_dns_name(text: &str) -> bool {
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'-' | b'_'))
    };
    text.len() <= 253 && text.split('.').all(label)
}

const PATH_RULE: &str =
    "an absolute path such as /api of at most 1024 visible ASCII characters, without .., //, ?, # or %";

fn is_path(text: &str) -> bool {
    text.len() <= 1024
        && text.starts_with('/')
        && !text.contains("//")
        && text.bytes().all(|b| b.is_ascii_graphic() && !matches!(b, b'?' | b'#' | b'%' | b'\\'))
        && !text.split('/').any(|segment| segment == ".." || segment == ".")
}

const TARGET_RULE: &str = "an absolute path such as /health?full=1 of at most 1024 visible ASCII characters";

fn is_target(text: &str) -> bool {
    text.len() <= 1024 && text.starts_with('/') && text.bytes().all(|b| b.is_ascii_graphic() && b != b'#')
}

const RELATIVE_RULE: &str = "a relative path such as apps/api of at most 512 characters that stays inside the repository, \
    made of the characters A-Z, a-z, 0-9, . _ - @ + and /";

fn is_relative(text: &str) -> bool {
    let segment = |segment: &str| {
        !segment.is_empty()
            && segment != ".."
            && segment
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-' | b'@' | b'+'))
            && !segment.starts_with('-')
    };
    text == "." || (text.len() <= 512 && text.split('/').all(segment))
}

const STAGE_RULE: &str = "1 to 64 of the characters a-z, 0-9, . _ and -, starting with a letter";

fn is_stage(text: &str) -> bool {
    (1..=64).contains(&text.len())
        && text.as_bytes()[0].is_ascii_lowercase()
        && text
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'.' | b'_' | b'-'))
}

// One macro, because each of these is the same closed newtype over checked text.
macro_rules! names {
    ($($(#[$doc:meta])* $name:ident $kind:literal $check:ident $rule:ident;)*) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(String);

        impl $name {
            /// The text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = NameError;

            fn from_str(text: &str) -> Result<Self, NameError> {
                if $check(text) {
                    return Ok(Self(text.to_owned()));
                }
                let text = text.chars().take(48).flat_map(char::escape_default).collect();
                Err(NameError { text, kind: $kind, rule: $rule })
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }

        crate::text::text_json! { $name }
    )*};
}

pub(crate) use names;

names! {
    /// Name of a project.
    ProjectName "project name" is_label LABEL_RULE;
    /// Name of an environment, such as `production`.
    EnvironmentName "environment name" is_label LABEL_RULE;
    /// Name of a service or site, unique in its environment.
    ServiceName "service name" is_label LABEL_RULE;
    /// Name of a volume, unique in its service.
    VolumeName "volume name" is_label LABEL_RULE;
    /// Name of a provider of secrets, unique in its project and environment.
    ProviderName "provider name" is_label LABEL_RULE;
    /// Name of an access token.
    TokenName "token name" is_label LABEL_RULE;
    /// Name of a key for SSH.
    SshKeyName "SSH key name" is_label LABEL_RULE;
    /// Name of an issuer of certificates.
    IssuerName "issuer name" is_label LABEL_RULE;
    /// Name of a job, unique in its environment.
    JobName "job name" is_label LABEL_RULE;
    /// Name of a database, unique in its environment and no name of a service there.
    DatabaseName "database name" is_label LABEL_RULE;
    /// A place where backups go, such as `bucket`.
    TargetName "backup target name" is_label LABEL_RULE;
    /// What the bytes of backups lie on, such as `disk-two`: what is lost together has one name.
    MediumName "medium name" is_label LABEL_RULE;
    /// Name of an environment variable.
    EnvKey "environment variable name" is_env_key ENV_RULE;
    /// Name of a secret of builds, unique in its project: the `id` of `RUN --mount=type=secret`.
    BuildSecretName "name of a build secret" is_env_key ENV_RULE;
    /// A host users ask for, lower case (RFC 1123, RFC 5890 for international names).
    HostName "host" is_host HOST_RULE;
    /// A name a certificate is for: a host, or a wildcard such as `*.example.org` (RFC 6125: one whole label).
    CertificateName "certificate name" is_certificate_name CERTIFICATE_RULE;
    /// Any name in DNS, records with underscores included, without the dot at the end.
    DnsName "name in DNS" is_dns_name DNS_RULE;
    /// An absolute path without query: a path prefix of a route, or a folder inside a task.
    AbsolutePath "path" is_path PATH_RULE;
    /// An absolute path with an optional query: the target of a probe or check.
    ProbeTarget "probe path" is_target TARGET_RULE;
    /// A path inside a repository.
    RelativePath "path inside the repository" is_relative RELATIVE_RULE;
    /// A stage of a Dockerfile.
    StageName "build stage" is_stage STAGE_RULE;
}

impl CertificateName {
    /// Whether it stands for every host one label below [`CertificateName::host`].
    pub fn is_wildcard(&self) -> bool {
        self.0.starts_with("*.")
    }

    /// The host itself; of a wildcard, the host it hangs under.
    pub fn host(&self) -> HostName {
        HostName(self.0.strip_prefix("*.").unwrap_or(&self.0).to_owned())
    }

    /// Whether a certificate of this name is good for `host`.
    pub fn covers(&self, host: &HostName) -> bool {
        match self.0.strip_prefix("*.") {
            Some(parent) => host.0.split_once('.').is_some_and(|(_, rest)| rest == parent),
            None => self.0 == host.0,
        }
    }

    /// Where an issuer looks for the answer of a DNS challenge (RFC 8555, 8.4); the same place for `x` and `*.x`.
    /// `None` when the host is too long to have one.
    pub fn challenge_record(&self) -> Option<DnsName> {
        format!("_acme-challenge.{}", self.host()).parse().ok()
    }
}

impl From<HostName> for CertificateName {
    fn from(host: HostName) -> Self {
        Self(host.0)
    }
}

impl From<&ServiceName> for HostName {
    /// The name by which other services of its environment reach it: every service name is a host of one label.
    fn from(name: &ServiceName) -> Self {
        Self(name.0.clone())
    }
}

impl From<&DatabaseName> for ServiceName {
    /// The name by which services of its environment reach it: both kinds of names are labels, and share one network.
    fn from(name: &DatabaseName) -> Self {
        Self(name.0.clone())
    }
}

impl From<HostName> for DnsName {
    fn from(host: HostName) -> Self {
        Self(host.0)
    }
}

impl DnsName {
    /// The name one label up; `None` above the last label.
    pub fn parent(&self) -> Option<Self> {
        self.0.split_once('.').map(|(_, rest)| Self(rest.to_owned()))
    }

    /// Whether it is `zone` or lies below it.
    pub fn is_in(&self, zone: &Self) -> bool {
        self.0.strip_suffix(&zone.0).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
    }
}

impl AbsolutePath {
    /// The path `/`.
    pub fn root() -> Self {
        Self("/".to_owned())
    }

    /// Whether `other` is this path or lies below it, on whole segments.
    pub fn covers(&self, other: &Self) -> bool {
        let prefix = self.0.trim_end_matches('/');
        other.0.strip_prefix(prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    }
}

impl ProbeTarget {
    /// The path `/`.
    pub fn root() -> Self {
        Self("/".to_owned())
    }
}

impl RelativePath {
    /// The repository itself.
    pub fn here() -> Self {
        Self(".".to_owned())
    }

    /// This path as seen from a folder that holds it, `.` for the folder itself; `None` when it lies elsewhere.
    pub fn inside(&self, folder: &Self) -> Option<Self> {
        if folder.0 == "." {
            return Some(self.clone());
        }
        match self.0.strip_prefix(&folder.0)? {
            "" => Some(Self::here()),
            rest => rest.strip_prefix('/').map(|below| Self(below.to_owned())),
        }
    }
}

impl EnvironmentName {
    /// The environment used when none is named.
    pub fn production() -> Self {
        Self("production".to_owned())
    }

    /// The environment of the preview of a pull request: `pr-7`.
    pub fn preview(number: PullNumber) -> Self {
        Self(format!("pr-{number}"))
    }

    /// The pull request whose preview has this name. Such names are reserved: nobody may declare or apply one.
    pub fn pull(&self) -> Option<PullNumber> {
        self.0.strip_prefix("pr-")?.parse().ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn service_names_are_closed() {
        assert!("api".parse::<ServiceName>().is_ok());
        let long = "a".repeat(64);
        for wrong in ["", "A", "1a", "a-", "a--b", "a_b", "a;$(id)", "a b", "a/b", "a\n", "é", &long] {
            assert!(wrong.parse::<ServiceName>().is_err(), "{wrong:?} must not parse");
        }
        let text = "a;$(id)\n".parse::<ServiceName>().expect_err("must not parse").to_string();
        assert!(text.starts_with("`a;$(id)\\n` is not a valid service name"), "{text}");
    }

    #[test]
    fn names_of_previews_are_known() {
        let number: PullNumber = "7".parse().expect("a number");
        assert_eq!(EnvironmentName::preview(number).as_str(), "pr-7");
        let pull = |text: &str| text.parse::<EnvironmentName>().expect("a name").pull();
        assert_eq!(pull("pr-7"), Some(number));
        for other in ["production", "pr", "pr-x", "pr-07", "pr-0", "pr-7-b", "xpr-7"] {
            assert_eq!(pull(other), None, "{other}");
        }
    }

    #[test]
    fn hosts() {
        for right in ["localhost", "api.dropit.localhost", "xn--bcher-kva.example", "1.example"] {
            assert!(right.parse::<HostName>().is_ok(), "{right:?} must parse");
        }
        for wrong in
            ["*.example.org", "bücher.example", "a..b", ".a", "a.", "A.b", "a:80", "10.0.0.1", "-a.b", ""]
        {
            assert!(wrong.parse::<HostName>().is_err(), "{wrong:?} must not parse");
        }
    }

    #[test]
    fn certificate_names_are_hosts_or_one_star() {
        let wild: CertificateName = "*.example.org".parse().expect("a wildcard");
        let covers = |host: &str| wild.covers(&host.parse().expect("a host"));
        assert!(covers("api.example.org") && !covers("example.org") && !covers("a.b.example.org"));
        assert_eq!(
            wild.challenge_record().map(|name| name.to_string()),
            Some("_acme-challenge.example.org".into())
        );
        for wrong in
            ["*", "*.", "*.org", "*.*.example.org", "a.*.example.org", "*x.example.org", "*.Example.org"]
        {
            assert!(wrong.parse::<CertificateName>().is_err(), "{wrong:?} must not parse");
        }
        let long: CertificateName =
            format!("{}.org", ["a"; 124].join(".")).parse().expect("long, but a host");
        assert_eq!(long.challenge_record(), None);
    }

    #[test]
    fn names_in_dns_know_their_zone() {
        let name: DnsName = "_acme-challenge.api.example.org".parse().expect("a name");
        let is_in = |zone: &str| name.is_in(&zone.parse().expect("a name"));
        assert!(is_in("example.org") && is_in("org") && !is_in("ample.org") && !is_in("x.example.org"));
        assert_eq!(name.parent().map(|up| up.to_string()), Some("api.example.org".into()));
        for wrong in ["", ".", "a..b", "a.", "A", "a b", "a\\.b", "é.org"] {
            assert!(wrong.parse::<DnsName>().is_err(), "{wrong:?} must not parse");
        }
    }

    #[test]
    fn paths_stay_inside() {
        assert!("/api/v1".parse::<AbsolutePath>().is_ok());
        for wrong in ["", "api", "/a/../b", "//a", "/a?b", "/a b", "/%2e%2e"] {
            assert!(wrong.parse::<AbsolutePath>().is_err(), "{wrong:?} must not parse");
        }
        assert!("apps/api/Dockerfile".parse::<RelativePath>().is_ok());
        for wrong in ["", "/etc", "../x", "a/../b", "a//b", "-v", "a b", "a\0"] {
            assert!(wrong.parse::<RelativePath>().is_err(), "{wrong:?} must not parse");
        }
        let path = |text: &str| text.parse::<RelativePath>().expect("a path");
        let inside = |text: &str, folder: &str| path(text).inside(&path(folder)).map(|path| path.to_string());
        assert_eq!(inside("apps/api", "apps").as_deref(), Some("api"));
        assert_eq!(inside("apps/api", ".").as_deref(), Some("apps/api"));
        assert_eq!(inside("apps", "apps").as_deref(), Some("."));
        assert_eq!((inside("apps2", "apps"), inside(".", "apps")), (None, None));
    }
}
