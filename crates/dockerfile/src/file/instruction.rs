//! One instruction: its keyword, flags and arguments, and what its arguments say in both forms. Whether it makes sense
//! is for `review`. Tests: `tests/it/file.rs`.

use crate::file::heredoc::{Heredoc, is_announcement};
use crate::file::word::words;

/// One instruction of a Dockerfile.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Instruction {
    /// Line it begins on, from 1.
    pub line: u32,
    /// Line it ends on, its heredocs included.
    pub end_line: u32,
    /// What it is.
    pub keyword: Keyword,
    /// Flags in front of the arguments, such as `--from=build`.
    pub flags: Vec<Flag>,
    /// What follows, in one line: continued lines are joined, comments between them left out.
    pub arguments: String,
    /// Texts that belong to it; of `ONBUILD`, they are its trigger's.
    pub heredocs: Vec<Heredoc>,
    /// What `ONBUILD` puts off.
    pub trigger: Option<Box<Instruction>>,
    /// The instruction as it is written.
    pub raw: String,
    /// The character that escapes in it.
    pub escape: char,
}

/// What an instruction is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Keyword {
    /// Copies, fetches and unpacks.
    Add,
    /// A value for the build.
    Arg,
    /// What runs, or arguments for it.
    Cmd,
    /// Copies files.
    Copy,
    /// What runs.
    Entrypoint,
    /// A value for the build and for what runs.
    Env,
    /// Ports.
    Expose,
    /// Begins a stage.
    From,
    /// How to ask whether it works.
    Healthcheck,
    /// Facts about the image.
    Label,
    /// Who made it; out of use.
    Maintainer,
    /// Puts an instruction off until the image is a base.
    Onbuild,
    /// Runs a command.
    Run,
    /// What the shell form is run by.
    Shell,
    /// The signal that asks to stop.
    Stopsignal,
    /// Who commands run as.
    User,
    /// A folder that outlives the container.
    Volume,
    /// The folder commands run in.
    Workdir,
    /// Something Docker does not know, as it is written.
    Unknown(String),
}

/// A flag of an instruction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Flag {
    /// Without its dashes.
    pub name: String,
    /// What stands behind the `=`; `None` without one.
    pub value: Option<String>,
}

/// What `COPY` and `ADD` say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Copied {
    /// Where from, without heredocs.
    pub sources: Vec<String>,
    /// Where to; empty when there are no arguments.
    pub target: String,
    /// Stage or image the sources are in; `None` for the context.
    pub from: Option<String>,
}

/// A name and a value of `ARG` or `ENV`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Assignment {
    /// The variable.
    pub name: String,
    /// Without quotes; `None` for an `ARG` without a default.
    pub value: Option<String>,
}

impl Keyword {
    /// Every instruction Docker knows, in lower case.
    pub const KNOWN: [&'static str; 18] = [
        "add",
        "arg",
        "cmd",
        "copy",
        "entrypoint",
        "env",
        "expose",
        "from",
        "healthcheck",
        "label",
        "maintainer",
        "onbuild",
        "run",
        "shell",
        "stopsignal",
        "user",
        "volume",
        "workdir",
    ];

    pub(super) fn parse(word: &str) -> Self {
        match word.to_ascii_lowercase().as_str() {
            "add" => Self::Add,
            "arg" => Self::Arg,
            "cmd" => Self::Cmd,
            "copy" => Self::Copy,
            "entrypoint" => Self::Entrypoint,
            "env" => Self::Env,
            "expose" => Self::Expose,
            "from" => Self::From,
            "healthcheck" => Self::Healthcheck,
            "label" => Self::Label,
            "maintainer" => Self::Maintainer,
            "onbuild" => Self::Onbuild,
            "run" => Self::Run,
            "shell" => Self::Shell,
            "stopsignal" => Self::Stopsignal,
            "user" => Self::User,
            "volume" => Self::Volume,
            "workdir" => Self::Workdir,
            _ => Self::Unknown(word.to_owned()),
        }
    }

    /// As people write it.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Add => "ADD",
            Self::Arg => "ARG",
            Self::Cmd => "CMD",
            Self::Copy => "COPY",
            Self::Entrypoint => "ENTRYPOINT",
            Self::Env => "ENV",
            Self::Expose => "EXPOSE",
            Self::From => "FROM",
            Self::Healthcheck => "HEALTHCHECK",
            Self::Label => "LABEL",
            Self::Maintainer => "MAINTAINER",
            Self::Onbuild => "ONBUILD",
            Self::Run => "RUN",
            Self::Shell => "SHELL",
            Self::Stopsignal => "STOPSIGNAL",
            Self::User => "USER",
            Self::Volume => "VOLUME",
            Self::Workdir => "WORKDIR",
            Self::Unknown(word) => word,
        }
    }
}

impl Flag {
    /// Reads a word that begins with two dashes.
    pub(super) fn parse(word: &str) -> Self {
        let word = word.strip_prefix("--").unwrap_or(word);
        match word.split_once('=') {
            Some((name, value)) => Self { name: name.to_owned(), value: Some(value.to_owned()) },
            None => Self { name: word.to_owned(), value: None },
        }
    }

    /// Of a value such as `type=cache,target=/root/.npm`, the part of this name.
    pub fn option(&self, name: &str) -> Option<&str> {
        let parts = self.value.as_deref()?.split(',');
        parts.filter_map(|part| part.split_once('=')).find(|(key, _)| *key == name).map(|(_, value)| value)
    }
}

impl Instruction {
    /// Whether it begins a stage.
    pub fn is_from(&self) -> bool {
        self.keyword == Keyword::From
    }

    /// The value of a flag; empty for a flag without one.
    pub fn flag(&self, name: &str) -> Option<&str> {
        let flag = self.flags.iter().find(|flag| flag.name == name)?;
        Some(flag.value.as_deref().unwrap_or_default())
    }

    /// The arguments as a JSON list of texts; `None` for the shell form.
    pub fn exec_form(&self) -> Option<Vec<String>> {
        if !self.arguments.starts_with('[') {
            return None;
        }
        serde_json::from_str(&self.arguments).ok()
    }

    /// Words of the arguments without quotes, in either form.
    pub fn words(&self) -> Vec<String> {
        match self.exec_form() {
            Some(list) => list,
            None => words(&self.arguments, self.escape).into_iter().map(|word| word.text).collect(),
        }
    }

    /// What `COPY` and `ADD` copy; `None` for other instructions.
    pub fn copied(&self) -> Option<Copied> {
        if !matches!(self.keyword, Keyword::Copy | Keyword::Add) {
            return None;
        }
        let mut paths = match self.exec_form() {
            Some(list) => list,
            None => {
                let written = words(&self.arguments, self.escape);
                let paths = written.into_iter().filter(|word| !is_announcement(word.raw, self.escape));
                paths.map(|word| word.text).collect()
            }
        };
        let target = paths.pop().unwrap_or_default();
        Some(Copied { sources: paths, target, from: self.flag("from").map(str::to_owned) })
    }

    /// What `ARG` and `ENV` set; empty for other instructions.
    pub fn assignments(&self) -> Vec<Assignment> {
        if !matches!(self.keyword, Keyword::Arg | Keyword::Env) {
            return Vec::new();
        }
        let words = words(&self.arguments, self.escape);
        if self.keyword == Keyword::Env
            && let Some(first) = words.first()
            && !first.raw.contains('=')
        {
            // The old form: one name, and all that follows is its value.
            let value = self.arguments.trim_start().strip_prefix(first.raw).unwrap_or_default().trim();
            let value = (!value.is_empty()).then(|| value.to_owned());
            return vec![Assignment { name: first.text.clone(), value }];
        }
        let assignment = |text: String| match text.split_once('=') {
            Some((name, value)) => Assignment { name: name.to_owned(), value: Some(value.to_owned()) },
            None => Assignment { name: text, value: None },
        };
        words.into_iter().map(|word| assignment(word.text)).collect()
    }

    /// The mounts of a `RUN` of this type, such as `cache`.
    pub fn mounts<'a>(&'a self, kind: &'a str) -> impl Iterator<Item = &'a Flag> {
        let mounts = self.flags.iter().filter(|flag| flag.name == "mount");
        mounts.filter(move |flag| flag.option("type").unwrap_or("bind") == kind)
    }
}
