//! Threads that own connections and run closures sent to them, in order, through a bounded queue.
//! Two readers share one queue: each next job goes to whichever is free.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use rusqlite::Connection;
use tokio::sync::{mpsc, oneshot};

use crate::error::StoreError;
use crate::lock::Lock;

/// Jobs that may wait; more makes callers wait, which is what keeps memory bounded.
const QUEUE: usize = 256;

type Job = Box<dyn FnOnce(&mut Connection) + Send>;

/// Sending end of a queue of jobs.
#[derive(Debug, Clone)]
pub(crate) struct Queue {
    jobs: mpsc::Sender<Job>,
}

/// Starts one thread for each connection, all serving the same queue.
pub(crate) fn start(
    name: &str,
    connections: Vec<Connection>,
    lock: &Arc<Lock>,
) -> Result<(Queue, Vec<JoinHandle<()>>), std::io::Error> {
    let (sender, receiver) = mpsc::channel(QUEUE);
    let receiver = Arc::new(Mutex::new(receiver));
    let mut threads = Vec::new();
    for connection in connections {
        let (lock, receiver) = (Arc::clone(lock), Arc::clone(&receiver));
        let thread = std::thread::Builder::new()
            .name(name.to_owned())
            .spawn(move || serve(lock, &receiver, connection))?;
        threads.push(thread);
    }
    Ok((Queue { jobs: sender }, threads))
}

/// The lock comes first: parameters are dropped from the last to the first, so it outlives the connection.
fn serve(_lock: Arc<Lock>, receiver: &Mutex<mpsc::Receiver<Job>>, mut connection: Connection) {
    loop {
        // Whoever waits for a job holds the receiver; it is free again as soon as there is one.
        let job = receiver.lock().unwrap_or_else(PoisonError::into_inner).blocking_recv();
        let Some(job) = job else { return };
        job(&mut connection);
    }
}

impl Queue {
    /// Runs `work` on a thread of the queue. Once queued it runs to its end even when the caller stops waiting.
    /// A panic inside goes on in the caller; the thread and the store stay usable.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Connection) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let (reply, answer) = oneshot::channel();
        let job = move |connection: &mut Connection| {
            // Unwinding drops the transaction, which rolls it back, so the connection is sound afterwards.
            let result = catch_unwind(AssertUnwindSafe(|| work(connection)));
            // The caller may have stopped waiting; then nobody wants the answer.
            let _ = reply.send(result);
        };
        self.jobs.send(Box::new(job)).await.map_err(|_| StoreError::Closed)?;
        match answer.await {
            Ok(Ok(result)) => result,
            Ok(Err(panic)) => resume_unwind(panic),
            Err(_) => Err(StoreError::Closed),
        }
    }
}
