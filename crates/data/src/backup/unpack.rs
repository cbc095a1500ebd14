//! The platform, on its way back: a snapshot of it becomes one private file, byte for byte what its manifest says, and that file becomes a store
//! and configuration files in an empty folder. What is not what `producer::platform` writes is refused. Tests at the end of the file.

use std::collections::BTreeSet;
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Component, Path, PathBuf};

use havre_backup::{Repository, RepositoryError, Tally};
use havre_core::backup::Content;
use havre_rescue::rebuild::Saved;
use tokio::io::AsyncWriteExt as _;
use tokio_util::sync::CancellationToken;

/// Name of the store in it.
pub const STORE: &str = "store.sqlite";
/// Folder of the configuration files in it.
pub const CONFIG: &str = "etc";
/// Largest configuration file.
const CONFIG_MAX: u64 = 16 * 1024 * 1024;
/// Most files.
const FILES_MAX: usize = 10_000;
/// Longest path of one, in folders.
const DEPTH_MAX: usize = 12;

/// Why a saved platform does not come back.
#[derive(Debug, thiserror::Error)]
pub enum UnpackError {
    /// The repository does not give it out.
    #[error("could not read the snapshot")]
    Repository(#[from] RepositoryError),
    /// It is not what was saved.
    #[error("{expected} were saved, and {found} came: this snapshot is damaged, take another one (`--list`)")]
    Differs {
        /// What was saved.
        expected: Content,
        /// What came.
        found: Content,
    },
    /// A file cannot be written or read.
    #[error("could not {doing} {}", path.display())]
    File {
        /// What was being done.
        doing: &'static str,
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Nothing that Havre writes looks like this.
    #[error("the snapshot is no state of a Havre: {0}")]
    Foreign(String),
}

fn failed(doing: &'static str, path: &Path) -> impl Fn(io::Error) -> UnpackError {
    let path = path.to_owned();
    move |source| UnpackError::File { doing, path: path.clone(), source }
}

/// Writes a snapshot into a new private file, and makes sure that it is what was saved.
///
/// # Errors
/// It cannot be read or written, or is something else.
pub async fn fetch(repository: &dyn Repository, saved: &Saved, path: &Path) -> Result<(), UnpackError> {
    let mut dump = repository.dump(&saved.snapshot, &CancellationToken::new()).await?;
    let file = new_file(path).map_err(failed("make", path))?;
    let mut file = tokio::fs::File::from_std(file);
    let mut tally = Tally::default();
    while let Some(bytes) = dump.next().await? {
        tally.add(&bytes);
        file.write_all(&bytes).await.map_err(failed("write", path))?;
    }
    file.sync_all().await.map_err(failed("write", path))?;
    let found = tally.content();
    if found == saved.content {
        return Ok(());
    }
    Err(UnpackError::Differs { expected: saved.content.clone(), found })
}

fn new_file(path: &Path) -> io::Result<File> {
    OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)
}

/// Unpacks such a file into a folder that is there and empty. Answers the configuration files, by their paths below `etc`. Blocks.
///
/// # Errors
/// It cannot be read or written, or Havre never wrote it.
pub fn unpack(tar: &Path, into: &Path) -> Result<BTreeSet<PathBuf>, UnpackError> {
    let file = File::open(tar).map_err(failed("open", tar))?;
    let mut archive = tar::Archive::new(io::BufReader::new(file));
    let (mut config, mut has_store) = (BTreeSet::new(), false);
    for (count, entry) in archive.entries().map_err(failed("read", tar))?.enumerate() {
        let mut entry = entry.map_err(failed("read", tar))?;
        let path = entry.path().map_err(failed("read", tar))?.into_owned();
        if count >= FILES_MAX || !is_plain(&path) || !entry.header().entry_type().is_file() {
            return Err(UnpackError::Foreign(format!("it has something at {}", path.display())));
        }
        if path == Path::new("README") {
            continue;
        }
        if path == Path::new(STORE) {
            has_store = true;
        } else {
            let below = path.strip_prefix(CONFIG).ok().filter(|_| entry.size() <= CONFIG_MAX);
            let below =
                below.ok_or_else(|| UnpackError::Foreign(format!("it has a file {}", path.display())))?;
            config.insert(below.to_owned());
        }
        write(&mut entry, &into.join(&path))?;
    }
    if has_store { Ok(config) } else { Err(UnpackError::Foreign("it has no store".to_owned())) }
}

/// Names below the folder it is unpacked into, and nothing else.
fn is_plain(path: &Path) -> bool {
    let count = path.components().count();
    let is_named = path.components().all(|part| matches!(part, Component::Normal(_)));
    is_named && (1..=DEPTH_MAX).contains(&count)
}

fn write(entry: &mut impl Read, path: &Path) -> Result<(), UnpackError> {
    let failed = failed("write", path);
    if let Some(folder) = path.parent() {
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(&failed)?;
    }
    // Never over one that is there: two of one name are nothing that Havre writes.
    let mut file = new_file(path).map_err(&failed)?;
    io::copy(entry, &mut file).map_err(&failed)?;
    file.flush().and_then(|()| file.sync_all()).map_err(&failed)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packed(folder: &Path, files: &[(&str, &[u8])]) -> PathBuf {
        let mut tar = tar::Builder::new(Vec::new());
        for (name, bytes) in files {
            let mut header = tar::Header::new_gnu();
            header.set_entry_type(tar::EntryType::Regular);
            header.set_mode(0o600);
            header.set_size(bytes.len() as u64);
            // As it stands there, whatever that is: the builder itself would refuse some of them.
            header.as_mut_bytes()[..name.len()].copy_from_slice(name.as_bytes());
            header.set_cksum();
            tar.append(&header, *bytes).unwrap();
        }
        let path = folder.join("platform.tar");
        std::fs::write(&path, tar.into_inner().unwrap()).unwrap();
        path
    }

    fn unpacked(files: &[(&str, &[u8])]) -> (tempfile::TempDir, Result<BTreeSet<PathBuf>, UnpackError>) {
        let folder = tempfile::tempdir().unwrap();
        let into = folder.path().join("into");
        std::fs::create_dir(&into).unwrap();
        let result = unpack(&packed(folder.path(), files), &into);
        (folder, result)
    }

    #[test]
    fn a_store_and_its_configuration() {
        let files: [(&str, &[u8]); 4] = [
            ("README", b"words"),
            ("etc/havred.toml", b"[control]"),
            ("etc/purge/cdn.example.org/token", b"x"),
            ("store.sqlite", b"a store"),
        ];
        let (folder, config) = unpacked(&files);
        let config: Vec<String> = config.unwrap().iter().map(|path| path.display().to_string()).collect();
        assert_eq!(config, ["havred.toml", "purge/cdn.example.org/token"]);
        let read = |name: &str| std::fs::read(folder.path().join("into").join(name)).unwrap();
        assert_eq!(read("store.sqlite"), b"a store");
        assert_eq!(read("etc/havred.toml"), b"[control]");
        assert!(!folder.path().join("into/README").exists());
    }

    #[test]
    fn what_havre_never_writes_is_refused() {
        let store: (&str, &[u8]) = ("store.sqlite", b"a store");
        for wrong in ["../planted", "/tmp/planted", "etc/../../planted", "planted", "var/planted"] {
            let (folder, result) = unpacked(&[store, (wrong, b"x".as_slice())]);
            assert!(matches!(result, Err(UnpackError::Foreign(_))), "{wrong}: {result:?}");
            assert!(!folder.path().join("planted").exists(), "{wrong}");
        }
        assert!(matches!(unpacked(&[("README", b"words".as_slice())]).1, Err(UnpackError::Foreign(_))));
        assert!(matches!(unpacked(&[store, store]).1, Err(UnpackError::File { .. })));
    }
}
