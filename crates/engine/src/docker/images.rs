//! Images of Docker: looking, pulling, removing what we built. Tests of pulls are in `tests/it/docker.rs`.

use std::collections::HashMap;

use bollard::BollardRequest;
use bollard::auth::DockerCredentials;
use bollard::models::{CreateImageInfo, ImageInspect};
use bollard::query_parameters::{CreateImageOptionsBuilder, ListImagesOptionsBuilder, RemoveImageOptions};
use futures_util::StreamExt;
use havre_core::artifact::{Digest, ImageRef};
use havre_core::quantity::ByteSize;
use havre_core::registry::{Credentials, RegistryHost, hub};
use havre_core::time::Timestamp;

use super::{DockerEngine, answer};
use crate::error::EngineError;
use crate::image::{BuiltImage, ImageInfo, ProgressSender, PullPolicy, PullProgress, ResolvedImage};
use crate::label;

/// Repository of every image a build of ours tags. Labels are inherited by images other people build on top of
/// ours, so an image with any other tag is not ours.
const BUILT_PREFIX: &str = "havre/";

impl DockerEngine {
    /// An image by id or name; `repository` prefers one of several places to pull it from.
    pub(super) async fn inspect_image(
        &self,
        name: &str,
        repository: Option<&str>,
    ) -> Result<Option<ImageInfo>, EngineError> {
        let found = answer::absent_is_none(self.client()?.inspect_image(name).await)
            .map_err(|error| self.explain(&format!("look at image `{name}`"), error))?;
        found.map(|image| parse_image(&image, name, repository)).transpose()
    }

    pub(super) async fn resolve(
        &self,
        reference: &ImageRef,
        policy: PullPolicy,
        credentials: Option<&Credentials>,
        progress: Option<ProgressSender>,
    ) -> Result<ResolvedImage, EngineError> {
        let name = full_name(reference);
        let repository = Some(reference.repository());
        let missing = || EngineError::not_found("image", reference.as_str());
        if policy != PullPolicy::Always
            && let Some(ImageInfo { id, pull, .. }) = self.inspect_image(&name, repository).await?
        {
            return Ok(ResolvedImage { id, pull });
        }
        if policy == PullPolicy::Never {
            return Err(missing());
        }
        let credentials = credentials.and_then(|credentials| credentials.only_for(reference));
        self.pull(&name, &RegistryHost::of(reference), credentials, progress).await?;
        let pulled = self.inspect_image(&name, repository).await?;
        let ImageInfo { id, pull, .. } = pulled.ok_or_else(missing)?;
        Ok(ResolvedImage { id, pull })
    }

    async fn pull(
        &self,
        name: &str,
        registry: &RegistryHost,
        credentials: Option<&Credentials>,
        progress: Option<ProgressSender>,
    ) -> Result<(), EngineError> {
        let options = CreateImageOptionsBuilder::default().from_image(name).build();
        let client = self.client()?.with_request_modifier(for_urls);
        let mut steps = client.create_image(Some(options), None, credentials.map(docker_credentials));
        while let Some(step) = steps.next().await {
            let step = step.map_err(|error| answer::explain_pull(&self.socket, (name, registry), error))?;
            if let Some(progress) = &progress {
                // Full or closed: progress is only shown to people, the pull goes on.
                let _ = progress.try_send(parse_progress(step));
            }
        }
        Ok(())
    }

    pub(super) async fn list_built(&self) -> Result<Vec<BuiltImage>, EngineError> {
        let (key, value) = self.installation.label();
        let filters = HashMap::from([("label", vec![format!("{key}={value}")])]);
        let options = ListImagesOptionsBuilder::default().filters(&filters).build();
        let images = self.client()?.list_images(Some(options)).await;
        let images = images.map_err(|error| self.explain("list images", error))?;
        let mut built: Vec<BuiltImage> = images
            .iter()
            .filter(|image| self.installation.owns(&image.labels) && are_ours(&image.repo_tags))
            .filter_map(|image| {
                Some(BuiltImage {
                    id: image.id.parse().ok()?,
                    service: label::parse(&image.labels, label::SERVICE_ID),
                    build: label::parse(&image.labels, label::BUILD),
                    created_at: Timestamp::from_millis(image.created.saturating_mul(1000)),
                    size: ByteSize::bytes(u64::try_from(image.size).unwrap_or(0)),
                })
            })
            .collect();
        built.sort_by(|a, b| (a.created_at, &a.id).cmp(&(b.created_at, &b.id)));
        Ok(built)
    }

    pub(super) async fn drop_image(&self, id: &Digest) -> Result<(), EngineError> {
        let docker = self.client()?;
        let what = format!("remove image {}", id.short());
        let found = answer::absent_is_none(docker.inspect_image(&id.to_string()).await);
        let Some(image) = found.map_err(|error| self.explain(&what, error))? else { return Ok(()) };
        let labels = image.config.as_ref().and_then(|config| config.labels.as_ref());
        let tags = image.repo_tags.clone().unwrap_or_default();
        if !labels.is_some_and(|labels| self.installation.owns(labels)) || !are_ours(&tags) {
            return Err(EngineError::foreign("image", &id.to_string()));
        }
        // Docker refuses to remove an image with several tags by its id; the image goes with its last tag.
        let names = if tags.is_empty() { vec![id.to_string()] } else { tags };
        for name in names {
            let removed = docker.remove_image(&name, None::<RemoveImageOptions>, None).await;
            answer::absent_is_none(removed).map_err(|error| self.explain(&what, error))?;
        }
        Ok(())
    }
}

/// Credentials in Docker's form.
fn docker_credentials(credentials: &Credentials) -> DockerCredentials {
    let Credentials { host, user, password } = credentials;
    let address = if host.is_hub() { hub::SERVER_ADDRESS } else { host.as_str() };
    DockerCredentials {
        username: Some(user.to_string()),
        password: password.expose_text().map(str::to_owned),
        serveraddress: Some(address.to_owned()),
        ..DockerCredentials::default()
    }
}

/// The client writes credentials in the standard alphabet of base64, Docker reads the one for URLs: without this, a password
/// with `~`, `>` or `?` at some places would be no credentials at all.
fn for_urls(mut request: BollardRequest) -> BollardRequest {
    if let Some(value) = request.headers_mut().get_mut("x-registry-auth") {
        let text = value.to_str().unwrap_or_default().replace('+', "-").replace('/', "_");
        if let Ok(readable) = text.parse() {
            *value = readable;
            value.set_sensitive(true);
        }
    }
    request
}

fn are_ours(tags: &[String]) -> bool {
    tags.iter().all(|tag| tag.starts_with(BUILT_PREFIX) || tag == "<none>:<none>")
}

/// The name with a tag or digest: without one, Docker would pull every tag.
fn full_name(reference: &ImageRef) -> String {
    if reference.as_str() == reference.repository() {
        return format!("{reference}:latest");
    }
    reference.to_string()
}

fn parse_image(image: &ImageInspect, name: &str, repository: Option<&str>) -> Result<ImageInfo, EngineError> {
    let id = image.id.as_deref().unwrap_or_default().parse();
    let id = id.map_err(|error: havre_core::artifact::ArtifactError| EngineError::Failed {
        what: format!("look at image `{name}`"),
        message: error.to_string(),
    })?;
    let places: Vec<ImageRef> =
        image.repo_digests.iter().flatten().filter_map(|place| place.parse().ok()).collect();
    let wanted = repository.map(short_repository);
    let preferred = places.iter().find(|place| Some(short_repository(place.repository())) == wanted);
    Ok(ImageInfo {
        id,
        pull: preferred.or_else(|| places.first()).cloned(),
        size: ByteSize::bytes(u64::try_from(image.size.unwrap_or(0)).unwrap_or(0)),
    })
}

/// Docker shows names of its default registry without it.
fn short_repository(repository: &str) -> &str {
    let short = repository.strip_prefix("docker.io/").unwrap_or(repository);
    short.strip_prefix("library/").unwrap_or(short)
}

fn parse_progress(step: CreateImageInfo) -> PullProgress {
    let bytes = |count: Option<i64>| count.and_then(|count| u64::try_from(count).ok()).map(ByteSize::bytes);
    let detail = step.progress_detail.unwrap_or_default();
    PullProgress {
        layer: step.id.unwrap_or_default(),
        status: step.status.unwrap_or_default(),
        done: bytes(detail.current).unwrap_or(ByteSize::bytes(0)),
        total: bytes(detail.total),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_without_tag_means_latest() {
        let full = |text: &str| full_name(&text.parse().expect("a reference"));
        assert_eq!(full("nginx"), "nginx:latest");
        assert_eq!(full("localhost:5000/a"), "localhost:5000/a:latest");
        assert_eq!(full("nginx:1"), "nginx:1");
    }

    #[test]
    fn images_with_a_tag_of_somebody_else_are_not_ours() {
        assert!(are_ours(&[]));
        assert!(are_ours(&["havre/a-b:b1".to_owned()]));
        assert!(!are_ours(&["havre/a-b:b1".to_owned(), "mine:1".to_owned()]));
    }

    #[test]
    fn the_place_asked_for_is_the_place_pulled_from() {
        let digest = format!("sha256:{}", "a".repeat(64));
        let image = ImageInspect {
            id: Some(digest.clone()),
            repo_digests: Some(vec![format!("mirror.example.org/nginx@{digest}"), format!("nginx@{digest}")]),
            ..ImageInspect::default()
        };
        let info = parse_image(&image, "x", Some("docker.io/library/nginx")).expect("a digest");
        assert_eq!(info.pull.expect("pulled").as_str(), format!("nginx@{digest}"));
    }
}
