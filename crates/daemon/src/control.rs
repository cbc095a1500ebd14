//! The role `control`: store, loops and API in one process. Wiring only.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context as _;
use havre_acme::client::AcmeClient;
use havre_acme::dns::{DnsClient, DnsSettings};
use havre_build::builder::Builder;
use havre_build::docker::{DockerBuilder, Options};
use havre_build::limit::{Fence, ROOT};
use havre_core::time::Timestamp;
use havre_engine::Engine;
use havre_engine::docker::DockerEngine;
use havre_provider::{ProviderSettings, RealProviders};
use havre_reconcile::clock::{Clock, SystemClock};
use havre_reconcile::forge::HttpForges;
use havre_reconcile::public::HttpProbe;
use havre_reconcile::purge::{HttpPurger, PurgeSettings};
use havre_reconcile::registry::HttpPullLimits;
use havre_reconcile::world::{PlatformFiles, Seams, Settings, World};
use havre_source::Source;
use havre_source::git::GitSource;
use havre_source::git::lfs::LfsFolder;
use havre_store::{AddressPool, MasterKey, OpenOptions, Store};
use havre_web::{AppState, NodeView, Wiring};
use tokio::net::{TcpListener, UnixListener};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::config::{BuildConfig, Config, ControlConfig};
use crate::git::Gateway;
use crate::intake::Intake;
use crate::repositories::Places;
use crate::snapshots::Snapshots;
use crate::streams::EngineStreams;
use crate::{entropy, key, node, signals};

/// Name of the store in its folder.
pub(crate) const STORE: &str = "store.sqlite";
/// Connections each listener of the API holds at once.
const CONNECTIONS: usize = 512;
/// Connections of the program behind sshd at once: fewer, because each push has one for as long as it is told about.
const SSH_CONNECTIONS: usize = 64;

/// Runs until SIGTERM. `path` is where the configuration lies.
pub(crate) fn run(config: Config, path: &Path) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .context("start the runtime")?;
    runtime.block_on(serve(config.control, config.build, path))
}

async fn serve(config: ControlConfig, build: BuildConfig, path: &Path) -> anyhow::Result<()> {
    let folders = Folders::make(&config)?;
    let store = open_store(&config)?;
    let (engine, builder) = seams((&config, &build), &folders, &store)?;
    let source: Arc<dyn Source> = Arc::new(source(&folders)?);
    let lfs = LfsFolder::open(&folders.lfs).context("prepare the folder of contents of Git LFS")?;
    let seams = (Arc::clone(&engine), Arc::clone(&builder) as _, Arc::clone(&source));
    let world = world((&config, &build, path), (&folders, lfs.clone()), store.clone(), seams)?;
    let logs = (folders.task_logs.clone(), folders.job_logs.clone());
    let world = havre_data::world::World::from(world);
    let streams = Arc::new(EngineStreams::new(world.clone(), logs));
    let stop = CancellationToken::new();
    let (node_sender, node) = watch::channel(NodeView::default());
    let state = AppState::new(Wiring {
        store,
        clock: Arc::new(now),
        entropy: Arc::new(entropy::bytes),
        streams: Arc::clone(&streams) as _,
        intake: Arc::new(Intake::open(&folders.builds).context("prepare the folder of uploads")?),
        git: Arc::new(Gateway::new(source, lfs, config.remote_private)),
        snapshots: Arc::new(Snapshots::new(world.clone())),
        build_log_dir: folders.builds.clone(),
        node,
        limits: havre_web::Limits::default(),
        remote_private: config.remote_private,
        public_url: config.public_url.clone(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        stop: stop.clone(),
    });
    let servers = TaskTracker::new();
    let api = bind(&config.socket, 0o660)?;
    let edge_api = bind(&config.edge_socket, 0o660)?;
    servers.spawn(havre_web::serve::serve(api, havre_web::local_api(&state), CONNECTIONS, stop.clone()));
    servers.spawn(havre_web::serve::serve(edge_api, havre_web::edge_api(&state), CONNECTIONS, stop.clone()));
    if let Some(path) = &config.git_socket {
        let ssh_api = bind(path, 0o660)?;
        let router = havre_web::ssh_api(&state);
        servers.spawn(havre_web::serve::serve(ssh_api, router, SSH_CONNECTIONS, stop.clone()));
    }
    if let Some(address) = config.listen {
        if !address.ip().is_loopback() {
            tracing::warn!(%address, "the API listens beyond this machine without TLS: tokens can be read on the way; \
                listen on 127.0.0.1 and use a tunnel");
        }
        let listener = TcpListener::bind(address).await.with_context(|| format!("listen on {address}"))?;
        servers.spawn(havre_web::serve::serve(
            listener,
            havre_web::public_api(&state),
            CONNECTIONS,
            stop.clone(),
        ));
    }
    let watched = (Arc::clone(&engine), Arc::clone(&builder));
    servers.spawn(node::watch_engine(watched, node_sender, stop.clone()));
    servers.spawn(clean_up(engine, builder));
    let common = havre_reconcile::world::World::clone(&world);
    let loops = tokio::spawn(havre_reconcile::runner::run(common, stop.clone()));
    let data_loops = tokio::spawn(havre_data::runner::run(world, stop.clone()));
    tracing::info!(socket = %config.socket.display(), "control is ready");
    signals::stopped().await?;
    tracing::info!("stopping: no new requests, steps under way end");
    stop.cancel();
    servers.close();
    servers.wait().await;
    loops.await.context("the loops broke off")?;
    data_loops.await.context("the loops of data broke off")?;
    Ok(())
}

/// Removes what an earlier process left half-way, once Docker answers.
async fn clean_up(engine: Arc<dyn Engine>, builder: Arc<DockerBuilder>) {
    if let Err(error) = crate::streams::remove_leftovers(engine.as_ref()).await {
        tracing::warn!(%error, "could not look for one-off tasks left behind; the next start tries again");
    }
    if let Err(error) = builder.remove_leftovers().await {
        tracing::warn!(%error, "could not look for builds left behind; the next start tries again");
    }
}

struct Folders {
    builds: std::path::PathBuf,
    repositories: std::path::PathBuf,
    lfs: std::path::PathBuf,
    task_logs: std::path::PathBuf,
    job_logs: std::path::PathBuf,
    backups: std::path::PathBuf,
}

impl Folders {
    fn make(config: &ControlConfig) -> anyhow::Result<Self> {
        let folder = |name: &str| config.data_dir.join(name);
        let folders = Self {
            builds: folder("builds"),
            repositories: folder("git"),
            lfs: folder("lfs"),
            task_logs: folder("task-logs"),
            job_logs: folder("job-logs"),
            backups: folder("backup"),
        };
        let logs = [&folders.task_logs, &folders.job_logs];
        let own = [&folders.builds, &folders.repositories, &folders.backups];
        for folder in own.into_iter().chain(logs).chain([&config.sites_dir]) {
            std::fs::create_dir_all(folder)
                .with_context(|| format!("make the folder {}", folder.display()))?;
        }
        // Copies of the store lie there while they are read.
        std::fs::set_permissions(&folders.backups, std::fs::Permissions::from_mode(0o700))
            .with_context(|| format!("make the folder {} private", folders.backups.display()))?;
        Ok(folders)
    }
}

fn source(folders: &Folders) -> anyhow::Result<GitSource> {
    let options = havre_source::git::Options::new(folders.repositories.clone());
    GitSource::open(options).context("prepare the folder of repositories")
}

fn open_store(config: &ControlConfig) -> anyhow::Result<Store> {
    let key = key::load(&config.master_key)?;
    Ok(Store::open(store_options(config, config.data_dir.join(STORE), key)?)?)
}

/// How a store of this configuration is opened.
pub(crate) fn store_options(
    config: &ControlConfig,
    path: PathBuf,
    master_key: Option<MasterKey>,
) -> anyhow::Result<OpenOptions> {
    let pool = |text: &str| text.parse::<AddressPool>().with_context(|| format!("read the pool `{text}`"));
    Ok(OpenOptions {
        path,
        installation: entropy::name(),
        probe_key: entropy::name(),
        edge_pool: pool(&config.edge_pool)?,
        environment_pool: pool(&config.environment_pool)?,
        master_key,
    })
}

fn seams(
    (config, build): (&ControlConfig, &BuildConfig),
    folders: &Folders,
    store: &Store,
) -> anyhow::Result<(Arc<dyn Engine>, Arc<DockerBuilder>)> {
    let installation = store.installation().parse().context("read the name of this installation")?;
    let engine =
        DockerEngine::new(&config.docker_socket, installation).with_edge_network(&config.edge_network);
    let builder = DockerBuilder::open(Options {
        socket: config.docker_socket.clone(),
        sites_dir: config.sites_dir.clone(),
        installation: store.installation().to_owned(),
        fence: Some(Fence { limits: build.limits(), root: ROOT.into() }),
        build_dir: folders.builds.clone(),
        args: build.args(),
        ca: build.ca()?,
        cache: Some(build.cache),
    })
    .context("prepare the folder of sites")?;
    Ok((Arc::new(engine), Arc::new(builder)))
}

fn world(
    (config, build, path): (&ControlConfig, &BuildConfig, &Path),
    (folders, lfs): (&Folders, LfsFolder),
    store: Store,
    (engine, builder, source): (Arc<dyn Engine>, Arc<dyn Builder>, Arc<dyn Source>),
) -> anyhow::Result<World> {
    let pool: AddressPool = config.edge_pool.parse().context("read the pool of the edge network")?;
    let edge_network = havre_reconcile::world::edge_network(&config.edge_pool, pool.gateway());
    let settings = Settings {
        edge_network,
        sites_dir: config.sites_dir.clone(),
        task_log_dir: folders.task_logs.clone(),
        job_log_dir: folders.job_logs.clone(),
        build_dir: folders.builds.clone(),
        lfs,
        build_capacity: config.builds,
        build_floors: build.floors(),
        public_addresses: config.public_addresses.clone(),
        remote_private: config.remote_private,
        public_url: config.public_url.clone(),
        backup_dir: folders.backups.clone(),
        platform: PlatformFiles {
            config: vec![path.to_owned(), config.purge_secrets.clone()],
            never: config.master_key.clone(),
        },
    };
    let dns = DnsSettings {
        allow_private: config.dns.allow_private,
        authoritative_port: config.dns.authoritative_port,
        ..DnsSettings::new(config.dns.resolvers.clone())
    };
    let purge =
        PurgeSettings { secrets_dir: config.purge_secrets.clone(), allow_private: config.purge_private };
    let providers =
        ProviderSettings { files: config.provider_files.clone(), allow_private: config.provider_private };
    let seams = Seams {
        engine,
        builder,
        clock: Arc::new(SystemClock),
        public: Arc::new(HttpProbe),
        authority: Arc::new(AcmeClient::new()),
        dns: Arc::new(DnsClient::new(dns)),
        purger: Arc::new(HttpPurger::new(purge)),
        forges: Arc::new(HttpForges::new(config.remote_private)),
        limits: Arc::new(HttpPullLimits::default()),
        source,
        repositories: Arc::new(Places),
        providers: Arc::new(RealProviders::new(providers)),
    };
    Ok(World::new(store, seams, settings))
}

fn now() -> Timestamp {
    SystemClock.now()
}

/// A socket file of ours. One that an earlier process left is replaced: the store's lock says that no other control
/// runs with these folders.
fn bind(path: &Path, mode: u32) -> anyhow::Result<UnixListener> {
    let context = || format!("listen on {}", path.display());
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder).with_context(context)?;
    }
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            return Err(error).with_context(context);
        }
        _ => {}
    }
    let listener = UnixListener::bind(path).with_context(context)?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).with_context(context)?;
    Ok(listener)
}
