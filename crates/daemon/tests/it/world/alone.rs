//! The real edge in a process of its own, without control and without Docker: it serves the table and the certificate
//! that lie in its state folder, and an application inside the test.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use havre_api::route_table::{
    Balance, Certificate, CertificatePurpose, Limits, Probe, ROUTE_TABLE_VERSION, Route, RouteTable,
    ServiceUpstreams, Target, Upstream, UpstreamRole,
};
use havre_core::time::Timestamp;
use havre_edge::certificate::folder::Folder;
use havre_edge::certificate::material::digest_of;
use rustix::process::Signal;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;

use super::origin::{HEALTH, Origin};
use super::process::{self, Process};
use super::spec::HOST;
use super::until;

/// The edge.
pub(crate) struct Alone {
    /// Where it speaks HTTP.
    pub(crate) plain: SocketAddr,
    /// Where it speaks HTTPS.
    pub(crate) secure: SocketAddr,
    /// The application behind it.
    pub(crate) origin: Origin,
    config: PathBuf,
    /// The first process; successors are not its children for long.
    first: Process,
    folder: TempDir,
}

impl Alone {
    /// `limits` are lines of `[edge.limits]`.
    pub(crate) async fn start(workers: usize, limits: &str) -> Self {
        Self::begin((workers, limits), |config| Process::start("edge", config)).await
    }

    /// One that can have so many descriptors.
    pub(crate) async fn start_with_descriptors(most: u32, workers: usize, limits: &str) -> Self {
        Self::begin((workers, limits), |config| Process::start_with_descriptors(most, "edge", config)).await
    }

    async fn begin((workers, limits): (usize, &str), start: impl FnOnce(&Path) -> Process) -> Self {
        let origin = Origin::start().await;
        let folder = tempfile::Builder::new().prefix("havre-edge-").tempdir().expect("a folder");
        let config = write_config(folder.path(), workers, limits);
        write_state(&folder.path().join("edge"), origin.address);
        let first = start(&config);
        let log = config.with_file_name("edge.log");
        let addresses = async || {
            let text = std::fs::read_to_string(&log).ok()?;
            Some((address_in(&text, "addresses")?, address_in(&text, "https")?))
        };
        let (plain, secure) = until("the edge says where it listens", addresses).await;
        Self { plain, secure, origin, config, first, folder }
    }

    /// The one process it is.
    pub(crate) fn id(&self) -> u32 {
        let all = self.processes();
        assert_eq!(all.len(), 1, "one edge runs");
        all[0]
    }

    fn processes(&self) -> Vec<u32> {
        process::all_with(&self.config.display().to_string())
    }

    /// Asks it to hand over, and waits until the predecessor has gone.
    pub(crate) async fn hand_over(&self) {
        let before = self.id();
        process::signal(before, Signal::HUP);
        let is_done = async || {
            let all = self.processes();
            (all.len() == 1 && all[0] != before).then_some(())
        };
        until("the successor runs alone", is_done).await;
    }

    /// A number of its page of metrics.
    pub(crate) async fn metric(&self, name: &str) -> u64 {
        let mut stream =
            UnixStream::connect(self.folder.path().join("metrics.sock")).await.expect("the edge answers");
        stream.write_all(b"GET /metrics HTTP/1.1\r\n\r\n").await.expect("it is read");
        let mut page = String::new();
        stream.read_to_string(&mut page).await.expect("text");
        let start = format!("havre_edge_{name} ");
        let number = page.lines().find_map(|line| line.strip_prefix(&start)?.parse().ok());
        number.unwrap_or_else(|| panic!("no {name} in {page}"))
    }

    /// Bytes of memory it has: its own, and its share of what others have too.
    pub(crate) fn memory(&self) -> u64 {
        let text = std::fs::read_to_string(format!("/proc/{}/smaps_rollup", self.id())).expect("it runs");
        let line = text.lines().find_map(|line| line.strip_prefix("Pss:")).expect("the kernel counts it");
        let kilobytes: u64 = line.trim().trim_end_matches(" kB").parse().expect("a number");
        kilobytes * 1024
    }
}

impl Drop for Alone {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.first.show_log();
        }
        process::kill_all_with(&self.config.display().to_string());
    }
}

/// The first of the addresses that the edge names so in its log.
fn address_in(log: &str, name: &str) -> Option<SocketAddr> {
    let (_, rest) = log.split_once(&format!(" {name}=["))?;
    rest.split_once(']')?.0.parse().ok()
}

fn write_config(folder: &Path, workers: usize, limits: &str) -> PathBuf {
    let at = |name: &str| toml::Value::String(folder.join(name).display().to_string());
    let text = format!(
        "[edge]\nname = \"edge\"\nlisten = [\"127.0.0.1:0\"]\nhttps = [\"127.0.0.1:0\"]\nworkers = {workers}\n\
         control_socket = {}\nstate_dir = {}\nsites_dir = {}\nmetrics_socket = {}\n\n[edge.limits]\n{limits}\n",
        at("nobody.sock"),
        at("edge"),
        at("sites"),
        at("metrics.sock"),
    );
    let path = folder.join("havred.toml");
    std::fs::write(&path, text).expect("the configuration is written");
    path
}

/// What an earlier edge would have left there: a table and the material of a certificate.
fn write_state(folder: &Path, application: SocketAddr) {
    let now = Timestamp::from_millis(1_800_000_000_000);
    let made = havre_x509::challenge::placeholder(&[HOST.parse().expect("a name")], now);
    let material = made.expect("a certificate").to_pem();
    let digest = digest_of(material.expose());
    let certificates = Folder::open(folder.join("certificates")).expect("a folder");
    certificates.save(digest, material.expose()).expect("a file");
    let table = table(application, digest.to_string());
    let text = serde_json::to_vec(&table).expect("a table is JSON");
    std::fs::write(folder.join("table.json"), text).expect("a file");
}

fn table(application: SocketAddr, digest: String) -> RouteTable {
    let upstream = Upstream {
        task: "t1".to_owned(),
        release: "r1".to_owned(),
        address: application,
        protocol: Default::default(),
        role: UpstreamRole::Live,
        // A busy machine is no reason to give it up.
        probe: Probe {
            path: HEALTH.to_owned(),
            host: HOST.to_owned(),
            timeout_ms: 60_000,
            starting_interval_ms: 1000,
            steady_interval_ms: 1000,
            unhealthy_after: 100,
        },
        checks: Vec::new(),
    };
    let service = ServiceUpstreams {
        name: "e2e/production/app".to_owned(),
        upstreams: vec![upstream],
        expose_release: true,
        limits: Limits::default(),
        is_paused: false,
        canary: None,
        balance: Balance::default(),
        tls: BTreeMap::new(),
    };
    RouteTable {
        version: ROUTE_TABLE_VERSION,
        generation: 1,
        probe_key: "key".to_owned(),
        routes: vec![Route {
            host: HOST.to_owned(),
            path_prefix: "/".to_owned(),
            target: Target::Service { service: "app".to_owned() },
            policy: None,
            is_counted: false,
        }],
        services: BTreeMap::from([("app".to_owned(), service)]),
        certificates: vec![Certificate {
            names: vec![HOST.to_owned()],
            digest,
            purpose: CertificatePurpose::Serve,
        }],
        ..RouteTable::default()
    }
}
