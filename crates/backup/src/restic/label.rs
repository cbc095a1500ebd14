//! How a stream is described in a snapshot, and read from it again. What went in is in its tags, so that restic shows it and a printed page
//! is enough to compare: `havre:bytes:…` and `havre:sha256:…`. A snapshot without them is none of ours. Tests at the end of the file.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use havre_core::backup::Content;
use havre_core::time::Timestamp;
use rustic_core::jiff;
use rustic_core::jiff::tz::TimeZone;
use rustic_core::repofile::SnapshotFile;

use crate::name::{EntryName, Tag};
use crate::repository::{Entry, Snapshot};

/// Tag of what was stored and not read back yet. It is never listed.
pub(super) const PENDING: &str = "havre:pending";
const BYTES: &str = "havre:bytes:";
const SHA256: &str = "havre:sha256:";
/// The host of every snapshot: restic groups by it, and a restored machine has another name.
const HOST: &str = "havre";

/// Where the one file is in a snapshot.
pub(super) fn path(name: &EntryName) -> PathBuf {
    Path::new("/").join(name.as_str())
}

/// The same instant for the format; the epoch for one it cannot write.
pub(super) fn instant(at: Timestamp) -> jiff::Timestamp {
    jiff::Timestamp::from_millisecond(at.as_millis()).unwrap_or(jiff::Timestamp::UNIX_EPOCH)
}

/// The tags that say what went in.
pub(super) fn of_content(content: &Content) -> [String; 2] {
    [format!("{BYTES}{}", content.bytes), format!("{SHA256}{}", content.sha256.hex())]
}

/// A snapshot of this entry, with tags of ours besides its own.
pub(super) fn describe<const N: usize>(entry: &Entry, ours: [String; N]) -> SnapshotFile {
    let mut file = SnapshotFile {
        time: instant(entry.at).to_zoned(TimeZone::UTC),
        hostname: HOST.to_owned(),
        ..SnapshotFile::default()
    };
    for tag in entry.tags.iter().map(|tag| tag.as_str().to_owned()).chain(ours) {
        file.tags.add(tag);
    }
    file
}

/// Whether a snapshot, pending or not, is of this entry.
pub(super) fn is_of(file: &SnapshotFile, entry: &Entry) -> bool {
    let is_then = file.time.timestamp() == instant(entry.at);
    is_then && entry.tags.iter().all(|tag| file.tags.contains(tag.as_str()))
}

pub(super) fn is_pending(file: &SnapshotFile) -> bool {
    file.tags.contains(PENDING)
}

/// What a snapshot says, where it is one of ours that was read back.
pub(super) fn snapshot(file: &SnapshotFile) -> Option<Snapshot> {
    if is_pending(file) || *file.id == rustic_core::Id::default() {
        return None;
    }
    let said = |prefix: &str| file.tags.iter().find_map(|tag| tag.strip_prefix(prefix).map(str::to_owned));
    let content = Content { bytes: said(BYTES)?.parse().ok()?, sha256: said(SHA256)?.parse().ok()? };
    let tags: BTreeSet<Tag> = file.tags.iter().filter_map(|tag| tag.parse::<Tag>().ok()).collect();
    let name = file.paths.iter().next()?.strip_prefix('/')?.parse().ok()?;
    let at = Timestamp::from_millis(file.time.timestamp().as_millisecond());
    Some(Snapshot { id: file.id.to_hex().as_str().parse().ok()?, name, tags, at, content })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_said_is_read_again() {
        let entry = Entry {
            name: "db.dump".parse().expect("is a name"),
            tags: BTreeSet::from(["shop/production/db".parse().expect("is a tag")]),
            at: Timestamp::from_millis(1_763_978_400_123),
        };
        let content = Content { bytes: 7, sha256: "a".repeat(64).parse().expect("is a digest") };
        let mut file = describe(&entry, of_content(&content));
        file.paths.add("/db.dump".to_owned());
        assert_eq!(snapshot(&file), None, "nobody has written it");
        file.id = "1".repeat(64).parse::<rustic_core::Id>().expect("is an id").into();
        let found = snapshot(&file).expect("is one of ours");
        assert_eq!((found.name, found.tags, found.at), (entry.name.clone(), entry.tags.clone(), entry.at));
        assert_eq!(found.content, content);

        file.tags.add(PENDING.to_owned());
        assert_eq!(snapshot(&file), None, "nobody has read it back");
        let mut theirs = describe(&entry, []);
        theirs.paths.add("/db.dump".to_owned());
        theirs.id = file.id;
        assert_eq!(snapshot(&theirs), None, "somebody else's");
    }
}
