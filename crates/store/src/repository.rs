//! What is known of the repositories served here: which branches are protected, when each was last pushed to and last packed anew.
//! Tests: `tests/it/repository.rs`.

use havre_core::name::ProjectName;
use havre_core::pipeline::event::Event;
use havre_core::source::BranchName;
use havre_core::time::Timestamp;
use rusqlite::Row;

use crate::error::StoreError;
use crate::row::{self, Origin};
use crate::view::{Tx, View};

/// A repository that something was pushed to, or fetched into.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RepositoryRow {
    /// The project.
    pub project: ProjectName,
    /// When a branch or tag of it last moved.
    pub pushed_at: Timestamp,
    /// When it was last packed anew; what was pushed since waits for that.
    pub repacked_at: Option<Timestamp>,
}

/// Without a row number of its own: errors name row 0.
const SELECT: &str = "SELECT 0, project, pushed_at, repacked_at FROM repositories";
const SELECT_BRANCH: &str = "SELECT 0, branch FROM protected_branches WHERE project = ?1";

fn read(row: &Row<'_>) -> Result<RepositoryRow, StoreError> {
    let origin = Origin::of("repositories", row)?;
    Ok(RepositoryRow {
        project: origin.text(row, "project")?,
        pushed_at: row::instant(row, "pushed_at")?,
        repacked_at: row::instant_or_none(row, "repacked_at")?,
    })
}

impl View<'_> {
    /// Every repository, by project.
    pub fn list_repositories(&self) -> Result<Vec<RepositoryRow>, StoreError> {
        row::list(self.connection, &format!("{SELECT} ORDER BY project"), [], read)
    }

    /// The repository of a project.
    pub fn find_repository(&self, project: &ProjectName) -> Result<Option<RepositoryRow>, StoreError> {
        row::find(self.connection, &format!("{SELECT} WHERE project = ?1"), [project.as_str()], read)
    }

    /// Branches of a project that may be neither removed nor rewritten, by name. A branch need not exist to be protected.
    pub fn list_protected_branches(&self, project: &ProjectName) -> Result<Vec<BranchName>, StoreError> {
        let sql = format!("{SELECT_BRANCH} ORDER BY branch");
        row::list(self.connection, &sql, [project.as_str()], |row| {
            Origin::of("protected_branches", row)?.text(row, "branch")
        })
    }
}

impl Tx<'_> {
    /// Protects a branch, or no longer; whether it was protected before.
    pub fn set_protected(
        &mut self,
        project: &ProjectName,
        branch: &BranchName,
        is_protected: bool,
    ) -> Result<bool, StoreError> {
        let sql = if is_protected {
            "INSERT INTO protected_branches (project, branch) VALUES (?1, ?2) ON CONFLICT DO NOTHING"
        } else {
            "DELETE FROM protected_branches WHERE project = ?1 AND branch = ?2"
        };
        let has_changed = row::run(self.connection, sql, (project.as_str(), branch.as_str()))? > 0;
        if !has_changed {
            return Ok(is_protected);
        }
        let (project, branch) = (project.clone(), branch.clone());
        self.tell_source(if is_protected {
            Event::BranchProtected { project, branch }
        } else {
            Event::BranchUnprotected { project, branch }
        })?;
        Ok(!is_protected)
    }

    /// Notes that a branch or tag of a repository has moved now.
    pub(crate) fn touch_repository(&mut self, project: &ProjectName) -> Result<(), StoreError> {
        row::run(
            self.connection,
            "INSERT INTO repositories (project, pushed_at) VALUES (?1, ?2) \
             ON CONFLICT (project) DO UPDATE SET pushed_at = excluded.pushed_at",
            (project.as_str(), self.at.as_millis()),
        )?;
        Ok(())
    }

    /// Records that a repository was packed anew at `at`, or that it was tried and cannot be now. No event: nothing anybody sees has
    /// changed. Nothing happens when it is not known.
    pub fn repository_repacked(&mut self, project: &ProjectName, at: Timestamp) -> Result<(), StoreError> {
        let sql = "UPDATE repositories SET repacked_at = ?2 WHERE project = ?1";
        row::run(self.connection, sql, (project.as_str(), at.as_millis()))?;
        Ok(())
    }
}
