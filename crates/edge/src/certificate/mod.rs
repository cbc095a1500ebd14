//! Certificates as handshakes need them: found in memory, else loaded from disk when the first client asks, a bounded
//! number at once. Which one a host has is the table's to say (`table`); fetching is `control`'s. Tests at the end of
//! the file and in `tests/it/tls.rs`.

pub mod folder;
pub mod material;

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::io;
use std::str::FromStr;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use rustls::ServerConfig;
use rustls::sign::CertifiedKey;
use tokio::sync::Notify;
use tracing::error;

use self::folder::Folder;
use crate::tls::settings::Settings;

/// SHA-256 of a certificate's material; also the name of its file.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Digest([u8; 32]);

impl Digest {
    /// Wraps the 32 bytes of a hash.
    pub fn of_hash(hash: [u8; 32]) -> Self {
        Self(hash)
    }
}

/// Text that is not 64 lower-case hex digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a digest of 64 hex digits")]
pub struct NotADigest;

impl FromStr for Digest {
    type Err = NotADigest;

    fn from_str(text: &str) -> Result<Self, NotADigest> {
        let digit = |byte: u8| match byte {
            b'0'..=b'9' => Ok(byte - b'0'),
            b'a'..=b'f' => Ok(byte - b'a' + 10),
            _ => Err(NotADigest),
        };
        let text = text.as_bytes();
        if text.len() != 64 {
            return Err(NotADigest);
        }
        let mut hash = [0; 32];
        for (place, pair) in hash.iter_mut().zip(text.chunks_exact(2)) {
            *place = digit(pair[0])? << 4 | digit(pair[1])?;
        }
        Ok(Self(hash))
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Certificates in memory at once, each about 6 KB; those used longest ago are dropped.
const MOST_LOADED: usize = 1024;
/// Digests of useless material that are remembered.
const MOST_USELESS: usize = 1024;

/// The certificates of one edge process.
#[derive(Debug)]
pub struct Certificates {
    /// None only where nothing is kept: an edge in a test, or one without HTTPS.
    folder: Option<Folder>,
    settings: Settings,
    most: usize,
    state: Mutex<State>,
    placeholder: OnceLock<Option<Arc<ServerConfig>>>,
    /// Somebody asked for material that is not here.
    pub(crate) missed: Notify,
}

#[derive(Debug, Default)]
struct State {
    loaded: HashMap<Digest, Loaded>,
    /// Grows with every use.
    turn: u64,
    /// What is on disk.
    present: HashSet<Digest>,
    /// Material that is here and cannot be presented; said once.
    useless: HashSet<Digest>,
}

#[derive(Debug)]
struct Loaded {
    config: Arc<ServerConfig>,
    used: u64,
}

impl Certificates {
    /// Certificates with their files in `folder`.
    pub fn new(folder: Option<Folder>, settings: Settings) -> Self {
        let present = folder.as_ref().map(Folder::list).transpose().unwrap_or_else(|problem| {
            error!(%problem, "cannot list the certificates on disk; fetching them again");
            None
        });
        let state = State { present: present.unwrap_or_default(), ..State::default() };
        Self {
            folder,
            settings,
            most: MOST_LOADED,
            state: Mutex::new(state),
            placeholder: OnceLock::new(),
            missed: Notify::new(),
        }
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        // No code panics while it holds this lock.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A certificate that is in memory.
    pub(crate) fn find(&self, digest: Digest) -> Option<Arc<ServerConfig>> {
        let mut state = self.state();
        state.turn += 1;
        let turn = state.turn;
        let loaded = state.loaded.get_mut(&digest)?;
        loaded.used = turn;
        Some(Arc::clone(&loaded.config))
    }

    /// A certificate from memory or disk; `None` when its material is not here or useless. Blocks on the disk.
    pub(crate) fn load(&self, digest: Digest, is_challenge: bool) -> Option<Arc<ServerConfig>> {
        if let Some(config) = self.find(digest) {
            return Some(config);
        }
        if self.state().useless.contains(&digest) {
            return None;
        }
        let text = match self.folder.as_ref()?.load(digest) {
            Ok(Some(text)) => text,
            Ok(None) => {
                self.state().present.remove(&digest);
                self.missed.notify_one();
                return None;
            }
            Err(problem) => {
                error!(%digest, %problem, "cannot read a certificate from disk");
                return None;
            }
        };
        match material::parse(&text, self.settings.provider()) {
            Ok(key) => Some(self.keep(digest, key, is_challenge)),
            Err(problem) => {
                let cause = std::error::Error::source(&problem).map(ToString::to_string).unwrap_or_default();
                error!(%digest, %problem, %cause, "a certificate cannot be presented; its hosts get an older one");
                let mut state = self.state();
                if state.useless.len() < MOST_USELESS {
                    state.useless.insert(digest);
                }
                None
            }
        }
    }

    fn keep(&self, digest: Digest, key: CertifiedKey, is_challenge: bool) -> Arc<ServerConfig> {
        let config = self.settings.present(key, is_challenge);
        let mut state = self.state();
        if state.loaded.len() >= self.most {
            // A quarter at once, so that the walk over all of them is rare.
            let mut uses: Vec<u64> = state.loaded.values().map(|loaded| loaded.used).collect();
            let (_, &mut last, _) = uses.select_nth_unstable(self.most / 4);
            state.loaded.retain(|_, loaded| loaded.used > last);
        }
        state.turn += 1;
        let used = state.turn;
        state.loaded.insert(digest, Loaded { config: Arc::clone(&config), used });
        config
    }

    /// Keeps material that has just been fetched.
    ///
    /// # Errors
    /// It cannot be written.
    pub(crate) fn save(&self, digest: Digest, text: &[u8]) -> io::Result<()> {
        if let Some(folder) = &self.folder {
            folder.save(digest, text)?;
            self.state().present.insert(digest);
        }
        Ok(())
    }

    /// Those of `wanted` that are not on disk; none where nothing is kept.
    pub(crate) fn missing(&self, mut wanted: HashSet<Digest>) -> HashSet<Digest> {
        if self.folder.is_none() {
            return HashSet::new();
        }
        let state = self.state();
        wanted.retain(|digest| !state.present.contains(digest));
        wanted
    }

    /// What is on disk and not `named`.
    pub(crate) fn present_without(&self, named: impl Fn(&Digest) -> bool) -> HashSet<Digest> {
        self.state().present.iter().filter(|digest| !named(digest)).copied().collect()
    }

    /// Removes material from disk and memory.
    ///
    /// # Errors
    /// The folder cannot be written.
    pub(crate) fn remove(&self, digest: Digest) -> io::Result<()> {
        if let Some(folder) = &self.folder {
            folder.remove(digest)?;
        }
        let mut state = self.state();
        state.present.remove(&digest);
        state.loaded.remove(&digest);
        state.useless.remove(&digest);
        Ok(())
    }

    /// A self-signed certificate for hosts whose own is on its way: a browser's warning can be read, a broken
    /// connection cannot. None if the system has no randomness.
    pub(crate) fn placeholder(&self) -> Option<Arc<ServerConfig>> {
        let make = || match self.settings.placeholder() {
            Ok(config) => Some(config),
            Err(problem) => {
                error!(%problem, "cannot make the placeholder certificate");
                None
            }
        };
        self.placeholder.get_or_init(make).clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn certificates(most: usize) -> (tempfile::TempDir, Certificates) {
        let dir = tempfile::tempdir().unwrap();
        let folder = Folder::open(dir.path().to_path_buf()).unwrap();
        let certificates = Certificates { most, ..Certificates::new(Some(folder), Settings::for_tests()) };
        (dir, certificates)
    }

    #[test]
    fn memory_holds_a_bounded_number_and_drops_the_longest_unused() {
        let (_dir, certificates) = certificates(8);
        let text = material::tests::material();
        let digests: Vec<Digest> = (0..20)
            .map(|number| {
                let text = format!("{number}\n{text}");
                let digest = material::digest_of(text.as_bytes());
                certificates.save(digest, text.as_bytes()).unwrap();
                digest
            })
            .collect();
        for digest in &digests {
            assert!(certificates.load(*digest, false).is_some());
            // The first is used all the time.
            assert!(certificates.find(digests[0]).is_some());
            assert!(certificates.state().loaded.len() <= 8);
        }
        assert!(certificates.find(digests[19]).is_some());
        assert!(certificates.find(digests[1]).is_none());
        assert!(certificates.load(digests[1], false).is_some());
    }

    #[test]
    fn useless_material_is_tried_once() {
        let (dir, certificates) = certificates(8);
        let digest = material::digest_of(b"garbage");
        assert!(certificates.load(digest, false).is_none());
        certificates.save(digest, b"garbage").unwrap();
        assert!(certificates.load(digest, false).is_none());
        std::fs::remove_file(dir.path().join(format!("{digest}.pem"))).unwrap();
        assert!(certificates.state().useless.contains(&digest));
        assert!(certificates.load(digest, false).is_none());
    }

    #[test]
    fn a_digest_reads_what_it_writes_and_nothing_else() {
        let text = "0123456789abcdef".repeat(4);
        assert_eq!(text.parse::<Digest>().unwrap().to_string(), text);
        for wrong in ["", "ab", &text.to_uppercase(), &text.replace('0', "g"), &format!("{text}0"), "../../x"]
        {
            assert_eq!(wrong.parse::<Digest>(), Err(NotADigest), "{wrong:?}");
        }
    }
}
