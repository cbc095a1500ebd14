//! What a server of Git LFS answers (git-lfs, "Batch API" and "Basic Transfer API"), and what of it may be called: addresses with a closed grammar, never
//! less protected than the remote repository itself, header lines that only say who asks. Whether the host may be reached is asked where its
//! name is looked up. Tests in `answer_tests.rs`.

use std::collections::BTreeMap;
use std::fmt;

use havre_core::artifact::Digest;
use havre_core::outward::OutwardUrl;
use havre_core::secret::Secret;
use havre_core::source::RemoteUrl;
use serde::Deserialize;
use serde_json::Value;

use super::pointer::Pointer;

/// Most bytes of an answer of the batch API: a hundred contents with long addresses.
pub const ANSWER_MAX: usize = 2 * 1024 * 1024;
/// Most header lines of one download.
pub const HEADERS_MAX: usize = 16;
/// Longest name of a header, and longest value, in bytes.
const NAME_MAX: usize = 64;
const VALUE_MAX: usize = 8192;
/// How deep lists and objects of an answer may lie in each other; what is needed is 5.
const DEPTH_MAX: usize = 16;
/// Longest text of a server that is passed on, in characters.
const WORDS_MAX: usize = 200;

/// Header lines that are not for a server to choose: they say where a request goes, and where it ends.
const NOT_THEIRS: [&str; 9] = [
    "connection",
    "content-length",
    "expect",
    "host",
    "keep-alive",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// Why a content did not come, for people. Never says a token, or an address with a signature in it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LfsError {
    /// Later it may come.
    #[error("{0}")]
    Away(String),
    /// It does not come until a person changes something.
    #[error("{0}")]
    Refused(String),
    /// The same for one of those that were asked for.
    #[error("{reason}")]
    Object {
        /// Which one.
        oid: Digest,
        /// Why not.
        reason: String,
    },
}

/// Where one content is downloaded from.
#[derive(Clone)]
pub struct Download {
    url: OutwardUrl,
    headers: Vec<(String, Secret)>,
    wants_token: bool,
}

impl Download {
    /// The address. It may hold a signature that is as good as a password.
    pub fn url(&self) -> &OutwardUrl {
        &self.url
    }

    /// Header lines for this address, and for no other.
    pub fn headers(&self) -> impl Iterator<Item = (&str, &Secret)> {
        self.headers.iter().map(|(name, value)| (name.as_str(), value))
    }

    /// Whether the token of the remote repository goes with it: the server does not say that it knows already who asks, and the address is its own.
    pub fn wants_token(&self) -> bool {
        self.wants_token
    }
}

impl fmt::Debug for Download {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Download({})", self.url.authority())
    }
}

#[derive(Deserialize)]
struct Answer {
    transfer: Option<String>,
    hash_algo: Option<String>,
    objects: Vec<Object>,
}

#[derive(Deserialize)]
struct Object {
    oid: String,
    size: Option<u64>,
    authenticated: Option<bool>,
    actions: Option<Actions>,
    error: Option<ObjectError>,
}

#[derive(Deserialize)]
struct Actions {
    download: Option<Action>,
}

#[derive(Deserialize)]
struct Action {
    href: String,
    header: Option<BTreeMap<String, String>>,
}

#[derive(Deserialize)]
struct ObjectError {
    code: Option<i64>,
    message: Option<String>,
}

/// Whether a call of the batch API was answered as it should be.
///
/// # Errors
/// [`LfsError::Away`] and [`LfsError::Refused`].
pub fn check_status(status: u16, body: &[u8]) -> Result<(), LfsError> {
    let refused = |text: &str| Err(LfsError::Refused(with_words(text, status, body)));
    match status {
        200 => Ok(()),
        300..=399 => refused(
            "it answers with a redirect, which is not followed: set the new address of the repository with `havre remote set URL`",
        ),
        401 | 403 => refused(
            "it does not say where the content is: is the token one that may read the repository? Set it with `havre remote set URL \
             --token-stdin`",
        ),
        404 | 410 | 501 => refused(
            "it has no Git LFS for this repository, or does not show it to this token; a server that is named in `.lfsconfig` is not asked",
        ),
        507 => refused("its storage is full"),
        509 => refused("no more may be downloaded from it for now: the bandwidth of the account is used up"),
        408 | 429 | 500..=599 => Err(LfsError::Away(with_words("it cannot answer now", status, body))),
        _ => refused("it does not take the question where the content is"),
    }
}

/// Whether a download was answered as it should be.
///
/// # Errors
/// [`LfsError::Away`] and [`LfsError::Refused`].
pub fn check_download(status: u16) -> Result<(), LfsError> {
    let refused = |text: &str| Err(LfsError::Refused(with_words(text, status, b"")));
    match status {
        200 => Ok(()),
        401 | 403 => refused("it does not give the content it has offered"),
        404 | 410 => refused("the content is not there: push it again with `git lfs push --all`"),
        507 | 509 => refused("no more may be downloaded from it for now"),
        408 | 429 | 500..=599 => Err(LfsError::Away(with_words("it cannot answer now", status, b""))),
        _ => refused("it does not give the content"),
    }
}

fn with_words(text: &str, status: u16, body: &[u8]) -> String {
    match words(body) {
        Some(words) => format!("{text} (status {status}: {words})"),
        None => format!("{text} (status {status})"),
    }
}

/// What it says about an error (git-lfs, "Response Errors").
fn words(body: &[u8]) -> Option<String> {
    if body.len() > ANSWER_MAX || is_deep(body) {
        return None;
    }
    let value: Value = serde_json::from_slice(body).ok()?;
    Some(one_line(value.get("message")?.as_str()?)).filter(|words| !words.is_empty())
}

/// A text of somebody else: one line, short.
fn one_line(text: &str) -> String {
    let line: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(WORDS_MAX).collect();
    line.trim().to_owned()
}

/// Where each of `wanted`, which differ, is downloaded from, in their order.
///
/// # Errors
/// [`LfsError::Refused`] for an answer that is none, [`LfsError::Object`] for the first content that it does not offer.
pub fn parse(remote: &RemoteUrl, wanted: &[Pointer], body: &[u8]) -> Result<Vec<Download>, LfsError> {
    let refused = |text: &str| LfsError::Refused(format!("its answer is not one of the batch API: {text}"));
    if body.len() > ANSWER_MAX {
        return Err(refused(&format!("it has more than {ANSWER_MAX} bytes")));
    }
    if is_deep(body) {
        return Err(refused(&format!("it is nested deeper than {DEPTH_MAX}")));
    }
    let answer: Answer =
        serde_json::from_slice(body).map_err(|error| refused(&one_line(&error.to_string())))?;
    if let Some(transfer) = answer.transfer.filter(|transfer| transfer != "basic") {
        return Err(refused(&format!(
            "it wants the transfer `{}`, and only `basic` is spoken",
            one_line(&transfer)
        )));
    }
    if answer.hash_algo.is_some_and(|algorithm| algorithm != "sha256") {
        return Err(refused("it names contents by something else than SHA-256"));
    }
    if answer.objects.len() > wanted.len() {
        return Err(refused(&format!(
            "{} contents where {} were asked for",
            answer.objects.len(),
            wanted.len()
        )));
    }
    let mut found: BTreeMap<Digest, Download> = BTreeMap::new();
    for object in answer.objects {
        let asked = wanted.iter().find(|pointer| pointer.oid().hex() == object.oid);
        let pointer = asked.ok_or_else(|| refused("a content that was not asked for"))?;
        let oid = pointer.oid();
        let download = read_object(remote, pointer, object);
        let download = download.map_err(|reason| LfsError::Object { oid: oid.clone(), reason })?;
        if found.insert(oid.clone(), download).is_some() {
            return Err(refused("a content twice"));
        }
    }
    let take = |pointer: &Pointer| {
        let reason = "the server says nothing about it".to_owned();
        found.remove(pointer.oid()).ok_or_else(|| LfsError::Object { oid: pointer.oid().clone(), reason })
    };
    wanted.iter().map(take).collect()
}

fn read_object(remote: &RemoteUrl, pointer: &Pointer, object: Object) -> Result<Download, String> {
    if let Some(error) = object.error {
        return Err(told(&error));
    }
    if let Some(size) = object.size.filter(|size| *size != pointer.size()) {
        return Err(format!("the server says that it has {size} bytes, and the pointer {}", pointer.size()));
    }
    let Some(action) = object.actions.and_then(|actions| actions.download) else {
        return Err("the server does not say where it is".to_owned());
    };
    let url = OutwardUrl::parse_long(&action.href).map_err(|_| {
        "the server names an address for it that is none of the form https://host/path".to_owned()
    })?;
    check_scheme(remote, &url)?;
    let headers = read_headers(action.header.unwrap_or_default())?;
    let says_who = headers.iter().any(|(name, _)| name == "authorization");
    let is_known = object.authenticated.unwrap_or(false);
    let wants_token = !says_who && !is_known && is_at(remote, &url);
    Ok(Download { url, headers, wants_token })
}

fn told(error: &ObjectError) -> String {
    let words = error.message.as_deref().map(one_line).unwrap_or_default();
    match error.code {
        Some(404 | 410) => {
            format!("the server does not have it ({words}): push it there with `git lfs push --all`")
        }
        Some(401 | 403) => format!("the server does not show it to this token ({words})"),
        Some(code) => format!("the server does not give it ({code}: {words})"),
        None => format!("the server does not give it ({words})"),
    }
}

/// What is fetched over HTTPS leads nowhere else.
fn check_scheme(remote: &RemoteUrl, url: &OutwardUrl) -> Result<(), String> {
    if url.is_plain() && !remote.is_plain() {
        let from = url.authority();
        return Err(format!(
            "{from} would give it over http://, and the remote repository is an https:// address"
        ));
    }
    Ok(())
}

/// Whether it is the server of the remote repository: the one its token is for.
fn is_at(remote: &RemoteUrl, url: &OutwardUrl) -> bool {
    (remote.is_plain(), remote.host(), remote.port()) == (url.is_plain(), url.host(), url.port())
}

/// Header lines with their names in lower case.
fn read_headers(headers: BTreeMap<String, String>) -> Result<Vec<(String, Secret)>, String> {
    if headers.len() > HEADERS_MAX {
        return Err(format!("the server wants more than {HEADERS_MAX} header lines to be sent for it"));
    }
    let mut read: Vec<(String, Secret)> = Vec::new();
    for (name, value) in headers {
        let name = name.to_ascii_lowercase();
        let is_name = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
        let is_text = |byte: u8| byte.is_ascii_graphic() || byte == b' ';
        let is_well = (1..=NAME_MAX).contains(&name.len()) && name.bytes().all(is_name);
        if !is_well || value.len() > VALUE_MAX || !value.bytes().all(is_text) {
            return Err("the server wants a header line to be sent for it that is none".to_owned());
        }
        if NOT_THEIRS.contains(&name.as_str()) || name.starts_with("proxy-") {
            return Err(format!(
                "the server wants the header {name} to be sent for it, which is not for it to choose"
            ));
        }
        if read.iter().any(|(known, _)| *known == name) {
            return Err(format!("the server wants the header {name} to be sent for it twice"));
        }
        read.push((name, Secret::from(value)));
    }
    Ok(read)
}

/// Where a download leads that was answered with a redirect from `from`. Neither header lines nor a token go there.
///
/// # Errors
/// [`LfsError::Refused`].
pub fn redirect(
    remote: &RemoteUrl,
    from: &OutwardUrl,
    location: Option<&str>,
) -> Result<OutwardUrl, LfsError> {
    let refused = |text: &str| LfsError::Refused(text.to_owned());
    let location = location.ok_or_else(|| refused("it answers with a redirect that leads nowhere"))?;
    let is_path = location.starts_with('/') && !location.starts_with("//");
    let scheme = if from.is_plain() { "http" } else { "https" };
    let whole = format!("{scheme}://{}{location}", from.authority());
    let url = OutwardUrl::parse_long(if is_path { &whole } else { location });
    let url =
        url.map_err(|_| refused("it answers with a redirect to something else than an https:// address"))?;
    check_scheme(remote, &url).map_err(LfsError::Refused)?;
    Ok(url)
}

/// Whether lists and objects lie deeper in each other than [`DEPTH_MAX`].
pub(super) fn is_deep(body: &[u8]) -> bool {
    let (mut depth, mut is_text, mut is_escaped) = (0_usize, false, false);
    for byte in body {
        if is_text {
            is_text = is_escaped || *byte != b'"';
            is_escaped = !is_escaped && *byte == b'\\';
            continue;
        }
        match byte {
            b'"' => is_text = true,
            b'{' | b'[' => depth += 1,
            b'}' | b']' => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth > DEPTH_MAX {
            return true;
        }
    }
    false
}

#[cfg(test)]
#[path = "answer_tests.rs"]
mod tests;
