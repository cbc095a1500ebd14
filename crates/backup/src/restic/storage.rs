//! What a repository lies on: a folder, a bucket or another machine, as files of a few kinds that are written whole, read and removed.
//! `Backend` puts it below `rustic_core`: every failure is handed on and kept besides, because `rustic_core` goes on after some of them.
//! What asked for the work looks at [`Backend::trouble`] before it believes an `Ok`. Tests: `folder`, `bucket`, `sftp`.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use rustic_core::{BytesList, ErrorKind, FileType, Id, ReadBackend, RusticError, RusticResult, WriteBackend};
use sha2::{Digest as _, Sha256};

use crate::fault::Fault;

/// A place for files whose names are ids. Synchronous: who calls it may wait.
pub(super) trait Storage: fmt::Debug + Send + Sync + 'static {
    /// Where the repository is, as restic takes it after `-r`.
    fn location(&self) -> String;

    /// Name of a file, for people.
    fn path(&self, kind: FileType, id: &Id) -> String;

    /// Makes what files lie in.
    fn make(&self) -> Result<(), Fault>;

    /// Files of one kind with their sizes: all of them, or an error. A storage that is gone is an error, never an empty list.
    fn files(&self, kind: FileType) -> Result<Vec<(Id, u32)>, Fault>;

    /// The same where there may be no repository: then it is what is left of one, and usually nothing.
    fn left(&self, kind: FileType) -> Result<Vec<(Id, u32)>, Fault>;

    /// Whether a repository is here.
    fn has_config(&self) -> Result<bool, Fault>;

    /// All of a file.
    fn read(&self, kind: FileType, id: &Id) -> Result<Bytes, Fault>;

    /// Exactly that part of a file.
    fn read_part(&self, kind: FileType, id: &Id, offset: u32, length: u32) -> Result<Bytes, Fault>;

    /// Whole or not at all. Replaces what is there.
    fn write(&self, kind: FileType, id: &Id, content: &BytesList) -> Result<(), Fault>;

    /// Gone is gone, as long as it is the file that is gone and not the storage.
    fn remove(&self, kind: FileType, id: &Id) -> Result<(), Fault>;

    /// Moves a damaged file, whose content is given, to where no repository looks.
    fn set_aside(&self, kind: FileType, id: &Id, content: &Bytes) -> Result<(), Fault>;
}

/// A failure with what was being done.
#[derive(Debug, Clone)]
pub(super) struct Trouble {
    /// What kind of failure.
    pub(super) fault: Fault,
    /// In words: what was done, with which kind of file, where, and what came of it.
    pub(super) text: String,
}

/// A storage as `rustic_core` uses it, for one piece of work.
#[derive(Debug)]
pub(super) struct Backend {
    storage: Arc<dyn Storage>,
    trouble: Mutex<Option<Trouble>>,
}

impl Backend {
    pub(super) fn new(storage: Arc<dyn Storage>) -> Self {
        Self { storage, trouble: Mutex::new(None) }
    }

    /// The first failure since this was made.
    pub(super) fn trouble(&self) -> Option<Trouble> {
        self.trouble.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Whether a repository is here.
    pub(super) fn has_config(&self) -> Result<bool, Fault> {
        self.storage.has_config()
    }

    /// Whether anything is here that a repository would hold, its keys aside.
    pub(super) fn has_data(&self) -> Result<bool, Fault> {
        for kind in [FileType::Snapshot, FileType::Index, FileType::Pack] {
            if !self.storage.left(kind)?.is_empty() {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Removes keys that belong to no repository: those of an `init` that did not come to its end.
    pub(super) fn remove_keys(&self) -> Result<(), Fault> {
        for (id, _) in self.storage.left(FileType::Key)? {
            self.storage.remove(FileType::Key, &id)?;
        }
        Ok(())
    }

    /// Puts every file aside whose content is not what its name says: names are the SHA-256 of the content. Returns their names.
    pub(super) fn set_damaged_aside(&self) -> Result<Vec<String>, Fault> {
        let mut found = Vec::new();
        for kind in [FileType::Pack, FileType::Index, FileType::Snapshot] {
            for (id, _) in self.storage.files(kind)? {
                let content = self.storage.read(kind, &id)?;
                if format!("{:x}", Sha256::digest(&content)) == id.to_hex().as_str() {
                    continue;
                }
                self.storage.set_aside(kind, &id, &content)?;
                found.push(format!("{}/{}", kind.dirname(), id.to_hex().as_str()));
            }
        }
        found.sort();
        Ok(found)
    }

    /// Hands a failure on and keeps the first one.
    fn noted<T>(&self, doing: &str, kind: FileType, result: Result<T, Fault>) -> RusticResult<T> {
        result.map_err(|fault| {
            let text = format!("{doing} {} in {}: {fault}", kind.dirname(), self.storage.location());
            let mut trouble = self.trouble.lock().unwrap_or_else(PoisonError::into_inner);
            if trouble.is_none() {
                *trouble = Some(Trouble { fault: fault.clone(), text: text.clone() });
            }
            RusticError::with_source(ErrorKind::Backend, text, fault)
        })
    }
}

impl ReadBackend for Backend {
    fn location(&self) -> String {
        self.storage.location()
    }

    fn list_with_size(&self, tpe: FileType) -> RusticResult<Vec<(Id, u32)>> {
        self.noted("list", tpe, self.storage.files(tpe))
    }

    fn read_full(&self, tpe: FileType, id: &Id) -> RusticResult<Bytes> {
        self.noted("read", tpe, self.storage.read(tpe, id))
    }

    fn read_partial(
        &self,
        tpe: FileType,
        id: &Id,
        _cacheable: bool,
        offset: u32,
        length: u32,
    ) -> RusticResult<Bytes> {
        self.noted("read", tpe, self.storage.read_part(tpe, id, offset, length))
    }

    fn warmup_path(&self, tpe: FileType, id: &Id) -> String {
        self.storage.path(tpe, id)
    }
}

impl WriteBackend for Backend {
    fn create(&self) -> RusticResult<()> {
        self.noted("make folders for", FileType::Config, self.storage.make())
    }

    fn write_bytes(&self, tpe: FileType, id: &Id, _cacheable: bool, content: BytesList) -> RusticResult<()> {
        self.noted("write", tpe, self.storage.write(tpe, id, &content))
    }

    fn remove(&self, tpe: FileType, id: &Id, _cacheable: bool) -> RusticResult<()> {
        self.noted("remove", tpe, self.storage.remove(tpe, id))
    }
}
