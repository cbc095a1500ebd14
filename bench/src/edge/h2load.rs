//! HTTP/2 load, by h2load of nghttp2: an implementation that is not ours. It reads what h2load prints. Tests: at the end
//! of the file.

use std::net::SocketAddr;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, ensure};

/// What h2load counted.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Outcome {
    pub(super) ok: u64,
    pub(super) failed: u64,
    pub(super) per_second: f64,
}

/// Runs 8 connections with 32 streams each for `time`.
///
/// # Errors
/// h2load is missing, or did not run.
pub(super) fn run(address: SocketAddr, host: &str, path: &str, time: Duration) -> anyhow::Result<Outcome> {
    let output = Command::new("h2load")
        .args(["-c", "8", "-m", "32", "-t", "1", "-D", &format!("{}ms", time.as_millis())])
        .arg(format!("--connect-to={address}"))
        .arg(format!("https://{host}{path}"))
        .output()
        .context("start h2load (Debian: nghttp2-client)")?;
    let text = String::from_utf8_lossy(&output.stdout);
    ensure!(output.status.success(), "h2load failed: {text}{}", String::from_utf8_lossy(&output.stderr));
    ensure!(text.contains("Application protocol: h2"), "no HTTP/2 was agreed on: {text}");
    parse(&text).with_context(|| format!("understand h2load: {text}"))
}

/// Reads the lines `finished in` and `status codes`.
fn parse(text: &str) -> Option<Outcome> {
    let number = |word: &str| word.trim_matches(|letter: char| !letter.is_ascii_digit()).parse::<f64>().ok();
    let finished = text.lines().find_map(|line| line.strip_prefix("finished in "))?;
    let per_second = finished.split(", ").find_map(|part| number(part.strip_suffix(" req/s")?))?;
    let requests = text.lines().find_map(|line| line.strip_prefix("requests: "))?;
    let count = |text: &str, what: &str| {
        text.split(", ").find_map(|part| number(part.strip_suffix(what)?)).map(|count| count as u64)
    };
    // What was in flight when the time was up is neither.
    let failed = count(requests, " failed")? + count(requests, " errored")? + count(requests, " timeout")?;
    let codes = text.lines().find_map(|line| line.strip_prefix("status codes: "))?;
    let others = count(codes, " 3xx")? + count(codes, " 4xx")? + count(codes, " 5xx")?;
    Some(Outcome { ok: count(codes, " 2xx")?, failed: failed + others, per_second })
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "starting benchmark...
Application protocol: h2

finished in 2.00s, 15234.50 req/s, 3.51MB/s
requests: 30469 total, 30725 started, 30469 done, 30460 succeeded, 9 failed, 0 errored, 0 timeout
status codes: 30460 2xx, 0 3xx, 2 4xx, 7 5xx
traffic: 7.02MB (7361000) total
";

    #[test]
    fn counts_are_read() {
        assert_eq!(parse(TEXT), Some(Outcome { ok: 30_460, failed: 18, per_second: 15_234.5 }));
        assert_eq!(parse("finished in 1s"), None);
    }
}
