//! Builds: contexts are taken in here, and read about; made by the loops.

pub mod cancel;
pub mod create;
pub mod get;
pub mod intake;
pub mod list;
pub mod log;
pub mod secret;

use havre_core::build::Build;
use havre_core::service::Place;
use havre_store::View;

use crate::error::Refusal;

/// The wire form.
pub(crate) fn wire(view: &View<'_>, row: Build, place: Place) -> Result<havre_api::build::Build, Refusal> {
    let waiting = match row.state.is_final() {
        true => String::new(),
        false => view.waiting("build", row.id.row())?.unwrap_or_default(),
    };
    Ok(havre_api::build::Build {
        id: row.id,
        service_id: row.service,
        place,
        revision: row.revision,
        commit: row.commit,
        bases: view.list_build_bases(row.id)?,
        state: row.state,
        waiting,
        created_at: row.created_at,
    })
}
