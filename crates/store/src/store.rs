//! The store's handle: opens the file, starts its threads, tells when something changed.
//! Tests: `tests/it`.

use std::collections::BTreeSet;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::thread::JoinHandle;

use havre_core::event::Actor;
use havre_core::id::TaskId;
use havre_core::route::EdgeView;
use havre_core::time::Timestamp;
use rusqlite::Connection;
use tokio::sync::watch;

use crate::edge::EdgeReports;
use crate::error::StoreError;
use crate::lock::Lock;
use crate::open::{self, Identity};
use crate::pool::AddressPool;
use crate::row;
use crate::seal::MasterKey;
use crate::thread::{self, Queue};
use crate::view::{self, Context, Pools, Tx, View};

/// Read connections; one long list must not keep everybody else waiting.
const READERS: usize = 2;
/// Length of an environment's network.
const SUBNET_PREFIX: u8 = 24;

/// How to open the store.
#[derive(Clone)]
pub struct OpenOptions {
    /// The file; made when absent, its folder too. `<path>.lock` and SQLite's own files are made beside it.
    pub path: PathBuf,
    /// Random name of this installation, kept only by the first open.
    pub installation: String,
    /// Random secret for probes through the public listener, kept only by the first open.
    pub probe_key: String,
    /// Addresses of tasks on the edge's network.
    pub edge_pool: AddressPool,
    /// Where the /24 networks of environments come from.
    pub environment_pool: AddressPool,
    /// Seals what must not be read from the file. Without one nothing secret can be kept.
    pub master_key: Option<MasterKey>,
}

impl fmt::Debug for OpenOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OpenOptions")
            .field("path", &self.path)
            .field("installation", &self.installation)
            .field("edge_pool", &self.edge_pool)
            .field("environment_pool", &self.environment_pool)
            .field("master_key", &self.master_key)
            .finish_non_exhaustive()
    }
}

/// Handle to the open store; clones share it. The last one dropped waits for running work and closes the file.
#[derive(Clone)]
pub struct Store {
    inner: Arc<Inner>,
}

struct Inner {
    /// `None` only while dropping.
    queues: Option<Queues>,
    threads: Vec<JoinHandle<()>>,
    shared: Arc<Shared>,
    identity: Identity,
    pools: Pools,
    master_key: Option<Arc<MasterKey>>,
    /// Last, so that it is given back after everything else.
    _lock: Arc<Lock>,
}

struct Queues {
    writer: Queue,
    readers: Queue,
}

/// What the write thread and the handle both touch.
struct Shared {
    changes: watch::Sender<u64>,
    edges: EdgeReports,
}

impl Shared {
    fn announce(&self) {
        self.changes.send_modify(|count| *count += 1);
    }
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Store")
            .field("installation", &self.inner.identity.installation)
            .finish_non_exhaustive()
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        // Without senders the threads finish what is queued and end.
        self.queues = None;
        for thread in self.threads.drain(..) {
            // A closure may own the last handle; its thread cannot wait for itself.
            if thread.thread().id() != std::thread::current().id() {
                // Panics of closures were handed to their callers; there is nobody to tell about others.
                let _ = thread.join();
            }
        }
    }
}

impl Store {
    /// Opens the store, makes it when absent, and brings its schema up to date. Blocks; called once at start.
    ///
    /// # Errors
    /// `InUse` when another process has it; otherwise says what is wrong with the file or the pools.
    pub fn open(options: OpenOptions) -> Result<Self, StoreError> {
        check_pools(&options)?;
        let OpenOptions { path, installation, probe_key, edge_pool, environment_pool, master_key } = options;
        open::ensure_folder(&path)?;
        let lock = Arc::new(Lock::take(&path)?);
        let writer = open::open_writer(&path)?;
        open::check_master_key(&writer, master_key.as_ref())?;
        let identity = open::ensure_identity(&writer, &Identity { installation, probe_key })?;
        let readers = (0..READERS).map(|_| open::open_reader(&path)).collect::<Result<Vec<_>, _>>()?;
        let edges = EdgeReports::default();
        edges.set_draining(draining(&writer)?);

        let start = |name, connections| {
            thread::start(name, connections, &lock).map_err(|source| StoreError::File {
                doing: "start a thread for",
                path: path.clone(),
                source,
            })
        };
        let (writer, mut threads) = start("store-write", vec![writer])?;
        let (readers, read_threads) = start("store-read", readers)?;
        threads.extend(read_threads);
        let inner = Inner {
            queues: Some(Queues { writer, readers }),
            threads,
            shared: Arc::new(Shared { changes: watch::Sender::new(0), edges }),
            identity,
            pools: Pools { edge: edge_pool, environment: environment_pool },
            master_key: master_key.map(Arc::new),
            _lock: lock,
        };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// Runs `f` on one consistent snapshot.
    ///
    /// # Errors
    /// Those of `f`, and of the file.
    pub async fn read<T: Send + 'static>(
        &self,
        f: impl FnOnce(&View<'_>) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let key = self.inner.master_key.clone();
        self.queues()?.readers.run(move |connection| view::read(connection, key.as_deref(), f)).await
    }

    /// Runs `f` on a connection that can only read, outside of any snapshot.
    pub(crate) async fn read_raw<T: Send + 'static>(
        &self,
        f: impl FnOnce(&Connection) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        self.queues()?.readers.run(move |connection| f(connection)).await
    }

    /// Runs `f` in the one write transaction of the moment and keeps all it wrote, or nothing when it fails.
    /// `at` and `actor` go into every event. Once queued it runs even when the caller stops waiting.
    ///
    /// # Errors
    /// Those of `f`, and of the file; then nothing was kept.
    pub async fn write<T: Send + 'static>(
        &self,
        at: Timestamp,
        actor: Actor,
        f: impl FnOnce(&mut Tx<'_>) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let (pools, key) = (self.inner.pools, self.inner.master_key.clone());
        let shared = Arc::clone(&self.inner.shared);
        let work = move |connection: &mut Connection| {
            let context = Context { at, actor, pools, master_key: key.as_deref() };
            let (value, has_written) = view::write(connection, context, f)?;
            if has_written {
                // Committed already: a failing look at the rows must not make it seem undone.
                if let Ok(tasks) = draining(connection) {
                    shared.edges.set_draining(tasks);
                }
                shared.announce();
            }
            Ok(value)
        };
        self.queues()?.writer.run(work).await
    }

    /// A number that grows after every commit that wrote something, and after every edge report in which anything
    /// but counters changed or a draining task became idle.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.inner.shared.changes.subscribe()
    }

    /// Keeps what an edge reported, in memory only: after a restart each edge reports again within two seconds.
    pub fn record_edge_report(&self, view: EdgeView) {
        if self.inner.shared.edges.record(view) {
            self.inner.shared.announce();
        }
    }

    /// Takes a report that names only some upstreams; false where nothing is known of the others, because this process has
    /// reported nothing whole yet, or it comes too late.
    pub fn record_partial_report(&self, view: EdgeView) -> bool {
        let recorded = self.inner.shared.edges.record_partial(view);
        if recorded == Some(true) {
            self.inner.shared.announce();
        }
        recorded.is_some()
    }

    /// The last report of each edge, by name; whether it is fresh is for the reader to judge.
    pub fn edges(&self) -> Vec<EdgeView> {
        self.inner.shared.edges.list()
    }

    /// Random name of this installation; marks what belongs to it on the machine.
    pub fn installation(&self) -> &str {
        &self.inner.identity.installation
    }

    /// Secret that probes through the public listener carry. Never log it.
    pub fn probe_key(&self) -> &str {
        &self.inner.identity.probe_key
    }

    fn queues(&self) -> Result<&Queues, StoreError> {
        self.inner.queues.as_ref().ok_or(StoreError::Closed)
    }
}

fn check_pools(options: &OpenOptions) -> Result<(), StoreError> {
    let (edge, environment) = (options.edge_pool, options.environment_pool);
    if edge.overlaps(environment) {
        return Err(StoreError::Pools(format!("the address pools {edge} and {environment} overlap")));
    }
    if environment.prefix() > SUBNET_PREFIX {
        return Err(StoreError::Pools(format!(
            "the address pool {environment} has no room for a /24 network"
        )));
    }
    Ok(())
}

fn draining(connection: &Connection) -> Result<BTreeSet<TaskId>, StoreError> {
    let sql = "SELECT id FROM tasks WHERE is_run = 0";
    Ok(row::list(connection, sql, [], |row| Ok(TaskId::new(row.get(0)?)))?.into_iter().collect())
}

#[cfg(test)]
mod tests {
    use havre_core::event::{AccessEvent, EventKind, Subject};

    use super::*;

    fn open(folder: &tempfile::TempDir) -> Store {
        Store::open(OpenOptions {
            path: folder.path().join("store"),
            installation: "test".to_owned(),
            probe_key: "key".to_owned(),
            edge_pool: "10.88.0.0/16".parse().unwrap(),
            environment_pool: "10.89.0.0/16".parse().unwrap(),
            master_key: None,
        })
        .unwrap()
    }

    fn event(name: String) -> EventKind {
        EventKind::Access(AccessEvent::TokenCreated { name })
    }

    /// Limits the file to the pages it has, as a full disk does.
    fn fill(tx: &mut Tx<'_>) -> Result<(), StoreError> {
        let pages: i64 = tx.connection.pragma_query_value(None, "page_count", |row| row.get(0))?;
        tx.connection.pragma_update_and_check(None, "max_page_count", pages, |_| Ok(()))?;
        Ok(())
    }

    fn empty(tx: &mut Tx<'_>) -> Result<(), StoreError> {
        tx.connection.pragma_update_and_check(None, "max_page_count", 1_000_000, |_| Ok(()))?;
        Ok(())
    }

    #[tokio::test]
    async fn a_full_disk_keeps_nothing_of_the_write_and_says_what_to_do() {
        let folder = tempfile::tempdir().unwrap();
        let store = open(&folder);
        store.write(Timestamp::default(), Actor::Havre, fill).await.unwrap();
        let changes = *store.changes().borrow();
        let error = store
            .write(Timestamp::default(), Actor::Havre, |tx| {
                tx.append(Subject::Node, event("small".to_owned()))?;
                tx.append(Subject::Node, event("x".repeat(1 << 20)))
            })
            .await
            .unwrap_err();
        assert_eq!(
            error.to_string(),
            "could not write to the store: its disk is full; free some space and try again, nothing was changed"
        );
        assert_eq!(store.read(|view| view.last_event()).await.unwrap(), 0);
        assert_eq!(*store.changes().borrow(), changes);

        store.write(Timestamp::default(), Actor::Havre, empty).await.unwrap();
        let append = |tx: &mut Tx<'_>| tx.append(Subject::Node, event("x".repeat(1 << 20)));
        assert_eq!(store.write(Timestamp::default(), Actor::Havre, append).await.unwrap(), 1);
    }

    #[tokio::test]
    async fn an_error_that_a_write_swallows_keeps_nothing_either() {
        let folder = tempfile::tempdir().unwrap();
        let store = open(&folder);
        let result = store
            .write(Timestamp::default(), Actor::Havre, |tx| {
                tx.append(Subject::Node, event("small".to_owned()))?;
                // What SQLite does by itself after a failing disk.
                tx.connection.execute_batch("ROLLBACK")?;
                Ok(())
            })
            .await;
        assert!(matches!(result, Err(StoreError::GivenUp)), "{result:?}");
        assert_eq!(store.read(|view| view.last_event()).await.unwrap(), 0);
    }

    #[tokio::test]
    async fn readers_cannot_write() {
        let folder = tempfile::tempdir().unwrap();
        let store = open(&folder);
        let result = store
            .read(|view| Ok(view.connection.execute("INSERT INTO projects (name) VALUES ('a')", [])?))
            .await;
        assert!(matches!(result, Err(StoreError::ReadOnly(_))), "{result:?}");
    }

    #[tokio::test]
    async fn the_writer_is_durable() {
        let folder = tempfile::tempdir().unwrap();
        let store = open(&folder);
        let settings = store
            .write(Timestamp::default(), Actor::Havre, |tx| {
                let ask = |name| -> Result<String, StoreError> {
                    Ok(tx.connection.query_row(
                        &format!("SELECT CAST({name} AS TEXT) FROM pragma_{name}"),
                        [],
                        |row| row.get(0),
                    )?)
                };
                Ok([ask("journal_mode")?, ask("synchronous")?, ask("foreign_keys")?])
            })
            .await
            .unwrap();
        assert_eq!(settings, ["wal", "2", "1"]);
    }
}
