//! `havre dockerfile check`: says what should be mended in a Dockerfile, and how. Changes nothing and asks no server.
//! Tests: `tests/it/dockerfile.rs`.

use std::io::{ErrorKind, Read as _};
use std::path::{Path, PathBuf};

use havre_core::service::spec::{DockerfileSource, ImageSource, ServiceSpec, SiteSource, Work};
use havre_dockerfile::file::TEXT_MAX;
use havre_dockerfile::review::{Context, Finding, IgnoreFile, Severity, review};

use crate::build::walk;
use crate::dockerfile::paths;
use crate::exit::{CliError, Exit};
use crate::invocation::Invocation;
use crate::output::style::Style;
use crate::output::{self, printable};

#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// The Dockerfile, or the folder it lies in
    #[arg(default_value = "Dockerfile")]
    path: PathBuf,
}

/// How a Dockerfile is built.
struct Use {
    context: PathBuf,
    target: Option<String>,
    is_site: bool,
}

pub(crate) fn run(invocation: &Invocation, options: Options) -> Result<Exit, CliError> {
    let path = if options.path.is_dir() { options.path.join("Dockerfile") } else { options.path };
    let text = read(&path)?;
    let used = find_use(invocation, &path)?;
    let ignore = walk::read_ignore_text(&used.context, &path)?;
    let listed = paths::list(&used.context);
    let context = Context {
        ignore: ignore.as_ref().map_or(IgnoreFile::Missing, |(_, text)| IgnoreFile::Text(text)),
        paths: Some(&listed),
        target: used.target.as_deref(),
        buildkit: None,
        is_site: used.is_site,
    };
    let findings = review(&text, &context);
    let is_good = findings.iter().all(|finding| finding.severity == Severity::Note);
    if invocation.global.json {
        output::json(&findings)?;
    } else {
        let name = printable(&path.display().to_string());
        output::data(&render(&name, &findings, Style::stdout()))?;
        output::say(&format!("{name}: {}", count(&findings)));
    }
    Ok(if is_good { Exit::Ok } else { Exit::Found })
}

fn read(path: &Path) -> Result<String, CliError> {
    let shown = printable(&path.display().to_string());
    let failed = |error: std::io::Error| match error.kind() {
        ErrorKind::NotFound => CliError::usage(format!("there is no {shown}"))
            .hint("name the Dockerfile or its folder: havre dockerfile check apps/api"),
        _ => CliError::io(format!("read {shown}"), &error),
    };
    let file = std::fs::File::open(path).map_err(failed)?;
    let mut bytes = Vec::new();
    file.take(TEXT_MAX as u64 + 1).read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() > TEXT_MAX {
        let message = format!("{shown} has more than {TEXT_MAX} bytes");
        return Err(CliError::usage(message).hint("is it a Dockerfile?"));
    }
    String::from_utf8(bytes)
        .map_err(|_| CliError::usage(format!("{shown} is not valid UTF-8")).hint("save it as UTF-8"))
}

/// How `havre.toml` builds this Dockerfile; without one that names it, its own folder is the context.
fn find_use(invocation: &Invocation, path: &Path) -> Result<Use, CliError> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let own = Use { context: folder.to_owned(), target: None, is_site: false };
    let project = match invocation.manifest() {
        Ok(project) => project,
        Err(error) if invocation.global.file.is_some() => return Err(error),
        // A Dockerfile can be reviewed where there is no project, and before its file is right.
        Err(_) => return Ok(own),
    };
    let Ok(wanted) = path.canonicalize() else { return Ok(own) };
    let specs = project.manifest.resolve(&invocation.environment()).unwrap_or_default();
    let is_named = |source: &DockerfileSource| {
        project.folder.join(source.dockerfile.as_str()).canonicalize().is_ok_and(|path| path == wanted)
    };
    let found = specs.iter().filter_map(source).find(|(source, _)| is_named(source));
    Ok(found.map_or(own, |(source, is_site)| Use {
        context: project.folder.join(source.context.as_str()),
        target: source.target.as_ref().map(|target| target.as_str().to_owned()),
        is_site,
    }))
}

/// The Dockerfile of a service or site, and whether it is a site.
fn source(spec: &ServiceSpec) -> Option<(&DockerfileSource, bool)> {
    match &spec.work {
        Work::Tasks(work) => match &work.source {
            ImageSource::Dockerfile(source) => Some((source, false)),
            ImageSource::Image { .. } => None,
        },
        Work::Site(site) => match &site.source {
            SiteSource::Dockerfile { build, .. } => Some((build, true)),
            SiteSource::Folder { .. } => None,
        },
    }
}

fn render(name: &str, findings: &[Finding], style: Style) -> String {
    let mut text = String::new();
    for finding in findings {
        let severity = finding.severity.to_string();
        let severity = match finding.severity {
            Severity::Error => style.bad(&severity),
            Severity::Warning => style.notable(&severity),
            Severity::Note => style.dim(&severity),
        };
        let (rule, line) = (finding.rule, finding.line);
        let (message, fix) = (printable(&finding.message), printable(&finding.fix));
        text.push_str(&format!("{name}:{line} {severity} {rule}: {message}\n  fix: {fix}\n"));
    }
    text
}

/// `1 error, 2 warnings, 3 notes`.
fn count(findings: &[Finding]) -> String {
    let names = [(Severity::Error, "error"), (Severity::Warning, "warning"), (Severity::Note, "note")];
    let mut parts = Vec::new();
    for (severity, name) in names {
        match findings.iter().filter(|finding| finding.severity == severity).count() {
            0 => {}
            1 => parts.push(format!("1 {name}")),
            several => parts.push(format!("{several} {name}s")),
        }
    }
    if parts.is_empty() { "nothing to mend".to_owned() } else { parts.join(", ") }
}
