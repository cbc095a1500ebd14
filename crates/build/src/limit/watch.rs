//! Watches over one build: sets limits on the groups of its steps as they appear, reads the kernel's counters, says when the build
//! must be ended, and at its end what made it fail. Tests at the end of the file.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use havre_decide::build::limit::{Blame, Resource, Tally};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::group::Groups;
use super::{Fence, Warning};
use crate::line::now;

/// Pause between two looks: what a step can take before it has limits is what it takes in this time.
const LOOK: Duration = Duration::from_millis(200);

/// A watch over one build. It ends when this goes away.
#[derive(Debug)]
pub(crate) struct Watch {
    eye: Arc<Eye>,
    exhausted: watch::Receiver<Option<Resource>>,
    looking: JoinHandle<()>,
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.looking.abort();
    }
}

impl Watch {
    /// Sets limits and begins to count; `makes_shared` as in [`Groups::enforce`].
    pub(crate) fn start(fence: &Fence, makes_shared: bool, warning: Warning) -> Self {
        let groups = Groups::at(&fence.root);
        // Before the first count: whether a group was full depends on its limit.
        warning.enforce(&groups, &fence.limits, makes_shared);
        let tally = Mutex::new(Tally::new(groups.sample()));
        let eye = Arc::new(Eye { fence: fence.clone(), groups, makes_shared, tally, warning });
        let (sender, exhausted) = watch::channel(None);
        let looking = tokio::spawn({
            let eye = Arc::clone(&eye);
            async move {
                while !sender.is_closed() {
                    tokio::time::sleep(LOOK).await;
                    let eye = Arc::clone(&eye);
                    let Ok(resource) = tokio::task::spawn_blocking(move || eye.look()).await else { return };
                    if resource.is_some() {
                        sender.send_replace(resource);
                    }
                }
            }
        });
        Self { eye, exhausted, looking }
    }

    /// Returns when the build must be ended, and for what.
    pub(crate) async fn exhausted(&self) -> Resource {
        let mut exhausted = self.exhausted.clone();
        let found = exhausted.wait_for(Option::is_some).await.ok().and_then(|found| *found);
        match found {
            Some(resource) => resource,
            // Nobody looks any more.
            None => std::future::pending().await,
        }
    }

    /// What made a step fail that ended with this exit code and these last lines.
    pub(crate) fn blame(&self, exit_code: Option<i32>, last_lines: &[String]) -> Option<Blame> {
        self.eye.look();
        self.eye.tally().blame(exit_code, last_lines)
    }
}

#[derive(Debug)]
struct Eye {
    fence: Fence,
    groups: Groups,
    makes_shared: bool,
    tally: Mutex<Tally>,
    warning: Warning,
}

impl Eye {
    fn tally(&self) -> MutexGuard<'_, Tally> {
        self.tally.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn look(&self) -> Option<Resource> {
        self.warning.enforce(&self.groups, &self.fence.limits, self.makes_shared);
        let sample = self.groups.sample();
        let mut tally = self.tally();
        tally.take(&sample, now());
        tally.exhausted()
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use havre_core::quantity::ByteSize;
    use havre_decide::build::limit::Limits;

    use super::*;

    #[tokio::test]
    async fn what_a_build_ran_into_is_known_at_its_end() {
        let folder = tempfile::tempdir().expect("a folder");
        let put = |name: &str, text: &str| {
            let path = folder.path().join(name);
            fs::create_dir_all(path.parent().expect("has one")).expect("is made");
            fs::write(path, text).expect("is written");
        };
        put("memory/docker/buildkit/memory.limit_in_bytes", "9223372036854771712");
        put("pids/docker/buildkit/pids.max", "max");
        put("pids/docker/buildkit/pids.peak", "9");
        let limits = Limits { memory: ByteSize::mebibytes(64), pids: 10, cpu_weight: 20, io_weight: 20 };
        let fence = Fence { limits, root: folder.path().to_owned() };
        let warning = Warning::default();
        let watch = Watch::start(&fence, false, warning.clone());
        let limit = fs::read_to_string(folder.path().join("memory/docker/buildkit/memory.limit_in_bytes"));
        assert_eq!(limit.expect("is there"), "67108864");
        assert_eq!(watch.blame(Some(2), &[]), None);
        put("pids/docker/buildkit/pids.peak", "10");
        assert_eq!(watch.blame(Some(2), &[]), Some(Blame::Certain(Resource::Pids)));
        let waited = tokio::time::timeout(Duration::from_millis(50), watch.exhausted()).await;
        assert!(waited.is_err(), "nothing to end it for");
        assert_eq!(warning.text(), None);
    }
}
