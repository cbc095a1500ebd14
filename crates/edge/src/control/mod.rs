//! The edge's link to control: fetches route tables, and what changes in them, by long poll, posts reports. Control decides, and users do
//! not notice when it is away: every failure here ends in another attempt, never in a change of what is served.
//! It chooses no routes and sends no probes. Tests: `tests/it/control.rs`.

mod material;
pub mod report;
pub mod saved;

use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use havre_api::route_change::RouteChange;
use havre_api::route_table::RouteTable;
use havre_api::traffic::Traffic;
use tokio::net::UnixStream;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, sleep_until, timeout};
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
/// Pause between whole reports when only counters change.
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
        let knows_changes = AtomicBool::new(false);
        tokio::join!(
            self.pull(&settled, &knows_changes),
            self.tell(watch.clone(), &knows_changes),
            self.supply(&watch)
        );
    }

    /// Fetches tables.
    async fn pull(&self, settled: &watch::Sender<Arc<Table>>, knows_changes: &AtomicBool) {
        let mut backoff = Backoff::new();
        let mut trouble = Trouble::default();
        let mut wants_whole = false;
        loop {
            let asked = Instant::now();
            let outcome = match self.ask(wants_whole || self.state.is_behind(), knows_changes).await {
                Ok(Some(news)) => {
                    // What cannot be built upon is not asked for a second time.
                    wants_whole = matches!(news, News::Change(_));
                    let accepted = self.accept(news, settled).await;
                    wants_whole &= accepted.is_err();
                    accepted.map_err(|refusal| chain(&refusal))
                }
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

    /// One long poll: a table newer than ours, or what leads to it, or nothing new.
    async fn ask(&self, wants_whole: bool, knows_changes: &AtomicBool) -> Result<Option<News>, LinkError> {
        let after = self.shared.table.load().generation;
        if after > 0 && !wants_whole {
            let (status, body) = self.get("changes", after).await?;
            // An older control has no such answer.
            knows_changes.store(status != 404, Ordering::Relaxed);
            match status {
                200 => return Ok(Some(News::Change(body))),
                204 => return Ok(None),
                404 | 410 => {}
                status => return Err(LinkError::Status(status)),
            }
        }
        match self.get("table", after).await? {
            (200, body) => Ok(Some(News::Whole(body))),
            (204, _) => Ok(None),
            (status, _) => Err(LinkError::Status(status)),
        }
    }

    async fn get(&self, what: &str, after: u64) -> Result<(u16, Vec<u8>), LinkError> {
        let request = format!(
            "GET /edge/v1/{what}?after={after}&wait_ms={} HTTP/1.1\r\nHost: control\r\nAccept: application/json\r\n\
             Connection: close\r\n\r\n",
            WAIT.as_millis()
        );
        self.exchange(request.as_bytes(), MAX_TABLE_BYTES, WAIT + GRACE).await
    }

    /// Takes a table: users get it at once, and control hears of it once it is saved too. Until then control keeps what
    /// the table before led to, so that a restart at any moment serves something that is there.
    async fn accept(&self, news: News, settled: &watch::Sender<Arc<Table>>) -> Result<(), Refusal> {
        let current = self.shared.table.load_full();
        let before = Arc::clone(&current);
        // Parsing and building thousands of hosts takes milliseconds, and a sync of a busy disk seconds;
        // reports go on meanwhile.
        let work = tokio::task::spawn_blocking(move || build(news, &current));
        let (table, unsaved) = work.await.expect("building a table does not panic and is never cancelled")?;
        let table = self.shared.publish(table);
        if !table.https.shares_certificates(&before.https) {
            self.supply_soon(&table).await;
        }
        let state = Arc::clone(&self.state);
        let saving = tokio::task::spawn_blocking(move || match unsaved {
            Unsaved::Whole(text) => state.save(&text).map(|()| false),
            Unsaved::Change(change) => state.append(&change),
        });
        let (saved, ()) = tokio::join!(saving, (self.acknowledge)(table.generation));
        let saved = saved.expect("saving a table does not panic and is never cancelled");
        info!(generation = table.generation, "route table in use");
        settled.send_replace(table);
        let saved = match saved {
            Ok(true) => {
                let state = Arc::clone(&self.state);
                let folding = tokio::task::spawn_blocking(move || state.fold());
                folding.await.expect("saving a table does not panic and is never cancelled")
            }
            saved => saved.map(|_| ()),
        };
        if let Err(problem) = saved {
            error!(%problem, "cannot save the route table; serving it all the same");
        }
        Ok(())
    }

    /// Posts reports: at once when anything but a counter changed, else every two seconds. After another table only what
    /// it has changed.
    async fn tell(&self, mut settled: watch::Receiver<Arc<Table>>, knows_changes: &AtomicBool) {
        let signals = Arc::clone(&settled.borrow().signals);
        let mut backoff = Backoff::new();
        let mut trouble = Trouble::default();
        let mut rates = Rates::default();
        // The table of the last report, and when a whole one is due.
        let (mut reported, mut due) = (None::<Arc<Table>>, Instant::now());
        loop {
            let table = Arc::clone(&settled.borrow_and_update());
            let traffic = rates.look(&self.shared, &table, Instant::now().into_std());
            let is_whole = Instant::now() >= due || !knows_changes.load(Ordering::Relaxed);
            let known = reported.take().filter(|_| !is_whole);
            match self.post(&table, known.as_deref(), traffic).await {
                Ok(()) => {
                    trouble.over("reports reach control again");
                    backoff.reset();
                    if known.is_none() {
                        due = Instant::now() + REPORT_EVERY;
                    }
                    reported = Some(table);
                    sleep(REPORT_PAUSE).await;
                    tokio::select! {
                        () = signals.report.notified() => due = Instant::now(),
                        changed = settled.changed() => if changed.is_err() { std::future::pending().await },
                        () = sleep_until(due) => {}
                    }
                }
                // Control does not know what came before: it has started anew.
                Err(LinkError::Status(409)) if known.is_some() => {}
                Err(problem) => {
                    trouble.say("reports do not reach control", chain(&problem));
                    sleep(backoff.next()).await;
                }
            }
        }
    }

    async fn post(
        &self,
        table: &Table,
        reported: Option<&Table>,
        traffic: Option<&Traffic>,
    ) -> Result<(), LinkError> {
        let report = report::gather(&self.identity, table, reported, traffic);
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

/// What control answers, in JSON.
enum News {
    Whole(Vec<u8>),
    Change(Vec<u8>),
}

/// What is to be saved of it.
enum Unsaved {
    Whole(Vec<u8>),
    Change(RouteChange),
}

fn build(news: News, current: &Table) -> Result<(Table, Unsaved), Refusal> {
    let refuse = |found| Refusal::Generation { found, current: current.generation };
    match news {
        News::Whole(text) => {
            let wire: RouteTable = serde_json::from_slice(&text).map_err(Refusal::Format)?;
            let table = Table::build(&wire, Some(current))?;
            if table.generation <= current.generation {
                return Err(refuse(table.generation));
            }
            Ok((table, Unsaved::Whole(text)))
        }
        News::Change(text) => {
            let change: RouteChange = serde_json::from_slice(&text).map_err(Refusal::Format)?;
            if change.from != current.generation || change.generation <= current.generation {
                return Err(refuse(change.generation));
            }
            Ok((current.change(&change)?, Unsaved::Change(change)))
        }
    }
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
