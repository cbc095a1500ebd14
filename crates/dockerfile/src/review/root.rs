//! Rule about the user a program runs as. Root in a container is one mistake away from root on the machine.

use crate::file::{Keyword, words};
use crate::review::Findings;
use crate::review::quote::quote;
use crate::review::subject::{Step, Subject, Variables};

/// Images that run as somebody else, by their names.
const ROOTLESS: [&str; 3] = ["unprivileged", "nonroot", "rootless"];
/// Owners whose images do.
const OWNERS: [&str; 2] = ["bitnami/", "chainguard/"];
/// Images whose own entrypoint begins as root to change files, and goes on as somebody else.
const STEPPING_DOWN: [&str; 12] = [
    "postgres",
    "redis",
    "valkey/valkey",
    "mysql",
    "mariadb",
    "mongo",
    "rabbitmq",
    "memcached",
    "influxdb",
    "consul",
    "vault",
    "elasticsearch",
];
/// Programs that go on as somebody else.
const STEPS: [&str; 4] = ["gosu", "su-exec", "setpriv", "runuser"];

pub(crate) fn check(subject: &Subject<'_>, findings: &mut Findings) {
    let Some(last) = subject.last_stage().filter(|stage| subject.is_shipped(stage.index)) else { return };
    let mut variables = Variables::new(subject.file);
    let mut user: Option<(u32, Option<String>)> = None;
    for step in subject.shipped() {
        variables.enter(step);
        if step.instruction.keyword == Keyword::User {
            user = Some((step.instruction.line, named(step, &variables)));
        }
    }
    if steps_down(subject) {
        return;
    }
    match user {
        // A value that comes with the build is whoever passes it to judge.
        Some((_, None)) => {}
        Some((line, Some(name))) if is_root(&name) => {
            let message =
                format!("the program runs as {}: who breaks into it is root in the container", quote(&name));
            findings.warning("root-user", line, message, fix(subject));
        }
        Some(_) => {}
        None if is_rootless(subject) || is_empty(subject) => {}
        None => {
            let message =
                "no USER is named, so the program runs as root: who breaks into it is root in the container";
            findings.warning("root-user", last.from.line, message, fix(subject));
        }
    }
}

/// The user without the group; `None` when it is not known.
fn named(step: &Step<'_>, variables: &Variables) -> Option<String> {
    let word = words(&step.instruction.arguments, step.instruction.escape).into_iter().next()?;
    let name = variables.scope.expand(&word.text)?;
    Some(name.split(':').next().unwrap_or_default().to_owned())
}

fn is_root(name: &str) -> bool {
    name.eq_ignore_ascii_case("root") || (!name.is_empty() && name.chars().all(|c| c == '0'))
}

/// Whether nothing can run: files that somebody takes out.
fn is_empty(subject: &Subject<'_>) -> bool {
    !subject.has_program() && subject.root_image() == "scratch"
}

/// Whether the base image says another user. An unknown one gets the benefit of the doubt.
fn is_rootless(subject: &Subject<'_>) -> bool {
    let Some(image) = subject.root_stage().and_then(|stage| stage.resolved.as_deref()) else { return true };
    let image = image.to_lowercase();
    ROOTLESS.iter().any(|word| image.contains(word)) || OWNERS.iter().any(|owner| image.contains(owner))
}

fn steps_down(subject: &Subject<'_>) -> bool {
    let programs = [Keyword::Entrypoint, Keyword::Cmd].map(|keyword| subject.effective(&keyword));
    let words = programs.iter().flatten().flat_map(|step| step.instruction.words());
    let mut names = words.map(|word| word.rsplit('/').next().unwrap_or_default().to_owned());
    if names.any(|name| STEPS.contains(&name.as_str())) {
        return true;
    }
    let has_own = subject.effective(&Keyword::Entrypoint).is_some();
    !has_own && STEPPING_DOWN.contains(&subject.root_image())
}

fn fix(subject: &Subject<'_>) -> String {
    match subject.root_image() {
        "node" => "above CMD: USER node".to_owned(),
        "nginx" => "FROM nginxinc/nginx-unprivileged:<version>, which listens on 8080".to_owned(),
        "oven/bun" => "above CMD: USER bun".to_owned(),
        _ => {
            "above CMD: USER 1000:1000, with COPY --chown=1000:1000 for what the program writes to".to_owned()
        }
    }
}
