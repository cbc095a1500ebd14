//! What an answer of a storage means: done, not there, try again, or a fault that a person has to look at. Decides by the status, by the
//! storage's own code, and by its clock. What it says reaches people only without anything secret. Tests at the end of the file.

use std::time::{Duration, SystemTime};

use bytes::Bytes;
use hyper::header::{DATE, HeaderMap, RETRY_AFTER};

use crate::bucket::PAUSE_MAX;
use crate::fault::Fault;

/// Clocks that differ by more explain why credentials are refused. Storages allow a quarter of an hour.
const SKEW_MAX: u64 = 5 * 60;
/// Longest sentence of a storage that is handed on, in characters.
const MESSAGE_MAX: usize = 200;

/// What came.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
}

impl Answer {
    /// A header line that is text.
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }
}

/// What it means.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Meaning {
    /// It was done.
    Done,
    /// There is no such object.
    Absent,
    /// Not now.
    Again {
        /// What was said.
        reason: String,
        /// How long the storage wants to be left alone.
        pause: Option<Duration>,
    },
    /// Trying again does not help.
    Fault(Fault),
}

/// Reads an answer; `secrets` are texts that must not be handed on, and `now` is the time of this machine.
pub(super) fn judge(answer: &Answer, secrets: &[&str], now: SystemTime) -> Meaning {
    let Error { code, message } = Error::of(&answer.body);
    let status = answer.status;
    let name = if code.is_empty() { status.to_string() } else { format!("{status} {code}") };
    let ahead = ahead_seconds(answer, now);
    match (status, code) {
        (200..=299, _) => Meaning::Done,
        (404, "NoSuchBucket") => Meaning::Fault(Fault::NoBucket),
        (404, "" | "NoSuchKey" | "NotFound") => Meaning::Absent,
        (_, "RequestTimeTooSkewed") => Meaning::Fault(Fault::Clock { ahead_seconds: ahead }),
        (_, "ExpiredToken" | "TokenRefreshRequired") => refused(name, "the keys were lent and have expired"),
        (401 | 403, _) if ahead.is_some_and(|seconds| seconds.unsigned_abs() > SKEW_MAX) => {
            Meaning::Fault(Fault::Clock { ahead_seconds: ahead })
        }
        (_, "InvalidAccessKeyId") => refused(name, "it does not know the id of the access key"),
        (_, "SignatureDoesNotMatch") => {
            refused(name, "the secret access key is not that of this id, or the region is another one")
        }
        (_, "InvalidToken") => refused(name, "the session token is not valid"),
        (301 | 307 | 308, _)
        | (400, "AuthorizationHeaderMalformed" | "AuthorizationQueryParametersError") => {
            refused(name, &elsewhere(answer))
        }
        (401 | 403, "AccessDenied" | "") => refused(name, "these keys may not do this"),
        (408 | 429 | 500 | 502 | 503 | 504, _)
        | (_, "SlowDown" | "RequestTimeout" | "InternalError" | "ServiceUnavailable") => {
            Meaning::Again { reason: format!("it says {name}"), pause: pause(answer) }
        }
        // What came is not what was sent: something on the way changed it, or cut it short.
        (400, "BadDigest" | "IncompleteBody") => {
            Meaning::Again { reason: format!("it says {name}"), pause: None }
        }
        (401 | 403, _) => refused(name, &plain(message, secrets)),
        _ => Meaning::Fault(Fault::Broken(format!("the storage says {name} {}", plain(message, secrets)))),
    }
}

fn refused(name: String, why: &str) -> Meaning {
    Meaning::Fault(Fault::Refused(format!("{why} ({name})")))
}

/// The bucket is in another region. Redirects are not followed: what was signed for one place is nobody else's business.
fn elsewhere(answer: &Answer) -> String {
    let region = answer.header("x-amz-bucket-region").filter(|text| {
        (1..=64).contains(&text.len())
            && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
    });
    match region {
        Some(region) => format!("the bucket is in the region {region}"),
        None => "the bucket is in another region or at another address".to_owned(),
    }
}

fn pause(answer: &Answer) -> Option<Duration> {
    let seconds = answer.headers.get(RETRY_AFTER)?.to_str().ok()?.trim().parse::<u64>().ok()?;
    Some(Duration::from_secs(seconds).min(PAUSE_MAX))
}

/// Seconds by which this machine is ahead of the storage.
fn ahead_seconds(answer: &Answer, now: SystemTime) -> Option<i64> {
    let theirs = httpdate::parse_http_date(answer.headers.get(DATE)?.to_str().ok()?).ok()?;
    match now.duration_since(theirs) {
        Ok(ahead) => i64::try_from(ahead.as_secs()).ok(),
        Err(behind) => i64::try_from(behind.duration().as_secs()).ok().map(|seconds| -seconds),
    }
}

/// What a storage says in the body of a refusal.
#[derive(Default)]
struct Error<'a> {
    /// A word such as `NoSuchKey`; empty where it is none.
    code: &'a str,
    message: &'a str,
}

impl<'a> Error<'a> {
    fn of(body: &'a [u8]) -> Self {
        let Some(text) = std::str::from_utf8(body).ok().filter(|text| text.contains("<Error")) else {
            return Self::default();
        };
        let code = between(text, "<Code>", "</Code>");
        let is_word = (1..=64).contains(&code.len()) && code.bytes().all(|byte| byte.is_ascii_alphanumeric());
        Self { code: if is_word { code } else { "" }, message: between(text, "<Message>", "</Message>") }
    }
}

fn between<'a>(text: &'a str, begin: &str, end: &str) -> &'a str {
    let found = text.split_once(begin).and_then(|(_, rest)| rest.split_once(end));
    found.map_or("", |(inner, _)| inner.trim())
}

/// A sentence of a storage for people: short, in one line, and none that repeats what was signed.
fn plain(message: &str, secrets: &[&str]) -> String {
    let is_secret = secrets.iter().any(|secret| !secret.is_empty() && message.contains(*secret))
        || message.contains("X-Amz-")
        || message.contains("Signature=");
    if is_secret || message.is_empty() {
        return "without a word that could be repeated here".to_owned();
    }
    message.chars().take(MESSAGE_MAX).flat_map(char::escape_default).collect()
}

#[cfg(test)]
mod tests {
    use hyper::header::HeaderValue;

    use super::*;

    const NOON: u64 = 1_763_985_600;

    fn at(seconds: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
    }

    fn answer(status: u16, code: &str, lines: &[(&'static str, &str)]) -> Answer {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.insert(*name, HeaderValue::from_str(value).expect("is a value"));
        }
        let body = format!("<Error><Code>{code}</Code><Message>see planted-key</Message></Error>");
        Answer { status, headers, body: if code.is_empty() { Bytes::new() } else { body.into() } }
    }

    fn said(status: u16, code: &str) -> Meaning {
        judge(&answer(status, code, &[]), &["planted-key"], at(NOON))
    }

    fn fault(meaning: Meaning) -> String {
        match meaning {
            Meaning::Fault(fault) => format!("{fault:?}"),
            other => panic!("{other:?} is no fault"),
        }
    }

    #[test]
    fn each_answer_has_its_meaning() {
        for status in [200, 204, 206] {
            assert_eq!(said(status, ""), Meaning::Done);
        }
        assert_eq!(said(404, "NoSuchKey"), Meaning::Absent);
        assert_eq!(said(404, ""), Meaning::Absent);
        assert_eq!(said(404, "NoSuchBucket"), Meaning::Fault(Fault::NoBucket));
        for (status, code) in [(500, "InternalError"), (503, "SlowDown"), (429, ""), (400, "RequestTimeout")]
        {
            assert!(matches!(said(status, code), Meaning::Again { pause: None, .. }), "{status} {code}");
        }
        for (status, code) in [
            (403, "InvalidAccessKeyId"),
            (403, "SignatureDoesNotMatch"),
            (403, "AccessDenied"),
            (403, "AllAccessDisabled"),
            (401, ""),
            (400, "ExpiredToken"),
            (301, "PermanentRedirect"),
        ] {
            assert!(matches!(said(status, code), Meaning::Fault(Fault::Refused(_))), "{status} {code}");
        }
        assert!(fault(said(507, "InsufficientStorage")).starts_with("Broken(\"the storage says 507"));
    }

    #[test]
    fn a_wrong_clock_is_named() {
        let date = httpdate::fmt_http_date(at(NOON));
        let line = [("date", date.as_str())];
        let seen = |code: &str, now: u64| judge(&answer(403, code, &line), &[], at(now));
        let off = |seconds: i64| Meaning::Fault(Fault::Clock { ahead_seconds: Some(seconds) });
        assert_eq!(seen("RequestTimeTooSkewed", NOON + 7200), off(7200));
        assert_eq!(seen("AccessDenied", NOON - 7200), off(-7200));
        assert_eq!(seen("SignatureDoesNotMatch", NOON + 301), off(301));
        assert!(matches!(seen("AccessDenied", NOON + 60), Meaning::Fault(Fault::Refused(_))));
        let unknown = Meaning::Fault(Fault::Clock { ahead_seconds: None });
        assert_eq!(said(403, "RequestTimeTooSkewed"), unknown);
    }

    #[test]
    fn another_region_and_a_pause_are_read() {
        let there = answer(301, "PermanentRedirect", &[("x-amz-bucket-region", "eu-west-3")]);
        assert!(fault(judge(&there, &[], at(NOON))).contains("in the region eu-west-3"));
        let busy = answer(503, "SlowDown", &[("retry-after", "7")]);
        let Meaning::Again { pause, reason } = judge(&busy, &[], at(NOON)) else { panic!("is tried again") };
        assert_eq!((pause, reason.as_str()), (Some(Duration::from_secs(7)), "it says 503 SlowDown"));
        let rude = answer(503, "SlowDown", &[("retry-after", "86400")]);
        let Meaning::Again { pause, .. } = judge(&rude, &[], at(NOON)) else { panic!("is tried again") };
        assert_eq!(pause, Some(PAUSE_MAX));
    }

    #[test]
    fn what_is_secret_is_not_repeated() {
        let text = fault(said(409, "Odd"));
        assert!(!text.contains("planted"), "{text}");
        let other = judge(&answer(409, "Odd", &[]), &[], at(NOON));
        assert!(fault(other).contains("see planted-key"), "which is not secret there");
        let echo = "GET\n/b\nX-Amz-Credential=AKIA\nX-Amz-Signature=abc";
        assert_eq!(plain(echo, &[]), "without a word that could be repeated here");
        assert_eq!(plain("two\nlines\u{1b}[2J", &[]), "two\\nlines\\u{1b}[2J");
    }
}
