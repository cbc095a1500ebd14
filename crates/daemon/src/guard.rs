//! The role `guard`: keeps the limits of builds where control may not set them, which is where systemd hardens it. Runs as root, and
//! does nothing else: it opens no connection, talks to nobody, and writes to the kernel's groups of builds only.

use std::path::Path;
use std::time::Duration;

use anyhow::Context as _;
use havre_build::limit::ROOT;
use havre_build::limit::group::Groups;

use crate::config::Config;
use crate::signals;

/// Pause between two looks. A step runs without limits for as long at most, and a look costs the reading of one folder.
const LOOK: Duration = Duration::from_millis(100);

/// Runs until SIGTERM.
pub(crate) fn run(config: &Config) -> anyhow::Result<()> {
    let limits = config.build.limits();
    let groups = Groups::at(Path::new(ROOT));
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().context("start a runtime")?;
    tracing::info!(memory = %limits.memory, pids = limits.pids, "keeping builds within their limits");
    runtime.block_on(async {
        let stopped = signals::stopped();
        tokio::pin!(stopped);
        let mut told = None;
        loop {
            let enforced = groups.enforce(&limits, false);
            let failed = enforced.failed.into_iter().next();
            if told != failed {
                if let Some(failed) = &failed {
                    tracing::error!(%failed, "could not set the limits of a build");
                }
                told = failed;
            }
            tokio::select! {
                heard = &mut stopped => return heard,
                () = tokio::time::sleep(LOOK) => {}
            }
        }
    })
}
