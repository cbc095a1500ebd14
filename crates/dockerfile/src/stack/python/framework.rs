//! What starts a Python program: a `Procfile`, else the framework it depends on and the object it serves. Installs
//! nothing. Tests: `python/tests.rs`.

use crate::stack::StackError;
use crate::stack::folder::Folder;
use crate::stack::grammar::{is_dotted, is_identifier, quoted_after};
use crate::stack::step::{argv, health_in};

use super::project::{PROGRAMS, Project};

/// Port of everything but Flask's own server.
const PORT: u16 = 8000;
/// Names of files that hold the object to serve, in the order in which they are preferred.
const STEMS: [&str; 9] = ["main", "app", "asgi", "wsgi", "server", "api", "application", "run", "__init__"];
/// Folders that hold no program.
const SKIPPED: [&str; 8] =
    ["test", "tests", "docs", "doc", "examples", "scripts", "migrations", "node_modules"];
/// Deepest file that is looked at, in folders.
const DEPTH_MAX: usize = 3;
/// What the edge says of the client is believed: only it and services of the same environment reach a task.
const FORWARDED: &str = "FORWARDED_ALLOW_IPS=\"*\"";

/// How the program starts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Start {
    pub(super) framework: Option<&'static str>,
    pub(super) argv: Vec<String>,
    pub(super) port: u16,
    /// Variables as `ENV` has them.
    pub(super) env: Vec<&'static str>,
    pub(super) health: Option<String>,
    /// Django's `manage.py`, where static files are to be collected.
    pub(super) collect: Option<&'static str>,
    pub(super) notes: Vec<String>,
}

impl Start {
    fn of(argv: Vec<String>) -> Self {
        Self {
            framework: None,
            argv,
            port: PORT,
            env: Vec::new(),
            health: None,
            collect: None,
            notes: Vec::new(),
        }
    }
}

/// Finds out how the program starts.
pub(super) fn start(folder: &Folder<'_>, project: &Project) -> Result<Start, StackError> {
    let manage = ["manage.py", "src/manage.py"].into_iter().find(|name| folder.has(name));
    let framework = match manage {
        Some(_) => Some("Django"),
        None => named_framework(project),
    };
    let mut start = match (folder.web_command(), framework) {
        (Some(command), _) => {
            let mut start = Start::of(command);
            start.env.push(FORWARDED);
            start
        }
        (None, Some("Django")) => django(folder, project, manage)?,
        (None, Some("Flask")) => flask(folder, project)?,
        (None, Some(name)) => asgi_framework(folder, project, name)?,
        (None, None) => plain(folder)?,
    };
    start.framework = framework;
    if let Some(manage) = manage {
        add_django(folder, project, manage, &mut start);
    }
    Ok(start)
}

fn named_framework(project: &Project) -> Option<&'static str> {
    let table =
        [("django", "Django"), ("fastapi", "FastAPI"), ("starlette", "Starlette"), ("flask", "Flask")];
    table.into_iter().find(|(name, _)| project.has(name)).map(|(_, framework)| framework)
}

/// A WSGI server that reads `PORT` itself.
fn gunicorn(words: &[&str]) -> Start {
    let mut start = Start::of([argv(&["gunicorn"]), argv(words)].concat());
    start.env.extend([FORWARDED, "WEB_CONCURRENCY=2"]);
    start.notes.push("gunicorn runs two processes; WEB_CONCURRENCY changes that.".to_owned());
    start
}

/// A server for ASGI: gunicorn with uvicorn's workers where both are there, else uvicorn.
fn asgi(project: &Project, target: &str, is_factory: bool) -> Option<Start> {
    if !project.has("uvicorn") && !project.has("uvicorn-worker") {
        return None;
    }
    if project.has("gunicorn") {
        let has_package = project.has("uvicorn-worker");
        let worker =
            if has_package { "uvicorn_worker.UvicornWorker" } else { "uvicorn.workers.UvicornWorker" };
        let target = if is_factory { format!("{target}()") } else { target.to_owned() };
        return Some(gunicorn(&["--worker-class", worker, target.as_str()]));
    }
    let mut start = Start::of(argv(&["uvicorn", target]));
    if is_factory {
        start.argv.push("--factory".to_owned());
    }
    start.env.extend(["UVICORN_HOST=0.0.0.0", "UVICORN_PORT=8000", FORWARDED]);
    start.notes.push(
        "uvicorn does not read PORT: it listens on 8000, which `port` must say, or UVICORN_PORT must be set."
            .to_owned(),
    );
    Some(start)
}

fn django(folder: &Folder<'_>, project: &Project, manage: Option<&str>) -> Result<Start, StackError> {
    let base = manage.map_or("", |manage| manage.trim_end_matches("manage.py"));
    let settings = manage.and_then(|manage| settings_module(folder, manage));
    if project.has("gunicorn") {
        let module = django_module(folder, base, settings, "wsgi").ok_or_else(|| {
            folder.unclear(
                "which wsgi.py is Django's cannot be told",
                "write a Procfile with a line such as `web: gunicorn mysite.wsgi`",
            )
        })?;
        return Ok(gunicorn(&[format!("{module}:application").as_str()]));
    }
    let module = django_module(folder, base, settings, "asgi");
    let served = module.and_then(|module| asgi(project, &format!("{module}:application"), false));
    served.ok_or_else(|| {
        folder.unclear(
            "Django has no server for production among its dependencies",
            "add gunicorn, or write a Procfile with a line that begins with `web:`",
        )
    })
}

/// What `manage.py` names as settings.
fn settings_module<'a>(folder: &Folder<'a>, manage: &str) -> Option<&'a str> {
    let text = folder.text(manage)?;
    let (_, rest) = text.split_once("DJANGO_SETTINGS_MODULE")?;
    // What follows the name is the quote that ends it.
    quoted_after(rest, ",").filter(|module| is_dotted(module))
}

/// `wsgi.py` or `asgi.py` beside the settings, else the only one there is.
fn django_module(folder: &Folder<'_>, base: &str, settings: Option<&str>, kind: &str) -> Option<String> {
    let mut package = settings.unwrap_or_default();
    while let Some((above, _)) = package.rsplit_once('.') {
        if folder.has(&format!("{base}{}/{kind}.py", above.replace('.', "/"))) {
            return Some(format!("{above}.{kind}"));
        }
        package = above;
    }
    let end = format!("/{kind}.py");
    let mut found = folder
        .paths()
        .filter_map(|path| path.strip_prefix(base)?.strip_suffix(end.as_str()))
        .map(|package| package.replace('/', "."))
        .filter(|package| is_dotted(package) && package.matches('.').count() < DEPTH_MAX);
    let first = found.next()?;
    if found.next().is_some() {
        return None;
    }
    Some(format!("{first}.{kind}"))
}

/// Static files and migrations, whatever the command is.
fn add_django(folder: &Folder<'_>, project: &Project, manage: &'static str, start: &mut Start) {
    let has_root = |text: &str| text.lines().any(|line| line.trim_start().starts_with("STATIC_ROOT"));
    let mut settings = folder.texts().filter(|(path, _)| path.ends_with(".py") && path.contains("settings"));
    if settings.any(|(_, text)| has_root(text)) {
        start.collect = Some(manage);
        start.notes.push(
            "Static files are collected with a SECRET_KEY for that step only, and without a database."
                .to_owned(),
        );
        if !project.has("whitenoise") {
            start.notes.push(
                "Nothing serves the collected static files: add whitenoise, or a site for them.".to_owned(),
            );
        }
    }
    start.notes.push(format!(
        "Migrations are for the release command: release = [\"python\", \"{manage}\", \"migrate\"]."
    ));
}

fn flask(folder: &Folder<'_>, project: &Project) -> Result<Start, StackError> {
    let entry = entry(folder, &["Flask", "create_app", "make_app"])?
        .ok_or_else(|| not_found(folder, "Flask", "web: gunicorn module:app"))?;
    let target = format!("{}:{}", entry.module, entry.name);
    let mut start = if project.has("gunicorn") {
        let target = if entry.is_factory { format!("{target}()") } else { target };
        gunicorn(&[target.as_str()])
    } else {
        let mut start = Start::of(argv(&["flask", "--app", target.as_str(), "run"]));
        start.port = 5000;
        start.env.extend(["FLASK_RUN_HOST=0.0.0.0", "FLASK_RUN_PORT=5000"]);
        start.notes.push(
            "Flask's own server is for development and listens on 5000: add gunicorn, which also reads PORT."
                .to_owned(),
        );
        start
    };
    start.health = health_in(entry.text);
    Ok(start)
}

fn asgi_framework(folder: &Folder<'_>, project: &Project, name: &str) -> Result<Start, StackError> {
    let entry = entry(folder, &[name, "create_app", "make_app"])?
        .ok_or_else(|| not_found(folder, name, "web: uvicorn module:app --host 0.0.0.0 --port $PORT"))?;
    let target = format!("{}:{}", entry.module, entry.name);
    let mut start = asgi(project, &target, entry.is_factory).ok_or_else(|| {
        folder.unclear(
            format!("{name} has no server among its dependencies"),
            "add uvicorn, or write a Procfile with a line that begins with `web:`",
        )
    })?;
    start.health = health_in(entry.text);
    Ok(start)
}

fn plain(folder: &Folder<'_>) -> Result<Start, StackError> {
    let Some(program) = PROGRAMS.into_iter().find(|name| folder.has(name)) else {
        return Err(folder.unclear(
            format!("it is Python, and there is none of {} to start", PROGRAMS.join(", ")),
            "write a Procfile with a line such as `web: python program.py`",
        ));
    };
    let mut start = Start::of(argv(&["python", program]));
    start.health = folder.text(program).and_then(health_in);
    start
        .notes
        .push(format!("No framework was recognised, so {program} is started; it must listen on PORT."));
    Ok(start)
}

fn not_found(folder: &Folder<'_>, framework: &str, line: &str) -> StackError {
    folder.unclear(
        format!("the program depends on {framework}, and no file makes one"),
        format!("write a Procfile with a line such as `{line}`"),
    )
}

/// The object a server serves.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Entry<'a> {
    module: String,
    name: String,
    /// The object is made by calling the name.
    is_factory: bool,
    text: &'a str,
}

/// Finds the file that assigns what one of the constructors makes, or failing that defines a function that does.
fn entry<'a>(folder: &Folder<'a>, constructors: &[&str]) -> Result<Option<Entry<'a>>, StackError> {
    let is_package = folder.has("src/__init__.py");
    let mut found = Vec::new();
    for (path, text) in folder.texts() {
        let Some((module, depth, rank)) = module(path, is_package) else { continue };
        let assigned = assigned(text, constructors).map(|name| (name, false));
        let Some((name, is_factory)) =
            assigned.or_else(|| factory(text, constructors).map(|name| (name, true)))
        else {
            continue;
        };
        found.push(((is_factory, depth, rank), Entry { module, name: name.to_owned(), is_factory, text }));
    }
    found.sort_by_key(|(order, _)| *order);
    if let [(first, one), (second, other), ..] = found.as_slice()
        && first == second
    {
        return Err(folder.unclear(
            format!("{} and {} may both be what is to be served", one.module, other.module),
            "write a Procfile with a line that begins with `web:`",
        ));
    }
    Ok(found.into_iter().next().map(|(_, entry)| entry))
}

/// The module of a file, how deep it lies, and how usual its name is.
fn module(path: &str, is_src_package: bool) -> Option<(String, usize, usize)> {
    let path = path.strip_suffix(".py")?;
    let path = if is_src_package { path } else { path.strip_prefix("src/").unwrap_or(path) };
    let stem = path.rsplit('/').next()?;
    let rank = STEMS.iter().position(|known| *known == stem)?;
    let depth = path.matches('/').count();
    if depth > DEPTH_MAX || path.split('/').any(|part| SKIPPED.contains(&part)) {
        return None;
    }
    let path = path.strip_suffix("/__init__").unwrap_or(path);
    let module = path.replace('/', ".");
    (is_dotted(&module) && module != "__init__").then_some((module, depth, rank))
}

/// The name in `name = Constructor(`, at the margin.
fn assigned<'a>(text: &'a str, constructors: &[&str]) -> Option<&'a str> {
    for line in text.lines() {
        let Some((name, value)) = line.split_once('=') else { continue };
        // `app: FastAPI = FastAPI()` has a type.
        let name = name.split(':').next().unwrap_or(name).trim_end();
        let Some((called, _)) = value.split_once('(') else { continue };
        let called = called.trim().rsplit('.').next().unwrap_or_default();
        if is_identifier(name) && constructors.contains(&called) {
            return Some(name);
        }
    }
    None
}

/// The name in `def name(`, at the margin.
fn factory<'a>(text: &'a str, constructors: &[&str]) -> Option<&'a str> {
    text.lines()
        .filter_map(|line| line.strip_prefix("def ")?.split_once('('))
        .map(|(name, _)| name.trim())
        .find(|name| is_identifier(name) && constructors.contains(name))
}
