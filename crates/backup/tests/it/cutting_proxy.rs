//! Somebody in between two machines who cuts connections after a number of bytes, lets them hang, or is not there.

use std::collections::VecDeque;
use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

#[derive(Default)]
struct Plan {
    /// Bytes, in both directions of all connections, until the next cut; no cut where absent.
    left: Option<u64>,
    /// The same for the cuts after it, and then for all others.
    then: VecDeque<u64>,
    forever: Option<u64>,
    seen: Seen,
    is_down: bool,
}

/// What was seen since it was asked for the last time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Seen {
    pub(crate) connections: usize,
    pub(crate) cuts: usize,
    pub(crate) bytes: u64,
}

/// What stands in between. Ends with the runtime of the test.
pub(crate) struct CuttingProxy {
    port: u16,
    plan: Arc<Mutex<Plan>>,
    /// Changes when every connection has to end.
    ends: watch::Sender<u64>,
}

fn lock(plan: &Mutex<Plan>) -> MutexGuard<'_, Plan> {
    plan.lock().unwrap_or_else(PoisonError::into_inner)
}

impl CuttingProxy {
    /// Before that port of this machine.
    pub(crate) async fn start(to: u16) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("has a port");
        let port = listener.local_addr().expect("has an address").port();
        let plan = Arc::new(Mutex::new(Plan::default()));
        let (ends, end) = watch::channel(0);
        let shared = plan.clone();
        tokio::spawn(async move {
            while let Ok((near, _)) = listener.accept().await {
                {
                    let mut plan = lock(&shared);
                    plan.seen.connections += 1;
                    if plan.is_down {
                        continue;
                    }
                }
                let (plan, mut end) = (shared.clone(), end.clone());
                end.mark_unchanged();
                tokio::spawn(async move {
                    let Ok(far) = TcpStream::connect((Ipv4Addr::LOCALHOST, to)).await else { return };
                    let (near_in, near_out) = near.into_split();
                    let (far_in, far_out) = far.into_split();
                    // Whichever is first: the other half is dropped with it, and the connection is closed.
                    tokio::select! {
                        () = pass(near_in, far_out, &plan) => {}
                        () = pass(far_in, near_out, &plan) => {}
                        _ = end.changed() => {}
                    }
                });
            }
        });
        Self { port, plan, ends }
    }

    pub(crate) const fn port(&self) -> u16 {
        self.port
    }

    /// Cuts the connection over which the byte after so many comes, once for each number.
    pub(crate) fn cut_after(&self, bytes: &[u64]) {
        let mut plan = lock(&self.plan);
        plan.then = bytes.iter().copied().collect();
        plan.left = plan.then.pop_front();
    }

    /// The same again and again.
    pub(crate) fn cut_every(&self, bytes: u64) {
        let mut plan = lock(&self.plan);
        (plan.left, plan.forever) = (Some(bytes), Some(bytes));
    }

    /// Cuts nothing from now on, and says what was seen since it was asked for the last time.
    pub(crate) fn behave(&self) -> Seen {
        std::mem::take(&mut *lock(&self.plan)).seen
    }

    /// Ends every connection and takes no other.
    pub(crate) fn go_down(&self) {
        lock(&self.plan).is_down = true;
        self.ends.send_modify(|count| *count += 1);
    }

    /// Is gone when the byte after so many comes: from then on everything is cut.
    pub(crate) fn go_down_after(&self, bytes: u64) {
        let mut plan = lock(&self.plan);
        (plan.left, plan.forever) = (Some(bytes), Some(0));
    }
}

/// Hands bytes on until one side ends or the plan says so.
async fn pass(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, plan: &Mutex<Plan>) {
    let mut buffer = vec![0; 16 * 1024];
    loop {
        let Ok(count @ 1..) = from.read(&mut buffer).await else { return };
        let (allowed, is_cut) = {
            let mut plan = lock(plan);
            let all = count as u64;
            let allowed = plan.left.map_or(all, |left| left.min(all));
            plan.seen.bytes += allowed;
            plan.left = plan.left.map(|left| left - allowed);
            let is_cut = allowed < all;
            if is_cut {
                plan.seen.cuts += 1;
                plan.left = plan.then.pop_front().or(plan.forever);
            }
            (usize::try_from(allowed).expect("is small"), is_cut)
        };
        if to.write_all(&buffer[..allowed]).await.is_err() || is_cut {
            return;
        }
    }
}
