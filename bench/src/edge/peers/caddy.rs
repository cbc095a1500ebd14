//! Caddy.

use std::ffi::OsString;
use std::fs;

use super::{FILES_HOST, HOST, OTHER_HOST, Proxy, Site, command, free_address, spawn};

pub(super) fn start(program: &OsString, site: &Site<'_>) -> anyhow::Result<Proxy> {
    let (plain, secure) = (free_address()?, free_address()?);
    let (root, www, upstream) = (site.folder.display(), site.www.display(), site.upstream);
    let (http, https) = (plain.port(), secure.port());
    // A brace closes a block only on a line of its own.
    let config = format!(
        "{{
  admin off
  auto_https off
  persist_config off
  default_bind 127.0.0.1
  http_port {http}
  https_port {https}
  servers {{
    protocols h1 h2
  }}
}}
http://{OTHER_HOST} {{
  respond 404
}}
http://{HOST} {{
  reverse_proxy {upstream}
}}
http://{FILES_HOST} {{
  root * {www}
  file_server {{
    precompressed br gzip
  }}
}}
https://{HOST} {{
  tls {root}/cert.pem {root}/key.pem
  reverse_proxy {upstream}
}}
https://{FILES_HOST} {{
  tls {root}/cert.pem {root}/key.pem
  root * {www}
  file_server {{
    precompressed br gzip
  }}
}}
"
    );
    let file = site.folder.join("Caddyfile");
    fs::write(&file, config)?;
    let mut command = command(program, site);
    command.args(["run", "--adapter", "caddyfile", "--config"]).arg(&file);
    command.env("GOMAXPROCS", site.workers.to_string());
    command.env("XDG_DATA_HOME", site.folder.join("caddy-data"));
    command.env("XDG_CONFIG_HOME", site.folder.join("caddy-config"));
    let child = spawn("caddy", &mut command, site)?;
    Ok(Proxy { name: "caddy", plain, secure, has_files: true, hosts: None, child })
}
