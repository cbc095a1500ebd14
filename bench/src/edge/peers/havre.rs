//! Our edge as it ships: limits, timeouts, request ids, probes and metrics on. It has no control here and serves the
//! table, the certificates and the site that it finds on disk, as it does after a restart without control.

use std::ffi::OsString;
use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use havre_api::route_table::{
    Balance, Certificate, CertificatePurpose, Limits, Probe, Protocol, ROUTE_TABLE_VERSION, Route,
    RouteTable, ServiceUpstreams, Target, Upstream, UpstreamRole,
};
use havre_build::site::Sites;
use havre_core::id::BuildId;
use sha2::{Digest as _, Sha256};
use tokio_util::sync::CancellationToken;

use super::{FILES_HOST, HOST, OTHER_HOST, Proxy, Site, command, free_address, spawn};
use crate::edge::files::{Pem, certificate};
use crate::edge::switch::RELEASES;

/// Starts the edge with the host of the proxies, that of the files, and one without tasks.
pub(super) fn start(program: &OsString, site: &Site<'_>) -> anyhow::Result<Proxy> {
    let home = Home::make(site.folder, "havre")?;
    let digest = home.publish(site.www)?;
    let mut table = table(&[(HOST.to_owned(), site.upstream)]);
    let none = ServiceUpstreams {
        name: "bench/production/none".to_owned(),
        upstreams: Vec::new(),
        ..table.services[&key(0)].clone()
    };
    table.services.insert("none".to_owned(), none);
    table.routes.push(route(OTHER_HOST, Target::Service { service: "none".to_owned() }));
    table.routes.push(route(FILES_HOST, files(digest, RELEASES[0])));
    home.certify(&mut table, vec![HOST.to_owned(), FILES_HOST.to_owned()], site.pem)?;
    home.run(program, site, &table, ("havre", None))
}

/// Starts one more edge with `count` hosts, each a service of its own with a certificate of its own.
pub(in crate::edge) fn start_with_hosts(
    program: &OsString,
    site: &Site<'_>,
    count: usize,
) -> anyhow::Result<Proxy> {
    let name = if count == 10 { "havre, 10 hosts" } else { "havre, many hosts" };
    let home = Home::make(site.folder, &format!("havre-{count}"))?;
    let hosts: Vec<(String, SocketAddr)> = (0..count).map(|number| (host(number), site.upstream)).collect();
    let mut table = table(&hosts);
    for (host, _) in hosts {
        let names = vec![host];
        let pem = certificate(&names)?;
        home.certify(&mut table, names, &pem)?;
    }
    home.run(program, site, &table, (name, Some(count)))
}

/// Starts one more edge with `count` hosts without certificates, which asks a control on a socket for news. `serve` gets the
/// table it starts with and the one it is changed to: host 0 leads to another service or, where there are folders of
/// files, to the site of the second instead of that of the first.
pub(in crate::edge) fn start_under_control(
    program: &OsString,
    site: &Site<'_>,
    (count, folders): (usize, Option<&[PathBuf; 2]>),
    serve: impl FnOnce(&[RouteTable; 2], &Path) -> anyhow::Result<()>,
) -> anyhow::Result<Proxy> {
    let home = Home::make(site.folder, "havre-routes")?;
    let hosts: Vec<(String, SocketAddr)> = (0..count).map(|number| (host(number), site.upstream)).collect();
    let mut first = table(&hosts);
    if let Some(second) = first.services.get_mut(&key(1)) {
        second.upstreams.iter_mut().for_each(|upstream| upstream.release = RELEASES[1].to_owned());
    }
    let mut tables = [first.clone(), first];
    match folders {
        // Neither names the other as an earlier release: each switch finds the folder closed, as that of a new release is.
        Some(folders) => {
            for ((table, folder), release) in tables.iter_mut().zip(folders).zip(RELEASES) {
                lead(table, files(home.publish(folder)?, release));
            }
        }
        None => lead(&mut tables[1], Target::Service { service: key(1) }),
    }
    serve(&tables, &site.folder.join("havre-routes-control.sock"))?;
    home.run(program, site, &tables[0], ("havre, routes", Some(count)))
}

/// Leads host 0 somewhere else.
fn lead(table: &mut RouteTable, target: Target) {
    if let Some(first) = table.routes.first_mut() {
        first.target = target;
    }
}

/// Host `number` of many.
pub(in crate::edge) fn host(number: usize) -> String {
    format!("host-{number}.bench.test")
}

fn key(number: usize) -> String {
    format!("app{number}")
}

fn route(host: &str, target: Target) -> Route {
    Route { host: host.to_owned(), path_prefix: "/".to_owned(), target, policy: None, is_counted: false }
}

fn files(digest: String, release: &str) -> Target {
    Target::Site {
        digest,
        release: release.to_owned(),
        spa: false,
        expose_release: true,
        base: None,
        clean_urls: Default::default(),
        trailing_slash: Default::default(),
        cdn: None,
        earlier: Vec::new(),
    }
}

/// A table with one service for each host, each with one live task.
pub(in crate::edge) fn table(hosts: &[(String, SocketAddr)]) -> RouteTable {
    let mut table = RouteTable {
        version: ROUTE_TABLE_VERSION,
        generation: 1,
        probe_key: "bench-probe-key-of-no-value".to_owned(),
        ..RouteTable::default()
    };
    for (number, (host, address)) in hosts.iter().enumerate() {
        let probe = Probe {
            path: "/200".to_owned(),
            host: host.clone(),
            timeout_ms: 2_000,
            starting_interval_ms: 100,
            // Thousands of tasks would otherwise be asked in a measurement of something else.
            steady_interval_ms: if hosts.len() > 100 { 600_000 } else { 5_000 },
            unhealthy_after: 3,
        };
        let upstream = Upstream {
            task: format!("t{number}"),
            release: "r1".to_owned(),
            address: *address,
            protocol: Protocol::Http1,
            role: UpstreamRole::Live,
            probe,
            checks: Vec::new(),
        };
        let service = ServiceUpstreams {
            name: format!("bench/production/{}", key(number)),
            upstreams: vec![upstream],
            expose_release: true,
            limits: Limits::default(),
            is_paused: false,
            canary: None,
            balance: Balance::default(),
            tls: Default::default(),
        };
        table.services.insert(key(number), service);
        table.routes.push(route(host, Target::Service { service: key(number) }));
    }
    table
}

/// Folders of one edge.
struct Home {
    name: String,
    state: PathBuf,
    sites: PathBuf,
}

impl Home {
    fn make(folder: &Path, name: &str) -> anyhow::Result<Self> {
        let home = Self {
            name: name.to_owned(),
            state: folder.join(format!("{name}-state")),
            sites: folder.join(format!("{name}-sites")),
        };
        fs::create_dir_all(home.state.join("certificates")).context("make the edge's folders")?;
        fs::create_dir_all(&home.sites)?;
        Ok(home)
    }

    /// Publishes the files as a deploy does; returns the name of the site.
    fn publish(&self, www: &Path) -> anyhow::Result<String> {
        let mut archive = tar::Builder::new(Vec::new());
        for entry in fs::read_dir(www)? {
            let entry = entry?;
            let name = entry.file_name();
            // The precompressed form is made by publishing.
            if Path::new(&name).extension().is_none_or(|extension| extension != "br") {
                archive.append_path_with_name(entry.path(), &name)?;
            }
        }
        let archive = archive.into_inner()?;
        let sites = Sites::open(&self.sites, havre_build::site::Limits::default())?;
        let digest = sites.publish(BuildId::new(1), archive.as_slice(), None, &CancellationToken::new())?;
        Ok(digest.hex().to_owned())
    }

    /// Puts a certificate where the edge keeps what control has given it.
    fn certify(&self, table: &mut RouteTable, names: Vec<String>, pem: &Pem) -> anyhow::Result<()> {
        let material = format!("{}{}", pem.chain, pem.key);
        let digest: String = Sha256::digest(&material).iter().map(|byte| format!("{byte:02x}")).collect();
        let file = self.state.join("certificates").join(format!("{digest}.pem"));
        fs::write(&file, material)?;
        fs::set_permissions(&file, fs::Permissions::from_mode(0o600))?;
        table.certificates.push(Certificate { names, digest, purpose: CertificatePurpose::Serve });
        Ok(())
    }

    fn run(
        &self,
        program: &OsString,
        site: &Site<'_>,
        table: &RouteTable,
        (name, hosts): (&'static str, Option<usize>),
    ) -> anyhow::Result<Proxy> {
        let (plain, secure) = (free_address()?, free_address()?);
        fs::write(self.state.join("table.json"), serde_json::to_vec(table)?)?;
        let root = site.folder.display();
        let (home, workers) = (&self.name, site.workers);
        let config = format!(
            "[edge]
name = \"bench\"
listen = [\"{plain}\"]
https = [\"{secure}\"]
workers = {workers}
control_socket = \"{root}/{home}-control.sock\"
state_dir = \"{}\"
sites_dir = \"{}\"
metrics_socket = \"{root}/{home}-metrics.sock\"

[edge.limits]
connections_per_client = 20000
handshakes_per_client = 1000000
",
            self.state.display(),
            self.sites.display()
        );
        let file = site.folder.join(format!("{home}.toml"));
        fs::write(&file, config)?;
        let child = spawn(name, command(program, site).args(["edge", "--config"]).arg(&file), site)?;
        Ok(Proxy { name, plain, secure, has_files: hosts.is_none(), hosts, child })
    }
}
