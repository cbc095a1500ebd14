//! Makes archives for tests, bad ones included, and requests.

use std::path::PathBuf;

use havre_build::builder::BuildRequest;
use havre_core::id::{BuildId, ServiceId};
use havre_core::service::Place;
use havre_core::service::spec::ServiceSpec;
use tar::{EntryType, Header};

/// One entry of an archive, exactly as written.
#[derive(Clone)]
pub(crate) struct Entry {
    kind: EntryType,
    name: Vec<u8>,
    link: Vec<u8>,
    data: Vec<u8>,
    mode: u32,
}

fn entry(kind: EntryType, name: &[u8], link: &[u8], data: &[u8]) -> Entry {
    Entry { kind, name: name.to_vec(), link: link.to_vec(), data: data.to_vec(), mode: 0o640 }
}

pub(crate) fn file(name: &str, data: &str) -> Entry {
    entry(EntryType::Regular, name.as_bytes(), b"", data.as_bytes())
}

pub(crate) fn folder(name: &str) -> Entry {
    entry(EntryType::Directory, name.as_bytes(), b"", b"")
}

pub(crate) fn symlink(name: &str, target: &str) -> Entry {
    entry(EntryType::Symlink, name.as_bytes(), target.as_bytes(), b"")
}

pub(crate) fn hard_link(name: &str, target: &str) -> Entry {
    entry(EntryType::Link, name.as_bytes(), target.as_bytes(), b"")
}

pub(crate) fn of_kind(kind: EntryType, name: &[u8], data: &[u8]) -> Entry {
    entry(kind, name, b"", data)
}

impl Entry {
    pub(crate) fn mode(mut self, mode: u32) -> Self {
        self.mode = mode;
        self
    }

    fn append(&self, to: &mut Vec<u8>) {
        let mut header = Header::new_gnu();
        {
            let old = header.as_old_mut();
            old.name[..self.name.len()].copy_from_slice(&self.name);
            old.linkname[..self.link.len()].copy_from_slice(&self.link);
        }
        header.set_entry_type(self.kind);
        header.set_mode(self.mode);
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(1);
        header.set_size(self.data.len() as u64);
        header.set_cksum();
        to.extend_from_slice(header.as_bytes());
        to.extend_from_slice(&self.data);
        to.resize(to.len().next_multiple_of(512), 0);
    }
}

/// A whole archive.
pub(crate) fn tar(entries: &[Entry]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for entry in entries {
        entry.append(&mut bytes);
    }
    bytes.resize(bytes.len() + 1024, 0);
    bytes
}

/// A request for a service `web` that works as `work` says (JSON of `core`'s `Work`).
pub(crate) fn request(id: i64, work: &serde_json::Value, context: PathBuf) -> BuildRequest {
    let spec: ServiceSpec = serde_json::from_value(serde_json::json!({
        "version": 1, "name": "web", "routes": [], "expose_release": true, "work": work,
    }))
    .expect("is a specification");
    BuildRequest {
        id: BuildId::new(id),
        service: ServiceId::new(9),
        place: Place {
            project: "havre-test".parse().expect("is a name"),
            environment: "production".parse().expect("is a name"),
            service: "web".parse().expect("is a name"),
        },
        spec,
        context,
        credentials: Vec::new(),
        secrets: std::collections::BTreeMap::new(),
    }
}

/// A site from finished files.
pub(crate) fn folder_site() -> serde_json::Value {
    serde_json::json!({ "kind": "site", "source": { "kind": "folder", "root": "." }, "spa": false })
}

/// A site built by the Dockerfile at the root.
pub(crate) fn built_site(output: &str) -> serde_json::Value {
    serde_json::json!({
        "kind": "site",
        "source": {
            "kind": "dockerfile", "context": ".", "dockerfile": "Dockerfile", "target": null, "args": {},
            "output": output,
        },
        "spa": false,
    })
}

/// A service whose image is built by a Dockerfile.
pub(crate) fn image(dockerfile: &serde_json::Value) -> serde_json::Value {
    serde_json::json!({
        "kind": "tasks", "port": 3000,
        "source": dockerfile,
        "health": { "path": "/", "is_default": true, "timeout": "2s", "interval": "5s" },
        "checks": [], "command": null, "release_command": null, "env": {}, "replicas": 1,
        "memory": "64MB", "cpus": "1", "pids": 64, "volumes": [], "stop_signal": "SIGTERM",
        "stop_grace": "10s", "drain": "30s", "start_timeout": "60s", "release_timeout": "60s", "bake": "0s",
    })
}

/// The Dockerfile at the root of the context.
pub(crate) fn plain_dockerfile() -> serde_json::Value {
    serde_json::json!({
        "kind": "dockerfile", "context": ".", "dockerfile": "Dockerfile", "target": null, "args": {},
    })
}
