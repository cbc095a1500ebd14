//! Docker's event stream: ours only, reconnecting by itself. Tests of the reading at the end of the file.

use std::collections::HashMap;
use std::time::Duration;

use bollard::models::{EventMessage, EventMessageTypeEnum};
use bollard::query_parameters::EventsOptionsBuilder;
use futures_util::stream::{BoxStream, StreamExt};
use havre_core::task::Healthcheck;
use havre_core::time::Timestamp;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

use super::DockerEngine;
use crate::error::EngineError;
use crate::event::{EngineEvent, EventStream};
use crate::label::parse_labels;

/// First pause before connecting again; doubled up to [`PAUSE_MAX`].
const PAUSE_MIN: Duration = Duration::from_millis(100);
/// Docker being started again is noticed at most this late.
const PAUSE_MAX: Duration = Duration::from_secs(2);

type Messages = BoxStream<'static, Result<EventMessage, bollard::errors::Error>>;

/// Events a slow reader may lag behind before it gets a reset instead.
const EVENTS: usize = 1024;

struct Watch {
    engine: DockerEngine,
    events: mpsc::Sender<EngineEvent>,
    pause: Duration,
}

impl DockerEngine {
    /// Read by a task of its own: Docker drops what a slow reader does not take, without a word.
    pub(super) fn watch(&self) -> EventStream {
        let (events, receiver) = mpsc::channel(EVENTS);
        let mut watch = Watch { engine: self.clone(), events: events.clone(), pause: PAUSE_MIN };
        tokio::spawn(async move {
            tokio::select! {
                () = events.closed() => {}
                () = watch.run() => {}
            }
        });
        ReceiverStream::new(receiver).boxed()
    }

    /// Subscribes from Docker's own now on, so that nothing is lost between that instant and the first message.
    async fn subscribe(&self) -> Result<Messages, EngineError> {
        let what = "follow Docker's events";
        let docker = self.client()?;
        let info = docker.info().await.map_err(|error| self.explain(what, error))?;
        let now = Timestamp::parse(info.system_time.as_deref().unwrap_or_default()).map_err(|error| {
            EngineError::Failed { what: what.to_owned(), message: format!("Docker's clock: {error}") }
        })?;
        // Labels are read here and not filtered by Docker: events of images carry none. Without the list of actions
        // every health check would send three messages each time it runs.
        let filters = HashMap::from([
            ("type", vec!["container", "image"]),
            ("event", vec!["start", "die", "destroy", "health_status", "delete"]),
        ]);
        let since = format!("{}.{:03}", now.as_millis() / 1000, now.as_millis() % 1000);
        let options = EventsOptionsBuilder::default().since(&since).filters(&filters).build();
        Ok(docker.events(Some(options)).boxed())
    }
}

impl Watch {
    /// Ends only when nobody reads any more.
    async fn run(&mut self) {
        loop {
            match self.engine.subscribe().await {
                Ok(messages) => {
                    if self.events.send(EngineEvent::Reset).await.is_err() {
                        return;
                    }
                    self.pass_on(messages).await;
                }
                Err(error) => tracing::debug!(%error, "could not follow Docker's events"),
            }
            tokio::time::sleep(self.pause).await;
            self.pause = (self.pause * 2).min(PAUSE_MAX);
        }
    }

    /// Until the connection is lost or nobody reads any more.
    async fn pass_on(&mut self, mut messages: Messages) {
        loop {
            let message = match messages.next().await {
                Some(Ok(message)) => message,
                Some(Err(error)) => return tracing::debug!(%error, "lost Docker's events"),
                None => return tracing::debug!("Docker ended its events"),
            };
            self.pause = PAUSE_MIN;
            let Some(event) = self.engine.parse_event(&message) else { continue };
            let sent = match self.events.try_send(event) {
                // A reset says as much as all the events that have no room.
                Err(mpsc::error::TrySendError::Full(_)) => self.events.send(EngineEvent::Reset).await.is_ok(),
                other => other.is_ok(),
            };
            if !sent {
                return;
            }
        }
    }
}

impl DockerEngine {
    fn parse_event(&self, message: &EventMessage) -> Option<EngineEvent> {
        let action = message.action.as_deref()?;
        let actor = message.actor.as_ref()?;
        let at = Timestamp::from_millis(message.time_nano? / 1_000_000);
        if message.typ == Some(EventMessageTypeEnum::IMAGE) {
            let id = actor.id.as_deref()?.parse().ok()?;
            return (action == "delete").then_some(EngineEvent::ImageRemoved { id, at });
        }
        // Docker puts the labels of a container among the attributes of its events.
        let attributes = actor.attributes.as_ref()?;
        if !self.installation.owns(attributes) {
            return None;
        }
        let purpose = parse_labels(attributes)?.purpose;
        let name = attributes.get("name")?.clone();
        match action {
            "start" => Some(EngineEvent::TaskStarted { name, purpose, at }),
            "die" => {
                let code = attributes.get("exitCode")?.parse().ok()?;
                Some(EngineEvent::TaskExited { name, purpose, code, at })
            }
            "destroy" => Some(EngineEvent::TaskRemoved { name, purpose, at }),
            other => {
                let health = parse_health(other.strip_prefix("health_status")?)?;
                Some(EngineEvent::HealthChanged { name, purpose, health, at })
            }
        }
    }
}

/// The result is part of the action, such as `health_status: healthy`.
fn parse_health(text: &str) -> Option<Healthcheck> {
    match text.trim_start_matches(':').trim() {
        "starting" => Some(Healthcheck::Starting),
        "healthy" => Some(Healthcheck::Healthy),
        "unhealthy" => Some(Healthcheck::Unhealthy),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use havre_core::id::TaskId;
    use havre_core::task::spec::Purpose;

    use super::*;

    fn message(action: &str, installation: &str) -> EventMessage {
        let actor = serde_json::json!({
            "Type": "container", "Action": action, "timeNano": 1_763_978_400_123_000_000_i64,
            "Actor": { "ID": "abc", "Attributes": {
                "name": "havre-t3-r2-api", "exitCode": "3",
                "dev.havre.installation": installation, "dev.havre.purpose": "task", "dev.havre.task": "t3",
                "dev.havre.service-id": "s1", "dev.havre.release": "r2", "dev.havre.environment-id": "e1",
            }},
        });
        serde_json::from_value(actor).expect("Docker's own form")
    }

    #[test]
    fn reads_only_our_own() {
        let engine = DockerEngine::new(Path::new("/x"), "ours".parse().expect("valid"));
        let name = "havre-t3-r2-api".to_owned();
        let purpose = Purpose::Task { task: TaskId::new(3) };
        let at = Timestamp::from_millis(1_763_978_400_123);
        assert_eq!(
            engine.parse_event(&message("die", "ours")),
            Some(EngineEvent::TaskExited { name: name.clone(), purpose, code: 3, at })
        );
        assert_eq!(
            engine.parse_event(&message("health_status: unhealthy", "ours")),
            Some(EngineEvent::HealthChanged { name, purpose, health: Healthcheck::Unhealthy, at })
        );
        assert_eq!(engine.parse_event(&message("die", "other")), None);
        assert_eq!(engine.parse_event(&message("exec_die", "ours")), None);
    }
}
