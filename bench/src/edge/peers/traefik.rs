//! Traefik, with its file provider.

use std::ffi::OsString;
use std::fs;

use super::{HOST, OTHER_HOST, Proxy, Site, command, free_address, spawn};

pub(super) fn start(program: &OsString, site: &Site<'_>) -> anyhow::Result<Proxy> {
    let (plain, secure) = (free_address()?, free_address()?);
    let (root, upstream) = (site.folder.display(), site.upstream);
    let routes = format!(
        "http:
  routers:
    app: {{ rule: \"Host(`{HOST}`)\", service: app, entryPoints: [web] }}
    app-tls: {{ rule: \"Host(`{HOST}`)\", service: app, entryPoints: [websecure], tls: {{}} }}
    other: {{ rule: \"Host(`{OTHER_HOST}`)\", service: app, entryPoints: [web] }}
  services:
    app:
      loadBalancer:
        servers: [{{ url: \"http://{upstream}\" }}]
tls:
  certificates:
    - {{ certFile: {root}/cert.pem, keyFile: {root}/key.pem }}
"
    );
    let main = format!(
        "global: {{ checkNewVersion: false, sendAnonymousUsage: false }}
log: {{ level: ERROR }}
entryPoints:
  web: {{ address: \"{plain}\" }}
  websecure: {{ address: \"{secure}\" }}
providers:
  file: {{ filename: {root}/traefik-routes.yaml, watch: false }}
"
    );
    fs::write(site.folder.join("traefik-routes.yaml"), routes)?;
    let file = site.folder.join("traefik.yaml");
    fs::write(&file, main)?;
    let mut command = command(program, site);
    command.arg(format!("--configFile={}", file.display()));
    command.env("GOMAXPROCS", site.workers.to_string());
    let child = spawn("traefik", &mut command, site)?;
    Ok(Proxy { name: "traefik", plain, secure, has_files: false, hosts: None, child })
}
