//! Programs of Node.js: package managers, workspaces, frameworks. A file for each question: which packages (`package`,
//! `workspace`), which version (`version`), how they are installed (`install`), what the program is (`framework`), what
//! starts it (`command`), and the text that follows (`render`). Tests: `tests/it/stack.rs`.

mod command;
pub(super) mod framework;
pub(super) mod install;
pub(super) mod package;
pub(super) mod render;
mod version;
mod workspace;

use havre_core::name::{ProbeTarget, RelativePath};

use crate::stack::node::command::Start;
use crate::stack::node::framework::{Framework, Output, is_server};
use crate::stack::node::install::Install;
use crate::stack::node::package::Package;
use crate::stack::node::workspace::Project;
use crate::stack::snapshot::{Snapshot, join};
use crate::stack::{Found, StackError, Written, has_other_language, procfile, unclear};

/// What never belongs into an image.
const IGNORED: [&str; 6] =
    [".git", "**/node_modules", "**/.DS_Store", "**/*.log", "**/coverage", "**/.turbo"];
/// Variables of a program come with its task; what a machine of a developer has must not end in an image.
const SECRETS: [&str; 7] = [
    "**/.env",
    "**/.env.local",
    "**/.env.*.local",
    "**/.env.development",
    "**/.env.test",
    "**/.env.staging",
    "**/.env.production",
];

/// Answers for folders with a `package.json`.
pub(crate) fn find(snapshot: &Snapshot, root: &RelativePath) -> Found {
    let package = match Package::read(snapshot, root)? {
        Ok(package) => package,
        Err(error) => return Some(Err(error)),
    };
    // Programs of other languages have one for their style sheets.
    let is_ours = is_server(&package) || package.script("start").is_some();
    if !is_ours && has_other_language(snapshot, root) {
        return None;
    }
    Some(write(snapshot, package))
}

/// What programs and sites have in common: where their packages come from.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) project: Project,
    pub(crate) install: Install,
    /// Major version of Node.js.
    pub(crate) node: u32,
    /// What was decided, a sentence each.
    pub(crate) notes: Vec<String>,
}

impl Plan {
    /// Looks around a package.
    pub(crate) fn read(snapshot: &Snapshot, package: Package) -> Result<Self, StackError> {
        let project = Project::read(snapshot, package)?;
        let (node, note) = version::find(snapshot, &project)?;
        let install = Install::find(snapshot, &project, node)?;
        let mut notes = vec![note];
        notes.extend(install.notes.iter().cloned());
        if project.needed.len() > 1 {
            let names = project.needed.iter().map(|package| package.folder.as_str());
            notes.push(format!(
                "It is made of these workspaces: {}.",
                names.collect::<Vec<&str>>().join(", ")
            ));
        }
        Ok(Self { project, install, node, notes })
    }

    /// `Node.js 22, pnpm, NestJS`.
    pub(crate) fn stack(&self, framework: &str) -> String {
        let comma = if framework.is_empty() { "" } else { ", " };
        format!("Node.js {}, {}{comma}{framework}", self.node, self.install.name())
    }

    /// Commands that build the program and the workspaces it is made of, in order.
    pub(crate) fn builds(&self) -> Result<Vec<String>, StackError> {
        let packages = self.project.needed.iter().filter(|package| package.script("build").is_some());
        packages.map(|package| self.install.run(&self.project, package, "build")).collect()
    }

    /// The folder of the program in an image.
    pub(crate) fn home(&self) -> String {
        match self.project.inside(&self.project.program.folder) {
            "." => "/app".to_owned(),
            folder => format!("/app/{folder}"),
        }
    }

    /// What stays out of the context. `secrets` are files of variables; `made` are folders that a build makes, as seen from
    /// each package.
    pub(crate) fn ignore(&self, secrets: &[&str], made: &[&str]) -> String {
        let mut text = String::new();
        for line in IGNORED.iter().chain(secrets) {
            text.push_str(&format!("{line}\n"));
        }
        for package in self.project.needed.iter().filter(|package| package.script("build").is_some()) {
            for folder in made {
                text.push_str(&format!("{}\n", join(package.folder.as_str(), folder)));
            }
        }
        for package in self.project.others() {
            text.push_str(&format!("{0}\n!{0}/package.json\n", package.folder));
        }
        text
    }
}

/// A program, all decided.
#[derive(Debug)]
struct Program {
    plan: Plan,
    framework: Framework,
    start: Start,
    builds: Vec<String>,
    health: Option<String>,
}

fn write(snapshot: &Snapshot, package: Package) -> Result<Written, StackError> {
    let mut plan = Plan::read(snapshot, package)?;
    refuse_mere_ties(&plan.project)?;
    let framework = framework::find(snapshot, &plan.project.program)?;
    let program = &plan.project.program;
    let root = program.folder.clone();
    if framework.needs_build && program.script("build").is_none() {
        let reason = format!("{} must be built, and package.json has no script `build`", framework.name);
        return Err(unclear(&root, reason, "add one"));
    }
    let start = command::find(snapshot, &plan.project, &framework)?;
    let builds = plan.builds()?;
    plan.notes.extend(framework.notes.iter().chain(&start.notes).cloned());
    plan.notes.extend(procfile::notes(snapshot, &root));
    if let Some(why) = plan.install.keeps_all.filter(|_| framework.output == Output::Files) {
        plan.notes.push(format!("Packages for the build stay in the image: {why}."));
    }
    let usual = framework.health.map(str::to_owned);
    let health = procfile::health_path(snapshot, &root).or(usual);
    let health = health.filter(|path| path.parse::<ProbeTarget>().is_ok());
    let made = ["dist", ".next", ".nuxt", ".output", ".svelte-kit"];
    let makes_pages = framework.needs_build && framework.name != "NestJS";
    // Those read `.env.production` when they build, and put what is public of it into their pages.
    let secrets = if makes_pages { &SECRETS[..6] } else { &SECRETS[..] };
    let (stack, ignore) = (plan.stack(framework.name), plan.ignore(secrets, &made));
    let notes = plan.notes.clone();
    let program = Program { plan, framework, start, builds, health };
    let dockerfile = render::program(snapshot, &program, &stack)?;
    let Program { framework, health, .. } = program;
    Ok(Written { stack, dockerfile, ignore, port: framework.port, health, output: None, notes })
}

/// The top of a monorepo that runs nothing itself.
fn refuse_mere_ties(project: &Project) -> Result<(), StackError> {
    let program = &project.program;
    let runs = program.script("start").is_some() || program.text("/main").is_some() || is_server(program);
    if project.is_workspace() || project.workspaces.is_empty() || runs {
        return Ok(());
    }
    let folders = project.workspaces.iter().filter(|package| package.script("start").is_some());
    let mut names: Vec<&str> = folders.map(|package| package.folder.as_str()).take(10).collect();
    if names.is_empty() {
        names = project.workspaces.iter().map(|package| package.folder.as_str()).take(10).collect();
    }
    let hint = format!("name the folder of one of them as `root` in havre.toml: {}", names.join(", "));
    Err(unclear(&program.folder, "its package.json only ties several packages together", hint))
}
