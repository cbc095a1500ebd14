//! A builder for tests of the loops: scripted, deterministic, makes nothing.
//! Share it as an `Arc` to let it survive a "restart" of control. Does not read contexts. Tests at the end of the file.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use havre_core::artifact::{Artifact, Digest};
use havre_core::id::BuildId;
use havre_core::quantity::ByteSize;
use havre_core::service::spec::Work;
use havre_core::time::Timestamp;
use havre_decide::build::admission::Room;
use sha2::{Digest as _, Sha256};
use tokio::sync::{Notify, mpsc};
use tokio_util::sync::CancellationToken;

use crate::builder::{BuildError, BuildLine, BuildRequest, Builder};
use crate::site::Published;

/// What one build does.
#[derive(Debug, Clone)]
pub struct Script {
    /// Lines it says first, each with its step; they carry the timestamp zero. A step ends with `cached` or `done`.
    pub lines: Vec<(String, String)>,
    /// How it ends; `Ok(None)` for [`artifact_of`].
    pub result: Result<Option<Artifact>, BuildError>,
}

/// A builder that follows scripts.
#[derive(Debug, Default)]
pub struct FakeBuilder {
    inner: Mutex<Inner>,
    changed: Notify,
}

#[derive(Debug, Default)]
struct Inner {
    scripts: BTreeMap<String, VecDeque<Script>>,
    held: BTreeSet<String>,
    requests: Vec<BuildRequest>,
    running: BTreeSet<BuildId>,
    cancelled: Vec<BuildId>,
    /// Published sites and how often each was published.
    sites: BTreeMap<Digest, i64>,
    room: Room,
    trims: u32,
}

/// The artifact an unscripted build makes: of the kind the specification wants, with a digest that depends on the
/// service's place and the build only.
pub fn artifact_of(request: &BuildRequest) -> Artifact {
    let hash = Sha256::digest(format!("{} {}", request.place, request.id));
    let hex: String = hash.iter().map(|byte| format!("{byte:02x}")).collect();
    let digest: Digest = hex.parse().expect("64 hex digits are a digest");
    match request.spec.work {
        Work::Tasks(_) => Artifact::Image { id: digest, pull: None },
        Work::Site(_) => Artifact::Site { digest },
    }
}

impl FakeBuilder {
    /// A builder whose every build succeeds at once with [`artifact_of`].
    pub fn new() -> Self {
        Self::default()
    }

    /// The next build of the service of that name follows `script`; several are followed in order.
    pub fn script(&self, service: &str, script: Script) {
        self.lock().scripts.entry(service.to_owned()).or_default().push_back(script);
    }

    /// The next build of that service fails.
    pub fn fail_next(&self, service: &str, error: BuildError) {
        self.script(service, Script { lines: Vec::new(), result: Err(error) });
    }

    /// Builds of that service say their lines, then wait until [`FakeBuilder::release`] or a cancel.
    pub fn hold(&self, service: &str) {
        self.lock().held.insert(service.to_owned());
    }

    /// Lets held builds of that service, and later ones, end.
    pub fn release(&self, service: &str) {
        self.lock().held.remove(service);
        self.changed.notify_waiters();
    }

    /// Every request so far, in order.
    pub fn requests(&self) -> Vec<BuildRequest> {
        self.lock().requests.clone()
    }

    /// Sites that are published.
    pub fn sites(&self) -> Vec<Digest> {
        self.lock().sites.keys().cloned().collect()
    }

    /// A site appears that no build of this builder made.
    pub fn publish(&self, digest: &Digest) {
        *self.lock().sites.entry(digest.clone()).or_default() += 1;
    }

    /// From now on there is so much room; at first nothing is known about it.
    pub fn set_room(&self, room: Room) {
        self.lock().room = room;
    }

    /// How often the cache was trimmed.
    pub fn trims(&self) -> u32 {
        self.lock().trims
    }

    /// Builds at work now.
    pub fn running(&self) -> Vec<BuildId> {
        self.lock().running.iter().copied().collect()
    }

    /// Builds that ended because of their cancellation token, in order.
    pub fn cancelled(&self) -> Vec<BuildId> {
        self.lock().cancelled.clone()
    }

    /// Waits until `wanted` builds have been asked for.
    pub async fn wait_for_requests(&self, wanted: usize) {
        loop {
            let changed = self.changed.notified();
            tokio::pin!(changed);
            // Registered before the look, so that a change between look and wait is not lost.
            changed.as_mut().enable();
            if self.lock().requests.len() >= wanted {
                return;
            }
            changed.await;
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn wait_until_released(&self, service: &str) {
        loop {
            let changed = self.changed.notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            if !self.lock().held.contains(service) {
                return;
            }
            changed.await;
        }
    }
}

/// Takes a build off the running list however it ends, a dropped future included.
struct Running<'a> {
    builder: &'a FakeBuilder,
    id: BuildId,
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.builder.lock().running.remove(&self.id);
        self.builder.changed.notify_waiters();
    }
}

#[async_trait]
impl Builder for FakeBuilder {
    async fn build(
        &self,
        request: BuildRequest,
        log: mpsc::Sender<BuildLine>,
        cancel: CancellationToken,
    ) -> Result<Artifact, BuildError> {
        let service = request.place.service.to_string();
        let script = {
            let mut inner = self.lock();
            inner.requests.push(request.clone());
            inner.running.insert(request.id);
            inner.scripts.get_mut(&service).and_then(VecDeque::pop_front)
        };
        let _running = Running { builder: self, id: request.id };
        self.changed.notify_waiters();
        let script = script.unwrap_or(Script { lines: Vec::new(), result: Ok(None) });
        let work = async {
            for (step, text) in script.lines {
                let was_cached = match text.as_str() {
                    "cached" => Some(true),
                    "done" => Some(false),
                    _ => None,
                };
                // A receiver that is gone is no error.
                let _ = log.send(BuildLine { at: Timestamp::default(), step, text, was_cached }).await;
            }
            self.wait_until_released(&service).await;
            script.result
        };
        tokio::select! {
            biased;
            () = cancel.cancelled() => {
                self.lock().cancelled.push(request.id);
                Err(BuildError::Cancelled)
            }
            result = work => {
                let artifact = result?.unwrap_or_else(|| artifact_of(&request));
                if let Artifact::Site { digest } = &artifact {
                    *self.lock().sites.entry(digest.clone()).or_default() += 1;
                }
                Ok(artifact)
            }
        }
    }

    async fn room(&self) -> Room {
        self.lock().room.clone()
    }

    async fn trim_cache(&self) -> Result<ByteSize, BuildError> {
        self.lock().trims += 1;
        Ok(ByteSize::bytes(0))
    }

    async fn list_sites(&self) -> Result<Vec<Published>, BuildError> {
        let inner = self.lock();
        let sites = inner.sites.iter();
        Ok(sites.map(|(digest, times)| Published { digest: digest.clone(), mark: (*times, 0) }).collect())
    }

    async fn remove_site(&self, site: &Published) -> Result<bool, BuildError> {
        let mut inner = self.lock();
        if inner.sites.get(&site.digest).is_some_and(|times| (*times, 0) != site.mark) {
            return Ok(false);
        }
        inner.sites.remove(&site.digest);
        Ok(true)
    }
}
