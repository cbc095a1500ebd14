//! SIGTERM and SIGINT as a soft stop: accept nothing new, finish what is under way. SIGHUP asks an edge to hand over to a
//! successor.

use anyhow::Context as _;
use havre_edge::role::Orders;
use tokio::signal::unix::{Signal, SignalKind, signal};
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

/// Orders for an edge, which runs its own threads, from the signals of this process.
pub(crate) fn watch_thread() -> anyhow::Result<Orders> {
    let (stopping, stop) = watch::channel(false);
    let (succession, succeed) = watch::channel(0);
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().context("start a runtime")?;
    // Before the thread runs, so that no signal can end the process meanwhile.
    let hangup = {
        let _context = runtime.enter();
        signal(SignalKind::hangup()).context("listen for SIGHUP")?
    };
    std::thread::Builder::new()
        .name("signals".to_owned())
        .spawn(move || {
            runtime.block_on(async {
                tokio::select! {
                    heard = stopped() => {
                        if let Err(error) = heard {
                            tracing::error!(error = %format!("{error:#}"), "signals are not heard");
                            std::future::pending::<()>().await;
                        }
                    }
                    () = count(hangup, succession) => {}
                }
            });
            stopping.send_replace(true);
        })
        .context("start the thread that listens for signals")?;
    Ok(Orders { stop, succeed: Some(succeed) })
}

/// Counts signals for ever.
async fn count(mut signal: Signal, sender: watch::Sender<u64>) {
    while signal.recv().await.is_some() {
        sender.send_modify(|count| *count += 1);
    }
    std::future::pending().await
}
