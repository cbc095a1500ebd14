//! What an answer of a forge means: done, not now, or not until a person changes something, and then what. Tests: `tests/it/answer.rs`.

use std::time::Duration;

use havre_core::source::forge::Forge;
use havre_core::time::Timestamp;
use serde_json::Value;

use crate::text::theirs;

/// Most bytes of an answer's body that are of use: a page of a hundred comments. Whoever calls reads no more.
pub const BODY_MAX: usize = 2 * 1024 * 1024;

/// An answer.
#[derive(Debug, Clone, Copy)]
pub struct Answer<'a> {
    /// Its status.
    pub status: u16,
    /// Its header lines. Names are compared without case.
    pub headers: &'a [(String, String)],
    /// Its body, or the beginning of it.
    pub body: &'a [u8],
}

/// What follows from an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// The forge has it.
    Done,
    /// Another call may be taken; the forge wants none before `pause` is over, where it says so.
    Later {
        /// For so long the whole forge is left alone.
        pause: Option<Duration>,
        /// Why, for people.
        reason: String,
    },
    /// The same call will never be taken.
    Refused {
        /// Why, and what to do, for people.
        reason: String,
    },
}

/// What was asked of the forge; each needs another right.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Asked {
    /// To show the status of a commit.
    Status,
    /// To show a comment, or to list them.
    Comment,
}

/// Reads an answer.
pub fn read(forge: Forge, asked: Asked, answer: &Answer<'_>, now: Timestamp) -> Outcome {
    let words = words(answer.body);
    match answer.status {
        200..=299 => Outcome::Done,
        // GitLab counts a repeated status as an error, and one that goes back as well. What it shows is right, or about to be.
        400 if forge == Forge::GitLab && words.contains("Cannot transition status") => Outcome::Done,
        300..=399 => refused(
            "the forge answers with a redirect, which is not followed: the repository has moved. Set its new address with \
             `havre remote set URL`",
            "",
        ),
        401 => refused("the token is not taken any more, or is none of this forge: give another one", &words),
        403 if is_limit(answer) => later(answer, now, "the forge takes no more calls for a while"),
        403 => refused(&format!("the token lacks a right: {}", right(forge, asked)), &words),
        404 if asked == Asked::Comment => refused(
            &format!(
                "the forge does not know this repository or pull request, or does not show it to this token: {}",
                right(forge, asked)
            ),
            &words,
        ),
        404 => refused(
            &format!(
                "the forge does not know this repository or commit, or does not show it to this token: {}. A commit that was pushed \
                 to Havre only is not there",
                right(forge, asked)
            ),
            &words,
        ),
        408 | 409 | 425 => later(answer, now, &format!("the forge answered {}", answer.status)),
        429 => later(answer, now, "the forge takes no more calls for a while"),
        400..=499 => refused(&format!("the forge answered {}", answer.status), &words),
        status => later(answer, now, &format!("the forge answered {status}")),
    }
}

/// The right a token needs, by the name it has there.
fn right(forge: Forge, asked: Asked) -> &'static str {
    match (forge, asked) {
        (Forge::GitHub, Asked::Status) => {
            "it needs the permission `Commit statuses: write` (of a classic token: the scope `repo:status`, or `repo` where the \
             repository is private)"
        }
        (Forge::GitHub, Asked::Comment) => {
            "it needs the permission `Pull requests: write` (of a classic token: the scope `repo`)"
        }
        (Forge::GitLab, Asked::Status) => {
            "it needs the scope `api` and the role Developer or more, on a protected branch whatever that branch asks for"
        }
        (Forge::GitLab, Asked::Comment) => "it needs the scope `api` and the role Reporter or more",
        (Forge::Gitea, Asked::Status) => {
            "it needs the permission `repository: read and write`, of a user who may write to the repository"
        }
        (Forge::Gitea, Asked::Comment) => "it needs the permission `issue: read and write`",
        (Forge::Bitbucket, Asked::Status) => {
            "it must be an access token of the repository, project or workspace with the permission `Repositories: write`"
        }
        (Forge::Bitbucket, Asked::Comment) => {
            "it must be an access token of the repository, project or workspace with the permission `Pull requests: write`"
        }
    }
}

fn refused(reason: &str, words: &str) -> Outcome {
    Outcome::Refused { reason: with(reason, words) }
}

fn later(answer: &Answer<'_>, now: Timestamp, reason: &str) -> Outcome {
    Outcome::Later { pause: pause(answer, now), reason: with(reason, &words(answer.body)) }
}

fn with(reason: &str, words: &str) -> String {
    match words {
        "" => reason.to_owned(),
        words => format!("{reason} (it says: {words})"),
    }
}

/// GitHub refuses a call over its limit like one without a right, but for these headers.
fn is_limit(answer: &Answer<'_>) -> bool {
    header(answer, "retry-after").is_some() || header(answer, "x-ratelimit-remaining") == Some("0")
}

/// How long the forge wants to be left alone. A date in place of seconds is passed over; the usual pauses count then.
fn pause(answer: &Answer<'_>, now: Timestamp) -> Option<Duration> {
    if let Some(seconds) = header(answer, "retry-after").and_then(|value| value.parse().ok()) {
        return Some(Duration::from_secs(seconds));
    }
    let names = ["x-ratelimit-reset", "ratelimit-reset"];
    let at: i64 = names.iter().find_map(|name| header(answer, name)?.parse().ok())?;
    let pause = Timestamp::from_millis(at.checked_mul(1000)?).since(now);
    (is_spent(answer) && !pause.is_zero()).then_some(pause)
}

/// The headers that say when the limit begins anew are there always; they count once nothing is left of it.
fn is_spent(answer: &Answer<'_>) -> bool {
    let left = header(answer, "x-ratelimit-remaining").or_else(|| header(answer, "ratelimit-remaining"));
    left == Some("0") || answer.status == 429
}

fn header<'a>(answer: &Answer<'a>, name: &str) -> Option<&'a str> {
    let mut lines = answer.headers.iter();
    lines.find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim())
}

/// What the forge says about it, where that is text in one of the usual places; else nothing.
fn words(body: &[u8]) -> String {
    let Ok(body) = serde_json::from_slice::<Value>(body) else { return String::new() };
    let places = [&body["error"]["message"], &body["error_description"], &body["message"], &body["error"]];
    let found = places.into_iter().find(|place| !place.is_null() && !place.is_object());
    match found.or_else(|| places.into_iter().find(|place| place.is_object())) {
        Some(Value::String(text)) => theirs(text),
        Some(other) => theirs(&other.to_string()),
        None => String::new(),
    }
}
