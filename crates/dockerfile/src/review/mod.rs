//! What is wrong with a Dockerfile, why, and how to mend it. A file for each subject of rules, each a function of the
//! same subject; `docs/rooms/dockerfile.md` lists them. Judges what can be read in the text: it knows no image and no
//! script. Tests: `tests/it/review.rs`.

mod base;
mod cache;
mod command;
mod context;
mod copy;
mod declaration;
mod feature;
mod install;
mod package;
mod quote;
mod root;
mod script;
mod secret;
mod secret_value;
mod shell;
mod size;
mod stage;
mod structure;
mod subject;
mod workdir;

use std::collections::{BTreeSet, HashSet};
use std::fmt;

use serde::Serialize;

use crate::file;
use crate::review::subject::Subject;

/// Most findings of one file. Beyond it the lighter ones are left out.
pub const FINDINGS_MAX: usize = 1000;

/// Every rule, by subject.
const RULES: [fn(&Subject<'_>, &mut Findings); 15] = [
    structure::check,
    stage::check,
    base::check,
    feature::check,
    context::check,
    cache::check,
    secret::check,
    copy::check,
    package::check,
    script::check,
    workdir::check,
    root::check,
    command::check,
    size::check,
    declaration::check,
];

/// What is known beside the text. Nothing of it has to be.
#[derive(Debug, Clone, Copy, Default)]
pub struct Context<'a> {
    /// The `.dockerignore` that counts for this Dockerfile.
    pub ignore: IgnoreFile<'a>,
    /// Every file of the build context, with `/` between folders, before anything is left out. A folder that nobody
    /// looked into may stand for its files, with a slash at its end: `node_modules/`.
    pub paths: Option<&'a BTreeSet<String>>,
    /// Stage that is built; the last one when there is none.
    pub target: Option<&'a str>,
    /// Version of the BuildKit that will build it, such as `(0, 8)`.
    pub buildkit: Option<(u32, u32)>,
    /// The image is never run: its files are taken out of it.
    pub is_site: bool,
}

/// What is known about `.dockerignore`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum IgnoreFile<'a> {
    /// Nobody looked.
    #[default]
    Unknown,
    /// There is none.
    Missing,
    /// Its text.
    Text(&'a str),
}

/// How much a finding matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// The build fails, or the image gives something away.
    Error,
    /// It works and should be mended.
    Warning,
    /// Worth knowing; nothing has to be done.
    Note,
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Error => "error",
            Self::Warning => "warning",
            Self::Note => "note",
        })
    }
}

/// One thing that was found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// The rule, a stable name such as `cache-order`.
    pub rule: &'static str,
    /// How much it matters.
    pub severity: Severity,
    /// Line of the instruction, from 1.
    pub line: u32,
    /// What is wrong and why. May hold text of the file, never a secret.
    pub message: String,
    /// What to do, mostly the line to write instead.
    pub fix: String,
}

/// Where rules put what they find.
#[derive(Debug, Default)]
pub(crate) struct Findings {
    list: Vec<Finding>,
    /// One instruction breaks one rule once.
    seen: HashSet<(u32, &'static str)>,
}

impl Findings {
    fn push(&mut self, finding: Finding) {
        if self.seen.insert((finding.line, finding.rule)) {
            self.list.push(finding);
        }
    }

    pub(crate) fn error(
        &mut self,
        rule: &'static str,
        line: u32,
        message: impl Into<String>,
        fix: impl Into<String>,
    ) {
        let (message, fix) = (message.into(), fix.into());
        self.push(Finding { rule, severity: Severity::Error, line, message, fix });
    }

    pub(crate) fn warning(
        &mut self,
        rule: &'static str,
        line: u32,
        message: impl Into<String>,
        fix: impl Into<String>,
    ) {
        let (message, fix) = (message.into(), fix.into());
        self.push(Finding { rule, severity: Severity::Warning, line, message, fix });
    }

    pub(crate) fn note(
        &mut self,
        rule: &'static str,
        line: u32,
        message: impl Into<String>,
        fix: impl Into<String>,
    ) {
        let (message, fix) = (message.into(), fix.into());
        self.push(Finding { rule, severity: Severity::Note, line, message, fix });
    }

    fn sorted(mut self) -> Vec<Finding> {
        if self.list.len() > FINDINGS_MAX {
            self.list.sort_by_key(|finding| finding.severity);
            self.list.truncate(FINDINGS_MAX);
        }
        self.list.sort_by_key(|finding| (finding.line, finding.severity, finding.rule));
        self.list
    }
}

/// Reviews the text of a Dockerfile. What is found is in the order of its lines.
pub fn review(text: &str, context: &Context<'_>) -> Vec<Finding> {
    let mut findings = Findings::default();
    let file = match file::parse(text) {
        Ok(file) => file,
        Err(error) => {
            findings.error("syntax", error.line, error.reason, error.hint);
            return findings.sorted();
        }
    };
    let subject = Subject::new(&file, context);
    for rule in RULES {
        rule(&subject, &mut findings);
    }
    findings.sorted()
}
