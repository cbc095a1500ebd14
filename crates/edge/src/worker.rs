//! Worker threads: each has its own runtime, listeners, clock, memory and upstream pool, and shares nothing with
//! the others but [`Shared`]. It accepts connections and lets `proxy` serve them. Tests: `tests/it/workers.rs`.

mod seat;

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::rc::Rc;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, mpsc, oneshot, watch};
use tracing::{error, warn};

pub(crate) use seat::Seat;

use crate::Shared;
use crate::account::record::Desk;
use crate::config::EdgeLimits;
use crate::door::enter;
use crate::h2::Links;
use crate::listen::{Door, Transport};
use crate::pace::Backoff;
use crate::pool::Pool;
use crate::proxy::{self, ClientName, Clock, Memory, Pipes, RequestId, Watches};
use crate::stream::Stream;
use crate::syscall::{self, Ticker};
use crate::table::Table;
use havre_http::page::Trouble;

/// How long a resting connection may still bring a request once the soft stop has come. Closing it at once would meet
/// requests that are on their way; the answer to one that comes says `Connection: close`.
const REST_AT_STOP: Duration = Duration::from_secs(5);

/// Descriptors that connections leave to everything else of the process.
const SPARE_DESCRIPTORS: u64 = 256;

/// Threads of one worker that read files and certificates nobody has asked for before. They end when nothing is to be read.
const DISK_THREADS: usize = 4;

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

/// Starts one thread for each entry of `doors`. The soft stop is `stop` turning
/// true or losing its sender.
///
/// # Errors
/// A thread, its runtime or its timer could not be made; workers started before are told to stop by dropping
/// the sender of `stop`, which is up to the caller.
pub fn spawn_workers(
    shared: Arc<Shared>,
    doors: Vec<Vec<Door>>,
    stop: watch::Receiver<bool>,
) -> io::Result<Workers> {
    let share = Share {
        number: 0,
        connections: most_connections(&shared.limits, doors.len()),
        memory: usize::try_from(shared.limits.buffer_memory.as_bytes()).unwrap_or(usize::MAX)
            / doors.len().max(1),
    };
    let mut workers = Workers { threads: Mutex::default(), orders: Vec::new() };
    for (number, doors) in doors.into_iter().enumerate() {
        let (orders, inbox) = mpsc::unbounded_channel();
        let (report, started) = std::sync::mpsc::channel();
        let (shared, stop) = (Arc::clone(&shared), stop.clone());
        let life = Life { shared, doors, share: Share { number, ..share }, inbox, stop };
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
    doors: Vec<Door>,
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
        let doors = self.doors.iter().map(Door::try_clone).collect::<io::Result<_>>()?;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_io()
            // They wait for disks; more of them would not make a disk faster.
            .max_blocking_threads(DISK_THREADS)
            .build_local(tokio::runtime::LocalOptions::default())?;
        runtime.block_on(async {
            let (worker, timer, doors) = prepare(Arc::clone(&self.shared), doors, self.share)?;
            if let Some(report) = report.take() {
                let _ = report.send(Ok(()));
            }
            run(worker, timer, doors, self).await;
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
    /// The table that `pool` and `links` follow.
    followed: RefCell<Arc<Table>>,
    pub(crate) links: Links,
    /// For `Service::pick`.
    pub(crate) turn: Cell<u32>,
    /// Requests that are held until a task is there.
    pub(crate) held: Cell<usize>,
    /// Answers that are being compressed.
    pub(crate) compressing: Cell<usize>,
    /// The soft stop has come.
    pub(crate) stopping: Cell<bool>,
    /// From when on resting connections are closed, by the worker's clock; never before the soft stop.
    rest_until: Cell<u64>,
    /// It has panicked, and takes its connections with it.
    is_broken: Cell<bool>,
    ids: (u64, Cell<u64>),
    most: usize,
    open: Cell<usize>,
    clients: RefCell<HashMap<IpAddr, usize>>,
    /// Handshakes of this second by client.
    handshakes: RefCell<HashMap<IpAddr, u32>>,
    handshake_second: Cell<u64>,
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
            followed: RefCell::new(Arc::new(Table::empty())),
            links: Links::default(),
            turn: Cell::new(u32::try_from(random.hash_one(3) >> 32).unwrap_or(0)),
            held: Cell::new(0),
            compressing: Cell::new(0),
            stopping: Cell::new(false),
            rest_until: Cell::new(u64::MAX),
            is_broken: Cell::new(false),
            ids: (random.hash_one(1), Cell::new(random.hash_one(2))),
            most: share.connections,
            open: Cell::new(0),
            clients: RefCell::default(),
            handshakes: RefCell::default(),
            handshake_second: Cell::new(0),
            news: Notify::new(),
            shared,
        }
    }

    /// A request id no other request of any worker has: a random number of the worker and a counter that starts
    /// at another one.
    pub(crate) fn next_id(&self) -> RequestId {
        RequestId::of(self.next_number())
    }

    /// A number no other call of any worker gets.
    pub(crate) fn next_number(&self) -> u128 {
        let (worker, counter) = &self.ids;
        counter.set(counter.get().wrapping_add(1));
        u128::from(*worker) << 64 | u128::from(spread(counter.get()))
    }

    /// Idle upstream connections that rest since before this moment are too old.
    pub(crate) fn oldest_idle(&self) -> u64 {
        let rest = self.shared.limits.upstream_idle_timeout.as_millis();
        self.clock.now().saturating_sub(rest)
    }

    /// Whether a connection may go on waiting for its next request.
    pub(crate) fn may_rest(&self) -> bool {
        self.clock.now() < self.rest_until.get()
    }

    fn tick(&self) {
        #[cfg(test)]
        tests::strike(&tests::WORKER);
        self.clock.advance();
        self.desk.tick();
        self.shared.table.load().signals.advance();
        self.watches.wake_late(self.clock.now());
        self.pool.borrow_mut().sweep(self.oldest_idle());
        self.links.sweep(self.oldest_idle());
        self.news.notify_waiters();
    }

    /// Takes the table in use as the law for idle connections.
    fn follow_table(&self) {
        let table = self.shared.table.load_full();
        let before = self.followed.replace(Arc::clone(&table));
        let left = self.pool.borrow_mut().follow(&before, &table);
        self.links.leave(&left);
        self.news.notify_waiters();
    }

    fn welcome(self: &Rc<Self>, stream: TcpStream, address: SocketAddr, transport: Transport) {
        let metrics = &self.shared.metrics;
        metrics.accepted.up();
        let address = address.ip().to_canonical();
        let is_proxy = self.shared.proxies.has(address);
        let Some(seat) = self.seat((!is_proxy).then_some(address)) else {
            metrics.shed.up();
            if transport == Transport::Plain {
                turn_away(&stream);
            }
            return;
        };
        if stream.set_nodelay(true).is_err() {
            return;
        }
        let worker = Rc::clone(self);
        if transport == Transport::Plain && !is_proxy {
            let client = ClientName::of(address, false);
            tokio::task::spawn_local(proxy::serve(worker, Stream::Plain(stream), client, seat));
        } else {
            tokio::task::spawn_local(enter(worker, stream, address, transport, seat));
        }
    }

    /// Counts a handshake of a client; false when it has made too many in this second.
    pub(crate) fn may_shake_hands(&self, address: IpAddr) -> bool {
        let second = self.clock.now() / 1000;
        let mut made = self.handshakes.borrow_mut();
        if self.handshake_second.replace(second) != second {
            made.clear();
        }
        let made = made.entry(havre_http::trust::client_key(address)).or_insert(0);
        *made += 1;
        *made <= self.shared.limits.handshakes_per_client
    }

    /// A place for one more connection, of this client if it is known; proxies have many clients.
    fn seat(self: &Rc<Self>, address: Option<IpAddr>) -> Option<Seat> {
        if self.open.get() >= self.most {
            return None;
        }
        self.open.set(self.open.get() + 1);
        self.shared.metrics.connections.up();
        let mut seat = Seat::of(Rc::clone(self));
        address.is_none_or(|address| seat.is_for(address)).then_some(seat)
    }
}

/// Spreads the bits of a counter, one to one: an id is also the number of a trace, and tracers keep a share of traces
/// by a part of their number.
fn spread(counter: u64) -> u64 {
    let bits = (counter ^ (counter >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let bits = (bits ^ (bits >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    bits ^ (bits >> 31)
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

type Doors = Vec<(TcpListener, Transport)>;
type Prepared = (Rc<Worker>, Ticker, Doors);

fn prepare(shared: Arc<Shared>, doors: Vec<Door>, share: Share) -> io::Result<Prepared> {
    let tick = tick_of(&shared.limits);
    let doors = doors
        .into_iter()
        .map(|door| Ok((TcpListener::from_std(door.listener)?, door.transport)))
        .collect::<io::Result<Doors>>()?;
    let timer = Ticker::start(tick)?;
    Ok((Rc::new(Worker::new(shared, share, tick)), timer, doors))
}

/// A quarter of a second is fine enough for limits of seconds and costs nothing; smaller limits (in tests) get
/// a finer clock.
fn tick_of(limits: &EdgeLimits) -> Duration {
    let shortest = [limits.head_timeout, limits.idle_timeout, limits.body_period, limits.stop_timeout]
        .into_iter()
        .chain([limits.tunnel_idle_timeout, limits.upstream_idle_timeout, limits.handshake_timeout])
        .map(|limit| limit.as_millis() / 4)
        .min();
    Duration::from_millis(shortest.unwrap_or(250).clamp(10, 250))
}

async fn run(worker: Rc<Worker>, timer: Ticker, doors: Doors, life: &mut Life) {
    let Life { inbox: orders, stop, doors: sockets, .. } = life;
    worker.follow_table();
    let mut ticking = tokio::task::spawn_local(tick(Rc::clone(&worker), timer));
    let mut accepting = tokio::task::JoinSet::new();
    for (listener, transport) in doors {
        accepting.spawn_local(accept(Rc::clone(&worker), listener, transport));
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
    let stop_timeout = worker.shared.limits.stop_timeout.duration();
    worker.rest_until.set(worker.clock.after(REST_AT_STOP.min(stop_timeout / 2)));
    let deadline = worker.clock.after(stop_timeout);
    let mut has_rested = false;
    while worker.open.get() > 0 && worker.clock.now() < deadline {
        if !has_rested && !worker.may_rest() {
            has_rested = true;
            worker.watches.wake_all();
        }
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

async fn accept(worker: Rc<Worker>, listener: TcpListener, transport: Transport) {
    let mut has_complained = false;
    loop {
        match listener.accept().await {
            Ok((stream, address)) => worker.welcome(stream, address, transport),
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
    use std::net::{TcpListener as StdListener, TcpStream};
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
        let workers = spawn_workers(
            Arc::clone(&shared),
            vec![vec![Door { listener, transport: Transport::Plain }]],
            stopped,
        )
        .unwrap();
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
