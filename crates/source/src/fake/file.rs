//! What lies at the paths of commits that tests make.

use havre_core::source::CommitId;

use crate::tree::EntryKind;

/// What lies at a path of a commit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FakeFile {
    /// A file.
    Plain(Vec<u8>),
    /// A file that may be run.
    Executable(Vec<u8>),
    /// A symbolic link and its target.
    Link(Vec<u8>),
    /// Another repository at one of its commits.
    Submodule(CommitId),
}

impl FakeFile {
    /// A plain file of text.
    pub fn text(text: &str) -> Self {
        Self::Plain(text.as_bytes().to_vec())
    }

    pub(super) fn kind(&self) -> EntryKind {
        match self {
            Self::Plain(_) => EntryKind::File { is_executable: false },
            Self::Executable(_) => EntryKind::File { is_executable: true },
            Self::Link(_) => EntryKind::Link,
            Self::Submodule(_) => EntryKind::Submodule,
        }
    }

    /// The content of its blob.
    pub(super) fn content(&self) -> Option<&[u8]> {
        match self {
            Self::Plain(content) | Self::Executable(content) | Self::Link(content) => Some(content),
            Self::Submodule(_) => None,
        }
    }
}
