//! What Docker is, and whether it is set up well. Tests at the end of the file.

use bollard::models::{SystemInfo, SystemInfoCgroupVersionEnum};

use super::DockerEngine;
use crate::error::EngineError;
use crate::info::EngineInfo;

/// Oldest API we support: Docker 20.10, which Debian 12 ships.
const API_MIN: (u32, u32) = (1, 41);

impl DockerEngine {
    pub(super) async fn read_info(&self) -> Result<EngineInfo, EngineError> {
        let docker = self.client()?;
        let what = "read Docker's version";
        let version = docker.version().await.map_err(|error| self.explain(what, error))?;
        let api_version = version.api_version.unwrap_or_default();
        let version = version.version.unwrap_or_default();
        if parse_version(&api_version).is_none_or(|found| found < API_MIN) {
            return Err(EngineError::TooOld { version, api_version });
        }
        let info = docker.info().await.map_err(|error| self.explain("read Docker's settings", error))?;
        Ok(EngineInfo {
            kind: "docker".to_owned(),
            version,
            api_version,
            live_restore: info.live_restore_enabled == Some(true),
            warnings: list_warnings(&info),
        })
    }
}

fn parse_version(text: &str) -> Option<(u32, u32)> {
    let (major, minor) = text.split_once('.')?;
    Some((major.parse().ok()?, minor.parse().ok()?))
}

fn list_warnings(info: &SystemInfo) -> Vec<String> {
    let cgroups = if info.cgroup_version == Some(SystemInfoCgroupVersionEnum::_1) { "v1" } else { "v2" };
    let mut warnings = Vec::new();
    if info.live_restore_enabled != Some(true) {
        warnings.push(
            "live-restore is off, so restarting Docker stops all tasks: set `\"live-restore\": true` in /etc/docker/daemon.json and reload Docker"
                .to_owned(),
        );
    }
    let limits = [
        (info.memory_limit, "memory limits"),
        (info.cpu_cfs_quota, "processor limits"),
        (info.pids_limit, "limits of the number of processes"),
    ];
    for (support, name) in limits {
        if support == Some(false) {
            warnings.push(format!(
                "this kernel cannot enforce {name}: enable them in its control groups ({cgroups})"
            ));
        }
    }
    // Version 1 counts swap apart; without it a task may use as much swap again as its memory limit.
    if cgroups == "v1" && info.swap_limit == Some(false) {
        warnings
            .push("this kernel cannot limit swap: boot it with `swapaccount=1` or without swap".to_owned());
    }
    if info.ipv4_forwarding == Some(false) {
        warnings.push(
            "IPv4 forwarding is off, so tasks reach nothing outside: set net.ipv4.ip_forward=1".to_owned(),
        );
    }
    warnings
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_numbers() {
        assert_eq!(parse_version("1.41"), Some((1, 41)));
        assert!(parse_version("1.9") < Some(API_MIN));
        assert!(parse_version("1.100") > Some(API_MIN));
        assert_eq!(parse_version("new"), None);
    }

    #[test]
    fn a_good_setup_has_no_warnings() {
        let good = SystemInfo {
            live_restore_enabled: Some(true),
            memory_limit: Some(true),
            cpu_cfs_quota: Some(true),
            pids_limit: Some(true),
            swap_limit: Some(true),
            ipv4_forwarding: Some(true),
            ..SystemInfo::default()
        };
        assert_eq!(list_warnings(&good), Vec::<String>::new());
        let bad = SystemInfo { live_restore_enabled: Some(false), pids_limit: Some(false), ..good };
        assert_eq!(list_warnings(&bad).len(), 2);
    }
}
