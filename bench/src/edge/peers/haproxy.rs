//! HAProxy.

use std::ffi::OsString;
use std::fs;

use super::{HOST, Proxy, Site, command, free_address, spawn};

pub(super) fn start(program: &OsString, site: &Site<'_>) -> anyhow::Result<Proxy> {
    let (plain, secure) = (free_address()?, free_address()?);
    let (root, upstream, workers) = (site.folder.display(), site.upstream, site.workers);
    let config = format!(
        "global
  nbthread {workers}
  maxconn 8192
  tune.ssl.default-dh-param 2048
defaults
  mode http
  timeout connect 5s
  timeout client 60s
  timeout server 60s
  option http-keep-alive
  http-reuse always
  option forwardfor
frontend front
  bind {plain}
  bind {secure} ssl crt {root}/both.pem alpn h2,http/1.1
  http-request set-header X-Forwarded-Proto http unless {{ ssl_fc }}
  http-request set-header X-Forwarded-Proto https if {{ ssl_fc }}
  acl is_app hdr(host) -i {HOST}
  use_backend app if is_app
  default_backend none
backend none
  http-request return status 404
backend app
  server one {upstream}
"
    );
    let file = site.folder.join("haproxy.cfg");
    fs::write(&file, config)?;
    let child = spawn("haproxy", command(program, site).args(["-db", "-f"]).arg(&file), site)?;
    Ok(Proxy { name: "haproxy", plain, secure, has_files: false, hosts: None, child })
}
