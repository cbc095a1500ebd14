//! Rules about stages: how they are named, what they are based on by name, and whether `--from` names one.

use std::collections::BTreeMap;

use havre_core::suggest::nearest;

use crate::file::{Scope, Stage, words};
use crate::review::Findings;
use crate::review::quote::{plain, quote};
use crate::review::subject::{Step, Subject, find_stage};

/// Most names that a message lists, and that are compared with one that is wrong.
const NAMES_MAX: usize = 8;
/// Longest of them.
const NAME_MAX: usize = 24;

/// Stages by name, to look one up at the price of one.
struct Names<'a> {
    /// The first stage of each name.
    first: BTreeMap<&'a str, usize>,
    /// All that have a name, in order.
    named: Vec<(usize, &'a str)>,
}

pub(crate) fn check(subject: &Subject<'_>, findings: &mut Findings) {
    let scope = crate::file::global_scope(subject.file);
    let mut names = Names { first: BTreeMap::new(), named: Vec::new() };
    for stage in &subject.stages {
        form(stage, findings);
        arguments(stage, &scope, findings);
        let Some(name) = stage.name.as_deref() else { continue };
        names.named.push((stage.index, name));
        let first = *names.first.entry(name).or_insert(stage.index);
        if first != stage.index {
            let line = subject.stages[first].from.line;
            let message = format!(
                "{} is the name of the stage in line {line} already; --from finds the last",
                quote(name)
            );
            let fix = format!("FROM {} AS <another name>", plain(&stage.image));
            findings.warning("stage-name-twice", stage.from.line, message, fix);
        }
    }
    target(subject, findings);
    for step in &subject.steps {
        let mounts = step.instruction.flags.iter().filter(|flag| flag.name == "mount");
        let from = step.instruction.flag("from").into_iter();
        for from in from.chain(mounts.filter_map(|mount| mount.option("from"))) {
            from_stage(&names, step, from, findings);
        }
    }
}

/// `FROM image` or `FROM image AS name`.
fn form(stage: &Stage<'_>, findings: &mut Findings) {
    let found = words(&stage.from.arguments, stage.from.escape);
    let is_named = || found[1].text.eq_ignore_ascii_case("as");
    // Nothing at all is another rule's.
    if matches!(found.len(), 0 | 1) || (found.len() == 3 && is_named()) {
        return;
    }
    let message = "FROM takes an image and a name for the stage, and nothing else; the build fails here";
    findings.error("from-form", stage.from.line, message, format!("FROM {} AS <name>", plain(&stage.image)));
}

/// Variables of a `FROM` that nothing gives a value.
fn arguments(stage: &Stage<'_>, scope: &Scope, findings: &mut Findings) {
    let Some(name) = variables(&stage.image).into_iter().find(|name| !scope.is_declared(name)) else {
        return;
    };
    let message = format!(
        "{} is not declared before the first FROM, so it is empty here; an ARG inside of a stage does not count",
        quote(name)
    );
    findings.warning(
        "from-argument",
        stage.from.line,
        message,
        format!("above the first FROM: ARG {}=<value>", plain(name)),
    );
}

/// Names of variables without a default of their own.
fn variables(text: &str) -> Vec<&str> {
    let end =
        |text: &str| text.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).unwrap_or(text.len());
    let mut names = Vec::new();
    for (at, _) in text.match_indices('$') {
        let rest = &text[at + 1..];
        let name = match rest.strip_prefix('{') {
            Some(inner) if inner[end(inner)..].starts_with('}') => &inner[..end(inner)],
            Some(_) => "",
            None => &rest[..end(rest)],
        };
        if !name.is_empty() {
            names.push(name);
        }
    }
    names
}

fn target(subject: &Subject<'_>, findings: &mut Findings) {
    let Some(wanted) = subject.context.target else { return };
    let Some(last) = subject.stages.last() else { return };
    if find_stage(&subject.stages, wanted).is_none() {
        let message = format!("no stage is named {}, which is to be built", quote(wanted));
        findings.error(
            "target-unknown",
            last.from.line,
            message,
            format!("FROM {} AS {}", plain(&last.image), plain(wanted)),
        );
    }
}

/// `--from=` names an earlier stage, an image, or a context of its own.
fn from_stage(names: &Names<'_>, step: &Step<'_>, from: &str, findings: &mut Findings) {
    let (line, own) = (step.instruction.line, step.stage);
    let is_image = from.contains(['/', ':', '@', '$', '.']);
    if from.is_empty() || is_image || from.eq_ignore_ascii_case("scratch") {
        return;
    }
    match names.first.get(from.to_lowercase().as_str()) {
        Some(first) if *first < own => return,
        Some(_) => {
            let message = format!("the stage {} does not come before this one", quote(from));
            return findings.error("copy-from", line, message, "move that stage above this one");
        }
        None => {}
    }
    let is_short = |name: &&str| name.len() <= NAME_MAX;
    let earlier = names.named.iter().take_while(|(index, _)| *index < own).map(|(_, name)| *name);
    let earlier: Vec<&str> = earlier.filter(is_short).take(NAMES_MAX).collect();
    let known = if earlier.is_empty() { "none has a name".to_owned() } else { earlier.join(", ") };
    if from.chars().all(|c| c.is_ascii_digit()) {
        if from.parse::<usize>().is_ok_and(|index| index < own) {
            return;
        }
        let message = format!("there is no stage {} before this one; they are counted from 0", quote(from));
        let fix = format!("give the stage a name with AS and write that name; there are: {known}");
        return findings.error("copy-from", line, message, fix);
    }
    let message = format!(
        "no stage before this one is named {}, so Docker looks for an image of that name",
        quote(from)
    );
    let near = if is_short(&from) { nearest(from, &earlier) } else { None };
    match near {
        Some(near) => findings.error("copy-from", line, message, format!("did you mean --from={near}?")),
        None => {
            let from = plain(from);
            let fix = format!("name a stage ({known}), or the version of the image: {from}:<version>");
            findings.warning("copy-from", line, message, fix);
        }
    }
}
