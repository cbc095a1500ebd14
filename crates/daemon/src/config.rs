//! Bootstrap configuration: paths, addresses, pools. Everything else is desired state in the store. Tests at the end of
//! the file.

mod build;

pub(crate) use build::BuildConfig;

use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use havre_core::pipeline::status::PublicUrl;
use havre_edge::config::EdgeConfig;
use serde::Deserialize;

/// Where the packaged configuration lies.
pub(crate) const DEFAULT_PATH: &str = "/etc/havre/havred.toml";

/// The whole file.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Config {
    /// The role `control`.
    pub(crate) control: ControlConfig,
    /// The role `edge`.
    pub(crate) edge: EdgeConfig,
    /// What builds may take.
    pub(crate) build: BuildConfig,
}

/// The role `control`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct ControlConfig {
    /// Store, build logs, last logs of removed tasks. Default `/var/lib/havre`.
    pub(crate) data_dir: PathBuf,
    /// Published sites; the edge reads them. Default `/var/lib/havre/sites`.
    pub(crate) sites_dir: PathBuf,
    /// API for `havre` on this machine. Default `/run/havre/control.sock`.
    pub(crate) socket: PathBuf,
    /// Route table and reports of the edge. Default `/run/havre/edge.sock`.
    pub(crate) edge_socket: PathBuf,
    /// Where the program behind sshd asks; none when absent, and then nobody pushes over SSH.
    pub(crate) git_socket: Option<PathBuf>,
    /// Address of the API with access tokens; none when absent.
    pub(crate) listen: Option<SocketAddr>,
    /// Docker's socket. Default `/var/run/docker.sock`.
    pub(crate) docker_socket: PathBuf,
    /// Name of the bridge between edge and tasks. Default `havre-edge`; another one only for a second installation.
    pub(crate) edge_network: String,
    /// Addresses of tasks on that bridge. Default `10.213.0.0/16`.
    pub(crate) edge_pool: String,
    /// Private networks of environments, a /24 each. Default `10.214.0.0/16`.
    pub(crate) environment_pool: String,
    /// Builds at once. Default 1.
    pub(crate) builds: usize,
    /// Secrets for calls to CDNs: a folder for each host, in it one file for each secret. Default `/etc/havre/purge`.
    pub(crate) purge_secrets: PathBuf,
    /// Calls to CDNs may go to addresses that are not public, and over plain HTTP. Default false.
    pub(crate) purge_private: bool,
    /// Repositories may be fetched from addresses that are not public, and over plain HTTP. Default false.
    pub(crate) remote_private: bool,
    /// Folder of values in files, in it one for each project; providers of the kind `file` are refused when absent.
    pub(crate) provider_files: Option<PathBuf>,
    /// Secret providers may be at addresses that are not public, and be called over plain HTTP. Default false.
    pub(crate) provider_private: bool,
    /// Where people reach the API, such as `https://havre.example.org`: forges link to it. None when absent.
    pub(crate) public_url: Option<PublicUrl>,
    /// Key that seals secrets in the store. Default `/etc/havre/master.key`.
    pub(crate) master_key: PathBuf,
    /// Addresses that names of services point to; those of the default routes when empty.
    pub(crate) public_addresses: Vec<IpAddr>,
    /// How servers of names are asked.
    pub(crate) dns: DnsConfig,
}

/// How servers of names are asked before a certificate is ordered.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct DnsConfig {
    /// Resolvers, besides the servers of each zone itself. Default Quad9 and Cloudflare: two operators see more than one.
    pub(crate) resolvers: Vec<SocketAddr>,
    /// Zones may be served from addresses that are not public. Default false.
    pub(crate) allow_private: bool,
    /// Port of the zones' own servers. Default 53.
    pub(crate) authoritative_port: u16,
}

impl Default for DnsConfig {
    fn default() -> Self {
        Self {
            resolvers: vec![SocketAddr::from(([9, 9, 9, 9], 53)), SocketAddr::from(([1, 1, 1, 1], 53))],
            allow_private: false,
            authoritative_port: 53,
        }
    }
}

impl Default for ControlConfig {
    fn default() -> Self {
        Self {
            data_dir: PathBuf::from("/var/lib/havre"),
            sites_dir: PathBuf::from("/var/lib/havre/sites"),
            socket: PathBuf::from("/run/havre/control.sock"),
            edge_socket: PathBuf::from("/run/havre/edge.sock"),
            git_socket: None,
            listen: None,
            docker_socket: PathBuf::from("/var/run/docker.sock"),
            edge_network: havre_core::task::spec::EDGE_NETWORK.to_owned(),
            edge_pool: "10.213.0.0/16".to_owned(),
            environment_pool: "10.214.0.0/16".to_owned(),
            builds: 1,
            purge_secrets: PathBuf::from("/etc/havre/purge"),
            purge_private: false,
            remote_private: false,
            provider_files: None,
            provider_private: false,
            public_url: None,
            master_key: PathBuf::from("/etc/havre/master.key"),
            public_addresses: Vec::new(),
            dns: DnsConfig::default(),
        }
    }
}

/// Reads the file. Only the packaged default may be missing: a path somebody named must exist.
pub(crate) fn load(path: &Path) -> anyhow::Result<Config> {
    let text = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound && path == Path::new(DEFAULT_PATH) => {
            String::new()
        }
        Err(error) => {
            return Err(error).with_context(|| format!("read the configuration {}", path.display()));
        }
    };
    let context = || format!("read the configuration {}", path.display());
    let config: Config = toml::from_str(&text).with_context(context)?;
    config.build.check().with_context(context)?;
    Ok(config)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_key_names_its_line() {
        let error = toml::from_str::<Config>("[control]\nsockett = \"/x\"\n").unwrap_err().to_string();
        assert!(error.contains("line 2") && error.contains("sockett"), "{error}");
    }

    #[test]
    fn an_empty_file_is_enough() {
        let config: Config = toml::from_str("").unwrap();
        assert_eq!(config.control.socket, PathBuf::from("/run/havre/control.sock"));
        assert!(!config.control.purge_private && !config.control.remote_private);
        assert!(!config.control.provider_private && config.control.provider_files.is_none());
    }

    #[test]
    fn a_public_address_is_one() {
        let read = |text: &str| toml::from_str::<Config>(&format!("[control]\npublic_url = \"{text}\"\n"));
        let config = read("https://havre.example.org/").unwrap();
        assert_eq!(config.control.public_url.unwrap().as_str(), "https://havre.example.org");
        assert!(read("havre.example.org").unwrap_err().to_string().contains("https://havre.example.org"));
    }

    #[test]
    fn a_named_file_must_exist() {
        assert!(load(Path::new("/nowhere/havred.toml")).is_err());
    }
}
