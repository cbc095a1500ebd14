//! Where a repository lies: a folder of this machine, a bucket, or a folder of another machine. Everything in it has a closed grammar and
//! nothing of it is secret. Opens no connection. Tests at the end of the file.

use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::backup::account::Kind;
use crate::name::{AbsolutePath, HostName, NameError, names};
use crate::ssh_key::Fingerprint;
use crate::text::text_json;

const BUCKET_RULE: &str =
    "3 to 63 of the characters a-z, 0-9, . and -, starting and ending with a letter or a digit, without ..";

fn is_bucket(text: &str) -> bool {
    let is_end =
        |byte: Option<&u8>| byte.is_some_and(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit());
    let bytes = text.as_bytes();
    (3..=63).contains(&bytes.len())
        && is_end(bytes.first())
        && is_end(bytes.last())
        && !text.contains("..")
        && bytes.iter().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'.' | b'-'))
}

const REGION_RULE: &str = "1 to 64 of the characters a-z, 0-9 and -, such as eu-west-3";

fn is_region(text: &str) -> bool {
    (1..=64).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
}

const PREFIX_RULE: &str = "parts of the characters A-Z, a-z, 0-9, . _ and - joined by /, such as servers/one, at most 256 characters; \
    no part starts with . or -";

fn is_prefix(text: &str) -> bool {
    let part = |part: &str| {
        !part.is_empty()
            && !part.starts_with(['.', '-'])
            && part.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'))
    };
    text.len() <= 256 && text.split('/').all(part)
}

const USER_RULE: &str =
    "1 to 32 of the characters a-z, 0-9, _ and -, starting with a letter or _, as on Linux";

fn is_user(text: &str) -> bool {
    let bytes = text.as_bytes();
    (1..=32).contains(&bytes.len())
        && (bytes[0].is_ascii_lowercase() || bytes[0] == b'_')
        && bytes.iter().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'_' | b'-'))
}

const MACHINE_RULE: &str =
    "a lower-case host name such as backup.example.org, an IPv4 address, or an IPv6 address without brackets";

fn is_machine(text: &str) -> bool {
    text.parse::<HostName>().is_ok() || text.parse::<Ipv4Addr>().is_ok() || text.parse::<Ipv6Addr>().is_ok()
}

names! {
    /// A bucket of an object storage.
    BucketName "bucket" is_bucket BUCKET_RULE;
    /// Where an object storage says it is.
    Region "region" is_region REGION_RULE;
    /// What the names of all objects of a repository begin with.
    KeyPrefix "prefix" is_prefix PREFIX_RULE;
    /// Who logs in at another machine.
    SftpUser "user of another machine" is_user USER_RULE;
    /// Another machine, by name or address.
    MachineHost "machine" is_machine MACHINE_RULE;
}

/// Text that is no address of an object storage. Never says the text itself: people paste keys in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "that is not the address of an object storage, such as https://s3.example.org or https://s3.example.org:9000: no user, no path; http:// \
     only to this machine itself"
)]
pub struct EndpointError;

/// Address of an object storage: `https://host[:port]`, or `http://` to this machine.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Endpoint(String);

impl Endpoint {
    /// The text, without a slash at its end.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Host and port, as they stand in the address.
    pub fn authority(&self) -> &str {
        self.0.split_once("://").map_or("", |(_, authority)| authority)
    }

    /// Whether it begins with `http://`.
    pub fn is_plain(&self) -> bool {
        self.0.starts_with("http://")
    }
}

/// The host without its port; an IPv6 address keeps its brackets.
fn host_of(authority: &str) -> Option<&str> {
    let (host, port) = match authority.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, Some(port)),
        _ => (authority, None),
    };
    let is_port = |port: &str| {
        port.bytes().all(|byte| byte.is_ascii_digit()) && port.parse::<u16>().is_ok_and(|port| port > 0)
    };
    let is_host = match host.strip_prefix('[') {
        Some(rest) => rest.strip_suffix(']').is_some_and(|inner| inner.parse::<Ipv6Addr>().is_ok()),
        None => host.parse::<HostName>().is_ok() || host.parse::<Ipv4Addr>().is_ok(),
    };
    (is_host && port.is_none_or(is_port)).then_some(host)
}

impl FromStr for Endpoint {
    type Err = EndpointError;

    fn from_str(text: &str) -> Result<Self, EndpointError> {
        let text = text.strip_suffix('/').unwrap_or(text);
        let (scheme, authority) = text.split_once("://").ok_or(EndpointError)?;
        let host = host_of(authority).ok_or(EndpointError)?;
        // Keys are never sent, but what is stored is not signed in all parts: a stranger on the way could change it.
        let is_here = matches!(host, "localhost" | "127.0.0.1" | "[::1]");
        let is_sound = text.len() <= 255 && (scheme == "https" || (scheme == "http" && is_here));
        if is_sound { Ok(Self(text.to_owned())) } else { Err(EndpointError) }
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

text_json! { Endpoint }

/// Where a repository lies.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind", deny_unknown_fields)]
pub enum Location {
    /// A folder of this machine.
    Folder {
        /// Where it is.
        path: AbsolutePath,
    },
    /// A bucket of an object storage that speaks S3.
    S3 {
        /// Address of the storage.
        endpoint: Endpoint,
        /// The bucket; it is never made.
        bucket: BucketName,
        /// Where the storage says it is; it is part of every signature.
        region: Region,
        /// What the names of all objects begin with; absent at the top of the bucket.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        prefix: Option<KeyPrefix>,
        /// Whether the bucket stands in the path and not in the host.
        path_style: bool,
    },
    /// A folder of another machine.
    Sftp {
        /// The machine.
        host: MachineHost,
        /// Its port for SSH.
        port: u16,
        /// Who logs in.
        user: SftpUser,
        /// The folder.
        path: AbsolutePath,
        /// The machine's own key: any other one is somebody else.
        host_key: Fingerprint,
    },
}

impl Location {
    /// How it is reached.
    pub const fn kind(&self) -> Kind {
        match self {
            Self::Folder { .. } => Kind::Local,
            Self::S3 { .. } => Kind::S3,
            Self::Sftp { .. } => Kind::Sftp,
        }
    }

    /// Whether nothing of it is reached without a credential.
    pub const fn needs_credential(&self) -> bool {
        !matches!(self, Self::Folder { .. })
    }

    /// The key its machine must show, where that is another one.
    pub const fn host_key(&self) -> Option<&Fingerprint> {
        match self {
            Self::Sftp { host_key, .. } => Some(host_key),
            Self::Folder { .. } | Self::S3 { .. } => None,
        }
    }

    /// Names of the variables restic needs to reach it.
    pub fn variables(&self) -> Vec<String> {
        let names: &[&str] = match self {
            Self::S3 { .. } => &["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_DEFAULT_REGION"],
            Self::Folder { .. } | Self::Sftp { .. } => &[],
        };
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    /// What is wrong with it beyond the grammars of its parts.
    ///
    /// # Errors
    /// Says it in a sentence.
    pub fn check(&self) -> Result<(), String> {
        match self {
            Self::Folder { path } | Self::Sftp { path, .. } if path.as_str() == "/" => {
                Err("a repository has a folder of its own: / is not one".to_owned())
            }
            Self::Sftp { port: 0, .. } => Err("0 is no port".to_owned()),
            Self::Folder { .. } | Self::S3 { .. } | Self::Sftp { .. } => Ok(()),
        }
    }
}

/// As restic takes it after `-r`.
impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Folder { path } => path.fmt(f),
            Self::S3 { endpoint, bucket, prefix: Some(prefix), .. } => {
                write!(f, "s3:{endpoint}/{bucket}/{prefix}")
            }
            Self::S3 { endpoint, bucket, prefix: None, .. } => write!(f, "s3:{endpoint}/{bucket}"),
            // Two slashes: with one the path would be seen from the home of the user.
            Self::Sftp { host, port, user, path, .. } if host.as_str().contains(':') => {
                write!(f, "sftp://{user}@[{host}]:{port}/{path}")
            }
            Self::Sftp { host, port, user, path, .. } => write!(f, "sftp://{user}@{host}:{port}/{path}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(json: serde_json::Value) -> Location {
        serde_json::from_value(json).expect("is a location")
    }

    #[test]
    fn restic_knows_each_of_them() {
        let s3 = |prefix: Option<&str>| {
            let json = serde_json::json!({ "kind": "s3", "endpoint": "https://s3.example.org", "bucket": "havre-backups",
                "region": "eu-west-3", "prefix": prefix, "path_style": true });
            read(json).to_string()
        };
        assert_eq!(s3(None), "s3:https://s3.example.org/havre-backups");
        assert_eq!(s3(Some("servers/one")), "s3:https://s3.example.org/havre-backups/servers/one");
        let sftp = |host: &str| {
            let json = serde_json::json!({ "kind": "sftp", "host": host, "port": 22, "user": "backup", "path": "/srv/havre",
                "host_key": "SHA256:wK2iATqZPfxfJugRs59aalW5UaXK7OZyChj0reLiQk4" });
            read(json)
        };
        assert_eq!(sftp("b.example.org").to_string(), "sftp://backup@b.example.org:22//srv/havre");
        assert_eq!(sftp("2001:db8::1").to_string(), "sftp://backup@[2001:db8::1]:22//srv/havre");
        let folder = read(serde_json::json!({ "kind": "folder", "path": "/mnt/two/havre" }));
        assert_eq!((folder.to_string().as_str(), folder.kind()), ("/mnt/two/havre", Kind::Local));
        assert!(!folder.needs_credential() && sftp("b.example.org").needs_credential());
        assert_eq!((folder.check(), sftp("b.example.org").check()), (Ok(()), Ok(())));
        let root = read(serde_json::json!({ "kind": "folder", "path": "/" }));
        assert!(root.check().is_err());
    }

    #[test]
    fn addresses_of_storages() {
        for right in [
            "https://s3.example.org",
            "https://s3.example.org:9000/",
            "http://127.0.0.1:9000",
            "http://[::1]:1",
        ] {
            let endpoint: Endpoint = right.parse().expect("is one");
            assert_eq!(endpoint.as_str(), right.trim_end_matches('/'));
            assert_eq!(endpoint.is_plain(), right.starts_with("http:"));
        }
        for wrong in [
            "",
            "s3.example.org",
            "http://s3.example.org",
            "https://",
            "https://ada:planted@s3.example.org",
            "https://s3.example.org/bucket",
            "https://s3.example.org?x",
            "https://s3.example.org:0",
            "https://s3.example.org:",
            "ftp://s3.example.org",
            "https://S3.example.org",
        ] {
            let error = wrong.parse::<Endpoint>().expect_err(wrong);
            assert!(!error.to_string().contains("planted"));
        }
    }

    #[test]
    fn parts_are_closed() {
        for wrong in ["ab", "Backups", "-abc", "abc-", "a..b", "a_b", "a/b"] {
            assert!(wrong.parse::<BucketName>().is_err(), "{wrong:?} must not parse");
        }
        for wrong in ["", "/a", "a/", "a//b", "../a", "a/.b", "-a", "a b"] {
            assert!(wrong.parse::<KeyPrefix>().is_err(), "{wrong:?} must not parse");
        }
        for wrong in ["", "Root", "1a", "a b", "-oProxyCommand=x"] {
            assert!(wrong.parse::<SftpUser>().is_err(), "{wrong:?} must not parse");
        }
        for wrong in ["", "-oProxyCommand=x", "[::1]", "a b", "B.example.org"] {
            assert!(wrong.parse::<MachineHost>().is_err(), "{wrong:?} must not parse");
        }
        for right in ["b.example.org", "192.0.2.1", "2001:db8::1"] {
            assert!(right.parse::<MachineHost>().is_ok(), "{right:?} must parse");
        }
    }
}
