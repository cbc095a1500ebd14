//! Branches, tags and commits: `for-each-ref`, `log`, `cat-file --batch-check`. Tests: parsers at the end of the file, the rest
//! in `tests/it/contract.rs` and `tests/it/git.rs`.

use std::collections::BTreeMap;
use std::path::Path;

use havre_core::name::ProjectName;
use havre_core::source::{CommitId, RefName};
use havre_core::time::Timestamp;

use super::command::{Git, Unexpected};
use crate::error::{SourceError, show};
use crate::source::{Commit, MESSAGE_MAX, REFS_MAX, text};

/// Most bytes of one list of refs: their number times what a long name and two ids take.
const REFS_BYTES_MAX: u64 = REFS_MAX as u64 * 512;
/// Most bytes about one commit; its first line may be long.
const COMMIT_MAX: u64 = 1024 * 1024;

/// Every branch and tag with its commit.
pub(super) async fn list_refs(
    git: &Git,
    repository: &ProjectName,
    directory: &Path,
) -> Result<BTreeMap<RefName, CommitId>, SourceError> {
    let what = format!("list the branches of {repository}");
    let mut command = git.command_in(directory);
    command.arg("for-each-ref").arg(format!("--count={}", REFS_MAX + 1));
    command.arg("--format=%(refname) %(objecttype) %(objectname) %(*objecttype) %(*objectname)");
    command.args(["--", "refs/heads/", "refs/tags/"]);
    let listed = git.run(&what, command, b"", REFS_BYTES_MAX).await?;
    let listed = String::from_utf8_lossy(&listed);
    if listed.lines().count() > REFS_MAX {
        return Err(SourceError::too_large(
            format!("the number of branches and tags of {repository}"),
            REFS_MAX,
        ));
    }
    let mut refs = BTreeMap::new();
    let mut tags_of_tags = Vec::new();
    for line in listed.lines() {
        match parse_ref(line) {
            Some(Ref::Commit(name, commit)) => drop(refs.insert(name, commit)),
            Some(Ref::Other(name, object)) => tags_of_tags.push((name, object)),
            // A name outside of our grammar was not pushed through us, and nobody could say what to build with it.
            None => {}
        }
    }
    if tags_of_tags.is_empty() {
        return Ok(refs);
    }
    let asked: Vec<String> = tags_of_tags.iter().map(|(_, object)| as_commit(object.as_str())).collect();
    let found = look_up(git, &what, directory, &asked).await?;
    for ((name, _), found) in tags_of_tags.into_iter().zip(found) {
        if let Some(commit) = found.and_then(|(id, _)| id.parse().ok()) {
            refs.insert(name, commit);
        }
    }
    Ok(refs)
}

/// Where a branch or tag leads.
#[derive(Debug, PartialEq, Eq)]
enum Ref {
    Commit(RefName, CommitId),
    /// A tag of something else: of a tag (which only newer gits follow by themselves), a file, a tree.
    Other(RefName, CommitId),
}

/// `<name> <type> <id>`, and for a tag with an object of its own the type and id of what it is of.
fn parse_ref(line: &str) -> Option<Ref> {
    let mut words = line.split(' ').filter(|word| !word.is_empty());
    let name: RefName = words.next()?.parse().ok()?;
    let (kind, id) = (words.next()?, words.next()?);
    if kind == "commit" {
        return Some(Ref::Commit(name, id.parse().ok()?));
    }
    match (words.next(), words.next()) {
        (Some("commit"), Some(commit)) => Some(Ref::Commit(name, commit.parse().ok()?)),
        _ => Some(Ref::Other(name, id.parse().ok()?)),
    }
}

/// How git is asked for a commit: of a tag the commit it is of.
pub(super) fn as_commit(id: &str) -> String {
    format!("{id}^{{commit}}")
}

/// Id and kind of objects by any name git knows; `None` for those that are not there. The names must hold no line break.
pub(super) async fn look_up(
    git: &Git,
    what: &str,
    directory: &Path,
    names: &[String],
) -> Result<Vec<Option<(String, String)>>, SourceError> {
    let mut command = git.reading(directory);
    command.args(["cat-file", "--batch-check=%(objectname) %(objecttype)"]);
    let mut input = names.join("\n");
    input.push('\n');
    // A missing one is answered with its name.
    let limit = input.len() as u64 + 128 * names.len() as u64;
    let answer = git.run(what, command, input.as_bytes(), limit).await?;
    let answer = String::from_utf8_lossy(&answer);
    let found: Vec<_> = answer.lines().map(parse_found).collect();
    if found.len() != names.len() {
        let count = format!("{} lines about {} objects", found.len(), names.len());
        return Err(SourceError::failed(what, Unexpected(count)));
    }
    Ok(found)
}

fn parse_found(line: &str) -> Option<(String, String)> {
    let (id, kind) = line.split_once(' ')?;
    let is_kind = matches!(kind, "commit" | "tree" | "blob" | "tag");
    (is_kind && id.parse::<CommitId>().is_ok()).then(|| (id.to_owned(), kind.to_owned()))
}

/// Who wrote a commit and what about.
pub(super) async fn describe(
    git: &Git,
    repository: &ProjectName,
    directory: &Path,
    commit: &CommitId,
) -> Result<Commit, SourceError> {
    let what = format!("look at commit {} of {repository}", commit.short());
    let found = look_up(git, &what, directory, &[as_commit(commit.as_str())]).await?;
    if !matches!(found.first(), Some(Some((id, _))) if id == commit.as_str()) {
        return Err(SourceError::CommitMissing { repository: repository.clone(), commit: commit.clone() });
    }
    let mut command = git.reading(directory);
    command.args([
        "log",
        "--no-walk",
        "--no-show-signature",
        "--no-decorate",
        "--no-patch",
        "--encoding=UTF-8",
    ]);
    command.args(["--format=%an%x00%ct%x00%s%x00%B", commit.as_str(), "--"]);
    let answer = git.run(&what, command, b"", COMMIT_MAX).await?;
    let described = parse_commit(commit, &answer);
    described.ok_or_else(|| SourceError::failed(&what, Unexpected(format!("with {}", show(&answer)))))
}

fn parse_commit(id: &CommitId, answer: &[u8]) -> Option<Commit> {
    let answer = String::from_utf8_lossy(answer);
    let mut parts = answer.splitn(4, '\0');
    let (author, seconds, subject) = (parts.next()?, parts.next()?, parts.next()?);
    let message = parts.next()?.chars().take(MESSAGE_MAX).collect();
    // Git takes any time of up to 64 bits; ours counts milliseconds.
    let millis = seconds.parse::<u64>().ok()?.saturating_mul(1000);
    Some(Commit {
        id: id.clone(),
        author: text(author),
        subject: text(subject),
        message,
        committed_at: Timestamp::from_millis(i64::try_from(millis).unwrap_or(i64::MAX)),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(pair: &str) -> CommitId {
        pair.repeat(20).parse().expect("is an id")
    }

    #[test]
    fn lines_about_refs() {
        let name = |text: &str| text.parse::<RefName>().expect("is a ref");
        let (a, b) = (id("aa"), id("bb"));
        assert_eq!(
            parse_ref(&format!("refs/heads/main commit {a}  ")),
            Some(Ref::Commit(name("refs/heads/main"), a.clone()))
        );
        assert_eq!(
            parse_ref(&format!("refs/tags/v1 tag {b} commit {a}")),
            Some(Ref::Commit(name("refs/tags/v1"), a))
        );
        for other in ["refs/tags/v2 tag ID tag IX", "refs/tags/v2 blob ID  ", "refs/tags/v2 tag ID tree IX"] {
            let line = other.replace("ID", b.as_str()).replace("IX", b.as_str());
            assert_eq!(parse_ref(&line), Some(Ref::Other(name("refs/tags/v2"), b.clone())));
        }
        for none in
            ["", "refs/heads/main", "refs/heads/main commit x", "refs/heads/é commit x", "refs/notes/x tag y"]
        {
            assert_eq!(parse_ref(none), None, "{none}");
        }
    }

    #[test]
    fn lines_about_objects() {
        let a = id("aa");
        assert_eq!(parse_found(&format!("{a} tree")), Some((a.to_string(), "tree".to_owned())));
        for none in
            [format!("{a}^{{commit}} missing"), format!("{a}:x missing"), "x tree".to_owned(), String::new()]
        {
            assert_eq!(parse_found(&none), None, "{none}");
        }
    }

    #[test]
    fn commits() {
        let commit =
            parse_commit(&id("aa"), b"A \x1b[1mB\x001700000000\x00sub\x1bject\x00sub\x1bject\n\nbo\0dy\n")
                .expect("is a commit");
        assert_eq!((commit.author.as_str(), commit.subject.as_str()), ("A  [1mB", "sub ject"));
        assert_eq!(commit.committed_at, Timestamp::from_millis(1_700_000_000_000));
        assert_eq!(commit.message, "sub\u{1b}ject\n\nbo\0dy\n");
        let far = parse_commit(&id("aa"), b"a\x0018446744073709551615\x00\x00\n").expect("is a commit");
        assert_eq!(far.committed_at, Timestamp::from_millis(i64::MAX));
        assert_eq!(parse_commit(&id("aa"), b"a\0b\0c"), None);
    }
}
