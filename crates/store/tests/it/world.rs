//! A store in a temporary folder, and rows to start from.

use std::path::PathBuf;

use havre_core::artifact::Artifact;
use havre_core::event::Actor;
use havre_core::id::{EnvironmentId, ReleaseId, ServiceId};
use havre_core::service::Service;
use havre_core::service::spec::{RouteSpec, ServiceSpec};
use havre_core::time::Timestamp;
use havre_store::{Applied, NewRelease, OpenOptions, Store, StoreError, Tx};

/// An open store; the folder goes with it.
pub(crate) struct World {
    // Before the folder, so that the file is closed before it is removed.
    pub(crate) store: Store,
    pub(crate) folder: tempfile::TempDir,
}

pub(crate) fn options(path: PathBuf) -> OpenOptions {
    OpenOptions {
        path,
        installation: "first".to_owned(),
        probe_key: "secret".to_owned(),
        edge_pool: "10.88.0.0/29".parse().unwrap(),
        environment_pool: "10.89.0.0/23".parse().unwrap(),
        master_key: Some(havre_store::MasterKey::new([7; 32])),
    }
}

pub(crate) fn at(seconds: i64) -> Timestamp {
    Timestamp::from_millis(1_000_000_000_000 + seconds * 1000)
}

impl World {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(options(folder.path().join("store"))).unwrap();
        Self { store, folder }
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.folder.path().join("store")
    }

    /// Closes the store and opens it again.
    pub(crate) fn reopen(self) -> Self {
        let Self { store, folder } = self;
        drop(store);
        let store = Store::open(options(folder.path().join("store"))).unwrap();
        Self { store, folder }
    }

    pub(crate) async fn write<T: Send + 'static>(
        &self,
        seconds: i64,
        f: impl FnOnce(&mut Tx<'_>) -> Result<T, StoreError> + Send + 'static,
    ) -> T {
        self.try_write(seconds, f).await.unwrap()
    }

    pub(crate) async fn try_write<T: Send + 'static>(
        &self,
        seconds: i64,
        f: impl FnOnce(&mut Tx<'_>) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        self.store.write(at(seconds), Actor::Havre, f).await
    }

    /// Every event as text.
    pub(crate) async fn story(&self) -> Vec<String> {
        let events = self.store.read(|view| view.events(0, None, 1000)).await.unwrap();
        events.iter().map(|event| event.kind.to_string()).collect()
    }

    /// A service with two tasks wanted, without a release.
    pub(crate) async fn service(&self) -> ServiceId {
        self.write(0, |tx| Ok(apply(tx, tasks("api", 2, &[]))?.0.id)).await
    }

    /// The number of commits and reports so far that somebody should look at.
    pub(crate) fn changes(&self) -> u64 {
        *self.store.changes().borrow()
    }
}

pub(crate) fn environment(tx: &mut Tx<'_>) -> Result<EnvironmentId, StoreError> {
    Ok(tx.ensure_environment("dropit".parse().unwrap(), "production".parse().unwrap())?.id)
}

pub(crate) fn route(text: &str) -> RouteSpec {
    let slash = text.find('/').expect("a route has a path");
    RouteSpec { host: text[..slash].parse().unwrap(), path: text[slash..].parse().unwrap() }
}

pub(crate) fn tasks(name: &str, replicas: u32, routes: &[&str]) -> ServiceSpec {
    let routes: Vec<_> = routes.iter().map(|text| route(text)).collect();
    serde_json::from_value(serde_json::json!({
        "version": 1,
        "name": name,
        "routes": routes,
        "expose_release": false,
        "work": {
            "kind": "tasks",
            "source": {
                "kind": "dockerfile", "context": ".", "dockerfile": "Dockerfile", "target": null, "args": {},
            },
            "port": 3000,
            "health": { "path": "/health", "is_default": false, "timeout": "2s", "interval": "5s" },
            "checks": [{ "path": "/", "status": 200, "contains": "" }],
            "command": ["node", "main.js"],
            "release_command": null,
            "env": { "NODE_ENV": "production" },
            "replicas": replicas,
            "memory": "512MB",
            "cpus": "0.5",
            "pids": 1024,
            "volumes": [],
            "stop_signal": "SIGTERM",
            "stop_grace": "10s",
            "drain": "30s",
            "start_timeout": "2m",
            "release_timeout": "10m",
            "bake": "0s",
        },
    }))
    .unwrap()
}

pub(crate) fn site(name: &str) -> ServiceSpec {
    serde_json::from_value(serde_json::json!({
        "version": 1,
        "name": name,
        "routes": [],
        "expose_release": true,
        "work": { "kind": "site", "source": { "kind": "folder", "root": "dist" }, "spa": true },
    }))
    .unwrap()
}

pub(crate) fn image() -> Artifact {
    Artifact::Image { id: "a".repeat(64).parse().unwrap(), pull: None }
}

pub(crate) fn release(tx: &mut Tx<'_>, service: ServiceId, replicas: u32) -> Result<ReleaseId, StoreError> {
    let new = NewRelease {
        service,
        artifact: image(),
        spec: tasks("api", replicas, &[]),
        revision: 1,
        build: None,
        commit: String::new(),
    };
    Ok(tx.create_release(new)?.id)
}

/// Applies to the environment of [`environment`].
pub(crate) fn apply(tx: &mut Tx<'_>, spec: ServiceSpec) -> Result<(Service, Applied), StoreError> {
    let environment = environment(tx)?;
    tx.apply_service(environment, spec)
}
