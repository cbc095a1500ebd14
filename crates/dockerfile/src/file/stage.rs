//! Stages: what stands between one `FROM` and the next, and what each is based on. Tests: `tests/it/file.rs`.

use std::collections::BTreeMap;

use crate::file::word::words;
use crate::file::{File, Instruction, Keyword, Scope};

/// Arguments every build has without a declaration, as far as they may stand in a `FROM`.
const PREDEFINED: [&str; 8] = [
    "BUILDPLATFORM",
    "BUILDOS",
    "BUILDARCH",
    "BUILDVARIANT",
    "TARGETPLATFORM",
    "TARGETOS",
    "TARGETARCH",
    "TARGETVARIANT",
];

/// One stage.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stage<'a> {
    /// From 0, as `--from=0` counts.
    pub index: usize,
    /// Its `FROM`.
    pub from: &'a Instruction,
    /// Name in lower case, where it has one.
    pub name: Option<String>,
    /// What it is based on, as it is written; empty when nothing is.
    pub image: String,
    /// The same with the values of arguments; `None` when they are not all in the file.
    pub resolved: Option<String>,
    /// The earlier stage it is based on; `None` for an image.
    pub parent: Option<usize>,
    /// Its instructions behind the `FROM`.
    pub instructions: &'a [Instruction],
}

/// The values of `ARG` before the first `FROM`, and those every build has.
pub(crate) fn global_scope(file: &File) -> Scope {
    global_scope_with(file, &BTreeMap::new())
}

/// The same in a build with these arguments; one that the file does not declare changes nothing.
pub(super) fn global_scope_with(file: &File, arguments: &BTreeMap<String, String>) -> Scope {
    let mut scope = Scope::default();
    for name in PREDEFINED {
        scope.set(name, None);
    }
    for instruction in file.preamble().iter().filter(|instruction| instruction.keyword == Keyword::Arg) {
        for assignment in instruction.assignments() {
            let value = match arguments.get(&assignment.name) {
                Some(given) => Some(given.clone()),
                None => assignment.value.and_then(|value| scope.expand(&value)),
            };
            scope.set(&assignment.name, value);
        }
    }
    scope
}

/// All stages of a file.
pub(super) fn stages(file: &File) -> Vec<Stage<'_>> {
    stages_in(file, &global_scope(file))
}

/// The same with these values.
pub(super) fn stages_in<'a>(file: &'a File, scope: &Scope) -> Vec<Stage<'a>> {
    let mut names: BTreeMap<String, usize> = BTreeMap::new();
    let mut stages: Vec<Stage<'_>> = Vec::new();
    let mut rest = &file.instructions[file.preamble().len()..];
    while let Some((from, after)) = rest.split_first() {
        let length = after.iter().position(Instruction::is_from).unwrap_or(after.len());
        let (instructions, next) = after.split_at(length);
        rest = next;
        let (image, name) = read_from(from);
        let resolved = scope.expand(&image);
        let parent = resolved.as_ref().and_then(|image| names.get(&image.to_lowercase())).copied();
        let index = stages.len();
        if let Some(name) = &name {
            names.insert(name.clone(), index);
        }
        stages.push(Stage { index, from, name, image, resolved, parent, instructions });
    }
    stages
}

/// Image and name of `FROM image AS name`.
fn read_from(from: &Instruction) -> (String, Option<String>) {
    let mut words = words(&from.arguments, from.escape).into_iter().map(|word| word.text);
    let image = words.next().unwrap_or_default();
    let is_named = words.next().is_some_and(|word| word.eq_ignore_ascii_case("as"));
    let name = words.next().filter(|_| is_named).map(|name| name.to_lowercase());
    (image, name)
}
