//! The platform: a copy of the store and the configuration files, as one tar. The master key is never in it: who has both has everything,
//! and who has only this has nothing that is sealed. Neither are sites, images, or sources: those are made again. The copy lies in a private
//! file while it is read, which goes whatever happens; one that `kill -9` has left goes when Havre starts.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use bytes::Bytes;
use havre_core::backup::state::Exit;
use havre_core::name::TargetName;
use havre_reconcile::deployment::chain;
use havre_reconcile::world::PlatformFiles;
use tokio::sync::mpsc;

use super::Produced;
use crate::backup::stream::{Sink, Unread};
use crate::world::World;

/// What names of copies begin with.
const PREFIX: &str = "platform-";
/// Pieces of the tar on their way to the repository.
const PIECES: usize = 8;
/// Bytes of one piece.
const PIECE: usize = 128 * 1024;
/// Largest configuration file.
const CONFIG_MAX: u64 = 16 * 1024 * 1024;

/// Folders in folders of configuration.
const DEPTH_MAX: usize = 8;

/// What somebody reads who opens the tar.
const README: &str = "The state of a Havre server: store.sqlite is its store, etc/ its configuration.\n\
    \n\
    Secrets in the store are sealed with the master key, which is not in here: it lies at /etc/havre/master.key of the server, or where you\n\
    keep your copy of it.\n\
    \n\
    `havred recover` goes on with this state on an empty server. Do not start Havre over this store by hand: its databases would not be\n\
    there, and it would make empty ones.\n";

/// A file that goes when this is dropped.
struct Temporary(PathBuf);

impl Drop for Temporary {
    fn drop(&mut self) {
        match std::fs::remove_file(&self.0) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                tracing::warn!(%error, path = %self.0.display(), "could not remove a copy of the store; the next start does");
            }
            _ => {}
        }
    }
}

pub(super) async fn produce(
    world: &World,
    target: &TargetName,
    mut sink: Sink<'_>,
) -> Result<Produced, Unread> {
    let copy = Temporary(world.settings.backup_dir.join(format!("{PREFIX}{target}.sqlite")));
    // One of an earlier run to this target that was killed.
    let _ = tokio::fs::remove_file(&copy.0).await;
    if let Err(error) = world.store.copy_to(copy.0.clone()).await {
        return Ok(Produced::failed(sink, chain(&error)));
    }
    let (sender, mut pieces) = mpsc::channel(PIECES);
    let files = world.settings.platform.clone();
    let written = tokio::task::spawn_blocking(move || {
        // Owned here, so that the file is there as long as somebody reads it.
        let held = copy;
        write(&held.0, &files, Pieces { sender, held: Vec::with_capacity(PIECE) })
    });
    while let Some(piece) = pieces.recv().await {
        sink.take(&piece).await?;
    }
    let exit = match written.await {
        Ok(Ok(())) => Exit::Succeeded,
        Ok(Err(error)) => Exit::Failed { reason: format!("could not pack the state of Havre: {error}") },
        Err(error) => Exit::Failed { reason: format!("packing the state of Havre broke off: {error}") },
    };
    // The name of the first file of the tar.
    let ended = Produced::ended(sink, exit, &[b"README"]);
    let version = format!("Havre {}", env!("CARGO_PKG_VERSION"));
    Ok(Produced { version, rows: BTreeMap::new(), ..ended })
}

/// Hands what is written over, in pieces of some size.
struct Pieces {
    sender: mpsc::Sender<Bytes>,
    held: Vec<u8>,
}

impl Write for Pieces {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.held.extend_from_slice(bytes);
        if self.held.len() >= PIECE {
            self.flush()?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        if self.held.is_empty() {
            return Ok(());
        }
        let piece = Bytes::from(std::mem::replace(&mut self.held, Vec::with_capacity(PIECE)));
        self.sender.blocking_send(piece).map_err(|_| io::Error::other("nobody reads it any more"))
    }
}

fn write(copy: &Path, files: &PlatformFiles, pieces: Pieces) -> io::Result<()> {
    let mut tar = tar::Builder::new(pieces);
    add(&mut tar, "README", README.as_bytes())?;
    for path in &files.config {
        let Some(name) = path.file_name().and_then(|name| name.to_str()) else { continue };
        add_config(&mut tar, path, &format!("etc/{name}"), files)?;
    }
    let size = std::fs::metadata(copy)?.len();
    tar.append_data(&mut header(size), "store.sqlite", std::fs::File::open(copy)?)?;
    tar.into_inner()?.flush()
}

/// A configuration file, or a folder of them; one that is not there is none.
fn add_config<W: Write>(
    tar: &mut tar::Builder<W>,
    path: &Path,
    name: &str,
    files: &PlatformFiles,
) -> io::Result<()> {
    if name.matches('/').count() > DEPTH_MAX {
        return Err(io::Error::other(format!("{} lies too deep, or in itself", path.display())));
    }
    // By what it is and not by how it is called: a link to the key is the key.
    let real = match std::fs::canonicalize(path) {
        Ok(real) => real,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(at(path, &error)),
    };
    if std::fs::canonicalize(&files.never).is_ok_and(|never| never == real) {
        return Ok(());
    }
    let found = std::fs::metadata(&real).map_err(|error| at(path, &error))?;
    if found.is_dir() {
        let mut inside = std::fs::read_dir(&real)
            .and_then(|entries| entries.collect::<io::Result<Vec<_>>>())
            .map_err(|error| at(path, &error))?;
        inside.sort_by_key(std::fs::DirEntry::file_name);
        for entry in inside {
            let below = entry.file_name();
            let Some(below) = below.to_str() else { continue };
            add_config(tar, &entry.path(), &format!("{name}/{below}"), files)?;
        }
        return Ok(());
    }
    if !found.is_file() || found.len() > CONFIG_MAX {
        return Err(io::Error::other(format!("{} is no configuration file", path.display())));
    }
    add(tar, name, &std::fs::read(&real).map_err(|error| at(path, &error))?)
}

fn at(path: &Path, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("read {}: {error}", path.display()))
}

fn add<W: Write>(tar: &mut tar::Builder<W>, name: &str, bytes: &[u8]) -> io::Result<()> {
    tar.append_data(&mut header(bytes.len() as u64), name, bytes)
}

/// Of a file for its owner only. Without a time: the same files give the same bytes.
fn header(size: u64) -> tar::Header {
    let mut header = tar::Header::new_gnu();
    header.set_entry_type(tar::EntryType::Regular);
    header.set_mode(0o600);
    header.set_mtime(0);
    header.set_size(size);
    header
}

/// Removes copies that a Havre that was killed has left. Nobody else writes into that folder.
pub(in crate::backup) async fn remove_leftovers(folder: &Path) -> io::Result<()> {
    let mut entries = match tokio::fs::read_dir(folder).await {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    while let Some(entry) = entries.next_entry().await? {
        if entry.file_name().to_str().is_some_and(|name| name.starts_with(PREFIX)) {
            tokio::fs::remove_file(entry.path()).await?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use super::*;

    #[test]
    fn the_key_is_never_in_it() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        std::fs::create_dir(at("purge")).unwrap();
        for (name, text) in [
            ("copy", "a store"),
            ("havred.toml", "[control]"),
            ("master.key", "planted"),
            ("purge/token", "x"),
        ] {
            std::fs::write(at(name), text).unwrap();
        }
        std::os::unix::fs::symlink(at("master.key"), at("purge/linked")).unwrap();
        let config = ["havred.toml", "purge", "master.key", "missing"].map(at).into();
        let files = PlatformFiles { config, never: at("master.key") };
        let (sender, mut received) = mpsc::channel(1000);
        write(&at("copy"), &files, Pieces { sender, held: Vec::new() }).unwrap();
        let mut bytes = Vec::new();
        while let Ok(piece) = received.try_recv() {
            bytes.extend_from_slice(&piece);
        }
        assert!(bytes.starts_with(b"README"));
        let mut found = Vec::new();
        for entry in tar::Archive::new(bytes.as_slice()).entries().unwrap() {
            let mut entry = entry.unwrap();
            let mut text = String::new();
            entry.read_to_string(&mut text).unwrap();
            assert!(!text.contains("planted"));
            found.push(entry.path().unwrap().display().to_string());
        }
        assert_eq!(found, ["README", "etc/havred.toml", "etc/purge/token", "store.sqlite"]);
    }
}
