//! Reads and writes of handlers: a refusal inside a write rolls all of it back. Decides nothing.
//! Tests: `tests/it/environment.rs` (apply is atomic).

use std::sync::{Arc, Mutex, PoisonError};

use havre_core::event::Actor;
use havre_store::{StoreError, Tx, View};

use crate::error::Refusal;
use crate::state::AppState;

/// Runs `f` on one snapshot.
pub(crate) async fn read<T: Send + 'static>(
    state: &AppState,
    f: impl FnOnce(&View<'_>) -> Result<T, Refusal> + Send + 'static,
) -> Result<T, Refusal> {
    state.store.read(move |view| Ok(f(view))).await?
}

/// Runs `f` in one write transaction; a refusal keeps nothing of it.
pub(crate) async fn write<T: Send + 'static>(
    state: &AppState,
    actor: Actor,
    f: impl FnOnce(&mut Tx<'_>) -> Result<T, Refusal> + Send + 'static,
) -> Result<T, Refusal> {
    let refused = Arc::new(Mutex::new(None));
    let inside = Arc::clone(&refused);
    let written = state.store.write(state.now(), actor, move |tx| {
        f(tx).map_err(|refusal| {
            *inside.lock().unwrap_or_else(PoisonError::into_inner) = Some(refusal);
            // Any error rolls back; this one is never shown, because a refusal is there.
            StoreError::Closed
        })
    });
    let written = written.await;
    match refused.lock().unwrap_or_else(PoisonError::into_inner).take() {
        Some(refusal) => Err(refusal),
        None => Ok(written?),
    }
}
