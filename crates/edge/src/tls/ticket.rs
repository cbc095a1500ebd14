//! Session tickets: AES-256-GCM under keys that all workers share, that change twice a day, and that stand in the
//! state folder, so that clients resume after a restart. Who has a key can read sessions resumed with it, therefore
//! old keys are forgotten after a day. Tests at the end of the file and in `tests/it/tls.rs`.

use std::io;
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use arc_swap::ArcSwap;
use aws_lc_rs::aead::{AES_256_GCM, Aad, Nonce, RandomizedNonceKey};
use aws_lc_rs::rand;
use rustls::server::ProducesTickets;
use tracing::{error, warn};

use crate::durable;

/// Age at which a new key takes over.
const ROTATE_SECONDS: u64 = 12 * 3600;
/// Age at which a key is forgotten: tickets made with it at the end of its turn live as long as its turn.
const FORGET_SECONDS: u64 = 2 * ROTATE_SECONDS;
/// Pause between looks at the age of keys.
pub(crate) const LOOK_EVERY: Duration = Duration::from_secs(600);

const FILE: &str = "tickets";
const HEADER: &[u8; 16] = b"havre-tickets-1\n";
const NAME: usize = 16;
const SECRET: usize = 32;
const RECORD: usize = 8 + NAME + SECRET;
const NONCE: usize = 12;
const MOST_KEYS: usize = 4;

/// Tickets of one edge; shared by its workers.
#[derive(Debug)]
pub struct Tickets {
    /// Newest first; never empty.
    keys: ArcSwap<Vec<Key>>,
}

#[derive(Clone)]
struct Key {
    created: u64,
    name: [u8; NAME],
    secret: [u8; SECRET],
    cipher: std::sync::Arc<RandomizedNonceKey>,
}

impl std::fmt::Debug for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Key").field("created", &self.created).finish_non_exhaustive()
    }
}

impl Key {
    fn new(created: u64, name: [u8; NAME], secret: [u8; SECRET]) -> io::Result<Self> {
        let cipher = RandomizedNonceKey::new(&AES_256_GCM, &secret).map_err(io::Error::other)?;
        Ok(Self { created, name, secret, cipher: std::sync::Arc::new(cipher) })
    }

    fn random(created: u64) -> io::Result<Self> {
        let (mut name, mut secret) = ([0; NAME], [0; SECRET]);
        rand::fill(&mut name).map_err(io::Error::other)?;
        rand::fill(&mut secret).map_err(io::Error::other)?;
        Self::new(created, name, secret)
    }
}

impl Tickets {
    /// Tickets with a key that ends with the process.
    ///
    /// # Errors
    /// The system has no randomness.
    pub fn new() -> io::Result<Self> {
        Ok(Self { keys: ArcSwap::from_pointee(vec![Key::random(now())?]) })
    }

    /// Takes the keys in `folder`, or starts anew: lost keys cost clients a full handshake and nothing else.
    ///
    /// # Errors
    /// The system has no randomness.
    pub fn open(folder: &Path) -> io::Result<Self> {
        let kept = match std::fs::read(folder.join(FILE)) {
            Ok(bytes) => read(&bytes).unwrap_or_else(|| {
                warn!("the keys of session tickets are damaged; making new ones");
                Vec::new()
            }),
            Err(problem) => {
                if problem.kind() != io::ErrorKind::NotFound {
                    warn!(%problem, "cannot read the keys of session tickets; making new ones");
                }
                Vec::new()
            }
        };
        let tickets = Self { keys: ArcSwap::from_pointee(kept) };
        tickets.rotate(folder, now())?;
        Ok(tickets)
    }

    /// Makes a new key if it is time, forgets old ones, and saves.
    ///
    /// # Errors
    /// The system has no randomness.
    pub(crate) fn rotate(&self, folder: &Path, now: u64) -> io::Result<()> {
        let known = self.keys.load();
        let mut keys: Vec<Key> = known
            .iter()
            .filter(|key| key.created <= now && now - key.created < FORGET_SECONDS)
            .cloned()
            .collect();
        let is_due = keys.first().is_none_or(|newest| now - newest.created >= ROTATE_SECONDS);
        if is_due {
            keys.insert(0, Key::random(now)?);
        } else if keys.len() == known.len() {
            return Ok(());
        }
        keys.truncate(MOST_KEYS);
        let mut bytes = HEADER.to_vec();
        for key in &keys {
            bytes.extend_from_slice(&key.created.to_be_bytes());
            bytes.extend_from_slice(&key.name);
            bytes.extend_from_slice(&key.secret);
        }
        self.keys.store(std::sync::Arc::new(keys));
        if let Err(problem) = durable::replace(folder, FILE, &bytes) {
            error!(%problem, "cannot save the keys of session tickets; clients make full handshakes after a restart");
        }
        Ok(())
    }
}

/// Seconds since 1970.
pub(crate) fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

fn read(bytes: &[u8]) -> Option<Vec<Key>> {
    let records = bytes.strip_prefix(HEADER)?;
    if !records.len().is_multiple_of(RECORD) || records.len() > MOST_KEYS * RECORD {
        return None;
    }
    let read_one = |record: &[u8]| {
        let (created, rest) = record.split_first_chunk::<8>()?;
        let (name, secret) = rest.split_first_chunk::<NAME>()?;
        Key::new(u64::from_be_bytes(*created), *name, secret.try_into().ok()?).ok()
    };
    records.chunks_exact(RECORD).map(read_one).collect()
}

impl ProducesTickets for Tickets {
    fn enabled(&self) -> bool {
        true
    }

    fn lifetime(&self) -> u32 {
        ROTATE_SECONDS as u32
    }

    /// Name of the key, nonce, sealed state.
    fn encrypt(&self, plain: &[u8]) -> Option<Vec<u8>> {
        let keys = self.keys.load();
        let key = keys.first()?;
        let mut sealed = plain.to_vec();
        let nonce = key.cipher.seal_in_place_append_tag(Aad::from(key.name), &mut sealed).ok()?;
        let mut ticket = Vec::with_capacity(NAME + NONCE + sealed.len());
        ticket.extend_from_slice(&key.name);
        ticket.extend_from_slice(nonce.as_ref());
        ticket.extend_from_slice(&sealed);
        Some(ticket)
    }

    fn decrypt(&self, ticket: &[u8]) -> Option<Vec<u8>> {
        let (name, rest) = ticket.split_first_chunk::<NAME>()?;
        let (nonce, sealed) = rest.split_first_chunk::<NONCE>()?;
        let keys = self.keys.load();
        // Names are public.
        let key = keys.iter().find(|key| key.name == *name)?;
        let mut plain = sealed.to_vec();
        let length = key.cipher.open_in_place(Nonce::from(nonce), Aad::from(*name), &mut plain).ok()?.len();
        plain.truncate(length);
        Some(plain)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::os::unix::fs::PermissionsExt as _;

    #[test]
    fn a_ticket_survives_a_restart_and_one_change_of_keys_but_not_two() {
        let dir = tempfile::tempdir().unwrap();
        let start = now();
        let before = Tickets::open(dir.path()).unwrap();
        let ticket = before.encrypt(b"state").unwrap();
        let mode = std::fs::metadata(dir.path().join(FILE)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let after = Tickets::open(dir.path()).unwrap();
        assert_eq!(after.decrypt(&ticket).as_deref(), Some(&b"state"[..]));

        after.rotate(dir.path(), start + ROTATE_SECONDS + 5).unwrap();
        assert_ne!(after.encrypt(b"state").unwrap()[..NAME], ticket[..NAME]);
        assert_eq!(after.decrypt(&ticket).as_deref(), Some(&b"state"[..]));
        after.rotate(dir.path(), start + FORGET_SECONDS + 5).unwrap();
        assert_eq!(after.decrypt(&ticket), None);
    }

    #[test]
    fn a_clock_that_was_wrong_leaves_no_key_from_the_future() {
        let dir = tempfile::tempdir().unwrap();
        let tickets = Tickets::open(dir.path()).unwrap();
        let ticket = tickets.encrypt(b"state").unwrap();
        tickets.rotate(dir.path(), 1000).unwrap();
        assert_eq!(tickets.decrypt(&ticket), None);
        assert!(tickets.decrypt(&tickets.encrypt(b"state").unwrap()).is_some());
    }

    #[test]
    fn damaged_keys_are_replaced() {
        let dir = tempfile::tempdir().unwrap();
        for damage in [&b""[..], b"havre-tickets-1\nabc", b"x"] {
            std::fs::write(dir.path().join(FILE), damage).unwrap();
            let tickets = Tickets::open(dir.path()).unwrap();
            assert!(tickets.decrypt(&tickets.encrypt(b"state").unwrap()).is_some());
            assert!(
                Tickets::open(dir.path()).unwrap().decrypt(&tickets.encrypt(b"state").unwrap()).is_some()
            );
        }
    }

    proptest! {
        #[test]
        fn a_changed_ticket_is_no_ticket(at in 0_usize..64, flip in 1_u8..) {
            let tickets = Tickets::new().unwrap();
            let mut ticket = tickets.encrypt(&[7; 40]).unwrap();
            let at = at % ticket.len();
            ticket[at] ^= flip;
            prop_assert_eq!(tickets.decrypt(&ticket), None);
        }

        #[test]
        fn any_bytes_are_survived(bytes: Vec<u8>) {
            prop_assert_eq!(Tickets::new().unwrap().decrypt(&bytes), None);
        }
    }
}
