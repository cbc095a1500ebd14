//! Files that are replaced whole: after a crash at any moment there is the old one or the new one. For the edge's own
//! state, readable by its user alone. Tests: `control/saved.rs`, `certificate/folder.rs`.

use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

/// Replaces `folder/name` by `bytes`, through `folder/name.new`.
pub(crate) fn replace(folder: &Path, name: &str, bytes: &[u8]) -> io::Result<()> {
    let new = folder.join(format!("{name}.new"));
    let written = (|| {
        let mut file = OpenOptions::new().create(true).truncate(true).write(true).mode(0o600).open(&new)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        std::fs::rename(&new, folder.join(name))?;
        File::open(folder)?.sync_all()
    })();
    if written.is_err() {
        // Gives a full disk its space back; if that fails too, the next attempt truncates it.
        let _ = std::fs::remove_file(&new);
    }
    written
}
