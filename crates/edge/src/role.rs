//! The life of one edge process: lock, saved table, sockets, threads, and a stop without lost requests.
//! It routes nothing and decides nothing. Tests: `tests/it/role.rs`.

use std::io::{self, Read};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use rustix::process::{Resource, getrlimit, setrlimit};
use tokio::sync::{oneshot, watch};
use tracing::{error, info, warn};

use crate::account::{Account, WriterGuard};
use crate::certificate::Certificates;
use crate::certificate::folder::Folder;
use crate::config::{ConfigError, EdgeConfig};
use crate::control::Link;
use crate::control::report::Identity;
use crate::control::saved::{SavedError, StateDir, StateDirError};
use crate::listen::{ListenError, Listeners, Transport};
use crate::shared::Shared;
use crate::succession::{Estate, Heritage, Successor};
use crate::table::{Table, TableError};
use crate::tls::settings::{Settings, SettingsError};
use crate::tls::ticket::{self, Tickets};
use crate::upstream::Signals;
use crate::worker::{Workers, spawn_workers};
use crate::{metrics, notify, probe};

/// How often a draining edge looks whether its successor still lives.
const GLANCE: Duration = Duration::from_millis(200);

/// Why an edge cannot start, or ended by itself.
#[derive(Debug, thiserror::Error)]
pub enum EdgeError {
    /// A value of the configuration.
    #[error("use the configuration of the edge")]
    Config(#[from] ConfigError),
    /// The state folder; [`StateDirError::Busy`] when another edge runs with it.
    #[error("take the state folder")]
    State(#[from] StateDirError),
    /// No sockets.
    #[error("open the listening sockets")]
    Listen(#[from] ListenError),
    /// The folder of certificates, or the keys of session tickets.
    #[error("prepare certificates and session tickets")]
    Certificates(#[source] io::Error),
    /// TLS.
    #[error("prepare HTTPS")]
    Https(#[from] SettingsError),
    /// No socket for metrics.
    #[error("listen for metrics on {}", .path.display())]
    Metrics {
        /// The socket.
        path: PathBuf,
        /// What the kernel said.
        #[source]
        source: io::Error,
    },
    /// No access log.
    #[error("open the access log")]
    AccessLog(#[source] io::Error),
    /// Threads or runtimes.
    #[error("start the threads of the edge")]
    Threads(#[source] io::Error),
    /// A thread ended that must not.
    #[error("ended by itself: {0}")]
    Ended(&'static str),
}

/// What an edge is told while it runs.
#[derive(Debug, Clone)]
pub struct Orders {
    /// The soft stop: turns true, or its sender is gone.
    pub stop: watch::Receiver<bool>,
    /// Each change asks it to start a successor and to end once that serves; `None` where it never will be asked.
    pub succeed: Option<watch::Receiver<u64>>,
}

impl From<watch::Receiver<bool>> for Orders {
    fn from(stop: watch::Receiver<bool>) -> Self {
        Self { stop, succeed: None }
    }
}

/// Runs one edge until it is told to stop or has a successor; see [`Edge::start`] and [`Edge::run`].
///
/// # Errors
/// It cannot start, or a thread ended by itself.
pub fn run(config: EdgeConfig, orders: Orders) -> Result<(), EdgeError> {
    Edge::start(config)?.run(orders)
}

/// An edge that holds its lock and its sockets and has its last table, but does not accept yet.
#[derive(Debug)]
pub struct Edge {
    config: EdgeConfig,
    shared: Arc<Shared>,
    state: Arc<StateDir>,
    listeners: Listeners,
    tickets: Arc<Tickets>,
    instance: String,
    heritage: Heritage,
    log_writer: WriterGuard,
}

impl Edge {
    /// Locks the state folder, loads the saved table and opens the sockets. A damaged table is moved aside and
    /// logged: an edge without routes that asks control is better than one that does not start.
    ///
    /// # Errors
    /// Another edge runs with this state folder, an address is taken, or the configuration is wrong.
    pub fn start(config: EdgeConfig) -> Result<Self, EdgeError> {
        config.check()?;
        raise_open_files();
        let mut heritage = Heritage::take();
        let state = match heritage.lock() {
            Some(lock) => StateDir::inherit(&config.state_dir, lock)?,
            None => StateDir::lock(&config.state_dir)?,
        };
        let log = config.access_log.clone();
        let (account, log_writer) =
            Account::open(log, &config.state_dir, config.start_traces).map_err(EdgeError::AccessLog)?;
        let workers = match config.workers {
            0 => std::thread::available_parallelism().map_or(1, usize::from),
            workers => workers,
        };
        let listeners = Listeners::open(&config.listen, &config.https, workers)?;
        let (tickets, certificates) = secure(&state)?;
        let mut shared =
            Shared::secured(config.limits.clone(), config.sites_dir.clone(), account, certificates);
        shared.https_port = listeners.addresses_of(Transport::Tls).first().map(SocketAddr::port);
        shared.proxies.proxy_protocol = config.proxy_protocol.clone();
        shared.proxies.trusted = config.trusted_proxies.clone();
        let shared = Arc::new(shared);
        restore(&state, &shared);
        let instance = random_name().map_err(EdgeError::Threads)?;
        Ok(Self {
            config,
            shared,
            state: Arc::new(state),
            listeners,
            tickets,
            instance,
            heritage,
            log_writer,
        })
    }

    /// Addresses it listens on for one kind of clients, with ports that the kernel chose.
    pub fn addresses(&self, transport: Transport) -> Vec<SocketAddr> {
        self.listeners.addresses_of(transport)
    }

    /// What its threads share.
    pub fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    /// Serves until it is told to stop, or has a successor, and all that was in flight has ended, or
    /// `limits.stop_timeout` has passed. Blocks.
    ///
    /// # Errors
    /// Threads or the metrics socket cannot be made, or a thread ends without being told.
    pub fn run(self, orders: impl Into<Orders>) -> Result<(), EdgeError> {
        let Self { config, shared, state, listeners, tickets, instance, heritage, log_writer } = self;
        let Orders { stop, succeed } = orders.into();
        let (end, soft_stop) = watch::channel(false);
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .thread_name("edge-save")
            .max_blocking_threads(2)
            .build()
            .map_err(EdgeError::Threads)?;
        let metrics = config.metrics_socket.map(|path| {
            let _context = runtime.enter();
            metrics::bind(&path).map_err(|source| EdgeError::Metrics { path, source })
        });
        let metrics = metrics.transpose()?;
        let estate = Estate::new(listeners.copies().map_err(EdgeError::Threads)?, state.lock_file());
        let estate = estate.map_err(EdgeError::Threads)?;
        let addresses = listeners.addresses_of(Transport::Plain);
        let https = listeners.addresses_of(Transport::Tls);
        let state_dir = state.path().to_path_buf();
        let workers = spawn_workers(Arc::clone(&shared), listeners.per_worker, soft_stop.clone());
        let workers = Arc::new(workers.map_err(EdgeError::Threads)?);
        let mut probes = Probes::start(&shared).map_err(EdgeError::Threads)?;
        info!(edge = %config.name, %instance, ?addresses, ?https, generation = shared.table.load().generation, "edge serves");
        heritage.say_ready();
        crate::started::forget();
        let is_retired = Arc::new(AtomicBool::new(false));
        let ending = Ending {
            stop,
            succeed,
            end,
            estate,
            state: Arc::clone(&state),
            is_retired: Arc::clone(&is_retired),
            signals: Arc::clone(&shared.table.load().signals),
        };
        let link = Link {
            shared: Arc::clone(&shared),
            socket: config.control_socket,
            state,
            identity: Identity { edge: config.name, instance, listeners: addresses, https, is_retired },
            acknowledge: Box::new({
                let workers = Arc::clone(&workers);
                move |generation| Box::pin(workers.acknowledge(generation))
            }),
        };
        let outcome = runtime.block_on(async {
            let serve = async {
                match metrics {
                    Some(listener) => metrics::serve(listener, shared).await,
                    None => std::future::pending().await,
                }
            };
            // Reports go on while workers drain, so that control sees what is still in flight.
            tokio::select! {
                outcome = drained(workers, soft_stop) => outcome,
                () = ending.watch() => Err(EdgeError::Ended("orders")),
                () = link.run() => Err(EdgeError::Ended("link to control")),
                () = serve => Err(EdgeError::Ended("metrics socket")),
                () = rotate(tickets, state_dir) => Err(EdgeError::Ended("session tickets")),
                _ = &mut probes.ended => Err(EdgeError::Ended("probes")),
            }
        });
        probes.stop();
        // The workers have ended and handed over their last lines.
        drop(log_writer);
        outcome
    }
}

/// Turns orders into the end of the workers.
struct Ending {
    stop: watch::Receiver<bool>,
    succeed: Option<watch::Receiver<u64>>,
    /// Told true, the workers drain.
    end: watch::Sender<bool>,
    estate: Estate,
    state: Arc<StateDir>,
    is_retired: Arc<AtomicBool>,
    signals: Arc<Signals>,
}

impl Ending {
    /// Never ends by itself: the workers do, once told.
    async fn watch(mut self) {
        let mut successor = loop {
            let asked = asked(self.succeed.as_mut());
            tokio::select! {
                _ = self.stop.wait_for(|stop| *stop) => break None,
                () = asked => {}
            }
            if let Some(successor) = self.hand_over().await {
                break Some(successor);
            }
        };
        self.end.send_replace(true);
        while let Some(current) = &mut successor {
            tokio::time::sleep(GLANCE).await;
            if current.has_ended() && !*self.stop.borrow() {
                error!("the successor ended while this edge drains; starting another");
                if let Some(next) = self.hand_over().await {
                    *current = next;
                }
            }
        }
        std::future::pending().await
    }

    /// Starts a successor; `None` when there is none, and this edge goes on.
    async fn hand_over(&self) -> Option<Successor> {
        info!("starting a successor");
        let state = Arc::clone(&self.state);
        // A table that is being saved goes first: the successor will read what is on disk, and write there.
        let retiring = tokio::task::spawn_blocking(move || state.retire(true));
        retiring.await.expect("retiring does not panic and is never cancelled");
        match self.estate.start().await {
            Ok(successor) => {
                info!(process = successor.id(), "a successor serves; draining");
                self.is_retired.store(true, Ordering::SeqCst);
                // Under its own name, before control takes the successor's word for what is in flight here.
                self.signals.report.notify_one();
                notify::succeeded_by(successor.id());
                Some(successor)
            }
            Err(problem) => {
                self.state.retire(*self.end.borrow());
                let cause = std::error::Error::source(&problem).map(ToString::to_string).unwrap_or_default();
                error!(%problem, %cause, "no successor; this edge goes on as before");
                None
            }
        }
    }
}

/// Session tickets and certificates out of the state folder.
fn secure(state: &StateDir) -> Result<(Arc<Tickets>, Certificates), EdgeError> {
    let folder = Folder::open(state.path().join("certificates")).map_err(EdgeError::Certificates)?;
    let tickets = Arc::new(Tickets::open(state.path()).map_err(EdgeError::Certificates)?);
    let settings = Settings::new(Arc::<Tickets>::clone(&tickets))?;
    Ok((tickets, Certificates::new(Some(folder), settings)))
}

/// Changes the keys of session tickets when it is time.
async fn rotate(tickets: Arc<Tickets>, folder: PathBuf) {
    loop {
        tokio::time::sleep(ticket::LOOK_EVERY).await;
        let (tickets, folder) = (Arc::clone(&tickets), folder.clone());
        let rotate = move || tickets.rotate(&folder, ticket::now());
        if let Ok(Err(problem)) = tokio::task::spawn_blocking(rotate).await {
            error!(%problem, "cannot change the keys of session tickets");
        }
    }
}

/// Resolves when a successor is asked for; never where nobody can ask, or can no longer.
async fn asked(succeed: Option<&mut watch::Receiver<u64>>) {
    if let Some(succeed) = succeed
        && succeed.changed().await.is_ok()
    {
        return;
    }
    std::future::pending().await
}

/// Waits on a thread of its own until all workers have ended; before the stop that is an error.
async fn drained(workers: Arc<Workers>, soft_stop: watch::Receiver<bool>) -> Result<(), EdgeError> {
    let (ended, end) = oneshot::channel();
    std::thread::Builder::new()
        .name("edge-join".to_owned())
        .spawn(move || {
            workers.join();
            // The other side is gone only when the process ends anyway.
            let _ = ended.send(());
        })
        .map_err(EdgeError::Threads)?;
    let _ = end.await;
    let is_told = *soft_stop.borrow() || soft_stop.has_changed().is_err();
    if is_told { Ok(()) } else { Err(EdgeError::Ended("workers")) }
}

/// The thread that probes.
struct Probes {
    /// Dropping it stops the probes.
    stop: oneshot::Sender<()>,
    /// Resolves when the thread ends, a panic included: frozen health must not go unnoticed.
    ended: oneshot::Receiver<()>,
    thread: JoinHandle<()>,
}

impl Probes {
    fn start(shared: &Arc<Shared>) -> io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let shared = Arc::clone(shared);
        let (stop, stopped) = oneshot::channel();
        let (alive, ended) = oneshot::channel();
        let thread = std::thread::Builder::new().name("edge-probe".to_owned()).spawn(move || {
            let _alive: oneshot::Sender<()> = alive;
            runtime.block_on(async {
                tokio::select! {
                    () = probe::run(shared) => {}
                    _ = stopped => {}
                }
            });
        })?;
        Ok(Self { stop, ended, thread })
    }

    fn stop(self) {
        drop(self.stop);
        if self.thread.join().is_err() {
            error!("the probe thread had panicked");
        }
    }
}

/// Lets the process open as many files as it may: the usual soft limit of 1024 is a few hundred users.
fn raise_open_files() {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    if let Err(problem) = setrlimit(Resource::Nofile, limit) {
        warn!(%problem, "cannot raise the limit of open files");
    }
}

/// Why the saved table is not served.
#[derive(Debug, thiserror::Error)]
enum RestoreError {
    #[error(transparent)]
    Saved(#[from] SavedError),
    #[error("serve the saved route table")]
    Table(#[from] TableError),
}

/// Publishes the saved table, or moves it aside.
fn restore(state: &StateDir, shared: &Shared) {
    let table = state.load().map_err(RestoreError::from).and_then(|saved| match saved {
        Some(saved) => Ok(Some(Table::build(&saved, Some(&shared.table.load()))?)),
        None => Ok(None),
    });
    match table {
        Ok(Some(table)) => {
            info!(generation = table.generation, "serving the saved route table");
            shared.publish(table);
        }
        Ok(None) => warn!("no saved route table; serving nothing until control answers"),
        Err(problem) => {
            let cause = std::error::Error::source(&problem).map(ToString::to_string).unwrap_or_default();
            match state.set_aside() {
                Ok(aside) => {
                    error!(%problem, %cause, aside = %aside.display(), "saved route table is damaged; moved aside")
                }
                Err(failed) => {
                    error!(%problem, %cause, %failed, "saved route table is damaged and cannot be moved")
                }
            }
        }
    }
}

/// 128 random bits in hex.
fn random_name() -> io::Result<String> {
    let mut bytes = [0; 16];
    std::fs::File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}
