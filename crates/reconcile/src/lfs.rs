//! Speaks Git LFS with one server: asks where contents are, and downloads each into a file. Where a call may go is said in `outward`, what an
//! answer means in `havre_decide::source::lfs`. Keeps nothing but the files. Tests: `tests/it/lfs_http.rs`.

use std::mem;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use havre_backup::Tally;
use havre_core::outward::OutwardUrl;
use havre_core::secret::Secret;
use havre_core::source::RemoteUrl;
use havre_decide::source::lfs::answer::{ANSWER_MAX, check_download, check_status, parse, redirect};
use havre_decide::source::lfs::{Download, LfsError, MEDIA_TYPE, Pointer, endpoint, request};
use hyper::header::{ACCEPT, AUTHORIZATION, CONTENT_LENGTH, CONTENT_TYPE, HeaderName, HeaderValue, LOCATION};
use tokio::fs::File;
use tokio::io::AsyncWriteExt as _;
use tokio::time::timeout;
use tokio_rustls::rustls::RootCertStore;

use crate::deployment::chain;
use havre_outward::{Answer, CallError, Caller, Request};

/// Longest silence inside of a download.
const IDLE: Duration = Duration::from_secs(30);
/// Most redirects of one download: some forges send to their storage with one.
const REDIRECTS_MAX: usize = 3;

/// The server of a remote repository.
#[derive(Debug, Clone)]
pub struct LfsServer {
    /// The address of the repository.
    pub remote: RemoteUrl,
    /// What proves who asks, there and nowhere else.
    pub token: Option<Secret>,
}

/// Calls over the network.
#[derive(Debug, Clone)]
pub struct LfsClient {
    caller: Caller,
    idle: Duration,
}

impl LfsClient {
    /// Calls public addresses by HTTPS; others, and plain HTTP, only where repositories may be fetched so.
    pub fn new(remote_private: bool) -> Self {
        // One byte more than an answer may have, to see that it has too many.
        Self { caller: Caller::new(remote_private, Some("remote_private"), ANSWER_MAX + 1), idle: IDLE }
    }

    /// With another limit for a call, and for a silence inside of a download, for tests of what happens at them.
    #[must_use]
    pub fn with_limit(self, limit: Duration) -> Self {
        Self { caller: self.caller.with_limit(limit), idle: limit }
    }

    /// Trusts these and nobody else, for tests with a server of their own.
    #[must_use]
    pub fn with_roots(self, roots: RootCertStore) -> Self {
        Self { caller: self.caller.with_roots(roots), ..self }
    }

    /// Takes this one address for a public one, for tests with a server of their own.
    #[must_use]
    pub fn with_public(self, address: SocketAddr) -> Self {
        Self { caller: self.caller.with_public(address), ..self }
    }

    /// Asks where each of `wanted`, which differ, is downloaded from; the answers are in their order.
    ///
    /// # Errors
    /// See [`LfsError`].
    pub async fn ask(&self, server: &LfsServer, wanted: &[Pointer]) -> Result<Vec<Download>, LfsError> {
        if server.remote.is_ssh() {
            let text = "the repository is fetched over SSH, and contents are asked for over https:// only: push them to this server \
                        (`git lfs push --all` with Havre as the remote), or set its https:// address with `havre remote set URL`";
            return Err(LfsError::Refused(text.to_owned()));
        }
        let url = endpoint(&server.remote).map_err(|error| LfsError::Refused(error.to_string()))?;
        let kind = HeaderValue::from_static(MEDIA_TYPE);
        let mut headers = vec![(ACCEPT, kind.clone()), (CONTENT_TYPE, kind)];
        headers.extend(token_line(server)?);
        let (target, body) = (url.target(), request(wanted));
        let call = Request { url: &url, method: "POST", target, headers, body };
        let answer = self.caller.call(call).await.map_err(failed)?;
        check_status(answer.status, &answer.body).map_err(|error| said_by(&url, error))?;
        parse(&server.remote, wanted, &answer.body).map_err(|error| said_by(&url, error))
    }

    /// Downloads a content. `target` appears only when all of it is there and is what the pointer says; until then it lies beside it.
    ///
    /// # Errors
    /// [`LfsError::Away`] and [`LfsError::Refused`].
    pub async fn download(
        &self,
        server: &LfsServer,
        wanted: &Pointer,
        from: &Download,
        target: &Path,
    ) -> Result<(), LfsError> {
        let mut url = from.url().clone();
        let mut headers = header_lines(server, from)?;
        for _ in 0..=REDIRECTS_MAX {
            // They are for the first address: whoever is behind a redirect gets none of them.
            let (target_of, lines) = (url.target(), mem::take(&mut headers));
            let call =
                Request { url: &url, method: "GET", target: target_of, headers: lines, body: String::new() };
            let answer = self.caller.open(call).await.map_err(failed)?;
            if !(300..=399).contains(&answer.status) {
                check_download(answer.status).map_err(|error| said_by(&url, error))?;
                let saved = self.save(answer, wanted, target).await;
                return saved.map_err(|error| said_by(&url, error));
            }
            let location = answer.headers.get(LOCATION).and_then(|value| value.to_str().ok());
            let next = redirect(&server.remote, &url, location).map_err(|error| said_by(&url, error))?;
            url = next;
        }
        let message = format!("it answers with more than {REDIRECTS_MAX} redirects");
        Err(said_by(&url, LfsError::Refused(message)))
    }

    /// Writes the body to its file, as long as it can still be what is wanted.
    async fn save(&self, mut answer: Answer, wanted: &Pointer, target: &Path) -> Result<(), LfsError> {
        check_length(&answer, wanted)?;
        let part = target.with_extension("part");
        let open = File::options().write(true).create(true).truncate(true).mode(0o600).open(&part).await;
        let mut file = open.map_err(unwritten)?;
        let mut tally = Tally::default();
        loop {
            let next = timeout(self.idle, answer.next()).await;
            let next = next.map_err(|_| LfsError::Away(format!("nothing came for {:?}", self.idle)))?;
            let next = next.map_err(|error| LfsError::Away(format!("it broke off: {}", chain(&error))))?;
            let Some(bytes) = next else { break };
            tally.add(&bytes);
            if tally.bytes() > wanted.size() {
                return Err(too_long(wanted));
            }
            file.write_all(&bytes).await.map_err(unwritten)?;
        }
        // Tokio's file reports a failed write with the next call only.
        file.flush().await.map_err(unwritten)?;
        let content = tally.content();
        if content.bytes < wanted.size() {
            let message = format!("it sent only {} of {} bytes", content.bytes, wanted.size());
            return Err(LfsError::Away(message));
        }
        if content.sha256 != *wanted.oid() {
            let message = format!(
                "it sent {}, and the pointer names {}: push the content again",
                content.sha256,
                wanted.oid()
            );
            return Err(LfsError::Refused(message));
        }
        tokio::fs::rename(&part, target).await.map_err(unwritten)
    }
}

/// Not a byte is read of what says itself that it is too long.
fn check_length(answer: &Answer, wanted: &Pointer) -> Result<(), LfsError> {
    let length =
        answer.headers.get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
    match length {
        Some(length) if length > wanted.size() => Err(too_long(wanted)),
        Some(_) | None => Ok(()),
    }
}

fn too_long(wanted: &Pointer) -> LfsError {
    LfsError::Refused(format!("it sends more than the {} bytes that the pointer names", wanted.size()))
}

fn unwritten(error: std::io::Error) -> LfsError {
    LfsError::Away(format!("could not write the content to this server's disk: {error}"))
}

/// Header lines of a download.
fn header_lines(server: &LfsServer, from: &Download) -> Result<Vec<(HeaderName, HeaderValue)>, LfsError> {
    let mut lines = Vec::new();
    for (name, value) in from.headers() {
        let name = HeaderName::from_bytes(name.as_bytes()).map_err(|_| unusable("a name"))?;
        lines.push((name, sensitive(value)?));
    }
    if from.wants_token() {
        lines.extend(token_line(server)?);
    }
    Ok(lines)
}

/// The forges take a token as the password of a name that does not matter to them, as with `git`.
fn token_line(server: &LfsServer) -> Result<Option<(HeaderName, HeaderValue)>, LfsError> {
    let Some(token) = &server.token else { return Ok(None) };
    let pair = Secret::new([b"x-access-token:".as_slice(), token.expose()].concat());
    let line = Secret::from(format!("Basic {}", STANDARD.encode(pair.expose())));
    Ok(Some((AUTHORIZATION, sensitive(&line)?)))
}

/// A value that is never printed.
fn sensitive(secret: &Secret) -> Result<HeaderValue, LfsError> {
    let mut value = HeaderValue::from_bytes(secret.expose()).map_err(|_| unusable("a value"))?;
    value.set_sensitive(true);
    Ok(value)
}

fn unusable(what: &str) -> LfsError {
    LfsError::Refused(format!("{what} of a header line has characters that have no place there"))
}

fn failed(error: CallError) -> LfsError {
    match error {
        CallError::Refused(text) => LfsError::Refused(text),
        CallError::Away(text) => LfsError::Away(text),
    }
}

/// The same with whose answer it was.
fn said_by(url: &OutwardUrl, error: LfsError) -> LfsError {
    let whole = |text: String| format!("{}: {text}", url.authority());
    match error {
        LfsError::Away(text) => LfsError::Away(whole(text)),
        LfsError::Refused(text) => LfsError::Refused(whole(text)),
        LfsError::Object { oid, reason } => LfsError::Object { oid, reason: whole(reason) },
    }
}
