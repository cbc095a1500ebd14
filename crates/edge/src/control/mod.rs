//! The edge's link to control: fetches route tables by long poll, posts reports. Control decides, and users do
//! not notice when it is away: every failure here ends in another attempt, never in a change of what is served.
//! It chooses no routes and sends no probes. Tests: `tests/it/control.rs`.

mod material;
pub mod report;
pub mod saved;

use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use havre_api::route_table::RouteTable;
use havre_api::traffic::Traffic;
use tokio::net::UnixStream;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout};
use tracing::{error, info, warn};

use crate::account::rates::Rates;
use crate::client::{self, Body, ClientError};
use crate::pace::Backoff;
use crate::shared::Shared;
use crate::table::{Table, TableError};
use report::Identity;
use saved::{MAX_TABLE_BYTES, StateDir};

/// How long control may hold a question for a newer table.
const WAIT: Duration = Duration::from_secs(25);
/// What a question may take beyond that.
const GRACE: Duration = Duration::from_secs(10);
/// Longest exchange of one report.
const REPORT_TIMEOUT: Duration = Duration::from_secs(5);
/// Pause between reports when only counters change.
const REPORT_EVERY: Duration = Duration::from_secs(2);
/// Least pause between reports, so that a burst of changes makes one.
const REPORT_PAUSE: Duration = Duration::from_millis(5);
/// A `204` before this time means that control does not wait; ask more slowly then.
const QUICK: Duration = Duration::from_secs(1);
/// What answers to a report may say.
const MAX_REPORT_ANSWER: usize = 64 * 1024;

/// Resolves when every worker has run something after the swap to a generation, so that none can still pick
/// from an older table.
pub type Acknowledge = Box<dyn Fn(u64) -> Pin<Box<dyn Future<Output = ()> + Send>> + Send + Sync>;

/// One edge's link to control.
pub struct Link {
    /// Where tables go and reports come from.
    pub shared: Arc<Shared>,
    /// Unix socket of control.
    pub socket: PathBuf,
    /// Where accepted tables are saved.
    pub state: Arc<StateDir>,
    /// Who reports.
    pub identity: Identity,
    /// Waits for the workers.
    pub acknowledge: Acknowledge,
}

impl std::fmt::Debug for Link {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Link")
            .field("socket", &self.socket)
            .field("identity", &self.identity)
            .finish_non_exhaustive()
    }
}

/// Why an exchange with control failed.
#[derive(Debug, thiserror::Error)]
enum LinkError {
    #[error("connect to control")]
    Connect(#[source] std::io::Error),
    #[error("talk to control")]
    Client(#[from] ClientError),
    #[error("control did not answer in time")]
    Timeout,
    #[error("control answered {0}")]
    Status(u16),
}

/// Why a table was not taken.
#[derive(Debug, thiserror::Error)]
enum Refusal {
    #[error("understand the route table of control")]
    Format(#[source] serde_json::Error),
    #[error("route table of control has generation {found}, in use is {current}")]
    Generation { found: u64, current: u64 },
    #[error("take the route table of control")]
    Table(#[from] TableError),
}

impl Link {
    /// Works until dropped. The table in `shared` must be one that every worker uses.
    pub async fn run(self) {
        let (settled, watch) = watch::channel(self.shared.table.load_full());
        tokio::join!(self.pull(&settled), self.tell(&watch), self.supply(&watch));
    }

    /// Fetches tables.
    async fn pull(&self, settled: &watch::Sender<Arc<Table>>) {
        let mut backoff = Backoff::new();
        let mut trouble = Trouble::default();
        loop {
            let asked = Instant::now();
            let outcome = match self.ask().await {
                Ok(Some(text)) => self.accept(text, settled).await.map_err(|refusal| chain(&refusal)),
                Ok(None) => {
                    if asked.elapsed() < QUICK {
                        sleep(QUICK / 4).await;
                    }
                    Ok(())
                }
                Err(problem) => Err(chain(&problem)),
            };
            match outcome {
                Ok(()) => {
                    trouble.over("route tables come from control again");
                    backoff.reset();
                }
                Err(text) => {
                    trouble.say("no new route table; serving the one in use", text);
                    sleep(backoff.next()).await;
                }
            }
        }
    }

    /// One long poll: a table newer than ours, or nothing new.
    async fn ask(&self) -> Result<Option<Vec<u8>>, LinkError> {
        let after = self.shared.table.load().generation;
        let request = format!(
            "GET /edge/v1/table?after={after}&wait_ms={} HTTP/1.1\r\nHost: control\r\nAccept: application/json\r\n\
             Connection: close\r\n\r\n",
            WAIT.as_millis()
        );
        let (status, body) = self.exchange(request.as_bytes(), MAX_TABLE_BYTES, WAIT + GRACE).await?;
        match status {
            200 => Ok(Some(body)),
            204 => Ok(None),
            status => Err(LinkError::Status(status)),
        }
    }

    /// Takes a table: users get it at once, and control hears of it once it is saved too. Until then control keeps what
    /// the table before led to, so that a restart at any moment serves something that is there.
    async fn accept(&self, text: Vec<u8>, settled: &watch::Sender<Arc<Table>>) -> Result<(), Refusal> {
        let current = self.shared.table.load_full();
        // Parsing and building thousands of hosts takes milliseconds, and a sync of a busy disk seconds;
        // reports go on meanwhile.
        let work = tokio::task::spawn_blocking(move || build(&text, &current).map(|table| (table, text)));
        let (table, text) = work.await.expect("building a table does not panic and is never cancelled")?;
        let table = self.shared.publish(table);
        self.supply_soon(&table).await;
        let state = Arc::clone(&self.state);
        let saving = tokio::task::spawn_blocking(move || state.save(&text));
        let (saved, ()) = tokio::join!(saving, (self.acknowledge)(table.generation));
        if let Err(problem) = saved.expect("saving a table does not panic and is never cancelled") {
            error!(generation = table.generation, %problem, "cannot save the route table; serving it all the same");
        }
        info!(generation = table.generation, "route table in use");
        let signals = Arc::clone(&table.signals);
        settled.send_replace(table);
        signals.report.notify_one();
        Ok(())
    }

    /// Posts reports: at once when anything but a counter changed, else every two seconds.
    async fn tell(&self, settled: &watch::Receiver<Arc<Table>>) {
        let signals = Arc::clone(&settled.borrow().signals);
        let mut backoff = Backoff::new();
        let mut trouble = Trouble::default();
        let mut rates = Rates::default();
        loop {
            let table = Arc::clone(&settled.borrow());
            let traffic = rates.look(&self.shared, &table, Instant::now().into_std());
            match self.post(&table, traffic).await {
                Ok(()) => {
                    trouble.over("reports reach control again");
                    backoff.reset();
                    sleep(REPORT_PAUSE).await;
                    let _ = timeout(REPORT_EVERY, signals.report.notified()).await;
                }
                Err(problem) => {
                    trouble.say("reports do not reach control", chain(&problem));
                    sleep(backoff.next()).await;
                }
            }
        }
    }

    async fn post(&self, table: &Table, traffic: Option<&Traffic>) -> Result<(), LinkError> {
        let report = report::gather(&self.identity, table, traffic);
        let body = serde_json::to_vec(&report).expect("a report has only string keys");
        let mut request = format!(
            "POST /edge/v1/report HTTP/1.1\r\nHost: control\r\nContent-Type: application/json\r\n\
             Content-Length: {}\r\nConnection: close\r\n\r\n",
            body.len()
        )
        .into_bytes();
        request.extend_from_slice(&body);
        match self.exchange(&request, MAX_REPORT_ANSWER, REPORT_TIMEOUT).await? {
            (200..=204, _) => Ok(()),
            (status, _) => Err(LinkError::Status(status)),
        }
    }

    async fn exchange(
        &self,
        request: &[u8],
        most: usize,
        limit: Duration,
    ) -> Result<(u16, Vec<u8>), LinkError> {
        let exchange = async {
            let stream = UnixStream::connect(&self.socket).await.map_err(LinkError::Connect)?;
            let answer = client::send(stream, request).await?;
            let status = answer.status;
            Ok((status, answer.body(Body::Whole(most)).await?))
        };
        timeout(limit, exchange).await.unwrap_or(Err(LinkError::Timeout))
    }
}

fn build(text: &[u8], current: &Table) -> Result<Table, Refusal> {
    let wire: RouteTable = serde_json::from_slice(text).map_err(Refusal::Format)?;
    let table = Table::build(&wire, Some(current))?;
    if table.generation <= current.generation {
        return Err(Refusal::Generation { found: table.generation, current: current.generation });
    }
    Ok(table)
}

/// A trouble is logged when it starts, when its reason changes, and when it is over; not at every attempt.
#[derive(Default)]
struct Trouble {
    last: Option<String>,
}

impl Trouble {
    fn say(&mut self, what: &str, reason: String) {
        if self.last.as_ref() != Some(&reason) {
            warn!(%reason, "{what}");
            self.last = Some(reason);
        }
    }

    fn over(&mut self, what: &str) {
        if self.last.take().is_some() {
            info!("{what}");
        }
    }
}

/// The error and its causes in one line.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(next) = cause {
        text.push_str(": ");
        text.push_str(&next.to_string());
        cause = next.source();
    }
    text
}
