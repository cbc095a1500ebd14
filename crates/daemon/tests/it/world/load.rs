//! Users: connections that send one request after another, some kept alive, some fresh for each request. Strict: a
//! reset, an early close, a status other than 200, half a body or an answer that names two releases is a failure.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body_util::{BodyExt as _, Empty};
use hyper::client::conn::http1::SendRequest;
use hyper::{Request, header};
use hyper_util::rt::TokioIo;
use serde::Deserialize;
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::task::JoinSet;

/// Users with a connection of their own.
const KEPT_ALIVE: usize = 4;
/// Users with a fresh connection for each request.
const FRESH: usize = 3;
/// Pause of each user between two requests; all together send some hundred requests a second.
const PAUSE: Duration = Duration::from_millis(12);
/// Longest wait for one answer.
const ANSWER: Duration = Duration::from_secs(30);

/// Who answered a request.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Identity {
    pub(crate) service: String,
    pub(crate) release: String,
    pub(crate) version: String,
    pub(crate) task: String,
}

/// One request and what became of it.
#[derive(Debug, Clone)]
pub(crate) struct Answer {
    pub(crate) started: Instant,
    pub(crate) outcome: Result<Identity, String>,
}

/// Users at work.
pub(crate) struct Load {
    stop: watch::Sender<bool>,
    users: JoinSet<()>,
    answers: Arc<Mutex<Vec<Answer>>>,
    begun: Instant,
}

impl Load {
    /// Begins with requests for `/` of `host`.
    pub(crate) fn start(address: SocketAddr, host: &str) -> Self {
        let (stop, stopped) = watch::channel(false);
        let answers: Arc<Mutex<Vec<Answer>>> = Arc::default();
        let mut users = JoinSet::new();
        for number in 0..KEPT_ALIVE + FRESH {
            let user = User {
                address,
                host: host.to_owned(),
                keeps: number < KEPT_ALIVE,
                stopped: stopped.clone(),
                answers: Arc::clone(&answers),
            };
            users.spawn(user.work());
        }
        Self { stop, users, answers, begun: Instant::now() }
    }

    /// Lets every user finish the request under way.
    pub(crate) async fn finish(mut self) -> Report {
        self.stop.send_replace(true);
        while let Some(ended) = self.users.join_next().await {
            ended.expect("a user does not panic");
        }
        let answers = std::mem::take(&mut *self.answers.lock().expect("no holder panics"));
        eprintln!("load: {} requests in {} ms", answers.len(), self.begun.elapsed().as_millis());
        Report { answers }
    }

    /// Names of all tasks that answered requests started after `since`.
    pub(crate) fn tasks_since(&self, since: Instant) -> BTreeSet<String> {
        let answers = self.answers.lock().expect("no holder panics");
        let answers = answers.iter().filter(|answer| answer.started >= since);
        answers.filter_map(|answer| Some(answer.outcome.as_ref().ok()?.task.clone())).collect()
    }
}

struct User {
    address: SocketAddr,
    host: String,
    keeps: bool,
    stopped: watch::Receiver<bool>,
    answers: Arc<Mutex<Vec<Answer>>>,
}

impl User {
    async fn work(self) {
        let mut connection = None;
        while !*self.stopped.borrow() {
            let started = Instant::now();
            let outcome = match tokio::time::timeout(ANSWER, self.ask(&mut connection)).await {
                Ok(outcome) => outcome,
                Err(_) => Err(format!("no answer within {} s", ANSWER.as_secs())),
            };
            if outcome.is_err() || !self.keeps {
                connection = None;
            }
            self.answers.lock().expect("no holder panics").push(Answer { started, outcome });
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// One request, on the connection there is or on a new one.
    async fn ask(&self, connection: &mut Option<SendRequest<Empty<Bytes>>>) -> Result<Identity, String> {
        let how = if connection.is_some() { "kept-alive" } else { "fresh" };
        let failed = |what: &str, error: &dyn std::error::Error| {
            let source = error.source().map(ToString::to_string).unwrap_or_default();
            format!("{what} ({how} connection): {error} {source}")
        };
        if connection.is_none() {
            *connection = Some(connect(self.address).await.map_err(|error| failed("connect", &*error))?);
        }
        let sender = connection.as_mut().expect("it was just made");
        let request = Request::get("/").header(header::HOST, &self.host).body(Empty::new());
        let answer = sender.send_request(request.expect("a request"));
        let answer = answer.await.map_err(|error| failed("send", &error))?;
        let (head, body) = answer.into_parts();
        let body = body.collect().await.map_err(|error| failed("read the body", &error))?.to_bytes();
        // A connection the other side closes without having said so fails the next request.
        if head.headers.get(header::CONNECTION).is_some_and(|value| value == "close") {
            *connection = None;
        }
        if head.status != 200 {
            return Err(format!("status {}: {}", head.status, String::from_utf8_lossy(&body)));
        }
        let identity: Identity =
            serde_json::from_slice(&body).map_err(|error| failed("read the answer", &error))?;
        let named = head.headers.get("havre-release").and_then(|value| value.to_str().ok());
        if named != Some(identity.release.as_str()) {
            return Err(format!("the edge names {named:?}, the task {}", identity.release));
        }
        Ok(identity)
    }
}

async fn connect(
    address: SocketAddr,
) -> Result<SendRequest<Empty<Bytes>>, Box<dyn std::error::Error + Send + Sync>> {
    let stream = TcpStream::connect(address).await?;
    let (sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    tokio::spawn(connection);
    Ok(sender)
}

/// One request over a fresh connection, as strict as the load.
pub(crate) async fn ask_once(address: SocketAddr, host: &str) -> Result<Identity, String> {
    let user = User {
        address,
        host: host.to_owned(),
        keeps: false,
        stopped: watch::channel(false).1,
        answers: Arc::default(),
    };
    match tokio::time::timeout(ANSWER, user.ask(&mut None)).await {
        Ok(outcome) => outcome,
        Err(_) => Err(format!("no answer within {} s", ANSWER.as_secs())),
    }
}

/// Everything that was asked and answered.
pub(crate) struct Report {
    answers: Vec<Answer>,
}

impl Report {
    /// Not one failure among at least `least` requests.
    pub(crate) fn assert_no_failure(&self, least: usize) {
        let failures: Vec<&String> =
            self.answers.iter().filter_map(|answer| answer.outcome.as_ref().err()).collect();
        let shown = &failures[..failures.len().min(5)];
        assert!(
            failures.is_empty(),
            "{} of {} requests failed, such as: {shown:#?}",
            failures.len(),
            self.answers.len()
        );
        assert!(self.answers.len() >= least, "only {} requests: that proves nothing", self.answers.len());
    }

    /// How many answers each release gave.
    pub(crate) fn by_release(&self) -> BTreeMap<String, usize> {
        let mut counts = BTreeMap::new();
        for identity in self.answers.iter().filter_map(|answer| answer.outcome.as_ref().ok()) {
            *counts.entry(identity.release.clone()).or_default() += 1;
        }
        counts
    }

    /// Releases that answered requests started in this period.
    pub(crate) fn releases_in(&self, from: Instant, to: Instant) -> BTreeSet<String> {
        let answers = self.answers.iter().filter(|answer| answer.started >= from && answer.started < to);
        answers.filter_map(|answer| Some(answer.outcome.as_ref().ok()?.release.clone())).collect()
    }
}
