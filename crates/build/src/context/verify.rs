//! Walks an uploaded tar without unpacking it. Tests in `tests/it/context.rs`.

use std::collections::HashSet;
use std::fs::File;
use std::io::{BufReader, Read, Seek, SeekFrom};
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use tar::{Archive, Entry, EntryType, PaxExtensions};

use super::{ENTRIES_MAX, LINKS_MAX};
use crate::builder::BuildError;
use crate::entry::{link_stays_inside, parse_path, show};

/// Largest long-name or extended header. A path is at most 1024 bytes; the rest is room for times and attributes.
const EXTENSION_MAX: u64 = 64 * 1024;
const BLOCK: u64 = 512;

fn invalid(reason: impl Into<String>) -> BuildError {
    BuildError::ContextInvalid { reason: reason.into() }
}

fn unreadable(error: std::io::Error) -> BuildError {
    match error.kind() {
        // The tar reader reports a malformed archive so.
        std::io::ErrorKind::Other | std::io::ErrorKind::InvalidData | std::io::ErrorKind::UnexpectedEof => {
            invalid(format!("it is not a whole tar archive ({error})"))
        }
        _ => BuildError::failed("read the uploaded context", error),
    }
}

/// Checks that the file is a whole plain tar archive whose every entry stays inside.
pub(super) fn verify(file: &File) -> Result<(), BuildError> {
    check_shape(file)?;
    let mut archive = open(file)?;
    let mut links: HashSet<String> = HashSet::new();
    for entry in archive.entries_with_seek().map_err(unreadable)? {
        let entry = entry.map_err(unreadable)?;
        let name = entry.path_bytes();
        let parts = parse_path(&name).map_err(invalid)?;
        let kind = entry.header().entry_type();
        if (1..parts.len()).any(|depth| links.contains(&parts[..depth].join("/"))) {
            return Err(invalid(format!("{} lies behind a link", show(&name))));
        }
        match kind {
            EntryType::Regular | EntryType::Continuous | EntryType::Directory => continue,
            EntryType::XGlobalHeader => continue,
            EntryType::Symlink | EntryType::Link => {}
            _ => return Err(invalid(format!("{} is neither a file, a folder nor a link", show(&name)))),
        }
        let target = entry.link_name_bytes().unwrap_or_default();
        let inside = match kind {
            EntryType::Symlink => link_stays_inside(&parts, &target),
            // A hard link names its target from the root of the archive.
            _ => parse_path(&target).is_ok(),
        };
        if !inside || parts.is_empty() {
            return Err(invalid(format!(
                "the link {} leads to {}, outside of the context",
                show(&name),
                show(&target)
            )));
        }
        if kind == EntryType::Symlink {
            links.insert(parts.join("/"));
        }
        if links.len() > LINKS_MAX {
            return Err(BuildError::TooLarge {
                what: "the number of links in the context".to_owned(),
                limit: LINKS_MAX.to_string(),
            });
        }
    }
    Ok(())
}

/// Whether the context holds a plain file, or a link, of that path.
pub(crate) fn contains_file(context: &Path, wanted: &str) -> Result<bool, BuildError> {
    let file = File::open(context).map_err(|error| BuildError::failed("open the uploaded context", error))?;
    let wanted = parse_path(wanted.as_bytes()).map_err(invalid)?;
    let mut archive = open(&file)?;
    for entry in archive.entries_with_seek().map_err(unreadable)? {
        let entry = entry.map_err(unreadable)?;
        let is_folder = entry.header().entry_type() == EntryType::Directory;
        if !is_folder && parse_path(&entry.path_bytes()).is_ok_and(|parts| parts == wanted) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// The text of a plain file of the context; `None` where there is none of that path, where it is a link or no UTF-8, and where it
/// has more than `limit` bytes.
///
/// # Errors
/// When the context cannot be read.
pub fn read_text(context: &Path, wanted: &str, limit: u64) -> Result<Option<String>, BuildError> {
    let file = File::open(context).map_err(|error| BuildError::failed("open the uploaded context", error))?;
    let wanted = parse_path(wanted.as_bytes()).map_err(invalid)?;
    let mut archive = open(&file)?;
    for entry in archive.entries_with_seek().map_err(unreadable)? {
        let entry = entry.map_err(unreadable)?;
        if !parse_path(&entry.path_bytes()).is_ok_and(|parts| parts == wanted) {
            continue;
        }
        let is_plain = matches!(entry.header().entry_type(), EntryType::Regular | EntryType::Continuous);
        if !is_plain || entry.size() > limit {
            return Ok(None);
        }
        let mut bytes = Vec::new();
        entry.take(limit).read_to_end(&mut bytes).map_err(unreadable)?;
        return Ok(String::from_utf8(bytes).ok());
    }
    Ok(None)
}

fn open(file: &File) -> Result<Archive<BufReader<&File>>, BuildError> {
    let mut reader = BufReader::new(file);
    reader
        .seek(SeekFrom::Start(0))
        .map_err(|error| BuildError::failed("read the uploaded context", error))?;
    Ok(Archive::new(reader))
}

/// First pass over the bare headers: bounds what the second one reads into memory, and finds an upload that was cut
/// off, which a reader that seeks over contents cannot see.
fn check_shape(file: &File) -> Result<(), BuildError> {
    let failed = |error| BuildError::failed("read the uploaded context", error);
    let length = file.metadata().map_err(failed)?.len();
    let mut magic = [0; 2];
    if file.read_exact_at(&mut magic, 0).is_err() {
        return Err(invalid("it is empty"));
    }
    if magic == [0x1f, 0x8b] {
        return Err(invalid("it is compressed; a plain tar archive is expected"));
    }
    let mut archive = open(file)?;
    let mut end = 0;
    for (count, entry) in archive.entries_with_seek().map_err(unreadable)?.raw(true).enumerate() {
        let mut entry = entry.map_err(unreadable)?;
        if count >= ENTRIES_MAX {
            return Err(BuildError::TooLarge {
                what: "the number of entries in the context".to_owned(),
                limit: ENTRIES_MAX.to_string(),
            });
        }
        end = entry.raw_file_position().saturating_add(entry.size().next_multiple_of(BLOCK));
        if end > length {
            return Err(invalid("it is not a whole tar archive (cut off)"));
        }
        check_extension(&mut entry)?;
    }
    // Two blocks of zeros end an archive; one is the least that every reader asks for.
    let mut last = [1; BLOCK as usize];
    if file.read_exact_at(&mut last, end).is_err() || last.iter().any(|byte| *byte != 0) {
        return Err(invalid("it is not a whole tar archive (cut off)"));
    }
    Ok(())
}

fn check_extension(entry: &mut Entry<'_, BufReader<&File>>) -> Result<(), BuildError> {
    let kind = entry.header().entry_type();
    let is_pax = kind.is_pax_local_extensions() || kind.is_pax_global_extensions();
    if !is_pax && !kind.is_gnu_longname() && !kind.is_gnu_longlink() {
        return Ok(());
    }
    if entry.size() > EXTENSION_MAX {
        return Err(invalid("it holds a name or an extended header of more than 64 KiB"));
    }
    if !is_pax {
        return Ok(());
    }
    // Read by hand: the reader of extensions is for entries that were not asked for raw.
    let mut records = Vec::new();
    entry.read_to_end(&mut records).map_err(unreadable)?;
    for record in PaxExtensions::new(&records) {
        // A second size would let two readers see two archives. It is needed past 8 GB only.
        if record.map_err(unreadable)?.key_bytes() == b"size" {
            return Err(invalid("it holds an entry whose size is given twice"));
        }
    }
    Ok(())
}
