//! What the server tells while something is followed, gathered from several connections into one queue. A connection
//! that breaks is opened again and goes on behind the last event, so that a restart of the server is only a pause.
//! Tests: `tests/it/follow.rs`.

use std::time::{Duration, Instant};

use havre_api::build::{Build, BuildLogLine};
use havre_api::deployment::Deployment;
use havre_api::event::Event;
use havre_core::id::{BuildId, DeploymentId};
use tokio::sync::mpsc;

use crate::exit::{CliError, Exit};
use crate::http::{Client, Line, path};

/// Pauses between attempts; the last one stays.
const PAUSES: [Duration; 5] = [
    Duration::from_millis(100),
    Duration::from_millis(250),
    Duration::from_millis(500),
    Duration::from_secs(1),
    Duration::from_secs(2),
];
/// Longest time without any connection before following gives up.
const PATIENCE: Duration = Duration::from_secs(300);

/// One thing the server told.
#[derive(Debug)]
pub(crate) enum Told {
    /// It happened.
    Event(Box<Event>),
    /// A line of a build's log.
    Log(BuildId, BuildLogLine),
    /// A build's log is complete, or cannot be read.
    LogEnded(BuildId),
    /// A build as it stands.
    Build(Box<Build>),
    /// A deployment as it stands.
    Deployment(Box<Deployment>),
    /// The connection is gone; it is tried again.
    Lost(String),
    /// It is back.
    Back,
    /// Nothing more will come.
    Failed(CliError),
}

/// Where it arrives.
pub(crate) type Sender = mpsc::Sender<Told>;

/// Follows every event behind `after`, for ever.
pub(crate) async fn events(client: Client, after: u64, told: Sender) {
    let mut cursor = after;
    let mut trouble = Trouble::default();
    loop {
        let request = path::query("/v1/events", &[("after", Some(&cursor)), ("follow", Some(&true))]);
        let why = match client.lines(&request).await {
            Err(error) if error.exit != Exit::Unreachable && error.exit != Exit::Failed => {
                let _ = told.send(Told::Failed(error)).await;
                return;
            }
            Err(error) => error,
            Ok(mut lines) => {
                if trouble.is_over() && told.send(Told::Back).await.is_err() {
                    return;
                }
                loop {
                    match lines.next().await {
                        Line::Object(value) => {
                            if let Some(seq) = value.get("seq").and_then(serde_json::Value::as_u64) {
                                cursor = cursor.max(seq);
                            }
                            // A kind of event that this client is too old for changes nothing it follows.
                            let Ok(event) = serde_json::from_value::<Event>(value) else { continue };
                            if told.send(Told::Event(Box::new(event))).await.is_err() {
                                return;
                            }
                        }
                        Line::End => {
                            break CliError::new(Exit::Unreachable, "the server ended the connection");
                        }
                        Line::Lost(why) => break CliError::new(Exit::Unreachable, why),
                        Line::Refused(error) => break error,
                    }
                }
            }
        };
        if !trouble.wait(why, &told).await {
            return;
        }
    }
}

/// Follows the log of one build to its end.
pub(crate) async fn log(client: Client, build: BuildId, told: Sender) {
    let request = format!("/v1/builds/{build}/log?follow=true");
    let mut shown: Vec<(i64, String)> = Vec::new();
    for pause in PAUSES.iter().chain(std::iter::repeat_n(&PAUSES[4], 30)) {
        if let Ok(mut lines) = client.lines(&request).await {
            let mut position = 0;
            loop {
                match lines.next().await {
                    Line::Object(value) => {
                        let Ok(line) = serde_json::from_value::<BuildLogLine>(value) else { continue };
                        let key = (line.at.as_millis(), line.text.clone());
                        position += 1;
                        if shown.get(position - 1) == Some(&key) {
                            continue;
                        }
                        // A build that runs again after a restart of the server has a log of its own.
                        shown.truncate(position - 1);
                        shown.push(key);
                        if told.send(Told::Log(build, line)).await.is_err() {
                            return;
                        }
                    }
                    Line::End if is_over(&client, build).await => {
                        let _ = told.send(Told::LogEnded(build)).await;
                        return;
                    }
                    Line::End | Line::Lost(_) | Line::Refused(_) => break,
                }
            }
        }
        tokio::time::sleep(*pause).await;
    }
    let _ = told.send(Told::LogEnded(build)).await;
}

/// A server that stops ends its streams as if all had been said.
async fn is_over(client: &Client, build: BuildId) -> bool {
    matches!(client.get::<Build>(&format!("/v1/builds/{build}")).await, Ok(build) if build.state.is_final())
}

/// Asks once how a build or a deployment stands. What is out of reach now is asked again later.
pub(crate) async fn look(
    client: Client,
    build: Option<BuildId>,
    deployment: Option<DeploymentId>,
    told: Sender,
) {
    let answer = match (build, deployment) {
        (_, Some(id)) => {
            client.get(&format!("/v1/deployments/{id}")).await.map(|found| Told::Deployment(Box::new(found)))
        }
        (Some(id), None) => {
            client.get(&format!("/v1/builds/{id}")).await.map(|found| Told::Build(Box::new(found)))
        }
        (None, None) => return,
    };
    let told_what = match answer {
        Ok(found) => found,
        // What is followed does not exist any more, or we may not see it any more.
        Err(error) if matches!(error.exit, Exit::Absent | Exit::Unauthorised) => Told::Failed(error),
        Err(_) => return,
    };
    let _ = told.send(told_what).await;
}

/// A connection that does not come back.
#[derive(Debug, Default)]
struct Trouble {
    since: Option<Instant>,
    attempts: usize,
}

impl Trouble {
    /// There is a connection; whether there was none before.
    fn is_over(&mut self) -> bool {
        self.attempts = 0;
        self.since.take().is_some()
    }

    /// Waits before the next attempt; `false` when there is no point in one.
    async fn wait(&mut self, why: CliError, told: &Sender) -> bool {
        let since = match self.since {
            Some(since) => since,
            None => {
                if told.send(Told::Lost(why.message.clone())).await.is_err() {
                    return false;
                }
                *self.since.insert(Instant::now())
            }
        };
        if since.elapsed() > PATIENCE {
            let _ = told.send(Told::Failed(why)).await;
            return false;
        }
        tokio::time::sleep(PAUSES[self.attempts.min(PAUSES.len() - 1)]).await;
        self.attempts += 1;
        true
    }
}
