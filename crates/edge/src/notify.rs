//! Tells systemd what it needs to know of an edge (`sd_notify(3)`); says nothing elsewhere. Tests: `script/install-test`.

use sd_notify::NotifyState;
use tracing::warn;

/// The edge serves. Units of type `notify` count as started from here on.
pub(crate) fn ready() {
    say(&[NotifyState::Ready]);
}

/// Another process is the edge from now on; this one drains.
pub(crate) fn succeeded_by(process: u32) {
    say(&[NotifyState::MainPid(process)]);
}

fn say(states: &[NotifyState<'_>]) {
    if let Err(problem) = sd_notify::notify(states) {
        warn!(%problem, "cannot tell the service manager");
    }
}
