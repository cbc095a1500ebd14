//! Keeps what the API says of the engine up to date.

use std::sync::Arc;
use std::time::Duration;

use havre_api::node::EngineStatus;
use havre_build::docker::DockerBuilder;
use havre_engine::Engine;
use havre_web::NodeView;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// Pause between two questions.
const INTERVAL: Duration = Duration::from_secs(15);

/// Asks the engine about itself until `stop`, and the builder what people should know of it.
pub(crate) async fn watch_engine(
    (engine, builder): (Arc<dyn Engine>, Arc<DockerBuilder>),
    view: watch::Sender<NodeView>,
    stop: CancellationToken,
) {
    loop {
        let mut status = match engine.info().await {
            Ok(info) => EngineStatus {
                is_ready: true,
                text: format!("{} {}, API {}", info.kind, info.version, info.api_version),
                warnings: info.warnings,
            },
            Err(error) => EngineStatus { is_ready: false, text: error.to_string(), warnings: Vec::new() },
        };
        status.warnings.extend(builder.warning());
        view.send_if_modified(|view| {
            let differs = view.engine != status;
            if differs {
                tracing::info!(engine = %status.text, ready = status.is_ready, "engine");
                for warning in &status.warnings {
                    tracing::warn!(%warning, "engine");
                }
                view.engine = status;
            }
            differs
        });
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(INTERVAL) => {}
        }
    }
}
