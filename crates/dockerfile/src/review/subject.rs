//! What rules look at: the file with its stages, what each instruction runs, and which of it ends up in the image.

use crate::file::{Copied, File, Instruction, Keyword, Scope, Stage};
use crate::review::Context;
use crate::review::shell::{self, Command};

/// A Dockerfile and what is known about it.
#[derive(Debug)]
pub(crate) struct Subject<'a> {
    pub(crate) file: &'a File,
    pub(crate) context: &'a Context<'a>,
    pub(crate) stages: Vec<Stage<'a>>,
    /// Instructions behind the first `FROM`, without those that begin stages, in order.
    pub(crate) steps: Vec<Step<'a>>,
    /// The stage that becomes the image.
    pub(crate) last: Option<usize>,
    /// For each stage, whether its layers are in what runs: the last one and those it is based on.
    shipped: Vec<bool>,
}

/// One instruction of a stage.
#[derive(Debug)]
pub(crate) struct Step<'a> {
    pub(crate) instruction: &'a Instruction,
    /// Index of its stage.
    pub(crate) stage: usize,
    /// Its layer is in the image.
    pub(crate) is_shipped: bool,
    /// What it runs; empty where no shell we can read runs it.
    pub(crate) commands: Vec<Command>,
    /// A cache is mounted.
    pub(crate) has_cache: bool,
    /// Files of the context, or of another stage, are mounted.
    pub(crate) has_bind: bool,
}

impl<'a> Subject<'a> {
    pub(crate) fn new(file: &'a File, context: &'a Context<'a>) -> Self {
        let stages = file.stages();
        let last = last_stage(&stages, context);
        let mut shipped = vec![false; stages.len()];
        let mut next = last.filter(|_| !context.is_site);
        while let Some(stage) = next.and_then(|index| stages.get(index)) {
            shipped[stage.index] = true;
            // A parent is an earlier stage, so this ends.
            next = stage.parent;
        }
        let steps = steps(file, &stages, &shipped);
        Self { file, context, stages, steps, last, shipped }
    }

    /// The stage that becomes the image.
    pub(crate) fn last_stage(&self) -> Option<&Stage<'a>> {
        self.stages.get(self.last?)
    }

    /// The stage whose base is the base of the image.
    pub(crate) fn root_stage(&self) -> Option<&Stage<'a>> {
        self.stages.iter().find(|stage| self.is_shipped(stage.index))
    }

    /// Whether the layers of a stage are in the image.
    pub(crate) fn is_shipped(&self, stage: usize) -> bool {
        self.shipped.get(stage).copied().unwrap_or(false)
    }

    /// Steps whose layers are in the image, the oldest first.
    pub(crate) fn shipped(&self) -> impl Iterator<Item = &Step<'a>> {
        self.steps.iter().filter(|step| step.is_shipped)
    }

    /// The last of these instructions in the image, which is the one that counts.
    pub(crate) fn effective(&self, keyword: &Keyword) -> Option<&Step<'a>> {
        self.steps.iter().rev().find(|step| step.is_shipped && step.instruction.keyword == *keyword)
    }

    /// Whether the image says what it runs. One that does not holds files only, or leaves it to its base.
    pub(crate) fn has_program(&self) -> bool {
        self.effective(&Keyword::Cmd).is_some() || self.effective(&Keyword::Entrypoint).is_some()
    }

    /// Name of the image everything is based on, without registry, tag and digest; empty when it is not known.
    pub(crate) fn root_image(&self) -> &str {
        let image = self.root_stage().and_then(|stage| stage.resolved.as_deref()).unwrap_or_default();
        image_name(image)
    }

    /// Whether a file is known to be in the context.
    pub(crate) fn has_path(&self, path: &str) -> bool {
        self.context.paths.is_some_and(|paths| paths.contains(path))
    }
}

impl Step<'_> {
    /// What it copies from the context; `None` for anything else.
    pub(crate) fn copied_from_context(&self) -> Option<Copied> {
        let mut copied = self.instruction.copied().filter(|copied| copied.from.is_none())?;
        copied.sources.retain(|source| !is_remote(source));
        (!copied.sources.is_empty()).then_some(copied)
    }

    /// Whether a cache, or nothing that stays, is mounted at one of these folders or above.
    pub(crate) fn has_cache_at(&self, folders: &[&str]) -> bool {
        let mut mounts = self.instruction.mounts("cache").chain(self.instruction.mounts("tmpfs"));
        mounts.any(|mount| {
            let target = ["target", "dst", "destination"].iter().find_map(|name| mount.option(name));
            let target = target.unwrap_or_default().trim_end_matches('/');
            !target.is_empty() && folders.iter().any(|folder| is_within(folder, target))
        })
    }
}

/// Whether a path is a folder or lies in it.
fn is_within(path: &str, folder: &str) -> bool {
    path.strip_prefix(folder).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// Whether a source of `ADD` is fetched.
pub(crate) fn is_remote(source: &str) -> bool {
    source.contains("://") || source.starts_with("git@")
}

/// Whether a source of `COPY` is the whole context.
pub(crate) fn is_whole(source: &str) -> bool {
    matches!(source.trim_end_matches('/'), "" | "." | "*" | "./*" | "./.")
}

/// `ghcr.io/owner/name:tag@digest` without registry, tag and digest: `name`, or `owner/name` for an owner other than
/// Docker's library.
pub(crate) fn image_name(image: &str) -> &str {
    let (image, _) = image.split_once('@').unwrap_or((image, ""));
    let image = match image.rsplit_once(':') {
        // A colon before a slash is the port of a registry.
        Some((name, tag)) if !tag.contains('/') => name,
        _ => image,
    };
    let image = match image.split_once('/') {
        Some((host, rest)) if host.contains(['.', ':']) || host == "localhost" => rest,
        _ => image,
    };
    image.strip_prefix("library/").unwrap_or(image)
}

fn last_stage(stages: &[Stage<'_>], context: &Context<'_>) -> Option<usize> {
    let last = stages.len().checked_sub(1);
    let Some(target) = context.target else { return last };
    find_stage(stages, target).or(last)
}

/// The stage of this name or number, the last of that name.
pub(crate) fn find_stage(stages: &[Stage<'_>], wanted: &str) -> Option<usize> {
    let wanted = wanted.to_lowercase();
    let named = stages.iter().rev().find(|stage| stage.name.as_deref() == Some(wanted.as_str()));
    match named {
        Some(stage) => Some(stage.index),
        None => wanted.parse().ok().filter(|index| *index < stages.len()),
    }
}

fn steps<'a>(file: &'a File, stages: &[Stage<'a>], shipped: &[bool]) -> Vec<Step<'a>> {
    let mut steps = Vec::new();
    // Whether commands of a stage are run by a shell we can read, as its base leaves it.
    let mut is_posix: Vec<bool> = Vec::with_capacity(stages.len());
    for stage in stages {
        let inherited = stage.parent.and_then(|parent| is_posix.get(parent)).copied();
        let mut is_readable = inherited.unwrap_or(file.escape() == '\\');
        for instruction in stage.instructions {
            if instruction.keyword == Keyword::Shell {
                let program = instruction.exec_form().and_then(|words| words.into_iter().next());
                is_readable = program.is_none_or(|program| shell::is_shell(shell::base_name(&program)));
            }
            let commands = if is_readable { shell::of_run(instruction) } else { Vec::new() };
            let is_shipped = shipped[stage.index];
            let has_mount = |kind| instruction.mounts(kind).next().is_some();
            let (has_cache, has_bind) = (has_mount("cache"), has_mount("bind"));
            steps.push(Step { instruction, stage: stage.index, is_shipped, commands, has_cache, has_bind });
        }
        is_posix.push(is_readable);
    }
    steps
}

/// Values of variables as the image goes on: call `enter` for each of its steps, in order.
#[derive(Debug)]
pub(crate) struct Variables {
    global: Scope,
    /// Values as they are behind the steps so far.
    pub(crate) scope: Scope,
}

impl Variables {
    pub(crate) fn new(file: &File) -> Self {
        Self { global: crate::file::global_scope(file), scope: Scope::default() }
    }

    /// Takes up what a step sets.
    pub(crate) fn enter(&mut self, step: &Step<'_>) {
        for assignment in step.instruction.assignments() {
            let value = match assignment.value {
                Some(value) => self.scope.expand(&value),
                // An argument without a value takes the one from before the first stage.
                None => self.global.value(&assignment.name).map(str::to_owned),
            };
            self.scope.set(&assignment.name, value);
        }
    }
}
