//! Jobs of live releases, how far their schedules have been dealt with, and their runs. What runs when is decided in
//! `havre_core::job`. Tests: `tests/it/job.rs`.

use std::collections::{BTreeMap, BTreeSet};

use havre_core::event::EventKind;
use havre_core::id::{EnvironmentId, JobRunId, ReleaseId, ServiceId};
use havre_core::job::event::Event;
use havre_core::job::spec::{JobSpec, KEEP};
use havre_core::job::state::State;
use havre_core::job::{Cursor, JobRun};
use havre_core::name::JobName;
use havre_core::service::Place;
use havre_decide::job::plan::Planned;
use rusqlite::Row;

use crate::error::StoreError;
use crate::row::{self, Origin};
use crate::service::read_place;
use crate::view::{Tx, View};

/// The jobs of one live release.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LiveJobs {
    /// Whose they are.
    pub service: ServiceId,
    /// Its environment.
    pub environment: EnvironmentId,
    /// Where it belongs, by names.
    pub place: Place,
    /// The release.
    pub release: ReleaseId,
    /// By name.
    pub jobs: BTreeMap<JobName, JobSpec>,
}

/// Only releases with jobs are parsed, and of those only the jobs: this is asked after every commit.
const SELECT_LIVE: &str = "SELECT services.id, environment, projects.name AS project_name, \
    environments.name AS environment_name, services.name, live, json_extract(releases.spec, '$.jobs') AS jobs \
    FROM services JOIN releases ON releases.id = live JOIN environments ON environments.id = environment \
    JOIN projects ON projects.id = project \
    WHERE destroyed_at IS NULL AND json_extract(releases.spec, '$.jobs') IS NOT NULL";

const SELECT: &str = "SELECT id, service, job, release, origin, planned_at, missed, attempt, started_at, state, \
    cancel_requested, created_at FROM job_runs WHERE";

fn read_live(row: &Row<'_>) -> Result<LiveJobs, StoreError> {
    let origin = Origin::of("services", row)?;
    Ok(LiveJobs {
        service: ServiceId::new(origin.id),
        environment: EnvironmentId::new(row.get("environment")?),
        place: read_place(origin, row)?,
        release: ReleaseId::new(row.get("live")?),
        jobs: origin.json(row, "jobs")?,
    })
}

fn read(row: &Row<'_>) -> Result<JobRun, StoreError> {
    let origin = Origin::of("job_runs", row)?;
    Ok(JobRun {
        id: JobRunId::new(origin.id),
        service: ServiceId::new(row.get("service")?),
        job: origin.text(row, "job")?,
        release: ReleaseId::new(row.get("release")?),
        trigger: origin.variant(row, "origin")?,
        planned_at: row::instant(row, "planned_at")?,
        missed: row.get("missed")?,
        attempt: row.get("attempt")?,
        started_at: row::instant_or_none(row, "started_at")?,
        state: origin.json(row, "state")?,
        cancel_requested: row.get("cancel_requested")?,
        created_at: row::instant(row, "created_at")?,
    })
}

fn read_cursor(row: &Row<'_>) -> Result<(ServiceId, JobName, Cursor), StoreError> {
    let origin = Origin::of("jobs", row)?;
    let cursor = Cursor { timing: row.get("timing")?, until: row::instant(row, "until")? };
    Ok((ServiceId::new(origin.id), origin.text(row, "name")?, cursor))
}

impl View<'_> {
    /// The jobs of every live release that has some, by service; not those of a service that is being destroyed.
    pub fn list_live_jobs(&self) -> Result<Vec<LiveJobs>, StoreError> {
        row::list(self.connection, &format!("{SELECT_LIVE} ORDER BY services.id"), [], read_live)
    }

    /// The jobs of a service's live release, if it has some.
    pub fn find_live_jobs(&self, service: ServiceId) -> Result<Option<LiveJobs>, StoreError> {
        let sql = format!("{SELECT_LIVE} AND services.id = ?1");
        row::find(self.connection, &sql, [service.row()], read_live)
    }

    /// How far every schedule has been dealt with.
    pub fn list_job_cursors(&self) -> Result<Vec<(ServiceId, JobName, Cursor)>, StoreError> {
        let sql = "SELECT service, name, timing, until FROM jobs ORDER BY service, name";
        row::list(self.connection, sql, [], read_cursor)
    }

    /// How far one schedule has been dealt with.
    pub fn find_job_cursor(&self, service: ServiceId, job: &JobName) -> Result<Option<Cursor>, StoreError> {
        let sql = "SELECT service, name, timing, until FROM jobs WHERE service = ?1 AND name = ?2";
        let found = row::find(self.connection, sql, (service.row(), job.as_str()), read_cursor)?;
        Ok(found.map(|(_, _, cursor)| cursor))
    }

    /// One run.
    pub fn get_job_run(&self, id: JobRunId) -> Result<JobRun, StoreError> {
        row::find(self.connection, &format!("{SELECT} id = ?1"), [id.row()], read)?
            .ok_or_else(|| StoreError::not_found("job run", id))
    }

    /// At most `limit` runs of a job, newest first.
    pub fn list_job_runs(
        &self,
        service: ServiceId,
        job: &JobName,
        limit: u32,
    ) -> Result<Vec<JobRun>, StoreError> {
        let sql = format!("{SELECT} service = ?1 AND job = ?2 ORDER BY id DESC LIMIT ?3");
        row::list(self.connection, &sql, (service.row(), job.as_str(), limit), read)
    }

    /// Every run that has not ended, oldest first.
    pub fn list_open_job_runs(&self) -> Result<Vec<JobRun>, StoreError> {
        row::list(self.connection, &format!("{SELECT} is_open = 1 ORDER BY id"), [], read)
    }

    /// The run of a job that has not ended.
    pub fn find_open_job_run(&self, service: ServiceId, job: &JobName) -> Result<Option<JobRun>, StoreError> {
        let sql = format!("{SELECT} service = ?1 AND job = ?2 AND is_open = 1");
        row::find(self.connection, &sql, (service.row(), job.as_str()), read)
    }

    /// The newest run of a job that began and has ended.
    pub fn find_last_job_run(&self, service: ServiceId, job: &JobName) -> Result<Option<JobRun>, StoreError> {
        let sql = format!(
            "{SELECT} service = ?1 AND job = ?2 AND is_open = 0 AND is_skipped = 0 ORDER BY id DESC LIMIT 1"
        );
        row::find(self.connection, &sql, (service.row(), job.as_str()), read)
    }

    /// Every run of a service that has a row.
    pub fn job_run_ids(&self, service: ServiceId) -> Result<BTreeSet<JobRunId>, StoreError> {
        let sql = "SELECT id FROM job_runs WHERE service = ?1";
        let ids = row::list(self.connection, sql, [service.row()], |row| Ok(JobRunId::new(row.get(0)?)))?;
        Ok(ids.into_iter().collect())
    }
}

impl Tx<'_> {
    /// Records how far a schedule has been dealt with. No event: what was decided about its instants tells them.
    pub fn set_job_cursor(
        &mut self,
        service: ServiceId,
        job: &JobName,
        cursor: &Cursor,
    ) -> Result<(), StoreError> {
        row::run(
            self.connection,
            "INSERT INTO jobs (service, name, timing, until) VALUES (?1, ?2, ?3, ?4) \
             ON CONFLICT (service, name) DO UPDATE SET timing = excluded.timing, until = excluded.until",
            (service.row(), job.as_str(), &cursor.timing, cursor.until.as_millis()),
        )?;
        Ok(())
    }

    /// Forgets how far a schedule has been dealt with: no live release has it any more.
    pub fn forget_job_cursor(&mut self, service: ServiceId, job: &JobName) -> Result<(), StoreError> {
        let sql = "DELETE FROM jobs WHERE service = ?1 AND name = ?2";
        row::run(self.connection, sql, (service.row(), job.as_str()))?;
        Ok(())
    }

    /// Records a run of a schedule, waiting or skipped; nothing happens when its instant has one already.
    pub fn plan_job_run(
        &mut self,
        service: ServiceId,
        job: &JobName,
        release: ReleaseId,
        planned: &Planned,
    ) -> Result<Option<JobRunId>, StoreError> {
        let state = match &planned.skip {
            Some(reason) => State::Skipped { at: self.at, reason: reason.clone() },
            None => State::Waiting { not_before: self.at, after: None },
        };
        let (planned_at, missed) = (planned.planned_at, planned.missed);
        let count = row::run(
            self.connection,
            "INSERT INTO job_runs (service, job, release, origin, planned_at, missed, state, is_open, is_skipped, created_at) \
             VALUES (?1, ?2, ?3, 'schedule', ?4, ?5, ?6, ?7, ?8, ?9) ON CONFLICT DO NOTHING",
            (
                service.row(),
                job.as_str(),
                release.row(),
                planned_at.as_millis(),
                missed,
                row::to_json("a state", &state)?,
                !state.is_final(),
                state.is_skipped(),
                self.at.as_millis(),
            ),
        )?;
        if count == 0 {
            return Ok(None);
        }
        let run = self.get_job_run(JobRunId::new(self.connection.last_insert_rowid()))?;
        self.tell(service, EventKind::Job(Event::planned(&run)))?;
        if run.state.is_final() {
            self.prune_job_runs(&run)?;
        }
        Ok(Some(run.id))
    }

    /// Records a run that somebody asked for.
    ///
    /// # Errors
    /// `BeingDestroyed`; `JobRunning` while a run of the same job has not ended; `NotFound` for a job the live release does not
    /// have.
    pub fn request_job_run(&mut self, service: ServiceId, job: &JobName) -> Result<JobRun, StoreError> {
        self.get_lasting_service(service)?;
        let live = self.find_live_jobs(service)?.filter(|live| live.jobs.contains_key(job));
        let live = live.ok_or_else(|| StoreError::not_found("job", job))?;
        if let Some(open) = self.find_open_job_run(service, job)? {
            return Err(StoreError::JobRunning { job: job.clone(), run: open.id });
        }
        let state = State::Waiting { not_before: self.at, after: None };
        row::run(
            self.connection,
            "INSERT INTO job_runs (service, job, release, origin, planned_at, missed, state, is_open, is_skipped, created_at) \
             VALUES (?1, ?2, ?3, 'hand', ?4, 0, ?5, 1, 0, ?4)",
            (
                service.row(),
                job.as_str(),
                live.release.row(),
                self.at.as_millis(),
                row::to_json("a state", &state)?,
            ),
        )?;
        let run = self.get_job_run(JobRunId::new(self.connection.last_insert_rowid()))?;
        self.tell(service, EventKind::Job(Event::planned(&run)))?;
        Ok(run)
    }

    /// One more attempt of a run, of this release; replaces the state `from` by `Starting`.
    ///
    /// # Errors
    /// `Conflict` when the run is not in `from` any more: plan again.
    pub fn begin_job_attempt(
        &mut self,
        id: JobRunId,
        from: &State,
        release: ReleaseId,
    ) -> Result<(), StoreError> {
        self.get_job_run_in(id, from)?;
        row::run(
            self.connection,
            "UPDATE job_runs SET attempt = attempt + 1, release = ?2, started_at = ?3 WHERE id = ?1",
            (id.row(), release.row(), self.at.as_millis()),
        )?;
        self.set_job_run_state(id, from, State::Starting { since: self.at })
    }

    /// Replaces the state `from` by `to`; nothing happens when they are the same. Runs beyond those the job keeps go.
    ///
    /// # Errors
    /// `Conflict` when the run is not in `from` any more: plan again.
    pub fn set_job_run_state(&mut self, id: JobRunId, from: &State, to: State) -> Result<(), StoreError> {
        let run = self.get_job_run_in(id, from)?;
        if run.state == to {
            return Ok(());
        }
        let is_final = to.is_final();
        row::run(
            self.connection,
            "UPDATE job_runs SET state = ?2, is_open = ?3, is_skipped = ?4 WHERE id = ?1",
            (id.row(), row::to_json("a state", &to)?, !is_final, to.is_skipped()),
        )?;
        let event = Event::StateChanged { run: id, job: run.job.clone(), attempt: run.attempt, to };
        self.tell(run.service, EventKind::Job(event))?;
        if is_final {
            self.set_waiting("job", id.row(), "")?;
            let ended = self.get_job_run(id)?;
            self.prune_job_runs(&ended)?;
        }
        Ok(())
    }

    /// Asks for a run to be cancelled; nothing happens when it has ended or was asked before.
    pub fn request_job_cancel(&mut self, id: JobRunId) -> Result<(), StoreError> {
        let run = self.get_job_run(id)?;
        if run.cancel_requested || run.state.is_final() {
            return Ok(());
        }
        row::run(self.connection, "UPDATE job_runs SET cancel_requested = 1 WHERE id = ?1", [id.row()])?;
        let event = Event::CancelRequested { run: id, job: run.job };
        self.tell(run.service, EventKind::Job(event))?;
        Ok(())
    }

    fn get_job_run_in(&self, id: JobRunId, from: &State) -> Result<JobRun, StoreError> {
        let run = self.get_job_run(id)?;
        if run.state != *from {
            let (expected, found) = (from.name(), run.state.name());
            return Err(StoreError::Conflict { id: id.to_string(), expected, found });
        }
        Ok(run)
    }

    /// Keeps as many runs of a job as its specification says, and as many skipped ones: a job whose runs take long would
    /// otherwise have nothing but those. No event: what they were was told.
    fn prune_job_runs(&mut self, ended: &JobRun) -> Result<(), StoreError> {
        let release = self.get_release(ended.release)?;
        let keep = release.spec.jobs.get(&ended.job).map_or(KEEP, |spec| spec.keep);
        row::run(
            self.connection,
            "DELETE FROM job_runs WHERE service = ?1 AND job = ?2 AND is_open = 0 AND is_skipped = ?3 AND id NOT IN \
             (SELECT id FROM job_runs WHERE service = ?1 AND job = ?2 AND is_open = 0 AND is_skipped = ?3 \
             ORDER BY id DESC LIMIT ?4)",
            (ended.service.row(), ended.job.as_str(), ended.state.is_skipped(), keep),
        )?;
        Ok(())
    }
}
