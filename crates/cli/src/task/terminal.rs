//! The user's terminal: its size, raw mode for sessions, silence for secrets. Every change is undone when its guard
//! goes away.

use std::io;
use std::os::fd::AsFd as _;

use havre_api::task::TerminalSize;
use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcgetwinsize, tcsetattr};

/// Puts the terminal back as it was.
#[derive(Debug)]
pub(crate) struct Guard {
    before: Termios,
}

impl Drop for Guard {
    fn drop(&mut self) {
        // A terminal that is gone cannot be put back.
        let _ = tcsetattr(io::stdin().as_fd(), OptionalActions::Flush, &self.before);
    }
}

/// Every key goes to the command unchanged, Ctrl-C included.
pub(crate) fn raw() -> io::Result<Guard> {
    let before = tcgetattr(io::stdin().as_fd())?;
    let mut raw = before.clone();
    raw.make_raw();
    tcsetattr(io::stdin().as_fd(), OptionalActions::Flush, &raw)?;
    Ok(Guard { before })
}

/// What is typed is not shown.
pub(crate) fn silence() -> io::Result<Guard> {
    let before = tcgetattr(io::stdin().as_fd())?;
    let mut silent = before.clone();
    silent.local_modes.remove(LocalModes::ECHO);
    tcsetattr(io::stdin().as_fd(), OptionalActions::Flush, &silent)?;
    Ok(Guard { before })
}

/// Size of the terminal on standard output or standard error.
pub(crate) fn size() -> Option<TerminalSize> {
    let size = tcgetwinsize(io::stderr().as_fd()).or_else(|_| tcgetwinsize(io::stdout().as_fd())).ok()?;
    (size.ws_col > 0 && size.ws_row > 0).then_some(TerminalSize { columns: size.ws_col, rows: size.ws_row })
}
