//! nginx, with sendfile and precompressed files.

use std::ffi::OsString;
use std::fs;
use std::path::Path;

use super::{FILES_HOST, HOST, OTHER_HOST, Proxy, Site, command, free_address, spawn};

const BROTLI: &str = "/usr/lib/nginx/modules/ngx_http_brotli_static_module.so";

pub(super) fn start(program: &OsString, site: &Site<'_>) -> anyhow::Result<Proxy> {
    let (plain, secure) = (free_address()?, free_address()?);
    let (root, www) = (site.folder.display(), site.www.display());
    anyhow::ensure!(
        Path::new(BROTLI).exists(),
        "{BROTLI} is missing (Debian: libnginx-mod-http-brotli-static)"
    );
    let (upstream, workers) = (site.upstream, site.workers);
    // `keepalive_requests` is high everywhere: nginx would otherwise close a connection after each 1,000 requests.
    let config = format!(
        "load_module {BROTLI};
daemon off;
worker_processes {workers};
pid {root}/nginx.pid;
error_log {root}/nginx.error.log warn;

events {{ worker_connections 8192; use epoll; multi_accept on; }}
http {{
  access_log off;
  include /etc/nginx/mime.types;
  sendfile on;
  tcp_nopush on;
  tcp_nodelay on;
  keepalive_requests 1000000000;
  client_max_body_size 0;
  proxy_request_buffering off;
  client_body_temp_path {root}/nginx-body;
  proxy_temp_path {root}/nginx-proxy;
  fastcgi_temp_path {root}/nginx-fastcgi;
  uwsgi_temp_path {root}/nginx-uwsgi;
  scgi_temp_path {root}/nginx-scgi;
  ssl_certificate {root}/cert.pem;
  ssl_certificate_key {root}/key.pem;
  # 1.22 would leave out 1.3.
  ssl_protocols TLSv1.2 TLSv1.3;
  ssl_session_cache shared:ssl:10m;
  upstream app {{ server {upstream}; keepalive 256; keepalive_requests 1000000000; }}
  server {{ listen {plain} backlog=4096 reuseport; listen {secure} ssl http2 backlog=4096 reuseport; server_name {OTHER_HOST}; return 404; }}
  server {{
    listen {plain}; listen {secure} ssl http2;
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
  server {{
    listen {plain}; listen {secure} ssl http2;
    server_name {FILES_HOST};
    root {www};
    gzip_static on;
    brotli_static on;
    open_file_cache max=1000 inactive=60s;
  }}
}}
"
    );
    let file = site.folder.join("nginx.conf");
    fs::write(&file, config)?;
    let child = spawn("nginx", command(program, site).arg("-c").arg(&file), site)?;
    Ok(Proxy { name: "nginx", plain, secure, has_files: true, hosts: None, child })
}
