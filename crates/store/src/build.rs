//! Builds and tests of services, and their states. Tests: `tests/it/build.rs`.

use havre_core::artifact::ImageRef;
use havre_core::build::event::Event;
use havre_core::build::report::Steps;
use havre_core::build::test::TestSpec;
use havre_core::build::{Build, Purpose, State};
use havre_core::event::EventKind;
use havre_core::id::{BuildId, PipelineId, ServiceId};
use havre_core::pipeline::Pipeline;
use havre_core::service::Service;
use havre_core::service::spec::ServiceSpec;
use rusqlite::Row;

use crate::error::StoreError;
use crate::row::{self, Origin, column};
use crate::view::{Tx, View};

const SELECT: &str = "SELECT id, service, spec, revision, source, pipeline, purpose, state, report, created_at \
    FROM builds WHERE";

fn read(row: &Row<'_>) -> Result<Build, StoreError> {
    let origin = Origin::of("builds", row)?;
    Ok(Build {
        id: BuildId::new(origin.id),
        service: ServiceId::new(row.get("service")?),
        spec: origin.json(row, "spec")?,
        revision: origin.count(row, "revision")?,
        commit: row.get("source")?,
        pipeline: row.get::<_, Option<i64>>("pipeline")?.map(PipelineId::new),
        purpose: origin.json(row, "purpose")?,
        state: origin.json(row, "state")?,
        report: origin.json(row, "report")?,
        created_at: row::instant(row, "created_at")?,
    })
}

impl View<'_> {
    /// One build.
    pub fn get_build(&self, id: BuildId) -> Result<Build, StoreError> {
        row::find(self.connection, &format!("{SELECT} id = ?1"), [id.row()], read)?
            .ok_or_else(|| StoreError::not_found("build", id))
    }

    /// At most `limit` builds of a service that make artifacts, newest first.
    pub fn list_builds(&self, service: ServiceId, limit: u32) -> Result<Vec<Build>, StoreError> {
        let sql = format!(
            "{SELECT} service = ?1 AND json_extract(purpose, '$.kind') = 'artifact' ORDER BY id DESC LIMIT ?2"
        );
        row::list(self.connection, &sql, (service.row(), limit), read)
    }

    /// The tests and builds of a pipeline, by id.
    pub fn list_pipeline_builds(&self, pipeline: PipelineId) -> Result<Vec<Build>, StoreError> {
        row::list(self.connection, &format!("{SELECT} pipeline = ?1 ORDER BY id"), [pipeline.row()], read)
    }

    /// The base images a build was made from, with their digests; empty before its end, and where none was told.
    pub fn list_build_bases(&self, id: BuildId) -> Result<Vec<ImageRef>, StoreError> {
        let sql = "SELECT id, bases FROM builds WHERE id = ?1";
        row::find(self.connection, sql, [id.row()], |row| Origin::of("builds", row)?.json(row, "bases"))?
            .ok_or_else(|| StoreError::not_found("build", id))
    }

    /// Every build and test that has not ended, oldest first.
    pub fn list_open_builds(&self) -> Result<Vec<Build>, StoreError> {
        row::list(self.connection, &format!("{SELECT} is_open = 1 ORDER BY id"), [], read)
    }
}

impl Tx<'_> {
    /// Queues a build.
    ///
    /// # Errors
    /// `BeingDestroyed`.
    pub fn create_build(
        &mut self,
        service: ServiceId,
        spec: ServiceSpec,
        revision: u64,
        commit: String,
    ) -> Result<Build, StoreError> {
        self.get_lasting_service(service)?;
        row::run(
            self.connection,
            "INSERT INTO builds (service, spec, revision, source, state, is_open, created_at) \
             VALUES (?1, ?2, ?3, ?4, ?5, 1, ?6)",
            (
                service.row(),
                row::to_json("a specification", &spec)?,
                column(revision),
                &commit,
                row::to_json("a state", &State::Queued)?,
                self.at.as_millis(),
            ),
        )?;
        let build = BuildId::new(self.connection.last_insert_rowid());
        self.tell(service, EventKind::Build(Event::StateChanged { build, to: State::Queued }))?;
        self.get_build(build)
    }

    /// Queues a build that is a part of a pipeline.
    ///
    /// # Errors
    /// `BeingDestroyed`.
    pub fn create_pipeline_build(
        &mut self,
        pipeline: &Pipeline,
        service: &Service,
    ) -> Result<Build, StoreError> {
        let (spec, commit) = (service.spec.clone(), pipeline.commit.to_string());
        let build = self.create_build(service.id, spec, service.revision, commit)?;
        let sql = "UPDATE builds SET pipeline = ?2 WHERE id = ?1";
        row::run(self.connection, sql, (build.id.row(), pipeline.id.row()))?;
        self.get_build(build.id)
    }

    /// Remembers the base images of a build. It has no event of its own: it is written with the end of the build.
    pub fn record_build_bases(&mut self, id: BuildId, bases: &[ImageRef]) -> Result<(), StoreError> {
        let sql = "UPDATE builds SET bases = ?2 WHERE id = ?1";
        row::run(self.connection, sql, (id.row(), row::to_json("base images", &bases)?))?;
        Ok(())
    }

    /// Queues a test of a service as a part of a pipeline.
    ///
    /// # Errors
    /// `BeingDestroyed`.
    pub fn create_pipeline_test(
        &mut self,
        pipeline: &Pipeline,
        service: &Service,
        test: TestSpec,
    ) -> Result<Build, StoreError> {
        let build = self.create_pipeline_build(pipeline, service)?;
        let purpose = row::to_json("a purpose", &Purpose::Test(test))?;
        row::run(self.connection, "UPDATE builds SET purpose = ?2 WHERE id = ?1", (build.id.row(), purpose))?;
        self.get_build(build.id)
    }

    /// Notes how many steps a build had. No event: its next state has one.
    pub fn set_build_steps(&mut self, id: BuildId, steps: Steps) -> Result<(), StoreError> {
        let mut report = self.get_build(id)?.report;
        report.steps = steps;
        let sql = "UPDATE builds SET report = ?2 WHERE id = ?1";
        row::run(self.connection, sql, (id.row(), row::to_json("a report", &report)?))?;
        Ok(())
    }

    /// Replaces the state `from` by `to`; nothing happens when they are the same.
    ///
    /// # Errors
    /// `Conflict` when the build is not in `from` any more.
    pub fn set_build_state(&mut self, id: BuildId, from: &State, to: State) -> Result<(), StoreError> {
        let build = self.get_build(id)?;
        if build.state != *from {
            let (expected, found) = (from.name(), build.state.name());
            return Err(StoreError::Conflict { id: id.to_string(), expected, found });
        }
        if build.state == to {
            return Ok(());
        }
        let mut report = build.report;
        report.enter(&to, self.at);
        row::run(
            self.connection,
            "UPDATE builds SET state = ?2, is_open = ?3, report = ?4 WHERE id = ?1",
            (id.row(), row::to_json("a state", &to)?, !to.is_final(), row::to_json("a report", &report)?),
        )?;
        if to.is_final() {
            self.set_waiting("build", id.row(), "")?;
        }
        self.tell(build.service, EventKind::Build(Event::StateChanged { build: id, to }))?;
        Ok(())
    }
}
