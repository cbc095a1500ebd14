//! Restores and drills: asked for and looked at here; done by the loop. Nothing here writes into a database that is there. Tests:
//! `tests/it/restore.rs`.

pub mod create;
pub mod drill;
pub mod dump;
pub mod get;
pub mod list;
pub mod points;
pub mod streams;
pub mod volume;

use havre_api::restore::RestorePoint;
use havre_core::backup::What;
use havre_core::time::Timestamp;
use havre_rescue::drill::{Drill, State as DrillState, Verdict};
use havre_rescue::line::{Base, Recovery, Stretch, resolve};
use havre_rescue::report::Report;
use havre_rescue::restore::{ChoiceError, Point, Restore, State, Wanted, choose};
use havre_store::View;

use crate::error::{Code, Refusal};
use crate::extract::DatabasePath;
use crate::lookup;

/// What is saved of a database with these names, whether it is there or not.
pub(crate) fn what(path: &DatabasePath) -> What {
    What::Database {
        project: path.project.clone(),
        environment: path.environment.clone(),
        database: (&path.database).into(),
    }
}

/// Points in time of a database, newest first. One that is gone has those that are left; one that never was is refused.
pub(crate) fn find_points(view: &View<'_>, path: &DatabasePath) -> Result<Vec<Point>, Refusal> {
    let points = view.list_points(&what(path))?;
    if points.is_empty() {
        lookup::database(view, path)?;
    }
    Ok(points)
}

/// Base backups and WAL of a database, whether it is there or not.
pub(crate) fn line(view: &View<'_>, path: &DatabasePath) -> Result<(Vec<Base>, Vec<Stretch>), Refusal> {
    let base = What::Base {
        project: path.project.clone(),
        environment: path.environment.clone(),
        database: (&path.database).into(),
    };
    Ok((view.list_bases(&base)?, view.list_stretches(&what(path), 0)?))
}

/// How to come to an instant by WAL; nothing where a backup of before is what is left of that time.
pub(crate) fn find_recovery(
    view: &View<'_>,
    path: &DatabasePath,
    at: Timestamp,
) -> Result<Option<(Point, Recovery)>, Refusal> {
    let (bases, stretches) = line(view, path)?;
    let found = resolve(&bases, &stretches, &path.database, at).map_err(|error| {
        Refusal::new(Code::SnapshotNotFound, format!("{}: {error}", path.database))
            .hint(format!("`havre restore list {}` shows what there is", path.database))
    })?;
    let point = |base: &Base| {
        let (run, target, manifest) = (base.run, base.target.clone(), base.manifest.clone());
        Point { run, target, manifest }
    };
    Ok(found.map(|(base, recovery)| (point(base), recovery)))
}

/// Which point a request means.
pub(crate) fn wanted(snapshot: Option<String>, at: Option<Timestamp>) -> Result<Wanted, Refusal> {
    match (snapshot, at) {
        (Some(_), Some(_)) => {
            Err(Refusal::new(Code::QueryInvalid, "say a snapshot or an instant, not both of them"))
        }
        (Some(snapshot), None) => Ok(Wanted::Snapshot(snapshot)),
        (None, Some(at)) => Ok(Wanted::At(at)),
        (None, None) => Ok(Wanted::Newest),
    }
}

/// The point that is wanted.
pub(crate) fn chosen(points: &[Point], wanted: &Wanted, path: &DatabasePath) -> Result<Point, Refusal> {
    pick(points, wanted, path.database.as_str())
}

/// The point that is wanted of what people call so.
fn pick(points: &[Point], wanted: &Wanted, name: &str) -> Result<Point, Refusal> {
    choose(points, wanted).cloned().map_err(|error| {
        let text = format!("{name}: {error}");
        match error {
            ChoiceError::Malformed | ChoiceError::Ambiguous(_) => Refusal::new(Code::QueryInvalid, text),
            ChoiceError::None => Refusal::new(Code::SnapshotNotFound, text)
                .hint(format!("`havre backup run {name}` makes one now")),
            ChoiceError::TooYoung { .. } | ChoiceError::NoSnapshot(_) => {
                Refusal::new(Code::SnapshotNotFound, text)
                    .hint(format!("`havre restore list {name}` shows what there is"))
            }
        }
    })
}

/// The wire form of a point.
pub(crate) fn wire_point(point: &Point) -> RestorePoint {
    let manifest = &point.manifest;
    RestorePoint {
        at: manifest.started_at,
        snapshot: manifest.snapshot.clone(),
        target: point.target.clone(),
        run: point.run,
        bytes: manifest.content.bytes,
        sha256: manifest.content.sha256.hex().to_owned(),
        tables: manifest.rows.len() as u64,
        rows: manifest.rows.values().sum(),
        source_version: manifest.source_version.clone(),
        verified_at: manifest.verified_at,
    }
}

/// The wire form of a restore.
pub(crate) fn wire_restore(row: Restore) -> havre_api::restore::Restore {
    let failure = match &row.state {
        State::Failed { reason, .. } => reason.to_string(),
        State::Working { .. } | State::Ready { .. } => String::new(),
    };
    let at = row.at();
    havre_api::restore::Restore {
        id: row.id,
        project: row.project,
        environment: row.environment,
        source: row.source,
        database: row.name,
        target: row.target,
        snapshot: row.manifest.snapshot,
        at,
        status: row.state.name().to_owned(),
        is_final: row.state.is_over(),
        state: row.state,
        failure,
        created_at: row.created_at,
        ended_at: row.ended_at,
    }
}

/// From the beginning of a drill until its copy was whole; nothing unless it passed.
pub(crate) fn rto_measured_ms(row: &Drill) -> Option<u64> {
    let report = row.report.as_ref().and_then(|signed| Report::parse(&signed.text).ok())?;
    match report.verdict {
        Verdict::Passed { rto_measured_ms, .. } => Some(rto_measured_ms),
        Verdict::Failed { .. } => None,
    }
}

/// The wire form of a drill.
pub(crate) fn wire_drill(row: Drill) -> havre_api::restore::Drill {
    let failure = match &row.state {
        DrillState::Failed { reason, .. } => reason.to_string(),
        DrillState::Cleaning { verdict: Verdict::Failed { reason, .. }, .. } => reason.to_string(),
        DrillState::Working { .. } | DrillState::Cleaning { .. } | DrillState::Passed { .. } => String::new(),
    };
    let (method, at, rpo_measured_ms) = (row.method(), row.at(), row.rpo_measured_ms());
    let rto_measured_ms = rto_measured_ms(&row);
    havre_api::restore::Drill {
        id: row.id,
        project: row.project,
        environment: row.environment,
        database: row.database,
        target: row.target,
        snapshot: row.manifest.snapshot,
        method,
        at,
        status: row.state.name().to_owned(),
        is_final: row.state.is_over(),
        state: row.state,
        failure,
        rto_measured_ms,
        rpo_measured_ms,
        is_scheduled: row.is_scheduled,
        created_at: row.created_at,
        ended_at: row.ended_at,
    }
}
