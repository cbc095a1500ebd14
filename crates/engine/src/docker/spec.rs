//! A task as Docker is asked to make it. Pure; what Docker made of it is read in `tasks.rs`.

use std::collections::HashMap;

use bollard::models::{
    ContainerCreateBody, EndpointIpamConfig, EndpointSettings, HostConfig, HostConfigLogConfig, Mount,
    MountType, NetworkConnectRequest, NetworkingConfig, RestartPolicy, RestartPolicyNameEnum,
};
use havre_core::secret::Secret;
use havre_core::task::spec::{Purpose, TaskSpec};

use crate::label::{Installation, derive_labels};

/// What ordinary images need to change to their own user and own their files at start; nothing that reaches the node:
/// no raw sockets, no mounts, no device files, no tracing. `docs/decisions/0011-capabilities.md`.
const CAPABILITIES: [&str; 7] =
    ["CHOWN", "DAC_OVERRIDE", "FOWNER", "KILL", "NET_BIND_SERVICE", "SETGID", "SETUID"];

/// Logs Docker keeps of one task: three files of 10 MB.
const LOG_FILES: &str = "3";
const LOG_FILE_SIZE: &str = "10m";
/// Docker counts processor time in billionths of a core.
const NANOS_PER_MILLI: i64 = 1_000_000;

/// Docker's own network, in which it runs the steps of a Dockerfile as well.
const DOCKERS_OWN: &str = "bridge";
/// No network: only the loopback of the container itself.
const NO_NETWORK: &str = "none";

/// The container of `task`, first of all in the private network that Docker calls `network`; in Docker's own where there is none, and in
/// none at all where it is to be alone.
pub(super) fn derive_container(
    installation: &Installation,
    task: &TaskSpec,
    network: Option<&str>,
) -> ContainerCreateBody {
    let stop_seconds = task.stop_grace.as_millis().div_ceil(1000);
    let mode = match network {
        Some(network) => network,
        None if task.is_alone() => NO_NETWORK,
        None => DOCKERS_OWN,
    };
    ContainerCreateBody {
        image: Some(task.image.to_string()),
        cmd: task.command.as_ref().map(|command| command.words().to_vec()),
        env: Some(derive_env(task)),
        labels: Some(derive_labels(installation, task)),
        // Ours is sent by `stop_task`; these are for `docker stop` and for Docker's own shutdown.
        stop_signal: Some(task.stop_signal.as_str().to_owned()),
        stop_timeout: Some(i64::try_from(stop_seconds).unwrap_or(i64::MAX)),
        host_config: Some(derive_host(task, mode)),
        networking_config: network.map(|network| derive_private_network(task, network)),
        ..ContainerCreateBody::default()
    }
}

/// The one place where values of secrets become text. Docker keeps them: `docker inspect` shows them to who may ask Docker.
fn derive_env(task: &TaskSpec) -> Vec<String> {
    let plain = task.env.iter().map(|(key, value)| format!("{key}={value}"));
    let text = |value: &Secret| String::from_utf8_lossy(value.expose()).into_owned();
    let secret = task.secrets.iter().map(|(key, value)| format!("{key}={}", text(value)));
    plain.chain(secret).collect()
}

fn derive_host(task: &TaskSpec, network: &str) -> HostConfig {
    let memory = i64::try_from(task.memory.as_bytes()).unwrap_or(i64::MAX);
    let log_options = [("max-size", LOG_FILE_SIZE), ("max-file", LOG_FILES)];
    HostConfig {
        init: Some(true),
        cap_drop: Some(vec!["ALL".to_owned()]),
        cap_add: Some(CAPABILITIES.iter().map(|name| (*name).to_owned()).collect()),
        security_opt: Some(vec!["no-new-privileges".to_owned()]),
        privileged: Some(false),
        readonly_rootfs: Some(false),
        publish_all_ports: Some(false),
        memory: Some(memory),
        // Equal to memory: no swap at all, so a task over its limit dies instead of slowing the machine.
        memory_swap: Some(memory),
        nano_cpus: Some(
            i64::try_from(task.cpus.as_millis()).unwrap_or(i64::MAX).saturating_mul(NANOS_PER_MILLI),
        ),
        pids_limit: Some(i64::from(task.pids)),
        shm_size: task.shared_memory().map(|size| i64::try_from(size.as_bytes()).unwrap_or(i64::MAX)),
        mounts: Some(task.volumes.iter().map(|(name, path)| derive_mount(name, path.as_str())).collect()),
        network_mode: Some(network.to_owned()),
        // A task is never restarted, only replaced.
        restart_policy: Some(RestartPolicy {
            name: Some(RestartPolicyNameEnum::NO),
            maximum_retry_count: None,
        }),
        log_config: Some(HostConfigLogConfig {
            typ: Some("json-file".to_owned()),
            config: Some(log_options.map(|(key, value)| (key.to_owned(), value.to_owned())).into()),
        }),
        ..HostConfig::default()
    }
}

fn derive_mount(name: &str, path: &str) -> Mount {
    Mount {
        typ: Some(MountType::VOLUME),
        source: Some(name.to_owned()),
        target: Some(path.to_owned()),
        read_only: Some(false),
        ..Mount::default()
    }
}

/// Tasks answer to the name of their service or database; a release command or a job must not, or others would talk to it.
fn derive_private_network(task: &TaskSpec, network: &str) -> NetworkingConfig {
    let aliases = match task.purpose {
        Purpose::Task { .. } | Purpose::TestDatabase { .. } | Purpose::Database { .. } => {
            Some(vec![task.place.service.to_string()])
        }
        Purpose::ReleaseCommand { .. }
        | Purpose::OneOff { .. }
        | Purpose::Job { .. }
        | Purpose::Test { .. }
        | Purpose::Drill { .. }
        | Purpose::Recovery { .. } => None,
    };
    let endpoint = EndpointSettings { aliases, ..EndpointSettings::default() };
    let endpoints = HashMap::from([(network.to_owned(), endpoint)]);
    NetworkingConfig { endpoints_config: Some(endpoints) }
}

/// Joins `havre-edge` under a fixed address: API 1.41 takes only one network when a container is made.
pub(super) fn derive_edge_connection(container: &str, address: std::net::Ipv4Addr) -> NetworkConnectRequest {
    let fixed =
        EndpointIpamConfig { ipv4_address: Some(address.to_string()), ..EndpointIpamConfig::default() };
    NetworkConnectRequest {
        container: container.to_owned(),
        endpoint_config: Some(EndpointSettings { ipam_config: Some(fixed), ..EndpointSettings::default() }),
    }
}
