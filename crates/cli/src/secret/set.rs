//! `havre secret set`: one value, from standard input or a prompt that shows nothing. Tests at the end of the file.

use std::collections::BTreeMap;
use std::io::{IsTerminal as _, Read as _};

use havre_core::name::EnvKey;
use havre_core::secret::value::VALUE_MAX;

use crate::exit::{CliError, Exit};
use crate::invocation::Invocation;
use crate::output;
use crate::secret::{Then, set_all};
use crate::task::terminal;

#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// The secret, such as JWT_SECRET; its value comes from standard input
    name: EnvKey,
    #[command(flatten)]
    then: Then,
}

pub(crate) async fn run(invocation: &Invocation, options: Options) -> Result<Exit, CliError> {
    let value = read_value(&format!("value of {}", options.name), VALUE_MAX)?;
    set_all(invocation, BTreeMap::from([(options.name, value)]), options.then).await
}

/// Something secret, at most so many bytes of it, from standard input or a prompt.
pub(super) fn read_value(what: &str, most: usize) -> Result<String, CliError> {
    let failed = |error: std::io::Error| CliError::io("read the value", &error);
    let mut text = String::new();
    if std::io::stdin().is_terminal() {
        output::say(&format!("{what} (it is not shown; pipe one of several lines in):"));
        let _silence = terminal::silence().map_err(failed)?;
        std::io::stdin().read_line(&mut text).map_err(failed)?;
    } else {
        // Room for more than is allowed, so that a longer one is refused and not cut.
        let limit = u64::try_from(most).unwrap_or(u64::MAX).saturating_add(16);
        std::io::stdin().lock().take(limit).read_to_string(&mut text).map_err(failed)?;
    }
    match without_end(&text) {
        "" => Err(CliError::usage("no value was given").hint("pipe it to standard input")),
        value => Ok(value.to_owned()),
    }
}

/// The line break at the end is the terminal's or the file's, anything else is the value's.
fn without_end(text: &str) -> &str {
    let text = text.strip_suffix('\n').unwrap_or(text);
    text.strip_suffix('\r').unwrap_or(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_last_line_break_goes() {
        assert_eq!(without_end("a b \n"), "a b ");
        assert_eq!(without_end("a\r\n"), "a");
        assert_eq!(without_end("two\nlines\n\n"), "two\nlines\n");
        assert_eq!(without_end("\n"), "");
    }
}
