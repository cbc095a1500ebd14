//! Reads BuildKit's status messages: lines for the log, and which step failed with which last words.
//! Does no I/O. Tests at the end of the file.

use std::collections::{HashMap, VecDeque};

use bollard::moby::buildkit::v1::{StatusResponse, Vertex, VertexLog};
use havre_core::time::Timestamp;
use havre_decide::secret::redact::{Redactor, Stream};

use crate::builder::{BuildError, BuildLine, LAST_LINES, says_no_space};
use crate::line::{LineSplitter, clean, now};

/// Most steps at work that are followed; a Dockerfile has dozens.
const STEPS_MAX: usize = 2_000;
/// Longest step name in bytes.
const NAME_MAX: usize = 512;
/// Longest of the last lines in bytes; the log has the whole line.
const LAST_LINE_MAX: usize = 2_048;
/// BuildKit's own bookkeeping, of no interest unless it fails.
const INTERNAL: &str = "[internal]";
const METADATA: &str = "[internal] load metadata for ";

/// What was heard of one build.
#[derive(Debug, Default)]
pub(super) struct Progress {
    /// Steps at work, by BuildKit's digest.
    steps: HashMap<String, Step>,
    /// The last lines of any step.
    last: VecDeque<String>,
    failed: Option<Failed>,
    redactor: Redactor,
}

#[derive(Debug, Default)]
struct Step {
    name: String,
    is_started: bool,
    started_at: Option<Timestamp>,
    /// In front of the lines, since a secret may have several, or come in pieces.
    redacted: Stream,
    output: LineSplitter,
    last: VecDeque<String>,
}

#[derive(Debug)]
struct Failed {
    step: String,
    message: String,
    last: VecDeque<String>,
}

impl Progress {
    /// Nothing was heard yet.
    pub(super) fn new(redactor: Redactor) -> Self {
        Self { redactor, ..Self::default() }
    }

    /// Takes one message and answers the lines it makes, in order.
    pub(super) fn take(&mut self, status: StatusResponse) -> Vec<BuildLine> {
        let mut lines = Vec::new();
        // Names first, words of a step next, its end last: one message may hold all three.
        for vertex in &status.vertexes {
            self.take_start(vertex, &mut lines);
        }
        for log in &status.logs {
            self.take_log(log, &mut lines);
        }
        for vertex in &status.vertexes {
            self.take_end(vertex, &mut lines);
        }
        lines
    }

    /// Why the build failed: `message` is what ended the stream.
    pub(super) fn into_error(mut self, message: &str) -> BuildError {
        let failed = self.failed.take();
        let message = plain_message(failed.as_ref().map_or(message, |failed| &failed.message));
        if says_no_space(&message.to_lowercase()) {
            return BuildError::NoSpace { what: format!("build the image ({message})") };
        }
        let (step, last) = failed.map_or_else(Default::default, |failed| (failed.step, failed.last));
        if let Some(refused) = base_image(&step).and_then(|image| refused_by_registry(image, &message)) {
            return refused;
        }
        let last = if last.is_empty() { self.last } else { last };
        let message = match step.strip_prefix(METADATA) {
            Some(image) => {
                format!("the base image {image} is neither here nor could it be pulled: {message}")
            }
            None => message,
        };
        BuildError::DockerfileFailed { step, message, last_lines: last.into() }
    }

    fn step(&mut self, digest: &str) -> Option<&mut Step> {
        if !self.steps.contains_key(digest) {
            if self.steps.len() >= STEPS_MAX {
                return None;
            }
            let step = Step { redacted: self.redactor.stream(), ..Step::default() };
            self.steps.insert(digest.to_owned(), step);
        }
        self.steps.get_mut(digest)
    }

    fn take_start(&mut self, vertex: &Vertex, lines: &mut Vec<BuildLine>) {
        let Some(started) = &vertex.started else { return };
        let at = timestamp(started.seconds, started.nanos);
        let Some(step) = self.step(&vertex.digest) else { return };
        if step.is_started {
            return;
        }
        step.is_started = true;
        step.name = shorten(clean(vertex.name.as_bytes()), NAME_MAX);
        step.started_at = Some(at);
        if !vertex.cached && !step.name.starts_with(INTERNAL) {
            lines.push(BuildLine {
                at,
                step: step.name.clone(),
                text: "started".to_owned(),
                was_cached: None,
            });
        }
    }

    fn take_log(&mut self, log: &VertexLog, lines: &mut Vec<BuildLine>) {
        let at = log.timestamp.as_ref().map_or_else(now, |at| timestamp(at.seconds, at.nanos));
        let Some(step) = self.step(&log.vertex) else { return };
        let mut said = Vec::new();
        step.redacted.push(&log.msg, &mut said);
        let texts = step.output.push(&said);
        self.take_texts(&log.vertex, at, texts, lines);
    }

    fn take_texts(&mut self, digest: &str, at: Timestamp, texts: Vec<String>, lines: &mut Vec<BuildLine>) {
        let Some(step) = self.steps.get_mut(digest) else { return };
        for text in texts {
            remember(&mut step.last, &text);
            remember(&mut self.last, &text);
            lines.push(BuildLine { at, step: step.name.clone(), text, was_cached: None });
        }
    }

    fn take_end(&mut self, vertex: &Vertex, lines: &mut Vec<BuildLine>) {
        let Some(completed) = &vertex.completed else { return };
        let at = timestamp(completed.seconds, completed.nanos);
        let Some(step) = self.steps.get_mut(&vertex.digest) else { return };
        if !step.is_started {
            return;
        }
        let mut said = Vec::new();
        step.redacted.finish(&mut said);
        let mut rest = step.output.push(&said);
        rest.extend(step.output.finish());
        self.take_texts(&vertex.digest, at, rest, lines);
        // A digest may start again, for example when it is used by a second build stage.
        let Some(step) = self.steps.remove(&vertex.digest) else { return };
        let text = if !vertex.error.is_empty() {
            // Steps that run beside the failing one are stopped with these words.
            if vertex.error.contains("context canceled") {
                return;
            }
            let message = plain_message(&vertex.error);
            let failed =
                Failed { step: step.name.clone(), message: vertex.error.clone(), last: step.last.clone() };
            self.failed.get_or_insert(failed);
            format!("failed: {message}")
        } else if step.name.starts_with(INTERNAL) {
            return;
        } else if vertex.cached {
            "cached".to_owned()
        } else {
            let took = at.since(step.started_at.unwrap_or(at));
            format!("done in {:.1} s", took.as_secs_f64())
        };
        // Everything of the Dockerfile begins with its place in it, `[2/4]`; the rest is BuildKit's own.
        let is_counted = step.name.starts_with('[') && !step.name.starts_with(INTERNAL);
        lines.push(BuildLine { at, step: step.name, text, was_cached: is_counted.then_some(vertex.cached) });
    }
}

fn remember(last: &mut VecDeque<String>, text: &str) {
    if last.len() >= LAST_LINES {
        last.pop_front();
    }
    last.push_back(shorten(text.to_owned(), LAST_LINE_MAX));
}

fn shorten(mut text: String, most: usize) -> String {
    if text.len() > most {
        text.truncate(text.floor_char_boundary(most - '…'.len_utf8()));
        text.push('…');
    }
    text
}

/// The base image that a step is about: the one that looks for it, or the one that fetches it (`[1/3] FROM node:22`).
fn base_image(step: &str) -> Option<&str> {
    let of_stage = || step.strip_prefix('[')?.split_once(']')?.1.strip_prefix(" FROM ");
    step.strip_prefix(METADATA).or_else(of_stage)
}

/// Registries are told apart by what BuildKit passes on of their answers, as the engine does for images by name.
fn refused_by_registry(image: &str, message: &str) -> Option<BuildError> {
    let lower = message.to_lowercase();
    let says = |words: &[&str]| words.iter().any(|word| lower.contains(word));
    let (image, message) = (image.to_owned(), message.to_owned());
    if says(&["429 too many requests", "toomanyrequests", "rate limit"]) {
        return Some(BuildError::RateLimited { image, message });
    }
    // "repository does not exist or may require authorization": the registry does not say which of the two.
    let is_unclear = says(&["does not exist"]);
    let is_denied = says(&[
        "401 unauthorized",
        "403 forbidden",
        "unauthorized:",
        "denied:",
        "authentication required",
        "no basic auth credentials",
    ]);
    (is_denied && !is_unclear).then_some(BuildError::Denied { image, message })
}

/// The message without the wrapping that each layer of BuildKit puts around it, on one line.
fn plain_message(message: &str) -> String {
    let mut text = message.trim();
    loop {
        let inner = ["failed to solve with frontend dockerfile.v0: ", "failed to solve: "]
            .iter()
            .find_map(|prefix| text.strip_prefix(prefix))
            .or_else(|| text.strip_prefix("rpc error: code = ")?.split_once(" desc = ").map(|(_, rest)| rest))
            .or_else(|| text.strip_prefix("failed to create LLB definition: "));
        match inner {
            Some(inner) => text = inner,
            None => break,
        }
    }
    let line = text.lines().map(str::trim).filter(|line| !line.is_empty()).collect::<Vec<_>>().join(" ");
    shorten(clean(line.as_bytes()), LAST_LINE_MAX)
}

fn timestamp(seconds: i64, nanos: i32) -> Timestamp {
    Timestamp::from_millis(seconds.saturating_mul(1000).saturating_add(i64::from(nanos / 1_000_000)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn vertex(digest: &str, name: &str) -> Vertex {
        Vertex { digest: digest.to_owned(), name: name.to_owned(), ..Vertex::default() }
    }

    fn started(mut vertex: Vertex) -> Vertex {
        let time = vertex.started.get_or_insert_default();
        time.seconds = 100;
        vertex
    }

    fn completed(mut vertex: Vertex, error: &str) -> Vertex {
        let time = vertex.completed.get_or_insert_default();
        time.seconds = 101;
        time.nanos = 500_000_000;
        vertex.error = error.to_owned();
        started(vertex)
    }

    fn log(digest: &str, text: &str) -> VertexLog {
        VertexLog {
            vertex: digest.to_owned(),
            timestamp: started(vertex("", "")).started,
            stream: 1,
            msg: text.as_bytes().to_vec(),
        }
    }

    fn take(progress: &mut Progress, vertexes: Vec<Vertex>, logs: Vec<VertexLog>) -> Vec<String> {
        let status = StatusResponse { vertexes, logs, ..StatusResponse::default() };
        progress.take(status).into_iter().map(|line| format!("{} | {}", line.step, line.text)).collect()
    }

    #[test]
    fn a_step_is_told_as_it_goes() {
        let mut progress = Progress::default();
        let run = || vertex("a", "[2/2] RUN make");
        assert_eq!(take(&mut progress, vec![vertex("a", "[2/2] RUN make")], vec![]), Vec::<String>::new());
        assert_eq!(take(&mut progress, vec![started(run())], vec![]), ["[2/2] RUN make | started"]);
        assert_eq!(take(&mut progress, vec![started(run())], vec![log("a", "o")]), Vec::<String>::new());
        assert_eq!(
            take(&mut progress, vec![completed(run(), "")], vec![log("a", "ne\n\u{1b}[32mtwo")]),
            ["[2/2] RUN make | one", "[2/2] RUN make | two", "[2/2] RUN make | done in 1.5 s"]
        );
    }

    #[test]
    fn cached_and_internal_steps_are_short() {
        let mut progress = Progress::default();
        let cached = Vertex { cached: true, ..completed(vertex("a", "[1/2] FROM x"), "") };
        let internal = completed(vertex("b", "[internal] load .dockerignore"), "");
        assert_eq!(take(&mut progress, vec![cached, internal], vec![]), ["[1/2] FROM x | cached"]);
        assert!(progress.steps.is_empty());
    }

    #[test]
    fn steps_of_the_dockerfile_are_counted() {
        let mut progress = Progress::default();
        let cached = Vertex { cached: true, ..completed(vertex("a", "[1/3] FROM x"), "") };
        let vertexes = vec![
            cached,
            completed(vertex("b", "[2/3] RUN make"), ""),
            completed(vertex("c", "exporting to image"), ""),
            completed(vertex("d", "[3/3] RUN false"), "exit code: 1"),
            completed(vertex("e", "[internal] load build context"), "gone"),
        ];
        let status = StatusResponse { vertexes, ..StatusResponse::default() };
        let lines = progress.take(status);
        let counted: Vec<bool> = lines.iter().filter_map(|line| line.was_cached).collect();
        assert_eq!(counted, [true, false, false], "{lines:#?}");
    }

    #[test]
    fn the_failing_step_is_named_with_its_last_lines() {
        let mut progress = Progress::default();
        let words: String = (0..30).map(|number| format!("line {number}\n")).collect();
        let lines = take(
            &mut progress,
            vec![
                completed(vertex("b", "[other 1/1] RUN sleep 9"), "context canceled"),
                completed(vertex("a", "[2/2] RUN make"), "exit code: 7"),
            ],
            vec![log("a", &words), log("b", "other words\n")],
        );
        assert_eq!(lines.last().map(String::as_str), Some("[2/2] RUN make | failed: exit code: 7"));
        let error = progress.into_error("failed to solve: rpc error: code = Unknown desc = exit code: 7");
        let BuildError::DockerfileFailed { step, message, last_lines } = error else { panic!("{error:?}") };
        assert_eq!((step.as_str(), message.as_str()), ("[2/2] RUN make", "exit code: 7"));
        assert_eq!(last_lines.len(), LAST_LINES);
        assert_eq!((last_lines[0].as_str(), last_lines[19].as_str()), ("line 10", "line 29"));
    }

    #[test]
    fn failures_outside_of_steps() {
        let wrapped = "failed to solve with frontend dockerfile.v0: failed to create LLB definition: \
                       dockerfile parse error line 1: unknown instruction: FRM";
        let error = Progress::default().into_error(wrapped);
        assert_eq!(
            error.to_string(),
            "the Dockerfile cannot be built: dockerfile parse error line 1: unknown instruction: FRM"
        );
        let full = "failed to solve: write /var/lib/docker/x: no space left on device";
        assert!(matches!(Progress::default().into_error(full), BuildError::NoSpace { .. }));
        let mut progress = Progress::default();
        let name = "[internal] load metadata for docker.io/library/nope:1";
        take(&mut progress, vec![completed(vertex("a", name), "not found")], vec![]);
        assert_eq!(
            progress.into_error("x").to_string(),
            "step [internal] load metadata for docker.io/library/nope:1 failed: the base image \
             docker.io/library/nope:1 is neither here nor could it be pulled: not found"
        );
    }

    #[test]
    fn registries_that_refuse_a_base_image_are_told_apart() {
        let fails = |step: &str, text: &str| {
            let mut progress = Progress::default();
            take(&mut progress, vec![completed(vertex("a", step), text)], vec![]);
            progress.into_error("failed to solve: x")
        };
        let metadata = "[internal] load metadata for docker.io/library/node:22";
        for limited in [
            "failed to resolve source metadata for docker.io/library/node:22: failed to copy: httpReadSeeker: failed open: \
             unexpected status code https://registry-1.docker.io/v2/library/node/manifests/sha256:0: 429 Too Many Requests - \
             Server message: toomanyrequests: You have reached your pull rate limit.",
            "unexpected status code [manifests 22]: 429 Too Many Requests",
        ] {
            for step in [metadata, "[build 1/2] FROM docker.io/library/node:22"] {
                let error = fails(step, limited);
                assert_eq!(
                    error.to_string(),
                    format!(
                        "the registry limits how often the base image docker.io/library/node:22 may be pulled: {limited}; \
                         try again later"
                    )
                );
                assert!(!error.is_permanent());
            }
        }
        for denied in [
            "unexpected status code [manifests 22]: 401 Unauthorized",
            "unexpected status from HEAD request to https://r.example/v2/a/manifests/22: 403 Forbidden",
            "failed to authorize: failed to fetch anonymous token: unexpected status from GET request to \
             https://r.example/token: 401 Unauthorized",
        ] {
            let error = fails(metadata, denied);
            assert_eq!(
                error.to_string(),
                format!(
                    "the registry denied access to the base image docker.io/library/node:22: {denied}; \
                     `havre registry set docker.io` gives it a user and a password"
                )
            );
            assert!(error.is_permanent());
        }
        let unclear = "pull access denied, repository does not exist or may require authorization: server message: \
                       insufficient_scope: authorization failed";
        let text = fails(metadata, unclear).to_string();
        assert!(text.contains("is neither here nor could it be pulled: pull access denied"), "{text}");
        // A program of the user's own that meets a limit is no base image.
        let own = fails("[2/2] RUN curl https://api.example", "429 Too Many Requests");
        assert!(matches!(own, BuildError::DockerfileFailed { .. }), "{own:?}");
    }
}
