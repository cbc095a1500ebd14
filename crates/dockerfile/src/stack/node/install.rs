//! Which package manager, and its commands in an image: what is copied first, how packages are installed, how those that
//! only a build needs go away again. Tests: `tests/it/stack.rs`.

use havre_core::name::RelativePath;

use crate::stack::node::package::Package;
use crate::stack::node::workspace::{LOCKFILES, Project};
use crate::stack::snapshot::{Snapshot, join};
use crate::stack::{StackError, unclear};

/// First version of Node.js whose images come without corepack.
const WITHOUT_COREPACK: u32 = 25;
/// Scripts of this kind need none of the program's files when packages are installed.
const HARMLESS: [&str; 9] = [
    "husky",
    "patch-package",
    "only-allow",
    "simple-git-hooks",
    "lefthook",
    "prisma generate",
    "nuxt prepare",
    "nuxi prepare",
    "svelte-kit sync",
];
/// Packages that are compiled when they are installed.
const COMPILED: [&str; 6] = ["node-gyp", "node-sass", "node-pty", "canvas", "isolated-vm", "cpu-features"];

/// A package manager.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Manager {
    Npm,
    Pnpm,
    /// Yarn 1.
    Yarn,
    /// Yarn from 2 on.
    Berry,
}

/// Which packages are installed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Extent {
    /// Those a build needs as well.
    Everything,
    /// Those the program needs when it runs.
    Production,
}

/// How packages get into an image.
#[derive(Debug, Clone)]
pub(crate) struct Install {
    pub(crate) manager: Manager,
    lockfile: Option<&'static str>,
    /// Instructions that make the manager ready.
    setup: Vec<String>,
    /// Files beside `package.json` the installation reads, as seen from where it happens.
    files: Vec<&'static str>,
    /// Folders it reads, likewise.
    folders: Vec<String>,
    /// It may read anything, so that all files come before it.
    needs_all_files: bool,
    /// Packages of Debian it needs.
    pub(crate) debian_to_install: Vec<&'static str>,
    /// Packages of Debian the program needs.
    pub(crate) debian_to_run: Vec<&'static str>,
    /// Scripts of the program's own packages run with it.
    has_hooks: bool,
    /// Why packages for the build cannot be taken away again.
    pub(crate) keeps_all: Option<&'static str>,
    pub(crate) notes: Vec<String>,
}

/// `packageManager` of a `package.json`.
struct Declared<'a> {
    name: &'a str,
    major: Option<u32>,
}

impl Install {
    /// Looks at lockfiles, `packageManager` and settings.
    pub(crate) fn find(snapshot: &Snapshot, project: &Project, node: u32) -> Result<Self, StackError> {
        let declared = project.top.text("/packageManager").and_then(parse_declared);
        let (manager, lockfile, mut notes) = find_manager(snapshot, project, declared.as_ref())?;
        let mut install = Self {
            manager,
            lockfile,
            setup: Vec::new(),
            files: find_files(snapshot, project.base(), manager),
            folders: find_folders(snapshot, project),
            needs_all_files: needs_all_files(project),
            debian_to_install: Vec::new(),
            debian_to_run: Vec::new(),
            has_hooks: everyone(project).any(|package| !package.hooks().is_empty()),
            keeps_all: None,
            notes: Vec::new(),
        };
        match manager {
            Manager::Npm | Manager::Yarn => {}
            Manager::Pnpm => {
                notes.extend(install.prepare_pnpm(snapshot, project, declared.as_ref(), node));
            }
            Manager::Berry => install.prepare_berry(snapshot, project, declared.as_ref(), node),
        }
        install.find_debian(project);
        if install.needs_all_files {
            notes.push(
                "All files come before the packages, because their installation may read them: a change of any file \
                 installs anew."
                    .to_owned(),
            );
        }
        install.notes = notes;
        Ok(install)
    }

    /// Its name, for people.
    pub(crate) fn name(&self) -> &'static str {
        match self.manager {
            Manager::Npm => "npm",
            Manager::Pnpm => "pnpm",
            Manager::Yarn | Manager::Berry => "yarn",
        }
    }

    fn prepare_pnpm(
        &mut self,
        snapshot: &Snapshot,
        project: &Project,
        declared: Option<&Declared<'_>>,
        node: u32,
    ) -> Option<String> {
        self.setup.push(
            "ENV PNPM_HOME=/pnpm COREPACK_ENABLE_DOWNLOAD_PROMPT=0 COREPACK_ENABLE_AUTO_PIN=0".to_owned(),
        );
        let has_client = everyone(project).any(|package| package.runs_with("@prisma/client"));
        if has_client && !everyone(project).any(|package| package.runs_with("prisma")) {
            self.keeps_all = Some("Prisma's client is made by packages for the build");
        }
        let enable = corepack(node);
        if declared.is_some_and(|declared| declared.name == "pnpm") {
            self.setup.push(format!("RUN {enable}"));
            return None;
        }
        let major = guess_pnpm(snapshot, project.base());
        self.setup.push(format!("RUN {enable} && corepack prepare pnpm@latest-{major} --activate"));
        Some(format!("pnpm {major}, by the lockfile; `packageManager` of package.json fixes the version."))
    }

    fn prepare_berry(
        &mut self,
        snapshot: &Snapshot,
        project: &Project,
        declared: Option<&Declared<'_>>,
        node: u32,
    ) {
        self.setup.push(
            "ENV YARN_NODE_LINKER=node-modules YARN_ENABLE_GLOBAL_CACHE=true YARN_ENABLE_TELEMETRY=0 \
             COREPACK_ENABLE_DOWNLOAD_PROMPT=0"
                .to_owned(),
        );
        let base = project.base();
        let enable = corepack(node);
        let carried = snapshot.path(base, ".yarn/releases/yarn-");
        let release = snapshot.paths.iter().find_map(|path| path.strip_prefix(&carried));
        let is_declared = declared.is_some_and(|declared| declared.name == "yarn");
        self.setup.push(if is_declared || release.is_some() {
            format!("RUN {enable}")
        } else {
            format!("RUN {enable} && corepack prepare yarn@stable --activate")
        });
        let number = |text: &str| text.split('.').next()?.parse::<u32>().ok();
        let major = declared.and_then(|declared| declared.major).or_else(|| release.and_then(number));
        let plugin = ".yarn/plugins/@yarnpkg/plugin-workspace-tools.cjs";
        if major.is_some_and(|major| major < 4) && !snapshot.has(base, plugin) {
            self.keeps_all = Some("yarn before 4 cannot take them away without its plugin workspace-tools");
        }
    }

    fn find_debian(&mut self, project: &Project) {
        let has = |names: &[&str]| {
            everyone(project).any(|package| names.iter().any(|name| package.depends_on(name)))
        };
        if has(&["prisma", "@prisma/client"]) {
            self.debian_to_install.push("openssl");
            self.debian_to_run.push("openssl");
        }
        if has(&COMPILED) {
            self.debian_to_install.extend(["g++", "make", "python3"]);
        }
        let is_of_git = |version: &str| {
            version.starts_with("git") || version.ends_with(".git") || version.contains("git+")
        };
        if everyone(project).any(|package| package.dependencies().any(|(_, version)| is_of_git(version))) {
            self.debian_to_install.extend(["ca-certificates", "git"]);
        }
    }

    /// Whether the packages for production can be installed by themselves: scripts of the program's own packages often
    /// need those for the build.
    pub(crate) fn can_leave_out(&self) -> bool {
        self.keeps_all.is_none() && (!self.has_hooks || self.manager == Manager::Pnpm)
    }

    /// Instructions before the installation.
    pub(crate) fn prepare(&self, project: &Project) -> Vec<String> {
        let base = project.base();
        let mut lines = self.setup.clone();
        if self.needs_all_files {
            lines.push(copy_all(base));
            return lines;
        }
        lines.push(
            "# Before all other files, so that packages are installed anew only when they change.".to_owned(),
        );
        let names = ["package.json"].into_iter().chain(self.lockfile).chain(self.files.iter().copied());
        let paths: Vec<String> = names.map(|name| join(base.as_str(), name)).collect();
        lines.push(format!("COPY {} ./", paths.join(" ")));
        for folder in &self.folders {
            lines.push(format!("COPY {} {folder}", join(base.as_str(), folder)));
        }
        for package in project.workspaces.iter().filter(|package| package.folder != *base) {
            lines.push(format!("COPY {}/package.json {}/", package.folder, project.inside(&package.folder)));
        }
        lines
    }

    /// Instructions that install.
    pub(crate) fn install(&self, project: &Project, extent: Extent) -> Result<Vec<String>, StackError> {
        let is_locked = self.lockfile.is_some();
        let is_production = extent == Extent::Production;
        let mut lines = Vec::new();
        let mut command = match (self.manager, is_locked) {
            (Manager::Npm, true) => "npm ci --no-audit --no-fund".to_owned(),
            (Manager::Npm, false) => "npm install --no-audit --no-fund".to_owned(),
            (Manager::Pnpm, true) => "pnpm install --frozen-lockfile".to_owned(),
            (Manager::Pnpm, false) => "pnpm install --no-frozen-lockfile".to_owned(),
            (Manager::Yarn, true) => "yarn install --frozen-lockfile".to_owned(),
            (Manager::Berry, _) if is_production => focus(project)?,
            (Manager::Berry, true) => "yarn install --immutable".to_owned(),
            (Manager::Yarn | Manager::Berry, false) => "yarn install".to_owned(),
        };
        match self.manager {
            Manager::Npm if is_production => command.push_str(" --omit=dev"),
            Manager::Yarn if is_production => command.push_str(" --production"),
            Manager::Pnpm => {
                if is_production {
                    command.push_str(" --prod");
                    lines.extend(without_hooks(project));
                }
                if project.is_workspace() {
                    command.push_str(&format!(" --filter={}...", name_of(&project.program)?));
                }
            }
            _ => {}
        }
        lines.push(self.with_cache(&command));
        Ok(lines)
    }

    /// Instructions that take away what only the build needs, behind those that installed everything; for pnpm, instead of
    /// them.
    pub(crate) fn reduce(&self, project: &Project) -> Result<Vec<String>, StackError> {
        let command = match self.manager {
            Manager::Npm => "npm prune --omit=dev --no-audit --no-fund".to_owned(),
            Manager::Pnpm => return self.install(project, Extent::Production),
            // It keeps what is there and was compiled, and removes the rest.
            Manager::Yarn => {
                let frozen = if self.lockfile.is_some() { " --frozen-lockfile" } else { "" };
                format!("yarn install{frozen} --production --ignore-scripts --prefer-offline")
            }
            Manager::Berry => format!("YARN_ENABLE_SCRIPTS=false {}", focus(project)?),
        };
        Ok(vec![self.with_cache(&command)])
    }

    /// Command that runs a script of a package, as seen from where packages are installed.
    pub(crate) fn run(
        &self,
        project: &Project,
        package: &Package,
        script: &str,
    ) -> Result<String, StackError> {
        if package.folder == *project.base() {
            return Ok(format!("{} run {script}", self.name()));
        }
        Ok(match self.manager {
            Manager::Npm => format!("npm run {script} --workspace={}", project.inside(&package.folder)),
            Manager::Pnpm => format!("pnpm --filter={} run {script}", name_of(package)?),
            Manager::Yarn | Manager::Berry => format!("yarn workspace {} run {script}", name_of(package)?),
        })
    }

    fn with_cache(&self, command: &str) -> String {
        let mount = match self.manager {
            Manager::Npm => "target=/root/.npm",
            Manager::Pnpm => "id=pnpm,target=/pnpm/store",
            // Yarn 1 damages its cache when two of it write at once.
            Manager::Yarn => "target=/usr/local/share/.cache/yarn,sharing=locked",
            Manager::Berry => "target=/root/.yarn/berry/cache",
        };
        format!("RUN --mount=type=cache,{mount} {command}")
    }
}

/// The program, the package where everything is installed, and all between.
fn everyone(project: &Project) -> impl Iterator<Item = &Package> {
    std::iter::once(&project.top).chain(&project.needed).chain(&project.workspaces)
}

/// Everything below the folder where packages are installed.
pub(crate) fn copy_all(base: &RelativePath) -> String {
    if base.as_str() == "." { "COPY . .".to_owned() } else { format!("COPY {base} ./") }
}

fn corepack(node: u32) -> &'static str {
    if node >= WITHOUT_COREPACK {
        "npm install --global corepack && corepack enable"
    } else {
        "corepack enable"
    }
}

/// `pnpm@9.15.4+sha512.…`
fn parse_declared(text: &str) -> Option<Declared<'_>> {
    let (name, version) = text.split_once('@')?;
    let major = version.split('.').next()?.parse().ok();
    ["npm", "pnpm", "yarn", "bun"].contains(&name).then_some(Declared { name, major })
}

/// The manager, its lockfile, and what is worth saying.
fn find_manager(
    snapshot: &Snapshot,
    project: &Project,
    declared: Option<&Declared<'_>>,
) -> Result<(Manager, Option<&'static str>, Vec<String>), StackError> {
    let base = project.base();
    let of_lockfile = |name: &str| match name {
        "pnpm-lock.yaml" => "pnpm",
        "yarn.lock" => "yarn",
        "bun.lock" | "bun.lockb" => "bun",
        _ => "npm",
    };
    let locks: Vec<&'static str> =
        LOCKFILES.iter().copied().filter(|name| snapshot.has(base, name)).collect();
    let named = declared.map(|declared| declared.name);
    let named = named.filter(|name| locks.is_empty() || locks.iter().any(|lock| of_lockfile(lock) == *name));
    let name = named
        .or_else(|| locks.first().map(|lock| of_lockfile(lock)))
        .unwrap_or_else(|| if snapshot.has(base, "pnpm-workspace.yaml") { "pnpm" } else { "npm" });
    let is_modern = declared.is_some_and(|declared| declared.name == "yarn" && declared.major >= Some(2))
        || snapshot.has(base, ".yarnrc.yml");
    let manager = match name {
        "pnpm" => Manager::Pnpm,
        "yarn" if is_modern => Manager::Berry,
        "yarn" => Manager::Yarn,
        "bun" => {
            let hint = "keep a lockfile of npm, pnpm or yarn, or write a Dockerfile from the image oven/bun";
            return Err(unclear(
                base,
                "its packages are installed by Bun, which Havre does not know yet",
                hint,
            ));
        }
        _ => Manager::Npm,
    };
    let lockfile = locks.iter().copied().find(|lock| of_lockfile(lock) == name);
    let mut notes = Vec::new();
    if lockfile.is_none() {
        notes.push(format!(
            "There is no lockfile, so two builds may get different packages: commit the one that `{name} install` makes."
        ));
    }
    let others = locks.iter().filter(|lock| of_lockfile(lock) != name).count();
    if others > 0 {
        notes.push(format!("There are lockfiles of several package managers; {name} is used."));
    }
    Ok((manager, lockfile, notes))
}

/// Version of pnpm that writes such a lockfile.
fn guess_pnpm(snapshot: &Snapshot, base: &RelativePath) -> u32 {
    let lock = snapshot.text(base, "pnpm-lock.yaml").unwrap_or_default();
    let version = lock.lines().take(5).find_map(|line| line.strip_prefix("lockfileVersion:"));
    let version = version.unwrap_or_default().trim().trim_matches(['"', '\'']);
    // Settings that moved into this file with version 10.
    let moved = ["onlyBuiltDependencies:", "ignoredBuiltDependencies:", "overrides:", "allowBuilds:"];
    let settings = snapshot.text(base, "pnpm-workspace.yaml").unwrap_or_default();
    match version.split('.').next() {
        Some("5") => 7,
        Some("6") => 8,
        _ if moved.iter().any(|key| settings.contains(key)) => 10,
        _ => 9,
    }
}

fn find_files(snapshot: &Snapshot, base: &RelativePath, manager: Manager) -> Vec<&'static str> {
    let names: &[&'static str] = match manager {
        Manager::Npm => &[".npmrc"],
        Manager::Pnpm => &["pnpm-workspace.yaml", ".npmrc", ".pnpmfile.cjs"],
        Manager::Yarn => &[".yarnrc", ".npmrc"],
        Manager::Berry => &[".yarnrc.yml"],
    };
    names.iter().copied().filter(|name| snapshot.has(base, name)).collect()
}

fn find_folders(snapshot: &Snapshot, project: &Project) -> Vec<String> {
    let base = project.base();
    let usual = ["patches", ".yarn/patches", ".yarn/plugins", ".yarn/releases"];
    let mut folders: Vec<String> =
        usual.iter().filter(|name| snapshot.has_folder(base, name)).map(|name| (*name).to_owned()).collect();
    for package in &project.needed {
        let has_schema = package.depends_on("@prisma/client") || package.depends_on("prisma");
        if has_schema && snapshot.has_folder(&package.folder, "prisma") {
            folders.push(join(project.inside(&package.folder), "prisma"));
        }
    }
    folders
}

/// Packages that are folders of the repository, or scripts that may read any file.
fn needs_all_files(project: &Project) -> bool {
    let is_local =
        |version: &str| ["file:", "link:", "portal:"].iter().any(|start| version.starts_with(start));
    let is_harmless = |script: &str| HARMLESS.iter().any(|known| script.contains(known));
    everyone(project).any(|package| {
        package.dependencies().any(|(_, version)| is_local(version))
            || package.hooks().iter().any(|(_, script)| !is_harmless(script))
    })
}

/// Production only, of one workspace or of the whole.
fn focus(project: &Project) -> Result<String, StackError> {
    let mut command = "yarn workspaces focus --production".to_owned();
    if project.is_workspace() {
        command.push(' ');
        command.push_str(name_of(&project.program)?);
    }
    Ok(command)
}

/// Scripts that run at every installation often need packages for the build, which are left out here.
fn without_hooks(project: &Project) -> Vec<String> {
    let mut lines = Vec::new();
    let mut packages: Vec<&Package> = vec![&project.top];
    packages.extend(project.needed.iter().filter(|package| package.folder != *project.base()));
    for package in packages {
        let hooks: Vec<String> = package.hooks().iter().map(|(name, _)| format!("scripts.{name}")).collect();
        if hooks.is_empty() {
            continue;
        }
        let folder = project.inside(&package.folder);
        let enter = if folder == "." { String::new() } else { format!("cd {folder} && ") };
        lines.push(format!("RUN {enter}npm pkg delete {}", hooks.join(" ")));
    }
    lines
}

/// The name by which a manager finds a workspace.
fn name_of(package: &Package) -> Result<&str, StackError> {
    package.name().ok_or_else(|| {
        let reason = "its package.json has no `name`, or one that registries would refuse";
        unclear(&package.folder, reason, "give it one: the package manager finds workspaces by their names")
    })
}
