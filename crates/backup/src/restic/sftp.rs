//! A repository in a folder of another machine, in the layout that restic has on disk. Synchronous above, since `rustic_core` is: its threads
//! wait for what the runtime does. Tests: `tests/it`, the contract and those of `sftp`.

use bytes::Bytes;
use rustic_core::{BytesList, FileType, Id};
use tokio::runtime::Handle;

use crate::fault::Fault;
use crate::restic::storage::Storage;
use crate::sftp::Sftp;
use crate::sftp::client::{Client, Found};

/// Where a file is before it is whole. restic does not look there.
const UNFINISHED: &str = "tmp";
/// Where damaged files are put. restic does not look there either.
const ASIDE: &str = "damaged";
/// What `restic` makes for its locks, and expects to find.
const LOCKS: &str = "locks";

/// The folder.
#[derive(Debug)]
pub(super) struct OverSftp {
    client: Client,
    runtime: Handle,
}

impl OverSftp {
    pub(super) fn new(sftp: Sftp, runtime: Handle) -> Self {
        Self { client: Client::new(sftp), runtime }
    }

    fn file(&self, kind: FileType, id: &Id) -> String {
        let hex = id.to_hex();
        let (folder, hex) = (kind.dirname(), hex.as_str());
        match kind {
            FileType::Config => self.client.path("config"),
            FileType::Pack => self.client.path(&format!("{folder}/{}/{hex}", &hex[..2])),
            FileType::Key | FileType::Snapshot | FileType::Index => {
                self.client.path(&format!("{folder}/{hex}"))
            }
        }
    }

    fn listed(&self, folders: &[String]) -> Result<Vec<Vec<Found>>, Fault> {
        self.runtime.block_on(self.client.list(folders))
    }

    /// All packs: those of folders that are called as the names of their files begin.
    fn packs(&self) -> Result<Vec<(Id, u32)>, Fault> {
        let top = self.client.path(FileType::Pack.dirname());
        let folders: Vec<String> = self
            .listed(std::slice::from_ref(&top))?
            .into_iter()
            .flatten()
            .filter(|entry| entry.bytes.is_none() && is_begin(&entry.name))
            .map(|entry| format!("{top}/{}", entry.name))
            .collect();
        let mut found = Vec::new();
        for (folder, entries) in folders.iter().zip(self.listed(&folders)?) {
            self.take(FileType::Pack, folder, entries, &mut found)?;
        }
        Ok(found)
    }

    /// Files whose name is an id and whose place is theirs. Others, such as what restic had not finished, are none of the repository's.
    fn take(
        &self,
        kind: FileType,
        folder: &str,
        entries: Vec<Found>,
        found: &mut Vec<(Id, u32)>,
    ) -> Result<(), Fault> {
        for entry in entries {
            let (Ok(id), Some(bytes)) = (entry.name.parse::<Id>(), entry.bytes) else { continue };
            if self.file(kind, &id) == format!("{folder}/{}", entry.name) {
                found.push((id, size(bytes)?));
            }
        }
        Ok(())
    }

    fn all(&self, kind: FileType) -> Result<Vec<(Id, u32)>, Fault> {
        match kind {
            FileType::Config => {
                let path = self.client.path("config");
                let config = self.runtime.block_on(self.client.read(&path, None))?;
                let Some(content) = config else { return Ok(Vec::new()) };
                Ok(vec![(Id::default(), size(content.len() as u64)?)])
            }
            FileType::Pack => self.packs(),
            FileType::Key | FileType::Snapshot | FileType::Index => {
                let folder = self.client.path(kind.dirname());
                let mut found = Vec::new();
                for entries in self.listed(std::slice::from_ref(&folder))? {
                    self.take(kind, &folder, entries, &mut found)?;
                }
                Ok(found)
            }
        }
    }
}

/// Whether a folder is called as the names of packs begin.
fn is_begin(name: &str) -> bool {
    name.len() == 2 && name.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

fn size(length: u64) -> Result<u32, Fault> {
    u32::try_from(length).map_err(|_| Fault::Broken("a file is longer than any of a repository".to_owned()))
}

fn missing(path: &str) -> Fault {
    Fault::Broken(format!("{path} is not there"))
}

impl Storage for OverSftp {
    fn location(&self) -> String {
        self.client.shown().to_owned()
    }

    fn path(&self, kind: FileType, id: &Id) -> String {
        self.file(kind, id)
    }

    fn make(&self) -> Result<(), Fault> {
        let root = self.client.path("");
        let names = [LOCKS, UNFINISHED, "keys", "snapshots", "index", "data"].map(str::to_owned);
        let packs = (0..=255_u8).map(|number| format!("data/{number:02x}"));
        let below: Vec<String> = names.into_iter().chain(packs).map(|name| self.client.path(&name)).collect();
        self.runtime.block_on(self.client.make_folders(root.trim_end_matches('/'), &below))
    }

    fn files(&self, kind: FileType) -> Result<Vec<(Id, u32)>, Fault> {
        let found = self.all(kind)?;
        // A disk that is not mounted there any more looks like a repository without packs.
        if found.is_empty() && kind != FileType::Config && !self.has_config()? {
            return Err(missing(&self.client.path("config")));
        }
        Ok(found)
    }

    fn left(&self, kind: FileType) -> Result<Vec<(Id, u32)>, Fault> {
        let folder = self.client.path(kind.dirname());
        if kind == FileType::Config || self.runtime.block_on(self.client.is_there(&folder))? {
            return self.all(kind);
        }
        Ok(Vec::new())
    }

    fn has_config(&self) -> Result<bool, Fault> {
        self.runtime.block_on(self.client.is_there(&self.client.path("config")))
    }

    fn read(&self, kind: FileType, id: &Id) -> Result<Bytes, Fault> {
        let path = self.file(kind, id);
        self.runtime.block_on(self.client.read(&path, None))?.ok_or_else(|| missing(&path))
    }

    fn read_part(&self, kind: FileType, id: &Id, offset: u32, length: u32) -> Result<Bytes, Fault> {
        let path = self.file(kind, id);
        let part = Some((u64::from(offset), length));
        self.runtime.block_on(self.client.read(&path, part))?.ok_or_else(|| missing(&path))
    }

    fn write(&self, kind: FileType, id: &Id, content: &BytesList) -> Result<(), Fault> {
        let (unfinished, path) = (self.client.path(UNFINISHED), self.file(kind, id));
        self.runtime.block_on(self.client.write(&unfinished, &path, content.slice()))
    }

    fn remove(&self, kind: FileType, id: &Id) -> Result<(), Fault> {
        let path = self.file(kind, id);
        // Gone is gone, but not where the disk is gone.
        if self.runtime.block_on(self.client.remove(&path))? || self.has_config()? {
            return Ok(());
        }
        Err(missing(&path))
    }

    fn set_aside(&self, kind: FileType, id: &Id, _content: &Bytes) -> Result<(), Fault> {
        let aside = self.client.path(ASIDE);
        let to = format!("{aside}/{}-{}", kind.dirname(), id.to_hex().as_str());
        self.runtime.block_on(self.client.set_aside(&aside, &self.file(kind, id), &to))
    }
}
