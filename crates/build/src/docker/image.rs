//! Builds an image from a Dockerfile and pins it by its id. The context goes from disk to Docker in pieces.
//! Does not take anything out of images. Tests in `tests/it/docker.rs`.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bollard::errors::Error;
use bollard::models::{BuildInfo, BuildInfoAux};
use bollard::query_parameters::{
    BuildImageOptions, BuildImageOptionsBuilder, BuilderVersion, RemoveImageOptions,
};
use bollard::{Docker, body_try_stream};
use futures_util::StreamExt as _;
use havre_core::artifact::Digest;
use havre_core::service::spec::DockerfileSource;
use tokio_util::io::ReaderStream;

use super::progress::Progress;
use crate::builder::{BuildError, BuildRequest, says_no_space};
use crate::context::contains_file;
use crate::line::{LineSink, now};

/// Bytes of context read at once.
const CHUNK: usize = 64 * 1024;

/// Longest wait for Docker to remove an image.
const REMOVE_MAX: Duration = Duration::from_secs(60);

/// Labels of everything a build makes. The engine crate knows the same names.
pub(super) const INSTALLATION: &str = "dev.havre.installation";
pub(super) const BUILD: &str = "dev.havre.build";
const SERVICE_ID: &str = "dev.havre.service-id";

/// Name that keeps the image from looking abandoned to `docker image prune`. Nothing is ever looked up by it later.
pub(super) fn tag(request: &BuildRequest) -> String {
    let place = &request.place;
    format!("havre/{}-{}-{}:{}", place.project, place.environment, place.service, request.id)
}

/// Builds the image of `request` from `source`, says what happens, and answers its id.
pub(super) async fn build(
    docker: &Docker,
    installation: &str,
    request: &BuildRequest,
    source: &DockerfileSource,
    log: &mut LineSink,
) -> Result<Digest, BuildError> {
    find_dockerfile(&request.context, source).await?;
    let file = tokio::fs::File::open(&request.context)
        .await
        .map_err(|error| BuildError::failed("open the uploaded context", error))?;
    let body = body_try_stream(ReaderStream::with_capacity(file, CHUNK));
    let options = options(installation, request, source);
    let mut answers = docker.build_image(options, None, Some(body)).boxed();
    let mut progress = Progress::default();
    while let Some(answer) = answers.next().await {
        match answer {
            Ok(BuildInfo { aux: Some(BuildInfoAux::BuildKit(status)), .. }) => {
                for line in progress.take(status) {
                    log.send(line).await;
                }
            }
            Ok(_) => {}
            Err(Error::DockerStreamError { error }) => return Err(progress.into_error(&error)),
            Err(error) => return Err(from_docker("build the image", error)),
        }
    }
    let image = docker
        .inspect_image(&tag(request))
        .await
        .map_err(|error| from_docker("find the image that was built", error))?;
    let id = image.id.unwrap_or_default();
    id.parse().map_err(|error| BuildError::failed("read the id of the image that was built", error))
}

/// Takes the name of a build's image away, which removes the image unless something else uses it. Best effort.
pub(super) async fn remove(docker: &Docker, request: &BuildRequest) {
    let options = RemoveImageOptions { force: false, noprune: false, platforms: None };
    let tag = tag(request);
    match tokio::time::timeout(REMOVE_MAX, docker.remove_image(&tag, Some(options), None)).await {
        Ok(Ok(_) | Err(Error::DockerResponseServerError { status_code: 404, .. })) => {}
        Err(_) => tracing::warn!(build = %request.id, "Docker did not remove the image of a build in time"),
        Ok(Err(error)) => {
            tracing::warn!(build = %request.id, %error, "could not remove the image of a build")
        }
    }
}

/// BuildKit would say the same, later and less clearly.
async fn find_dockerfile(context: &Path, source: &DockerfileSource) -> Result<(), BuildError> {
    let (context, wanted) = (context.to_owned(), source.dockerfile_in_context().to_owned());
    let found = tokio::task::spawn_blocking(move || contains_file(&context, &wanted))
        .await
        .map_err(|error| BuildError::failed("read the uploaded context", error))??;
    if found {
        return Ok(());
    }
    Err(BuildError::ContextInvalid {
        reason: format!(
            "it does not hold the Dockerfile {} (expected as {})",
            source.dockerfile,
            source.dockerfile_in_context()
        ),
    })
}

fn options(installation: &str, request: &BuildRequest, source: &DockerfileSource) -> BuildImageOptions {
    let labels = HashMap::from([
        (INSTALLATION.to_owned(), installation.to_owned()),
        (SERVICE_ID.to_owned(), request.service.to_string()),
        (BUILD.to_owned(), request.id.to_string()),
    ]);
    let args: HashMap<String, String> =
        source.args.iter().map(|(key, value)| (key.to_string(), value.clone())).collect();
    let mut options = BuildImageOptionsBuilder::default()
        .dockerfile(source.dockerfile_in_context())
        .t(&tag(request))
        .labels(&labels)
        .buildargs(&args)
        .rm(true)
        .forcerm(true)
        .version(BuilderVersion::BuilderBuildKit)
        // Docker wants a name that no other build at work has, also after a restart of ours.
        .session(&format!("havre-{installation}-{}-{}", request.id, now().as_millis()));
    if let Some(target) = &source.target {
        options = options.target(target.as_str());
    }
    options.build()
}

/// Sorts an error of Docker's API.
pub(super) fn from_docker(what: &str, error: Error) -> BuildError {
    let what = what.to_owned();
    match error {
        Error::DockerResponseServerError { ref message, .. }
        | Error::DockerStreamError { error: ref message }
            if says_no_space(&message.to_lowercase()) =>
        {
            BuildError::NoSpace { what }
        }
        Error::SocketNotFoundError(_)
        | Error::HyperLegacyError { .. }
        | Error::HyperResponseError { .. }
        | Error::RequestTimeoutError => BuildError::Unreachable { what, source: Arc::new(error) },
        other => BuildError::failed(what, other),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn docker_errors_are_sorted() {
        let server = |message: &str| Error::DockerResponseServerError {
            status_code: 500,
            message: message.to_owned(),
        };
        let full = server("mkdir /var/lib/docker/tmp/x: No space left on device");
        assert!(matches!(from_docker("build", full), BuildError::NoSpace { .. }));
        assert!(matches!(from_docker("build", server("other")), BuildError::Failed { .. }));
        let gone = Error::SocketNotFoundError("/nowhere".to_owned());
        assert!(matches!(from_docker("build", gone), BuildError::Unreachable { .. }));
    }
}
