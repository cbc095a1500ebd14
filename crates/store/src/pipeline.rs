//! Pipelines, and the branches and tags of the repositories served here with what was decided about each. What follows
//! from a push is decided in `havre_core::pipeline`. Tests: `tests/it/pipeline.rs`.

use havre_core::event::{Actor, EventKind, Subject};
use havre_core::id::PipelineId;
use havre_core::name::{EnvironmentName, ProjectName};
use havre_core::pipeline::event::Event;
use havre_core::pipeline::push::Verdict;
use havre_core::pipeline::{Cause, Pipeline, State, Untouched, enter};
use havre_core::source::{CommitId, RefName};
use havre_core::time::Timestamp;
use rusqlite::Row;

use crate::error::StoreError;
use crate::row::{self, Origin};
use crate::view::{Tx, View};

/// Pipelines kept for each project; older ones that are over are forgotten with the next new one.
pub const PIPELINES_KEPT: u32 = 200;

/// A branch or tag as it was last seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RefRow {
    /// The project whose repository it is in.
    pub project: ProjectName,
    /// Its name.
    pub reference: RefName,
    /// Where it points.
    pub commit: CommitId,
    /// Who moved it there; Havre where that was found out later.
    pub pushed_by: Actor,
    /// When.
    pub pushed_at: Timestamp,
    /// What was decided about this very commit; absent until it has been looked at.
    pub verdict: Option<Verdict>,
}

/// What a new pipeline is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewPipeline {
    /// The project.
    pub project: ProjectName,
    /// Where it deploys to.
    pub environment: EnvironmentName,
    /// The branch or tag.
    pub reference: RefName,
    /// The commit.
    pub commit: CommitId,
    /// First line of its message.
    pub subject: String,
    /// Who wrote it.
    pub author: String,
    /// Why there is a run.
    pub cause: Cause,
}

const SELECT: &str = "SELECT id, project, environment, reference, commit_id, subject, author, cause, state, stages, \
    untouched, created_at FROM pipelines WHERE";

/// Without a row number of its own: errors name row 0.
const SELECT_REF: &str =
    "SELECT 0, project, reference, commit_id, pushed_by, pushed_at, judged_id, verdict FROM refs WHERE";

fn read(row: &Row<'_>) -> Result<Pipeline, StoreError> {
    let origin = Origin::of("pipelines", row)?;
    Ok(Pipeline {
        id: PipelineId::new(origin.id),
        project: origin.text(row, "project")?,
        environment: origin.text(row, "environment")?,
        reference: origin.text(row, "reference")?,
        commit: origin.text(row, "commit_id")?,
        subject: row.get("subject")?,
        author: row.get("author")?,
        cause: origin.json(row, "cause")?,
        state: origin.json(row, "state")?,
        stages: origin.json(row, "stages")?,
        untouched: origin.json(row, "untouched")?,
        created_at: row::instant(row, "created_at")?,
    })
}

fn read_ref(row: &Row<'_>) -> Result<RefRow, StoreError> {
    let origin = Origin::of("refs", row)?;
    let commit: CommitId = origin.text(row, "commit_id")?;
    let is_judged = row.get::<_, Option<String>>("judged_id")?.as_deref() == Some(commit.as_str());
    Ok(RefRow {
        project: origin.text(row, "project")?,
        reference: origin.text(row, "reference")?,
        pushed_by: origin.json(row, "pushed_by")?,
        pushed_at: row::instant(row, "pushed_at")?,
        verdict: if is_judged { Some(origin.json(row, "verdict")?) } else { None },
        commit,
    })
}

impl View<'_> {
    /// One pipeline.
    pub fn get_pipeline(&self, id: PipelineId) -> Result<Pipeline, StoreError> {
        row::find(self.connection, &format!("{SELECT} id = ?1"), [id.row()], read)?
            .ok_or_else(|| StoreError::not_found("pipeline", id))
    }

    /// At most `limit` pipelines of a project, newest first.
    pub fn list_pipelines(&self, project: &ProjectName, limit: u32) -> Result<Vec<Pipeline>, StoreError> {
        let sql = format!("{SELECT} project = ?1 ORDER BY id DESC LIMIT ?2");
        row::list(self.connection, &sql, (project.as_str(), limit), read)
    }

    /// The newest pipeline of an environment, by names.
    pub fn find_newest_pipeline(
        &self,
        project: &ProjectName,
        environment: &EnvironmentName,
    ) -> Result<Option<Pipeline>, StoreError> {
        let sql = format!("{SELECT} project = ?1 AND environment = ?2 ORDER BY id DESC LIMIT 1");
        row::find(self.connection, &sql, (project.as_str(), environment.as_str()), read)
    }

    /// Every pipeline that has not ended, oldest first.
    pub fn list_open_pipelines(&self) -> Result<Vec<Pipeline>, StoreError> {
        row::list(self.connection, &format!("{SELECT} is_open = 1 ORDER BY id"), [], read)
    }

    /// Every branch and tag of a project's repository as it was last seen.
    pub fn list_refs(&self, project: &ProjectName) -> Result<Vec<RefRow>, StoreError> {
        let sql = format!("{SELECT_REF} project = ?1 ORDER BY reference");
        row::list(self.connection, &sql, [project.as_str()], read_ref)
    }

    /// One branch or tag.
    pub fn find_ref(&self, project: &ProjectName, reference: &RefName) -> Result<Option<RefRow>, StoreError> {
        let sql = format!("{SELECT_REF} project = ?1 AND reference = ?2");
        row::find(self.connection, &sql, (project.as_str(), reference.as_str()), read_ref)
    }

    /// Branches and tags that moved and were not looked at since, the one that waits longest first.
    pub fn list_unjudged_refs(&self) -> Result<Vec<RefRow>, StoreError> {
        let sql = format!(
            "{SELECT_REF} judged_id IS NULL OR judged_id <> commit_id ORDER BY pushed_at, project, reference"
        );
        row::list(self.connection, &sql, [], read_ref)
    }
}

impl Tx<'_> {
    /// Notes where a branch or tag points now, or that it is gone. Nothing happens when that is known already.
    pub fn note_push(
        &mut self,
        project: &ProjectName,
        reference: &RefName,
        commit: Option<&CommitId>,
    ) -> Result<(), StoreError> {
        let before = self.find_ref(project, reference)?;
        if before.as_ref().map(|row| &row.commit) == commit {
            return Ok(());
        }
        let names = (project.as_str(), reference.as_str());
        match commit {
            None => {
                row::run(self.connection, "DELETE FROM refs WHERE project = ?1 AND reference = ?2", names)?;
            }
            Some(commit) => {
                let actor = row::to_json("an actor", &self.actor)?;
                row::run(
                    self.connection,
                    "INSERT INTO refs (project, reference, commit_id, pushed_by, pushed_at) VALUES (?1, ?2, ?3, ?4, ?5) \
                     ON CONFLICT (project, reference) DO UPDATE SET \
                     commit_id = excluded.commit_id, pushed_by = excluded.pushed_by, pushed_at = excluded.pushed_at",
                    (names.0, names.1, commit.as_str(), actor, self.at.as_millis()),
                )?;
            }
        }
        self.touch_repository(project)?;
        let (project, reference) = (project.clone(), reference.clone());
        self.tell_pipeline(Event::Pushed { project, reference, commit: commit.cloned() })
    }

    /// Records what was decided about a branch at `commit`; whether it still pointed there.
    pub fn judge_ref(
        &mut self,
        project: &ProjectName,
        reference: &RefName,
        commit: &CommitId,
        verdict: &Verdict,
    ) -> Result<bool, StoreError> {
        let changed = row::run(
            self.connection,
            "UPDATE refs SET judged_id = ?3, verdict = ?4 WHERE project = ?1 AND reference = ?2 AND commit_id = ?3 \
             AND (judged_id IS NULL OR judged_id <> ?3)",
            (project.as_str(), reference.as_str(), commit.as_str(), row::to_json("a verdict", verdict)?),
        )?;
        if changed == 0 {
            return Ok(false);
        }
        if let Verdict::Ignored { reason } = verdict {
            let (project, reference) = (project.clone(), reference.clone());
            self.tell_pipeline(Event::Ignored { project, reference, reason: reason.clone() })?;
        }
        Ok(true)
    }

    /// Queues a pipeline.
    pub fn create_pipeline(&mut self, new: NewPipeline) -> Result<Pipeline, StoreError> {
        row::run(
            self.connection,
            "INSERT INTO pipelines \
             (project, environment, reference, commit_id, subject, author, cause, state, is_open, created_at) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, 1, ?9)",
            (
                new.project.as_str(),
                new.environment.as_str(),
                new.reference.as_str(),
                new.commit.as_str(),
                &new.subject,
                &new.author,
                row::to_json("a cause", &new.cause)?,
                row::to_json("a state", &State::Queued)?,
                self.at.as_millis(),
            ),
        )?;
        let id = PipelineId::new(self.connection.last_insert_rowid());
        row::run(
            self.connection,
            "DELETE FROM pipelines WHERE project = ?1 AND is_open = 0 AND id NOT IN \
             (SELECT id FROM pipelines WHERE project = ?1 ORDER BY id DESC LIMIT ?2)",
            (new.project.as_str(), PIPELINES_KEPT),
        )?;
        let pipeline = self.get_pipeline(id)?;
        self.expect_status(&pipeline)?;
        self.tell_state(&pipeline, State::Queued)?;
        Ok(pipeline)
    }

    /// Replaces the state `from` by `to`; nothing happens when they are the same.
    ///
    /// # Errors
    /// `Conflict` when the pipeline is not in `from` any more.
    pub fn set_pipeline_state(&mut self, id: PipelineId, from: &State, to: State) -> Result<(), StoreError> {
        let pipeline = self.get_pipeline(id)?;
        if pipeline.state != *from {
            let (expected, found) = (from.name(), pipeline.state.name());
            return Err(StoreError::Conflict { id: id.to_string(), expected, found });
        }
        if pipeline.state == to {
            return Ok(());
        }
        let mut stages = pipeline.stages.clone();
        enter(&mut stages, &to, self.at);
        row::run(
            self.connection,
            "UPDATE pipelines SET state = ?2, is_open = ?3, stages = ?4 WHERE id = ?1",
            (id.row(), row::to_json("a state", &to)?, !to.is_final(), row::to_json("stages", &stages)?),
        )?;
        self.tell_state(&pipeline, to)
    }

    /// Notes the services that a pipeline leaves as they are. No event: its next state has one.
    pub fn set_pipeline_untouched(
        &mut self,
        id: PipelineId,
        untouched: &[Untouched],
    ) -> Result<(), StoreError> {
        let sql = "UPDATE pipelines SET untouched = ?2 WHERE id = ?1";
        row::run(self.connection, sql, (id.row(), row::to_json("untouched services", &untouched)?))?;
        Ok(())
    }

    fn tell_state(&mut self, pipeline: &Pipeline, to: State) -> Result<(), StoreError> {
        self.tell_pipeline(Event::StateChanged {
            pipeline: pipeline.id,
            project: pipeline.project.clone(),
            environment: pipeline.environment.clone(),
            to,
        })
    }

    fn tell_pipeline(&mut self, event: Event) -> Result<(), StoreError> {
        self.append(Subject::Node, EventKind::Pipeline(event))?;
        Ok(())
    }
}
