//! Payloads of GitHub, its registry of images among them. Tests: `tests/it/payload.rs`.

use havre_core::artifact::ImageRef;
use serde::Deserialize;

use super::field::{self, Commit};
use super::push::Parts;
use super::{Event, ImagePushed, PayloadError, other, parse, ping, pull_request};

/// GitHub lists so many commits and no more, and does not say how many there are.
const COMMITS_MAX: usize = 2048;

/// Where images of GitHub are.
const REGISTRY: &str = "ghcr.io";

pub(super) fn read(event: &str, body: &[u8]) -> Result<Event, PayloadError> {
    match event {
        "ping" => ping(event, body),
        "push" => push(event, body),
        "pull_request" => pull_request::read(event, body),
        "package" | "registry_package" => package(event, body),
        _ => other(event, body),
    }
}

#[derive(Deserialize)]
struct PushBody {
    #[serde(rename = "ref")]
    reference: String,
    before: String,
    after: String,
    #[serde(default)]
    forced: bool,
    commits: Option<Vec<Commit>>,
    head_commit: Option<Commit>,
    repository: Repository,
    pusher: Option<Pusher>,
}

#[derive(Deserialize)]
struct Repository {
    full_name: String,
    clone_url: Option<String>,
}

#[derive(Deserialize)]
struct Pusher {
    name: Option<String>,
}

fn push(event: &str, body: &[u8]) -> Result<Event, PayloadError> {
    let body: PushBody = parse(event, body)?;
    let commits = body.commits.as_deref().filter(|commits| commits.len() < COMMITS_MAX);
    let parts = Parts {
        reference: &body.reference,
        before: Some(&body.before),
        after: &body.after,
        commit: body.head_commit.as_ref().map(|commit| commit.id.as_str()),
        is_forced: Some(body.forced),
        repository: &body.repository.full_name,
        clone_url: body.repository.clone_url.as_deref(),
        head_message: None,
        author: None,
        changed_paths: commits.and_then(field::changed_paths),
        pusher: body.pusher.as_ref().and_then(|pusher| pusher.name.as_deref()),
    };
    parts.head(body.head_commit.as_ref()).event()
}

#[derive(Deserialize)]
struct PackageBody {
    // Two events, each with its own field, otherwise alike.
    package: Option<Package>,
    registry_package: Option<Package>,
    sender: Option<Sender>,
}

#[derive(Deserialize)]
struct Sender {
    login: Option<String>,
}

#[derive(Deserialize)]
struct Package {
    name: String,
    namespace: String,
    package_type: String,
    package_version: Option<PackageVersion>,
}

#[derive(Deserialize)]
struct PackageVersion {
    container_metadata: Option<ContainerMetadata>,
}

#[derive(Deserialize)]
struct ContainerMetadata {
    tag: Option<Tag>,
}

#[derive(Deserialize)]
struct Tag {
    name: Option<String>,
    digest: Option<String>,
}

/// An image in GHCR. Packages of other kinds, and images without a tag, are other events.
pub(super) fn package(event: &str, body: &[u8]) -> Result<Event, PayloadError> {
    let body: PackageBody = parse(event, body)?;
    let package = body.registry_package.or(body.package);
    let package = package.filter(|package| package.package_type.eq_ignore_ascii_case("container"));
    let nothing = || Ok(Event::Other { name: event.to_owned() });
    let Some(package) = package else { return nothing() };
    let tag = package.package_version.and_then(|version| version.container_metadata?.tag);
    let Some(Tag { name: Some(tag), digest }) = tag else { return nothing() };
    if tag.is_empty() {
        return nothing();
    }
    // Owners may have upper case in their names, images may not.
    let name = format!("{}/{}", package.namespace, package.name).to_ascii_lowercase();
    let image: ImageRef = format!("{REGISTRY}/{name}:{tag}").parse().map_err(PayloadError::ImageInvalid)?;
    let digest = digest.and_then(|digest| digest.parse().ok());
    let pusher = field::optional_line(body.sender.as_ref().and_then(|sender| sender.login.as_deref()));
    Ok(Event::ImagePushed(ImagePushed { image, digest, pusher }))
}
