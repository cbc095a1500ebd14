//! Log lines of Docker: frames of the json-file driver turned into bounded lines. Tests at the end of the file.

use bollard::container::LogOutput;
use bollard::query_parameters::LogsOptionsBuilder;
use futures_util::{StreamExt, future};
use havre_core::time::Timestamp;

use super::{DockerEngine, answer};
use crate::error::EngineError;
use crate::log::{LogLine, LogQuery, LogSource, LogStream, bound_line};

impl DockerEngine {
    pub(super) async fn read_logs(&self, name: &str, query: LogQuery) -> Result<LogStream, EngineError> {
        let found = self.get_container(name).await?;
        let tail = query.tail.map_or_else(|| "all".to_owned(), |lines| lines.to_string());
        // Docker takes whole seconds, in bollard 32 bits of them; what is too early is dropped below.
        let seconds = query.since.map_or(0, |since| since.as_millis().div_euclid(1000).max(0));
        let options = LogsOptionsBuilder::default()
            .stdout(true)
            .stderr(true)
            .timestamps(true)
            .follow(query.follow)
            .tail(&tail)
            .since(i32::try_from(seconds).unwrap_or(i32::MAX))
            .build();
        let frames = self.client()?.logs(&found.id, Some(options));
        let (socket, what) = (self.socket.clone(), format!("read the logs of task `{name}`"));
        let mut lines = Lines::default();
        let lines = frames.filter_map(move |frame| {
            let line = match frame {
                Ok(frame) => lines.read(frame).map(Ok),
                Err(error) => Some(Err(answer::explain(&socket, &what, error))),
            };
            let is_wanted = |line: &LogLine| query.since.is_none_or(|since| line.at >= since);
            future::ready(line.filter(|line| line.as_ref().map_or(true, is_wanted)))
        });
        Ok(lines.boxed())
    }
}

/// Turns frames into lines. Docker splits long lines into frames, each with a time of its own, and ends only the last one
/// with a line feed.
#[derive(Default)]
struct Lines {
    /// Whether the next frame of standard output, of standard error, continues a line that was cut.
    continues: [bool; 2],
    last: Timestamp,
}

impl Lines {
    fn read(&mut self, frame: LogOutput) -> Option<LogLine> {
        let stream = match frame {
            LogOutput::StdErr { .. } => LogSource::Stderr,
            LogOutput::StdOut { .. } | LogOutput::StdIn { .. } | LogOutput::Console { .. } => {
                LogSource::Stdout
            }
        };
        let bytes = frame.into_bytes();
        let is_whole = bytes.last() == Some(&b'\n');
        let continues = &mut self.continues[usize::from(stream == LogSource::Stderr)];
        if std::mem::replace(continues, !is_whole) {
            return None;
        }
        let (at, text) = split_time(&bytes).unwrap_or((self.last, &bytes));
        self.last = at;
        let text = text.strip_suffix(b"\n").unwrap_or(text);
        let (line, is_cut) = bound_line(text.strip_suffix(b"\r").unwrap_or(text));
        Some(LogLine { at, stream, line, is_cut: is_cut || !is_whole })
    }
}

/// `2026-11-24T10:00:00.123456789Z text`
fn split_time(bytes: &[u8]) -> Option<(Timestamp, &[u8])> {
    let space = bytes.iter().take(40).position(|byte| *byte == b' ')?;
    let at = Timestamp::parse(std::str::from_utf8(&bytes[..space]).ok()?).ok()?;
    Some((at, &bytes[space + 1..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_lines_are_cut_and_their_rest_dropped() {
        let frame = |text: &str| LogOutput::StdOut { message: text.to_owned().into() };
        let mut lines = Lines::default();
        let mut read = |text: &str| lines.read(frame(text)).map(|line| (line.line, line.is_cut));
        assert_eq!(read("2026-11-24T10:00:00.123456789Z one\r\n"), Some(("one".into(), false)));
        assert_eq!(read("2026-11-24T10:00:00.123456789Z two"), Some(("two".into(), true)));
        assert_eq!(read("2026-11-24T10:00:00.123456789Z more"), None);
        assert_eq!(read("2026-11-24T10:00:00.123456789Z end\n"), None);
        assert_eq!(read("2026-11-24T10:00:00.123456789Z \n"), Some((String::new(), false)));
        assert_eq!(read("no time\n"), Some(("no time".into(), false)));
    }

    #[test]
    fn the_two_streams_do_not_mix() {
        let mut lines = Lines::default();
        let out = LogOutput::StdOut { message: "2026-11-24T10:00:00Z part".into() };
        let err = LogOutput::StdErr { message: "2026-11-24T10:00:00Z whole\n".into() };
        assert!(lines.read(out).is_some_and(|line| line.is_cut));
        assert!(lines.read(err).is_some_and(|line| line.stream == LogSource::Stderr && !line.is_cut));
    }
}
