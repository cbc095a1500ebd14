//! Envoy.

use std::ffi::OsString;
use std::fs;

use super::{HOST, OTHER_HOST, Proxy, Site, command, free_address, spawn};

pub(super) fn start(program: &OsString, site: &Site<'_>) -> anyhow::Result<Proxy> {
    let (plain, secure) = (free_address()?, free_address()?);
    let (root, upstream) = (site.folder.display(), site.upstream);
    let manager = format!(
        "
        - name: envoy.filters.network.http_connection_manager
          typed_config:
            \"@type\": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
            stat_prefix: front
            use_remote_address: true
            route_config:
              virtual_hosts:
              - name: app
                domains: [\"{HOST}\"]
                routes: [{{ match: {{ prefix: \"/\" }}, route: {{ cluster: app, timeout: 0s }} }}]
              - name: other
                domains: [\"{OTHER_HOST}\"]
                routes: [{{ match: {{ prefix: \"/\" }}, direct_response: {{ status: 404 }} }}]
            http_filters:
            - name: envoy.filters.http.router
              typed_config: {{ \"@type\": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router }}"
    );
    let listener = |name: &str, port: u16, socket: &str| {
        format!(
            "  - name: {name}
    address: {{ socket_address: {{ address: 127.0.0.1, port_value: {port} }} }}
    filter_chains:
    - filters:{manager}{socket}
"
        )
    };
    let tls = format!(
        "
      transport_socket:
        name: envoy.transport_sockets.tls
        typed_config:
          \"@type\": type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext
          common_tls_context:
            alpn_protocols: [h2, http/1.1]
            tls_certificates:
            - certificate_chain: {{ filename: {root}/cert.pem }}
              private_key: {{ filename: {root}/key.pem }}"
    );
    let config = format!(
        "static_resources:
  listeners:
{}{}  clusters:
  - name: app
    type: STATIC
    connect_timeout: 5s
    circuit_breakers: {{ thresholds: [{{ max_connections: 10000, max_requests: 10000, max_pending_requests: 10000 }}] }}
    load_assignment:
      cluster_name: app
      endpoints: [{{ lb_endpoints: [{{ endpoint: {{ address: {{ socket_address: {{ address: 127.0.0.1, port_value: {} }} }} }} }}] }}]
",
        listener("plain", plain.port(), ""),
        listener("secure", secure.port(), &tls),
        upstream.port()
    );
    let file = site.folder.join("envoy.yaml");
    fs::write(&file, config)?;
    let mut command = command(program, site);
    command.arg("-c").arg(&file).args(["--concurrency", &site.workers.to_string(), "--log-level", "error"]);
    command.args(["--disable-hot-restart"]);
    let child = spawn("envoy", &mut command, site)?;
    Ok(Proxy { name: "envoy", plain, secure, has_files: false, hosts: None, child })
}
