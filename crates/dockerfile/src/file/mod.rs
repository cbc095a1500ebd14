//! A Dockerfile as instructions with line numbers: parser directives, continuations, heredocs, flags, both forms of
//! arguments, stages. Written by hand after BuildKit's parser; what is wrong with a file that can be read is said in
//! `review`. Linear in the text. Tests: `tests/it/file.rs`.

mod heredoc;
mod image;
mod instruction;
mod line;
mod parse;
mod stage;
mod variable;
mod word;

use std::collections::{BTreeMap, BTreeSet};

pub use crate::file::heredoc::Heredoc;
pub use crate::file::instruction::{Assignment, Copied, Flag, Instruction, Keyword};
pub use crate::file::parse::parse;
pub use crate::file::stage::Stage;
pub(crate) use crate::file::stage::global_scope;
pub use crate::file::variable::{Scope, VALUE_MAX};
pub use crate::file::word::{Word, words};

/// Largest text that is read in bytes.
pub const TEXT_MAX: usize = 1024 * 1024;
/// Most instructions of one file.
pub const INSTRUCTIONS_MAX: usize = 10_000;

/// A Dockerfile that could be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct File {
    /// Parser directives at the very top, in order.
    pub directives: Vec<Directive>,
    /// All instructions, those before the first `FROM` and unknown ones included.
    pub instructions: Vec<Instruction>,
}

/// A parser directive, such as `# syntax=docker/dockerfile:1`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Directive {
    /// Its line.
    pub line: u32,
    /// `syntax`, `escape` or `check`.
    pub name: String,
    /// What stands behind the `=`.
    pub value: String,
}

/// Why a Dockerfile cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {reason}; {hint}")]
pub struct FileError {
    /// Where.
    pub line: u32,
    /// What is wrong.
    pub reason: String,
    /// What to do.
    pub hint: String,
}

impl File {
    /// The directive of this name.
    pub fn directive(&self, name: &str) -> Option<&Directive> {
        self.directives.iter().find(|directive| directive.name == name)
    }

    /// The character that continues lines and escapes: a backslash, or a backtick for Windows.
    pub fn escape(&self) -> char {
        let is_backtick = self.directive("escape").is_some_and(|directive| directive.value == "`");
        if is_backtick { '`' } else { '\\' }
    }

    /// What stands before the first `FROM`: arguments of base images, in a sound file.
    pub fn preamble(&self) -> &[Instruction] {
        let end = self.instructions.iter().position(Instruction::is_from);
        &self.instructions[..end.unwrap_or(self.instructions.len())]
    }

    /// Images it names when it is built with these arguments, as they are written: those of `FROM`, `--from` and `# syntax=`.
    pub fn images(&self, arguments: &BTreeMap<String, String>) -> BTreeSet<String> {
        image::images(self, arguments)
    }

    /// Its stages, in order.
    pub fn stages(&self) -> Vec<Stage<'_>> {
        stage::stages(self)
    }
}
