//! What proves to the place of a repository who writes there: two keys of an object storage, or a private key for SSH. It is given once,
//! as text, and kept sealed. Tests at the end of the file.

use serde::{Deserialize, Serialize};

use crate::backup::location::Location;
use crate::secret::Secret;

/// Longest text.
const TEXT_MAX: usize = 16 * 1024;
/// Longest key of an object storage.
const KEY_MAX: usize = 256;

/// Why a text is no credential for its place. Never says the text itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CredentialError {
    /// A folder of this machine needs none.
    #[error("a folder of this machine needs no credential")]
    NotNeeded,
    /// It is empty.
    #[error("there is no credential; without one nothing of this place is reached")]
    Missing,
    /// It is no pair of keys.
    #[error(
        "the credential of a bucket is two lines of text: the id of the access key, and the secret access key, each of 1 to 256 visible \
         ASCII characters"
    )]
    S3,
    /// It is no key for SSH.
    #[error(
        "the credential of another machine is a private key for SSH without a passphrase, as ssh-keygen writes it, from -----BEGIN to \
         -----END"
    )]
    Sftp,
}

/// The two keys of an object storage, as they are sealed.
#[derive(Serialize)]
struct Written<'a> {
    access_key_id: &'a str,
    secret_access_key: &'a str,
}

/// The same, as it is read. Its texts become secrets at once.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Read {
    access_key_id: String,
    secret_access_key: String,
}

/// The two keys of an object storage.
#[derive(Debug, Clone)]
pub struct S3Keys {
    /// Which key it is; not secret, but nobody's business.
    pub access_key_id: String,
    /// The key itself.
    pub secret_access_key: Secret,
}

fn is_key(text: &str) -> bool {
    (1..=KEY_MAX).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic())
}

/// Checks what somebody gave for this place, and turns it into what is sealed.
///
/// # Errors
/// Says what it should be.
pub fn parse(location: &Location, text: &Secret) -> Result<Secret, CredentialError> {
    let given = text.expose_text().unwrap_or_default().trim();
    match location {
        Location::Folder { .. } => Err(CredentialError::NotNeeded),
        _ if given.is_empty() => Err(CredentialError::Missing),
        Location::S3 { .. } => {
            let (id, key) = given.split_once('\n').ok_or(CredentialError::S3)?;
            let (id, key) = (id.trim(), key.trim());
            if !is_key(id) || !is_key(key) {
                return Err(CredentialError::S3);
            }
            let written = Written { access_key_id: id, secret_access_key: key };
            serde_json::to_vec(&written).map(Secret::new).map_err(|_| CredentialError::S3)
        }
        Location::Sftp { .. } => {
            let is_key = given.len() <= TEXT_MAX
                && given.starts_with("-----BEGIN ")
                && given.ends_with("PRIVATE KEY-----")
                && given.contains("-----END ")
                && !given.contains("ENCRYPTED")
                && given.bytes().all(|byte| byte.is_ascii_graphic() || matches!(byte, b' ' | b'\n' | b'\r'));
            // Programs that read such keys want the line break at the end.
            if is_key { Ok(Secret::from(format!("{given}\n"))) } else { Err(CredentialError::Sftp) }
        }
    }
}

/// Reads what [`parse`] made of the keys of an object storage.
///
/// # Errors
/// It is something else.
pub fn s3_keys(sealed: &Secret) -> Result<S3Keys, CredentialError> {
    let read: Read = serde_json::from_slice(sealed.expose()).map_err(|_| CredentialError::S3)?;
    Ok(S3Keys { access_key_id: read.access_key_id, secret_access_key: Secret::from(read.secret_access_key) })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn location(json: serde_json::Value) -> Location {
        serde_json::from_value(json).expect("is a location")
    }

    fn s3() -> Location {
        location(serde_json::json!({ "kind": "s3", "endpoint": "https://s3.example.org", "bucket": "backups",
            "region": "eu-west-3", "path_style": false }))
    }

    fn sftp() -> Location {
        location(
            serde_json::json!({ "kind": "sftp", "host": "b.example.org", "port": 22, "user": "backup", "path": "/srv",
            "host_key": "SHA256:wK2iATqZPfxfJugRs59aalW5UaXK7OZyChj0reLiQk4" }),
        )
    }

    #[test]
    fn two_lines_become_two_keys() {
        let sealed = parse(&s3(), &Secret::from("AKIA\r\nplanted/secret+key\n")).expect("are keys");
        let keys = s3_keys(&sealed).expect("are keys");
        assert_eq!(keys.access_key_id, "AKIA");
        assert_eq!(keys.secret_access_key.expose_text(), Some("planted/secret+key"));
        assert!(!format!("{keys:?}").contains("planted"));
        for wrong in ["one-line-planted", "a b\nplanted", "a\nplanted x", "a\n\nb\nplanted"] {
            let error = parse(&s3(), &Secret::from(wrong)).expect_err("are none");
            assert_eq!(error, CredentialError::S3);
            assert!(!error.to_string().contains("planted"));
        }
        assert_eq!(parse(&s3(), &Secret::from(" \n")).err(), Some(CredentialError::Missing));
        assert_eq!(s3_keys(&Secret::from("x")).err(), Some(CredentialError::S3));
    }

    #[test]
    fn keys_for_ssh_are_private_and_open() {
        let key = "-----BEGIN OPENSSH PRIVATE KEY-----\nAAAA\n-----END OPENSSH PRIVATE KEY-----";
        let sealed = parse(&sftp(), &Secret::from(key)).expect("is a key");
        assert_eq!(sealed.expose_text(), Some(format!("{key}\n").as_str()));
        let locked = key.replace("OPENSSH", "ENCRYPTED");
        for wrong in ["ssh-ed25519 AAAA ada@laptop", "-----BEGIN OPENSSH PRIVATE KEY-----", locked.as_str()] {
            assert_eq!(parse(&sftp(), &Secret::from(wrong)).err(), Some(CredentialError::Sftp), "{wrong}");
        }
        let folder = location(serde_json::json!({ "kind": "folder", "path": "/mnt/two" }));
        assert_eq!(parse(&folder, &Secret::from("x")).err(), Some(CredentialError::NotNeeded));
    }
}
