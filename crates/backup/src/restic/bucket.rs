//! A repository in a bucket, in the layout that restic has there. Synchronous above, since `rustic_core` is: its threads wait for what the
//! runtime does. Tests: `tests/it`, the contract and those of the bucket.

use bytes::Bytes;
use rustic_core::{BytesList, FileType, Id};
use tokio::runtime::Handle;

use crate::bucket::Bucket;
use crate::bucket::client::Client;
use crate::fault::Fault;
use crate::restic::storage::Storage;

/// Where damaged files are put. restic does not look there.
const ASIDE: &str = "damaged";

/// The bucket.
#[derive(Debug)]
pub(super) struct InBucket {
    client: Client,
    runtime: Handle,
}

impl InBucket {
    pub(super) fn new(bucket: Bucket, runtime: Handle) -> Self {
        Self { client: Client::new(bucket), runtime }
    }

    fn key(&self, kind: FileType, id: &Id) -> String {
        let hex = id.to_hex();
        let (folder, hex) = (kind.dirname(), hex.as_str());
        match kind {
            FileType::Config => self.client.key("config"),
            FileType::Pack => self.client.key(&format!("{folder}/{}/{hex}", &hex[..2])),
            FileType::Key | FileType::Snapshot | FileType::Index => {
                self.client.key(&format!("{folder}/{hex}"))
            }
        }
    }

    fn config(&self) -> Result<Option<Bytes>, Fault> {
        self.runtime.block_on(self.client.get(&self.client.key("config")))
    }
}

fn size(length: u64) -> Result<u32, Fault> {
    u32::try_from(length).map_err(|_| Fault::Broken("a file is longer than any of a repository".to_owned()))
}

fn missing(key: &str) -> Fault {
    Fault::Broken(format!("{key} is not there"))
}

impl Storage for InBucket {
    fn location(&self) -> String {
        self.client.shown().to_owned()
    }

    fn path(&self, kind: FileType, id: &Id) -> String {
        self.key(kind, id)
    }

    /// The bucket is there, or nothing can be done; folders there are none.
    fn make(&self) -> Result<(), Fault> {
        Ok(())
    }

    fn files(&self, kind: FileType) -> Result<Vec<(Id, u32)>, Fault> {
        let found = self.left(kind)?;
        // An emptied bucket looks like a repository without packs.
        if found.is_empty() && kind != FileType::Config && !self.has_config()? {
            return Err(missing(&self.client.key("config")));
        }
        Ok(found)
    }

    fn left(&self, kind: FileType) -> Result<Vec<(Id, u32)>, Fault> {
        if kind == FileType::Config {
            return match self.config()? {
                Some(content) => Ok(vec![(Id::default(), size(content.len() as u64)?)]),
                None => Ok(Vec::new()),
            };
        }
        let prefix = self.client.key(&format!("{}/", kind.dirname()));
        let mut found = Vec::new();
        for (key, length) in self.runtime.block_on(self.client.list(&prefix))? {
            // Others are none of the repository's.
            let name = key.rsplit('/').next().unwrap_or_default();
            let Ok(id) = name.parse::<Id>() else { continue };
            if self.key(kind, &id) == key {
                found.push((id, size(length)?));
            }
        }
        Ok(found)
    }

    fn has_config(&self) -> Result<bool, Fault> {
        Ok(self.config()?.is_some())
    }

    fn read(&self, kind: FileType, id: &Id) -> Result<Bytes, Fault> {
        let key = self.key(kind, id);
        self.runtime.block_on(self.client.get(&key))?.ok_or_else(|| missing(&key))
    }

    fn read_part(&self, kind: FileType, id: &Id, offset: u32, length: u32) -> Result<Bytes, Fault> {
        let key = self.key(kind, id);
        let part = self.client.get_part(&key, u64::from(offset), u64::from(length));
        self.runtime.block_on(part)?.ok_or_else(|| missing(&key))
    }

    fn write(&self, kind: FileType, id: &Id, content: &BytesList) -> Result<(), Fault> {
        self.runtime.block_on(self.client.put(&self.key(kind, id), content.slice()))
    }

    fn remove(&self, kind: FileType, id: &Id) -> Result<(), Fault> {
        self.runtime.block_on(self.client.delete(&self.key(kind, id)))
    }

    /// A storage moves nothing: the copy is there before the original goes.
    fn set_aside(&self, kind: FileType, id: &Id, content: &Bytes) -> Result<(), Fault> {
        let aside = self.client.key(&format!("{ASIDE}/{}-{}", kind.dirname(), id.to_hex().as_str()));
        self.runtime.block_on(self.client.put(&aside, std::slice::from_ref(content)))?;
        self.remove(kind, id)
    }
}
