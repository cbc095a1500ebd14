//! Previews of pull requests, and what was announced of these. What follows from it is decided in `havre_decide::preview::plan`.
//! Tests: `tests/it/preview.rs`.

use havre_core::event::{Actor, EventKind, Subject};
use havre_core::name::ProjectName;
use havre_core::pipeline::push::Verdict;
use havre_core::preview::event::Event;
use havre_core::preview::{Preview, PullNumber, State, Wish};
use havre_core::quantity::Span;
use havre_core::source::CommitId;
use havre_core::time::Timestamp;
use rusqlite::Row;

use crate::error::StoreError;
use crate::row::{self, Origin};
use crate::view::{Tx, View};

/// Closed previews, and wishes that were decided, kept for each project.
pub const PREVIEWS_KEPT: u32 = 100;

/// What was announced of a pull request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WishRow {
    /// What.
    pub wish: Wish,
    /// Who.
    pub asked_by: Actor,
    /// When.
    pub asked_at: Timestamp,
    /// How often the fetch has failed.
    pub tries: u32,
    /// When it is due.
    pub next_at: Timestamp,
    /// What was decided; absent until it is.
    pub verdict: Option<Verdict>,
}

/// Without a row number of its own: errors name row 0.
const SELECT: &str = "SELECT 0, project, CAST(number AS TEXT) AS pull, commit_id, branch, base, base_id, is_fork, state, pushed_at, \
    ttl_ms FROM previews WHERE";
const SELECT_WISH: &str = "SELECT 0, project, CAST(number AS TEXT) AS pull, head, branch, base, head_at, is_fork, asked_by, asked_at, \
    tries, next_at, verdict FROM preview_wishes WHERE";

fn read(row: &Row<'_>) -> Result<Preview, StoreError> {
    let origin = Origin::of("previews", row)?;
    Ok(Preview {
        project: origin.text(row, "project")?,
        number: origin.text(row, "pull")?,
        commit: origin.text(row, "commit_id")?,
        branch: origin.text(row, "branch")?,
        base: origin.text(row, "base")?,
        base_commit: origin.text(row, "base_id")?,
        is_fork: row.get("is_fork")?,
        state: origin.json(row, "state")?,
        pushed_at: row::instant(row, "pushed_at")?,
        ttl: Span::millis(origin.count(row, "ttl_ms")?),
    })
}

fn read_wish(row: &Row<'_>) -> Result<WishRow, StoreError> {
    let origin = Origin::of("preview_wishes", row)?;
    let has_head = row.get::<_, Option<String>>("head")?.is_some();
    let has_verdict = row.get::<_, Option<String>>("verdict")?.is_some();
    let wish = Wish {
        project: origin.text(row, "project")?,
        number: origin.text(row, "pull")?,
        head: if has_head { Some(origin.text(row, "head")?) } else { None },
        branch: origin.text(row, "branch")?,
        base: origin.text(row, "base")?,
        at: origin.json(row, "head_at")?,
        is_fork: row.get("is_fork")?,
    };
    Ok(WishRow {
        wish,
        asked_by: origin.json(row, "asked_by")?,
        asked_at: row::instant(row, "asked_at")?,
        tries: row.get("tries")?,
        next_at: row::instant(row, "next_at")?,
        verdict: if has_verdict { Some(origin.json(row, "verdict")?) } else { None },
    })
}

fn column(number: PullNumber) -> i64 {
    row::column(number.into())
}

impl View<'_> {
    /// Every preview of a project, closed ones included, newest pull request first.
    pub fn list_previews(&self, project: &ProjectName) -> Result<Vec<Preview>, StoreError> {
        let sql = format!("{SELECT} project = ?1 ORDER BY number DESC");
        row::list(self.connection, &sql, [project.as_str()], read)
    }

    /// Every preview of every project of which something may be left.
    pub fn list_lasting_previews(&self) -> Result<Vec<Preview>, StoreError> {
        row::list(self.connection, &format!("{SELECT} is_closed = 0 ORDER BY project, number"), [], read)
    }

    /// The preview of a pull request, if there ever was one.
    pub fn find_preview(
        &self,
        project: &ProjectName,
        number: PullNumber,
    ) -> Result<Option<Preview>, StoreError> {
        let sql = format!("{SELECT} project = ?1 AND number = ?2");
        row::find(self.connection, &sql, (project.as_str(), column(number)), read)
    }

    /// What was last announced of a pull request.
    pub fn find_preview_wish(
        &self,
        project: &ProjectName,
        number: PullNumber,
    ) -> Result<Option<WishRow>, StoreError> {
        let sql = format!("{SELECT_WISH} project = ?1 AND number = ?2");
        row::find(self.connection, &sql, (project.as_str(), column(number)), read_wish)
    }

    /// Everything announced that was not decided, the one that waits longest first.
    pub fn list_preview_wishes(&self) -> Result<Vec<WishRow>, StoreError> {
        let sql = format!("{SELECT_WISH} verdict IS NULL ORDER BY next_at, project, number");
        row::list(self.connection, &sql, [], read_wish)
    }
}

impl Tx<'_> {
    /// Notes what was announced of a pull request, in place of what was before.
    pub fn request_preview(&mut self, wish: &Wish) -> Result<(), StoreError> {
        row::run(
            self.connection,
            "DELETE FROM preview_wishes WHERE project = ?1 AND (number = ?2 OR (verdict IS NOT NULL AND number NOT IN \
             (SELECT number FROM preview_wishes WHERE project = ?1 ORDER BY asked_at DESC LIMIT ?3)))",
            (wish.project.as_str(), column(wish.number), PREVIEWS_KEPT),
        )?;
        row::run(
            self.connection,
            "INSERT INTO preview_wishes \
             (project, number, head, branch, base, head_at, is_fork, asked_by, asked_at, tries, next_at) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, 0, ?9)",
            (
                wish.project.as_str(),
                column(wish.number),
                wish.head.as_ref().map(CommitId::as_str),
                wish.branch.as_str(),
                wish.base.as_str(),
                row::to_json("where a head lies", &wish.at)?,
                wish.is_fork,
                row::to_json("an actor", &self.actor)?,
                self.at.as_millis(),
            ),
        )?;
        Ok(())
    }

    /// Forgets what was announced of a pull request: it was closed.
    pub fn forget_preview_wish(
        &mut self,
        project: &ProjectName,
        number: PullNumber,
    ) -> Result<(), StoreError> {
        let sql = "DELETE FROM preview_wishes WHERE project = ?1 AND number = ?2";
        row::run(self.connection, sql, (project.as_str(), column(number)))?;
        Ok(())
    }

    /// Whether this is still what was announced last, and nothing was decided about it.
    pub fn is_open_wish(&self, row: &WishRow) -> Result<bool, StoreError> {
        let found = self.find_preview_wish(&row.wish.project, row.wish.number)?;
        let is_same = |found: WishRow| {
            found.verdict.is_none() && found.wish == row.wish && found.asked_at == row.asked_at
        };
        Ok(found.is_some_and(is_same))
    }

    /// Records what was decided about what was announced. Nothing happens when something else was announced meanwhile.
    pub fn judge_preview_wish(&mut self, row: &WishRow, verdict: &Verdict) -> Result<(), StoreError> {
        if !self.is_open_wish(row)? {
            return Ok(());
        }
        let (project, number) = (&row.wish.project, row.wish.number);
        row::run(
            self.connection,
            "UPDATE preview_wishes SET verdict = ?3 WHERE project = ?1 AND number = ?2",
            (project.as_str(), column(number), row::to_json("a verdict", verdict)?),
        )?;
        if let Verdict::Ignored { reason } = verdict {
            let (project, reason) = (project.clone(), reason.clone());
            self.tell_preview(Event::Ignored { project, number, reason })?;
        }
        Ok(())
    }

    /// Records that the commit of a wish could not be fetched once more and is tried again at `next_at`.
    pub fn preview_wish_failed(&mut self, row: &WishRow, next_at: Timestamp) -> Result<(), StoreError> {
        if !self.is_open_wish(row)? {
            return Ok(());
        }
        row::run(
            self.connection,
            "UPDATE preview_wishes SET tries = ?3, next_at = ?4 WHERE project = ?1 AND number = ?2",
            (
                row.wish.project.as_str(),
                column(row.wish.number),
                row.tries.saturating_add(1),
                next_at.as_millis(),
            ),
        )?;
        Ok(())
    }

    /// Makes or moves the preview of a pull request. One that was not there is open from now on.
    pub fn put_preview(&mut self, preview: &Preview) -> Result<(), StoreError> {
        let before = self.find_preview(&preview.project, preview.number)?;
        if before.as_ref() == Some(preview) {
            return Ok(());
        }
        row::run(
            self.connection,
            "INSERT INTO previews \
             (project, number, commit_id, branch, base, base_id, is_fork, state, is_closed, pushed_at, ttl_ms) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11) ON CONFLICT (project, number) DO UPDATE SET \
             commit_id = excluded.commit_id, branch = excluded.branch, base = excluded.base, base_id = excluded.base_id, \
             is_fork = excluded.is_fork, state = excluded.state, is_closed = excluded.is_closed, \
             pushed_at = excluded.pushed_at, ttl_ms = excluded.ttl_ms",
            (
                preview.project.as_str(),
                column(preview.number),
                preview.commit.as_str(),
                preview.branch.as_str(),
                preview.base.as_str(),
                preview.base_commit.as_str(),
                preview.is_fork,
                row::to_json("a state", &preview.state)?,
                is_closed(&preview.state),
                preview.pushed_at.as_millis(),
                row::column(preview.ttl.as_millis()),
            ),
        )?;
        self.expect_comment(preview)?;
        if before.is_none_or(|before| before.state != preview.state) {
            self.tell_preview_state(preview, preview.state.clone())?;
        }
        let (project, number) = (preview.project.clone(), preview.number);
        self.tell_preview(Event::Moved { project, number, commit: preview.commit.clone() })
    }

    /// Replaces the state of a preview as it was read by `to`; nothing happens when they are the same.
    ///
    /// # Errors
    /// `Conflict` when it is in another one, `NotFound`.
    pub fn set_preview_state(&mut self, preview: &Preview, to: State) -> Result<(), StoreError> {
        let (project, number) = (&preview.project, preview.number);
        let found = self.find_preview(project, number)?;
        let found = found.ok_or_else(|| StoreError::not_found("preview", preview.environment()))?;
        if found.state != preview.state {
            let (id, expected) = (preview.environment().to_string(), preview.state.name());
            return Err(StoreError::Conflict { id, expected, found: found.state.name() });
        }
        if found.state == to {
            return Ok(());
        }
        row::run(
            self.connection,
            "UPDATE previews SET state = ?3, is_closed = ?4 WHERE project = ?1 AND number = ?2",
            (project.as_str(), column(number), row::to_json("a state", &to)?, is_closed(&to)),
        )?;
        if is_closed(&to) {
            row::run(
                self.connection,
                "DELETE FROM previews WHERE project = ?1 AND is_closed = 1 AND number NOT IN \
                 (SELECT number FROM previews WHERE project = ?1 AND is_closed = 1 ORDER BY pushed_at DESC LIMIT ?2)",
                (project.as_str(), PREVIEWS_KEPT),
            )?;
            self.forget_comments(project)?;
        }
        self.tell_preview_state(preview, to)
    }

    fn tell_preview_state(&mut self, preview: &Preview, to: State) -> Result<(), StoreError> {
        let (project, number) = (preview.project.clone(), preview.number);
        self.tell_preview(Event::StateChanged { project, number, to })
    }

    fn tell_preview(&mut self, event: Event) -> Result<(), StoreError> {
        self.append(Subject::Node, EventKind::Preview(event))?;
        Ok(())
    }
}

const fn is_closed(state: &State) -> bool {
    matches!(state, State::Closed { .. })
}
