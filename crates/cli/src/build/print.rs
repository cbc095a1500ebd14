//! `havre build --print-dockerfile`: the Dockerfile a service or site is built by. Talks to no server.
//! Tests: `tests/it/stack.rs`.

use std::collections::BTreeMap;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use havre_core::name::{RelativePath, ServiceName};
use havre_core::service::spec::{DockerfileSource, ImageSource, ServiceSpec, SiteSource, Work};
use havre_dockerfile::stack::{Choice, TEXT_MAX};

use crate::build::stack;
use crate::exit::{CliError, Exit};
use crate::invocation::{Invocation, Project};
use crate::output;

#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Service or site [default: the only one that is built]
    service: Option<ServiceName>,
    /// Print the Dockerfile it is built by: its own, or the one Havre writes
    #[arg(long)]
    print_dockerfile: bool,
}

/// What is asked about.
struct Asked {
    /// Folder of `havre.toml`.
    folder: PathBuf,
    source: DockerfileSource,
    /// `None` where nobody said.
    wants_site: Option<bool>,
}

pub(crate) fn run(invocation: &Invocation, options: Options) -> Result<Exit, CliError> {
    if !options.print_dockerfile {
        return Err(CliError::usage("there is nothing to do without --print-dockerfile")
            .hint("`havre deploy` builds on the server"));
    }
    let asked = match invocation.manifest_if_any()? {
        Some(project) => find(invocation, &project, options.service.as_ref())?,
        None => here(options.service.as_ref())?,
    };
    let json = invocation.global.json;
    let path = match asked.source.written_for {
        None => asked.folder.join(asked.source.dockerfile.as_str()),
        Some(_) => match stack::choose(&asked.folder, &asked.source, asked.wants_site)? {
            Choice::Own { path } => asked.folder.join(asked.source.context.as_str()).join(path),
            Choice::Written(written) if json => {
                output::json(&written)?;
                return Ok(Exit::Ok);
            }
            Choice::Written(written) => {
                output::data(&written.dockerfile)?;
                return Ok(Exit::Ok);
            }
        },
    };
    print_own(&path, json)
}

fn print_own(path: &Path, json: bool) -> Result<Exit, CliError> {
    let failed = |error: std::io::Error| CliError::io(format!("read {}", path.display()), &error);
    let file = std::fs::File::open(path).map_err(failed)?;
    let mut text = String::new();
    file.take(TEXT_MAX).read_to_string(&mut text).map_err(failed)?;
    if json {
        let path = path.display().to_string();
        output::json(&serde_json::json!({ "path": path, "dockerfile": text }))?;
    } else {
        output::say(&format!("it is built by its own {}", path.display()));
        output::data(&text)?;
    }
    Ok(Exit::Ok)
}

/// The program in this folder, for repositories without a `havre.toml`.
fn here(service: Option<&ServiceName>) -> Result<Asked, CliError> {
    if let Some(name) = service {
        return Err(CliError::usage(format!("there is no havre.toml that could say what `{name}` is")).hint(
            "leave the name out to ask about the program in this folder; `havre init` writes a havre.toml",
        ));
    }
    let folder = std::env::current_dir().map_err(|error| CliError::io("find the current folder", &error))?;
    let source = DockerfileSource::written(RelativePath::here(), RelativePath::here(), BTreeMap::new());
    Ok(Asked { folder, source, wants_site: None })
}

fn find(
    invocation: &Invocation,
    project: &Project,
    service: Option<&ServiceName>,
) -> Result<Asked, CliError> {
    let specs = project
        .manifest
        .resolve(&invocation.environment())
        .map_err(|error| CliError::usage(error.to_string()))?;
    let built: Vec<(&ServiceName, Asked)> =
        specs.iter().filter_map(|spec| Some((&spec.name, asked(project, spec)?))).collect();
    let names: Vec<&str> = built.iter().map(|(name, _)| name.as_str()).collect();
    let names = names.join(", ");
    let Some(service) = service else {
        let mut built = built.into_iter().map(|(_, asked)| asked);
        return match (built.next(), built.next()) {
            (Some(only), None) => Ok(only),
            (Some(_), Some(_)) => Err(CliError::usage("several services are built: name one").hint(names)),
            (None, _) => Err(CliError::usage("havre.toml describes nothing that is built by a Dockerfile")),
        };
    };
    let is_known = specs.iter().any(|spec| spec.name == *service);
    let found = built.into_iter().find(|(name, _)| *name == service).map(|(_, asked)| asked);
    found.ok_or_else(|| {
        let message = match is_known {
            true => {
                format!("`{service}` is built by no Dockerfile: it is a finished image, or a folder of files")
            }
            false => format!("havre.toml has no service `{service}`"),
        };
        CliError::usage(message).hint(format!("built by one are: {names}"))
    })
}

/// How a service is built; `None` for finished images and folders.
fn asked(project: &Project, spec: &ServiceSpec) -> Option<Asked> {
    let (source, is_site) = match &spec.work {
        Work::Tasks(work) => match &work.source {
            ImageSource::Dockerfile(source) => (source, false),
            ImageSource::Image { .. } => return None,
        },
        Work::Site(site) => match &site.source {
            SiteSource::Dockerfile { build, .. } => (build, true),
            SiteSource::Folder { .. } => return None,
        },
    };
    Some(Asked { folder: project.folder.clone(), source: source.clone(), wants_site: Some(is_site) })
}
