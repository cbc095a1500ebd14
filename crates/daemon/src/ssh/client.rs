//! Asks control on the socket of the program behind sshd: which key is whose, the two requests of a push, and where contents of Git LFS go.
//! Control that is being restarted is waited for. Decides nothing.

use std::convert::Infallible;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use anyhow::Context as _;
use bytes::Bytes;
use havre_api::error::ErrorBody;
use havre_api::ssh_key::{AuthorizedKey, KEY_HEADER};
use havre_core::id::SshKeyId;
use havre_core::ssh_key::Fingerprint;
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper::body::{Body, Frame, Incoming};
use hyper::client::conn::http1::handshake;
use hyper::header::HOST;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::UnixStream;
use tokio::sync::mpsc;
use tokio::time::Instant;

/// Longest wait for control to come back.
const AWAY_MAX: Duration = Duration::from_secs(10);
/// Pause between two tries.
const PAUSE: Duration = Duration::from_millis(200);
/// Longest wait for a whole answer that is not the one to a push.
const ANSWER: Duration = Duration::from_secs(60);
/// Largest such answer: what a repository offers.
const ANSWER_MAX: usize = 16 * 1024 * 1024;
/// Largest refusal.
const REFUSAL_MAX: usize = 64 * 1024;

/// The way to control for somebody with a key.
#[derive(Debug, Clone)]
pub(crate) struct Link {
    /// Its socket.
    pub(crate) socket: PathBuf,
    /// Whose key.
    pub(crate) key: SshKeyId,
}

/// What is sent as it comes.
pub(super) struct Chunks(pub(super) mpsc::Receiver<Bytes>);

impl Body for Chunks {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        self.0.poll_recv(cx).map(|chunk| chunk.map(|chunk| Ok(Frame::data(chunk))))
    }
}

/// The key of a fingerprint, if it is one of ours.
pub(super) async fn find_key(
    socket: &Path,
    fingerprint: &Fingerprint,
) -> anyhow::Result<Option<AuthorizedKey>> {
    // The only characters of a fingerprint that mean something in a query.
    let escaped = fingerprint.as_str().replace('+', "%2B").replace('/', "%2F");
    let request = Request::get(format!("/ssh/v1/key?fingerprint={escaped}"))
        .header(HOST, "localhost")
        .body(Empty::<Bytes>::new())
        .context("write a request")?;
    let look_up = async {
        let answer = send(socket, request).await?;
        match answer.status() {
            StatusCode::OK => Ok(Some(serde_json::from_slice(&whole(answer, ANSWER_MAX).await?)?)),
            StatusCode::NOT_FOUND => Ok(None),
            _ => Err(refusal(answer).await),
        }
    };
    tokio::time::timeout(ANSWER, look_up).await.context("control does not answer in time")?
}

/// What a repository offers to somebody who pushes.
pub(super) async fn advertisement(link: &Link, path: &str) -> anyhow::Result<Bytes> {
    ask(link, Request::get(format!("{path}/info/refs?service=git-receive-pack"))).await
}

/// Where contents of Git LFS are pushed to, and with what, as `git lfs` reads it.
pub(super) async fn grant(link: &Link, path: &str) -> anyhow::Result<Bytes> {
    ask(link, Request::post(format!("{path}/info/lfs/grant"))).await
}

/// A request without a body, and its whole answer.
async fn ask(link: &Link, request: hyper::http::request::Builder) -> anyhow::Result<Bytes> {
    let request = request
        .header(HOST, "localhost")
        .header(KEY_HEADER, link.key.to_string())
        .body(Empty::<Bytes>::new())
        .context("write a request")?;
    let ask = async {
        let answer = send(&link.socket, request).await?;
        if answer.status() == StatusCode::OK {
            whole(answer, ANSWER_MAX).await
        } else {
            Err(refusal(answer).await)
        }
    };
    tokio::time::timeout(ANSWER, ask).await.context("control does not answer in time")?
}

/// The push itself; what is answered comes while `chunks` are still sent.
pub(super) async fn receive_pack(
    link: &Link,
    path: &str,
    chunks: Chunks,
) -> anyhow::Result<Response<Incoming>> {
    let request = Request::post(format!("{path}/git-receive-pack"))
        .header(HOST, "localhost")
        .header(KEY_HEADER, link.key.to_string())
        .body(chunks)
        .context("write a request")?;
    let answer = send(&link.socket, request).await?;
    if answer.status() == StatusCode::OK { Ok(answer) } else { Err(refusal(answer).await) }
}

async fn send<B>(socket: &Path, request: Request<B>) -> anyhow::Result<Response<Incoming>>
where
    B: Body<Data = Bytes, Error = Infallible> + Send + 'static,
{
    let stream = connect(socket).await?;
    let (mut sender, connection) =
        handshake(TokioIo::new(stream)).await.context("begin to talk to control")?;
    // Its errors come out of the request as well.
    tokio::spawn(connection);
    sender.send_request(request).await.context("the connection to control broke off; try again")
}

async fn connect(socket: &Path) -> anyhow::Result<UnixStream> {
    let begun = Instant::now();
    loop {
        match UnixStream::connect(socket).await {
            Ok(stream) => return Ok(stream),
            Err(error) if is_away(error.kind()) && begun.elapsed() < AWAY_MAX => {
                tokio::time::sleep(PAUSE).await;
            }
            Err(error) => {
                return Err(error).context("Havre cannot be reached on this server right now; try again");
            }
        }
    }
}

/// Whether nobody listens there at the moment.
fn is_away(kind: ErrorKind) -> bool {
    matches!(kind, ErrorKind::NotFound | ErrorKind::ConnectionRefused)
}

async fn whole(answer: Response<Incoming>, limit: usize) -> anyhow::Result<Bytes> {
    let body = Limited::new(answer.into_body(), limit).collect().await;
    // Its errors have no type of their own.
    let body = body.map_err(|error| anyhow::anyhow!("read the answer of control: {error}"))?;
    Ok(body.to_bytes())
}

/// What control says, for the person at the other end. Nothing that a terminal would obey.
async fn refusal(answer: Response<Incoming>) -> anyhow::Error {
    let status = answer.status();
    let body = match whole(answer, REFUSAL_MAX).await {
        Ok(body) => body,
        Err(error) => return error,
    };
    let text = match serde_json::from_slice::<ErrorBody>(&body) {
        Ok(refused) => format!("{}\n{}", refused.message, refused.hint),
        Err(_) => String::from_utf8_lossy(&body).into_owned(),
    };
    let text: String =
        text.trim().chars().map(|c| if c.is_control() && c != '\n' { ' ' } else { c }).collect();
    if text.is_empty() {
        anyhow::anyhow!("control refuses with status {status}")
    } else {
        anyhow::anyhow!(text)
    }
}
