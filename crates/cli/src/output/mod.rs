//! What people and programs read: data on standard output, everything else on standard error.

pub(crate) mod style;
pub(crate) mod table;
pub(crate) mod time;

use std::io::{ErrorKind, Write as _};

use serde::Serialize;

use crate::exit::{CliError, Exit};

/// Writes data. A reader that has gone away, such as `head`, ends the command quietly.
pub(crate) fn data(text: &str) -> Result<(), CliError> {
    let mut out = std::io::stdout().lock();
    written(out.write_all(text.as_bytes()).and_then(|()| out.flush()))
}

/// The same for bytes of a command.
pub(crate) fn bytes(bytes: &[u8]) -> Result<(), CliError> {
    let mut out = std::io::stdout().lock();
    written(out.write_all(bytes).and_then(|()| out.flush()))
}

fn written(result: std::io::Result<()>) -> Result<(), CliError> {
    match result {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Err(CliError::silent(Exit::Ok)),
        Err(error) => {
            Err(CliError::new(Exit::Failed, format!("could not write to standard output: {error}")))
        }
    }
}

/// Writes a whole answer as JSON.
pub(crate) fn json(value: &impl Serialize) -> Result<(), CliError> {
    let mut text = serde_json::to_string_pretty(value).expect("wire types are always JSON");
    text.push('\n');
    data(&text)
}

/// Writes one JSON line.
pub(crate) fn json_line(value: &impl Serialize) -> Result<(), CliError> {
    let mut text = serde_json::to_string(value).expect("wire types are always JSON");
    text.push('\n');
    data(&text)
}

/// Says something that is not data. Nobody may be there to read it.
pub(crate) fn say(text: &str) {
    let _ = writeln!(std::io::stderr().lock(), "{text}");
}

/// Says each warning.
pub(crate) fn warn(warnings: &[String]) {
    for warning in warnings {
        say(&format!("note: {}", printable(warning)));
    }
}

/// Text of the server or of an application without anything a terminal would obey.
pub(crate) fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() && c != '\t' { '\u{fffd}' } else { c }).collect()
}
