//! One API with a fresh store, a clock moved by hand, and fakes that record what they were asked.

use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use axum::Router;
use axum::body::{Body, Bytes};
use futures_util::StreamExt as _;
use futures_util::stream::BoxStream;
use havre_api::database::{ConsoleRequest, DatabaseInsight, DatabaseLogEntry};
use havre_api::job::JobLogEntry;
use havre_api::task::{ExecRequest, LogEntry, LogQuery, RunRequest};
use havre_api::tunnel::TunnelRequest;
use havre_core::artifact::Artifact;
use havre_core::copy::DumpFormat;
use havre_core::deployment::{Deployment, Kind, state::State};
use havre_core::event::Actor;
use havre_core::id::{BuildId, CopyId, DatabaseId, JobRunId, ServiceId, TunnelId};
use havre_core::release::Release;
use havre_core::secret::Secret;
use havre_core::service::{Place, Service};
use havre_core::time::Timestamp;
use havre_decide::secret::provider::OpenProvider;
use havre_decide::secret::provider::reference::Location;
use havre_store::{NewRelease, OpenOptions, Store, Tx};
use havre_web::build::intake::{ContextIntake, ContextUpload, IntakeError, ReceivedContext};
use havre_web::git::gateway::GitGateway;
use havre_web::restore::streams::{SnapshotError, SnapshotStream, SnapshotStreams};
use havre_web::task::streams::{ExecSession, TaskStreamError, TaskStreams};
use havre_web::{AppState, Limits, NodeView, Wiring};
use http::{Request, Response, StatusCode};
use serde_json::{Value, json};
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;
use tower::ServiceExt as _;

use crate::fake_git::FakeGit;

/// Where every path of the tests begins.
pub(crate) const ENVIRONMENT: &str = "/v1/projects/dropit/environments/production";

pub(crate) struct World {
    pub(crate) store: Store,
    pub(crate) state: AppState,
    pub(crate) local: Router,
    pub(crate) public: Router,
    pub(crate) edge: Router,
    pub(crate) ssh: Router,
    pub(crate) clock: Arc<AtomicI64>,
    pub(crate) intake: Arc<FakeIntake>,
    pub(crate) streams: Arc<FakeStreams>,
    pub(crate) git: Arc<FakeGit>,
    pub(crate) snapshots: Arc<FakeSnapshots>,
    pub(crate) node: watch::Sender<NodeView>,
    pub(crate) stop: CancellationToken,
    pub(crate) folder: tempfile::TempDir,
}

/// 2026-11-24T10:00:00Z.
pub(crate) const START: i64 = 1_795_514_400_000;

impl World {
    pub(crate) fn new() -> Self {
        Self::with(Limits::default())
    }

    pub(crate) fn with(limits: Limits) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let store = Store::open(OpenOptions {
            path: folder.path().join("havre.db"),
            installation: "test-installation".to_owned(),
            probe_key: "planted-probe-key".to_owned(),
            edge_pool: "10.210.0.0/24".parse().expect("is a pool"),
            environment_pool: "10.211.0.0/16".parse().expect("is a pool"),
            master_key: Some(havre_store::MasterKey::new([7; 32])),
        })
        .expect("a fresh store");
        let clock = Arc::new(AtomicI64::new(START));
        let seconds = Arc::clone(&clock);
        let intake = Arc::new(FakeIntake { folder: folder.path().to_owned(), ..FakeIntake::default() });
        let streams = Arc::new(FakeStreams::default());
        let git = Arc::new(FakeGit::default());
        let snapshots = Arc::new(FakeSnapshots::default());
        let (node, node_seen) = watch::channel(NodeView::default());
        let stop = CancellationToken::new();
        let entropy = Mutex::new(0_u8);
        let state = AppState::new(Wiring {
            store: store.clone(),
            clock: Arc::new(move || Timestamp::from_millis(seconds.load(Ordering::Relaxed))),
            entropy: Arc::new(move || {
                let mut last = entropy.lock().expect("no holder panics");
                *last += 1;
                [*last; 32]
            }),
            streams: Arc::clone(&streams) as Arc<dyn TaskStreams>,
            intake: Arc::clone(&intake) as Arc<dyn ContextIntake>,
            git: Arc::clone(&git) as Arc<dyn GitGateway>,
            snapshots: Arc::clone(&snapshots) as Arc<dyn SnapshotStreams>,
            build_log_dir: folder.path().to_owned(),
            node: node_seen,
            limits,
            remote_private: false,
            public_url: Some("https://havre.example.org".parse().expect("is an address")),
            version: "0.0.0-test".to_owned(),
            stop: stop.clone(),
        });
        Self {
            store,
            local: havre_web::local_api(&state),
            public: havre_web::public_api(&state),
            edge: havre_web::edge_api(&state),
            ssh: havre_web::ssh_api(&state),
            state,
            clock,
            intake,
            streams,
            git,
            snapshots,
            node,
            stop,
            folder,
        }
    }

    /// A request on the local socket with a JSON body; status and JSON body of the answer.
    pub(crate) async fn ask(&self, method: &str, path: &str, body: Value) -> (u16, Value) {
        let body = if body.is_null() { Body::empty() } else { Body::from(body.to_string()) };
        let response = send(&self.local, method, path, &[], body).await;
        read(response).await
    }

    pub(crate) async fn get(&self, path: &str) -> (u16, Value) {
        self.ask("GET", path, Value::Null).await
    }

    /// Applies these services to `dropit/production`.
    pub(crate) async fn apply(&self, services: &[Value]) -> (u16, Value) {
        self.ask("PUT", ENVIRONMENT, json!({ "services": services })).await
    }

    pub(crate) async fn write<T: Send + 'static>(
        &self,
        f: impl FnOnce(&mut Tx<'_>) -> Result<T, havre_store::StoreError> + Send + 'static,
    ) -> T {
        let at = Timestamp::from_millis(self.clock.load(Ordering::Relaxed));
        self.store.write(at, Actor::Havre, f).await.expect("a write")
    }

    pub(crate) async fn service(&self, name: &str) -> Service {
        let place = place(name);
        let found = self.store.read(move |view| view.find_service(&place)).await.expect("a read");
        found.expect("the service is there")
    }

    /// What the loops would do: a release from today's specification, deployed with success.
    pub(crate) async fn deploy(&self, name: &str) -> (Release, Deployment) {
        let service = self.service(name).await;
        let now = Timestamp::from_millis(self.clock.load(Ordering::Relaxed));
        self.write(move |tx| {
            let release = tx.create_release(NewRelease {
                service: service.id,
                artifact: artifact(&service),
                spec: service.spec.clone(),
                revision: service.revision,
                build: None,
                commit: "abc123".to_owned(),
            })?;
            let deployment = tx.create_deployment(service.id, release.id, Kind::Deploy)?;
            tx.set_deployment_state(deployment.id, &State::Pending, State::Switching { since: now })?;
            tx.go_live(deployment.id, now)?;
            let done = State::Succeeded { at: now };
            tx.set_deployment_state(deployment.id, &State::Switching { since: now }, done)?;
            Ok((release, tx.get_deployment(deployment.id)?))
        })
        .await
    }
}

fn artifact(service: &Service) -> Artifact {
    let digest = format!("sha256:{}", "ab".repeat(32)).parse().expect("is a digest");
    match service.spec.tasks() {
        Some(_) => Artifact::Image { id: digest, pull: None },
        None => Artifact::Site { digest },
    }
}

pub(crate) fn place(name: &str) -> Place {
    Place {
        project: "dropit".parse().expect("is a name"),
        environment: "production".parse().expect("is a name"),
        service: name.parse().expect("is a name"),
    }
}

/// A complete specification of a service with tasks.
pub(crate) fn tasks(name: &str, host: &str) -> Value {
    json!({
        "version": 1,
        "name": name,
        "routes": [{ "host": host, "path": "/" }],
        "expose_release": true,
        "work": {
            "kind": "tasks",
            "source": { "kind": "dockerfile", "context": ".", "dockerfile": "Dockerfile", "target": null, "args": {} },
            "port": 3000,
            "health": { "path": "/health", "is_default": false, "timeout": "2s", "interval": "5s" },
            "checks": [],
            "command": null,
            "release_command": ["node", "migrate.js"],
            "env": { "NODE_ENV": "production" },
            "replicas": 2,
            "memory": "512MB",
            "cpus": "1",
            "pids": 1024,
            "volumes": [],
            "stop_signal": "SIGTERM",
            "stop_grace": "10s",
            "drain": "30s",
            "start_timeout": "2m",
            "release_timeout": "10m",
            "bake": "0s",
        },
    })
}

/// A complete specification of a site.
pub(crate) fn site(name: &str, host: &str) -> Value {
    json!({
        "version": 1,
        "name": name,
        "routes": [{ "host": host, "path": "/" }],
        "expose_release": false,
        "work": { "kind": "site", "source": { "kind": "folder", "root": "dist" }, "spa": true },
    })
}

pub(crate) async fn send(
    router: &Router,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: Body,
) -> Response<Body> {
    let mut request = Request::builder().method(method).uri(path);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let request = request.body(body).expect("a request");
    router.clone().oneshot(request).await.expect("routers never fail")
}

/// Status and JSON body; an empty body is `null`.
pub(crate) async fn read(response: Response<Body>) -> (u16, Value) {
    let status = response.status().as_u16();
    let bytes = axum::body::to_bytes(response.into_body(), 64 * 1024 * 1024).await.expect("a body");
    if bytes.is_empty() {
        return (status, Value::Null);
    }
    (status, serde_json::from_slice(&bytes).expect("a JSON body"))
}

/// Lines of a streamed answer.
pub(crate) struct LineReader {
    chunks: axum::body::BodyDataStream,
    kept: Vec<u8>,
}

impl LineReader {
    pub(crate) fn new(response: Response<Body>) -> Self {
        assert_eq!(response.status(), StatusCode::OK);
        assert_eq!(response.headers()["content-type"], "application/x-ndjson");
        Self { chunks: response.into_body().into_data_stream(), kept: Vec::new() }
    }

    /// The next line, empty ones included; `None` at the end.
    pub(crate) async fn raw(&mut self) -> Option<String> {
        loop {
            if let Some(end) = self.kept.iter().position(|byte| *byte == b'\n') {
                let rest = self.kept.split_off(end + 1);
                let line = std::mem::replace(&mut self.kept, rest);
                return Some(String::from_utf8(line[..end].to_vec()).expect("text"));
            }
            match soon(self.chunks.next()).await {
                Some(chunk) => self.kept.extend_from_slice(&chunk.expect("a chunk")),
                None => {
                    assert!(self.kept.is_empty(), "the last line must end");
                    return None;
                }
            }
        }
    }

    /// The next object.
    pub(crate) async fn next(&mut self) -> Option<Value> {
        loop {
            match self.raw().await {
                Some(line) if line.is_empty() => {}
                Some(line) => return Some(serde_json::from_str(&line).expect("a JSON line")),
                None => return None,
            }
        }
    }

    pub(crate) async fn all(mut self) -> Vec<Value> {
        let mut found = Vec::new();
        while let Some(line) = self.next().await {
            found.push(line);
        }
        found
    }
}

/// What must happen in the end; the bound only keeps a broken test from hanging.
pub(crate) async fn soon<F: Future>(future: F) -> F::Output {
    tokio::time::timeout(Duration::from_secs(20), future).await.expect("it must happen in the end")
}

/// Waits until something is true.
pub(crate) async fn until(mut is_true: impl FnMut() -> bool) {
    soon(async {
        while !is_true() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
}

/// Keeps contexts as files, as the real one does: `upload-<n>` on its way, `<build>.tar` for a build.
#[derive(Debug, Default)]
pub(crate) struct FakeIntake {
    pub(crate) folder: PathBuf,
    uploads: Mutex<u32>,
    /// Error of the next `finish`.
    pub(crate) fail_finish: Mutex<Option<IntakeError>>,
    /// Error of the next `publish`.
    pub(crate) fail_publish: Arc<Mutex<Option<IntakeError>>>,
}

impl FakeIntake {
    /// Names of uploads and contexts on disk.
    pub(crate) fn files(&self) -> Vec<String> {
        let mut names: Vec<String> = std::fs::read_dir(&self.folder)
            .expect("the folder")
            .map(|entry| entry.expect("an entry").file_name().into_string().expect("text"))
            .filter(|name| name.starts_with("upload-") || name.ends_with(".tar"))
            .collect();
        names.sort();
        names
    }
}

struct FakeUpload {
    path: PathBuf,
    error: Option<IntakeError>,
    publish_error: Arc<Mutex<Option<IntakeError>>>,
}

impl Drop for FakeUpload {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.path);
    }
}

#[async_trait]
impl ContextIntake for FakeIntake {
    async fn begin(&self, _limit: u64) -> Result<Box<dyn ContextUpload>, IntakeError> {
        let mut uploads = self.uploads.lock().expect("no holder panics");
        *uploads += 1;
        let path = self.folder.join(format!("upload-{uploads}"));
        std::fs::write(&path, "").expect("a file");
        let error = self.fail_finish.lock().expect("no holder panics").take();
        Ok(Box::new(FakeUpload { path, error, publish_error: Arc::clone(&self.fail_publish) }))
    }
}

#[async_trait]
impl ContextUpload for FakeUpload {
    async fn write(&mut self, chunk: Bytes) -> Result<(), IntakeError> {
        use std::io::Write as _;
        let mut file = std::fs::OpenOptions::new().append(true).open(&self.path).expect("the file");
        file.write_all(&chunk).expect("a write");
        Ok(())
    }

    async fn finish(mut self: Box<Self>) -> Result<Box<dyn ReceivedContext>, IntakeError> {
        match self.error.take() {
            Some(error) => Err(error),
            None => Ok(self),
        }
    }
}

impl ReceivedContext for FakeUpload {
    fn publish(self: Box<Self>, build: BuildId) -> Result<(), IntakeError> {
        if let Some(error) = self.publish_error.lock().expect("no holder panics").take() {
            return Err(error);
        }
        std::fs::rename(&self.path, self.path.with_file_name(format!("{build}.tar"))).expect("a rename");
        Ok(())
    }
}

/// Gives out what a test has planted, in these parts; without any, nothing can be read.
#[derive(Default)]
pub(crate) struct FakeSnapshots {
    pub(crate) parts: Mutex<Option<Vec<Result<Bytes, SnapshotError>>>>,
}

#[async_trait]
impl SnapshotStreams for FakeSnapshots {
    async fn open(
        &self,
        _target: havre_core::name::TargetName,
        _snapshot: havre_core::backup::SnapshotId,
    ) -> Result<SnapshotStream, SnapshotError> {
        let planted = self.parts.lock().expect("no holder panics").take();
        let parts = planted.ok_or_else(|| SnapshotError("its disk is gone".to_owned()))?;
        Ok(futures_util::stream::iter(parts).boxed())
    }
}

/// Answers with what a test has planted.
#[derive(Default)]
pub(crate) struct FakeStreams {
    pub(crate) asked: Mutex<Vec<(ServiceId, String)>>,
    pub(crate) logs: Mutex<VecDeque<LogAnswer>>,
    pub(crate) sessions: Mutex<VecDeque<Result<ExecSession, TaskStreamError>>>,
    pub(crate) asked_for_jobs: Mutex<Vec<String>>,
    pub(crate) job_logs: Mutex<VecDeque<JobLogAnswer>>,
    pub(crate) asked_for_databases: Mutex<Vec<String>>,
    pub(crate) database_logs: Mutex<VecDeque<DatabaseLogAnswer>>,
    pub(crate) insights: Mutex<VecDeque<InsightAnswer>>,
    /// What dumps and SQL answer.
    pub(crate) pieces: Mutex<VecDeque<PiecesAnswer>>,
    /// Every dump that was sent, and whether its end came.
    pub(crate) imported: Mutex<Vec<(CopyId, Vec<u8>, bool)>>,
}

pub(crate) type PiecesAnswer = Result<BoxStream<'static, Result<Bytes, TaskStreamError>>, TaskStreamError>;

pub(crate) type DatabaseLogAnswer =
    Result<BoxStream<'static, Result<DatabaseLogEntry, TaskStreamError>>, TaskStreamError>;

pub(crate) type InsightAnswer = Result<DatabaseInsight, TaskStreamError>;

pub(crate) type JobLogAnswer =
    Result<BoxStream<'static, Result<JobLogEntry, TaskStreamError>>, TaskStreamError>;

pub(crate) type LogAnswer = Result<BoxStream<'static, Result<LogEntry, TaskStreamError>>, TaskStreamError>;

impl FakeStreams {
    fn note(&self, service: ServiceId, what: String) {
        self.asked.lock().expect("no holder panics").push((service, what));
    }
}

#[async_trait]
impl TaskStreams for FakeStreams {
    /// Answers with what it was asked; a provider of files is away.
    async fn try_provider(
        &self,
        provider: OpenProvider,
        location: Option<Location>,
    ) -> Result<String, String> {
        let credential = provider.credential.as_ref().and_then(Secret::expose_text).unwrap_or("-").len();
        let place = location.map_or("-".to_owned(), |location| location.to_string());
        let asked =
            format!("{}/{} {} {credential} {place}", provider.project, provider.name, provider.spec.kind());
        if provider.spec.url().is_some() { Ok(asked) } else { Err(asked) }
    }

    async fn logs(&self, service: ServiceId, query: LogQuery) -> LogAnswer {
        self.note(service, format!("logs {}", serde_json::to_string(&query).expect("is JSON")));
        self.logs.lock().expect("no holder panics").pop_front().expect("a planted answer")
    }

    async fn job_log(&self, run: JobRunId, follow: bool) -> JobLogAnswer {
        self.asked_for_jobs.lock().expect("no holder panics").push(format!("{run} follow={follow}"));
        self.job_logs.lock().expect("no holder panics").pop_front().expect("a planted answer")
    }

    async fn exec(&self, service: ServiceId, request: ExecRequest) -> Result<ExecSession, TaskStreamError> {
        self.note(service, format!("exec {}", serde_json::to_string(&request).expect("is JSON")));
        self.sessions.lock().expect("no holder panics").pop_front().expect("a planted answer")
    }

    async fn database_logs(&self, database: DatabaseId, tail: u32, follow: bool) -> DatabaseLogAnswer {
        let asked = format!("{database} tail={tail} follow={follow}");
        self.asked_for_databases.lock().expect("no holder panics").push(asked);
        self.database_logs.lock().expect("no holder panics").pop_front().expect("a planted answer")
    }

    async fn insight(&self, database: DatabaseId) -> InsightAnswer {
        let asked = format!("{database} insight");
        self.asked_for_databases.lock().expect("no holder panics").push(asked);
        self.insights.lock().expect("no holder panics").pop_front().expect("a planted answer")
    }

    async fn console(
        &self,
        database: DatabaseId,
        request: ConsoleRequest,
    ) -> Result<ExecSession, TaskStreamError> {
        let asked = format!("{database} {}", serde_json::to_string(&request).expect("is JSON"));
        self.asked_for_databases.lock().expect("no holder panics").push(asked);
        self.sessions.lock().expect("no holder panics").pop_front().expect("a planted answer")
    }

    async fn open_tunnel(
        &self,
        database: DatabaseId,
        actor: Actor,
        request: TunnelRequest,
    ) -> Result<ExecSession, TaskStreamError> {
        let asked =
            format!("{database} tunnel {actor} {}", serde_json::to_string(&request).expect("is JSON"));
        self.asked_for_databases.lock().expect("no holder panics").push(asked);
        self.sessions.lock().expect("no holder panics").pop_front().expect("a planted answer")
    }

    async fn connect_tunnel(&self, tunnel: TunnelId, actor: Actor) -> Result<ExecSession, TaskStreamError> {
        self.asked_for_databases.lock().expect("no holder panics").push(format!("{tunnel} connect {actor}"));
        self.sessions.lock().expect("no holder panics").pop_front().expect("a planted answer")
    }

    async fn dump(&self, database: DatabaseId, format: DumpFormat) -> PiecesAnswer {
        let asked = format!("{database} dump {}", format.as_str());
        self.asked_for_databases.lock().expect("no holder panics").push(asked);
        self.pieces.lock().expect("no holder panics").pop_front().expect("a planted answer")
    }

    async fn query(&self, database: DatabaseId, sql: Secret) -> PiecesAnswer {
        let asked = format!("{database} {}", sql.expose_text().expect("is text"));
        self.asked_for_databases.lock().expect("no holder panics").push(asked);
        self.pieces.lock().expect("no holder panics").pop_front().expect("a planted answer")
    }

    async fn import(
        &self,
        copy: CopyId,
        mut pieces: mpsc::Receiver<Option<Bytes>>,
    ) -> Result<(), TaskStreamError> {
        let (mut dump, mut is_whole) = (Vec::new(), false);
        while let Some(piece) = pieces.recv().await {
            match piece {
                Some(bytes) => dump.extend_from_slice(&bytes),
                None => {
                    is_whole = true;
                    break;
                }
            }
        }
        self.imported.lock().expect("no holder panics").push((copy, dump, is_whole));
        Ok(())
    }

    async fn run(&self, service: ServiceId, request: RunRequest) -> Result<ExecSession, TaskStreamError> {
        self.note(service, format!("run {}", serde_json::to_string(&request).expect("is JSON")));
        self.sessions.lock().expect("no holder panics").pop_front().expect("a planted answer")
    }
}
