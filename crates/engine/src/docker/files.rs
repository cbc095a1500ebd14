//! Files of volumes. Docker reads and writes them through a container only; it is made for this, never started, and removed after it, so that
//! no program of any image is needed. One that `kill -9` has left goes with the next one of that volume, or with the volume.

use std::collections::HashMap;
use std::time::Duration;

use bollard::Docker;
use bollard::models::{ContainerCreateBody, HostConfig, Mount, MountType, MountVolumeOptions};
use bollard::query_parameters::{
    CreateContainerOptionsBuilder, DownloadFromContainerOptionsBuilder, InspectContainerOptions,
    RemoveContainerOptionsBuilder, UploadToContainerOptionsBuilder,
};
use futures_util::StreamExt as _;

use super::tasks::END_WAIT;
use super::{DockerEngine, POLL, answer};
use crate::error::EngineError;
use crate::files::{ROOT, TarIn, TarOut, VolumeFiles};
use crate::label;

/// Longest time a whole volume may take on its way in: Docker answers only at its end.
const FILL_MAX: Duration = Duration::from_secs(24 * 3600);

/// What is done with the volume.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    Out,
    In,
}

impl Way {
    const fn word(self) -> &'static str {
        match self {
            Self::Out => "read",
            Self::In => "fill",
        }
    }
}

/// A container that goes when this is dropped, wherever the work ended. By its id: the next one has the same name.
struct Holder {
    docker: Docker,
    id: String,
}

impl Drop for Holder {
    fn drop(&mut self) {
        let (docker, id) = (self.docker.clone(), self.id.clone());
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(async move {
                if let Err(error) = remove(&docker, &id).await {
                    tracing::warn!(container = %id, %error, "could not remove a container that held a volume; it goes with the next one");
                }
            });
        }
    }
}

/// Name of the container that reaches a volume.
fn holder_name(volume: &str, way: Way) -> String {
    format!("{volume}-{}", way.word())
}

/// An absent one is fine, and so is one that is being removed.
async fn remove(docker: &Docker, id: &str) -> Result<(), bollard::errors::Error> {
    let options = RemoveContainerOptionsBuilder::default().force(true).v(true).build();
    match docker.remove_container(id, Some(options)).await {
        Err(error) if matches!(answer::status(&error), Some(404 | 409)) => Ok(()),
        removed => removed,
    }
}

impl DockerEngine {
    pub(super) async fn read_volume(&self, files: &VolumeFiles) -> Result<TarOut, EngineError> {
        let holder = self.hold(files, Way::Out).await?;
        let what = format!("read volume `{}`", files.volume);
        let options = DownloadFromContainerOptionsBuilder::default().path(&format!("/{ROOT}")).build();
        let parts = holder.docker.download_from_container(&holder.id, Some(options));
        let engine = self.clone();
        // Kept as long as somebody reads.
        let parts = parts.map(move |part| {
            let _held = &holder;
            part.map_err(|error| engine.explain(&what, error))
        });
        Ok(parts.boxed())
    }

    pub(super) async fn fill_volume(&self, files: &VolumeFiles, tar: TarIn) -> Result<(), EngineError> {
        let holder = self.hold(files, Way::In).await?;
        let what = format!("fill volume `{}`", files.volume);
        // The tar names the volume itself, so that owner and mode of its folder come back as well.
        let options = UploadToContainerOptionsBuilder::default().path("/").build();
        let docker = self.client()?.with_timeout(FILL_MAX);
        let filled = docker.upload_to_container(&holder.id, Some(options), bollard::body_try_stream(tar));
        filled.await.map_err(|error| self.explain(&what, error))?;
        remove(&docker, &holder.id).await.map_err(|error| self.explain(&what, error))
    }

    /// Makes the container that reaches a volume.
    async fn hold(&self, files: &VolumeFiles, way: Way) -> Result<Holder, EngineError> {
        let VolumeFiles { volume, image } = files;
        if self.inspect_image(&image.to_string(), None).await?.is_none() {
            return Err(EngineError::not_found("image", &image.to_string()));
        }
        // Docker would quietly make a missing one and use a foreign one.
        if self.find_volume(volume).await?.is_none() {
            return Err(EngineError::not_found("volume", volume));
        }
        let name = holder_name(volume, way);
        self.drop_holder(&name).await?;
        let docker = self.client()?;
        let options = CreateContainerOptionsBuilder::default().name(&name).build();
        let labels = HashMap::from([(label::HOLDER.to_owned(), volume.clone()), self.installation.label()]);
        let made = docker.create_container(Some(options), derive_holder(files, way, labels)).await;
        let made = made.map_err(|error| self.explain(&format!("{} volume `{volume}`", way.word()), error))?;
        Ok(Holder { docker, id: made.id })
    }

    /// Removes containers that were made to reach a volume, and that nobody needs any more.
    pub(super) async fn drop_holders(&self, volume: &str) -> Result<(), EngineError> {
        for way in [Way::Out, Way::In] {
            self.drop_holder(&holder_name(volume, way)).await?;
        }
        Ok(())
    }

    /// Removes a container of that name, and waits until it is gone.
    async fn drop_holder(&self, name: &str) -> Result<(), EngineError> {
        let docker = self.client()?;
        let what = format!("remove container `{name}`");
        let deadline = tokio::time::Instant::now() + END_WAIT;
        loop {
            let found = docker.inspect_container(name, None::<InspectContainerOptions>).await;
            let found = answer::absent_is_none(found).map_err(|error| self.explain(&what, error))?;
            // Docker also finds containers by the beginning of their id.
            let has_name = |full: Option<&str>| full.and_then(|full| full.strip_prefix('/')) == Some(name);
            let Some(found) = found.filter(|found| has_name(found.name.as_deref())) else { return Ok(()) };
            let labels = found.config.and_then(|config| config.labels).unwrap_or_default();
            if !self.installation.owns(&labels) || !labels.contains_key(label::HOLDER) {
                return Err(EngineError::foreign("container", name));
            }
            remove(&docker, found.id.as_deref().unwrap_or(name))
                .await
                .map_err(|error| self.explain(&what, error))?;
            if tokio::time::Instant::now() >= deadline {
                return Err(EngineError::Conflict { what, message: "it does not go".to_owned() });
            }
            tokio::time::sleep(POLL).await;
        }
    }

    pub(super) async fn pause_task(&self, name: &str) -> Result<(), EngineError> {
        let found = self.get_container(name).await?;
        if found.is_paused() {
            return Ok(());
        }
        let what = format!("pause task `{name}`");
        if !found.is_running() {
            return Err(EngineError::Conflict { what, message: "it is not running".to_owned() });
        }
        self.client()?.pause_container(&found.id).await.map_err(|error| self.explain(&what, error))
    }

    pub(super) async fn unpause_task(&self, name: &str) -> Result<bool, EngineError> {
        let Some(found) = self.find_container(name).await? else { return Ok(false) };
        if !found.is_paused() {
            return Ok(false);
        }
        match self.client()?.unpause_container(&found.id).await {
            Ok(()) => Ok(true),
            Err(error) if answer::status(&error) == Some(404) => Ok(false),
            Err(error) => Err(self.explain(&format!("unpause task `{name}`"), error)),
        }
    }
}

fn derive_holder(files: &VolumeFiles, way: Way, labels: HashMap<String, String>) -> ContainerCreateBody {
    // Nobody starts it; Docker wants a command all the same, and images need not have one.
    let never = Some(vec![format!("/{ROOT}-is-never-started")]);
    let mount = Mount {
        typ: Some(MountType::VOLUME),
        source: Some(files.volume.clone()),
        target: Some(format!("/{ROOT}")),
        read_only: Some(way == Way::Out),
        // Or Docker would put what the image has at that place into an empty volume.
        volume_options: Some(MountVolumeOptions { no_copy: Some(true), ..MountVolumeOptions::default() }),
        ..Mount::default()
    };
    ContainerCreateBody {
        image: Some(files.image.to_string()),
        entrypoint: never,
        labels: Some(labels),
        host_config: Some(HostConfig {
            mounts: Some(vec![mount]),
            network_mode: Some("none".to_owned()),
            ..HostConfig::default()
        }),
        ..ContainerCreateBody::default()
    }
}
