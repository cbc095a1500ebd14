//! Single fields of payloads: texts are cut and cleaned, names parsed. What they mean together is in the files of the events.
//! Tests at the end of the file.

use std::collections::BTreeSet;

use havre_core::source::{BranchName, CommitId, RefName};
use serde::Deserialize;

use super::PayloadError;

/// Longest name of a person, a repository or an event, and longest text of an error.
const LINE_MAX: usize = 256;

/// Longest message of a commit. GitHub cuts none; those of people have some hundred bytes.
const MESSAGE_MAX: usize = 64 * 1024;

/// Longest address.
const ADDRESS_MAX: usize = 1024;

/// Most paths that are kept: with more, "anything may have changed" is as true.
const PATHS_MAX: usize = 10_000;

/// Longest path, that of Linux.
const PATH_MAX: usize = 4096;

/// GitHub lists so many files of one commit and no more.
const FILES_OF_COMMIT: usize = 3000;

/// A commit as GitHub, GitLab and Gitea write it.
#[derive(Deserialize)]
pub(super) struct Commit {
    pub(super) id: String,
    pub(super) message: Option<String>,
    pub(super) author: Option<Author>,
    added: Option<Vec<String>>,
    removed: Option<Vec<String>>,
    modified: Option<Vec<String>>,
}

/// Who wrote a commit.
#[derive(Deserialize)]
pub(super) struct Author {
    pub(super) name: Option<String>,
}

/// One line of text without control characters, so that nobody who prints it has to care.
pub(super) fn line(text: &str) -> String {
    cut(text.chars().filter(|character| !character.is_control()), LINE_MAX)
}

/// The same, if there is any text.
pub(super) fn optional_line(text: Option<&str>) -> Option<String> {
    text.map(line).filter(|text| !text.is_empty())
}

/// Text of several lines, without other control characters.
pub(super) fn message(text: &str) -> String {
    cut(
        text.chars().filter(|character| !character.is_control() || matches!(character, '\n' | '\t')),
        MESSAGE_MAX,
    )
}

fn cut(characters: impl Iterator<Item = char>, max: usize) -> String {
    let mut text = String::new();
    for character in characters {
        if text.len() + character.len_utf8() > max {
            break;
        }
        text.push(character);
    }
    text
}

/// The address of a repository over HTTP, or nothing.
pub(super) fn address(text: Option<&str>) -> Option<String> {
    let text = text?;
    let is_http = text.starts_with("https://") || text.starts_with("http://");
    let is_plain = text.len() <= ADDRESS_MAX && text.bytes().all(|byte| byte.is_ascii_graphic());
    (is_http && is_plain).then(|| text.to_owned())
}

pub(super) fn reference(text: &str) -> Result<RefName, PayloadError> {
    text.parse().map_err(PayloadError::RefInvalid)
}

pub(super) fn branch(text: &str) -> Result<BranchName, PayloadError> {
    text.parse().map_err(PayloadError::RefInvalid)
}

pub(super) fn commit(text: &str) -> Result<CommitId, PayloadError> {
    text.parse().map_err(PayloadError::CommitInvalid)
}

/// All paths of these commits, sorted, each once; `None` where the list may have gaps.
pub(super) fn changed_paths(commits: &[Commit]) -> Option<Vec<String>> {
    // A push that moves a branch has commits. Without one it was set back, and what that changes is not listed.
    if commits.is_empty() {
        return None;
    }
    let mut paths = BTreeSet::new();
    for commit in commits {
        let lists = [&commit.added, &commit.removed, &commit.modified];
        if lists.iter().all(|list| list.is_none()) {
            return None;
        }
        let mut count = 0;
        for path in lists.into_iter().flatten().flatten() {
            count += 1;
            paths.insert(path.as_str());
            if count >= FILES_OF_COMMIT || paths.len() > PATHS_MAX || path.len() > PATH_MAX {
                return None;
            }
        }
    }
    Some(paths.into_iter().map(str::to_owned).collect())
}

/// Paths somebody says are all, sorted, each once; `None` where they are too many or too long.
pub(super) fn known_paths(paths: Vec<String>) -> Option<Vec<String>> {
    let is_bounded = paths.len() <= PATHS_MAX && paths.iter().all(|path| path.len() <= PATH_MAX);
    let paths: BTreeSet<String> = paths.into_iter().collect();
    is_bounded.then(|| paths.into_iter().collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_cut_between_characters_and_cleaned() {
        assert_eq!(line("a\u{1b}[31mb\r\nc\t"), "a[31mbc");
        assert_eq!(message("a\u{1b}b\r\nc\td\0"), "ab\nc\td");
        assert_eq!(line(&"é".repeat(200)), "é".repeat(128));
        assert_eq!(line(&format!("x{}", "é".repeat(200))).len(), 255);
        assert_eq!(optional_line(Some("\n")), None);
    }

    #[test]
    fn addresses_are_those_of_http() {
        assert_eq!(address(Some("https://a.example/x.git")).as_deref(), Some("https://a.example/x.git"));
        for wrong in ["ext::sh -c id", "ssh://a", "-x", "https://a b", "file:///etc", "https://a/\u{e9}", ""]
        {
            assert_eq!(address(Some(wrong)), None, "{wrong:?}");
        }
    }

    fn commits(json: &str) -> Vec<Commit> {
        serde_json::from_str(json).unwrap()
    }

    #[test]
    fn paths_are_known_or_not() {
        let two = commits(
            r#"[{"id":"1","added":["b"],"removed":[],"modified":["a"]},{"id":"2","removed":["b","c"]}]"#,
        );
        assert_eq!(changed_paths(&two), Some(vec!["a".to_owned(), "b".to_owned(), "c".to_owned()]));
        assert_eq!(changed_paths(&commits("[]")), None);
        assert_eq!(
            changed_paths(&commits(r#"[{"id":"1","added":null,"removed":null,"modified":null}]"#)),
            None
        );
        assert_eq!(changed_paths(&commits(r#"[{"id":"1","added":[]}]"#)), Some(Vec::new()));
        let many: Vec<String> = (0..FILES_OF_COMMIT).map(|number| format!("f{number}")).collect();
        let many = serde_json::json!([{ "id": "1", "added": many }]).to_string();
        assert_eq!(changed_paths(&commits(&many)), None);
    }
}
