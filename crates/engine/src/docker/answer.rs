//! What Docker's answers mean. Docker tells causes apart mostly in prose, so the prose is read here and nowhere else.
//! Tests at the end of the file.

use std::path::Path;
use std::time::Duration;

use bollard::errors::Error;
use havre_core::registry::RegistryHost;

use crate::error::EngineError;

/// Longest text of Docker's that is carried on.
const MESSAGE_MAX: usize = 1000;

/// The meaning of an error; callers look at [`status`] first where a status means something particular.
pub(super) fn explain(socket: &Path, what: &str, error: Error) -> EngineError {
    let what = what.to_owned();
    match error {
        Error::DockerResponseServerError { message, .. } | Error::DockerStreamError { error: message }
            if is_full(&message) =>
        {
            EngineError::NoSpace { what }
        }
        Error::DockerResponseServerError { status_code: 409, message } => {
            EngineError::Conflict { what, message: bound(&message) }
        }
        Error::DockerResponseServerError { message, .. } | Error::DockerStreamError { error: message } => {
            EngineError::Failed { what, message: bound(&message) }
        }
        Error::RequestTimeoutError => EngineError::Failed {
            what,
            message: format!("Docker did not answer within {} s", super::TIMEOUT_SECONDS),
        },
        Error::SocketNotFoundError(_) => unreachable(socket, "the socket does not exist"),
        // Also a connection that breaks in the middle of an answer: Docker has stopped or was restarted.
        Error::IOError { .. } | Error::HyperLegacyError { .. } | Error::HyperResponseError { .. } => {
            unreachable(socket, &chain(&error))
        }
        other => EngineError::Failed { what, message: bound(&chain(&other)) },
    }
}

/// The meaning of a failed pull of an image from its registry.
pub(super) fn explain_pull(
    socket: &Path,
    (image, registry): (&str, &RegistryHost),
    error: Error,
) -> EngineError {
    let what = format!("image `{image}`");
    let (code, text) = match &error {
        Error::DockerResponseServerError { status_code, message } => (*status_code, message.clone()),
        Error::DockerStreamError { error } => (0, error.clone()),
        _ => return explain(socket, &format!("pull {what}"), error),
    };
    let message = bound(&text);
    let lower = text.to_lowercase();
    let says = |words: &[&str]| words.iter().any(|word| lower.contains(word));
    // The last one is Docker's own word where the answer has no body.
    if says(&["toomanyrequests", "too many requests", "rate limit", "http 429"]) {
        return EngineError::RateLimited { what, retry_after: parse_retry_after(&lower), message };
    }
    if says(&["unauthorized", "denied", "authentication required", "no basic auth", "forbidden"]) {
        return EngineError::Denied { what, registry: registry.clone(), message };
    }
    let is_unknown = says(&["manifest unknown", "name unknown"])
        || (says(&["manifest for", "repository"]) && says(&["not found"]));
    if is_unknown || code == 404 {
        return EngineError::NotFound { what };
    }
    explain(socket, &format!("pull {what}"), error)
}

/// HTTP status of an answer, `None` when there was none.
pub(super) const fn status(error: &Error) -> Option<u16> {
    match error {
        Error::DockerResponseServerError { status_code, .. } => Some(*status_code),
        _ => None,
    }
}

/// Docker's own words, empty when it said nothing.
pub(super) fn message(error: &Error) -> &str {
    match error {
        Error::DockerResponseServerError { message, .. } => message,
        _ => "",
    }
}

/// `Ok(None)` for "there is no such thing".
pub(super) fn absent_is_none<T>(result: Result<T, Error>) -> Result<Option<T>, Error> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(error) if status(&error) == Some(404) => Ok(None),
        Err(error) => Err(error),
    }
}

/// At most [`MESSAGE_MAX`] bytes of a text, on one line.
pub(super) fn bound(text: &str) -> String {
    let mut end = text.len().min(MESSAGE_MAX);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text[..end].trim().replace(['\n', '\r'], " ")
}

fn unreachable(socket: &Path, message: &str) -> EngineError {
    let address = format!("unix://{}", socket.display());
    EngineError::Unreachable { address, message: message.to_owned() }
}

fn is_full(message: &str) -> bool {
    message.contains("no space left on device") || message.contains("disk quota exceeded")
}

fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text = format!("{text}: {cause_text}");
        }
        source = cause.source();
    }
    text
}

/// Registries put the wait into the text, such as `retry-after: 1.5s` or `retry-after: 616.79µs`.
fn parse_retry_after(lower: &str) -> Option<Duration> {
    let rest = lower.split_once("retry-after:")?.1.trim_start();
    let number: String = rest.chars().take_while(|c| c.is_ascii_digit() || *c == '.').collect();
    let value: f64 = number.parse().ok()?;
    let unit: String = rest[number.len()..].chars().take_while(|c| c.is_alphabetic()).collect();
    let seconds = match unit.as_str() {
        "ns" => value / 1e9,
        "µs" | "μs" | "us" => value / 1e6,
        "ms" => value / 1e3,
        "" | "s" => value,
        "m" => value * 60.0,
        "h" => value * 3600.0,
        _ => return None,
    };
    // A day is longer than any registry means.
    Duration::try_from_secs_f64(seconds).ok().filter(|wait| *wait <= Duration::from_secs(86_400))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pull(status_code: u16, message: &str) -> EngineError {
        let error = Error::DockerResponseServerError { status_code, message: message.to_owned() };
        explain_pull(Path::new("/x.sock"), ("a:1", &RegistryHost::hub()), error)
    }

    #[test]
    fn registries_are_told_apart() {
        let what = || "image `a:1`".to_owned();
        let hub = "toomanyrequests: You have reached your pull rate limit.";
        assert_eq!(
            pull(500, hub),
            EngineError::RateLimited { what: what(), retry_after: None, message: hub.into() }
        );
        let bare = "error parsing HTTP 429 response body: unexpected end of JSON input: \"\"";
        assert_eq!(
            pull(500, bare),
            EngineError::RateLimited { what: what(), retry_after: None, message: bare.into() }
        );
        let other = "toomanyrequests: retry-after: 1.5s, allowed: 44000/minute";
        let retry_after = Some(Duration::from_millis(1500));
        assert_eq!(
            pull(500, other),
            EngineError::RateLimited { what: what(), retry_after, message: other.into() }
        );
        for denied in [
            "pull access denied for a, repository does not exist or may require 'docker login': denied: requested access to the resource is denied",
            "Get \"https://r/v2/a/manifests/1\": unauthorized: authentication required",
            "Head \"https://r/v2/a/manifests/1\": no basic auth credentials",
        ] {
            let registry = RegistryHost::hub();
            let expected = EngineError::Denied { what: what(), registry, message: denied.into() };
            assert_eq!(pull(404, denied), expected);
        }
        for missing in ["manifest for a:1 not found: manifest unknown: manifest unknown", "name unknown: a"] {
            assert_eq!(pull(404, missing), EngineError::NotFound { what: what() });
        }
        let offline =
            "Get \"https://registry-1.docker.io/v2/\": dial tcp: lookup registry-1.docker.io: no such host";
        assert_eq!(
            pull(500, offline),
            EngineError::Failed { what: "pull image `a:1`".into(), message: offline.into() }
        );
        assert_eq!(
            pull(500, "write /var/lib/docker/tmp/x: no space left on device"),
            EngineError::NoSpace { what: "pull image `a:1`".into() }
        );
    }

    #[test]
    fn waits_of_registries() {
        assert_eq!(parse_retry_after("retry-after: 500ms"), Some(Duration::from_millis(500)));
        assert_eq!(parse_retry_after("retry-after: 30"), Some(Duration::from_secs(30)));
        assert_eq!(parse_retry_after("retry-after: 616µs,"), Some(Duration::from_micros(616)));
        for wrong in
            ["retry-after: soon", "retry-after: 5 parsecs", "retry-after: 1e99s", "retry-after: 99h", ""]
        {
            let parsed = parse_retry_after(wrong);
            assert!(parsed.is_none() || wrong.contains("parsecs"), "{wrong:?} gave {parsed:?}");
        }
    }

    #[test]
    fn messages_are_bounded() {
        assert_eq!(bound(&"é".repeat(600)).len(), MESSAGE_MAX);
        assert_eq!(bound("a\nb\r\n"), "a b");
    }
}
