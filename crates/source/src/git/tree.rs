//! What commits hold and how they differ: `ls-tree`, `diff-tree`. Tests: the parser at the end of the file, the rest in
//! `tests/it/contract.rs` and `tests/it/git.rs`.

use std::path::Path;

use havre_core::name::{ProjectName, RelativePath};
use havre_core::source::CommitId;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt, BufReader};

use super::command::{Git, Running, Unexpected, VERB_TIMEOUT, in_time};
use super::refs;
use crate::archive::CHUNK;
use crate::context::folder_of;
use crate::error::{SourceError, show};
use crate::source::CHANGED_PATHS_MAX;
use crate::tree::{ENTRIES_MAX, EntryKind, Tree, TreeEntry};

/// Most bytes of one listing: half a million entries of 250 bytes.
const LISTING_MAX: u64 = 128 * 1024 * 1024;
/// Most bytes of the paths that differ.
const CHANGES_MAX: u64 = 8 * 1024 * 1024;

/// Every entry below a folder of a commit.
pub(super) async fn list_tree(
    git: &Git,
    repository: &ProjectName,
    directory: &Path,
    commit: &CommitId,
    folder: &RelativePath,
) -> Result<Tree, SourceError> {
    let folder = folder_of(folder);
    let what = format!("list the files of commit {} of {repository}", commit.short());
    let described = refs::describe(git, repository, directory, commit).await?;
    let tree = if folder.is_empty() { commit.to_string() } else { format!("{commit}:{folder}") };
    if !folder.is_empty() {
        let found = refs::look_up(git, &what, directory, std::slice::from_ref(&tree)).await?;
        if !matches!(found.first(), Some(Some((_, kind))) if kind == "tree") {
            return Err(SourceError::PathMissing { commit: commit.clone(), path: folder });
        }
    }
    let mut command = git.reading(directory);
    command.args(["ls-tree", "-r", "-t", "-z", "-l", "--full-tree", "--", tree.as_str()]);
    let work = async {
        let _place = git.verb().await;
        let (running, pipes) = Running::spawn(&what, command)?;
        drop(pipes.input);
        let mut from = BufReader::with_capacity(CHUNK, AsyncReadExt::take(pipes.output, LISTING_MAX));
        let mut entries = Vec::new();
        let mut record = Vec::new();
        loop {
            record.clear();
            let read = from.read_until(0, &mut record).await;
            if read.map_err(|error| SourceError::failed(&what, error))? == 0 {
                break;
            }
            let is_cut = from.get_ref().limit() == 0 && record.last() != Some(&0);
            if is_cut || entries.len() == ENTRIES_MAX {
                let what = format!("commit {} of {repository}", commit.short());
                return Err(SourceError::too_large(what, format!("{ENTRIES_MAX} files and folders")));
            }
            let entry = parse(&record)
                .ok_or_else(|| SourceError::failed(&what, Unexpected(format!("with {}", show(&record)))))?;
            entries.push(entry);
        }
        running.finish(&what).await?;
        Ok(Tree::new(commit.clone(), described.committed_at, entries))
    };
    in_time(&what, VERB_TIMEOUT, work).await
}

/// `<mode> <type> <object> <size padded with spaces>\t<path>\0`; the size of what has none is `-`.
fn parse(record: &[u8]) -> Option<TreeEntry> {
    let record = record.strip_suffix(&[0])?;
    let tab = record.iter().position(|byte| *byte == b'\t')?;
    let mut words = std::str::from_utf8(&record[..tab]).ok()?.split(' ').filter(|word| !word.is_empty());
    let mode = u32::from_str_radix(words.next()?, 8).ok()?;
    let (_, object, size) = (words.next()?, words.next()?, words.next()?);
    let path = &record[tab + 1..];
    if words.next().is_some() || path.is_empty() {
        return None;
    }
    Some(TreeEntry {
        path: path.to_vec(),
        kind: EntryKind::of_mode(mode)?,
        size: if size == "-" { 0 } else { size.parse().ok()? },
        object: object.parse().ok()?,
    })
}

/// Paths that differ between two commits.
pub(super) async fn changed_paths(
    git: &Git,
    repository: &ProjectName,
    directory: &Path,
    from: &CommitId,
    to: &CommitId,
) -> Result<Option<Vec<String>>, SourceError> {
    let what = format!("compare commits {} and {} of {repository}", from.short(), to.short());
    let asked = [refs::as_commit(from.as_str()), refs::as_commit(to.as_str())];
    let found = refs::look_up(git, &what, directory, &asked).await?;
    if found.iter().any(Option::is_none) {
        return Ok(None);
    }
    let mut command = git.command_in(directory);
    command.args(["diff-tree", "-r", "-z", "--name-only", "--no-renames", "--no-ext-diff", "--no-textconv"]);
    command.args([from.as_str(), to.as_str(), "--"]);
    let listed = match git.run(&what, command, b"", CHANGES_MAX).await {
        Err(SourceError::TooLarge { .. }) => return Ok(None),
        listed => listed?,
    };
    let mut paths: Vec<&[u8]> = listed.split(|byte| *byte == 0).filter(|path| !path.is_empty()).collect();
    if paths.len() > CHANGED_PATHS_MAX {
        return Ok(None);
    }
    paths.sort_unstable();
    Ok(Some(paths.into_iter().map(|path| String::from_utf8_lossy(path).into_owned()).collect()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records() {
        let id = "ab".repeat(20);
        let record = |text: &str| parse(text.replace("ID", &id).as_bytes());
        let file = record("100644 blob ID      12\ta b\tc\nd\0").expect("is a record");
        assert_eq!((&file.path[..], file.size), (&b"a b\tc\nd"[..], 12));
        assert_eq!(file.kind, EntryKind::File { is_executable: false });
        assert_eq!(file.object.as_str(), id);
        let folder = record("040000 tree ID       -\tsrc\0").expect("is a record");
        assert_eq!((folder.kind, folder.size), (EntryKind::Folder, 0));
        let wrong = [
            "",
            "100644 blob ID 12\ta",
            "100644 blob ID 12\t\0",
            "100644 blob ID 12 a\0",
            "100644 blob ID\ta\0",
            "100644 blob ID 12 13\ta\0",
            "100644 blob ID x\ta\0",
            "100999 blob ID 12\ta\0",
            "100600 blob ID 12\ta\0",
            "100644 blob main 12\ta\0",
        ];
        for wrong in wrong {
            assert_eq!(record(wrong), None, "{wrong:?}");
        }
    }
}
