//! Idle connections to upstreams, of one worker. At most a number of them over all addresses, the oldest goes
//! first; none rests longer than a limit below the keep-alive of the applications; none outlives the place of
//! its upstream in the route table. One that was made under another trust is never taken, though its address be the
//! same. It opens no connections. Tests: `tests/it/upstreams.rs`, `tests/it/tls_upstream.rs`.

use std::collections::{HashMap, HashSet, VecDeque};
use std::net::SocketAddr;

use crate::stream::Stream;
use crate::table::Table;
use crate::tls::upstream::is_same;
use crate::upstream::Upstream;

#[derive(Debug)]
struct Idle {
    /// None once it is in use again.
    stream: Option<Stream>,
    since: u64,
}

impl Drop for Idle {
    fn drop(&mut self) {
        if let Some(stream) = &self.stream {
            stream.bid_farewell();
        }
    }
}

/// Idle connections by address; the most recently used one is taken first.
#[derive(Debug)]
pub(crate) struct Pool {
    idle: HashMap<SocketAddr, VecDeque<Idle>>,
    count: usize,
    most: usize,
    /// Generation of the table `live` was taken from.
    generation: u64,
    /// Addresses that get requests, and how many upstreams there are at each.
    live: HashMap<SocketAddr, usize>,
}

impl Pool {
    /// An empty pool for at most `most` connections.
    pub(crate) fn new(most: usize) -> Self {
        Self { idle: HashMap::new(), count: 0, most, generation: 0, live: HashMap::new() }
    }

    /// A connection that is still open as far as this machine knows. `must_ask` asks the kernel too, for requests
    /// that cannot be sent twice; otherwise what the last poll said is enough, since those are repeated.
    pub(crate) fn take(&mut self, upstream: &Upstream, must_ask: bool, oldest: u64) -> Option<Stream> {
        let list = self.idle.get_mut(&upstream.address)?;
        while let Some(mut idle) = list.pop_back() {
            self.count -= 1;
            let Some(stream) = &idle.stream else { continue };
            let is_good = idle.since >= oldest
                && is_same(stream.trust(), upstream.trust.as_ref())
                && stream.is_silent(must_ask);
            if is_good {
                return idle.stream.take();
            }
        }
        None
    }

    /// Keeps a connection whose answer is complete, unless its upstream has left the table.
    pub(crate) fn put(&mut self, address: SocketAddr, stream: Stream, generation: u64, now: u64) {
        if (generation < self.generation && !self.live.contains_key(&address)) || self.most == 0 {
            return;
        }
        if self.count == self.most {
            self.evict_oldest();
        }
        self.idle.entry(address).or_default().push_back(Idle { stream: Some(stream), since: now });
        self.count += 1;
    }

    fn evict_oldest(&mut self) {
        let oldest = self.idle.values_mut().filter(|list| !list.is_empty()).min_by_key(|list| list[0].since);
        if let Some(list) = oldest {
            list.pop_front();
            self.count -= 1;
        }
    }

    /// Goes from the table it has followed to the next one: closes the connections to addresses that services have left,
    /// and returns these.
    pub(crate) fn follow(&mut self, before: &Table, table: &Table) -> HashSet<SocketAddr> {
        self.generation = table.generation;
        let mut left = HashSet::new();
        for service in table.changes_since(before).filter_map(|(before, _)| before) {
            left.extend(service.upstreams.iter().map(|member| member.upstream.address));
            for upstream in &service.live {
                if let Some(count) = self.live.get_mut(&upstream.address) {
                    *count -= 1;
                }
            }
        }
        for service in table.changes_since(before).filter_map(|(_, now)| now) {
            for upstream in &service.live {
                *self.live.entry(upstream.address).or_insert(0) += 1;
            }
        }
        left.retain(|address| self.live.get(address).is_none_or(|count| *count == 0));
        for address in &left {
            self.live.remove(address);
            self.count -= self.idle.remove(address).map_or(0, |list| list.len());
        }
        left
    }

    /// Closes connections that have rested since before `oldest` or that the other side has closed.
    pub(crate) fn sweep(&mut self, oldest: u64) {
        if self.count == 0 {
            return;
        }
        for list in self.idle.values_mut() {
            list.retain(|idle| {
                idle.since >= oldest && idle.stream.as_ref().is_some_and(|stream| stream.is_silent(false))
            });
        }
        self.idle.retain(|_, list| !list.is_empty());
        self.recount();
    }

    fn recount(&mut self) {
        self.count = self.idle.values().map(VecDeque::len).sum();
    }
}
