//! Comments on pull requests that say how their previews stand. A row comes with its preview and says only what was told; what is to be told
//! is read off preview, pipeline and services each time. When a call is due is decided as for statuses, in
//! `havre_core::pipeline::status`. Tests: `tests/it/comment.rs`.

use havre_core::artifact::Digest;
use havre_core::event::{EventKind, Subject};
use havre_core::name::ProjectName;
use havre_core::pipeline::status::Memory;
use havre_core::preview::event::Event;
use havre_core::preview::{Preview, PullNumber};
use havre_core::source::forge::Telling;
use havre_core::time::Timestamp;
use havre_decide::preview::comment::{CommentId, CommentMark};
use rusqlite::Row;
use sha2::{Digest as _, Sha256};

use crate::error::StoreError;
use crate::forge::TellingFailure;
use crate::row::{self, Origin};
use crate::seal::fill;
use crate::view::{Tx, View};

/// The comment on one pull request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommentRow {
    /// The project.
    pub project: ProjectName,
    /// The pull request.
    pub number: PullNumber,
    /// By which it is found where its number is not known.
    pub mark: CommentMark,
    /// Its number at the forge.
    pub id: Option<CommentId>,
    /// What was told and tried, by digest.
    pub memory: Memory<Digest>,
    /// When it was made or changed last.
    pub told_at: Option<Timestamp>,
    /// Why it could not be changed since, for people.
    pub reason: Option<String>,
    /// Whether something may still be to be told.
    pub is_open: bool,
}

/// What a comment says, or should say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommentSaying {
    /// By digest.
    pub digest: Digest,
    /// Whether it says that the preview has gone, after which nothing follows.
    pub is_end: bool,
}

impl CommentSaying {
    /// Of this text.
    pub fn of(text: &str, is_end: bool) -> Self {
        let hex: String = Sha256::digest(text).iter().map(|byte| format!("{byte:02x}")).collect();
        Self { digest: hex.parse().expect("it is 64 hex digits"), is_end }
    }
}

/// Without a row number of its own: errors name row 0.
const SELECT: &str = "SELECT 0, project, CAST(number AS TEXT) AS pull, mark, comment_id, told, told_at, tried, tries, next_at, reason, \
    is_open FROM comments WHERE";

fn read(row: &Row<'_>) -> Result<CommentRow, StoreError> {
    let origin = Origin::of("comments", row)?;
    let has_id = row.get::<_, Option<i64>>("comment_id")?.is_some();
    let memory = Memory {
        told: digest(origin, row, "told")?,
        tried: digest(origin, row, "tried")?,
        tries: row.get("tries")?,
        next_at: row::instant_or_none(row, "next_at")?,
    };
    Ok(CommentRow {
        project: origin.text(row, "project")?,
        number: origin.text(row, "pull")?,
        mark: origin.text(row, "mark")?,
        id: if has_id { Some(CommentId(origin.count(row, "comment_id")?)) } else { None },
        memory,
        told_at: row::instant_or_none(row, "told_at")?,
        reason: row.get("reason")?,
        is_open: row.get("is_open")?,
    })
}

fn digest(origin: Origin, row: &Row<'_>, column: &'static str) -> Result<Option<Digest>, StoreError> {
    match row.get::<_, Option<String>>(column)? {
        Some(_) => origin.text(row, column).map(Some),
        None => Ok(None),
    }
}

fn column(number: PullNumber) -> i64 {
    row::column(number.into())
}

impl View<'_> {
    /// The comment on a pull request, where there is or should be one.
    pub fn find_comment(
        &self,
        project: &ProjectName,
        number: PullNumber,
    ) -> Result<Option<CommentRow>, StoreError> {
        let sql = format!("{SELECT} project = ?1 AND number = ?2");
        row::find(self.connection, &sql, (project.as_str(), column(number)), read)
    }

    /// Of the comments of a project, the one people want to hear of: one that could not be changed before others, the newest pull request
    /// first.
    pub fn find_last_comment(&self, project: &ProjectName) -> Result<Option<CommentRow>, StoreError> {
        let sql = format!(
            "{SELECT} project = ?1 AND (told IS NOT NULL OR tried IS NOT NULL) \
             ORDER BY is_open DESC, reason IS NULL, number DESC LIMIT 1"
        );
        row::find(self.connection, &sql, [project.as_str()], read)
    }

    /// Every comment that may still be to be made or changed, by project, the newest pull request first.
    pub fn list_open_comments(&self) -> Result<Vec<CommentRow>, StoreError> {
        row::list(self.connection, &format!("{SELECT} is_open = 1 ORDER BY project, number DESC"), [], read)
    }
}

impl Tx<'_> {
    /// Begins, or goes on, to tell the forge of a preview that was made or moved, where there is a forge to tell.
    pub(crate) fn expect_comment(&mut self, preview: &Preview) -> Result<(), StoreError> {
        let Some(remote) = self.find_remote(&preview.project)? else { return Ok(()) };
        let Telling::On(_) = remote.commenting() else { return Ok(()) };
        let mut bytes = [0; 8];
        fill(&mut bytes).map_err(|source| StoreError::Random { source })?;
        row::run(
            self.connection,
            "INSERT INTO comments (project, number, mark, tries, is_open) VALUES (?1, ?2, ?3, 0, 1) \
             ON CONFLICT (project, number) DO UPDATE SET is_open = 1",
            (preview.project.as_str(), column(preview.number), CommentMark::new(bytes).as_str()),
        )?;
        Ok(())
    }

    /// The comments of a project are told anew, or no more: somebody has said how its forge is told. What could not be told is told now;
    /// where nothing is to be told any more, nothing is left over.
    pub(crate) fn reset_comments(&mut self, project: &ProjectName, is_off: bool) -> Result<(), StoreError> {
        if is_off {
            let sql = "UPDATE comments SET is_open = 0 WHERE project = ?1";
            row::run(self.connection, sql, [project.as_str()])?;
            return Ok(());
        }
        row::run(
            self.connection,
            "UPDATE comments SET tried = NULL, tries = 0, next_at = NULL, reason = NULL, is_open = 1 \
             WHERE project = ?1 AND reason IS NOT NULL",
            [project.as_str()],
        )?;
        for preview in self.list_previews(project)? {
            if preview.is_open() {
                self.expect_comment(&preview)?;
            }
        }
        Ok(())
    }

    /// Forgets comments of which nothing can be told any more: their previews are forgotten.
    pub(crate) fn forget_comments(&mut self, project: &ProjectName) -> Result<(), StoreError> {
        let sql = "DELETE FROM comments WHERE project = ?1 AND number NOT IN (SELECT number FROM previews WHERE project = ?1)";
        row::run(self.connection, sql, [project.as_str()])?;
        Ok(())
    }

    /// The comment says this now; `id` is its number where the forge has said it. Nothing happens when the row is another one by now.
    pub fn comment_told(
        &mut self,
        row: &CommentRow,
        saying: &CommentSaying,
        id: Option<CommentId>,
    ) -> Result<(), StoreError> {
        if self.find_comment(&row.project, row.number)?.as_ref() != Some(row) {
            return Ok(());
        }
        row::run(
            self.connection,
            "UPDATE comments SET comment_id = ?3, told = ?4, told_at = ?5, tried = NULL, tries = 0, next_at = NULL, \
             reason = NULL, is_open = ?6 WHERE project = ?1 AND number = ?2",
            (
                row.project.as_str(),
                column(row.number),
                id.map(|CommentId(id)| row::column(id)),
                saying.digest.hex(),
                self.at.as_millis(),
                !self.is_comment_over(row, saying)?,
            ),
        )?;
        let (project, number) = (row.project.clone(), row.number);
        self.tell_comment(Event::CommentSent { project, number })
    }

    /// The comment could not be made or changed; where it `is_gone`, it is looked for, or made, the next time. Nothing happens when the row
    /// is another one by now. Giving up is an event, but not once more for the same reason.
    pub fn comment_failed(
        &mut self,
        row: &CommentRow,
        saying: &CommentSaying,
        is_gone: bool,
        failure: TellingFailure,
    ) -> Result<(), StoreError> {
        if self.find_comment(&row.project, row.number)?.as_ref() != Some(row) {
            return Ok(());
        }
        let TellingFailure { reason, next_at, quiet_until } = failure;
        let is_over = next_at.is_none() && self.is_comment_over(row, saying)?;
        let id = row.id.filter(|_| !is_gone);
        row::run(
            self.connection,
            "UPDATE comments SET comment_id = ?3, tried = ?4, tries = ?5, next_at = ?6, reason = ?7, is_open = ?8 \
             WHERE project = ?1 AND number = ?2",
            (
                row.project.as_str(),
                column(row.number),
                id.map(|CommentId(id)| row::column(id)),
                saying.digest.hex(),
                row.memory.tries_after(&saying.digest),
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
        let (project, number) = (row.project.clone(), row.number);
        self.tell_comment(Event::CommentFailed { project, number, reason })
    }

    /// Whether nothing can follow: it says the end, and the preview was not opened again meanwhile.
    fn is_comment_over(&self, row: &CommentRow, saying: &CommentSaying) -> Result<bool, StoreError> {
        let preview = self.find_preview(&row.project, row.number)?;
        Ok(saying.is_end && preview.is_none_or(|preview| !preview.is_open()))
    }

    fn tell_comment(&mut self, event: Event) -> Result<(), StoreError> {
        self.append(Subject::Node, EventKind::Preview(event))?;
        Ok(())
    }
}
