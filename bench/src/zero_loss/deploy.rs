//! Runs the command that deploys, without a shell, and finds out which release it made live. Tests at the end of the
//! file.

use std::io::Read;
use std::net::SocketAddr;
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};

use crate::http::answer::Wanted;
use crate::http::exchange::{Exchange, get};

/// How much of what a command prints is kept: the end.
const KEPT: usize = 64 * 1024;
/// Wait for the rest of the output once the command has ended.
const OUTPUT: Duration = Duration::from_secs(2);
/// How often the new release is asked for by a dedicated probe after each deploy.
const PROBES: usize = 3;

/// A command that has ended.
#[derive(Debug, Clone)]
pub(super) struct Ran {
    pub(super) began: Instant,
    /// When it was known to have ended.
    pub(super) ended: Instant,
    pub(super) succeeded: bool,
    pub(super) stdout: String,
    pub(super) stderr: String,
}

/// Runs `argv` with `{n}` replaced by `number` in every argument.
///
/// # Errors
/// The command cannot be started or takes longer than `limit`; then it is killed.
pub(super) fn run_argv(argv: &[String], number: u32, limit: Duration) -> anyhow::Result<Ran> {
    let filled: Vec<String> = argv.iter().map(|part| part.replace("{n}", &number.to_string())).collect();
    let (program, arguments) = filled.split_first().context("the command to deploy is empty")?;
    let began = Instant::now();
    let mut child = Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .with_context(|| format!("start {program}"))?;
    let stdout = child.stdout.take().map(keep_end);
    let stderr = child.stderr.take().map(keep_end);
    let process = rustix::process::Pid::from_child(&child);
    let (ended_sender, ended) = mpsc::channel();
    std::thread::spawn(move || {
        let status = child.wait();
        // Nobody listens any more when it took too long.
        let _ = ended_sender.send((status, Instant::now()));
    });
    let Ok((status, ended)) = ended.recv_timeout(limit) else {
        rustix::process::kill_process(process, rustix::process::Signal::KILL)
            .with_context(|| format!("kill {program}"))?;
        bail!("{program} took longer than {} s and was killed", limit.as_secs());
    };
    let text = |output: Option<mpsc::Receiver<String>>| {
        output.and_then(|text| text.recv_timeout(OUTPUT).ok()).unwrap_or_default()
    };
    Ok(Ran {
        began,
        ended,
        succeeded: status.with_context(|| format!("wait for {program}"))?.success(),
        stdout: text(stdout),
        stderr: text(stderr),
    })
}

/// Reads to the end on a thread and gives the last [`KEPT`] bytes.
fn keep_end(mut output: impl Read + Send + 'static) -> mpsc::Receiver<String> {
    let (sender, receiver) = mpsc::channel();
    std::thread::spawn(move || {
        let mut end = Vec::new();
        let mut piece = [0; 4096];
        while let Ok(length @ 1..) = output.read(&mut piece) {
            end.extend_from_slice(&piece[..length]);
            if end.len() > 2 * KEPT {
                end.drain(..end.len() - KEPT);
            }
        }
        let _ = sender.send(String::from_utf8_lossy(&end).into_owned());
    });
    receiver
}

/// The value of `key` (`a.b` goes into objects) in the JSON object that the last line of `stdout` is.
pub(super) fn release_in(stdout: &str, key: &str) -> Option<String> {
    let line = stdout.lines().rev().find(|line| !line.trim().is_empty())?;
    let object: serde_json::Value = serde_json::from_str(line).ok()?;
    key.split('.').try_fold(&object, |value, part| value.get(part))?.as_str().map(str::to_owned)
}

/// Asks on connections of its own which release answers; all answers must name the same one.
///
/// # Errors
/// An answer is missing, not 2xx, names no release or another one than the answer before.
pub(super) fn probe_release(target: SocketAddr, host: &str, path: &str) -> anyhow::Result<String> {
    let mut releases = Vec::new();
    for _ in 0..PROBES {
        let mut exchange = Exchange::connect(target, Duration::from_secs(10))?;
        let wanted = Wanted { release: true, ..Wanted::default() };
        let answer = exchange.ask(&get(host, path, "Connection: close\r\n"), wanted, |_| {})?;
        if !(200..300).contains(&answer.status) {
            bail!("{host}{path} answered {}", answer.status);
        }
        let release =
            answer.release.with_context(|| format!("the answer of {host}{path} has no Havre-Release"))?;
        releases.push(release.into_string());
    }
    releases.dedup();
    match releases.as_slice() {
        [release] => Ok(release.clone()),
        several => bail!("{host}{path} was answered by {} in turn", several.join(" and ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn argv(parts: &[&str]) -> Vec<String> {
        parts.iter().map(|part| (*part).to_owned()).collect()
    }

    #[test]
    fn a_command_gets_its_number_and_its_last_line_names_the_release() {
        let command = argv(&["printf", "noise\\n{\"release\":\"r{n}\"}\\n\\n"]);
        let ran = run_argv(&command, 12, Duration::from_secs(10)).unwrap();
        assert!(ran.succeeded && ran.ended >= ran.began);
        assert_eq!(release_in(&ran.stdout, "release"), Some("r12".to_owned()));
    }

    #[test]
    fn a_failing_command_is_told_as_such_and_a_hanging_one_is_killed() {
        assert!(!run_argv(&argv(&["false"]), 1, Duration::from_secs(10)).unwrap().succeeded);
        let error = run_argv(&argv(&["sleep", "60"]), 1, Duration::from_millis(50)).unwrap_err();
        assert_eq!(error.to_string(), "sleep took longer than 0 s and was killed");
        let error = run_argv(&argv(&["/no/such/program"]), 1, Duration::from_secs(1)).unwrap_err();
        assert_eq!(error.to_string(), "start /no/such/program");
    }

    #[test]
    fn the_release_is_found_by_its_key_only() {
        assert_eq!(release_in("{\"a\":{\"b\":\"r7\"}}", "a.b"), Some("r7".to_owned()));
        assert_eq!(release_in("{\"a\":{\"b\":\"r7\"}}", "a"), None);
        assert_eq!(release_in("{\"release\":\"r7\"}\nbye", "release"), None);
        assert_eq!(release_in("", "release"), None);
    }
}
