//! Drills and their signed reports. What follows from what was seen is decided in `havre_rescue::drill`. Tests: `tests/it/drill.rs`.

use havre_core::backup::event::Event;
use havre_core::backup::manifest::Manifest;
use havre_core::backup::policy::{of_database, what_of};
use havre_core::database::spec::DatabaseSpec;
use havre_core::database::{Database, Image};
use havre_core::id::{DrillId, EnvironmentId};
use havre_core::name::{DatabaseName, EnvironmentName, ProjectName, TargetName};
use havre_rescue::aim::{Aim, Pick, aim};
use havre_rescue::drill::{Drill, Method, Past, Signed, State, Verdict, cleaned};
use havre_rescue::line::{Base, base_of, saved_in};
use havre_rescue::report::Report;
use havre_rescue::restore::{SpecError, derive_recovered};
use rusqlite::Row;

use crate::error::StoreError;
use crate::row::{self, Origin};
use crate::signature::{is_report_signed, sign_report};
use crate::view::{Tx, View};

/// Drills that are kept of each database besides one that is not over: with one each week, the reports of ten years.
const KEEP: u32 = 520;
/// Drills that are looked at to find one that was not interrupted.
const INTERRUPTED_MAX: u32 = 20;

const SELECT: &str = "SELECT id, environment_id, project, environment, database, target, manifest, spec, image, assertions, aim, \
    is_scheduled, state, report, signature, created_at, ended_at FROM drills";

fn read(row: &Row<'_>) -> Result<Drill, StoreError> {
    let origin = Origin::of("drills", row)?;
    let report: Option<String> = row.get("report")?;
    let signature: Option<String> = row.get("signature")?;
    let has = |name: &str| Ok::<_, StoreError>(row.get::<_, Option<String>>(name)?.is_some());
    let (has_image, has_aim) = (has("image")?, has("aim")?);
    Ok(Drill {
        id: DrillId::new(origin.id),
        environment_id: EnvironmentId::new(row.get("environment_id")?),
        project: origin.text(row, "project")?,
        environment: origin.text(row, "environment")?,
        database: origin.text(row, "database")?,
        target: origin.text(row, "target")?,
        manifest: origin.json(row, "manifest")?,
        spec: origin.json(row, "spec")?,
        image: if has_image { Some(origin.json(row, "image")?) } else { None },
        assertions: origin.json(row, "assertions")?,
        aim: if has_aim { Some(origin.json(row, "aim")?) } else { None },
        is_scheduled: row.get("is_scheduled")?,
        state: origin.json(row, "state")?,
        report: report.zip(signature).map(|(text, signature)| Signed { text, signature }),
        created_at: row::instant(row, "created_at")?,
        ended_at: row::instant_or_none(row, "ended_at")?,
    })
}

/// A drill that is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewDrill {
    /// The environment of the database.
    pub environment_id: EnvironmentId,
    /// Its project, by name.
    pub project: ProjectName,
    /// Its environment, by name.
    pub environment: EnvironmentName,
    /// The database.
    pub database: DatabaseName,
    /// Where the snapshot lies.
    pub target: TargetName,
    /// What the copy must be.
    pub manifest: Manifest,
    /// The server it is restored into.
    pub spec: DatabaseSpec,
    /// The image the database runs.
    pub image: Option<Image>,
    /// What users want to be true of the copy.
    pub assertions: Vec<String>,
    /// The second it brings back out of a base backup and WAL; absent where it loads a dump.
    pub aim: Option<Aim>,
    /// Whether the policy asks for it.
    pub is_scheduled: bool,
}

impl NewDrill {
    /// Of a base backup and WAL of a database, brought to a second.
    ///
    /// # Errors
    /// The database has another version now.
    pub fn of_line(
        database: &Database,
        (base, aim): (Base, Aim),
        is_scheduled: bool,
    ) -> Result<Self, SpecError> {
        let name = &database.spec.name;
        Ok(Self {
            environment_id: database.environment,
            project: database.project.clone(),
            environment: database.environment_name.clone(),
            database: name.clone(),
            target: base.target,
            spec: derive_recovered(Some(&database.spec), &base.manifest.source_version, name)?,
            manifest: base.manifest,
            image: database.image.clone(),
            assertions: of_database(database).map(|policy| policy.assertions.clone()).unwrap_or_default(),
            aim: Some(aim),
            is_scheduled,
        })
    }
}

impl View<'_> {
    /// One drill.
    ///
    /// # Errors
    /// `NotFound`.
    pub fn get_drill(&self, id: DrillId) -> Result<Drill, StoreError> {
        row::find(self.connection, &format!("{SELECT} WHERE id = ?1"), [id.row()], read)?
            .ok_or_else(|| StoreError::not_found("drill", id))
    }

    /// Drills that are not over, oldest first.
    pub fn list_open_drills(&self) -> Result<Vec<Drill>, StoreError> {
        row::list(self.connection, &format!("{SELECT} WHERE ended_at IS NULL ORDER BY id"), [], read)
    }

    /// At most `limit` drills, newest first; of what has this key, where one is named.
    pub fn list_drills(&self, what_key: Option<&str>, limit: u32) -> Result<Vec<Drill>, StoreError> {
        let sql = format!("{SELECT} WHERE ?1 IS NULL OR what_key = ?1 ORDER BY id DESC LIMIT ?2");
        row::list(self.connection, &sql, (what_key, limit), read)
    }

    /// What is known of the drills of what has this key, if there was one.
    pub fn find_last_drill(&self, what_key: &str) -> Result<Option<Past>, StoreError> {
        let last = self.list_drills(Some(what_key), 1)?.into_iter().next();
        Ok(last.map(|drill| Past {
            created_at: drill.created_at,
            is_over: drill.state.is_over(),
            is_interrupted: drill.state.is_interrupted(),
            method: drill.method(),
        }))
    }

    /// The newest drill of what has this key that brought it back in this way, is over, and was not interrupted.
    pub fn find_ended_drill(&self, what_key: &str, method: Method) -> Result<Option<Drill>, StoreError> {
        let sql = format!(
            "{SELECT} WHERE what_key = ?1 AND (aim IS NOT NULL) = ?2 AND ended_at IS NOT NULL ORDER BY id DESC LIMIT ?3"
        );
        let is_line = method == Method::PointInTime;
        let ended = row::list(self.connection, &sql, (what_key, is_line, INTERRUPTED_MAX), read)?;
        Ok(ended.into_iter().find(|drill| !drill.state.is_interrupted()))
    }

    /// A second of a database that a drill can bring back, and the base backup it begins with; nothing where there is none. Base backups of
    /// another database that had this name before are left to restores.
    pub fn find_aim(&self, database: &Database, pick: Pick) -> Result<Option<(Base, Aim)>, StoreError> {
        let mut bases = self.list_bases(&base_of(database))?;
        bases.retain(|base| base.database == database.id);
        if bases.is_empty() {
            return Ok(None);
        }
        let stretches = self.list_stretches(&what_of(database), 0)?;
        let found = aim(&bases, &stretches, &database.spec.name, pick);
        Ok(found.map(|(base, aim)| (base.clone(), aim)))
    }

    /// Whether this installation wrote a report, and nobody has changed it since.
    ///
    /// # Errors
    /// `NoMasterKey`.
    pub fn is_report_signed(&self, report: &Signed) -> Result<bool, StoreError> {
        Ok(is_report_signed(self.master_key()?, &report.text, &report.signature))
    }
}

impl Tx<'_> {
    /// Records a drill.
    ///
    /// # Errors
    /// `DrillRunning` while one of the same is not over.
    pub fn create_drill(&mut self, new: &NewDrill) -> Result<Drill, StoreError> {
        // Both ways are drills of the database: one of them at a time.
        let what = saved_in(&new.manifest.what);
        let sql = format!("{SELECT} WHERE what_key = ?1 AND ended_at IS NULL");
        if let Some(open) = row::find(self.connection, &sql, [what.key()], read)? {
            return Err(StoreError::DrillRunning { what: Box::new(what), drill: open.id });
        }
        let aim = match &new.aim {
            Some(aim) => Some(row::to_json("what a drill brings back", aim)?),
            None => None,
        };
        let image = match &new.image {
            Some(image) => Some(row::to_json("an image", image)?),
            None => None,
        };
        row::run(
            self.connection,
            "INSERT INTO drills (what_key, environment_id, project, environment, database, target, manifest, spec, image, assertions, \
             aim, is_scheduled, state, created_at) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14)",
            (
                what.key(),
                new.environment_id.row(),
                new.project.as_str(),
                new.environment.as_str(),
                new.database.as_str(),
                new.target.as_str(),
                new.manifest.canonical(),
                row::to_json("a specification", &new.spec)?,
                image,
                row::to_json("statements", &new.assertions)?,
                aim,
                new.is_scheduled,
                row::to_json("a state", &State::first(self.at))?,
                self.at.as_millis(),
            ),
        )?;
        let id = DrillId::new(self.connection.last_insert_rowid());
        let (what, snapshot) = (new.manifest.what.clone(), new.manifest.snapshot.clone());
        self.tell_backup(Event::DrillCreated { drill: id, what, snapshot })?;
        self.get_drill(id)
    }

    /// Replaces the state `from` by `to`, which is not the end; nothing happens when they are the same.
    ///
    /// # Errors
    /// `Conflict` when the drill is not in `from` any more.
    pub fn set_drill_state(&mut self, id: DrillId, from: &State, to: &State) -> Result<(), StoreError> {
        let drill = self.get_drill(id)?;
        if drill.state != *from || to.is_over() {
            let (expected, found) = (from.name(), drill.state.name());
            return Err(StoreError::Conflict { id: id.to_string(), expected, found });
        }
        if drill.state == *to {
            return Ok(());
        }
        let json = row::to_json("a state", to)?;
        row::run(self.connection, "UPDATE drills SET state = ?2 WHERE id = ?1", (id.row(), json))?;
        match to {
            State::Working { progress } => {
                self.tell_backup(Event::DrillAdvanced { drill: id, stage: progress.stage() })
            }
            // What it came to is told with its report.
            State::Cleaning { .. } | State::Passed { .. } | State::Failed { .. } => Ok(()),
        }
    }

    /// Nothing is left of the server of a drill: it is over, with its report. Nothing happens when it has been over before.
    ///
    /// # Errors
    /// `Conflict` while it has no verdict; `NoMasterKey`.
    pub fn end_drill(&mut self, id: DrillId) -> Result<(), StoreError> {
        let drill = self.get_drill(id)?;
        if drill.state.is_over() {
            return Ok(());
        }
        let conflict =
            || StoreError::Conflict { id: id.to_string(), expected: "cleaning", found: drill.state.name() };
        let to = cleaned(&drill.state, self.at).ok_or_else(conflict)?;
        let report = Report::new(&drill, self.at).ok_or_else(conflict)?;
        let text = report.canonical();
        let signature = sign_report(self.master_key()?, &text);
        row::run(
            self.connection,
            "UPDATE drills SET state = ?2, report = ?3, signature = ?4, ended_at = ?5 WHERE id = ?1",
            (id.row(), row::to_json("a state", &to)?, text, signature, self.at.as_millis()),
        )?;
        let (what, snapshot) = (drill.manifest.what.clone(), drill.manifest.snapshot.clone());
        self.tell_backup(match report.verdict {
            Verdict::Passed { rto_measured_ms, .. } => {
                Event::DrillPassed { drill: id, what, snapshot, rto_measured_ms }
            }
            Verdict::Failed { stage, reason } => {
                Event::DrillFailed { drill: id, what, snapshot, stage, reason }
            }
        })?;
        let sql = "DELETE FROM drills WHERE what_key = ?1 AND ended_at IS NOT NULL AND id NOT IN \
            (SELECT id FROM drills WHERE what_key = ?1 ORDER BY id DESC LIMIT ?2)";
        row::run(self.connection, sql, (saved_in(&drill.manifest.what).key(), KEEP))?;
        Ok(())
    }
}
