//! Connections to applications that speak HTTP/2, of one worker: each carries many requests. A connection is opened
//! when none has room, is left to end by itself when its upstream has left the table or it has rested for long, and
//! is forgotten when the application says goodbye. It picks no upstream. Tests: `tests/it/h2_upstream.rs`.

use std::cell::{Cell, RefCell};
use std::collections::{HashMap, HashSet};
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use h2::client::{Builder, SendRequest};

use super::stream::io_error;
use super::upward::Upward;
use super::{ANSWER_WINDOW, ANSWERS_WINDOW, HEADER_LIST, MOST_STREAMS, SEND_BUFFER};
use crate::proxy::{Pace, Wire};
use crate::stream::Stream;
use crate::tls::upstream::{Trust, connect, is_same};
use crate::upstream::Upstream;
use crate::worker::Worker;

/// Connections of one worker by address.
#[derive(Debug, Default)]
pub(crate) struct Links {
    open: RefCell<HashMap<SocketAddr, Vec<Link>>>,
    /// Held while a connection to an address is being opened, so that a burst of requests opens one and not many.
    opening: RefCell<HashMap<SocketAddr, Rc<tokio::sync::Mutex<()>>>>,
}

#[derive(Debug)]
struct Link {
    send: SendRequest<Bytes>,
    load: Rc<Load>,
    /// How the application has proved who it is.
    trust: Option<Arc<Trust>>,
}

impl Link {
    /// Whether the application takes further requests: it may have said goodbye while others are still answered.
    fn takes_more(&mut self) -> bool {
        !matches!(self.send.poll_ready(&mut Context::from_waker(Waker::noop())), Poll::Ready(Err(_)))
    }
}

/// What uses a connection.
#[derive(Debug, Default)]
struct Load {
    live: Cell<usize>,
    /// When the last request ended.
    rests_since: Cell<u64>,
    is_over: Cell<bool>,
}

/// One request that uses a connection; counted until dropped.
#[derive(Debug)]
pub(super) struct Live {
    load: Rc<Load>,
    worker: Rc<Worker>,
}

impl Drop for Live {
    fn drop(&mut self) {
        self.load.live.set(self.load.live.get() - 1);
        self.load.rests_since.set(self.worker.clock.now());
    }
}

impl Links {
    /// A place for one request on a connection that is open, if one has room.
    fn find(&self, worker: &Rc<Worker>, upstream: &Upstream) -> Option<Upward> {
        let mut open = self.open.borrow_mut();
        let links = open.get_mut(&upstream.address)?;
        links.retain_mut(|link| !link.load.is_over.get() && link.takes_more());
        let most = |link: &Link| link.send.current_max_send_streams().min(MOST_STREAMS as usize);
        let is_good = |link: &&Link| is_same(link.trust.as_ref(), upstream.trust.as_ref());
        let link = links.iter().filter(is_good).find(|link| link.load.live.get() < most(link))?;
        link.load.live.set(link.load.live.get() + 1);
        let live = Live { load: Rc::clone(&link.load), worker: Rc::clone(worker) };
        let scheme = if link.trust.is_some() { "https" } else { "http" };
        Some(Upward::new(link.send.clone(), scheme, Rc::new(live)))
    }

    /// A place for one request, on a new connection if it must be or `may_reuse` is false; and whether the connection
    /// was there already.
    pub(crate) async fn reach(
        &self,
        worker: &Rc<Worker>,
        wire: Wire<'_>,
        (upstream, wait): (&Upstream, Duration),
        may_reuse: bool,
    ) -> io::Result<(Upward, bool)> {
        if may_reuse && let Some(found) = self.find(worker, upstream) {
            return Ok((found, true));
        }
        let gate = Rc::clone(self.opening.borrow_mut().entry(upstream.address).or_default());
        let mut pace = Pace::within(wait);
        let mut waiting = pin!(gate.lock());
        let _gate = wire.paced(&mut pace, |context, _| waiting.as_mut().poll(context).map(Ok)).await?;
        if may_reuse && let Some(found) = self.find(worker, upstream) {
            return Ok((found, true));
        }
        let stream = connect(wire, upstream, wait).await?;
        let link = greet(worker, wire, stream, &mut Pace::within(wait)).await?;
        self.open.borrow_mut().entry(upstream.address).or_default().insert(0, link);
        let found = self.find(worker, upstream).ok_or(io::ErrorKind::ConnectionReset)?;
        Ok((found, false))
    }

    /// Leaves connections to addresses that are not live any more; requests on them end in peace.
    pub(crate) fn leave(&self, left: &HashSet<SocketAddr>) {
        let (mut open, mut opening) = (self.open.borrow_mut(), self.opening.borrow_mut());
        for address in left {
            open.remove(address);
            opening.remove(address);
        }
    }

    /// Leaves connections without requests that have rested since before `oldest`, and forgets addresses without any: a
    /// request that was picked before a change may have reached one after it was left.
    pub(crate) fn sweep(&self, oldest: u64) {
        let (mut open, mut opening) = (self.open.borrow_mut(), self.opening.borrow_mut());
        open.retain(|_, links| {
            links.retain(|Link { load, .. }| {
                !load.is_over.get() && (load.live.get() > 0 || load.rests_since.get() >= oldest)
            });
            !links.is_empty()
        });
        // Who waits at a gate holds it.
        opening.retain(|address, gate| open.contains_key(address) || Rc::strong_count(gate) > 1);
    }
}

/// Speaks first, and gives the connection a task.
async fn greet(worker: &Rc<Worker>, wire: Wire<'_>, stream: Stream, pace: &mut Pace) -> io::Result<Link> {
    let trust = stream.trust().cloned();
    let mut builder = Builder::new();
    builder
        .enable_push(false)
        .max_header_list_size(HEADER_LIST)
        .initial_window_size(ANSWER_WINDOW)
        .initial_connection_window_size(ANSWERS_WINDOW)
        .max_send_buffer_size(SEND_BUFFER);
    let mut greeting = pin!(builder.handshake::<_, Bytes>(stream));
    let (send, connection) =
        wire.paced(pace, |context, _| greeting.as_mut().poll(context).map_err(io_error)).await?;
    let load = Rc::new(Load { rests_since: Cell::new(worker.clock.now()), ..Load::default() });
    let over = Rc::clone(&load);
    tokio::task::spawn_local(async move {
        // How it ended is what its requests are told.
        let _ = connection.await;
        over.is_over.set(true);
    });
    Ok(Link { send, load, trust })
}
