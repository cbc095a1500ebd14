//! Unpacks a tar stream that others made into an empty folder of ours: plain files only, bounded, with modes of our
//! own. Because no link is ever made, no path can lead out of the folder. Tests in `tests/it/site.rs`.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, ErrorKind, Read, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use havre_core::artifact::Digest;
use sha2::{Digest as _, Sha256};
use tar::{Archive, Entry, EntryType, PaxExtensions};
use tokio_util::sync::CancellationToken;

use super::Limits;
use crate::builder::BuildError;
use crate::entry::{parse_path, show};

/// Length and SHA-256 of one file.
pub(super) struct Content {
    length: u64,
    hash: [u8; 32],
}

impl Content {
    pub(super) fn length(&self) -> u64 {
        self.length
    }

    /// Lower-case hex.
    pub(super) fn sha256(&self) -> String {
        self.hash.iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

/// Most bytes of a stream beside the files themselves: headers, padding, folders, extended headers.
const OVERHEAD: u64 = 256 * 1024 * 1024;
/// Largest long name or extended header; it is read into memory.
const EXTENSION_MAX: u64 = 64 * 1024;
/// Most entries that are no files: folders and headers.
const OTHERS_MAX: usize = 200_000;

fn invalid(reason: impl Into<String>) -> BuildError {
    BuildError::OutputInvalid { reason: reason.into() }
}

fn unreadable(error: io::Error) -> BuildError {
    BuildError::failed("read the finished site", error)
}

/// Unpacks `tar` into the folder `to` and answers what was written, by path.
pub(super) fn unpack(
    tar: impl Read,
    to: &Path,
    inside: Option<&str>,
    limits: Limits,
    cancel: &CancellationToken,
) -> Result<BTreeMap<String, Content>, BuildError> {
    let mut files = BTreeMap::new();
    let mut left = limits.bytes;
    // A stream that never ends must not keep us for ever.
    let mut archive = Archive::new(tar.take(limits.bytes.saturating_add(OVERHEAD)));
    let mut others = 0;
    let mut long_name = None;
    // Raw, because the reader would take names of any length into memory.
    for entry in archive.entries().map_err(unreadable)?.raw(true) {
        let mut entry = entry.map_err(unreadable)?;
        others += 1;
        if others > OTHERS_MAX {
            return Err(too_large("the number of entries in the finished site", OTHERS_MAX.to_string()));
        }
        if is_extension(&entry) {
            long_name = read_extension(&mut entry)?.or(long_name);
            continue;
        }
        let name = long_name.take().unwrap_or_else(|| entry.path_bytes().into_owned());
        let Some(path) = check_entry(&entry, &name, inside)? else { continue };
        if files.len() >= limits.files {
            return Err(too_large("the number of files in the finished site", limits.files.to_string()));
        }
        if entry.size() > left {
            let limit = havre_core::quantity::ByteSize::bytes(limits.bytes).to_string();
            return Err(too_large("the finished site", limit));
        }
        left -= entry.size();
        let size = entry.size();
        let written =
            write_file(&mut entry, &to.join(&path), cancel).map_err(|error| match error.kind() {
                ErrorKind::AlreadyExists | ErrorKind::NotADirectory | ErrorKind::IsADirectory => {
                    invalid(format!("{} is there twice", show(&name)))
                }
                _ => BuildError::failed(format!("write {} of the finished site", show(&name)), error),
            })?;
        let content = written.ok_or(BuildError::Cancelled)?;
        if content.length != size {
            return Err(unreadable(ErrorKind::UnexpectedEof.into()));
        }
        files.insert(path, content);
    }
    Ok(files)
}

fn is_extension<R: Read>(entry: &Entry<'_, R>) -> bool {
    let kind = entry.header().entry_type();
    kind.is_gnu_longname()
        || kind.is_gnu_longlink()
        || kind.is_pax_local_extensions()
        || kind.is_pax_global_extensions()
}

/// The name an extended header gives to the entry after it.
fn read_extension<R: Read>(entry: &mut Entry<'_, R>) -> Result<Option<Vec<u8>>, BuildError> {
    let kind = entry.header().entry_type();
    if entry.size() > EXTENSION_MAX {
        return Err(invalid("it holds a name or an extended header of more than 64 KiB"));
    }
    let mut bytes = Vec::new();
    entry.read_to_end(&mut bytes).map_err(unreadable)?;
    if kind.is_gnu_longname() {
        while bytes.last() == Some(&0) {
            bytes.pop();
        }
        return Ok(Some(bytes));
    }
    if !kind.is_pax_local_extensions() {
        return Ok(None);
    }
    let mut name = None;
    for record in PaxExtensions::new(&bytes) {
        let record = record.map_err(unreadable)?;
        match record.key_bytes() {
            b"path" => name = Some(record.value_bytes().to_owned()),
            // A second size would let two readers see two archives.
            b"size" => return Err(invalid("it holds an entry whose size is given twice")),
            _ => {}
        }
    }
    Ok(name)
}

fn too_large(what: &str, limit: String) -> BuildError {
    BuildError::TooLarge { what: what.to_owned(), limit }
}

/// The path of a file, `None` for a folder: folders appear with their files.
fn check_entry<R: Read>(
    entry: &Entry<'_, R>,
    name: &[u8],
    inside: Option<&str>,
) -> Result<Option<String>, BuildError> {
    let kind = entry.header().entry_type();
    let parts = parse_path(name).map_err(invalid)?;
    let parts = match inside {
        None => parts.as_slice(),
        Some(folder) if parts.first() == Some(&folder) => &parts[1..],
        Some(_) => return Err(invalid(format!("{} lies outside of it", show(name)))),
    };
    match kind {
        EntryType::Directory => return Ok(None),
        EntryType::Regular | EntryType::Continuous => {}
        EntryType::Symlink | EntryType::Link => {
            return Err(invalid(format!("{} is a link; only plain files can be served", show(name))));
        }
        _ => return Err(invalid(format!("{} is neither a file nor a folder", show(name)))),
    }
    if parts.is_empty() {
        return Err(invalid(format!("{} is a file, not a folder", show(name))));
    }
    let path = parts.join("/");
    if path.chars().any(char::is_control) {
        return Err(invalid(format!("{} contains a control character", show(name))));
    }
    Ok(Some(path))
}

/// Writes one file; `None` when it was cancelled.
fn write_file(input: &mut impl Read, path: &Path, cancel: &CancellationToken) -> io::Result<Option<Content>> {
    fs::create_dir_all(path.parent().unwrap_or(Path::new(".")))?;
    let mut file = OpenOptions::new().write(true).create_new(true).open(path)?;
    let mut hash = Sha256::new();
    let mut length = 0;
    let mut buffer = vec![0; 64 * 1024];
    loop {
        if cancel.is_cancelled() {
            return Ok(None);
        }
        let count = match input.read(&mut buffer) {
            Ok(0) => break,
            Ok(count) => count,
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        hash.update(&buffer[..count]);
        file.write_all(&buffer[..count])?;
        length += count as u64;
    }
    Ok(Some(Content { length, hash: hash.finalize().into() }))
}

/// The digest of a site, see the module above.
pub(super) fn digest(files: &BTreeMap<String, Content>) -> Digest {
    let mut hash = Sha256::new();
    hash.update(b"havre-site-1\n");
    for (path, content) in files {
        hash.update((path.len() as u64).to_le_bytes());
        hash.update(path.as_bytes());
        hash.update(content.length.to_le_bytes());
        hash.update(content.hash);
    }
    let hex: String = hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
    hex.parse().expect("64 hex digits are a digest")
}

/// Sets the modes the edge needs, whatever our umask is, and makes everything survive a power cut.
pub(super) fn seal(dir: &Path) -> io::Result<()> {
    set_modes(dir)?;
    // One call for the whole file system: thousands of small files would cost a disk flush each.
    rustix::fs::syncfs(File::open(dir)?)?;
    Ok(())
}

fn set_modes(dir: &Path) -> io::Result<()> {
    // Depth is bounded by the longest path that was let in.
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            set_modes(&entry.path())?;
        } else {
            fs::set_permissions(entry.path(), Permissions::from_mode(0o644))?;
        }
    }
    fs::set_permissions(dir, Permissions::from_mode(0o755))
}
