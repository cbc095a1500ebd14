//! Material on the edge's own disk: one file for each digest, so that the edge serves its hosts without control.
//! It parses nothing and fetches nothing (`control`). Tests at the end of the file.

use std::collections::HashSet;
use std::fs::File;
use std::io::{self, Read as _};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use super::Digest;
use super::material::{MAX_MATERIAL_BYTES, digest_of};
use crate::durable;

/// The folder of material.
#[derive(Debug, Clone)]
pub struct Folder {
    path: PathBuf,
}

impl Folder {
    /// Makes the folder if needed.
    ///
    /// # Errors
    /// It cannot be made.
    pub fn open(path: PathBuf) -> io::Result<Self> {
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(&path)?;
        Ok(Self { path })
    }

    fn file(digest: Digest) -> String {
        format!("{digest}.pem")
    }

    /// Material by digest; `None` when it is not here. A file that is not what its name says is removed.
    ///
    /// # Errors
    /// The file is here but cannot be read.
    pub fn load(&self, digest: Digest) -> io::Result<Option<Vec<u8>>> {
        let path = self.path.join(Self::file(digest));
        let file = match File::open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        let mut text = Vec::with_capacity(8 * 1024);
        file.take(MAX_MATERIAL_BYTES as u64 + 1).read_to_end(&mut text)?;
        if digest_of(&text) == digest {
            return Ok(Some(text));
        }
        tracing::error!(%digest, "a certificate on disk is damaged; removed");
        std::fs::remove_file(&path)?;
        Ok(None)
    }

    /// Saves material under its digest.
    ///
    /// # Errors
    /// The disk is full or the folder cannot be written.
    pub fn save(&self, digest: Digest, material: &[u8]) -> io::Result<()> {
        durable::replace(&self.path, &Self::file(digest), material)
    }

    /// Digests of all material here. Other files are not ours to judge.
    ///
    /// # Errors
    /// The folder cannot be read.
    pub fn list(&self) -> io::Result<HashSet<Digest>> {
        let mut found = HashSet::new();
        for entry in std::fs::read_dir(&self.path)? {
            let name = entry?.file_name();
            let digest = Path::new(&name).file_name().and_then(|name| name.to_str()?.strip_suffix(".pem"));
            found.extend(digest.and_then(|text| text.parse::<Digest>().ok()));
        }
        Ok(found)
    }

    /// Removes material that nobody names any more.
    ///
    /// # Errors
    /// The folder cannot be written.
    pub fn remove(&self, digest: Digest) -> io::Result<()> {
        match std::fs::remove_file(self.path.join(Self::file(digest))) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            result => result,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    #[test]
    fn material_is_kept_by_digest_for_the_edge_alone_and_never_believed() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("certificates");
        let folder = Folder::open(path.clone()).unwrap();
        let digest = digest_of(b"material");
        assert_eq!(folder.load(digest).unwrap(), None);
        folder.save(digest, b"material").unwrap();
        assert_eq!(folder.load(digest).unwrap().as_deref(), Some(&b"material"[..]));
        let file = path.join(format!("{digest}.pem"));
        assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o700);
        std::fs::write(path.join("note.txt"), "").unwrap();
        assert_eq!(folder.list().unwrap(), HashSet::from([digest]));

        std::fs::write(&file, "materia").unwrap();
        assert_eq!((folder.load(digest).unwrap(), file.exists()), (None, false));
        folder.remove(digest).unwrap();
        assert_eq!(folder.list().unwrap(), HashSet::new());
    }
}
