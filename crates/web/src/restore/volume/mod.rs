//! Restores of volumes: asked for and looked at here; done by the loop. Nothing here writes into a volume that is there. Tests:
//! `tests/it/volume.rs`.

pub mod create;
pub mod dump;
pub mod get;
pub mod list;
pub mod points;

use havre_rescue::restore::{Point, Wanted};
use havre_rescue::volume::{State, VolumeRestore, what_of};
use havre_store::View;

use crate::error::Refusal;
use crate::extract::VolumePath;
use crate::lookup;
use crate::restore::pick;

/// Points in time of a volume, newest first. One that is gone has those that are left; a service that never was is refused.
fn find_points(view: &View<'_>, path: &VolumePath) -> Result<Vec<Point>, Refusal> {
    let points = view.list_points(&what_of(&path.place, &path.volume))?;
    if points.is_empty() {
        lookup::service(view, &path.place)?;
    }
    Ok(points)
}

fn chosen(points: &[Point], wanted: &Wanted, path: &VolumePath) -> Result<Point, Refusal> {
    pick(points, wanted, &format!("{}/{}", path.place.service, path.volume))
}

/// The wire form of a restore.
fn wire(row: VolumeRestore) -> havre_api::volume::VolumeRestore {
    let failure = match &row.state {
        State::Failed { .. } => row.state.outcome(),
        State::Waiting { .. } | State::Loading { .. } | State::Checking { .. } | State::Ready { .. } => {
            String::new()
        }
    };
    havre_api::volume::VolumeRestore {
        id: row.id,
        project: row.place.project,
        environment: row.place.environment,
        service: row.place.service,
        source: row.source,
        volume: row.volume,
        target: row.target,
        at: row.manifest.started_at,
        snapshot: row.manifest.snapshot,
        status: row.state.name().to_owned(),
        is_final: row.state.is_over(),
        state: row.state,
        failure,
        created_at: row.created_at,
        ended_at: row.ended_at,
    }
}
