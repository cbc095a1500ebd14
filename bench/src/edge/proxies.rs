//! Starts the proxies that are compared, each with one worker, kept upstream connections, `X-Forwarded-For` and `-Proto`
//! set, and no access log. Tests: `edge/mod.rs`.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use anyhow::Context as _;
use havre_api::route_table::{
    Limits, Probe, ROUTE_TABLE_VERSION, Route, RouteTable, ServiceUpstreams, Target, Upstream, UpstreamRole,
};

/// Host that all proxies serve; each has a second one, so that routing is not free.
pub(super) const HOST: &str = "bench.test";
const OTHER_HOST: &str = "other.test";

/// Where programs are.
#[derive(Debug, Clone)]
pub(super) struct Programs {
    pub(super) nginx: OsString,
    pub(super) haproxy: OsString,
    /// `havred`; without it only the peers run.
    pub(super) havred: Option<OsString>,
}

/// A running proxy, killed when dropped.
#[derive(Debug)]
pub(super) struct Proxy {
    pub(super) name: &'static str,
    pub(super) address: SocketAddr,
    pub(super) child: Child,
}

impl Drop for Proxy {
    fn drop(&mut self) {
        // SIGTERM, so that masters take their workers with them.
        let process = rustix::process::Pid::from_child(&self.child);
        let _ = rustix::process::kill_process(process, rustix::process::Signal::TERM);
        for _ in 0..40 {
            if matches!(self.child.try_wait(), Ok(Some(_))) {
                return;
            }
            std::thread::sleep(std::time::Duration::from_millis(50));
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Starts all proxies on `core` with their files below `folder`.
///
/// # Errors
/// A program is missing or does not start.
pub(super) fn start(
    programs: &Programs,
    folder: &Path,
    upstream: SocketAddr,
    core: usize,
) -> anyhow::Result<Vec<Proxy>> {
    let mut proxies = vec![
        nginx(&programs.nginx, folder, upstream, core)?,
        haproxy(&programs.haproxy, folder, upstream, core)?,
    ];
    if let Some(program) = &programs.havred {
        proxies.push(havre(program, folder, upstream, core)?);
    }
    Ok(proxies)
}

/// Asks the kernel for a free port. Somebody could take it before the proxy does; then the proxy says so.
fn free_address() -> anyhow::Result<SocketAddr> {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").context("find a free port")?;
    Ok(listener.local_addr()?)
}

fn spawn(
    name: &'static str,
    address: SocketAddr,
    folder: &Path,
    argv: &[OsString],
    core: usize,
) -> anyhow::Result<Proxy> {
    let log = fs::File::create(folder.join(format!("{name}.log")))?;
    let child = Command::new("taskset")
        .args(["-c", &core.to_string()])
        .args(argv)
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log)
        .spawn()
        .with_context(|| format!("start {name}"))?;
    Ok(Proxy { name, address, child })
}

fn argv(program: &OsString, arguments: &[&str], file: &Path) -> Vec<OsString> {
    let arguments = arguments.iter().map(OsString::from);
    std::iter::once(program.clone()).chain(arguments).chain([file.as_os_str().to_owned()]).collect()
}

fn nginx(program: &OsString, folder: &Path, upstream: SocketAddr, core: usize) -> anyhow::Result<Proxy> {
    let address = free_address()?;
    let root = folder.display();
    // `keepalive_requests` is high everywhere: nginx would otherwise close a connection after each 1,000 requests.
    let config = format!(
        "daemon off;
worker_processes 1;
pid {root}/nginx.pid;
error_log {root}/nginx.error.log warn;

events {{ worker_connections 4096; use epoll; multi_accept on; }}
http {{
  access_log off;
  keepalive_requests 1000000000;
  tcp_nodelay on;
  client_body_temp_path {root}/nginx-body;
  proxy_temp_path {root}/nginx-proxy;
  fastcgi_temp_path {root}/nginx-fastcgi;
  uwsgi_temp_path {root}/nginx-uwsgi;
  scgi_temp_path {root}/nginx-scgi;
  upstream app {{ server {upstream}; keepalive 256; keepalive_requests 1000000000; }}
  server {{ listen {address} backlog=4096; server_name {OTHER_HOST}; return 404; }}
  server {{
    listen {address};
    server_name {HOST};
    location / {{
      proxy_pass http://app;
      proxy_http_version 1.1;
      proxy_set_header Connection \"\";
      proxy_set_header Host $host;
      proxy_set_header X-Forwarded-For $remote_addr;
      proxy_set_header X-Forwarded-Proto $scheme;
    }}
  }}
}}
"
    );
    let file = folder.join("nginx.conf");
    fs::write(&file, config)?;
    spawn("nginx", address, folder, &argv(program, &["-c"], &file), core)
}

fn haproxy(program: &OsString, folder: &Path, upstream: SocketAddr, core: usize) -> anyhow::Result<Proxy> {
    let address = free_address()?;
    let config = format!(
        "global
  nbthread 1
  maxconn 4096
defaults
  mode http
  timeout connect 5s
  timeout client 60s
  timeout server 60s
  option http-keep-alive
  http-reuse always
  option forwardfor
frontend front
  bind {address}
  http-request set-header X-Forwarded-Proto http
  acl is_app hdr(host) -i {HOST}
  use_backend app if is_app
  default_backend none
backend none
  http-request return status 404
backend app
  server one {upstream}
"
    );
    let file = folder.join("haproxy.cfg");
    fs::write(&file, config)?;
    spawn("haproxy", address, folder, &argv(program, &["-db", "-f"], &file), core)
}

/// The edge as it ships: limits, timeouts, request ids, probes and metrics on. It has no control here and serves the
/// table that it finds on disk, as it does after a restart without control.
fn havre(program: &OsString, folder: &Path, upstream: SocketAddr, core: usize) -> anyhow::Result<Proxy> {
    let address = free_address()?;
    let root = folder.display();
    let state = folder.join("havre-state");
    fs::create_dir_all(&state)?;
    fs::create_dir_all(folder.join("havre-sites"))?;
    fs::write(state.join("table.json"), serde_json::to_vec(&table(upstream))?)?;
    let config = format!(
        "[edge]
name = \"bench\"
listen = [\"{address}\"]
https = []
workers = 1
control_socket = \"{root}/no-control.sock\"
state_dir = \"{root}/havre-state\"
sites_dir = \"{root}/havre-sites\"
metrics_socket = \"{root}/havre-metrics.sock\"
"
    );
    let file = folder.join("havred.toml");
    fs::write(&file, config)?;
    spawn("havre", address, folder, &argv(program, &["edge", "--config"], &file), core)
}

/// Two hosts, one live task.
pub(super) fn table(upstream: SocketAddr) -> RouteTable {
    let probe = Probe {
        path: "/200".to_owned(),
        host: HOST.to_owned(),
        timeout_ms: 2_000,
        starting_interval_ms: 100,
        steady_interval_ms: 5_000,
        unhealthy_after: 3,
    };
    let upstreams = vec![Upstream {
        task: "t1".to_owned(),
        release: "r1".to_owned(),
        address: upstream,
        protocol: Default::default(),
        role: UpstreamRole::Live,
        probe,
        checks: Vec::new(),
    }];
    let service = ServiceUpstreams {
        name: "bench/production/app".to_owned(),
        upstreams,
        expose_release: true,
        limits: Limits::default(),
        is_paused: false,
        canary: None,
    };
    let route = |host: &str, key: &str| Route {
        host: host.to_owned(),
        path_prefix: "/".to_owned(),
        target: Target::Service { service: key.to_owned() },
        policy: None,
    };
    let empty = ServiceUpstreams {
        name: "bench/production/none".to_owned(),
        upstreams: Vec::new(),
        ..service.clone()
    };
    RouteTable {
        version: ROUTE_TABLE_VERSION,
        generation: 1,
        probe_key: "bench-probe-key-of-no-value".to_owned(),
        routes: vec![route(HOST, "app"), route(OTHER_HOST, "none")],
        services: BTreeMap::from([("app".to_owned(), service), ("none".to_owned(), empty)]),
        ..RouteTable::default()
    }
}
