//! `havre deploy`: applies the configuration, uploads what must be built, and follows until users get it.
//! Tests: `tests/it/follow.rs`.

use std::io::IsTerminal as _;
use std::path::Path;
use std::time::Duration;

use havre_api::build::BuildAccepted;
use havre_api::environment::{ApplyRequest, ApplyResponse};
use havre_api::node::NodeStatus;
use havre_core::artifact::ImageRef;
use havre_core::name::ServiceName;
use havre_core::service::spec::{ImageSource, ServiceSpec, SiteSource, Work};
use hyper::Method;

use crate::build::archive::{Progress, body};
use crate::build::walk::{self, Context};
use crate::build::{commit, stack};
use crate::deployment::follow::follow;
use crate::deployment::track::Track;
use crate::environment::change;
use crate::exit::{CliError, Exit};
use crate::http::{Client, empty, path};
use crate::invocation::{Invocation, Project, Scope};
use crate::output;
use crate::output::style::Style;
use crate::output::time::size;
use crate::service::address;

#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Services and sites to deploy [default: all of havre.toml]
    services: Vec<ServiceName>,
    /// Deploy this image this one time instead of what is configured; for one service, and without a havre.toml too
    #[arg(long, value_name = "REF")]
    image: Option<ImageRef>,
    /// Commit the context is made from [default: what git or the CI says]
    #[arg(long, value_name = "TEXT")]
    commit: Option<String>,
    /// Only say what would happen
    #[arg(long)]
    dry_run: bool,
    /// Upload and leave; do not wait for the end
    #[arg(long)]
    detach: bool,
}

/// What one service needs to be built from.
enum Source {
    Context(Context),
    Image(Option<ImageRef>),
}

pub(crate) async fn run(invocation: &Invocation, options: Options) -> Result<Exit, CliError> {
    if options.image.is_some() && invocation.manifest_if_any()?.is_none() {
        return image_only(invocation, options).await;
    }
    let project = invocation.manifest()?;
    let scope = Scope { project: project.manifest.project().clone(), environment: invocation.environment() };
    let specs = choose(&project, &scope, &options)?;
    // Everything that can go wrong here goes wrong before the server changes anything.
    let mut sources = Vec::new();
    for spec in &specs {
        sources.push((spec.name.clone(), read_source(&project, spec, options.image.clone())?));
    }
    let client = invocation.client()?;
    let request = ApplyRequest {
        services: specs.clone(),
        databases: project.manifest.databases(&scope.environment),
        dry_run: options.dry_run,
        prune: false,
    };
    let applied: ApplyResponse = client.call(Method::PUT, &scope.path(), &request).await?;
    let applied = change::only_named(applied, &project);
    let json = invocation.global.json;
    if options.dry_run {
        return show_plan(&applied, &sources, json);
    }
    output::say(change::render(&applied, Style::stderr()).trim_end());
    output::warn(&applied.warnings);
    let node: NodeStatus = client.get("/v1/status").await?;
    let commit = options.commit.or_else(|| commit::find(&project.folder));
    let mut tracks = Vec::new();
    for (service, source) in sources {
        let accepted = upload(&client, &scope, &service, source, commit.as_deref()).await?;
        tracks.push(Track::of_build(service, accepted.build.service_id, accepted.build.id));
    }
    if options.detach {
        return leave(&tracks, json);
    }
    let exit = follow(&client, &scope, tracks, node.last_event, json).await?;
    if exit == Exit::Ok && !json {
        show_addresses(&client, &specs).await?;
    }
    Ok(exit)
}

/// Without a `havre.toml`, as where another system builds: the configuration stays what it is on the server.
async fn image_only(invocation: &Invocation, options: Options) -> Result<Exit, CliError> {
    let scope = invocation.scope()?;
    if options.services.len() > 1 {
        return Err(CliError::usage("--image is for one service").hint("name one"));
    }
    let client = invocation.client()?;
    let service = invocation.service(&client, &scope, options.services.into_iter().next()).await?;
    let (json, source) = (invocation.global.json, Source::Image(options.image));
    if options.dry_run {
        let (changes, databases, warnings) = (Vec::new(), Vec::new(), Vec::new());
        let applied = ApplyResponse { dry_run: true, changes, databases, warnings };
        return show_plan(&applied, &[(service, source)], json);
    }
    let node: NodeStatus = client.get("/v1/status").await?;
    let commit = options.commit.or_else(|| commit::find(Path::new(".")));
    let accepted = upload(&client, &scope, &service, source, commit.as_deref()).await?;
    let tracks = vec![Track::of_build(service, accepted.build.service_id, accepted.build.id)];
    if options.detach {
        return leave(&tracks, json);
    }
    follow(&client, &scope, tracks, node.last_event, json).await
}

/// The specifications of what should be deployed.
fn choose(project: &Project, scope: &Scope, options: &Options) -> Result<Vec<ServiceSpec>, CliError> {
    let mut specs =
        project.manifest.resolve(&scope.environment).map_err(|error| CliError::usage(error.to_string()))?;
    for name in &options.services {
        if !specs.iter().any(|spec| spec.name == *name) {
            let names: Vec<&str> = specs.iter().map(|spec| spec.name.as_str()).collect();
            return Err(CliError::usage(format!("havre.toml has no service `{name}`"))
                .hint(format!("there are: {}", names.join(", "))));
        }
    }
    if !options.services.is_empty() {
        specs.retain(|spec| options.services.contains(&spec.name));
    }
    if options.image.is_some() {
        match &specs[..] {
            [only] if only.tasks().is_some() => {}
            [_] => return Err(CliError::usage("a site cannot run an image")),
            _ => {
                return Err(CliError::usage("--image is for one service")
                    .hint("name it, such as `havre deploy api --image name:tag`"));
            }
        }
    }
    Ok(specs)
}

fn read_source(project: &Project, spec: &ServiceSpec, image: Option<ImageRef>) -> Result<Source, CliError> {
    if image.is_some() {
        return Ok(Source::Image(image));
    }
    let context = match &spec.work {
        Work::Tasks(work) => match &work.source {
            ImageSource::Image { .. } => return Ok(Source::Image(None)),
            ImageSource::Dockerfile(source) => stack::context(&project.folder, source, false)?,
        },
        Work::Site(site) => match &site.source {
            SiteSource::Dockerfile { build, .. } => stack::context(&project.folder, build, true)?,
            SiteSource::Folder { root } => finished(walk::of_folder(&project.folder, root.as_str())?),
        },
    };
    for note in &context.notes {
        output::say(&format!("{}: {}", spec.name, output::printable(note)));
    }
    for name in context.skipped.iter().take(10) {
        output::say(&format!(
            "{}: left out {}: not a file, folder or link",
            spec.name,
            output::printable(name)
        ));
    }
    Ok(Source::Context(context))
}

/// Files of a site that look as if they were not finished.
fn finished(mut context: Context) -> Context {
    if context.entries.iter().any(|entry| entry.name == "package.json") {
        let note = "its package.json is published with the other files; build = true in havre.toml has a site built first";
        context.notes.push(note.to_owned());
    }
    context
}

fn describe(service: &ServiceName, source: &Source) -> String {
    match source {
        Source::Context(context) => {
            let is_file = |entry: &&walk::Entry| entry.kind.is_file();
            let files = match context.entries.iter().filter(is_file).count() {
                1 => "1 file".to_owned(),
                count => format!("{count} files"),
            };
            format!("{service}: upload {files}, {}, and build", size(context.bytes))
        }
        Source::Image(Some(image)) => format!("{service}: deploy {image} this one time"),
        Source::Image(None) => format!("{service}: deploy its image"),
    }
}

fn show_plan(
    applied: &ApplyResponse,
    sources: &[(ServiceName, Source)],
    json: bool,
) -> Result<Exit, CliError> {
    if json {
        output::json(applied)?;
        return Ok(Exit::Ok);
    }
    output::data(&change::render(applied, Style::stdout()))?;
    output::warn(&applied.warnings);
    for (service, source) in sources {
        output::data(&format!("{}\n", describe(service, source)))?;
    }
    output::say("nothing was changed (--dry-run)");
    Ok(Exit::Ok)
}

async fn upload(
    client: &Client,
    scope: &Scope,
    service: &ServiceName,
    source: Source,
    commit: Option<&str>,
) -> Result<BuildAccepted, CliError> {
    output::say(&describe(service, &source));
    let (context, image) = match source {
        Source::Context(context) => (Some(context), None),
        Source::Image(image) => (None, image),
    };
    let image: Option<&dyn std::fmt::Display> = image.as_ref().map(|image| image as _);
    let commit: Option<&dyn std::fmt::Display> = commit.as_ref().map(|commit| commit as _);
    let request = path::query(&scope.service(service, "/builds"), &[("commit", commit), ("image", image)]);
    let Some(context) = context else {
        let response = client.send(Method::POST, &request, "application/x-tar", empty()).await?;
        return client.read(response).await;
    };
    let total = context.bytes;
    let progress = Progress::default();
    let sent = body(context, progress.clone());
    let sending = client.send(Method::POST, &request, "application/x-tar", sent);
    tokio::pin!(sending);
    let is_live = std::io::stderr().is_terminal() && output::style::is_capable();
    let mut tick = tokio::time::interval(Duration::from_millis(200));
    let interrupt = tokio::signal::ctrl_c();
    tokio::pin!(interrupt);
    let response = loop {
        tokio::select! {
            response = &mut sending => break response,
            _ = tick.tick(), if is_live => show_progress(service, progress.bytes(), total),
            _ = &mut interrupt => {
                return Err(CliError::new(Exit::Interrupted, "the upload was broken off; the server keeps nothing of it"));
            }
        }
    };
    if is_live {
        use std::io::Write as _;
        let _ = write!(std::io::stderr().lock(), "\r\x1b[K");
    }
    client.read(response?).await
}

fn show_progress(service: &ServiceName, sent: u64, total: u64) {
    use std::io::Write as _;
    let percent = sent.saturating_mul(100).checked_div(total).unwrap_or(100).min(100);
    let _ = write!(std::io::stderr().lock(), "\r\x1b[K{service}: {} sent, {percent} %", size(sent));
}

fn leave(tracks: &[Track], json: bool) -> Result<Exit, CliError> {
    for track in tracks {
        if json {
            output::json_line(&serde_json::json!({ "service": track.service, "build": track.build }))?;
        } else {
            output::data(&format!("{} {}\n", track.service, track.handle()))?;
        }
    }
    output::say("it goes on by itself; see it with `havre status`");
    Ok(Exit::Ok)
}

async fn show_addresses(client: &Client, specs: &[ServiceSpec]) -> Result<(), CliError> {
    // A server that cannot be asked now has done its work all the same.
    let listeners = address::listeners(client).await.unwrap_or_default();
    for spec in specs {
        for route in &spec.routes {
            output::data(&format!("{}\n", address::url(route, &listeners)))?;
        }
    }
    Ok(())
}
