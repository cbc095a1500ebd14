//! Builds an image from a Dockerfile and pins it by its id. The context goes from disk to Docker in pieces.
//! Does not take anything out of images. Tests in `tests/it/docker.rs`.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bollard::errors::Error;
use bollard::models::{BuildInfo, BuildInfoAux};
use bollard::query_parameters::{
    BuildImageOptions, BuildImageOptionsBuilder, BuilderVersion, RemoveImageOptions,
};
use bollard::{BollardRequest, Docker, body_try_stream};
use futures_util::StreamExt as _;
use havre_core::artifact::Digest;
use havre_core::name::BuildSecretName;
use havre_core::registry::{Credentials, hub};
use havre_core::secret::Secret;
use havre_core::service::spec::DockerfileSource;
use tokio_util::io::ReaderStream;

use super::CA_SECRET;
use super::progress::Progress;
use super::session::{self, Given};
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

/// What to build.
#[derive(Debug, Clone)]
pub(super) struct Build {
    pub(super) socket: PathBuf,
    pub(super) installation: String,
    pub(super) request: BuildRequest,
    pub(super) source: DockerfileSource,
    /// Arguments of every build; the service's own come before them.
    pub(super) args: BTreeMap<String, String>,
    /// Certificates that every build may mount.
    pub(super) ca: Option<Secret>,
}

/// Builds an image, says what happens, and answers its id.
pub(super) async fn build(docker: &Docker, build: &Build, log: &LineSink) -> Result<Digest, BuildError> {
    let request = &build.request;
    find_dockerfile(&request.context, &build.source).await?;
    let file = tokio::fs::File::open(&request.context)
        .await
        .map_err(|error| BuildError::failed("open the uploaded context", error))?;
    let body = body_try_stream(ReaderStream::with_capacity(file, CHUNK));
    let session = session_id(build);
    // Open for as long as the build runs.
    let given = Given { secrets: secrets(build), credentials: credentials(request) };
    let _session = session::open(&build.socket, &session, given, log.clone()).await?;
    let mut answers = docker.build_image(options(build, &session), None, Some(body)).boxed();
    let mut progress = Progress::new(log.redactor().clone());
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

/// What steps may mount: the secrets that were asked for, and the certificates, of which nothing is hidden in what the build says.
fn secrets(build: &Build) -> BTreeMap<BuildSecretName, Secret> {
    let mut secrets = build.request.secrets.clone();
    if let Some(ca) = &build.ca {
        let name = CA_SECRET.parse().expect("our own name is one");
        secrets.entry(name).or_insert_with(|| ca.clone());
    }
    secrets
}

/// Credentials as BuildKit asks for them in the session of a build: by the host of the registry.
fn credentials(request: &BuildRequest) -> session::Logins {
    let given = request.credentials.iter().map(|Credentials { host, user, password }| {
        let asked_for = if host.is_hub() { hub::REGISTRY_HOST } else { host.as_str() };
        (asked_for.to_owned(), (user.to_string(), password.clone()))
    });
    given.collect()
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

/// Docker wants a name that no other build at work has, also after a restart of ours.
fn session_id(build: &Build) -> String {
    format!("havre-{}-{}-{}", build.installation, build.request.id, now().as_millis())
}

fn options(build: &Build, session: &str) -> BuildImageOptions {
    let Build { installation, request, source, args, .. } = build;
    let labels = HashMap::from([
        (INSTALLATION.to_owned(), installation.clone()),
        (SERVICE_ID.to_owned(), request.service.to_string()),
        (BUILD.to_owned(), request.id.to_string()),
    ]);
    let own = source.args.iter().map(|(key, value)| (key.to_string(), value.clone()));
    let args: HashMap<String, String> = args.clone().into_iter().chain(own).collect();
    let mut options = BuildImageOptionsBuilder::default()
        .dockerfile(source.dockerfile_in_context())
        .t(&tag(request))
        .labels(&labels)
        .buildargs(&args)
        .rm(true)
        .forcerm(true)
        // See `by_buildkit`.
        .version(BuilderVersion::BuilderV1)
        .session(session);
    if let Some(target) = &source.target {
        options = options.target(target.as_str());
    }
    options.build()
}

/// The words by which the client library asks for a build by the older builder, in a session.
const OLDER_BUILDER: &str = "&version=1&session=";

/// Puts a request right on its way. The client library would start a session of its own for every build by BuildKit, one
/// that knows no secret which is not in a file. So it is asked for a build by the older builder, and Docker for one by BuildKit.
pub(super) fn by_buildkit(mut request: BollardRequest) -> BollardRequest {
    if let Some(uri) = buildkit_uri(request.uri()) {
        *request.uri_mut() = uri;
    }
    request
}

fn buildkit_uri(uri: &http::Uri) -> Option<http::Uri> {
    // Values are encoded, so that none of them can hold these words.
    let text = uri.to_string();
    let (before, session) = text.split_once(OLDER_BUILDER)?;
    format!("{before}&version=2&session={session}").parse().ok()
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
    use havre_core::registry::RegistryHost;

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

    fn request() -> BuildRequest {
        let work =
            serde_json::json!({ "kind": "site", "source": { "kind": "folder", "root": "." }, "spa": false });
        let spec = serde_json::json!({
            "version": 1, "name": "api", "routes": [], "expose_release": true, "work": work,
        });
        BuildRequest {
            id: havre_core::id::BuildId::new(12),
            service: havre_core::id::ServiceId::new(3),
            place: havre_core::service::Place {
                project: "dropit".parse().expect("is a name"),
                environment: "production".parse().expect("is a name"),
                service: "api".parse().expect("is a name"),
            },
            spec: serde_json::from_value(spec).expect("is a specification"),
            context: "unused".into(),
            credentials: Vec::new(),
            secrets: BTreeMap::new(),
        }
    }

    #[test]
    fn credentials_are_under_the_host_that_is_asked() {
        assert!(credentials(&request()).is_empty());
        let given = |host: RegistryHost| Credentials {
            host,
            user: "ada".parse().expect("is a user"),
            password: "planted".into(),
        };
        let own = "127.0.0.1:5000".parse().expect("is a host");
        let request = BuildRequest { credentials: vec![given(own), given(RegistryHost::hub())], ..request() };
        let found = credentials(&request);
        let hosts: Vec<&str> = found.keys().map(String::as_str).collect();
        assert_eq!(hosts, ["127.0.0.1:5000", hub::REGISTRY_HOST]);
        for (user, password) in found.values() {
            assert_eq!((user.as_str(), password.expose_text()), ("ada", Some("planted")));
        }
    }

    #[test]
    fn everything_a_dockerfile_needs_is_asked_for() {
        let source = serde_json::json!({
            "context": "apps/api", "dockerfile": "deploy/api.Dockerfile", "target": "run", "args": { "A": "1" },
        });
        let request = request();
        let source = serde_json::from_value(source).expect("is a source");
        let everywhere = |key: &str| (key.to_owned(), "everywhere".to_owned());
        let build = Build {
            socket: "unused".into(),
            installation: "here".to_owned(),
            request,
            source,
            args: BTreeMap::from([everywhere("A"), everywhere("HTTP_PROXY")]),
            ca: Some(Secret::from("certificates")),
        };
        let given = secrets(&build);
        let ca = given.get(&CA_SECRET.parse::<BuildSecretName>().expect("is a name"));
        assert_eq!(ca.and_then(Secret::expose_text), Some("certificates"));
        let session = session_id(&build);
        assert!(session.starts_with("havre-here-b12-"), "{session}");
        let mut options = options(&build, &session);
        assert_eq!(options.session.take(), Some(session), "BuildKit needs one");
        let map = |pairs: &[(&str, &str)]| {
            Some(pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect())
        };
        let expected = BuildImageOptions {
            dockerfile: ".havre.Dockerfile".to_owned(),
            t: Some("havre/dropit-production-api:b12".to_owned()),
            rm: true,
            forcerm: true,
            target: "run".to_owned(),
            buildargs: map(&[("A", "1"), ("HTTP_PROXY", "everywhere")]),
            labels: map(&[
                ("dev.havre.installation", "here"),
                ("dev.havre.service-id", "s3"),
                ("dev.havre.build", "b12"),
            ]),
            version: BuilderVersion::BuilderV1,
            ..BuildImageOptions::default()
        };
        assert_eq!(options, expected);
    }

    #[test]
    fn buildkit_builds_whatever_the_client_library_asked_for() {
        let asked = "unix://2f646f636b6572:0/v1.41/build?dockerfile=Dockerfile&labels=%26version%3D1%26session%3D&target=&version=1&session=havre-x-b1-2";
        let uri = buildkit_uri(&asked.parse().expect("is an address")).expect("is a build");
        assert_eq!(uri.to_string(), asked.replace("&version=1&", "&version=2&"));
        let other = "unix://2f646f636b6572:0/v1.41/images/x/json";
        assert_eq!(buildkit_uri(&other.parse().expect("is an address")), None);
    }
}
