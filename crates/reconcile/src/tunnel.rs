//! Tunnels into databases: the role of each is made when somebody opens one, and gone when that one leaves. When one ends is decided in
//! `havre_decide::tunnel`. Carries no bytes: whoever does gets the address of the server here. Tests: `tests/it/tunnel.rs`.
//!
//! A tunnel is as long as what holds it. Where control is killed nobody holds any, so the next one takes every role away that rows speak of; and
//! where no control comes, the server refuses the password after its time.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use havre_core::database::Database;
use havre_core::database::spec::Kind;
use havre_core::event::Actor;
use havre_core::id::{DatabaseId, TunnelId};
use havre_core::quantity::Span;
use havre_core::route::settings::auth::SecretDigest;
use havre_core::secret::Secret;
use havre_core::task::EngineState;
use havre_core::task::spec::{Purpose, environment_network};
use havre_core::time::Timestamp;
use havre_decide::tunnel::{
    CONNECTIONS_MAX, End, Seen, Tunnel, end, mariadb_end, mariadb_make, postgres_end, postgres_make,
    redis_end, redis_make,
};
use havre_engine::error::EngineError;
use havre_store::tunnel::tunnel_password;
use havre_store::{StoreError, View};
use tokio_util::sync::CancellationToken;

use crate::database::client::{Server, tell};
use crate::deployment::chain;
use crate::execute::Fault;
use crate::world::World;

/// Everything is looked at again this often, whatever was or was not heard.
const RESYNC: Duration = Duration::from_secs(30);
/// Changes that come together are looked at together.
const GATHER: Duration = Duration::from_millis(100);

/// Why there is no tunnel, or no way through one.
#[derive(Debug, thiserror::Error)]
pub enum TunnelError {
    /// The store refuses it.
    #[error("could not open a tunnel")]
    Store(#[from] StoreError),
    /// The engine does not answer.
    #[error("could not find the task of the database")]
    Engine(#[from] EngineError),
    /// Its server cannot be reached now; for people.
    #[error("{0}")]
    NotReady(String),
    /// Whoever asks has opened no such tunnel.
    #[error("there is no tunnel {0} of yours, or it has ended")]
    Unknown(TunnelId),
    /// Too many connections at once.
    #[error(
        "{} connections go through this tunnel already, and that is the most there may be",
        CONNECTIONS_MAX
    )]
    TooMany,
}

/// What is known of a tunnel that somebody holds.
#[derive(Debug)]
struct Line {
    tunnel: Tunnel,
    actor: Actor,
    connections: AtomicUsize,
    why: OnceLock<End>,
    over: CancellationToken,
}

impl Line {
    fn finish(&self, why: End) {
        // The first reason is the one.
        let _ = self.why.set(why);
        self.over.cancel();
    }

    async fn ended(&self) -> End {
        self.over.cancelled().await;
        self.why.get().copied().unwrap_or(End::Left)
    }
}

/// What the loop remembers in memory only.
#[derive(Debug, Default)]
pub(crate) struct Desk {
    held: Mutex<BTreeMap<TunnelId, Arc<Line>>>,
    /// A row and who holds it are seen together.
    opening: tokio::sync::Mutex<()>,
}

impl Desk {
    fn find(&self, id: TunnelId) -> Option<Arc<Line>> {
        self.held.lock().expect("no holder panics").get(&id).cloned()
    }
}

/// A tunnel; dropping it is its end.
#[derive(Debug)]
pub struct Held {
    /// Its row.
    pub tunnel: Tunnel,
    /// The database it leads to, as it was then.
    pub database: Database,
    /// Of its role; in no row, and told once.
    pub password: Secret,
    line: Arc<Line>,
    world: World,
}

impl Held {
    /// Returns once it has to end, and says why.
    pub async fn ended(&self) -> End {
        self.line.ended().await
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.world.tunnels.held.lock().expect("no holder panics").remove(&self.tunnel.id);
        self.line.finish(End::Left);
        self.world.tunnels_wake.notify_one();
    }
}

/// A connection through a tunnel; dropping it makes room for another one.
#[derive(Debug)]
pub struct Way {
    /// Where the server listens, on the private network of its environment.
    pub address: SocketAddr,
    line: Arc<Line>,
}

impl Way {
    /// Returns once the tunnel has to end, and says why.
    pub async fn ended(&self) -> End {
        self.line.ended().await
    }
}

impl Drop for Way {
    fn drop(&mut self) {
        self.line.connections.fetch_sub(1, Ordering::SeqCst);
    }
}

/// Opens a tunnel: its row first, then its role.
///
/// # Errors
/// See [`TunnelError`]; the loop takes away what was made until then.
pub async fn open(world: &World, id: DatabaseId, actor: Actor, lasts: Span) -> Result<Held, TunnelError> {
    let database = world.store.read(move |view| view.get_database(id)).await?;
    if !database.state.is_ready() {
        let text = format!("the database {} is {}", database.spec.name, database.shown_state());
        return Err(TunnelError::NotReady(text));
    }
    let (password, digest) = tunnel_password()?;
    let held = {
        let _opening = world.tunnels.opening.lock().await;
        let (row, by) = (database.clone(), actor.clone());
        let tunnel = world.store.write(world.now(), by, move |tx| tx.open_tunnel(&row, lasts)).await?;
        let line = Arc::new(Line {
            tunnel: tunnel.clone(),
            actor,
            connections: AtomicUsize::new(0),
            why: OnceLock::new(),
            over: CancellationToken::new(),
        });
        world.tunnels.held.lock().expect("no holder panics").insert(tunnel.id, Arc::clone(&line));
        Held { tunnel, database, password, line, world: world.clone() }
    };
    make_role(world, &held, &digest).await?;
    Ok(held)
}

async fn make_role(world: &World, held: &Held, digest: &SecretDigest) -> Result<(), TunnelError> {
    let database = &held.database;
    let input = match database.spec.engine {
        Kind::Postgres => postgres_make(&held.tunnel, &database.spec.name, &held.password)
            .ok_or_else(|| TunnelError::NotReady("its password is not one of ours".to_owned()))?,
        Kind::Mariadb => mariadb_make(held.tunnel.id, &database.spec.name, &held.password)
            .ok_or_else(|| TunnelError::NotReady("its password is not one of ours".to_owned()))?,
        Kind::Redis | Kind::Valkey => Secret::from(redis_make(held.tunnel.id, digest)),
    };
    tell(world, &Server::of(database), &input).await.map_err(|fault| TunnelError::NotReady(explain(fault)))
}

fn explain(fault: Fault) -> String {
    match fault {
        Fault::Engine(error) => chain(&error),
        Fault::Store(error) => chain(&error),
        Fault::Impossible(message) | Fault::NotYet(message) => message,
    }
}

/// The way to the server of a tunnel that this actor has opened.
///
/// # Errors
/// See [`TunnelError`].
pub async fn connect(world: &World, id: TunnelId, actor: &Actor) -> Result<Way, TunnelError> {
    let line = world.tunnels.find(id).filter(|line| line.actor == *actor && !line.over.is_cancelled());
    let line = line.ok_or(TunnelError::Unknown(id))?;
    // Counted first: whatever fails below gives it back.
    let before = line.connections.fetch_add(1, Ordering::SeqCst);
    let mut way = Way { address: SocketAddr::from(([0, 0, 0, 0], 0)), line };
    if before >= CONNECTIONS_MAX {
        return Err(TunnelError::TooMany);
    }
    way.address = find_address(world, &way.line.tunnel).await?;
    Ok(way)
}

/// Whether the server still listens there: an address may belong to another container a moment later.
///
/// # Errors
/// See [`TunnelError`].
pub async fn is_there(world: &World, way: &Way) -> Result<bool, TunnelError> {
    Ok(find_address(world, &way.line.tunnel).await? == way.address)
}

/// Asks the engine, never what was remembered.
async fn find_address(world: &World, tunnel: &Tunnel) -> Result<SocketAddr, TunnelError> {
    let id = tunnel.database;
    let database = world.store.read(move |view| view.get_database(id)).await?;
    let wanted = Purpose::Database { database: id, task: tunnel.task };
    let network = environment_network(database.environment);
    let tasks = world.engine.list_tasks().await?;
    let address = tasks
        .iter()
        .find(|task| task.purpose == wanted && matches!(task.state, EngineState::Running { .. }))
        .and_then(|task| task.addresses.get(&network).copied());
    let address = address.ok_or_else(|| {
        TunnelError::NotReady(format!("the server of the database {} does not run", database.spec.name))
    })?;
    Ok(SocketAddr::from((address, database.spec.engine.port())))
}

/// Runs the loop until `stop`.
pub async fn run(world: World, stop: CancellationToken) {
    let mut changes = world.store.changes();
    loop {
        changes.mark_unchanged();
        let pause = match activate(&world).await {
            Ok(until) => until.map_or(RESYNC, |at| at.since(world.now()).min(RESYNC)),
            Err(error) => {
                tracing::warn!(error = %chain(&error), "could not look after the tunnels; trying again");
                RESYNC
            }
        };
        tokio::select! {
            () = stop.cancelled() => break,
            _ = changes.changed() => {}
            () = world.tunnels_wake.notified() => {}
            () = world.clock.sleep(pause.max(GATHER)) => {}
        }
        world.clock.sleep(GATHER).await;
    }
    // Who holds them is told to go as well; what is left of their roles the next control takes away.
    if let Err(error) = activate(&world).await {
        tracing::warn!(error = %chain(&error), "could not look after the tunnels while stopping");
    }
}

struct Subject {
    tunnel: Tunnel,
    database: Option<Database>,
    is_swapped: bool,
}

fn read(view: &View<'_>) -> Result<Vec<Subject>, StoreError> {
    let mut subjects = Vec::new();
    for tunnel in view.list_tunnels()? {
        let database = match view.get_database(tunnel.database) {
            Ok(database) => Some(database),
            Err(StoreError::NotFound { .. }) => None,
            Err(error) => return Err(error),
        };
        let is_swapped = view.find_open_swap(tunnel.database)?.is_some();
        subjects.push(Subject { tunnel, database, is_swapped });
    }
    Ok(subjects)
}

/// One round; when the next tunnel ends by itself.
///
/// # Errors
/// When the store fails.
pub async fn activate(world: &World) -> Result<Option<Timestamp>, StoreError> {
    let subjects: Vec<(Subject, Option<Arc<Line>>)> = {
        let _opening = world.tunnels.opening.lock().await;
        let subjects = world.store.read(read).await?.into_iter();
        let with_line = |subject: Subject| {
            let line = world.tunnels.find(subject.tunnel.id);
            (subject, line)
        };
        subjects.map(with_line).collect()
    };
    let mut next: Option<Timestamp> = None;
    for (subject, line) in subjects {
        let Subject { tunnel, database, is_swapped } = &subject;
        let (database, is_held) = (database.as_ref(), line.is_some());
        let seen = Seen { tunnel, database, is_swapped: *is_swapped, is_held };
        let Some(why) = end(&seen, world.now()) else {
            next = [next, Some(tunnel.until)].into_iter().flatten().min();
            continue;
        };
        if let Some(line) = line {
            line.finish(why);
        }
        if let Err(error) = close(world, &subject, why).await {
            let id = tunnel.id;
            tracing::warn!(tunnel = %id, %error, "could not take the role of a tunnel away; trying again");
        }
    }
    Ok(next)
}

/// The role goes, then the row. A server that does not answer is asked again later.
async fn close(world: &World, subject: &Subject, why: End) -> Result<(), String> {
    let Subject { tunnel, database, .. } = subject;
    if let Some(database) = database.as_ref().filter(|database| !database.state.is_destroying()) {
        let input = match database.spec.engine {
            Kind::Postgres => Some(postgres_end(tunnel.id)),
            Kind::Mariadb => Some(mariadb_end(tunnel.id)),
            // What it was told it forgets when it stops.
            Kind::Redis | Kind::Valkey => (database.task == tunnel.task).then(|| redis_end(tunnel.id)),
        };
        if let Some(input) = input {
            if !database.state.is_ready() {
                return Err(format!("its database is {}", database.shown_state()));
            }
            let told = tell(world, &Server::of(database), &Secret::from(input)).await;
            told.map_err(explain)?;
        }
    }
    let (tunnel, why) = (tunnel.clone(), why.to_string());
    let write = world.store.write(world.now(), Actor::Havre, move |tx| tx.close_tunnel(&tunnel, why));
    write.await.map_err(|error| chain(&error))
}
