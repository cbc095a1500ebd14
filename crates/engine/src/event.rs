//! What happens at an engine, as it happens. A hint to look again, never the truth: that is `Engine::list_tasks`.

use futures_util::stream::BoxStream;
use havre_core::artifact::Digest;
use havre_core::task::Healthcheck;
use havre_core::task::spec::Purpose;
use havre_core::time::Timestamp;
use serde::{Deserialize, Serialize};

/// A change at the engine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "type")]
pub enum EngineEvent {
    /// A task of ours runs.
    TaskStarted {
        /// Name of the container.
        name: String,
        /// Why it exists.
        purpose: Purpose,
        /// When, by the engine's clock.
        at: Timestamp,
    },
    /// A task of ours has ended, asked or not.
    TaskExited {
        /// Name of the container.
        name: String,
        /// Why it existed.
        purpose: Purpose,
        /// Exit code.
        code: i64,
        /// When, by the engine's clock.
        at: Timestamp,
    },
    /// A task of ours is gone with its logs.
    TaskRemoved {
        /// Name of the container.
        name: String,
        /// Why it existed.
        purpose: Purpose,
        /// When, by the engine's clock.
        at: Timestamp,
    },
    /// The image's own `HEALTHCHECK` came to another result.
    HealthChanged {
        /// Name of the container.
        name: String,
        /// Why it exists.
        purpose: Purpose,
        /// The result.
        health: Healthcheck,
        /// When, by the engine's clock.
        at: Timestamp,
    },
    /// An image is gone, whoever made it.
    ImageRemoved {
        /// The image.
        id: Digest,
        /// When, by the engine's clock.
        at: Timestamp,
    },
    /// Anything may have happened since the last event: list again.
    Reset,
}

/// Changes, in the engine's order, for ever.
pub type EventStream = BoxStream<'static, EngineEvent>;
