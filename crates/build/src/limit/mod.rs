//! Keeps builds from hurting their neighbours: limits on the groups of processes in which BuildKit runs its steps, and the
//! kernel's counters of what they ran into. What follows from the counters is decided in `havre_decide::build::limit`.
//!
//! Docker knows no limits for a build by BuildKit: of what its `/build` takes, neither memory nor the parent of the group
//! reaches it. So they are set from outside, by whoever may write to the groups: control itself where it runs as root, else the
//! role `guard`. See decision 0036. Tests: at the end of `group.rs` and `watch.rs`.

pub mod group;
mod watch;

use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use havre_decide::build::limit::Limits;

use group::Groups;
pub(crate) use watch::Watch;

/// Where the kernel shows groups of processes.
pub const ROOT: &str = "/sys/fs/cgroup";

/// Looks in a row that must find a group without limits before it counts: the guard needs a moment as well.
const DOUBT: u32 = 5;

/// Limits, and where they are set.
#[derive(Debug, Clone)]
pub struct Fence {
    /// What builds may use together.
    pub limits: Limits,
    /// Usually [`ROOT`].
    pub root: PathBuf,
}

/// Whether builds have their limits, as far as anybody has seen; shared by all builds.
#[derive(Debug, Clone, Default)]
pub(crate) struct Warning(Arc<Mutex<Doubt>>);

#[derive(Debug, Default)]
struct Doubt {
    misses: u32,
    text: Option<String>,
}

impl Warning {
    /// What to tell people; nothing while all is well.
    pub(crate) fn text(&self) -> Option<String> {
        self.doubt().text.clone()
    }

    /// Sets limits, and looks whether somebody else did where this process may not.
    fn enforce(&self, groups: &Groups, limits: &Limits, makes_shared: bool) {
        let enforced = groups.enforce(limits, makes_shared);
        let Some(failed) = enforced.failed.first() else {
            if enforced.groups > 0 {
                *self.doubt() = Doubt::default();
            }
            return;
        };
        match groups.is_enforced(limits) {
            Some(true) => *self.doubt() = Doubt::default(),
            Some(false) => self.miss(failed),
            None => {}
        }
    }

    fn miss(&self, failed: &str) {
        let mut doubt = self.doubt();
        doubt.misses = doubt.misses.saturating_add(1);
        if doubt.misses < DOUBT {
            return;
        }
        let text = format!(
            "builds run without limits of memory and processes: this process may not set them ({failed}), and \
             `havred guard` does not run; start havred-guard.service"
        );
        if doubt.text.as_ref() != Some(&text) {
            tracing::warn!("{text}");
            doubt.text = Some(text);
        }
    }

    fn doubt(&self) -> MutexGuard<'_, Doubt> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
