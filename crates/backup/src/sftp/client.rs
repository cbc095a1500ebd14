//! What a repository needs of another machine: files whole or in part, written, removed, and listed completely. A few sessions are kept
//! and used in turn. Whatever broke is done again from its beginning, on a new session, a few times: each piece of work says what should
//! be, not what should change. Tests: `tests/it/sftp_failures.rs`, `tests/it/sftp_sabotage.rs`.

use std::cell::RefCell;
use std::fmt;
use std::hash::{BuildHasher as _, RandomState};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use russh::keys::Algorithm;
use tokio::sync::Semaphore;
use tokio::time::timeout;

use crate::bucket::PAUSE_MAX;
use crate::fault::Fault;
use crate::sftp::Sftp;
use crate::sftp::packet::Entry;
use crate::sftp::session::{Session, Trip};

/// Sessions at a time, and those that are kept. Each does one thing at a time and holds at most one file. Servers allow about ten for
/// each user.
const AT_ONCE: usize = 4;
/// Longest time one is kept.
const KEPT_FOR: Duration = Duration::from_secs(60);

/// A folder of another machine over the network.
pub(crate) struct Client {
    sftp: Sftp,
    turns: Semaphore,
    kept: Mutex<Vec<(Session, Instant)>>,
    /// Kind of the machine's key, where it is not the usual one.
    key_kind: Mutex<Option<Algorithm>>,
    /// What names of unfinished files begin with, so that nobody else has the same.
    mark: u64,
    unfinished: AtomicU64,
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Client({})", self.sftp.shown)
    }
}

/// An entry of a folder that is a file or a folder, whatever links lead there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Found {
    pub(crate) name: String,
    /// How long the file is; nothing of a folder.
    pub(crate) bytes: Option<u64>,
}

impl Client {
    pub(crate) fn new(sftp: Sftp) -> Self {
        Self {
            sftp,
            turns: Semaphore::new(AT_ONCE),
            kept: Mutex::new(Vec::new()),
            key_kind: Mutex::new(None),
            // The one thing of chance that comes with the language.
            mark: RandomState::new().hash_one(std::process::id()),
            unfinished: AtomicU64::new(0),
        }
    }

    /// Where it is, as restic takes it after `-r`.
    pub(crate) fn shown(&self) -> &str {
        &self.sftp.shown
    }

    /// Path of a file: the folder of the repository, and this.
    pub(crate) fn path(&self, rest: &str) -> String {
        format!("{}/{rest}", self.sftp.root)
    }

    /// Whether something is at this path.
    pub(crate) async fn is_there(&self, path: &str) -> Result<bool, Fault> {
        Ok(self.done(async |session: &mut Session| session.stat(path).await).await?.is_some())
    }

    /// All of a file, or exactly a part of it; nothing where there is none.
    pub(crate) async fn read(&self, path: &str, part: Option<(u64, u32)>) -> Result<Option<Bytes>, Fault> {
        self.done(async |session: &mut Session| session.read(path, part).await).await
    }

    /// Writes a file, whole or not at all, and replaces what is there. Until it is whole it lies in `folder`.
    pub(crate) async fn write(&self, folder: &str, path: &str, content: &[Bytes]) -> Result<(), Fault> {
        let left: RefCell<Option<String>> = RefCell::new(None);
        self.done(async |session: &mut Session| {
            // What a try that broke has left. Where it cannot go now, it stays: no repository looks there.
            let before = left.take();
            if let Some(before) = before {
                let _ = session.remove(&before).await;
            }
            let number = self.unfinished.fetch_add(1, Ordering::Relaxed);
            let unfinished = format!("{folder}/{:016x}-{number}", self.mark);
            *left.borrow_mut() = Some(unfinished.clone());
            session.write(&unfinished, path, content).await
        })
        .await
    }

    /// Removes a file; says whether there was one.
    pub(crate) async fn remove(&self, path: &str) -> Result<bool, Fault> {
        self.done(async |session: &mut Session| session.remove(path).await).await
    }

    /// Makes a folder with those it lies in, and these below it.
    pub(crate) async fn make_folders(&self, root: &str, below: &[String]) -> Result<(), Fault> {
        self.done(async |session: &mut Session| {
            session.make_folder_within(root).await?;
            session.make_folders(below).await
        })
        .await
    }

    /// Moves a file to a folder that is made for it.
    pub(crate) async fn set_aside(&self, folder: &str, from: &str, to: &str) -> Result<(), Fault> {
        self.done(async |session: &mut Session| {
            session.make_folders(&[folder.to_owned()]).await?;
            session.set_aside(from, to).await
        })
        .await
    }

    /// Everything in these folders, in their order. What went meanwhile is left out; of what the server does not say what it is, there is
    /// no list.
    pub(crate) async fn list(&self, folders: &[String]) -> Result<Vec<Vec<Found>>, Fault> {
        self.done(async |session: &mut Session| {
            let mut found = Vec::new();
            for (folder, entries) in folders.iter().zip(session.list(folders).await?) {
                let mut here = Vec::new();
                for entry in entries {
                    here.extend(settle(session, folder, entry).await?);
                }
                found.push(here);
            }
            Ok(found)
        })
        .await
    }

    /// Does something on a session until it is done, or patience ends. A session that has seen any trouble is not used again.
    async fn done<T>(&self, work: impl AsyncFn(&mut Session) -> Result<T, Trip>) -> Result<T, Fault> {
        let _turn = self.turns.acquire().await.map_err(|error| Fault::Away(error.to_string()))?;
        let limits = self.sftp.limits;
        let (mut tries, mut may_reuse) = (0, true);
        loop {
            let kept = if may_reuse { self.kept() } else { None };
            may_reuse = false;
            let is_kept = kept.is_some();
            let whole = async {
                let mut session = match kept {
                    Some(session) => session,
                    None => self.open().await?,
                };
                let done = work(&mut session).await?;
                self.keep(session);
                Ok::<T, Trip>(done)
            };
            let reason = match timeout(limits.whole, whole).await {
                Ok(Ok(done)) => return Ok(done),
                Ok(Err(Trip::Barred(fault))) => return Err(fault),
                Ok(Err(Trip::Said(status))) => return Err(Fault::Broken(status.to_string())),
                Ok(Err(Trip::Broken(reason))) if is_kept => {
                    tracing::debug!(reason, "a kept session of SSH had ended");
                    continue;
                }
                Ok(Err(Trip::Broken(reason))) => reason,
                Err(_) => format!("no end within {:?}", limits.whole),
            };
            tries += 1;
            if tries >= limits.tries {
                return Err(Fault::Away(format!("{reason} (tries: {tries})")));
            }
            let pause = limits.pause.saturating_mul(2_u32.saturating_pow(tries - 1)).min(PAUSE_MAX);
            tracing::debug!(reason, tries, "another machine is asked again");
            tokio::time::sleep(pause).await;
        }
    }

    async fn open(&self) -> Result<Session, Trip> {
        let known = self.key_kind.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let (session, kind) = Session::open(&self.sftp, known).await?;
        *self.key_kind.lock().unwrap_or_else(PoisonError::into_inner) = kind;
        Ok(session)
    }

    fn kept(&self) -> Option<Session> {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.retain(|(session, since)| since.elapsed() < KEPT_FOR && !session.is_closed());
        kept.pop().map(|(session, _)| session)
    }

    fn keep(&self, session: Session) {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() < AT_ONCE {
            kept.push((session, Instant::now()));
        }
    }
}

/// What an entry of a folder is. Nothing where it is the folder itself or the one above, or is gone.
async fn settle(session: &mut Session, folder: &str, entry: Entry) -> Result<Option<Found>, Trip> {
    let name = entry.name;
    if name == "." || name == ".." || name.contains('/') {
        return Ok(None);
    }
    let mut is = entry.attributes;
    if !is.is_folder() && !is.is_measured_file() {
        // A link, or a server that says little.
        let Some(target) = session.stat(&format!("{folder}/{name}")).await? else { return Ok(None) };
        is = target;
    }
    if is.is_folder() {
        return Ok(Some(Found { name, bytes: None }));
    }
    if !is.is_known() || is.size.is_none() {
        let text = format!("the server does not say what {folder}/{name} is, and how long");
        return Err(Trip::Barred(Fault::Broken(text)));
    }
    Ok(Some(Found { name, bytes: is.size }))
}
