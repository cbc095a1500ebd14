//! Sealing: what must not be read from the store's file, or from a copy of it, is encrypted with a key that is not in it.
//! XChaCha20-Poly1305; its nonce is long enough to be random. A sealed value is bound to its table, row and column, so that
//! swapping two makes both unreadable. A value that cannot be opened is an error, never an empty value.
//! Tests: at the end of the file, and `tests/it/seal.rs`.

use std::fmt;
use std::fs;
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use chacha20poly1305::aead::{Aead as _, KeyInit as _, Payload};
use chacha20poly1305::{XChaCha20Poly1305, XNonce};
use havre_core::secret::Secret;
use sha2::{Digest as _, Sha256};
use zeroize::Zeroizing;

use crate::error::StoreError;

/// First line of a key file: what it is, and the version of its form.
const HEADER: &str = "havre-master-key-1 ";
/// Length of the key's name in front of a sealed value.
pub(crate) const ID: usize = 8;
const NONCE: usize = 24;
/// Longest key file that is read.
const FILE_MAX: u64 = 1024;

/// The key that seals. Its name is the beginning of its hash: enough to say that a value was sealed by another key.
#[derive(Clone)]
pub struct MasterKey {
    id: [u8; ID],
    key: Zeroizing<[u8; 32]>,
}

impl fmt::Debug for MasterKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "MasterKey({})", self.name())
    }
}

/// Why a key file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// There is none.
    #[error("there is no master key at {}; make one with `havred key create`", path.display())]
    Missing {
        /// Where it should be.
        path: PathBuf,
    },
    /// There is one already.
    #[error("{} exists already, and what it has sealed could be opened by nothing else; it was left as it is", path.display())]
    Exists {
        /// Where.
        path: PathBuf,
    },
    /// Others may read it.
    #[error("the master key {} has mode {mode:04o}, so that others may read it; `chmod 600` it, and think about who may have", path.display())]
    Readable {
        /// Where.
        path: PathBuf,
        /// Its mode.
        mode: u32,
    },
    /// Somebody else's.
    #[error("the master key {} belongs to user {owner}, but this process runs as {user}; `chown` it", path.display())]
    Owner {
        /// Where.
        path: PathBuf,
        /// Who has it.
        owner: u32,
        /// Who we are.
        user: u32,
    },
    /// It is no key.
    #[error("{} is not a master key of Havre", path.display())]
    Malformed {
        /// Where.
        path: PathBuf,
    },
    /// It could not be read or written.
    #[error("could not {doing} the master key {}", path.display())]
    File {
        /// What we were doing.
        doing: &'static str,
        /// Where.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
}

impl MasterKey {
    /// From random bytes.
    pub fn new(bytes: [u8; 32]) -> Self {
        let key = Zeroizing::new(bytes);
        let hash = Sha256::new_with_prefix(b"havre master key").chain_update(key.as_slice()).finalize();
        let mut id = [0; ID];
        id.copy_from_slice(&hash[..ID]);
        Self { id, key }
    }

    /// Name of the key, which tells nothing about it.
    pub fn name(&self) -> String {
        hex(&self.id)
    }

    /// Reads a key file that this user owns and nobody else may read.
    ///
    /// # Errors
    /// Says what is wrong with the file.
    pub fn load(path: &Path) -> Result<Self, KeyError> {
        let failed = |source: io::Error| match source.kind() {
            io::ErrorKind::NotFound => KeyError::Missing { path: path.to_owned() },
            _ => KeyError::File { doing: "read", path: path.to_owned(), source },
        };
        let file = fs::File::open(path).map_err(failed)?;
        // Asked of the open file, so that it cannot be exchanged in between.
        let about = file.metadata().map_err(failed)?;
        let (mode, owner, user) = (about.mode() & 0o7777, about.uid(), rustix::process::geteuid().as_raw());
        if mode & 0o077 != 0 {
            return Err(KeyError::Readable { path: path.to_owned(), mode });
        }
        if owner != user {
            return Err(KeyError::Owner { path: path.to_owned(), owner, user });
        }
        let mut text = Zeroizing::new(String::new());
        file.take(FILE_MAX).read_to_string(&mut text).map_err(failed)?;
        let bytes = text.strip_prefix(HEADER).and_then(|rest| unhex(rest.trim_end()));
        bytes.map(Self::new).ok_or_else(|| KeyError::Malformed { path: path.to_owned() })
    }

    /// Makes a key file of random bytes; never replaces one.
    ///
    /// # Errors
    /// `Exists`, and those of the file.
    pub fn create(path: &Path) -> Result<Self, KeyError> {
        let failed = |doing| move |source| KeyError::File { doing, path: path.to_owned(), source };
        let mut bytes = Zeroizing::new([0_u8; 32]);
        fill(bytes.as_mut_slice()).map_err(failed("find random bytes for"))?;
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder).map_err(failed("make the folder of"))?;
        }
        let file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
        let mut file = file.map_err(|source| match source.kind() {
            io::ErrorKind::AlreadyExists => KeyError::Exists { path: path.to_owned() },
            _ => KeyError::File { doing: "write", path: path.to_owned(), source },
        })?;
        let text = Zeroizing::new(format!("{HEADER}{}\n", hex(bytes.as_slice())));
        file.write_all(text.as_bytes()).and_then(|()| file.sync_all()).map_err(failed("write"))?;
        // The name in the folder must survive a power cut as well: what it seals is lost with it.
        if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
            fs::File::open(folder).and_then(|folder| folder.sync_all()).map_err(failed("keep"))?;
        }
        Ok(Self::new(*bytes))
    }

    /// The key itself, to derive others from it.
    pub(crate) fn bytes(&self) -> &[u8; 32] {
        &self.key
    }

    pub(crate) fn id(&self) -> [u8; ID] {
        self.id
    }

    fn cipher(&self) -> XChaCha20Poly1305 {
        XChaCha20Poly1305::new((&*self.key).into())
    }

    /// Seals `secret` for one place. Key name, nonce, then the ciphertext with its tag.
    pub(crate) fn seal(&self, secret: &Secret, place: Place<'_>) -> Result<Vec<u8>, StoreError> {
        let mut nonce = [0_u8; NONCE];
        fill(&mut nonce).map_err(|source| StoreError::Random { source })?;
        let payload = Payload { msg: secret.expose(), aad: &place.bound() };
        let hidden = self
            .cipher()
            .encrypt(&XNonce::from(nonce), payload)
            .expect("a secret is far shorter than the cipher's limit of 256 GB");
        Ok([self.id.as_slice(), &nonce, &hidden].concat())
    }

    /// Opens what was sealed for this place.
    pub(crate) fn open(&self, sealed: &[u8], place: Place<'_>) -> Result<Secret, StoreError> {
        let failed = |why| place.unreadable(why);
        let (id, rest) = sealed.split_at_checked(ID).ok_or_else(|| failed("it is too short"))?;
        let (nonce, hidden) = rest.split_first_chunk::<NONCE>().ok_or_else(|| failed("it is too short"))?;
        if id != self.id {
            return Err(failed("it was sealed with another master key"));
        }
        let payload = Payload { msg: hidden, aad: &place.bound() };
        let secret = self.cipher().decrypt(&XNonce::from(*nonce), payload);
        secret.map(Secret::new).map_err(|_| failed("it was changed, or belongs to another row"))
    }
}

/// Where a sealed value is kept.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Place<'a> {
    pub(crate) table: &'static str,
    pub(crate) row: &'a str,
    pub(crate) column: &'static str,
}

impl Place<'_> {
    /// Unambiguous, because names of tables and columns hold no zero byte.
    fn bound(&self) -> Vec<u8> {
        let parts =
            [b"havre seal 1".as_slice(), self.table.as_bytes(), self.column.as_bytes(), self.row.as_bytes()];
        parts.join(&0)
    }

    pub(crate) fn unreadable(&self, why: &'static str) -> StoreError {
        StoreError::Sealed { table: self.table, row: self.row.to_owned(), column: self.column, why }
    }
}

/// Columns with sealed values, for the check at the start.
pub(crate) const SEALED: [(&str, &str); 18] = [
    ("materials", "sealed_key"),
    ("orders", "sealed_key"),
    ("issuers", "sealed_eab"),
    ("accounts", "sealed_key"),
    ("dns_providers", "sealed_fields"),
    ("remotes", "sealed_token"),
    ("remotes", "sealed_status_token"),
    ("deploy_keys", "sealed_key"),
    ("webhooks", "sealed_secret"),
    ("registries", "sealed_password"),
    ("build_secrets", "sealed_value"),
    ("secret_providers", "sealed_credential"),
    // What secrets are sealed with; `secrets` and `release_values` themselves hold nothing of the master key.
    ("data_keys", "sealed_key"),
    ("databases", "sealed_password"),
    ("database_roles", "sealed_password"),
    ("backup_targets", "sealed_password"),
    ("backup_targets", "sealed_credential"),
    ("salts", "sealed_salt"),
];

/// A password of ours: 256 random bits.
pub(crate) fn random_password() -> Result<Secret, StoreError> {
    let mut bytes = Zeroizing::new([0_u8; 32]);
    fill(bytes.as_mut_slice()).map_err(|source| StoreError::Random { source })?;
    Ok(havre_core::database::role::password(&bytes))
}

/// Random bytes of the operating system.
pub(crate) fn fill(bytes: &mut [u8]) -> io::Result<()> {
    let mut filled = 0;
    while filled < bytes.len() {
        filled += rustix::rand::getrandom(&mut bytes[filled..], rustix::rand::GetRandomFlags::empty())?;
    }
    Ok(())
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

pub(crate) fn unhex(text: &str) -> Option<[u8; 32]> {
    if text.len() != 64 || !text.is_ascii() {
        return None;
    }
    let mut bytes = [0; 32];
    for (index, byte) in bytes.iter_mut().enumerate() {
        *byte = u8::from_str_radix(&text[2 * index..2 * index + 2], 16).ok()?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    const HERE: Place<'static> =
        Place { table: "accounts", row: "letsencrypt/production", column: "sealed_key" };

    #[test]
    fn only_the_same_key_and_the_same_place_open() {
        let key = MasterKey::new([7; 32]);
        let secret = Secret::from("planted-secret");
        let sealed = key.seal(&secret, HERE).unwrap();
        assert!(!sealed.windows(7).any(|part| part == b"planted"));
        assert_eq!(key.open(&sealed, HERE).unwrap().expose(), b"planted-secret");
        assert_ne!(key.seal(&secret, HERE).unwrap(), sealed, "a nonce is used once");

        let said = |key: &MasterKey, sealed: &[u8], place| key.open(sealed, place).unwrap_err().to_string();
        let other_row = Place { row: "letsencrypt/rehearsal", ..HERE };
        let other_column = Place { column: "sealed_eab", ..HERE };
        let mut flipped = sealed.clone();
        *flipped.last_mut().unwrap() ^= 1;
        for text in
            [said(&key, &sealed, other_row), said(&key, &sealed, other_column), said(&key, &flipped, HERE)]
        {
            assert!(text.contains("it was changed, or belongs to another row"), "{text}");
        }
        let text = said(&MasterKey::new([8; 32]), &sealed, HERE);
        assert!(text.contains("sealed with another master key"), "{text}");
        for length in [0, 7, 8, 31, 32, 40] {
            assert!(key.open(&sealed[..length], HERE).is_err(), "{length} bytes");
        }
    }

    #[test]
    fn rows_and_columns_cannot_be_shifted() {
        let one = Place { table: "a", row: "b", column: "c" };
        let two = Place { table: "a", row: "c", column: "b" };
        assert_ne!(one.bound(), two.bound());
    }

    #[test]
    fn a_key_file_is_private_and_never_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("new/master.key");
        assert!(matches!(MasterKey::load(&path), Err(KeyError::Missing { .. })));
        let made = MasterKey::create(&path).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
        assert_eq!(MasterKey::load(&path).unwrap().name(), made.name());
        assert!(matches!(MasterKey::create(&path), Err(KeyError::Exists { .. })));

        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        let text = MasterKey::load(&path).unwrap_err().to_string();
        assert!(text.contains("mode 0640"), "{text}");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o400)).unwrap();
        assert!(MasterKey::load(&path).is_ok());

        for wrong in ["", "havre-master-key-1 abc", "-----BEGIN", &"0".repeat(64)] {
            let path = folder.path().join("wrong");
            fs::write(&path, wrong).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
            assert!(matches!(MasterKey::load(&path), Err(KeyError::Malformed { .. })), "{wrong:?}");
        }
    }

    #[test]
    fn debug_shows_no_key() {
        let text = format!("{:?}", MasterKey::new([7; 32]));
        assert!(!text.contains("07070707"), "{text}");
    }
}
