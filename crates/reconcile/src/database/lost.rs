//! A database whose data went with another server: why it does not start yet. It is put back by `havre_data::restore`. Tests: `tests/it/rebuild.rs`
//! there.

use std::collections::BTreeMap;

use havre_core::backup::policy::what_of;
use havre_core::backup::target::TargetState;
use havre_core::database::Database;
use havre_core::name::TargetName;
use havre_core::time::Timestamp;
use havre_rescue::lost::{next, said};
use havre_store::{StoreError, View};

/// Why a database does not start although it should, for people; nothing for one that has its data.
pub(crate) fn why(
    view: &View<'_>,
    database: &Database,
    now: Timestamp,
) -> Result<Option<String>, StoreError> {
    let Some(lost) = view.find_loss(database)? else { return Ok(None) };
    let points = view.list_points(&what_of(database))?;
    let targets = targets(view)?;
    Ok(Some(said(&next(&lost, &points, &targets, now), &lost.name)))
}

/// How each target was when it was last used.
///
/// # Errors
/// When the store cannot be read.
pub fn targets(view: &View<'_>) -> Result<BTreeMap<TargetName, TargetState>, StoreError> {
    let targets = view.list_backup_targets()?;
    Ok(targets.into_iter().map(|target| (target.spec.name, target.state)).collect())
}
