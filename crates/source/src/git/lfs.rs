//! Contents of Git LFS on this machine's disk, by the SHA-256 they have: those that were pushed to a project, and those that were fetched for its
//! pipelines. A content appears under its name by rename, when all of it is there and on the disk, so that `kill -9` leaves at most a part of
//! one, which the next start removes. What is read out is compared with its name; what is damaged goes. How much is kept, and for how long, is
//! decided in `havre_decide::source::lfs`. Tests: at the end of the file.

use std::fmt::Write as _;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, ErrorKind, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use havre_core::artifact::Digest;
use havre_core::name::ProjectName;
use havre_core::time::Timestamp;
use sha2::{Digest as _, Sha256};
use tokio::io::AsyncWriteExt as _;
use tokio::sync::mpsc;

use super::repository::{blocking, remove_all};
use crate::error::SourceError;

/// Contents on their way in.
const PARTS: &str = "part";
/// Bytes that are read at once.
const CHUNK: usize = 256 * 1024;
/// So often, in bytes, it is looked whether the disk still has room.
const LOOK: u64 = 64 * 1024 * 1024;

/// Names of parts; unique within the process, and they are removed at its start.
static NEXT: AtomicU64 = AtomicU64::new(1);

/// Which of the two kinds a content is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shelf {
    /// It was pushed here: there may be no other copy.
    Pushed,
    /// It was fetched for a pipeline: it can be fetched again.
    Fetched,
}

impl Shelf {
    const fn folder(self) -> &'static str {
        match self {
            Self::Pushed => "pushed",
            Self::Fetched => "fetched",
        }
    }
}

/// A content that was fetched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FetchedContent {
    /// For which project.
    pub project: ProjectName,
    /// Its name.
    pub oid: Digest,
    /// Its bytes.
    pub bytes: u64,
    /// When it was last read out.
    pub used_at: Timestamp,
}

/// How much may be taken.
#[derive(Debug, Clone, Copy)]
pub struct Room {
    /// Most contents that were pushed to a project.
    pub contents: usize,
    /// Most bytes of all contents that were pushed to a project.
    pub project: u64,
    /// Bytes of the disk that stay free.
    pub floor: u64,
}

/// The folder of all contents. Cheap to clone.
#[derive(Debug, Clone)]
pub struct LfsFolder {
    folder: PathBuf,
}

impl LfsFolder {
    /// Makes the folder where there is none, and removes what a crash has left half-way. Blocks; for the start, and only while no other process
    /// uses it.
    ///
    /// # Errors
    /// [`SourceError::Failed`] when it cannot be used.
    pub fn open(folder: impl Into<PathBuf>) -> Result<Self, SourceError> {
        let folder = folder.into();
        let failed = |error| SourceError::failed(format!("prepare the folder {}", folder.display()), error);
        make(&folder).map_err(failed)?;
        remove_all(&folder.join(PARTS)).map_err(failed)?;
        make(&folder.join(PARTS)).map_err(failed)?;
        Ok(Self { folder })
    }

    /// How many bytes each of these contents has that were pushed to a project, in their order; `None` for one that is not here.
    ///
    /// # Errors
    /// [`SourceError::Failed`]
    pub async fn find(
        &self,
        project: &ProjectName,
        oids: &[Digest],
    ) -> Result<Vec<Option<u64>>, SourceError> {
        let places: Vec<PathBuf> = oids.iter().map(|oid| self.place(Shelf::Pushed, project, oid)).collect();
        blocking("look for contents of Git LFS", move || places.iter().map(|place| length(place)).collect())
            .await
    }

    /// Bytes that may still be pushed to a project.
    ///
    /// # Errors
    /// [`SourceError::Failed`]
    pub async fn room(&self, project: &ProjectName, room: Room) -> Result<u64, SourceError> {
        let (folder, own) = (self.folder.clone(), self.of_project(Shelf::Pushed, project));
        let work = move || -> io::Result<u64> {
            let files = files(&own)?;
            if files.len() >= room.contents {
                return Ok(0);
            }
            let used = files.iter().map(|(_, bytes, _)| *bytes).fold(0, u64::saturating_add);
            Ok(room.project.saturating_sub(used).min(free(&folder)?.saturating_sub(room.floor)))
        };
        blocking("look how much room contents of Git LFS have", work).await
    }

    /// Bytes of the disk that are free.
    ///
    /// # Errors
    /// [`SourceError::Failed`]
    pub async fn free(&self) -> Result<u64, SourceError> {
        let folder = self.folder.clone();
        blocking("look how much of the disk is free", move || free(&folder)).await
    }

    /// Takes a content that is pushed, of exactly so many bytes. Dropped, nothing of it stays.
    ///
    /// # Errors
    /// [`SourceError::Refused`] for bytes that are not the content; [`SourceError::TooLarge`] where a project has no room for it;
    /// [`SourceError::NoSpace`]; [`SourceError::Cancelled`] when whoever sends breaks off.
    pub async fn take(
        &self,
        project: &ProjectName,
        (oid, bytes): (&Digest, u64),
        room: Room,
        input: &mut mpsc::Receiver<io::Result<Bytes>>,
    ) -> Result<(), SourceError> {
        let what = format!("take the content {} of Git LFS for {project}", oid.short());
        // One without bytes needs room as well.
        if self.room(project, room).await? < bytes.max(1) {
            return Err(match self.free().await? {
                free if free < bytes.saturating_add(room.floor) => {
                    SourceError::NoSpace { what: what.clone() }
                }
                _ => SourceError::too_large(
                    format!("what was pushed to {project} with Git LFS, together with {bytes} bytes more,"),
                    format!("{} bytes in {} contents", room.project, room.contents),
                ),
            });
        }
        let part = self.part();
        let open = tokio::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&part.0).await;
        let failed = |error: io::Error| SourceError::failed(&what, error);
        let mut file = open.map_err(failed)?;
        let (mut hash, mut come, mut looked) = (Sha256::new(), 0_u64, 0_u64);
        while let Some(chunk) = input.recv().await {
            let chunk = chunk.map_err(|_| SourceError::Cancelled)?;
            come = come.saturating_add(chunk.len() as u64);
            if come > bytes {
                return Err(wrong(oid, &format!("it has more than the {bytes} bytes that were announced")));
            }
            hash.update(&chunk);
            file.write_all(&chunk).await.map_err(failed)?;
            if come - looked > LOOK {
                looked = come;
                if self.free().await? < room.floor {
                    return Err(SourceError::NoSpace { what: what.clone() });
                }
            }
        }
        if come < bytes {
            return Err(wrong(oid, &format!("only {come} of the {bytes} bytes came that were announced")));
        }
        let found = digits(hash);
        if found != oid.hex() {
            return Err(wrong(oid, &format!("what came is {found}")));
        }
        file.flush().await.map_err(failed)?;
        file.sync_all().await.map_err(failed)?;
        let place = self.place(Shelf::Pushed, project, oid);
        blocking(&what, move || publish(&part.0, &place)).await
    }

    /// A content that was pushed, to be read, and its bytes.
    ///
    /// # Errors
    /// [`SourceError::Failed`]
    pub async fn read(
        &self,
        project: &ProjectName,
        oid: &Digest,
    ) -> Result<Option<(tokio::fs::File, u64)>, SourceError> {
        let place = self.place(Shelf::Pushed, project, oid);
        let work = move || match File::open(&place) {
            Ok(file) => file.metadata().map(|about| Some((file, about.len()))),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        };
        let found = blocking(&format!("read the content {} of Git LFS", oid.short()), work).await?;
        Ok(found.map(|(file, bytes)| (tokio::fs::File::from_std(file), bytes)))
    }

    /// Keeps a copy of a content that was fetched and lies in this file, which somebody has compared with its name.
    ///
    /// # Errors
    /// [`SourceError::Failed`], [`SourceError::NoSpace`]
    pub async fn keep(&self, project: &ProjectName, oid: &Digest, from: &Path) -> Result<(), SourceError> {
        let (part, place) = (self.part(), self.place(Shelf::Fetched, project, oid));
        let from = from.to_owned();
        let what = format!("keep the content {} of Git LFS", oid.short());
        blocking(&what, move || {
            let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&part.0)?;
            io::copy(&mut File::open(&from)?, &mut file)?;
            file.sync_all()?;
            publish(&part.0, &place)
        })
        .await
    }

    /// Writes a content of so many bytes to `target`, which appears only when all of it is there and is what its name says; whether there was one. A
    /// damaged one is removed: it has to be pushed or fetched again.
    ///
    /// # Errors
    /// [`SourceError::Failed`], [`SourceError::NoSpace`]
    pub async fn copy(
        &self,
        (shelf, project): (Shelf, &ProjectName),
        (oid, bytes): (&Digest, u64),
        target: &Path,
        now: Timestamp,
    ) -> Result<bool, SourceError> {
        let place = self.place(shelf, project, oid);
        let (oid, target) = (oid.clone(), target.to_owned());
        let what = format!("read the content {} of Git LFS", oid.short());
        blocking(&what, move || copy(&place, (&oid, bytes), &target, now)).await
    }

    /// Contents that were fetched and are still here.
    ///
    /// # Errors
    /// [`SourceError::Failed`]
    pub async fn list_fetched(&self) -> Result<Vec<FetchedContent>, SourceError> {
        let folder = self.folder.join(Shelf::Fetched.folder());
        blocking("list contents of Git LFS", move || {
            let mut found = Vec::new();
            for (project, path) in folders(&folder)? {
                let Ok(project) = project.parse::<ProjectName>() else { continue };
                for (oid, bytes, used_at) in files(&path)? {
                    found.push(FetchedContent { project: project.clone(), oid, bytes, used_at });
                }
            }
            Ok(found)
        })
        .await
    }

    /// Removes a content that was fetched; an absent one is fine. Whoever reads it now reads it to its end.
    ///
    /// # Errors
    /// [`SourceError::Failed`]
    pub async fn remove_fetched(&self, project: &ProjectName, oid: &Digest) -> Result<(), SourceError> {
        let place = self.place(Shelf::Fetched, project, oid);
        let what = format!("remove the content {} of Git LFS", oid.short());
        blocking(&what, move || remove_file(&place)).await
    }

    fn of_project(&self, shelf: Shelf, project: &ProjectName) -> PathBuf {
        self.folder.join(shelf.folder()).join(project.as_str())
    }

    /// Every part of it is of a closed type.
    fn place(&self, shelf: Shelf, project: &ProjectName, oid: &Digest) -> PathBuf {
        self.of_project(shelf, project).join(&oid.hex()[..2]).join(oid.hex())
    }

    fn part(&self) -> Part {
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        Part(self.folder.join(PARTS).join(number.to_string()))
    }
}

/// A content on its way in. Dropped, nothing of it stays.
struct Part(PathBuf);

impl Drop for Part {
    fn drop(&mut self) {
        // Once it has its name, nothing is here. What cannot be removed now is removed at the next start.
        if let Err(error) = remove_file(&self.0) {
            tracing::warn!(path = %self.0.display(), %error, "could not remove a part of a content of Git LFS");
        }
    }
}

fn wrong(oid: &Digest, why: &str) -> SourceError {
    SourceError::Refused { reason: format!("this is not the content {}: {why}; push it again", oid.hex()) }
}

fn digits(hash: Sha256) -> String {
    hash.finalize().iter().fold(String::with_capacity(64), |mut text, byte| {
        write!(text, "{byte:02x}").expect("a string takes everything");
        text
    })
}

/// Contents may be secret: nobody else reads them.
fn make(folder: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(folder)
}

/// Gives a part its name, so that it survives a power cut.
fn publish(part: &Path, place: &Path) -> io::Result<()> {
    let folder = place.parent().unwrap_or(place);
    make(folder)?;
    fs::rename(part, place)?;
    // The folders above may be new as well, each a name in the next one.
    for folder in folder.ancestors().take(4) {
        File::open(folder)?.sync_all()?;
    }
    Ok(())
}

fn copy(place: &Path, (oid, bytes): (&Digest, u64), target: &Path, now: Timestamp) -> io::Result<bool> {
    let mut from = match File::open(place) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(error),
    };
    if from.metadata()?.len() != bytes {
        return Ok(false);
    }
    let part = Part(target.with_extension("copy"));
    let mut to = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&part.0)?;
    let (mut hash, mut chunk) = (Sha256::new(), vec![0; CHUNK]);
    loop {
        let count = from.read(&mut chunk)?;
        if count == 0 {
            break;
        }
        hash.update(&chunk[..count]);
        to.write_all(&chunk[..count])?;
    }
    if digits(hash) != oid.hex() {
        tracing::error!(path = %place.display(), "a content of Git LFS is damaged on this server's disk; it is removed");
        remove_file(place)?;
        return Ok(false);
    }
    // How it is known what nobody uses; a disk that does not take it loses nothing but that.
    if let Err(error) = from.set_modified(instant(now)) {
        tracing::warn!(path = %place.display(), %error, "could not note the use of a content of Git LFS");
    }
    fs::rename(&part.0, target)?;
    Ok(true)
}

fn instant(at: Timestamp) -> SystemTime {
    UNIX_EPOCH + Duration::from_millis(u64::try_from(at.as_millis()).unwrap_or(0))
}

fn length(place: &Path) -> io::Result<Option<u64>> {
    match fs::metadata(place) {
        Ok(about) => Ok(Some(about.len())),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

fn remove_file(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
        Ok(()) | Err(_) => Ok(()),
    }
}

fn free(folder: &Path) -> io::Result<u64> {
    let about = rustix::fs::statvfs(folder)?;
    Ok(about.f_bavail.saturating_mul(about.f_frsize))
}

/// Names and paths of what is in a folder; nothing where there is none.
fn folders(folder: &Path) -> io::Result<Vec<(String, PathBuf)>> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let mut found = Vec::new();
    for entry in entries {
        let entry = entry?;
        found.extend(entry.file_name().into_string().ok().map(|name| (name, entry.path())));
    }
    Ok(found)
}

/// Contents of one project: their names, bytes, and when each was last used. One that goes meanwhile is left out.
fn files(folder: &Path) -> io::Result<Vec<(Digest, u64, Timestamp)>> {
    let mut found = Vec::new();
    for (_, inner) in folders(folder)? {
        for (name, path) in folders(&inner)? {
            let (Ok(oid), Ok(about)) = (name.parse::<Digest>(), fs::metadata(&path)) else { continue };
            let used_at = about.modified()?.duration_since(UNIX_EPOCH).unwrap_or_default();
            let used_at = Timestamp::from_millis(i64::try_from(used_at.as_millis()).unwrap_or(i64::MAX));
            found.push((oid, about.len(), used_at));
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HELLO: &str = "5891b5b522d5df086d0ff0b110fbd9d21bb4fc7163af34d08286a2e846f6be03";
    const ROOM: Room = Room { contents: 2, project: 100, floor: 0 };

    fn hello() -> Digest {
        HELLO.parse().expect("is a digest")
    }

    fn project() -> ProjectName {
        "dropit".parse().expect("is a name")
    }

    fn open() -> (tempfile::TempDir, LfsFolder) {
        let folder = tempfile::tempdir().expect("a folder");
        let lfs = LfsFolder::open(folder.path().join("lfs")).expect("is made");
        (folder, lfs)
    }

    async fn push(
        lfs: &LfsFolder,
        bytes: u64,
        room: Room,
        chunks: Vec<io::Result<Bytes>>,
    ) -> Result<(), SourceError> {
        let (sender, mut input) = mpsc::channel(8);
        for chunk in chunks {
            sender.send(chunk).await.expect("there is room");
        }
        drop(sender);
        lfs.take(&project(), (&hello(), bytes), room, &mut input).await
    }

    fn text(text: &'static str) -> io::Result<Bytes> {
        Ok(Bytes::from_static(text.as_bytes()))
    }

    fn parts(lfs: &LfsFolder) -> usize {
        fs::read_dir(lfs.folder.join(PARTS)).expect("is readable").count()
    }

    #[tokio::test]
    async fn what_is_pushed_is_found_and_read_back() {
        let (folder, lfs) = open();
        assert_eq!(lfs.find(&project(), &[hello()]).await.expect("a look"), [None]);
        push(&lfs, 6, ROOM, vec![text("hel"), text("lo\n")]).await.expect("is taken");
        // Once more, as by two who push at once.
        push(&lfs, 6, ROOM, vec![text("hello\n")]).await.expect("is taken");
        let other = "other".parse().expect("is a name");
        assert_eq!(lfs.find(&project(), &[hello()]).await.expect("a look"), [Some(6)]);
        assert_eq!(lfs.find(&other, &[hello()]).await.expect("a look"), [None], "it is that project's only");
        assert_eq!(lfs.room(&project(), ROOM).await.expect("a look"), 94);
        let (_, bytes) = lfs.read(&project(), &hello()).await.expect("a look").expect("is there");
        assert_eq!((bytes, parts(&lfs)), (6, 0));
        let target = folder.path().join("target");
        let copied =
            lfs.copy((Shelf::Pushed, &project()), (&hello(), 6), &target, Timestamp::default()).await;
        assert!(copied.expect("is read"));
        assert_eq!(fs::read(&target).expect("is there"), b"hello\n");
        let wrong = lfs.copy((Shelf::Pushed, &project()), (&hello(), 7), &target, Timestamp::default()).await;
        assert!(!wrong.expect("is read"), "of another size there is none");
    }

    #[tokio::test]
    async fn what_is_not_the_content_is_refused_and_leaves_nothing() {
        let (_folder, lfs) = open();
        let gone = || -> io::Result<Bytes> { Err(ErrorKind::UnexpectedEof.into()) };
        for (bytes, chunks, words) in [
            (6, vec![text("hallo\n")], "what came is"),
            (6, vec![text("hello")], "only 5 of the 6 bytes came"),
            (6, vec![text("hello\n"), text("!")], "more than the 6 bytes"),
            (6, vec![text("hel"), gone()], "it was cancelled"),
            (101, vec![text("hello\n")], "the limit is 100 bytes in 2 contents"),
        ] {
            let refused = push(&lfs, bytes, ROOM, chunks).await.expect_err("is refused");
            assert!(refused.to_string().contains(words) && refused.is_permanent(), "{refused}");
            assert_eq!(parts(&lfs), 0);
        }
        let none = Room { contents: 0, ..ROOM };
        let refused = push(&lfs, 6, none, vec![text("hello\n")]).await.expect_err("is refused");
        assert!(matches!(refused, SourceError::TooLarge { .. }), "{refused}");
        let full = Room { floor: u64::MAX, ..ROOM };
        let refused = push(&lfs, 6, full, vec![text("hello\n")]).await.expect_err("is refused");
        assert!(matches!(refused, SourceError::NoSpace { .. }), "{refused}");
        assert_eq!(lfs.find(&project(), &[hello()]).await.expect("a look"), [None]);
    }

    #[tokio::test]
    async fn a_damaged_content_is_removed_and_never_given_out() {
        let (folder, lfs) = open();
        push(&lfs, 6, ROOM, vec![text("hello\n")]).await.expect("is taken");
        fs::write(lfs.place(Shelf::Pushed, &project(), &hello()), "hallo\n").expect("is written");
        let target = folder.path().join("target");
        let copied =
            lfs.copy((Shelf::Pushed, &project()), (&hello(), 6), &target, Timestamp::default()).await;
        assert!(!copied.expect("is read") && !target.exists());
        assert_eq!(lfs.find(&project(), &[hello()]).await.expect("a look"), [None], "so it is sent again");
        assert_eq!(fs::read_dir(folder.path()).expect("is readable").count(), 1, "no copy is left");
    }

    #[tokio::test]
    async fn what_is_fetched_is_kept_with_its_last_use() {
        let (folder, lfs) = open();
        let (from, target) = (folder.path().join("from"), folder.path().join("target"));
        fs::write(&from, "hello\n").expect("is written");
        assert_eq!(lfs.list_fetched().await.expect("a list"), []);
        lfs.keep(&project(), &hello(), &from).await.expect("is kept");
        let now = Timestamp::from_millis(1_795_514_400_000);
        let copied = lfs.copy((Shelf::Fetched, &project()), (&hello(), 6), &target, now).await;
        assert!(copied.expect("is read"));
        let expected = FetchedContent { project: project(), oid: hello(), bytes: 6, used_at: now };
        assert_eq!(lfs.list_fetched().await.expect("a list"), [expected]);
        assert_eq!(lfs.find(&project(), &[hello()]).await.expect("a look"), [None], "nobody has pushed it");
        for _ in 0..2 {
            lfs.remove_fetched(&project(), &hello()).await.expect("is removed");
        }
        assert_eq!(lfs.list_fetched().await.expect("a list"), []);
        assert_eq!(fs::read(&target).expect("is there"), b"hello\n");
    }

    #[tokio::test]
    async fn what_a_crash_has_left_half_way_goes_at_the_start() {
        let (folder, lfs) = open();
        push(&lfs, 6, ROOM, vec![text("hello\n")]).await.expect("is taken");
        fs::write(lfs.part().0.with_extension("killed"), "hel").expect("is written");
        assert_eq!(parts(&lfs), 1);
        let lfs = LfsFolder::open(folder.path().join("lfs")).expect("is opened");
        assert_eq!(parts(&lfs), 0);
        assert_eq!(lfs.find(&project(), &[hello()]).await.expect("a look"), [Some(6)]);
    }
}
