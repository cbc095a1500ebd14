//! What forges were told of pipelines, and what they are still to be told. A row comes with its pipeline and says only what was; what
//! is to be told is read off the pipeline's state each time, so that the newest state counts and none is lost. When a call is due is
//! decided in `havre_core::pipeline::status`. Tests: `tests/it/forge.rs`.

use havre_core::id::PipelineId;
use havre_core::name::ProjectName;
use havre_core::pipeline::Pipeline;
use havre_core::pipeline::event::Event;
use havre_core::pipeline::status::{CommitStatus, Memory};
use havre_core::secret::Secret;
use havre_core::source::forge::{Forge, Telling};
use havre_core::time::Timestamp;
use rusqlite::Row;

use crate::error::StoreError;
use crate::remote::RemoteRow;
use crate::row::{self, Origin};
use crate::seal::Place;
use crate::view::{Tx, View};

/// What was told of one pipeline.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StatusRow {
    /// The pipeline.
    pub pipeline: PipelineId,
    /// Its project.
    pub project: ProjectName,
    /// What was told and tried.
    pub memory: Memory,
    /// When the forge was told last.
    pub told_at: Option<Timestamp>,
    /// Why it could not be told since, for people.
    pub reason: Option<String>,
    /// Whether something may still be to be told.
    pub is_open: bool,
}

/// Why a forge could not be told, and what follows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TellingFailure {
    /// Why, for people.
    pub reason: String,
    /// When it is tried again; without an instant it is given up.
    pub next_at: Option<Timestamp>,
    /// Until when the forge wants no call at all.
    pub quiet_until: Option<Timestamp>,
}

/// How the forge of a remote repository is told.
#[derive(Debug, Clone, Copy, Default)]
pub struct TellingSpec<'a> {
    /// Which forge it is, where the host does not say it.
    pub forge: Option<Forge>,
    /// Nothing is told of commits.
    pub is_off: bool,
    /// Nothing is told of previews.
    pub has_no_comments: bool,
    /// A token for this alone.
    pub token: Option<&'a Secret>,
}

const SELECT: &str =
    "SELECT pipeline, project, told, told_at, tried, tries, next_at, reason, is_open FROM statuses WHERE";

fn read(row: &Row<'_>) -> Result<StatusRow, StoreError> {
    let origin = Origin::of("statuses", row)?;
    let memory = Memory {
        told: variant(origin, row, "told")?,
        tried: variant(origin, row, "tried")?,
        tries: row.get("tries")?,
        next_at: row::instant_or_none(row, "next_at")?,
    };
    Ok(StatusRow {
        pipeline: PipelineId::new(origin.id),
        project: origin.text(row, "project")?,
        memory,
        told_at: row::instant_or_none(row, "told_at")?,
        reason: row.get("reason")?,
        is_open: row.get("is_open")?,
    })
}

fn variant(origin: Origin, row: &Row<'_>, column: &'static str) -> Result<Option<CommitStatus>, StoreError> {
    match row.get::<_, Option<String>>(column)? {
        Some(_) => origin.variant(row, column).map(Some),
        None => Ok(None),
    }
}

/// Place of the token for the forge of a remote repository.
fn place(project: &ProjectName) -> Place<'_> {
    Place { table: "remotes", row: project.as_str(), column: "sealed_status_token" }
}

impl View<'_> {
    /// What was told of a pipeline; nothing where no forge is told of it.
    pub fn find_status(&self, pipeline: PipelineId) -> Result<Option<StatusRow>, StoreError> {
        row::find(self.connection, &format!("{SELECT} pipeline = ?1"), [pipeline.row()], read)
    }

    /// What was told of the newest pipeline of a project of which something was told, or should have been.
    pub fn find_last_status(&self, project: &ProjectName) -> Result<Option<StatusRow>, StoreError> {
        let sql = format!(
            "{SELECT} project = ?1 AND (told IS NOT NULL OR tried IS NOT NULL) ORDER BY pipeline DESC LIMIT 1"
        );
        row::find(self.connection, &sql, [project.as_str()], read)
    }

    /// Every pipeline of which something may still be to be told, oldest first.
    pub fn list_open_statuses(&self) -> Result<Vec<(Pipeline, StatusRow)>, StoreError> {
        let rows = row::list(self.connection, &format!("{SELECT} is_open = 1 ORDER BY pipeline"), [], read)?;
        rows.into_iter().map(|row| Ok((self.get_pipeline(row.pipeline)?, row))).collect()
    }

    /// The token the forge of a project is told with: the one for this alone, else that of the repository.
    ///
    /// # Errors
    /// `Sealed` where it cannot be opened.
    pub fn find_status_token(&self, project: &ProjectName) -> Result<Option<Secret>, StoreError> {
        let sql = "SELECT sealed_status_token FROM remotes WHERE project = ?1";
        let sealed: Option<Option<Vec<u8>>> =
            row::find(self.connection, sql, [project.as_str()], |row| Ok(row.get(0)?))?;
        match sealed.flatten() {
            Some(sealed) => self.master_key()?.open(&sealed, place(project)).map(Some),
            None => self.find_remote_token(project),
        }
    }
}

impl Tx<'_> {
    /// Says how the forge of a remote repository is told, in place of what was said before. What could not be told of the newest
    /// pipeline is told now; where nothing is to be told any more, nothing is left over.
    ///
    /// # Errors
    /// `NotFound`; `NoMasterKey`, where there is a token.
    pub fn set_telling(
        &mut self,
        project: &ProjectName,
        spec: TellingSpec<'_>,
    ) -> Result<RemoteRow, StoreError> {
        let sealed = match spec.token {
            Some(token) => Some(self.master_key()?.seal(token, place(project))?),
            None => None,
        };
        let changed = row::run(
            self.connection,
            "UPDATE remotes SET forge = ?2, is_told = ?3, has_comments = ?4, sealed_status_token = ?5, quiet_until = NULL \
             WHERE project = ?1",
            (project.as_str(), spec.forge.map(Forge::as_str), !spec.is_off, !spec.has_no_comments, sealed),
        )?;
        if changed == 0 {
            return Err(StoreError::not_found("remote repository", project));
        }
        let sql = match spec.is_off {
            true => "UPDATE statuses SET is_open = 0 WHERE project = ?1",
            false => {
                "UPDATE statuses SET tried = NULL, tries = 0, next_at = NULL, reason = NULL, is_open = 1 \
                 WHERE reason IS NOT NULL AND pipeline = (SELECT max(pipeline) FROM statuses WHERE project = ?1)"
            }
        };
        row::run(self.connection, sql, [project.as_str()])?;
        self.reset_comments(project, spec.has_no_comments)?;
        self.find_remote(project)?.ok_or_else(|| StoreError::not_found("remote repository", project))
    }

    /// Begins to tell the forge of a new pipeline, where there is one to tell. Older pipelines of this commit in this environment are
    /// told no more: theirs would replace the status of this one.
    pub(crate) fn expect_status(&mut self, pipeline: &Pipeline) -> Result<(), StoreError> {
        row::run(
            self.connection,
            "UPDATE statuses SET is_open = 0 WHERE is_open = 1 AND pipeline IN (SELECT id FROM pipelines \
             WHERE project = ?1 AND environment = ?2 AND commit_id = ?3)",
            (pipeline.project.as_str(), pipeline.environment.as_str(), pipeline.commit.as_str()),
        )?;
        let Some(remote) = self.find_remote(&pipeline.project)? else { return Ok(()) };
        let Telling::On(_) = remote.telling() else { return Ok(()) };
        row::run(
            self.connection,
            "INSERT INTO statuses (pipeline, project, tries, is_open) VALUES (?1, ?2, 0, 1)",
            (pipeline.id.row(), pipeline.project.as_str()),
        )?;
        Ok(())
    }

    /// The forge was told `status`. Nothing happens when the row is another one by now.
    pub fn status_told(&mut self, row: &StatusRow, status: CommitStatus) -> Result<(), StoreError> {
        if self.find_status(row.pipeline)?.as_ref() != Some(row) {
            return Ok(());
        }
        row::run(
            self.connection,
            "UPDATE statuses SET told = ?2, told_at = ?3, tried = NULL, tries = 0, next_at = NULL, reason = NULL, \
             is_open = ?4 WHERE pipeline = ?1",
            (row.pipeline.row(), status.name(), self.at.as_millis(), !self.is_last(row.pipeline, status)?),
        )?;
        let (pipeline, project) = (row.pipeline, row.project.clone());
        self.tell_source(Event::StatusSent { pipeline, project, status })
    }

    /// The forge could not be told `status`. Nothing happens when the row is another one by now. Giving up is an event, but not once
    /// more for the same reason.
    pub fn status_failed(
        &mut self,
        row: &StatusRow,
        status: CommitStatus,
        failure: TellingFailure,
    ) -> Result<(), StoreError> {
        if self.find_status(row.pipeline)?.as_ref() != Some(row) {
            return Ok(());
        }
        let TellingFailure { reason, next_at, quiet_until } = failure;
        let is_over = next_at.is_none() && self.is_last(row.pipeline, status)?;
        row::run(
            self.connection,
            "UPDATE statuses SET tried = ?2, tries = ?3, next_at = ?4, reason = ?5, is_open = ?6 WHERE pipeline = ?1",
            (
                row.pipeline.row(),
                status.name(),
                row.memory.tries_after(&status),
                next_at.map(Timestamp::as_millis),
                &reason,
                !is_over,
            ),
        )?;
        if let Some(quiet_until) = quiet_until {
            self.set_quiet(&row.project, quiet_until)?;
        }
        let was_given_up = row.memory.tried.is_some() && row.memory.next_at.is_none();
        if next_at.is_some() || (was_given_up && row.reason.as_ref() == Some(&reason)) {
            return Ok(());
        }
        let (pipeline, project) = (row.pipeline, row.project.clone());
        self.tell_source(Event::StatusFailed { pipeline, project, status, reason })
    }

    /// The forge wants no call of this project before.
    pub(crate) fn set_quiet(
        &mut self,
        project: &ProjectName,
        quiet_until: Timestamp,
    ) -> Result<(), StoreError> {
        let sql = "UPDATE remotes SET quiet_until = ?2 WHERE project = ?1";
        row::run(self.connection, sql, (project.as_str(), quiet_until.as_millis()))?;
        Ok(())
    }

    /// Whether the pipeline has ended, and this is its last status.
    fn is_last(&self, pipeline: PipelineId, status: CommitStatus) -> Result<bool, StoreError> {
        let state = self.get_pipeline(pipeline)?.state;
        Ok(state.is_final() && CommitStatus::of(&state) == status)
    }
}
