//! Networks and volumes of Docker.

use std::collections::HashMap;

use bollard::models::{Ipam, IpamConfig, NetworkCreateRequest, NetworkInspect, Volume, VolumeCreateRequest};
use bollard::query_parameters::{InspectNetworkOptions, RemoveVolumeOptions};

use super::{DockerEngine, answer};
use crate::error::EngineError;
use crate::label;
use crate::network::{NetworkSpec, VolumeSpec};

/// Option of Docker's bridge driver: whether containers on it may reach each other.
const ENABLE_ICC: &str = "com.docker.network.bridge.enable_icc";

impl DockerEngine {
    pub(super) async fn make_network(&self, spec: &NetworkSpec) -> Result<(), EngineError> {
        if let Some(existing) = self.find_network(&spec.name).await? {
            return check_network(spec, &existing);
        }
        let what = format!("make network `{}`", spec.name);
        let mut request = derive_network(spec, self.installation.label());
        request.name = self.network_name(&spec.name);
        match self.client()?.create_network(request).await {
            Ok(_) => Ok(()),
            // Forbidden: the subnet overlaps another network. Conflict: somebody was faster; the next call looks again.
            Err(error) if matches!(answer::status(&error), Some(403 | 409)) => {
                let message = format!("{} (subnet {})", answer::bound(answer::message(&error)), spec.subnet);
                Err(EngineError::Conflict { what, message })
            }
            Err(error) => Err(self.explain(&what, error)),
        }
    }

    pub(super) async fn drop_network(&self, name: &str) -> Result<(), EngineError> {
        let Some(network) = self.find_network(name).await? else { return Ok(()) };
        let what = format!("remove network `{name}`");
        // By id: the name could belong to something else by now.
        match self.client()?.remove_network(network.id.as_deref().unwrap_or(name)).await {
            Ok(()) => Ok(()),
            Err(error) if answer::status(&error) == Some(404) => Ok(()),
            Err(error) if answer::status(&error) == Some(403) => {
                Err(EngineError::Conflict { what, message: answer::bound(answer::message(&error)) })
            }
            Err(error) => Err(self.explain(&what, error)),
        }
    }

    /// Our network of exactly that name, `None` when absent.
    pub(super) async fn find_network(&self, name: &str) -> Result<Option<NetworkInspect>, EngineError> {
        let name = &self.network_name(name);
        let found = self.client()?.inspect_network(name, None::<InspectNetworkOptions>).await;
        let found = answer::absent_is_none(found)
            .map_err(|error| self.explain(&format!("look at network `{name}`"), error))?;
        // Docker also finds networks by the beginning of their id.
        let Some(network) = found.filter(|network| network.name.as_ref() == Some(name)) else {
            return Ok(None);
        };
        if !network.labels.as_ref().is_some_and(|labels| self.installation.owns(labels)) {
            return Err(EngineError::foreign("network", name));
        }
        Ok(Some(network))
    }

    pub(super) async fn make_volume(&self, spec: &VolumeSpec) -> Result<(), EngineError> {
        let volume = match self.find_volume(&spec.name).await? {
            Some(volume) => volume,
            None => {
                let labels = [
                    (label::PROJECT, spec.place.project.to_string()),
                    (label::ENVIRONMENT, spec.place.environment.to_string()),
                    (label::SERVICE, spec.place.service.to_string()),
                    (label::SERVICE_ID, spec.service.to_string()),
                ];
                let labels = labels.map(|(key, value)| (key.to_owned(), value));
                let request = VolumeCreateRequest {
                    name: Some(spec.name.clone()),
                    driver: Some("local".to_owned()),
                    labels: Some(labels.into_iter().chain([self.installation.label()]).collect()),
                    ..VolumeCreateRequest::default()
                };
                // Docker answers with an existing volume when somebody was faster, so the answer is checked as well.
                let made = self.client()?.create_volume(request).await;
                self.own_volume(
                    made.map_err(|error| self.explain(&format!("make volume `{}`", spec.name), error))?,
                )?
            }
        };
        match volume.labels.get(label::SERVICE_ID) {
            Some(service) if *service == spec.service.to_string() => Ok(()),
            other => Err(EngineError::Conflict {
                what: format!("make volume `{}`", spec.name),
                message: format!("it belongs to service {}", other.map_or("unknown", String::as_str)),
            }),
        }
    }

    pub(super) async fn drop_volume(&self, name: &str) -> Result<(), EngineError> {
        if self.find_volume(name).await?.is_none() {
            return Ok(());
        }
        self.drop_holders(name).await?;
        let removed = self.client()?.remove_volume(name, None::<RemoveVolumeOptions>).await;
        answer::absent_is_none(removed)
            .map_err(|error| self.explain(&format!("remove volume `{name}`"), error))?;
        Ok(())
    }

    /// Our volume of that name, `None` when absent.
    pub(super) async fn find_volume(&self, name: &str) -> Result<Option<Volume>, EngineError> {
        let found = answer::absent_is_none(self.client()?.inspect_volume(name).await)
            .map_err(|error| self.explain(&format!("look at volume `{name}`"), error))?;
        found.map(|volume| self.own_volume(volume)).transpose()
    }

    fn own_volume(&self, volume: Volume) -> Result<Volume, EngineError> {
        if self.installation.owns(&volume.labels) {
            return Ok(volume);
        }
        Err(EngineError::foreign("volume", &volume.name))
    }
}

fn derive_network(spec: &NetworkSpec, ours: (String, String)) -> NetworkCreateRequest {
    let mut labels = HashMap::from([ours]);
    if let Some(environment) = &spec.environment {
        labels.extend([
            (label::PROJECT.to_owned(), environment.project.to_string()),
            (label::ENVIRONMENT.to_owned(), environment.name.to_string()),
            (label::ENVIRONMENT_ID.to_owned(), environment.id.to_string()),
        ]);
    }
    let pool = IpamConfig {
        subnet: Some(spec.subnet.clone()),
        gateway: Some(spec.gateway.to_string()),
        ..IpamConfig::default()
    };
    let options = spec.isolated.then(|| HashMap::from([(ENABLE_ICC.to_owned(), "false".to_owned())]));
    NetworkCreateRequest {
        name: spec.name.clone(),
        driver: Some("bridge".to_owned()),
        ipam: Some(Ipam { config: Some(vec![pool]), ..Ipam::default() }),
        enable_ipv6: Some(false),
        options,
        labels: Some(labels),
        ..NetworkCreateRequest::default()
    }
}

fn check_network(spec: &NetworkSpec, existing: &NetworkInspect) -> Result<(), EngineError> {
    let pools = existing.ipam.as_ref().and_then(|ipam| ipam.config.as_deref()).unwrap_or_default();
    let gateway = spec.gateway.to_string();
    let has_pool = pools.iter().any(|pool| {
        pool.subnet.as_deref() == Some(spec.subnet.as_str()) && pool.gateway.as_ref() == Some(&gateway)
    });
    let icc = existing.options.as_ref().and_then(|options| options.get(ENABLE_ICC)).map(String::as_str);
    if has_pool && spec.isolated == (icc == Some("false")) {
        return Ok(());
    }
    let found: Vec<&str> = pools.iter().filter_map(|pool| pool.subnet.as_deref()).collect();
    Err(EngineError::Conflict {
        what: format!("make network `{}`", spec.name),
        message: format!(
            "it exists with another subnet, gateway or isolation ({}, wanted {}); remove it with `docker network rm {}`",
            found.join(", "),
            spec.subnet,
            spec.name
        ),
    })
}
