//! The Dockerfile of a program of Node.js, and the stages it shares with sites: `packages`, `build`, `production`, and the
//! one that runs. Decides only which lines are needed. Tests: `tests/it/stack.rs`.

use crate::stack::StackError;
use crate::stack::node::framework::Output;
use crate::stack::node::install::{Extent, Manager, copy_all};
use crate::stack::node::{Plan, Program};
use crate::stack::snapshot::Snapshot;
use crate::stack::text::Document;

/// A user that owns nothing; its home is the one folder every image lets it write to.
const USER: &str = "RUN groupadd --gid 1001 app && useradd --uid 1001 --gid 1001 --no-create-home --home-dir /tmp \
                    --shell /usr/sbin/nologin app";
/// Where the cache of Next.js survives from build to build.
const NEXT_CACHE: &str = ".next/cache";

/// The image everything begins with.
fn image(plan: &Plan) -> String {
    format!("node:{}-bookworm-slim", plan.node)
}

fn debian(names: &[&str]) -> Option<String> {
    (!names.is_empty()).then(|| {
        format!(
            "RUN apt-get update && apt-get install --yes --no-install-recommends {} && rm -rf /var/lib/apt/lists/*",
            names.join(" ")
        )
    })
}

/// Everything that is installed before a file of the program comes in, so that it is kept until packages change.
pub(crate) fn packages(
    document: &mut Document,
    plan: &Plan,
    extent: Option<Extent>,
) -> Result<(), StackError> {
    document.stage(&image(plan), "packages");
    if let Some(line) = debian(&plan.install.debian_to_install) {
        document.line(line);
    }
    document.line("WORKDIR /app");
    for line in plan.install.prepare(&plan.project) {
        document.line(line);
    }
    if let Some(extent) = extent {
        for line in plan.install.install(&plan.project, extent)? {
            document.line(line);
        }
    }
    Ok(())
}

/// Everything that is built. pnpm installs here rather than in `packages`, because it cannot take packages away again as
/// well as it installs them.
pub(crate) fn build(document: &mut Document, plan: &Plan, builds: &[String]) -> Result<(), StackError> {
    document.stage("packages", "build");
    if plan.install.manager == Manager::Pnpm {
        for line in plan.install.install(&plan.project, Extent::Everything)? {
            document.line(line);
        }
    }
    document.line(copy_all(plan.project.base()));
    for command in builds {
        document.line(format!("RUN {command}"));
    }
    Ok(())
}

/// How far `packages` goes when there is a build.
pub(crate) fn extent_before_build(plan: &Plan) -> Option<Extent> {
    (plan.install.manager != Manager::Pnpm).then_some(Extent::Everything)
}

/// The whole Dockerfile of a program.
pub(super) fn program(snapshot: &Snapshot, program: &Program, stack: &str) -> Result<String, StackError> {
    let plan = &program.plan;
    let mut notes = vec![format!("{stack}.")];
    notes.extend(plan.notes.iter().cloned());
    let mut document = Document::new(&notes);
    let keeps_all = plan.install.keeps_all.is_some() || program.start.needs.is_some();
    let is_built = !program.builds.is_empty();
    if is_built {
        packages(&mut document, plan, extent_before_build(plan))?;
        build(&mut document, plan, &with_next_cache(program))?;
        if program.framework.output == Output::Files && !keeps_all {
            document.comment("What runs has packages of its own, without those for the build.");
            document.line(remove_modules(plan));
            document.stage("packages", "production");
            for line in plan.install.reduce(&plan.project)? {
                document.line(line);
            }
        }
    } else {
        let is_lean = !keeps_all && plan.install.can_leave_out();
        let extent = if is_lean { Extent::Production } else { Extent::Everything };
        packages(&mut document, plan, Some(extent))?;
        if !is_lean && !keeps_all {
            for line in plan.install.reduce(&plan.project)? {
                document.line(line);
            }
        }
    }
    run(&mut document, snapshot, program, if keeps_all { Kept::All } else { Kept::Production });
    Ok(document.finish())
}

/// Which packages come into the image that runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kept {
    All,
    Production,
}

/// The stage that runs.
fn run(document: &mut Document, snapshot: &Snapshot, program: &Program, kept: Kept) {
    let (plan, framework) = (&program.plan, &program.framework);
    document.stage(&image(plan), "");
    document.line(format!("ENV {}", variables(program).join(" ")));
    if let Some(line) = debian(&plan.install.debian_to_run) {
        document.line(line);
    }
    document.comment("A user that owns no file can change none.");
    document.line(USER);
    document.line("WORKDIR /app");
    match framework.output {
        Output::Files => copy_files(document, program, kept),
        Output::Folder(folder) => {
            document.line(format!("COPY --from=build {}/{folder} ./{folder}", plan.home()));
        }
        Output::Standalone => copy_standalone(document, snapshot, plan),
    }
    let home = plan.home();
    let is_at_top = home == "/app" || matches!(framework.output, Output::Folder(_));
    if !is_at_top {
        document.line(format!("WORKDIR {home}"));
    }
    document.line("USER 1001");
    document.line(format!("EXPOSE {}", framework.port));
    if let Some(path) = &program.health {
        document.exec(
            "HEALTHCHECK --interval=30s --timeout=3s --start-period=30s CMD",
            &health_check(framework.port, path),
        );
    }
    document.exec("CMD", &program.start.argv);
}

/// Variables of the stage that runs, ours only. Tasks bring a `PORT` of their own.
fn variables(program: &Program) -> Vec<String> {
    let mut variables = vec!["NODE_ENV=production".to_owned(), format!("PORT={}", program.framework.port)];
    variables.extend(program.framework.variables.iter().map(|variable| (*variable).to_owned()));
    if program.start.is_looked_up() {
        let home = program.plan.home();
        let own = if home == "/app" { String::new() } else { format!("{home}/node_modules/.bin:") };
        variables.push(format!("PATH={own}/app/node_modules/.bin:$PATH"));
    }
    variables
}

/// Packages first, because they change less often than the program.
fn copy_files(document: &mut Document, program: &Program, kept: Kept) {
    let project = &program.plan.project;
    let is_built = !program.builds.is_empty();
    if is_built && kept == Kept::All {
        document.line("COPY --from=build /app ./");
        return;
    }
    let from = if is_built { "production" } else { "packages" };
    document.line(format!("COPY --from={from} /app ./"));
    if !project.is_workspace() {
        document.line(if is_built {
            "COPY --from=build /app ./".to_owned()
        } else {
            copy_all(project.base())
        });
        return;
    }
    for package in &project.needed {
        let inside = project.inside(&package.folder);
        document.line(if is_built {
            format!("COPY --from=build /app/{inside} ./{inside}")
        } else {
            format!("COPY {} ./{inside}", package.folder)
        });
    }
}

fn copy_standalone(document: &mut Document, snapshot: &Snapshot, plan: &Plan) {
    let home = plan.home();
    let inside = plan.project.inside(&plan.project.program.folder);
    let below = if inside == "." { String::new() } else { format!("{inside}/") };
    document.line(format!("COPY --from=build {home}/.next/standalone ./"));
    document.line(format!("COPY --from=build {home}/.next/static ./{below}.next/static"));
    if snapshot.has_folder(&plan.project.program.folder, "public") {
        document.line(format!("COPY --from=build {home}/public ./{below}public"));
    }
    document.line(format!("RUN install --directory --owner=1001 --group=1001 {below}{NEXT_CACHE}"));
}

/// What was installed for the build stays behind; `production` has its own.
fn remove_modules(plan: &Plan) -> String {
    let project = &plan.project;
    let packages = if project.is_workspace() { &project.needed } else { &project.workspaces };
    let mut folders = vec!["node_modules".to_owned()];
    let inside = packages.iter().map(|package| project.inside(&package.folder));
    folders.extend(inside.filter(|folder| *folder != ".").map(|folder| format!("{folder}/node_modules")));
    format!("RUN rm -rf {}", folders.join(" "))
}

/// The commands of the build; with a cache of its own where the framework has one.
fn with_next_cache(program: &Program) -> Vec<String> {
    let mut builds = program.builds.clone();
    let is_next = program.framework.name == "Next.js";
    if let Some(last) = builds.last_mut().filter(|_| is_next) {
        let name = program.plan.project.program.name().unwrap_or("app").to_ascii_lowercase();
        let name = name.replace(|c: char| !c.is_ascii_alphanumeric(), "-");
        let home = program.plan.home();
        *last = format!(
            "--mount=type=cache,id=next-{name},target={home}/{NEXT_CACHE},sharing=locked NEXT_TELEMETRY_DISABLED=1 {last}"
        );
    }
    builds
}

/// Asks the program by Node.js itself, so that the image needs no other tool.
fn health_check(port: u16, path: &str) -> Vec<String> {
    let path = serde_json::Value::from(path).to_string();
    let script = format!(
        "fetch('http://127.0.0.1:'+(process.env.PORT||{port})+{path}).then(r=>process.exit(r.ok?0:1),()=>process.exit(1))"
    );
    vec!["node".to_owned(), "-e".to_owned(), script]
}
