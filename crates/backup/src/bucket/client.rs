//! What a repository needs of a bucket: objects whole or in part, put, removed, and listed completely. Each request is signed anew for
//! every try; a few go on at a time. No request depends on what another one has changed meanwhile (`If-None-Match` and the like), since
//! some storages ignore such conditions. Tests: `tests/it/bucket_failures.rs`, `tests/it/s3_server.rs`.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use md5::{Digest as _, Md5};
use rusty_s3::S3Action;
use tokio::sync::Semaphore;

use crate::bucket::answer::{Answer, Meaning, judge};
use crate::bucket::page;
use crate::bucket::wire::{Peer, Request, Trip, Wire};
use crate::bucket::{Bucket, PAUSE_MAX};
use crate::fault::Fault;

/// How long a signed address is good: a storage compares it with its clock when the request comes, and they may differ by as much.
const SIGNED_FOR: Duration = Duration::from_secs(900);
/// Requests at a time. Each holds at most one object.
const AT_ONCE: usize = 8;
/// Longest object that is read, in bytes. Packs of a repository of a terabyte have 64 MiB.
const OBJECT_MAX: usize = 512 * 1024 * 1024;
/// Longest page of a list, in bytes. A thousand objects need half a megabyte.
const PAGE_MAX: usize = 8 * 1024 * 1024;
/// Most pages of a list: ten million objects.
const PAGES_MAX: usize = 10_000;
/// Longest answer where nothing but a refusal is expected to say anything, in bytes.
const WORDS_MAX: usize = 64 * 1024;

/// A bucket over the network.
pub(crate) struct Client {
    bucket: Bucket,
    wire: Wire,
    turns: Semaphore,
    /// Whether an object had another tag than the MD5 of its bytes, and yet the right bytes: some storages encrypt before they sum up.
    has_odd_tags: AtomicBool,
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Client({})", self.bucket.shown)
    }
}

/// What is asked.
#[derive(Clone, Copy)]
enum Ask<'a> {
    Get { key: &'a str },
    GetPart { key: &'a str, first: u64, length: u64 },
    Put { key: &'a str, content: &'a [Bytes], md5: &'a str },
    Delete { key: &'a str },
    List { prefix: &'a str, after: Option<&'a str> },
}

impl Client {
    pub(crate) fn new(bucket: Bucket) -> Self {
        let base = bucket.signer.base_url();
        let host = base.host_str().unwrap_or_default().to_owned();
        let port = base.port_or_known_default().unwrap_or_default();
        let authority = base.port().map_or_else(|| host.clone(), |port| format!("{host}:{port}"));
        let peer = Peer {
            host: host.trim_matches(['[', ']']).to_owned(),
            port,
            authority,
            is_plain: bucket.is_plain,
            roots: bucket.authority.clone(),
            may_reach: bucket.may_reach,
        };
        let wire = Wire::new(peer, bucket.limits);
        Self { bucket, wire, turns: Semaphore::new(AT_ONCE), has_odd_tags: AtomicBool::new(false) }
    }

    /// Where it is, as restic takes it after `-r`.
    pub(crate) fn shown(&self) -> &str {
        &self.bucket.shown
    }

    /// Name of an object: what all of them begin with, and this.
    pub(crate) fn key(&self, rest: &str) -> String {
        format!("{}{rest}", self.bucket.prefix)
    }

    /// All of an object; nothing where there is none.
    pub(crate) async fn get(&self, key: &str) -> Result<Option<Bytes>, Fault> {
        Ok(self.done(Ask::Get { key }).await?.map(|answer| answer.body))
    }

    /// Exactly that part of an object; nothing where there is none.
    pub(crate) async fn get_part(&self, key: &str, first: u64, length: u64) -> Result<Option<Bytes>, Fault> {
        if length == 0 {
            return Ok(Some(Bytes::new()));
        }
        let Some(answer) = self.done(Ask::GetPart { key, first, length }).await? else { return Ok(None) };
        let is_part = answer.status == 206;
        if is_part && begins_at(&answer) != Some(first) {
            return Err(Fault::Broken(format!("another part of {key} came than was asked for")));
        }
        // A storage that knows no parts gives all of it.
        let begin = if is_part { 0 } else { usize::try_from(first).unwrap_or(usize::MAX) };
        let end = begin.saturating_add(usize::try_from(length).unwrap_or(usize::MAX));
        if answer.body.len() < end {
            return Err(Fault::Broken(format!("{key} is shorter than it was")));
        }
        Ok(Some(answer.body.slice(begin..end)))
    }

    /// Puts an object, whole or not at all, and replaces what is there.
    pub(crate) async fn put(&self, key: &str, content: &[Bytes]) -> Result<(), Fault> {
        let mut hasher = Md5::new();
        for part in content {
            hasher.update(part);
        }
        let sum = hasher.finalize();
        let md5 = STANDARD.encode(&sum[..]);
        let Some(answer) = self.done(Ask::Put { key, content, md5: &md5 }).await? else {
            // Nothing can be missing that is put.
            return Err(Fault::NoBucket);
        };
        let is_odd = answer.header("etag").is_some_and(|tag| is_another_sum(tag, &format!("{sum:x}")));
        if !is_odd || self.has_odd_tags.load(Ordering::Relaxed) {
            return Ok(());
        }
        let stored = self.get(key).await?.unwrap_or_default();
        let is_same = stored.len() == content.iter().map(Bytes::len).sum::<usize>() && {
            let mut left = &stored[..];
            content.iter().all(|part| {
                let (begin, rest) = left.split_at(part.len());
                left = rest;
                begin == &part[..]
            })
        };
        if !is_same {
            return Err(Fault::Broken(format!("{key} was stored as something else than was sent")));
        }
        self.has_odd_tags.store(true, Ordering::Relaxed);
        Ok(())
    }

    /// Removes an object. One that is not there is fine.
    pub(crate) async fn delete(&self, key: &str) -> Result<(), Fault> {
        self.done(Ask::Delete { key }).await.map(|_| ())
    }

    /// All objects whose names begin so, with their sizes in bytes. Where any page of the list is in doubt there is none.
    pub(crate) async fn list(&self, prefix: &str) -> Result<Vec<(String, u64)>, Fault> {
        let mut found: Vec<(String, u64)> = Vec::new();
        let mut after: Option<String> = None;
        for _ in 0..PAGES_MAX {
            let ask = Ask::List { prefix, after: after.as_deref() };
            let answer = self.done(ask).await?.ok_or(Fault::NoBucket)?;
            let page = page::parse(&answer.body).map_err(Fault::Broken)?;
            if page.objects.iter().any(|(key, _)| !key.starts_with(prefix)) {
                return Err(Fault::Broken("a list has objects that nobody asked for".to_owned()));
            }
            found.extend(page.objects);
            match page.next {
                None => return once(found),
                Some(next) if after.as_ref() == Some(&next) => {
                    return Err(Fault::Broken("a list goes on with the page it was at".to_owned()));
                }
                Some(next) => after = Some(next),
            }
        }
        Err(Fault::Broken(format!("a list has more than {PAGES_MAX} pages")))
    }

    /// Asks until there is an answer, or patience ends. Nothing where there is no such object.
    async fn done(&self, ask: Ask<'_>) -> Result<Option<Answer>, Fault> {
        let _turn = self.turns.acquire().await.map_err(|error| Fault::Away(error.to_string()))?;
        let limits = self.bucket.limits;
        let (mut tries, mut may_reuse) = (0, true);
        loop {
            let sent = self.wire.exchange(&self.signed(ask), may_reuse).await;
            may_reuse = false;
            let (reason, pause) = match sent {
                Ok(answer) => match judge(&answer, &self.secrets(), SystemTime::now()) {
                    Meaning::Done => return Ok(Some(answer)),
                    Meaning::Absent => return Ok(None),
                    Meaning::Fault(fault) => return Err(fault),
                    Meaning::Again { reason, pause } => (reason, pause),
                },
                Err(Trip::Barred(reason)) => return Err(Fault::Broken(reason)),
                Err(Trip::Stale(reason)) => {
                    tracing::debug!(reason, "a kept connection to a storage was closed");
                    continue;
                }
                Err(Trip::Broken(reason)) => (reason, None),
            };
            tries += 1;
            if tries >= limits.tries {
                return Err(Fault::Away(format!("{reason} (tries: {tries})")));
            }
            let usual = limits.pause.saturating_mul(2_u32.saturating_pow(tries - 1));
            let pause = pause.unwrap_or_default().max(usual).min(PAUSE_MAX);
            tracing::debug!(reason, tries, "a storage is asked again");
            tokio::time::sleep(pause).await;
        }
    }

    fn secrets(&self) -> [&str; 3] {
        let credentials = &self.bucket.credentials;
        [credentials.key(), credentials.secret(), credentials.token().unwrap_or_default()]
    }

    /// The request, good for a quarter of an hour from now.
    fn signed(&self, ask: Ask<'_>) -> Request {
        let signer = &self.bucket.signer;
        let by = Some(&self.bucket.credentials);
        let mut headers = Vec::new();
        let mut body = Vec::new();
        let (method, target, most) = match ask {
            Ask::Get { key } => ("GET", target(&signer.get_object(by, key)), OBJECT_MAX),
            Ask::GetPart { key, first, length } => {
                let last = first.saturating_add(length).saturating_sub(1);
                headers.push(("range", format!("bytes={first}-{last}")));
                ("GET", target(&signer.get_object(by, key)), OBJECT_MAX)
            }
            Ask::Put { key, content, md5 } => {
                let mut action = signer.put_object(by, key);
                action.headers_mut().insert("content-md5", md5);
                headers.push(("content-md5", md5.to_owned()));
                body = content.to_vec();
                ("PUT", target(&action), WORDS_MAX)
            }
            Ask::Delete { key } => ("DELETE", target(&signer.delete_object(by, key)), WORDS_MAX),
            Ask::List { prefix, after } => {
                let mut action = signer.list_objects_v2(by);
                action.with_prefix(prefix);
                if let Some(after) = after {
                    action.with_continuation_token(after);
                }
                ("GET", target(&action), PAGE_MAX)
            }
        };
        Request { method, target, headers, body, most }
    }
}

/// Path and query of what is signed.
fn target<'a>(action: &impl S3Action<'a>) -> String {
    let url = action.sign(SIGNED_FOR);
    format!("{}?{}", url.path(), url.query().unwrap_or_default())
}

/// Where a part begins.
fn begins_at(answer: &Answer) -> Option<u64> {
    answer.header("content-range")?.strip_prefix("bytes ")?.split('-').next()?.parse().ok()
}

/// Whether a tag looks like the MD5 of other bytes. Those of storages that encrypt may look so too.
fn is_another_sum(tag: &str, sum: &str) -> bool {
    let tag = tag.trim_matches('"');
    tag.len() == 32 && tag.bytes().all(|byte| byte.is_ascii_hexdigit()) && !tag.eq_ignore_ascii_case(sum)
}

/// A list in which nothing comes twice. Where something does, the pages do not fit together, and another one may be missing.
fn once(mut found: Vec<(String, u64)>) -> Result<Vec<(String, u64)>, Fault> {
    found.sort();
    if found.windows(2).any(|two| two[0].0 == two[1].0) {
        return Err(Fault::Broken("a list has an object twice".to_owned()));
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_that_are_no_sums_say_nothing() {
        let sum = "4d5d1cba9eb18884a5410f4b83bc6951";
        for fine in
            ["\"4d5d1cba9eb18884a5410f4b83bc6951\"", "\"4D5D1CBA9EB18884A5410F4B83BC6951\"", "\"x-2\"", ""]
        {
            assert!(!is_another_sum(fine, sum), "{fine}");
        }
        assert!(is_another_sum("\"00000000000000000000000000000000\"", sum));
    }

    #[test]
    fn a_list_has_everything_once() {
        let one = |key: &str| (key.to_owned(), 1);
        assert_eq!(once(vec![one("b"), one("a")]), Ok(vec![one("a"), one("b")]));
        assert!(once(vec![one("b"), one("a"), one("b")]).is_err());
    }
}
