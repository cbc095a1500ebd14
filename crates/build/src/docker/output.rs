//! Takes the finished files of a site out of an image: from a container that is created, never started, and removed.
//! Does not remove the image. Tests in `tests/it/docker.rs`.

use std::collections::HashMap;
use std::time::Duration;

use bollard::Docker;
use bollard::errors::Error;
use bollard::models::ContainerCreateBody;
use bollard::query_parameters::{
    CreateContainerOptions, DownloadFromContainerOptions, ListContainersOptionsBuilder,
    RemoveContainerOptions,
};
use futures_util::StreamExt as _;
use havre_core::artifact::Digest;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::channel::{Chunk, channel};
use super::image::{BUILD, INSTALLATION, from_docker};
use crate::builder::{BuildError, BuildRequest};
use crate::site::Sites;

/// Marks our containers with the installation. Not the engine's own label, so that nobody takes them for tasks.
const OUTPUT_OF: &str = "dev.havre.build-output-of";

/// Longest wait for Docker to remove something.
const REMOVE_MAX: Duration = Duration::from_secs(60);

/// Where the files are.
#[derive(Debug, Clone, Copy)]
pub(super) struct Output<'a> {
    /// The image.
    pub(super) image: &'a Digest,
    /// Folder inside it, absolute.
    pub(super) folder: &'a str,
}

/// Publishes the files of a folder inside an image. Nothing but the site is left, also after a cancel.
pub(super) async fn publish(
    docker: &Docker,
    installation: &str,
    sites: &Sites,
    from: Output<'_>,
    work: (&BuildRequest, &CancellationToken),
) -> Result<Digest, BuildError> {
    let (request, cancel) = work;
    let folder = from.folder.trim_end_matches('/');
    let Some((_, name)) = folder.rsplit_once('/') else {
        return Err(BuildError::OutputInvalid {
            reason: "its output is the whole image; name the folder that holds index.html".to_owned(),
        });
    };
    let container = create(docker, installation, from.image, request).await?;
    let result = extract(docker, sites, (&container, folder, name), work).await;
    remove(docker, &container).await;
    result.map_err(|error| if cancel.is_cancelled() { BuildError::Cancelled } else { error })
}

/// Removes containers of builds that were interrupted.
pub(super) async fn remove_leftovers(docker: &Docker, installation: &str) -> Result<(), BuildError> {
    let filters = HashMap::from([("label", vec![format!("{OUTPUT_OF}={installation}")])]);
    let options = ListContainersOptionsBuilder::default().all(true).filters(&filters).build();
    let list = docker.list_containers(Some(options)).await;
    let list = list.map_err(|error| from_docker("list what interrupted builds left", error))?;
    for id in list.into_iter().filter_map(|container| container.id) {
        remove(docker, &id).await;
    }
    Ok(())
}

async fn create(
    docker: &Docker,
    installation: &str,
    image: &Digest,
    request: &BuildRequest,
) -> Result<String, BuildError> {
    let labels = HashMap::from([
        (OUTPUT_OF.to_owned(), installation.to_owned()),
        (BUILD.to_owned(), request.id.to_string()),
        // Labels of the image are inherited: without this the engine would take it for one of its own.
        (INSTALLATION.to_owned(), String::new()),
    ]);
    let body = ContainerCreateBody {
        image: Some(image.to_string()),
        // Docker refuses an image without a command, though this one is never run.
        cmd: Some(vec!["never-started".to_owned()]),
        labels: Some(labels),
        network_disabled: Some(true),
        ..ContainerCreateBody::default()
    };
    let options: Option<CreateContainerOptions> = None;
    let created = docker.create_container(options, body).await;
    Ok(created.map_err(|error| from_docker("open the image that was built", error))?.id)
}

async fn extract(
    docker: &Docker,
    sites: &Sites,
    from: (&str, &str, &str),
    work: (&BuildRequest, &CancellationToken),
) -> Result<Digest, BuildError> {
    let (container, folder, name) = from;
    let (request, cancel) = work;
    let (sender, reader) = channel();
    let unpack = {
        let (sites, id, name, cancel) = (sites.clone(), request.id, name.to_owned(), cancel.clone());
        tokio::task::spawn_blocking(move || sites.publish(id, reader, Some(&name), &cancel))
    };
    let fed = tokio::select! {
        fed = feed(docker, container, folder, &sender) => fed,
        () = cancel.cancelled() => Err(BuildError::Cancelled),
    };
    // Without an end, so that a transfer that was cut off is never taken for a whole site.
    drop(sender);
    let unpacked = unpack.await.map_err(|error| BuildError::failed("unpack the finished site", error))?;
    fed?;
    unpacked.map_err(|error| match error {
        BuildError::OutputMissing { path } => BuildError::OutputMissing { path: format!("{folder}/{path}") },
        other => other,
    })
}

/// Sends the folder as a tar stream; stops when nobody reads any more, which the reader explains.
async fn feed(
    docker: &Docker,
    container: &str,
    folder: &str,
    sender: &mpsc::Sender<Chunk>,
) -> Result<(), BuildError> {
    let options = DownloadFromContainerOptions { path: folder.to_owned() };
    let mut chunks = docker.download_from_container(container, Some(options)).boxed();
    while let Some(chunk) = chunks.next().await {
        let chunk = chunk.map_err(|error| match error {
            Error::DockerResponseServerError { status_code: 404, .. } => {
                BuildError::OutputMissing { path: folder.to_owned() }
            }
            other => from_docker("take the finished site out of the image", other),
        })?;
        if sender.send(Ok(Some(chunk))).await.is_err() {
            return Ok(());
        }
    }
    let _ = sender.send(Ok(None)).await;
    Ok(())
}

/// Best effort: what stays is removed at the next start.
async fn remove(docker: &Docker, container: &str) {
    // With the volumes its image asked for.
    let options = RemoveContainerOptions { force: true, v: true, ..RemoveContainerOptions::default() };
    match tokio::time::timeout(REMOVE_MAX, docker.remove_container(container, Some(options))).await {
        Ok(Ok(()) | Err(Error::DockerResponseServerError { status_code: 404, .. })) => {}
        Ok(Err(error)) => tracing::warn!(container, %error, "could not remove a container of a build"),
        Err(_) => tracing::warn!(container, "Docker did not remove a container of a build in time"),
    }
}
