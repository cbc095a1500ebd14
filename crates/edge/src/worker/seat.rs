//! The place of a connection among those of its worker and of its client. Whether there is one is the worker's decision.
//! Tests: `tests/it/workers.rs`.

use std::net::IpAddr;
use std::rc::Rc;

use havre_http::trust::client_key;
use tracing::error;

use super::Worker;

/// The place of one connection in the counts; given up when dropped.
#[derive(Debug)]
pub(crate) struct Seat {
    worker: Rc<Worker>,
    /// None while it is not known, or for a proxy.
    client: Option<IpAddr>,
}

impl Seat {
    /// A place that is counted already.
    pub(super) fn of(worker: Rc<Worker>) -> Self {
        Self { worker, client: None }
    }

    /// Counts the connection for a client, unless it is a proxy; false when the client has too many.
    pub(crate) fn is_for(&mut self, address: IpAddr) -> bool {
        if self.client.is_some() || self.worker.shared.proxies.has(address) {
            return true;
        }
        let client = client_key(address);
        let mut clients = self.worker.clients.borrow_mut();
        let count = clients.entry(client).or_insert(0);
        if *count >= self.worker.shared.limits.connections_per_client {
            return false;
        }
        *count += 1;
        self.client = Some(client);
        true
    }
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
        if let Some(client) = self.client
            && let Some(count) = clients.get_mut(&client)
        {
            *count -= 1;
            if *count == 0 {
                clients.remove(&client);
            }
        }
        worker.news.notify_waiters();
    }
}
