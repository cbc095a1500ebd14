//! Values in files of the server: below the one folder its administrator allows, in the folder of the project, one file for each value. No part of
//! the way is a link, so that nothing outside is read. Tests: at the end of the file.

use std::fs::File;
use std::io::Read as _;
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::UNIX_EPOCH;

use havre_core::name::ProjectName;
use havre_core::secret::Secret;
use havre_core::secret::value::{VALUE_MAX, parse_value};
use havre_core::time::Timestamp;
use havre_decide::secret::provider::{Fetched, ValueVersion};
use rustix::fs::{CWD, Mode, OFlags, openat};
use rustix::io::Errno;

use crate::FetchError;

/// Nothing waits, as the other end of a pipe would want, and no link is followed.
const FLAGS: OFlags = OFlags::RDONLY.union(OFlags::CLOEXEC).union(OFlags::NOFOLLOW).union(OFlags::NONBLOCK);

/// Reads one value.
pub(crate) fn read(root: &Path, project: &ProjectName, path: &str) -> Result<Fetched, FetchError> {
    let shown = root.join(project.as_str()).join(path);
    let wrong = |what: &str| FetchError::refused(format!("{} {what}", shown.display()));
    let unreadable = |error: std::io::Error| wrong(&format!("cannot be read: {error}"));
    let file = open(root, project, path).map_err(|error| match error {
        Errno::NOENT => wrong("is not there"),
        Errno::LOOP | Errno::NOTDIR | Errno::MLINK => {
            wrong("is a link, or what leads to it is no folder; links are not followed")
        }
        error => unreadable(error.into()),
    })?;
    let mut file = File::from(file);
    // Asked of the open file, so that it cannot be exchanged in between.
    let about = file.metadata().map_err(unreadable)?;
    if !about.is_file() {
        return Err(wrong("is no file"));
    }
    if about.permissions().mode() & 0o007 != 0 {
        return Err(wrong("can be opened by everybody on the machine; `chmod 640` it"));
    }
    let most = u64::try_from(VALUE_MAX).unwrap_or(u64::MAX);
    let mut bytes = Vec::new();
    // Two more than allowed: a line break at the end is none of the value's.
    let read = file.by_ref().take(most.saturating_add(2)).read_to_end(&mut bytes);
    let bytes = Secret::new(bytes);
    read.map_err(unreadable)?;
    let text = bytes.expose_text().ok_or_else(|| wrong("is no text"))?;
    let text = text.strip_suffix('\n').unwrap_or(text);
    let text = text.strip_suffix('\r').unwrap_or(text);
    let value = parse_value(text.to_owned()).map_err(|error| wrong(&format!("is no value: {error}")))?;
    let changed = about.modified().ok().and_then(|at| at.duration_since(UNIX_EPOCH).ok());
    let changed = changed.and_then(|since| i64::try_from(since.as_millis()).ok());
    let version = changed.map_or(String::new(), |at| Timestamp::from_millis(at).to_string());
    Ok(Fetched { value, version: ValueVersion::new(&version) })
}

/// One folder after the other. The first may be a link: it is the administrator's.
fn open(root: &Path, project: &ProjectName, path: &str) -> Result<OwnedFd, Errno> {
    let folder = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::DIRECTORY;
    let mut at = openat(CWD, root, folder, Mode::empty())?;
    at = openat(&at, project.as_str(), FLAGS | OFlags::DIRECTORY, Mode::empty())?;
    let (folders, name) = path.rsplit_once('/').map_or((None, path), |(folders, name)| (Some(folders), name));
    for part in folders.into_iter().flat_map(|folders| folders.split('/')) {
        at = openat(&at, part, FLAGS | OFlags::DIRECTORY, Mode::empty())?;
    }
    openat(&at, name, FLAGS, Mode::empty())
}

/// Whether the folder of the project is there.
pub(crate) fn look(root: &Path, project: &ProjectName) -> Result<String, FetchError> {
    let shown = root.join(project.as_str());
    match std::fs::symlink_metadata(&shown) {
        Ok(about) if about.is_dir() => Ok(format!("{} is there", shown.display())),
        Ok(_) => Err(FetchError::refused(format!("{} is no folder", shown.display()))),
        Err(error) => Err(FetchError::refused(format!("{} cannot be used: {error}", shown.display()))),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;

    /// A folder with one of the project `shop` in it, and something outside.
    fn root() -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        put(&folder.path().join("allowed/shop/db/password"), b"planted-in-a-file\n", 0o640);
        put(&folder.path().join("allowed/other/password"), b"planted-of-another", 0o600);
        put(&folder.path().join("outside"), b"planted-outside", 0o600);
        folder
    }

    fn put(path: &Path, bytes: &[u8], mode: u32) {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    }

    fn value(root: &tempfile::TempDir, path: &str) -> Result<String, String> {
        let found = read(&root.path().join("allowed"), &"shop".parse().unwrap(), path);
        let text = |found: Fetched| found.value.expose_text().unwrap().to_owned();
        found.map(text).map_err(|error| error.to_string())
    }

    #[test]
    fn a_file_is_a_value_without_its_last_line_break() {
        let root = root();
        assert_eq!(value(&root, "db/password").unwrap(), "planted-in-a-file");
        let found = read(&root.path().join("allowed"), &"shop".parse().unwrap(), "db/password").unwrap();
        assert!(found.version.as_str().ends_with('Z'), "{}", found.version);
        put(&root.path().join("allowed/shop/lines"), b"a\nb\n\n", 0o600);
        assert_eq!(value(&root, "lines").unwrap(), "a\nb\n");
    }

    #[test]
    fn nothing_outside_is_read() {
        let root = root();
        let shop = root.path().join("allowed/shop");
        symlink(root.path().join("outside"), shop.join("link")).unwrap();
        symlink(root.path(), shop.join("up")).unwrap();
        symlink("../other", shop.join("neighbour")).unwrap();
        for path in ["link", "up/outside", "neighbour/password"] {
            assert!(value(&root, path).unwrap_err().contains("links are not followed"), "{path}");
        }
        // A place never holds these; the way is safe without that too: nothing but the folder of the project is entered.
        assert!(value(&root, "nothing").unwrap_err().contains("is not there"));
        symlink(root.path().join("allowed/other"), root.path().join("allowed/linked")).unwrap();
        let linked = read(&root.path().join("allowed"), &"linked".parse().unwrap(), "password");
        assert!(linked.unwrap_err().to_string().contains("links are not followed"));
    }

    #[test]
    fn what_is_no_value_is_refused() {
        let root = root();
        let shop = root.path().join("allowed/shop");
        put(&shop.join("open"), b"x", 0o644);
        put(&shop.join("empty"), b"\n", 0o600);
        put(&shop.join("bytes"), &[0xff, 0xfe], 0o600);
        put(&shop.join("long"), &vec![b'x'; VALUE_MAX + 1], 0o600);
        put(&shop.join("fits"), &[vec![b'x'; VALUE_MAX], b"\n".to_vec()].concat(), 0o600);
        for (path, part) in [
            ("open", "`chmod 640` it"),
            ("empty", "is no value"),
            ("bytes", "is no text"),
            ("long", "is no value"),
            ("db", "is no file"),
        ] {
            let error = value(&root, path).unwrap_err();
            assert!(error.contains(part) && !error.contains("planted"), "{path}: {error}");
        }
        assert_eq!(value(&root, "fits").unwrap().len(), VALUE_MAX);
    }
}
