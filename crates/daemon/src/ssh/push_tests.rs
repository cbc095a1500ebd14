//! The dialogue against control's own router and gate, with a source in memory.

use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::stream::BoxStream;
use havre_api::database::{ConsoleRequest, DatabaseInsight, DatabaseLogEntry};
use havre_api::job::JobLogEntry;
use havre_api::task::{ExecRequest, LogEntry, LogQuery, RunRequest};
use havre_core::copy::DumpFormat;
use havre_core::event::Actor;
use havre_core::id::{CopyId, DatabaseId, JobRunId, ServiceId};
use havre_core::pipeline::push::Verdict;
use havre_core::secret::Secret;
use havre_core::source::{CommitId, RefName};
use havre_core::time::Timestamp;
use havre_source::fake::FakeSource;
use havre_source::git::lfs::LfsFolder;
use havre_store::{NewSshKey, OpenOptions, Store};
use havre_web::restore::streams::{SnapshotError, SnapshotStream, SnapshotStreams};
use havre_web::task::streams::{ExecSession, TaskStreamError, TaskStreams};
use havre_web::{AppState, Limits, NodeView, Wiring};
use tokio::io::DuplexStream;
use tokio::net::UnixListener;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::*;
use crate::git::Gateway;
use crate::intake::Intake;

const KEY: &str =
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIHSAsFcEf8C7BtEOomyh7xzrbbHmifW5g7nso3ohMIua ada@laptop";
/// Longest wait for anything that must happen.
const PATIENCE: Duration = Duration::from_secs(40);

/// Nobody asks for tasks and snapshots here.
struct Nothing;

fn nothing<T>() -> Result<T, TaskStreamError> {
    Err(TaskStreamError::NotRunning("there is none".to_owned()))
}

#[async_trait::async_trait]
impl SnapshotStreams for Nothing {
    async fn open(
        &self,
        _target: havre_core::name::TargetName,
        _snapshot: havre_core::backup::SnapshotId,
    ) -> Result<SnapshotStream, SnapshotError> {
        Err(SnapshotError("there is none".to_owned()))
    }
}

#[async_trait::async_trait]
impl TaskStreams for Nothing {
    async fn try_provider(
        &self,
        _provider: havre_decide::secret::provider::OpenProvider,
        _location: Option<havre_decide::secret::provider::reference::Location>,
    ) -> Result<String, String> {
        Err("there is none".to_owned())
    }

    async fn logs(&self, _service: ServiceId, _query: LogQuery) -> Lines<LogEntry> {
        nothing()
    }

    async fn exec(&self, _service: ServiceId, _request: ExecRequest) -> Result<ExecSession, TaskStreamError> {
        nothing()
    }

    async fn job_log(&self, _run: JobRunId, _follow: bool) -> Lines<JobLogEntry> {
        nothing()
    }

    async fn database_logs(
        &self,
        _database: DatabaseId,
        _tail: u32,
        _follow: bool,
    ) -> Lines<DatabaseLogEntry> {
        nothing()
    }

    async fn insight(&self, _database: DatabaseId) -> Result<DatabaseInsight, TaskStreamError> {
        nothing()
    }

    async fn console(
        &self,
        _database: DatabaseId,
        _request: ConsoleRequest,
    ) -> Result<ExecSession, TaskStreamError> {
        nothing()
    }

    async fn open_tunnel(
        &self,
        _database: DatabaseId,
        _actor: havre_core::event::Actor,
        _request: havre_api::tunnel::TunnelRequest,
    ) -> Result<ExecSession, TaskStreamError> {
        nothing()
    }

    async fn connect_tunnel(
        &self,
        _tunnel: havre_core::id::TunnelId,
        _actor: havre_core::event::Actor,
    ) -> Result<ExecSession, TaskStreamError> {
        nothing()
    }

    async fn dump(&self, _database: DatabaseId, _format: DumpFormat) -> Lines<Bytes> {
        nothing()
    }

    async fn query(&self, _database: DatabaseId, _sql: Secret) -> Lines<Bytes> {
        nothing()
    }

    async fn import(
        &self,
        _copy: CopyId,
        _pieces: mpsc::Receiver<Option<Bytes>>,
    ) -> Result<(), TaskStreamError> {
        nothing()
    }

    async fn run(&self, _service: ServiceId, _request: RunRequest) -> Result<ExecSession, TaskStreamError> {
        nothing()
    }
}

/// What a stream of the seam is.
type Lines<T> = Result<BoxStream<'static, Result<T, TaskStreamError>>, TaskStreamError>;

struct Control {
    store: Store,
    source: Arc<FakeSource>,
    socket: PathBuf,
    stop: CancellationToken,
    // Last, so that the store is closed before it goes.
    _folder: tempfile::TempDir,
}

impl Control {
    /// With one key, `y1`, for the project `shop`.
    async fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        let store = Store::open(OpenOptions {
            path: at("store.sqlite"),
            installation: "test".to_owned(),
            probe_key: "key".to_owned(),
            edge_pool: "10.88.0.0/16".parse().unwrap(),
            environment_pool: "10.89.0.0/16".parse().unwrap(),
            master_key: None,
        })
        .unwrap();
        let source = Arc::new(FakeSource::new());
        let (_, node) = watch::channel(NodeView::default());
        let stop = CancellationToken::new();
        std::fs::create_dir(at("builds")).unwrap();
        let state = AppState::new(Wiring {
            store: store.clone(),
            clock: Arc::new(Timestamp::default),
            entropy: Arc::new(|| [7_u8; 32]),
            streams: Arc::new(Nothing),
            intake: Arc::new(Intake::open(&at("builds")).unwrap()),
            git: Arc::new(Gateway::new(Arc::clone(&source) as _, LfsFolder::open(at("lfs")).unwrap(), false)),
            snapshots: Arc::new(Nothing),
            build_log_dir: at("builds"),
            node,
            limits: Limits::default(),
            remote_private: false,
            public_url: Some("https://havre.example.org".parse().unwrap()),
            version: "test".to_owned(),
            stop: stop.clone(),
        });
        let socket = at("git.sock");
        let listener = UnixListener::bind(&socket).unwrap();
        tokio::spawn(havre_web::serve::serve(listener, havre_web::ssh_api(&state), 8, stop.clone()));
        let added = store.write(Timestamp::default(), Actor::Local, |tx| {
            tx.add_ssh_key(NewSshKey {
                name: "laptop".parse().unwrap(),
                project: Some("shop".parse().unwrap()),
                public_key: KEY.parse().unwrap(),
                fingerprint: format!("SHA256:{}", "a".repeat(43)).parse().unwrap(),
            })
        });
        added.await.unwrap();
        Self { store, source, socket, stop, _folder: folder }
    }

    /// Somebody who pushes to this project with this key.
    fn client(&self, project: &str, key: &str) -> Client {
        let link = Link { socket: self.socket.clone(), key: key.parse().unwrap() };
        let project = project.parse().unwrap();
        let (to_us, input) = tokio::io::duplex(1024 * 1024);
        let (output, from_us) = tokio::io::duplex(1024 * 1024);
        let ended = tokio::spawn(async move { push(&link, &project, input, output).await });
        Client { to_us, from_us, ended }
    }

    /// What the loop would decide about `main`.
    async fn ignore_main(&self, commit: CommitId) {
        let main: RefName = "refs/heads/main".parse().unwrap();
        loop {
            let (name, commit) = (main.clone(), commit.clone());
            let verdict = Verdict::Ignored { reason: "nobody follows".to_owned() };
            let judged = self.store.write(Timestamp::default(), Actor::Havre, move |tx| {
                tx.judge_ref(&"shop".parse().unwrap(), &name, &commit, &verdict)
            });
            if judged.await.unwrap() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

impl Drop for Control {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

/// Git on the other side.
struct Client {
    to_us: DuplexStream,
    from_us: DuplexStream,
    ended: JoinHandle<anyhow::Result<()>>,
}

impl Client {
    /// Reads until what came ends so.
    async fn read_until(&mut self, end: &[u8]) -> String {
        let mut all = Vec::new();
        let read = async {
            while !all.ends_with(end) {
                assert_ne!(self.from_us.read_buf(&mut all).await.unwrap(), 0, "{}", all.escape_ascii());
            }
        };
        tokio::time::timeout(PATIENCE, read).await.expect("it comes");
        String::from_utf8_lossy(&all).into_owned()
    }

    /// Closes this side and waits for the end.
    async fn leave(self) -> anyhow::Result<()> {
        drop(self.to_us);
        tokio::time::timeout(PATIENCE, self.ended).await.expect("it ends").unwrap()
    }

    /// How it ended by itself.
    async fn refused(self) -> String {
        let ended = tokio::time::timeout(PATIENCE, self.ended).await.expect("it ends").unwrap();
        format!("{:#}", ended.expect_err("is refused"))
    }
}

fn head(name: &str, commit: &CommitId) -> Vec<u8> {
    let mut bytes = Vec::new();
    let line = format!("{} {commit} {name}\0 report-status side-band-64k", "0".repeat(40));
    pkt::encode(&mut bytes, line.as_bytes());
    bytes.extend_from_slice(b"0000PACK and so on");
    bytes
}

#[tokio::test]
async fn a_push_is_answered_while_the_client_keeps_its_side_open() {
    let control = Control::start().await;
    let commit = control.source.commit(&"shop".parse().unwrap(), None, "first", &[]);
    let mut client = control.client("shop", "y1");
    let offered = client.read_until(FLUSH).await;
    assert!(offered.contains("capabilities^{}") && !offered.contains("# service"), "{offered}");
    client.to_us.write_all(&head("refs/heads/main", &commit)).await.unwrap();
    let told = async { client.read_until(b"nobody follows\n0000").await };
    let (told, ()) = tokio::join!(told, control.ignore_main(commit));
    assert!(told.contains("ok refs/heads/main\n"), "{told}");
    client.leave().await.unwrap();
    let row = control
        .store
        .read(|view| view.find_ref(&"shop".parse().unwrap(), &"refs/heads/main".parse().unwrap()))
        .await
        .unwrap()
        .unwrap();
    assert_eq!(row.pushed_by, Actor::SshKey { name: "laptop".to_owned() });
}

#[tokio::test]
async fn a_push_that_is_refused_is_told_why_at_once() {
    let control = Control::start().await;
    let commit = control.source.commit(&"shop".parse().unwrap(), None, "first", &[]);
    let mut client = control.client("shop", "y1");
    client.read_until(FLUSH).await;
    client.to_us.write_all(&head("refs/notes/x", &commit)).await.unwrap();
    let told = client.read_until(b"00000000").await;
    assert!(told.contains("ng refs/notes/x `refs/notes/x` cannot be pushed"), "{told}");
    client.leave().await.unwrap();
}

#[tokio::test]
async fn who_has_nothing_to_push_leaves_in_peace() {
    let control = Control::start().await;
    for words in [&b""[..], b"0000"] {
        let mut client = control.client("shop", "y1");
        client.read_until(FLUSH).await;
        client.to_us.write_all(words).await.unwrap();
        client.leave().await.unwrap();
    }
}

#[tokio::test]
async fn others_are_refused_in_words() {
    let control = Control::start().await;
    let refused = control.client("other", "y1").refused().await;
    assert!(refused.starts_with("the key laptop is not for the project other\n"), "{refused}");
    let refused = control.client("shop", "y2").refused().await;
    assert!(refused.starts_with("this key is not known any more\n"), "{refused}");
    assert_eq!(control.source.repositories(), []);
}

#[tokio::test]
async fn contents_go_over_http_with_what_the_key_is_granted() {
    let control = Control::start().await;
    let link = |key: &str| Link { socket: control.socket.clone(), key: key.parse().unwrap() };
    let told = client::grant(&link("y1"), "/git/shop.git").await.unwrap();
    let told: serde_json::Value = serde_json::from_slice(&told).unwrap();
    assert_eq!(told["href"], "https://havre.example.org/git/shop.git/info/lfs");
    assert!(told["header"]["Authorization"].as_str().unwrap().starts_with("Bearer havre_"));
    let refused = client::grant(&link("y1"), "/git/other.git").await.unwrap_err().to_string();
    assert!(refused.starts_with("the key laptop is not for the project other"), "{refused}");
    let refused = client::grant(&link("y2"), "/git/shop.git").await.unwrap_err().to_string();
    assert!(refused.starts_with("this key is not known any more"), "{refused}");
}

#[tokio::test]
async fn control_that_comes_back_is_waited_for() {
    let mut control = Control::start().await;
    let there = std::mem::replace(&mut control.socket, PathBuf::from("/nowhere"));
    let later = there.with_file_name("later.sock");
    control.socket = later.clone();
    let client = control.client("other", "y1");
    tokio::time::sleep(Duration::from_millis(300)).await;
    std::fs::rename(&there, &later).unwrap();
    assert!(client.refused().await.starts_with("the key laptop is not for"));
}

#[test]
fn what_only_http_has_is_left_out() {
    assert_eq!(
        without_service(b"001f# service=git-receive-pack\n00000008abcd0000"),
        Some(&b"0008abcd0000"[..])
    );
    for wrong in [
        &b""[..],
        b"0000",
        b"001e# service=git-upload-pack\n0000",
        b"001f# service=git-receive-pack\n0008abcd",
    ] {
        assert_eq!(without_service(wrong), None, "{}", wrong.escape_ascii());
    }
}
