//! SIGTERM and SIGINT as a soft stop: accept nothing new, finish what is under way.

use anyhow::Context as _;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

/// Resolves at the first SIGTERM or SIGINT.
pub(crate) async fn stopped() -> anyhow::Result<()> {
    let mut terminate = signal(SignalKind::terminate()).context("listen for SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("listen for SIGINT")?;
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    Ok(())
}

/// A value that turns true at the first signal, for a role that runs its own threads.
pub(crate) fn watch_thread() -> anyhow::Result<watch::Receiver<bool>> {
    let (sender, receiver) = watch::channel(false);
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().context("start a runtime")?;
    std::thread::Builder::new()
        .name("signals".to_owned())
        .spawn(move || {
            runtime.block_on(async {
                if let Err(error) = stopped().await {
                    tracing::error!(error = %format!("{error:#}"), "signals are not heard");
                    std::future::pending::<()>().await;
                }
            });
            sender.send_replace(true);
        })
        .context("start the thread that listens for signals")?;
    Ok(receiver)
}
