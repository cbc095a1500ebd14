//! Images a Dockerfile names, so that whoever builds it knows which registries will be asked. Only what the file and the build
//! arguments say: a name that depends on more is left out. Tests: `tests/it/file.rs`.

use std::collections::{BTreeMap, BTreeSet};

use crate::file::stage::{global_scope_with, stages_in};
use crate::file::{File, Instruction, Keyword};

/// What `FROM` says for no image at all.
const SCRATCH: &str = "scratch";

/// Every image of `FROM`, `COPY --from`, `ADD --from`, `RUN --mount=from=` and `# syntax=`, with these build arguments.
pub(super) fn images(file: &File, arguments: &BTreeMap<String, String>) -> BTreeSet<String> {
    let scope = global_scope_with(file, arguments);
    let stages = stages_in(file, &scope);
    let mut images = BTreeSet::new();
    let mut names: BTreeSet<String> = BTreeSet::new();
    for stage in &stages {
        if stage.parent.is_none()
            && let Some(image) = &stage.resolved
        {
            images.insert(image.clone());
        }
        for instruction in stage.instructions {
            let sources = sources(instruction).filter_map(|source| scope.expand(source));
            images.extend(sources.filter(|source| !is_stage(source, stage.index, &names)));
        }
        names.extend(stage.name.clone());
    }
    images.extend(file.directive("syntax").map(|directive| directive.value.clone()));
    images.retain(|image| !image.is_empty() && !image.eq_ignore_ascii_case(SCRATCH));
    images
}

/// Where an instruction takes files from, as it is written.
fn sources(instruction: &Instruction) -> impl Iterator<Item = &str> {
    let copied = match instruction.keyword {
        Keyword::Copy | Keyword::Add => instruction.flag("from"),
        _ => None,
    };
    let mounts = instruction.flags.iter().filter(|flag| flag.name == "mount");
    copied.into_iter().chain(mounts.filter_map(|flag| flag.option("from")))
}

/// Whether it is an earlier stage, by name or by number.
fn is_stage(source: &str, before: usize, names: &BTreeSet<String>) -> bool {
    names.contains(&source.to_lowercase()) || source.parse::<usize>().is_ok_and(|number| number < before)
}
