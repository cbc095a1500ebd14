//! What every command starts from: which server, which project and environment, which services.
//! Tests: `tests/it/reach.rs`.

use std::path::{Path, PathBuf};

use havre_api::environment::EnvironmentStatus;
use havre_core::name::{EnvironmentName, ProjectName, ServiceName};
use havre_manifest::{self as manifest, Manifest, TEXT_MAX};

use crate::context;
use crate::exit::{CliError, Exit};
use crate::http::{Client, Endpoint, path};

/// Where control listens on its own machine.
const SOCKET: &str = "/run/havre/control.sock";
/// Name of the manifest.
pub(crate) const MANIFEST: &str = "havre.toml";

/// Options every command has.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Global {
    /// Server to talk to, by a name of `havre context list`
    #[arg(long, global = true, env = "HAVRE_CONTEXT", value_name = "NAME")]
    pub(crate) context: Option<String>,
    /// The havre.toml to read; else the one here or in the nearest folder above
    #[arg(long, global = true, value_name = "PATH")]
    pub(crate) file: Option<PathBuf>,
    /// Project, when there is no havre.toml
    #[arg(long, global = true, value_name = "NAME")]
    pub(crate) project: Option<ProjectName>,
    /// Environment [default: production]
    #[arg(long = "env", short = 'e', global = true, env = "HAVRE_ENV", value_name = "NAME")]
    pub(crate) environment: Option<EnvironmentName>,
    /// Machine-readable output: the bodies of the API; JSON lines for streams
    #[arg(long, global = true)]
    pub(crate) json: bool,
    /// Send an access token over plain http to another machine
    #[arg(long, global = true)]
    pub(crate) insecure: bool,
}

/// One run of the program.
#[derive(Debug, Clone)]
pub(crate) struct Invocation {
    pub(crate) global: Global,
}

/// A manifest and the folder it lies in.
#[derive(Debug)]
pub(crate) struct Project {
    pub(crate) manifest: Manifest,
    pub(crate) folder: PathBuf,
}

/// A project and an environment on the server.
#[derive(Debug, Clone)]
pub(crate) struct Scope {
    pub(crate) project: ProjectName,
    pub(crate) environment: EnvironmentName,
}

impl Scope {
    /// Path of the environment in the API.
    pub(crate) fn path(&self) -> String {
        path::environment(&self.project, &self.environment)
    }

    /// Path of something of a service; `rest` is empty or begins with a slash.
    pub(crate) fn service(&self, service: &ServiceName, rest: &str) -> String {
        path::service(&self.project, &self.environment, service, rest)
    }
}

fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

impl Invocation {
    /// The server: `--context`, else `HAVRE_URL`, else `HAVRE_SOCKET`, else the current context, else this machine.
    pub(crate) fn client(&self) -> Result<Client, CliError> {
        let insecure = self.global.insecure;
        let token = variable("HAVRE_TOKEN");
        if self.global.context.is_none() {
            if let Some(url) = variable("HAVRE_URL") {
                return Client::new(Endpoint::parse(&url)?, token, insecure);
            }
            if let Some(socket) = variable("HAVRE_SOCKET") {
                return Client::new(Endpoint::Socket(socket.into()), None, insecure);
            }
        }
        let contexts = match (&self.global.context, context::path()) {
            (Some(_), path) => context::load(&path?)?,
            // Without a home there are no contexts, and none was asked for.
            (None, Err(_)) => context::Contexts::default(),
            (None, Ok(path)) => context::load(&path)?,
        };
        let Some(name) = self.global.context.as_ref().or(contexts.current.as_ref()) else {
            return Client::new(Endpoint::Socket(SOCKET.into()), None, insecure);
        };
        let stored = context::find(&contexts, name)?;
        match (&stored.url, &stored.socket) {
            (Some(url), None) => {
                Client::new(Endpoint::parse(url)?, token.or_else(|| stored.token.clone()), insecure)
            }
            (None, Some(socket)) => Client::new(Endpoint::Socket(socket.clone()), None, insecure),
            _ => Err(CliError::usage(format!("the context `{name}` needs either `url` or `socket`"))
                .hint("add it again with `havre context add`")),
        }
    }

    /// The environment that was asked for.
    pub(crate) fn environment(&self) -> EnvironmentName {
        self.global.environment.clone().unwrap_or_else(EnvironmentName::production)
    }

    /// Reads `havre.toml`.
    pub(crate) fn manifest(&self) -> Result<Project, CliError> {
        let path = match &self.global.file {
            Some(path) => path.clone(),
            None => find_manifest()?.ok_or_else(|| {
                CliError::usage("there is no havre.toml here or in any folder above")
                    .hint("`havre init` writes one; --file names one elsewhere")
            })?,
        };
        let project = read_manifest(&path)?;
        match &self.global.project {
            Some(name) if name != project.manifest.project() => {
                let own = project.manifest.project();
                Err(CliError::usage(format!("--project says {name}, but {} is of {own}", path.display())))
            }
            _ => Ok(project),
        }
    }

    /// The same where there need not be one.
    pub(crate) fn manifest_if_any(&self) -> Result<Option<Project>, CliError> {
        if self.global.file.is_none() && find_manifest()?.is_none() {
            return Ok(None);
        }
        self.manifest().map(Some)
    }

    /// Project and environment, from the options or from `havre.toml`.
    pub(crate) fn scope(&self) -> Result<Scope, CliError> {
        let environment = self.environment();
        let project = match (&self.global.project, &self.global.file) {
            (Some(project), None) => project.clone(),
            _ => match self.manifest() {
                Ok(project) => project.manifest.project().clone(),
                Err(error)
                    if self.global.file.is_none() && find_manifest().is_ok_and(|found| found.is_none()) =>
                {
                    return Err(error.hint("name it with --project, or change to a folder with a havre.toml"));
                }
                Err(error) => return Err(error),
            },
        };
        Ok(Scope { project, environment })
    }

    /// The service that was named, else the only one of the environment.
    pub(crate) async fn service(
        &self,
        client: &Client,
        scope: &Scope,
        named: Option<ServiceName>,
    ) -> Result<ServiceName, CliError> {
        if let Some(name) = named {
            return Ok(name);
        }
        let status: EnvironmentStatus = client.get(&scope.path()).await?;
        let names: Vec<String> = status.services.iter().map(|service| service.name.to_string()).collect();
        match &status.services[..] {
            [only] => Ok(only.name.clone()),
            [] => Err(CliError::new(
                Exit::Absent,
                format!("{}/{} has no services", scope.project, scope.environment),
            )
            .hint("`havre deploy` creates them")),
            _ => Err(CliError::usage("there are several services: name one").hint(names.join(", "))),
        }
    }
}

/// The manifest here or in the nearest folder above.
fn find_manifest() -> Result<Option<PathBuf>, CliError> {
    let here = std::env::current_dir().map_err(|error| CliError::io("find the current folder", &error))?;
    Ok(here.ancestors().map(|folder| folder.join(MANIFEST)).find(|path| path.is_file()))
}

fn read_manifest(path: &Path) -> Result<Project, CliError> {
    use std::io::Read as _;
    let failed = |error: std::io::Error| CliError::io(format!("read {}", path.display()), &error);
    let file = std::fs::File::open(path).map_err(failed)?;
    let mut text = String::new();
    file.take(TEXT_MAX as u64 + 1).read_to_string(&mut text).map_err(failed)?;
    let manifest = manifest::parse(&text)
        .map_err(|error| CliError::usage(format!("{} has problems\n\n{error}", path.display())))?;
    let folder = std::path::absolute(path).map_err(failed)?;
    let folder = folder.parent().expect("a file lies in a folder").to_owned();
    Ok(Project { manifest, folder })
}
