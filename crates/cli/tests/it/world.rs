//! A server that answers what a test tells it to, and the real program run against it.

use std::collections::HashMap;
use std::convert::Infallible;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt as _, Full};
use hyper::body::{Frame, Incoming};
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, AsyncRead, AsyncReadExt as _, AsyncWrite, BufReader, Lines};
use tokio::net::UnixListener;
use tokio::process::{Child, ChildStderr, Command};
use tokio::sync::{mpsc, watch};
use tokio::task::{JoinHandle, JoinSet};

/// Longest wait for anything.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);
/// Where every path of the tests begins.
pub(crate) const ENVIRONMENT: &str = "/v1/projects/shop/environments/production";

type Body = BoxBody<Bytes, Infallible>;

#[derive(Default)]
struct State {
    /// By method and path without query.
    answers: HashMap<String, (u16, Value)>,
    /// Lines of a stream by path, and whether it ends behind them.
    streams: HashMap<String, (Vec<Value>, bool)>,
    requests: Vec<String>,
    uploads: Vec<Bytes>,
}

struct Shared {
    state: Mutex<State>,
    changed: watch::Sender<u64>,
}

/// The server and a folder for the project, the socket and the user's home.
pub(crate) struct Fake {
    pub(crate) folder: tempfile::TempDir,
    shared: Arc<Shared>,
    server: Option<JoinHandle<()>>,
}

impl Fake {
    pub(crate) async fn start() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let shared = Arc::new(Shared { state: Mutex::default(), changed: watch::channel(0).0 });
        let mut fake = Self { folder, shared, server: None };
        fake.bind().await;
        fake.answer("GET /v1/status", 200, node(10));
        fake.stream("/v1/events", &[], false);
        fake
    }

    pub(crate) fn socket(&self) -> PathBuf {
        self.folder.path().join("control.sock")
    }

    /// Begins to listen, as after a start.
    pub(crate) async fn bind(&mut self) {
        let listener = UnixListener::bind(self.socket()).expect("the socket is free");
        self.server = Some(tokio::spawn(serve(listener, Arc::clone(&self.shared))));
    }

    /// Ends every connection and the socket, as `kill -9` does.
    pub(crate) async fn kill(&mut self) {
        if let Some(server) = self.server.take() {
            server.abort();
            let _ = server.await;
        }
        std::fs::remove_file(self.socket()).expect("it was there");
    }

    fn change<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        let result = change(&mut self.shared.state.lock().expect("no holder panics"));
        self.shared.changed.send_modify(|count| *count += 1);
        result
    }

    pub(crate) fn answer(&self, request: &str, status: u16, body: Value) {
        self.change(|state| state.answers.insert(request.to_owned(), (status, body)));
    }

    pub(crate) fn stream(&self, path: &str, lines: &[Value], ends: bool) {
        self.change(|state| state.streams.insert(path.to_owned(), (lines.to_vec(), ends)));
    }

    pub(crate) fn push(&self, path: &str, line: Value) {
        self.change(|state| state.streams.get_mut(path).expect("is a stream").0.push(line));
    }

    pub(crate) fn end(&self, path: &str) {
        self.change(|state| state.streams.get_mut(path).expect("is a stream").1 = true);
    }

    /// The next event, about service `s1`.
    pub(crate) fn event(&self, seq: u64, kind: Value) {
        self.push("/v1/events", event(seq, "s1", kind));
    }

    pub(crate) fn requests(&self) -> Vec<String> {
        self.change(|state| state.requests.clone())
    }

    pub(crate) fn uploads(&self) -> Vec<Bytes> {
        self.change(|state| state.uploads.clone())
    }

    /// Waits until a request beginning so has arrived that often.
    pub(crate) async fn wait_for(&self, start: &str, count: usize) {
        let mut changed = self.shared.changed.subscribe();
        let seen = || {
            let state = self.shared.state.lock().expect("no holder panics");
            state.requests.iter().filter(|request| request.starts_with(start)).count() >= count
        };
        let wait = async {
            while !seen() {
                changed.changed().await.expect("the fake is there");
            }
        };
        tokio::time::timeout(PATIENCE, wait)
            .await
            .unwrap_or_else(|_| panic!("no {start} x{count}: {:?}", self.requests()));
    }

    pub(crate) fn write(&self, name: &str, text: &str) {
        let path = self.folder.path().join("project").join(name);
        std::fs::create_dir_all(path.parent().expect("has one")).expect("is made");
        std::fs::write(path, text).expect("is written");
    }

    /// A project with one service, a server that takes it, and a build `b4` that waits.
    pub(crate) fn one_service(&self) {
        self.write("havre.toml", "project = \"shop\"\n[services.api]\ndockerfile = \"Dockerfile\"\n");
        self.write("Dockerfile", "FROM scratch\n");
        self.write("main.js", "console.log(1)\n");
        self.write(".dockerignore", "secret\n");
        self.write("secret", "s3cret\n");
        let changes = json!([{"service": "api", "action": "created", "needs_deployment": true}]);
        let applied = json!({"dry_run": false, "changes": changes, "warnings": ["api: worth knowing"]});
        self.answer(&format!("PUT {ENVIRONMENT}"), 200, applied);
        let queued = json!({"state": "queued"});
        self.answer(
            &format!("POST {ENVIRONMENT}/services/api/builds"),
            202,
            json!({"build": build(&queued)}),
        );
        self.answer("GET /v1/builds/b4", 200, build(&queued));
        self.answer("GET /v1/deployments/d7", 200, deployment(json!({"state": "pending"}), ""));
        self.stream("/v1/builds/b4/log", &[], false);
    }

    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let project = self.folder.path().join("project");
        std::fs::create_dir_all(&project).expect("is made");
        let mut command = Command::new(env!("CARGO_BIN_EXE_havre"));
        command
            .args(arguments)
            .current_dir(project)
            .env_clear()
            .env("PATH", "/usr/bin:/bin")
            .env("HOME", self.folder.path())
            .env("SOURCE_COMMIT", "abc123")
            .env("HAVRE_SOCKET", self.socket())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        command
    }

    pub(crate) fn run(&self, arguments: &[&str]) -> Run {
        Run::new(self.command(arguments), self.folder.path())
    }

    /// Runs it to its end: exit code, standard output, standard error.
    pub(crate) async fn finish(&self, arguments: &[&str]) -> (i32, String, String) {
        self.run(arguments).end().await
    }
}

/// A running program.
pub(crate) struct Run {
    pub(crate) child: Child,
    stderr: Lines<BufReader<ChildStderr>>,
    seen: Vec<String>,
    folder: PathBuf,
}

impl Run {
    pub(crate) fn new(mut command: Command, folder: &Path) -> Self {
        let mut child = command.spawn().expect("the program starts");
        let stderr = BufReader::new(child.stderr.take().expect("is piped")).lines();
        Self { child, stderr, seen: Vec::new(), folder: folder.to_owned() }
    }

    /// Waits for a line that contains this on standard error.
    pub(crate) async fn until(&mut self, text: &str) {
        let wait = async {
            while let Some(line) = self.stderr.next_line().await.expect("is text") {
                self.seen.push(line);
                if self.seen.last().is_some_and(|line| line.contains(text)) {
                    return true;
                }
            }
            false
        };
        let found = tokio::time::timeout(PATIENCE, wait).await;
        assert!(matches!(found, Ok(true)), "no {text:?} in {:#?}", self.seen);
    }

    pub(crate) async fn end(mut self) -> (i32, String, String) {
        let wait = async {
            let mut stdout = self.child.stdout.take().expect("is piped");
            let mut text = String::new();
            let read = stdout.read_to_string(&mut text);
            let rest = async {
                while let Some(line) = self.stderr.next_line().await.expect("is text") {
                    self.seen.push(line);
                }
            };
            let (read, ()) = tokio::join!(read, rest);
            read.expect("is text");
            let status = self.child.wait().await.expect("it ends");
            (status.code().unwrap_or(-1), text)
        };
        let (code, stdout) = tokio::time::timeout(PATIENCE, wait).await.expect("it ends in time");
        let folder = self.folder.display().to_string();
        let stderr = timeless(&self.seen.join("\n")).replace(&folder, "FOLDER");
        (code, stdout.replace(&folder, "FOLDER"), stderr)
    }
}

/// `12.3s` becomes `TIME`.
fn timeless(text: &str) -> String {
    let is_time = |word: &str| {
        let number = word.trim_end_matches([',', ':']).strip_suffix('s');
        number.is_some_and(|number| number.parse::<f64>().is_ok())
    };
    let line = |line: &str| {
        let words: Vec<String> = line
            .split(' ')
            .map(|word| {
                let end = word.trim_start_matches(|c: char| c.is_ascii_digit() || c == '.' || c == 's');
                if is_time(word) { format!("TIME{end}") } else { word.to_owned() }
            })
            .collect();
        words.join(" ")
    };
    text.lines().map(line).collect::<Vec<String>>().join("\n")
}

pub(crate) fn node(last_event: u64) -> Value {
    json!({"version": "0.1.0", "installation": "x", "generation": 1, "last_event": last_event, "loops": [],
        "engine": {"is_ready": true, "text": "fake", "warnings": []},
        "edges": [{"edge": "main", "generation": 1, "listeners": ["0.0.0.0:8080"], "is_fresh": true,
            "reported_at": "2026-11-24T10:00:00.000Z"}]})
}

fn place() -> Value {
    json!({"project": "shop", "environment": "production", "service": "api"})
}

/// `b4` of `s1` in this state.
pub(crate) fn build(state: &Value) -> Value {
    json!({"id": "b4", "service_id": "s1", "place": place(), "revision": 1, "commit": "abc123", "state": state,
        "waiting": "", "created_at": "2026-11-24T10:00:00.000Z"})
}

/// `d7` of `s1` in this state.
pub(crate) fn deployment(state: Value, waiting: &str) -> Value {
    let is_final = ["succeeded", "failed", "cancelled", "superseded"]
        .contains(&state["state"].as_str().expect("a name"));
    json!({"id": "d7", "service_id": "s1", "place": place(), "release": "r8", "previous": "r7", "kind": "deploy",
        "state": state, "is_final": is_final, "failure": "", "waiting": waiting, "cancel_requested": false,
        "created_at": "2026-11-24T10:00:00.000Z"})
}

pub(crate) fn event(seq: u64, service: &str, kind: Value) -> Value {
    json!({"seq": seq, "at": "2026-11-24T10:00:00.000Z", "actor": {"kind": "havre"}, "service_id": service,
        "place": place(), "kind": kind, "text": format!("event {seq}")})
}

pub(crate) fn build_is(state: Value) -> Value {
    json!({"room": "build", "type": "state_changed", "build": "b4", "to": state})
}

pub(crate) fn built() -> Value {
    let artifact = json!({"kind": "image", "id": format!("sha256:{}", "a".repeat(64)), "pull": null});
    build_is(
        json!({"state": "succeeded", "at": "2026-11-24T10:00:00.000Z", "artifact": artifact, "deployment": "d7"}),
    )
}

pub(crate) fn requested() -> Value {
    json!({"room": "deployment", "type": "requested", "deployment": "d7", "release": "r8", "kind": "deploy"})
}

pub(crate) fn deployment_is(name: &str) -> Value {
    let key = if name == "succeeded" || name == "cancelled" { "at" } else { "since" };
    let state = json!({"state": name, key: "2026-11-24T10:00:00.000Z"});
    json!({"room": "deployment", "type": "state_changed", "deployment": "d7", "to": state})
}

pub(crate) fn log_line(step: &str, text: &str) -> Value {
    json!({"at": "2026-11-24T10:00:00.000Z", "step": step, "text": text})
}

async fn serve(listener: UnixListener, shared: Arc<Shared>) {
    let mut connections = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        connections.spawn(talk(stream, Arc::clone(&shared)));
    }
}

/// One connection of a server that is ours.
pub(crate) async fn talk_as(stream: impl AsyncRead + AsyncWrite + Unpin, fake: &Fake) {
    talk(stream, Arc::clone(&fake.shared)).await;
}

async fn talk(stream: impl AsyncRead + AsyncWrite + Unpin, shared: Arc<Shared>) {
    let service = hyper::service::service_fn(|request| answer(request, Arc::clone(&shared)));
    let _ = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
}

async fn answer(request: Request<Incoming>, shared: Arc<Shared>) -> Result<Response<Body>, Infallible> {
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    let query = request.uri().query().unwrap_or_default().to_owned();
    let key = format!("{method} {path}");
    let is_build = path.ends_with("/builds");
    let body = request.into_body().collect().await.map(|body| body.to_bytes()).unwrap_or_default();
    let found = {
        let mut state = shared.state.lock().expect("no holder panics");
        let shown = if query.is_empty() { key.clone() } else { format!("{key}?{query}") };
        let json = if is_build { String::new() } else { String::from_utf8_lossy(&body).into_owned() };
        state.requests.push(format!("{shown} {json}").trim_end().to_owned());
        if is_build {
            state.uploads.push(body);
        }
        state
            .streams
            .contains_key(&path)
            .then_some(())
            .map_or_else(|| Err(state.answers.get(&key).cloned()), Ok)
    };
    shared.changed.send_modify(|count| *count += 1);
    let (status, body) = match found {
        Ok(()) => return Ok(Response::new(stream_body(shared, path, &query))),
        Err(Some(answer)) => answer,
        Err(None) => (404, json!({"code": "path_not_found", "message": format!("no {key}"), "hint": ""})),
    };
    let text = if status == 204 { String::new() } else { body.to_string() };
    let body = Full::new(Bytes::from(text)).boxed();
    Ok(Response::builder().status(status).body(body).expect("is an answer"))
}

struct Queue(mpsc::Receiver<Bytes>);

impl hyper::body::Body for Queue {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: std::pin::Pin<&mut Self>,
        cx: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        self.0.poll_recv(cx).map(|chunk| chunk.map(|chunk| Ok(Frame::data(chunk))))
    }
}

/// Lines as they are added; behind the cursor where one is named.
fn stream_body(shared: Arc<Shared>, path: String, query: &str) -> Body {
    let parameter = |name: &str| query.split('&').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='));
    let after: Option<u64> = parameter("after").and_then(|after| after.parse().ok());
    let follows = parameter("follow") == Some("true");
    let (sender, receiver) = mpsc::channel(8);
    let mut changed = shared.changed.subscribe();
    tokio::spawn(async move {
        let mut sent = 0;
        loop {
            changed.mark_unchanged();
            let (lines, ends) = {
                let state = shared.state.lock().expect("no holder panics");
                state.streams.get(&path).cloned().unwrap_or_default()
            };
            for line in &lines[sent..] {
                sent += 1;
                if after.is_some_and(|after| line["seq"].as_u64().is_some_and(|seq| seq <= after)) {
                    continue;
                }
                if sender.send(format!("\n{line}\n").into()).await.is_err() {
                    return;
                }
            }
            if ends || !follows {
                return;
            }
            tokio::select! {
                _ = changed.changed() => {}
                () = sender.closed() => return,
            }
        }
    });
    Queue(receiver).boxed()
}
