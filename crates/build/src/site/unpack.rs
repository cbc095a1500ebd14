//! Unpacks a tar stream that others made into an empty folder of ours: plain files only, bounded, with modes of our
//! own. Because no link is ever made, no path can lead out of the folder. Tests in `tests/it/site.rs`.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, ErrorKind, Read, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use havre_core::artifact::Digest;
use sha2::{Digest as _, Sha256};
use tar::{Archive, Entry, EntryType};
use tokio_util::sync::CancellationToken;

use super::Limits;
use crate::builder::BuildError;
use crate::entry::{parse_path, show};

/// Length and SHA-256 of one file.
pub(super) struct Content {
    length: u64,
    hash: [u8; 32],
}

/// Most bytes of a stream beside the files themselves: headers, padding, folders, extended headers.
const OVERHEAD: u64 = 256 * 1024 * 1024;

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
    for entry in archive.entries().map_err(unreadable)? {
        let mut entry = entry.map_err(unreadable)?;
        let name = entry.path_bytes().into_owned();
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
    if kind == EntryType::XGlobalHeader {
        return Ok(None);
    }
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
