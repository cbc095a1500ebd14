//! Commits that submodules are at. They lie in a repository of their own inside of that of the project, without history: it is never served, its
//! shallow commits hold up no push, and it can go as a whole. Whoever reads what a commit holds finds its objects beside the others.
//! Tests: end to end, and the folder at the end of the file.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use havre_core::name::ProjectName;
use havre_core::quantity::ByteSize;
use havre_core::source::CommitId;
use tokio_util::sync::CancellationToken;

use super::GitSource;
use super::command::in_time;
use super::fetch::{FETCH_TIMEOUT, Place, clear, run_from, settings, size};
use super::refs;
use super::repository::{blocking, remove_all, tidy};
use crate::error::SourceError;
use crate::source::Remote;

/// Name of the folder inside of the repository of a project.
const FOLDER: &str = "havre-submodules";
/// Most bytes of all submodules of one project.
const ALL_MAX: ByteSize = ByteSize::mebibytes(4096);
/// What is left of them when the repository is packed anew: all, up to this size; else nothing, and the next commit fetches what it needs.
const KEPT_MAX: ByteSize = ByteSize::mebibytes(1024);
/// What git may say when it makes a repository.
const WORDS_MAX: u64 = 64 * 1024;

/// Who fetches into the submodules of which project: one at a time.
#[derive(Debug, Default)]
pub(super) struct Turns(Mutex<BTreeMap<ProjectName, Arc<tokio::sync::Mutex<()>>>>);

impl Turns {
    fn of(&self, repository: &ProjectName) -> Arc<tokio::sync::Mutex<()>> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(all.entry(repository.clone()).or_default())
    }
}

/// Where the objects of submodules are, as git reads it from its environment; `None` where there are none.
pub(super) fn objects(directory: &Path) -> Option<OsString> {
    let objects = folder(directory).join("objects");
    objects.is_dir().then(|| quote(&objects))
}

fn folder(directory: &Path) -> PathBuf {
    directory.join(FOLDER)
}

/// In quotes: a colon in a path would end it.
fn quote(path: &Path) -> OsString {
    let mut quoted = vec![b'"'];
    for byte in path.as_os_str().as_bytes() {
        if matches!(byte, b'"' | b'\\') {
            quoted.push(b'\\');
        }
        quoted.push(*byte);
    }
    quoted.push(b'"');
    OsString::from_vec(quoted)
}

/// Brings the commit here, unless it is here.
pub(super) async fn fetch(
    source: &GitSource,
    repository: &ProjectName,
    remote: &Remote,
    commit: &CommitId,
    cancel: &CancellationToken,
) -> Result<(), SourceError> {
    let what = format!("fetch commit {} of a submodule of {repository} from {}", commit.short(), remote.url);
    let directory = folder(&source.repositories.get(repository).await?);
    let turn = source.submodules.of(repository);
    let cancelled = || SourceError::Cancelled;
    let _turn = cancel.run_until_cancelled(turn.lock()).await.ok_or_else(cancelled)?;
    if has(source, &what, &directory, commit).await? {
        return Ok(());
    }
    make(source, &what, &directory).await?;
    let used = size(&what, directory.join("objects")).await?;
    let room = ALL_MAX.as_bytes().saturating_sub(used).min(source.max_push.as_bytes());
    if room == 0 {
        return Err(SourceError::too_large(
            format!("what is kept of the submodules of {repository}"),
            ALL_MAX,
        ));
    }
    let _place = cancel.run_until_cancelled(source.git.exchange()).await.ok_or_else(cancelled)?;
    let prepare = || {
        let mut command = source.git.command(&settings(remote));
        command.arg("--git-dir").arg(&directory);
        command.args(["fetch", "--quiet", "--depth=1", "--no-tags", "--no-recurse-submodules"]);
        command.args(["--no-write-fetch-head", "--force", "--", remote.url.as_str()]);
        command.arg(format!("+{commit}:refs/havre/submodule/{commit}"));
        command
    };
    let place = Place { what: &what, directory: &directory, limit: room };
    let work = in_time(&what, FETCH_TIMEOUT, run_from(source, repository, remote, prepare, place));
    let ended = cancel.run_until_cancelled(work).await.unwrap_or(Err(SourceError::Cancelled));
    if ended.is_err() {
        clear(&what, &directory).await?;
    }
    ended
}

/// Whether the commit is here.
async fn has(
    source: &GitSource,
    what: &str,
    directory: &Path,
    commit: &CommitId,
) -> Result<bool, SourceError> {
    let is_made = tokio::fs::try_exists(directory.join("HEAD")).await;
    if !is_made.map_err(|error| SourceError::failed(what, error))? {
        return Ok(false);
    }
    let asked = [refs::as_commit(commit.as_str())];
    let found = refs::look_up(&source.git, what, directory, &asked).await?;
    Ok(matches!(found.first(), Some(Some((id, _))) if id == commit.as_str()))
}

/// Makes the folder, or removes what a fetch that was killed has left in it: locks, and halves of packs.
async fn make(source: &GitSource, what: &str, directory: &Path) -> Result<(), SourceError> {
    let mut command = source.git.command(&[]);
    // Done twice, it changes nothing; done by halves, it is finished.
    command.args(["init", "--quiet", "--bare", "--template=", "--initial-branch=main"]);
    command.args(["--object-format=sha1", "--"]).arg(directory);
    let folder = directory.to_owned();
    blocking(what, move || tidy(&folder)).await?;
    clear(what, directory).await?;
    source.git.run(what, command, b"", WORDS_MAX).await.map(drop)
}

/// Removes all of them where they have become large. Whoever builds a commit just now may miss one then, and has to be asked again.
pub(super) async fn prune(source: &GitSource, repository: &ProjectName) -> Result<(), SourceError> {
    let what = format!("look through the submodules of {repository}");
    let Some(directory) = source.repositories.find(repository).await? else { return Ok(()) };
    let directory = folder(&directory);
    let turn = source.submodules.of(repository);
    // Somebody is fetching: another day.
    let Ok(_turn) = turn.try_lock() else { return Ok(()) };
    if size(&what, directory.join("objects")).await? <= KEPT_MAX.as_bytes() {
        return Ok(());
    }
    blocking(&what, move || remove_all(&directory)).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_folder_is_one_word_of_a_list() {
        let text = |path: &str| quote(Path::new(path)).into_string().expect("is text");
        assert_eq!(text("/srv/a b/shop.git"), "\"/srv/a b/shop.git\"");
        assert_eq!(text("/a:b/\"c\\"), "\"/a:b/\\\"c\\\\\"");
    }

    #[test]
    fn there_are_none_before_one_was_fetched() {
        let directory = tempfile::tempdir().expect("a folder");
        assert_eq!(objects(directory.path()), None);
        std::fs::create_dir_all(directory.path().join(FOLDER).join("objects")).expect("is made");
        assert!(objects(directory.path()).is_some());
    }
}
