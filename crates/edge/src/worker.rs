//! Worker threads: each has its own runtime, listeners, clock, memory and upstream pool, and shares nothing with
//! the others but [`Shared`]. It accepts connections and lets `proxy` serve them. Tests: `tests/it/workers.rs`.

use std::cell::{Cell, RefCell};
use std::collections::{HashMap, HashSet};
use std::hash::{BuildHasher, RandomState};
use std::io;
use std::net::{IpAddr, Ipv6Addr, SocketAddr, TcpListener as StdListener};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::rc::Rc;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use havre_api::route_table::UpstreamRole;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, mpsc, oneshot, watch};
use tracing::{error, warn};

use crate::Shared;
use crate::account::record::Desk;
use crate::config::EdgeLimits;
use crate::pace::Backoff;
use crate::page::Trouble;
use crate::pool::Pool;
use crate::proxy::{self, Clock, Memory, Pipes, RequestId, Watches};
use crate::syscall::{self, Ticker};

/// Descriptors that connections leave to everything else of the process.
const SPARE_DESCRIPTORS: u64 = 256;

/// A worker that has run this long has proved that it can.
const STEADY: Duration = Duration::from_secs(60);

/// All worker threads of the process.
#[derive(Debug)]
pub struct Workers {
    /// Taken by the first `join`.
    threads: Mutex<Vec<JoinHandle<()>>>,
    orders: Vec<mpsc::UnboundedSender<oneshot::Sender<()>>>,
}

impl Workers {
    /// Resolves when every worker has run a task since this call, so that none can still pick an upstream from a
    /// table older than the one now in [`Shared`]; their idle connections to upstreams that left the table are
    /// closed by then. `generation` is for the log.
    pub fn acknowledge(&self, generation: u64) -> impl Future<Output = ()> + Send + 'static {
        let asked: Vec<_> = self
            .orders
            .iter()
            .filter_map(|orders| {
                let (done, answer) = oneshot::channel();
                // A worker that has ended picks nothing any more.
                orders.send(done).ok().map(|()| answer)
            })
            .collect();
        async move {
            for answer in asked {
                let _ = answer.await;
            }
            tracing::debug!(generation, "every worker uses the table");
        }
    }

    /// Blocks until all workers have ended after the soft stop: at the latest `stop_timeout` after it.
    pub fn join(&self) {
        let threads = std::mem::take(&mut *self.threads.lock().unwrap_or_else(PoisonError::into_inner));
        for thread in threads {
            if thread.join().is_err() {
                error!("a worker thread panicked");
            }
        }
    }
}

/// Starts one thread for each entry of `listeners`, which must be non-blocking. The soft stop is `stop` turning
/// true or losing its sender.
///
/// # Errors
/// A thread, its runtime or its timer could not be made; workers started before are told to stop by dropping
/// the sender of `stop`, which is up to the caller.
pub fn spawn_workers(
    shared: Arc<Shared>,
    listeners: Vec<Vec<StdListener>>,
    stop: watch::Receiver<bool>,
) -> io::Result<Workers> {
    let share = Share {
        number: 0,
        connections: most_connections(&shared.limits, listeners.len()),
        memory: usize::try_from(shared.limits.buffer_memory.as_bytes()).unwrap_or(usize::MAX)
            / listeners.len().max(1),
    };
    let mut workers = Workers { threads: Mutex::default(), orders: Vec::new() };
    for (number, listeners) in listeners.into_iter().enumerate() {
        let (orders, inbox) = mpsc::unbounded_channel();
        let (report, started) = std::sync::mpsc::channel();
        let (shared, stop) = (Arc::clone(&shared), stop.clone());
        let life = Life { shared, listeners, share: Share { number, ..share }, inbox, stop };
        let thread =
            std::thread::Builder::new().name(format!("edge-{number}")).spawn(move || life.live(report))?;
        workers.threads.get_mut().unwrap_or_else(PoisonError::into_inner).push(thread);
        workers.orders.push(orders);
        started.recv().unwrap_or_else(|_| Err(io::Error::other("worker ended at once")))?;
    }
    Ok(workers)
}

/// What belongs to one worker of several.
#[derive(Debug, Clone, Copy)]
struct Share {
    number: usize,
    /// Most client connections.
    connections: usize,
    /// Most bytes on their way.
    memory: usize,
}

/// What the thread of a worker lives on. It outlives a worker that panics, so that the next one has the same sockets:
/// connections in their queues are not lost, and the other workers do not notice.
struct Life {
    shared: Arc<Shared>,
    listeners: Vec<StdListener>,
    share: Share,
    inbox: mpsc::UnboundedReceiver<oneshot::Sender<()>>,
    stop: watch::Receiver<bool>,
}

impl Life {
    /// Runs workers one after the other until one ends as it was told. Tells `report` how the first start went.
    fn live(mut self, report: std::sync::mpsc::Sender<io::Result<()>>) {
        let mut report = Some(report);
        let mut backoff = Backoff::new();
        loop {
            let begun = Instant::now();
            let run = catch_unwind(AssertUnwindSafe(|| self.run_once(&mut report)));
            match run {
                Ok(Ok(())) => return,
                Ok(Err(problem)) => match report.take() {
                    Some(report) => return drop(report.send(Err(problem))),
                    None => error!(%problem, worker = self.share.number, "cannot start a worker again"),
                },
                Err(_) => {
                    self.shared.metrics.restarts.up();
                    error!(
                        worker = self.share.number,
                        runbook = "docs/rooms/edge.md#a-worker-panicked",
                        "a worker panicked: its connections are cut, it starts again; this is a bug of ours"
                    );
                }
            }
            if begun.elapsed() > STEADY {
                backoff.reset();
            }
            // This thread has nothing else to do.
            std::thread::park_timeout(backoff.next());
        }
    }

    fn run_once(&mut self, report: &mut Option<std::sync::mpsc::Sender<io::Result<()>>>) -> io::Result<()> {
        let listeners = self.listeners.iter().map(StdListener::try_clone).collect::<io::Result<_>>()?;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_io()
            .build_local(tokio::runtime::LocalOptions::default())?;
        runtime.block_on(async {
            let (worker, timer, listeners) = prepare(Arc::clone(&self.shared), listeners, self.share)?;
            if let Some(report) = report.take() {
                let _ = report.send(Ok(()));
            }
            run(worker, timer, listeners, self).await;
            Ok(())
        })
    }
}

/// Most client connections of one worker: what is configured, or what the descriptors of the process allow if
/// that is less, with four for each: the client, the upstream, and a pipe while a large body passes.
fn most_connections(limits: &EdgeLimits, workers: usize) -> usize {
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile).current.unwrap_or(u64::MAX);
    let share = limit.saturating_sub(SPARE_DESCRIPTORS) / 4 / (workers.max(1) as u64);
    let share = usize::try_from(share).unwrap_or(usize::MAX).max(16);
    if share < limits.connections_per_worker {
        warn!(
            descriptors = limit,
            connections = share,
            "fewer connections than configured: descriptor limit"
        );
    }
    share.min(limits.connections_per_worker)
}

/// State of one worker; never leaves its thread.
#[derive(Debug)]
pub(crate) struct Worker {
    pub(crate) shared: Arc<Shared>,
    pub(crate) clock: Clock,
    /// Accounts for requests.
    pub(crate) desk: Rc<Desk>,
    pub(crate) watches: Watches,
    pub(crate) memory: Memory,
    pub(crate) pipes: Pipes,
    pub(crate) pool: RefCell<Pool>,
    /// For `Service::pick`.
    pub(crate) turn: Cell<u32>,
    /// Requests that are held until a task is there.
    pub(crate) held: Cell<usize>,
    /// Answers that are being compressed.
    pub(crate) compressing: Cell<usize>,
    /// The soft stop has come.
    pub(crate) stopping: Cell<bool>,
    /// It has panicked, and takes its connections with it.
    is_broken: Cell<bool>,
    ids: (u64, Cell<u64>),
    most: usize,
    open: Cell<usize>,
    clients: RefCell<HashMap<IpAddr, usize>>,
    /// Notified at every tick, at every new table and when a connection ends.
    pub(crate) news: Notify,
}

impl Worker {
    fn new(shared: Arc<Shared>, share: Share, tick: Duration) -> Self {
        let idle = shared.limits.idle_upstreams_per_worker;
        let random = RandomState::new();
        Self {
            clock: Clock::new(tick),
            desk: Rc::new(Desk::new(Arc::clone(&shared.account), share.number)),
            watches: Watches::default(),
            memory: Memory::within(share.memory),
            pipes: Pipes::default(),
            pool: RefCell::new(Pool::new(idle)),
            turn: Cell::new(u32::try_from(random.hash_one(3) >> 32).unwrap_or(0)),
            held: Cell::new(0),
            compressing: Cell::new(0),
            stopping: Cell::new(false),
            is_broken: Cell::new(false),
            ids: (random.hash_one(1), Cell::new(random.hash_one(2))),
            most: share.connections,
            open: Cell::new(0),
            clients: RefCell::default(),
            news: Notify::new(),
            shared,
        }
    }

    /// A request id no other request of any worker has: a random number of the worker and a counter that starts
    /// at another one.
    pub(crate) fn next_id(&self) -> RequestId {
        let (worker, counter) = &self.ids;
        counter.set(counter.get().wrapping_add(1));
        RequestId::of(u128::from(*worker) << 64 | u128::from(spread(counter.get())))
    }

    /// Idle upstream connections that rest since before this moment are too old.
    pub(crate) fn oldest_idle(&self) -> u64 {
        let rest = self.shared.limits.upstream_idle_timeout.as_millis();
        self.clock.now().saturating_sub(rest)
    }

    fn tick(&self) {
        #[cfg(test)]
        tests::strike(&tests::WORKER);
        self.clock.advance();
        self.desk.tick();
        self.shared.table.load().signals.advance();
        self.watches.wake_late(self.clock.now());
        self.pool.borrow_mut().sweep(self.oldest_idle());
        self.news.notify_waiters();
    }

    /// Takes the table in use as the law for idle connections.
    fn follow_table(&self) {
        let table = self.shared.table.load();
        let live: HashSet<SocketAddr> = table
            .members()
            .filter(|member| member.role == UpstreamRole::Live)
            .map(|member| member.upstream.address)
            .collect();
        self.pool.borrow_mut().follow(table.generation, live);
        self.news.notify_waiters();
    }

    fn welcome(self: &Rc<Self>, stream: TcpStream, address: SocketAddr) {
        let metrics = &self.shared.metrics;
        metrics.accepted.up();
        let address = address.ip().to_canonical();
        let Some(seat) = self.seat(address) else {
            metrics.shed.up();
            return turn_away(&stream);
        };
        if stream.set_nodelay(true).is_err() {
            return;
        }
        tokio::task::spawn_local(proxy::serve(Rc::clone(self), stream, address, seat));
    }

    fn seat(self: &Rc<Self>, address: IpAddr) -> Option<Seat> {
        let client = client_key(address);
        let mut clients = self.clients.borrow_mut();
        let of_client = clients.get(&client).copied().unwrap_or(0);
        if self.open.get() >= self.most || of_client >= self.shared.limits.connections_per_client {
            return None;
        }
        clients.insert(client, of_client + 1);
        self.open.set(self.open.get() + 1);
        self.shared.metrics.connections.up();
        Some(Seat { worker: Rc::clone(self), client })
    }
}

/// Spreads the bits of a counter, one to one: an id is also the number of a trace, and tracers keep a share of traces
/// by a part of their number.
fn spread(counter: u64) -> u64 {
    let bits = (counter ^ (counter >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let bits = (bits ^ (bits >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    bits ^ (bits >> 31)
}

/// IPv6 users have a whole /64 each.
pub(crate) fn client_key(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => address,
        IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from(u128::from(address) & !u128::from(u64::MAX))),
    }
}

/// Says 503 as far as the socket takes it at once; a connection over the limit gets no memory and no wait.
fn turn_away(stream: &TcpStream) {
    let trouble = Trouble::Busy;
    let text = format!(
        "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\nHavre-Error: {}\r\n{}Connection: close\r\n\r\n",
        trouble.code(),
        trouble.extra_lines()
    );
    // What has arrived is read first: closing with unread bytes would reset the connection before the answer
    // is seen.
    let _ = syscall::discard(stream);
    let _ = rustix::net::send(stream, text.as_bytes(), rustix::net::SendFlags::DONTWAIT);
    let _ = rustix::net::shutdown(stream, rustix::net::Shutdown::Write);
}

/// The place of one connection in the counts; given up when dropped.
#[derive(Debug)]
pub(crate) struct Seat {
    worker: Rc<Worker>,
    client: IpAddr,
}

impl Drop for Seat {
    fn drop(&mut self) {
        let worker = &self.worker;
        if std::thread::panicking() && !worker.is_broken.get() {
            worker.shared.metrics.panics.up();
            error!(
                runbook = "docs/rooms/edge.md#a-connection-panicked",
                "a connection ended in a panic; the others go on; this is a bug of ours"
            );
        }
        worker.open.set(worker.open.get() - 1);
        worker.shared.metrics.connections.down();
        let mut clients = worker.clients.borrow_mut();
        if let Some(count) = clients.get_mut(&self.client) {
            *count -= 1;
            if *count == 0 {
                clients.remove(&self.client);
            }
        }
        worker.news.notify_waiters();
    }
}

type Prepared = (Rc<Worker>, Ticker, Vec<TcpListener>);

fn prepare(shared: Arc<Shared>, listeners: Vec<StdListener>, share: Share) -> io::Result<Prepared> {
    let tick = tick_of(&shared.limits);
    let listeners = listeners.into_iter().map(TcpListener::from_std).collect::<io::Result<Vec<_>>>()?;
    let timer = Ticker::start(tick)?;
    Ok((Rc::new(Worker::new(shared, share, tick)), timer, listeners))
}

/// A quarter of a second is fine enough for limits of seconds and costs nothing; smaller limits (in tests) get
/// a finer clock.
fn tick_of(limits: &EdgeLimits) -> Duration {
    let shortest = [limits.head_timeout, limits.idle_timeout, limits.body_period, limits.stop_timeout]
        .into_iter()
        .chain([limits.tunnel_idle_timeout, limits.upstream_idle_timeout])
        .map(|limit| limit.as_millis() / 4)
        .min();
    Duration::from_millis(shortest.unwrap_or(250).clamp(10, 250))
}

async fn run(worker: Rc<Worker>, timer: Ticker, listeners: Vec<TcpListener>, life: &mut Life) {
    let Life { inbox: orders, stop, listeners: sockets, .. } = life;
    worker.follow_table();
    let mut ticking = tokio::task::spawn_local(tick(Rc::clone(&worker), timer));
    let mut accepting = tokio::task::JoinSet::new();
    for listener in listeners {
        accepting.spawn_local(accept(Rc::clone(&worker), listener));
    }
    loop {
        tokio::select! {
            Some(done) = orders.recv() => {
                worker.follow_table();
                let _ = done.send(());
            }
            ended = &mut ticking => broken(&worker, ended),
            Some(ended) = accepting.join_next() => broken(&worker, ended),
            _ = stop.wait_for(|stop| *stop) => break,
        }
    }
    accepting.abort_all();
    // Nobody takes over: who connects from now on should be refused, not kept waiting.
    sockets.clear();
    worker.stopping.set(true);
    worker.watches.wake_all();
    let deadline = worker.clock.after(worker.shared.limits.stop_timeout.duration());
    while worker.open.get() > 0 && worker.clock.now() < deadline {
        tokio::select! {
            Some(done) = orders.recv() => {
                worker.follow_table();
                let _ = done.send(());
            }
            ended = &mut ticking => broken(&worker, ended),
            () = worker.news.notified() => {}
        }
    }
    if worker.open.get() > 0 {
        warn!(connections = worker.open.get(), "stopped with connections still in use");
    }
}

/// A task without which a worker only seems to live has ended: end the worker, so that another one takes its place.
fn broken(worker: &Worker, ended: Result<(), tokio::task::JoinError>) -> ! {
    worker.is_broken.set(true);
    match ended {
        Err(problem) if problem.is_panic() => resume_unwind(problem.into_panic()),
        _ => panic!("a task of a worker ended"),
    }
}

async fn tick(worker: Rc<Worker>, mut timer: Ticker) {
    loop {
        if let Err(problem) = timer.next().await {
            return error!(%problem, "the clock of a worker stopped");
        }
        worker.tick();
    }
}

async fn accept(worker: Rc<Worker>, listener: TcpListener) {
    let mut has_complained = false;
    loop {
        match listener.accept().await {
            Ok((stream, address)) => worker.welcome(stream, address),
            Err(problem) if is_exhaustion(&problem) => {
                if !std::mem::replace(&mut has_complained, true) {
                    error!(%problem, "cannot accept connections");
                }
                // The connection stays in the queue of the kernel; trying at once would only burn time.
                worker.news.notified().await;
            }
            // The client went away between its connection and our accept.
            Err(_) => {}
        }
    }
}

/// Out of descriptors or memory.
fn is_exhaustion(problem: &io::Error) -> bool {
    matches!(problem.raw_os_error(), Some(libc::EMFILE | libc::ENFILE | libc::ENOBUFS | libc::ENOMEM))
}

#[cfg(test)]
pub(crate) mod tests {
    use std::io::{Read, Write};
    use std::net::TcpStream;
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::*;

    /// The next request panics.
    pub(crate) static CONNECTION: AtomicBool = AtomicBool::new(false);
    /// The next tick panics.
    pub(crate) static WORKER: AtomicBool = AtomicBool::new(false);

    /// Panics once where a test asked for it.
    pub(crate) fn strike(fault: &AtomicBool) {
        assert!(!fault.swap(false, Ordering::SeqCst), "as the test asked");
    }

    fn answer(stream: &mut TcpStream) -> String {
        stream.write_all(b"GET / HTTP/1.1\r\nHost: nobody.example\r\n\r\n").unwrap();
        let mut block = [0; 4096];
        let count = stream.read(&mut block).unwrap_or(0);
        String::from_utf8_lossy(&block[..count]).into_owned()
    }

    #[test]
    fn a_panic_costs_one_connection_and_a_worker_that_dies_comes_back() {
        let listener = StdListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Shared::new(EdgeLimits::default(), "/nowhere".into());
        let (stop, stopped) = watch::channel(false);
        let workers = spawn_workers(Arc::clone(&shared), vec![vec![listener]], stopped).unwrap();
        let connect = || {
            let stream = TcpStream::connect(address).unwrap();
            stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
            stream
        };
        let (mut first, mut second) = (connect(), connect());
        assert!(
            answer(&mut first).starts_with("HTTP/1.1 421 ")
                && answer(&mut second).starts_with("HTTP/1.1 421 ")
        );
        CONNECTION.store(true, Ordering::SeqCst);
        assert_eq!(answer(&mut first), "");
        assert!(answer(&mut second).starts_with("HTTP/1.1 421 "));
        assert_eq!((shared.metrics.panics.get(), shared.metrics.restarts.get()), (1, 0));
        assert_eq!(shared.metrics.connections.get(), 1);
        WORKER.store(true, Ordering::SeqCst);
        // The connection of the dead worker ends; a new one waits in the socket until there is a worker again.
        assert_eq!(second.read(&mut [0; 16]).unwrap_or(0), 0);
        assert!(answer(&mut connect()).starts_with("HTTP/1.1 421 "));
        assert_eq!(shared.metrics.restarts.get(), 1);
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(workers.acknowledge(0));
        drop(stop);
        workers.join();
        assert_eq!(shared.metrics.connections.get(), 0);
    }
}
