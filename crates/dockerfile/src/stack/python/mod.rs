//! Python: the Dockerfile of a program with uv, Poetry, pip or no dependencies at all. What is installed how is in
//! `project.rs`, what starts it in `framework.rs`. Tests: `python/tests.rs`.

mod framework;
mod project;
#[cfg(test)]
mod tests;

use havre_core::name::RelativePath;

use crate::stack::folder::Folder;
use crate::stack::step::{self, Cache};
use crate::stack::text::Document;
use crate::stack::{Found, Snapshot, StackError, Written};

use framework::Start;
use project::{Installer, Project};

/// uv, whose version is a breaking one at each minor below 1: what is pinned reads every lock file since 0.5.
const UV: &str = "pip install 'uv>=0.5,<1'";
/// Poetry 2 reads the lock files of Poetry 1.
const POETRY: &str = "pip install 'poetry>=2,<3'";

/// What stays out of the context.
const IGNORED: [&str; 5] = ["**/.venv", "**/venv", "**/__pycache__", "**/*.pyc", "**/.pytest_cache"];

/// Writes the Dockerfile of a Python program.
pub(crate) fn find(snapshot: &Snapshot, root: &RelativePath) -> Found {
    let folder = Folder::new(snapshot, root);
    project::is_python(&folder).then(|| write(&folder))
}

fn write(folder: &Folder<'_>) -> Result<Written, StackError> {
    let project = project::read(folder)?;
    let start = framework::start(folder, &project)?;
    let mut notes: Vec<String> = project.notes.iter().chain(&start.notes).cloned().collect();
    notes.extend(folder.notes());
    let parts =
        [Some(format!("Python {}", project.python)), project.tool(), start.framework.map(str::to_owned)];
    let stack = parts.into_iter().flatten().collect::<Vec<_>>().join(", ");
    let mut document = step::begin(&stack, &notes);
    let image = format!("python:{}-slim-bookworm", project.python);
    document.stage(&image, "build");
    document.line("WORKDIR /app");
    step::apt(&mut document, &project.build_packages());
    install(&mut document, folder, &project);
    if let Some(manage) = start.collect {
        // The key is for this one step; the program gets its own from the environment.
        let collect = format!(
            "SECRET_KEY=build-only DJANGO_SECRET_KEY=build-only DATABASE_URL=sqlite:////tmp/build.sqlite3 python \
             {manage} collectstatic --noinput"
        );
        step::run(&mut document, &[], &[collect.as_str()]);
    }
    last_stage(&mut document, &image, folder, &project, &start);

    Ok(Written {
        stack,
        dockerfile: document.finish(),
        ignore: step::ignore(&step::SECRETS, &IGNORED),
        port: start.port,
        health: folder.health_or(start.health),
        output: None,
        notes,
    })
}

/// Dependencies into `/opt/venv`, then the program into `/app`: a change of the program installs nothing again.
fn install(document: &mut Document, folder: &Folder<'_>, project: &Project) {
    let pip = Cache::at("/root/.cache/pip");
    let uv = Cache::at("/root/.cache/uv");
    let make_venv = "python -m venv /opt/venv";
    match &project.installer {
        Installer::Uv { is_package, needs_sources } => {
            step::run(document, &[pip], &[UV]);
            document.line("ENV UV_PYTHON=/usr/local/bin/python UV_PYTHON_DOWNLOADS=never");
            document.line("ENV UV_PROJECT_ENVIRONMENT=/opt/venv UV_LINK_MODE=copy UV_COMPILE_BYTECODE=1");
            document.line("ENV PATH=/opt/venv/bin:$PATH");
            copy_before(document, folder, &["pyproject.toml", "uv.lock"], *needs_sources);
            let sync = "uv sync --frozen --no-dev";
            let dependencies = format!("{sync} --no-install-workspace");
            if !*needs_sources {
                step::run(document, std::slice::from_ref(&uv), &[dependencies.as_str()]);
                document.line(folder.copy_all());
            }
            if *is_package || *needs_sources {
                let whole = format!("{sync} --no-editable");
                step::run(document, &[uv], &[whole.as_str()]);
            }
        }
        Installer::Poetry { needs_sources } => {
            step::run(document, &[pip], &[POETRY, make_venv]);
            document.line("ENV VIRTUAL_ENV=/opt/venv POETRY_NO_INTERACTION=1 PATH=/opt/venv/bin:$PATH");
            copy_before(document, folder, &["pyproject.toml", "poetry.lock"], *needs_sources);
            let cache = Cache::at("/root/.cache/pypoetry");
            step::run(document, &[cache], &["poetry install --only main --no-root"]);
            copy_after(document, folder, *needs_sources);
        }
        Installer::Requirements { file, needs_sources } => {
            step::run(document, &[], &[make_venv]);
            document.line("ENV PATH=/opt/venv/bin:$PATH");
            copy_before(document, folder, &[*file], *needs_sources);
            let name = if *needs_sources { *file } else { file.rsplit('/').next().unwrap_or(*file) };
            let command = format!("pip install --requirement {name}");
            step::run(document, &[pip], &[command.as_str()]);
            copy_after(document, folder, *needs_sources);
        }
        Installer::Pyproject => {
            step::run(document, &[pip], &[UV, make_venv]);
            document.line("ENV VIRTUAL_ENV=/opt/venv UV_LINK_MODE=copy UV_COMPILE_BYTECODE=1");
            document.line("ENV PATH=/opt/venv/bin:$PATH");
            copy_before(document, folder, &["pyproject.toml"], false);
            step::run(document, &[uv], &["uv pip install --requirement pyproject.toml"]);
            document.line(folder.copy_all());
        }
        Installer::Nothing => {
            step::run(document, &[], &[make_venv]);
            document.line(folder.copy_all());
        }
    }
}

/// The files that name the dependencies, or everything where those files name files of the program.
fn copy_before(document: &mut Document, folder: &Folder<'_>, names: &[&str], needs_sources: bool) {
    if needs_sources {
        document.line(folder.copy_all());
    } else if let Some(copy) = folder.copy(names) {
        document.line(copy);
    }
}

fn copy_after(document: &mut Document, folder: &Folder<'_>, is_copied: bool) {
    if !is_copied {
        document.line(folder.copy_all());
    }
}

fn last_stage(document: &mut Document, image: &str, folder: &Folder<'_>, project: &Project, start: &Start) {
    document.stage(image, "run");
    document.line(format!(
        "ENV PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 PATH=/opt/venv/bin:$PATH PORT={}",
        start.port
    ));
    if folder.paths().any(|path| path.starts_with("src/") && path.ends_with(".py")) {
        document.line("ENV PYTHONPATH=/app/src");
    }
    if !start.env.is_empty() {
        document.line(format!("ENV {}", start.env.join(" ")));
    }
    document.line("WORKDIR /app");
    step::user(document);
    step::apt(document, &project.run_packages());
    document.line("COPY --from=build /opt/venv /opt/venv");
    document.line("COPY --from=build /app ./");
    step::start(document, start.port, &start.argv);
}
