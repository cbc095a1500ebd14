//! How a command ends: its exit code and, when it did not go well, what to say. `docs/cli.md` holds the same table;
//! a test at the end of the file compares them.

use std::fmt;

use havre_api::error::ErrorBody;

/// How a command ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exit {
    /// It did what was asked.
    Ok,
    /// The server says that it failed, such as a deployment.
    Failed,
    /// Wrong usage or configuration; nothing was changed.
    Usage,
    /// No answer from the server.
    Unreachable,
    /// The server does not let us.
    Unauthorised,
    /// There is no such thing, or the present state does not allow it.
    Absent,
    /// A check found something; nothing failed.
    Found,
    /// Ctrl-C.
    Interrupted,
    /// The exit code of a command run by `exec` or `run`.
    Command(u8),
}

/// Exit codes and their meaning, for `--help` and documentation.
pub(crate) const TABLE: [(Exit, &str); 8] = [
    (Exit::Ok, "it did what was asked"),
    (Exit::Failed, "the server reports a failure, such as a deployment that failed"),
    (Exit::Usage, "wrong usage or configuration; nothing was changed"),
    (Exit::Unreachable, "the server cannot be reached"),
    (Exit::Unauthorised, "the server does not accept the token, or not for this"),
    (Exit::Absent, "there is no such thing, or its present state does not allow it"),
    (Exit::Found, "a check found something that should be mended"),
    (Exit::Interrupted, "interrupted by Ctrl-C"),
];

impl Exit {
    /// The number the process ends with.
    pub(crate) const fn code(self) -> u8 {
        match self {
            Self::Ok => 0,
            Self::Failed => 1,
            Self::Usage => 2,
            Self::Unreachable => 3,
            Self::Unauthorised => 4,
            Self::Absent => 5,
            Self::Found => 6,
            Self::Interrupted => 130,
            Self::Command(code) => code,
        }
    }

    /// What a refusal of the server means for us.
    pub(crate) const fn of_status(status: u16) -> Self {
        match status {
            401 | 403 => Self::Unauthorised,
            404 | 409 => Self::Absent,
            400 | 413 | 422 => Self::Usage,
            _ => Self::Failed,
        }
    }
}

/// The table as text for `--help`.
pub(crate) fn help() -> String {
    let mut text = "Exit codes:\n".to_owned();
    for (exit, meaning) in TABLE {
        text.push_str(&format!("  {:>3}  {meaning}\n", exit.code()));
    }
    text.push_str("`exec` and `run` end with the exit code of their command.\n");
    text
}

/// Why a command did not do what was asked.
#[derive(Debug)]
pub(crate) struct CliError {
    /// How the process ends.
    pub(crate) exit: Exit,
    /// For people; empty when everything has been said.
    pub(crate) message: String,
    /// What to do next, for people; empty when there is nothing useful to say.
    pub(crate) hint: String,
    /// Stable name of a refusal by the server; empty for our own.
    pub(crate) code: String,
}

impl CliError {
    /// An error that ends with this exit code.
    pub(crate) fn new(exit: Exit, message: impl Into<String>) -> Self {
        Self { exit, message: message.into(), hint: String::new(), code: String::new() }
    }

    /// Wrong usage or configuration.
    pub(crate) fn usage(message: impl Into<String>) -> Self {
        Self::new(Exit::Usage, message)
    }

    /// What we were doing to what, and the cause.
    pub(crate) fn io(doing: impl fmt::Display, error: &std::io::Error) -> Self {
        Self::usage(format!("could not {doing}: {error}"))
    }

    /// The same with a way out.
    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = hint.into();
        self
    }

    /// A refusal of the server.
    pub(crate) fn refused(status: u16, body: ErrorBody) -> Self {
        let mut error = Self::new(Exit::of_status(status), body.message);
        error.hint = body.hint;
        error.code = body.code;
        if status == 401 && error.hint.is_empty() {
            error.hint = "set HAVRE_TOKEN, or store a token with `havre context add`".to_owned();
        }
        error
    }

    /// Everything has been said already.
    pub(crate) fn silent(exit: Exit) -> Self {
        Self::new(exit, "")
    }
}

impl fmt::Display for CliError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        if self.hint.is_empty() { Ok(()) } else { write!(f, "\n  {}", self.hint.replace('\n', "\n  ")) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_has_the_same_table() {
        let page = include_str!("../../../docs/cli.md");
        for (exit, meaning) in TABLE {
            let row = format!("| {} | {meaning} |", exit.code());
            assert!(page.contains(&row), "docs/cli.md lacks {row}");
        }
    }

    #[test]
    fn statuses() {
        let exits =
            [400, 401, 403, 404, 409, 413, 422, 429, 500, 503, 507].map(|s| Exit::of_status(s).code());
        assert_eq!(exits, [2, 4, 4, 5, 5, 2, 2, 1, 1, 1, 1]);
    }
}
