//! Previews of pull requests: what was announced is decided and its commit fetched (`start`), what is closed is taken down (`close`). A part of
//! the loop of pipelines, which wakes it. What to do is decided in `havre_decide::preview::plan`. After `kill -9` the next start goes on: wishes
//! that were not decided are still there, and so is what is closing. Tests: `tests/it/preview.rs`.

mod close;
mod start;

use havre_core::source::remote::PAUSE_MAX;

use crate::pipeline::PipelineError;
use crate::world::World;

/// One round: closes what has stayed for long enough, decides what was announced, takes down what is closing. Whether something waits for its
/// time.
///
/// # Errors
/// See [`PipelineError`]; one preview never holds up another.
pub(crate) async fn activate(world: &World) -> Result<bool, PipelineError> {
    let mut failed = close::expire(world).await.err().map(PipelineError::from);
    let now = world.now();
    let mut is_waiting = false;
    for row in world.store.read(|view| view.list_preview_wishes()).await? {
        // What would be due later than any pause lasts is due as well: the clock was set back.
        if row.next_at > now && row.next_at <= now.after(PAUSE_MAX.duration()) {
            is_waiting = true;
        } else if let Err(error) = start::consider(world, row).await {
            failed = Some(error);
        }
    }
    for preview in world.store.read(|view| view.list_lasting_previews()).await? {
        if let Err(error) = close::finish(world, preview).await {
            failed = Some(error);
        }
    }
    failed.map_or(Ok(is_waiting), Err)
}
