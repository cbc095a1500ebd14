//! A repository in a folder of this machine, in the layout that restic has on disk. Every failure is handed on and kept besides, because
//! `rustic_core` goes on after some of them: what asked for the work looks at [`Folder::trouble`] before it believes an `Ok`.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use bytes::Bytes;
use rustic_core::{BytesList, ErrorKind, FileType, Id, ReadBackend, RusticError, RusticResult, WriteBackend};
use sha2::{Digest as _, Sha256};

/// Where a file is before it is whole. restic does not look there.
const UNFINISHED: &str = "tmp";
/// Where damaged files are put. restic does not look there either.
const ASIDE: &str = "damaged";
/// What `restic` makes for its locks, and expects to find.
const LOCKS: &str = "locks";

/// The folder.
#[derive(Debug)]
pub(super) struct Folder {
    root: PathBuf,
    trouble: Mutex<Option<String>>,
    unfinished: AtomicU64,
}

impl Folder {
    pub(super) fn new(root: &Path) -> Self {
        Self { root: root.to_owned(), trouble: Mutex::new(None), unfinished: AtomicU64::new(0) }
    }

    /// The first failure since this was made.
    pub(super) fn trouble(&self) -> Option<String> {
        self.trouble.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Whether a repository is here.
    pub(super) fn has_config(&self) -> io::Result<bool> {
        self.root.join("config").try_exists()
    }

    /// Whether anything is here that a repository would hold, its keys aside.
    pub(super) fn has_data(&self) -> io::Result<bool> {
        for kind in [FileType::Snapshot, FileType::Index, FileType::Pack] {
            if self.top(kind).try_exists()? && !self.files(kind)?.is_empty() {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Removes keys that belong to no repository: those of an `init` that did not come to its end.
    pub(super) fn remove_keys(&self) -> io::Result<()> {
        if !self.top(FileType::Key).try_exists()? {
            return Ok(());
        }
        for (id, _) in self.files(FileType::Key)? {
            fs::remove_file(self.path(FileType::Key, &id))?;
        }
        Ok(())
    }

    /// Puts every file aside whose content is not what its name says: names are the SHA-256 of the content. Returns their paths.
    pub(super) fn set_damaged_aside(&self) -> io::Result<Vec<String>> {
        let mut found = Vec::new();
        for kind in [FileType::Pack, FileType::Index, FileType::Snapshot] {
            for (id, _) in self.files(kind)? {
                let path = self.path(kind, &id);
                if sha256_of(&path)? == id.to_hex().as_str() {
                    continue;
                }
                let aside = self.root.join(ASIDE);
                make_folder(&aside)?;
                fs::rename(&path, aside.join(format!("{}-{}", kind.dirname(), id.to_hex().as_str())))?;
                found.push(format!("{}/{}", kind.dirname(), id.to_hex().as_str()));
            }
        }
        found.sort();
        Ok(found)
    }

    fn top(&self, kind: FileType) -> PathBuf {
        self.root.join(kind.dirname())
    }

    fn path(&self, kind: FileType, id: &Id) -> PathBuf {
        let hex = id.to_hex();
        match kind {
            FileType::Config => self.root.join("config"),
            FileType::Pack => self.top(kind).join(&hex.as_str()[..2]).join(hex.as_str()),
            FileType::Key | FileType::Snapshot | FileType::Index => self.top(kind).join(hex.as_str()),
        }
    }

    /// Files of one kind with their sizes. A folder that cannot be read is an error, never an empty list.
    fn files(&self, kind: FileType) -> io::Result<Vec<(Id, u32)>> {
        let mut found = Vec::new();
        match kind {
            FileType::Config => {
                if self.has_config()? {
                    found.push((Id::default(), size_of(&self.root.join("config"))?));
                }
            }
            FileType::Pack => {
                for folder in fs::read_dir(self.top(kind))? {
                    let folder = folder?;
                    if folder.file_type()?.is_dir() {
                        list_into(&folder.path(), &mut found)?;
                    }
                }
            }
            FileType::Key | FileType::Snapshot | FileType::Index => list_into(&self.top(kind), &mut found)?,
        }
        Ok(found)
    }

    fn make(&self) -> io::Result<()> {
        make_folder(&self.root)?;
        for name in [LOCKS, UNFINISHED, "keys", "snapshots", "index", "data"] {
            make_folder(&self.root.join(name))?;
        }
        for number in 0..=255_u8 {
            make_folder(&self.root.join("data").join(format!("{number:02x}")))?;
        }
        File::open(&self.root)?.sync_all()
    }

    /// Whole or not at all: beside, to the disk, renamed, and the folder to the disk.
    fn write(&self, kind: FileType, id: &Id, content: &BytesList) -> io::Result<()> {
        let number = self.unfinished.fetch_add(1, Ordering::Relaxed);
        let unfinished = self.root.join(UNFINISHED).join(format!(
            "{}-{number}-{}",
            std::process::id(),
            id.to_hex().as_str()
        ));
        let path = self.path(kind, id);
        let written = write_whole(&unfinished, content).and_then(|()| fs::rename(&unfinished, &path));
        if let Err(error) = written {
            // A full disk gets its room back; where that fails too, the first failure is the one to tell.
            let _ = fs::remove_file(&unfinished);
            return Err(error);
        }
        let folder = path.parent().expect("every file of a repository lies in a folder");
        File::open(folder)?.sync_all()
    }

    fn read_part(&self, kind: FileType, id: &Id, offset: u32, length: u32) -> io::Result<Bytes> {
        let mut file = File::open(self.path(kind, id))?;
        file.seek(SeekFrom::Start(u64::from(offset)))?;
        let mut content = Vec::new();
        let found = file.take(u64::from(length)).read_to_end(&mut content)?;
        if found as u64 != u64::from(length) {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the file is shorter than it was"));
        }
        Ok(content.into())
    }

    fn remove_file(&self, kind: FileType, id: &Id) -> io::Result<()> {
        let result = fs::remove_file(self.path(kind, id));
        let is_gone = matches!(&result, Err(error) if error.kind() == io::ErrorKind::NotFound);
        // Gone is gone, as long as it is the file that is gone and not the disk.
        if is_gone && self.has_config()? { Ok(()) } else { result }
    }

    /// Hands a failure on and keeps the first one.
    fn noted<T>(&self, doing: &str, kind: FileType, result: io::Result<T>) -> RusticResult<T> {
        result.map_err(|error| {
            let text = format!("{doing} {} in {}: {error}", kind.dirname(), self.root.display());
            let mut trouble = self.trouble.lock().unwrap_or_else(PoisonError::into_inner);
            if trouble.is_none() {
                *trouble = Some(text.clone());
            }
            RusticError::with_source(ErrorKind::Backend, text, error)
        })
    }
}

fn make_folder(path: &Path) -> io::Result<()> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(path)
}

fn write_whole(path: &Path, content: &BytesList) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    for bytes in content.slice() {
        file.write_all(bytes)?;
    }
    file.sync_all()
}

fn size_of(path: &Path) -> io::Result<u32> {
    u32::try_from(fs::metadata(path)?.len()).map_err(io::Error::other)
}

/// Files whose name is an id. Others, such as what restic had not finished, are none of the repository's.
fn list_into(folder: &Path, found: &mut Vec<(Id, u32)>) -> io::Result<()> {
    for file in fs::read_dir(folder)? {
        let file = file?;
        let Some(id) = file.file_name().to_str().and_then(|name| name.parse::<Id>().ok()) else { continue };
        let size = file.metadata()?.len();
        found.push((id, u32::try_from(size).map_err(io::Error::other)?));
    }
    Ok(())
}

fn sha256_of(path: &Path) -> io::Result<String> {
    let mut file = File::open(path)?;
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; 128 * 1024];
    loop {
        let count = file.read(&mut buffer)?;
        if count == 0 {
            return Ok(format!("{:x}", hasher.finalize()));
        }
        hasher.update(&buffer[..count]);
    }
}

impl ReadBackend for Folder {
    fn location(&self) -> String {
        self.root.display().to_string()
    }

    fn list_with_size(&self, tpe: FileType) -> RusticResult<Vec<(Id, u32)>> {
        self.noted("list", tpe, self.files(tpe))
    }

    fn read_full(&self, tpe: FileType, id: &Id) -> RusticResult<Bytes> {
        self.noted("read", tpe, fs::read(self.path(tpe, id)).map(Bytes::from))
    }

    fn read_partial(
        &self,
        tpe: FileType,
        id: &Id,
        _cacheable: bool,
        offset: u32,
        length: u32,
    ) -> RusticResult<Bytes> {
        self.noted("read", tpe, self.read_part(tpe, id, offset, length))
    }

    fn warmup_path(&self, tpe: FileType, id: &Id) -> String {
        self.path(tpe, id).display().to_string()
    }
}

impl WriteBackend for Folder {
    fn create(&self) -> RusticResult<()> {
        self.noted("make folders for", FileType::Config, self.make())
    }

    fn write_bytes(&self, tpe: FileType, id: &Id, _cacheable: bool, content: BytesList) -> RusticResult<()> {
        self.noted("write", tpe, self.write(tpe, id, &content))
    }

    fn remove(&self, tpe: FileType, id: &Id, _cacheable: bool) -> RusticResult<()> {
        self.noted("remove", tpe, self.remove_file(tpe, id))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn made() -> (tempfile::TempDir, Folder) {
        let folder = tempfile::tempdir().expect("is made");
        let backend = Folder::new(&folder.path().join("repository"));
        backend.create().expect("is made");
        (folder, backend)
    }

    fn id(content: &[u8]) -> Id {
        format!("{:x}", Sha256::digest(content)).parse().expect("is an id")
    }

    #[test]
    fn files_come_and_go() {
        let (_folder, backend) = made();
        let id = id(b"pack");
        backend
            .write_bytes(FileType::Pack, &id, false, Bytes::from_static(b"pack").into())
            .expect("is written");
        assert_eq!(backend.list_with_size(FileType::Pack).expect("is listed"), [(id, 4)]);
        assert_eq!(&backend.read_full(FileType::Pack, &id).expect("is read")[..], b"pack");
        assert_eq!(&backend.read_partial(FileType::Pack, &id, false, 1, 2).expect("is read")[..], b"ac");
        assert_eq!(backend.trouble(), None);
        assert!(backend.read_partial(FileType::Pack, &id, false, 1, 9).is_err());
        let trouble = backend.trouble().expect("was kept");
        assert!(trouble.ends_with("the file is shorter than it was"), "{trouble}");
        let unfinished = fs::read_dir(backend.root.join(UNFINISHED)).expect("is read").count();
        assert_eq!(unfinished, 0, "nothing half-written is left");
    }

    #[test]
    fn a_folder_that_is_gone_is_no_empty_list() {
        let (_folder, backend) = made();
        fs::remove_dir_all(&backend.root).expect("is removed");
        for kind in [FileType::Snapshot, FileType::Index, FileType::Pack, FileType::Key] {
            assert!(backend.list_with_size(kind).is_err(), "{kind}");
        }
        assert!(backend.remove(FileType::Snapshot, &id(b"x"), false).is_err());
        assert!(backend.list_with_size(FileType::Config).expect("says that there is none").is_empty());
    }

    #[test]
    fn what_is_not_what_its_name_says_is_set_aside() {
        let (_folder, backend) = made();
        for content in [&b"one"[..], b"two"] {
            let bytes = Bytes::copy_from_slice(content);
            backend.write_bytes(FileType::Pack, &id(content), false, bytes.into()).expect("is written");
        }
        fs::write(backend.path(FileType::Pack, &id(b"two")), b"twx").expect("is written");
        let aside = backend.set_damaged_aside().expect("is looked at");
        assert_eq!(aside, [format!("data/{}", id(b"two").to_hex().as_str())]);
        assert_eq!(backend.list_with_size(FileType::Pack).expect("is listed"), [(id(b"one"), 3)]);
    }
}
