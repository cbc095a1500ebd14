//! A repository in a folder of this machine, in the layout that restic has on disk. Tests at the end of the file.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use rustic_core::{BytesList, FileType, Id};

use crate::fault::Fault;
use crate::restic::storage::Storage;

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
    unfinished: AtomicU64,
}

impl Folder {
    pub(super) fn new(root: &Path) -> Self {
        Self { root: root.to_owned(), unfinished: AtomicU64::new(0) }
    }

    fn top(&self, kind: FileType) -> PathBuf {
        self.root.join(kind.dirname())
    }

    fn file(&self, kind: FileType, id: &Id) -> PathBuf {
        let hex = id.to_hex();
        match kind {
            FileType::Config => self.root.join("config"),
            FileType::Pack => self.top(kind).join(&hex.as_str()[..2]).join(hex.as_str()),
            FileType::Key | FileType::Snapshot | FileType::Index => self.top(kind).join(hex.as_str()),
        }
    }

    fn is_made(&self) -> io::Result<bool> {
        self.root.join("config").try_exists()
    }

    /// A folder that cannot be read is an error.
    fn list(&self, kind: FileType) -> io::Result<Vec<(Id, u32)>> {
        let mut found = Vec::new();
        match kind {
            FileType::Config => {
                if self.is_made()? {
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

    fn make_folders(&self) -> io::Result<()> {
        make_folder(&self.root)?;
        for name in [LOCKS, UNFINISHED, "keys", "snapshots", "index", "data"] {
            make_folder(&self.root.join(name))?;
        }
        for number in 0..=255_u8 {
            make_folder(&self.root.join("data").join(format!("{number:02x}")))?;
        }
        File::open(&self.root)?.sync_all()
    }

    /// Beside, to the disk, renamed, and the folder to the disk.
    fn write_file(&self, kind: FileType, id: &Id, content: &BytesList) -> io::Result<()> {
        let number = self.unfinished.fetch_add(1, Ordering::Relaxed);
        let unfinished = self.root.join(UNFINISHED).join(format!(
            "{}-{number}-{}",
            std::process::id(),
            id.to_hex().as_str()
        ));
        let path = self.file(kind, id);
        let written = write_whole(&unfinished, content).and_then(|()| fs::rename(&unfinished, &path));
        if let Err(error) = written {
            // A full disk gets its room back; where that fails too, the first failure is the one to tell.
            let _ = fs::remove_file(&unfinished);
            return Err(error);
        }
        let folder = path.parent().expect("every file of a repository lies in a folder");
        File::open(folder)?.sync_all()
    }

    fn read_at(&self, kind: FileType, id: &Id, offset: u32, length: u32) -> io::Result<Bytes> {
        let mut file = File::open(self.file(kind, id))?;
        file.seek(SeekFrom::Start(u64::from(offset)))?;
        let mut content = Vec::new();
        let found = file.take(u64::from(length)).read_to_end(&mut content)?;
        if found as u64 != u64::from(length) {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the file is shorter than it was"));
        }
        Ok(content.into())
    }

    fn remove_file(&self, kind: FileType, id: &Id) -> io::Result<()> {
        let result = fs::remove_file(self.file(kind, id));
        let is_gone = matches!(&result, Err(error) if error.kind() == io::ErrorKind::NotFound);
        if is_gone && self.is_made()? { Ok(()) } else { result }
    }

    fn move_aside(&self, kind: FileType, id: &Id) -> io::Result<()> {
        let aside = self.root.join(ASIDE);
        make_folder(&aside)?;
        fs::rename(self.file(kind, id), aside.join(format!("{}-{}", kind.dirname(), id.to_hex().as_str())))
    }
}

impl Storage for Folder {
    fn location(&self) -> String {
        self.root.display().to_string()
    }

    fn path(&self, kind: FileType, id: &Id) -> String {
        self.file(kind, id).display().to_string()
    }

    fn make(&self) -> Result<(), Fault> {
        Ok(self.make_folders()?)
    }

    fn files(&self, kind: FileType) -> Result<Vec<(Id, u32)>, Fault> {
        Ok(self.list(kind)?)
    }

    fn left(&self, kind: FileType) -> Result<Vec<(Id, u32)>, Fault> {
        if self.top(kind).try_exists()? { self.files(kind) } else { Ok(Vec::new()) }
    }

    fn has_config(&self) -> Result<bool, Fault> {
        Ok(self.is_made()?)
    }

    fn read(&self, kind: FileType, id: &Id) -> Result<Bytes, Fault> {
        Ok(fs::read(self.file(kind, id)).map(Bytes::from)?)
    }

    fn read_part(&self, kind: FileType, id: &Id, offset: u32, length: u32) -> Result<Bytes, Fault> {
        Ok(self.read_at(kind, id, offset, length)?)
    }

    fn write(&self, kind: FileType, id: &Id, content: &BytesList) -> Result<(), Fault> {
        Ok(self.write_file(kind, id, content)?)
    }

    fn remove(&self, kind: FileType, id: &Id) -> Result<(), Fault> {
        Ok(self.remove_file(kind, id)?)
    }

    fn set_aside(&self, kind: FileType, id: &Id, _content: &Bytes) -> Result<(), Fault> {
        Ok(self.move_aside(kind, id)?)
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

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use rustic_core::{ReadBackend as _, WriteBackend as _};
    use sha2::{Digest as _, Sha256};

    use super::*;
    use crate::restic::storage::Backend;

    fn made() -> (tempfile::TempDir, Arc<Folder>, Backend) {
        let root = tempfile::tempdir().expect("is made");
        let folder = Arc::new(Folder::new(&root.path().join("repository")));
        let backend = Backend::new(folder.clone());
        backend.create().expect("is made");
        (root, folder, backend)
    }

    fn id(content: &[u8]) -> Id {
        format!("{:x}", Sha256::digest(content)).parse().expect("is an id")
    }

    #[test]
    fn files_come_and_go() {
        let (_root, folder, backend) = made();
        let id = id(b"pack");
        backend
            .write_bytes(FileType::Pack, &id, false, Bytes::from_static(b"pack").into())
            .expect("is written");
        assert_eq!(backend.list_with_size(FileType::Pack).expect("is listed"), [(id, 4)]);
        assert_eq!(&backend.read_full(FileType::Pack, &id).expect("is read")[..], b"pack");
        assert_eq!(&backend.read_partial(FileType::Pack, &id, false, 1, 2).expect("is read")[..], b"ac");
        assert!(backend.trouble().is_none());
        assert!(backend.read_partial(FileType::Pack, &id, false, 1, 9).is_err());
        let trouble = backend.trouble().expect("was kept").text;
        assert!(trouble.ends_with("the file is shorter than it was"), "{trouble}");
        let unfinished = fs::read_dir(folder.root.join(UNFINISHED)).expect("is read").count();
        assert_eq!(unfinished, 0, "nothing half-written is left");
    }

    #[test]
    fn a_folder_that_is_gone_is_no_empty_list() {
        let (_root, folder, backend) = made();
        fs::remove_dir_all(&folder.root).expect("is removed");
        for kind in [FileType::Snapshot, FileType::Index, FileType::Pack, FileType::Key] {
            assert!(backend.list_with_size(kind).is_err(), "{kind}");
        }
        assert!(backend.remove(FileType::Snapshot, &id(b"x"), false).is_err());
        assert!(backend.list_with_size(FileType::Config).expect("says that there is none").is_empty());
        assert_eq!(backend.has_data(), Ok(false), "nobody has made anything");
    }

    #[test]
    fn what_is_not_what_its_name_says_is_set_aside() {
        let (_root, folder, backend) = made();
        for content in [&b"one"[..], b"two"] {
            let bytes = Bytes::copy_from_slice(content);
            backend.write_bytes(FileType::Pack, &id(content), false, bytes.into()).expect("is written");
        }
        fs::write(folder.file(FileType::Pack, &id(b"two")), b"twx").expect("is written");
        let aside = backend.set_damaged_aside().expect("is looked at");
        assert_eq!(aside, [format!("data/{}", id(b"two").to_hex().as_str())]);
        assert_eq!(backend.list_with_size(FileType::Pack).expect("is listed"), [(id(b"one"), 3)]);
    }
}
