//! Remote repositories of projects with their sealed tokens, and what is to be fetched from them. When a fetch is tried again is
//! decided in `havre_core::source::remote`. Tests: `tests/it/remote.rs`.

use havre_core::event::{Actor, EventKind, Subject};
use havre_core::name::ProjectName;
use havre_core::pipeline::event::Event;
use havre_core::secret::Secret;
use havre_core::source::forge::{Forge, Telling};
use havre_core::source::remote::PAUSE_MAX;
use havre_core::source::{CommitId, RefName, RemoteUrl};
use havre_core::ssh_key::{Fingerprint, PublicKey};
use havre_core::time::Timestamp;
use rusqlite::Row;

use crate::error::StoreError;
use crate::row::{self, Origin};
use crate::seal::Place;
use crate::view::{Tx, View};

/// The remote repository of a project, without its token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RemoteRow {
    /// The project.
    pub project: ProjectName,
    /// Where it is.
    pub url: RemoteUrl,
    /// Whether there is a token for it.
    pub has_token: bool,
    /// Keys its host may show over SSH, with their SHA-256; none for every other address.
    pub host_keys: Vec<(PublicKey, Fingerprint)>,
    /// The forge somebody has named.
    pub forge: Option<Forge>,
    /// Whether the forge should be told what became of commits.
    pub is_told: bool,
    /// Whether the forge should be told of previews, in comments on pull requests.
    pub has_comments: bool,
    /// Whether there is a token for telling it alone.
    pub has_status_token: bool,
    /// Until when the forge wants no call.
    pub quiet_until: Option<Timestamp>,
    /// When it was first set.
    pub created_at: Timestamp,
}

impl RemoteRow {
    /// Whether the forge is told what became of commits.
    pub fn telling(&self) -> Telling {
        let has_token = self.has_token || self.has_status_token;
        Telling::decide(&self.url, self.forge, self.is_told, has_token)
    }

    /// Whether the forge is told of previews, in comments on pull requests.
    pub fn commenting(&self) -> Telling {
        let has_token = self.has_token || self.has_status_token;
        Telling::decide(&self.url, self.forge, self.has_comments, has_token)
    }
}

/// A branch or tag that is to be fetched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FetchRow {
    /// The project.
    pub project: ProjectName,
    /// What is fetched.
    pub reference: RefName,
    /// The commit that was announced; absent where it was removed.
    pub wanted: Option<CommitId>,
    /// Who asked.
    pub asked_by: Actor,
    /// When.
    pub asked_at: Timestamp,
    /// How often it has failed.
    pub tries: u32,
    /// When it is due.
    pub next_at: Timestamp,
}

/// Without a row number of its own: errors name row 0.
const SELECT: &str = "SELECT 0, project, url, sealed_token IS NOT NULL AS has_token, forge, is_told, has_comments, \
    sealed_status_token IS NOT NULL AS has_status_token, quiet_until, created_at, \
    coalesce(host_keys, '[]') AS host_keys FROM remotes";
const SELECT_FETCH: &str =
    "SELECT 0, project, reference, wanted, asked_by, asked_at, tries, next_at FROM fetches";

fn read(row: &Row<'_>) -> Result<RemoteRow, StoreError> {
    let origin = Origin::of("remotes", row)?;
    let has_forge = row.get::<_, Option<String>>("forge")?.is_some();
    Ok(RemoteRow {
        project: origin.text(row, "project")?,
        url: origin.text(row, "url")?,
        has_token: row.get("has_token")?,
        host_keys: origin.json(row, "host_keys")?,
        forge: if has_forge { Some(origin.text(row, "forge")?) } else { None },
        is_told: row.get("is_told")?,
        has_comments: row.get("has_comments")?,
        has_status_token: row.get("has_status_token")?,
        quiet_until: row::instant_or_none(row, "quiet_until")?,
        created_at: row::instant(row, "created_at")?,
    })
}

fn read_fetch(row: &Row<'_>) -> Result<FetchRow, StoreError> {
    let origin = Origin::of("fetches", row)?;
    let has_wanted = row.get::<_, Option<String>>("wanted")?.is_some();
    Ok(FetchRow {
        project: origin.text(row, "project")?,
        reference: origin.text(row, "reference")?,
        wanted: if has_wanted { Some(origin.text(row, "wanted")?) } else { None },
        asked_by: origin.json(row, "asked_by")?,
        asked_at: row::instant(row, "asked_at")?,
        tries: row.get("tries")?,
        next_at: row::instant(row, "next_at")?,
    })
}

fn place(project: &ProjectName) -> Place<'_> {
    Place { table: "remotes", row: project.as_str(), column: "sealed_token" }
}

impl View<'_> {
    /// Every remote repository, by project.
    pub fn list_remotes(&self) -> Result<Vec<RemoteRow>, StoreError> {
        row::list(self.connection, &format!("{SELECT} ORDER BY project"), [], read)
    }

    /// The remote repository of a project.
    pub fn find_remote(&self, project: &ProjectName) -> Result<Option<RemoteRow>, StoreError> {
        let sql = format!("{SELECT} WHERE project = ?1");
        row::find(self.connection, &sql, [project.as_str()], read)
    }

    /// The token for the remote repository of a project.
    ///
    /// # Errors
    /// `Sealed` where it cannot be opened.
    pub fn find_remote_token(&self, project: &ProjectName) -> Result<Option<Secret>, StoreError> {
        let sql = "SELECT sealed_token FROM remotes WHERE project = ?1";
        let sealed: Option<Option<Vec<u8>>> =
            row::find(self.connection, sql, [project.as_str()], |row| Ok(row.get(0)?))?;
        let Some(sealed) = sealed.flatten() else { return Ok(None) };
        self.master_key()?.open(&sealed, place(project)).map(Some)
    }

    /// Everything that is to be fetched, due or not, the one that waits longest first.
    pub fn list_fetches(&self) -> Result<Vec<FetchRow>, StoreError> {
        let sql = format!("{SELECT_FETCH} ORDER BY next_at, project, reference");
        row::list(self.connection, &sql, [], read_fetch)
    }

    /// What is to be fetched by `now`, the one that waits longest first. What would be due later than any pause lasts is due as
    /// well: the clock was set back.
    pub fn list_due_fetches(&self, now: Timestamp) -> Result<Vec<FetchRow>, StoreError> {
        let sql = format!(
            "{SELECT_FETCH} WHERE next_at <= ?1 OR next_at > ?2 ORDER BY next_at, project, reference"
        );
        let latest = now.after(PAUSE_MAX.duration());
        row::list(self.connection, &sql, (now.as_millis(), latest.as_millis()), read_fetch)
    }
}

impl Tx<'_> {
    /// Makes this the remote repository of a project. A token that is not given again is forgotten: it was meant for another address.
    /// So is what was said about its forge, and at another address what was to be told there, its deploy keys, and those of its host.
    ///
    /// # Errors
    /// `NoMasterKey`, where there is a token.
    pub fn set_remote(
        &mut self,
        project: &ProjectName,
        url: &RemoteUrl,
        token: Option<&Secret>,
    ) -> Result<RemoteRow, StoreError> {
        let sealed = match token {
            Some(token) => Some(self.master_key()?.seal(token, place(project))?),
            None => None,
        };
        for table in ["statuses", "comments", "deploy_keys"] {
            let sql = format!(
                "DELETE FROM {table} WHERE project = ?1 AND NOT EXISTS \
                 (SELECT 1 FROM remotes WHERE project = ?1 AND url = ?2)"
            );
            row::run(self.connection, &sql, (project.as_str(), url.as_str()))?;
        }
        row::run(
            self.connection,
            "INSERT INTO remotes (project, url, sealed_token, created_at) VALUES (?1, ?2, ?3, ?4) \
             ON CONFLICT (project) DO UPDATE SET url = excluded.url, sealed_token = excluded.sealed_token, \
             host_keys = CASE WHEN remotes.url = excluded.url THEN remotes.host_keys END, \
             forge = NULL, is_told = 1, has_comments = 1, sealed_status_token = NULL, quiet_until = NULL",
            (project.as_str(), url.as_str(), sealed, self.at.as_millis()),
        )?;
        self.tell_source(Event::RemoteSet { project: project.clone(), url: url.clone() })?;
        self.find_remote(project)?.ok_or_else(|| StoreError::not_found("remote repository", project))
    }

    /// Forgets the remote repository of a project with its keys, what was to be fetched from it and what was to be told there. What was fetched
    /// stays.
    ///
    /// # Errors
    /// `NotFound`.
    pub fn remove_remote(&mut self, project: &ProjectName) -> Result<(), StoreError> {
        if row::run(self.connection, "DELETE FROM remotes WHERE project = ?1", [project.as_str()])? == 0 {
            return Err(StoreError::not_found("remote repository", project));
        }
        row::run(self.connection, "DELETE FROM fetches WHERE project = ?1", [project.as_str()])?;
        row::run(self.connection, "DELETE FROM statuses WHERE project = ?1", [project.as_str()])?;
        row::run(self.connection, "DELETE FROM comments WHERE project = ?1", [project.as_str()])?;
        row::run(self.connection, "DELETE FROM deploy_keys WHERE project = ?1", [project.as_str()])?;
        self.tell_source(Event::RemoteRemoved { project: project.clone() })
    }

    /// Asks for a branch or tag to be fetched now, in place of what was asked about it before.
    pub fn request_fetch(
        &mut self,
        project: &ProjectName,
        reference: &RefName,
        wanted: Option<&CommitId>,
    ) -> Result<(), StoreError> {
        row::run(
            self.connection,
            "INSERT INTO fetches (project, reference, wanted, asked_by, asked_at, tries, next_at) \
             VALUES (?1, ?2, ?3, ?4, ?5, 0, ?5) ON CONFLICT (project, reference) DO UPDATE SET \
             wanted = excluded.wanted, asked_by = excluded.asked_by, asked_at = excluded.asked_at, tries = 0, \
             next_at = excluded.next_at",
            (
                project.as_str(),
                reference.as_str(),
                wanted.map(CommitId::as_str),
                row::to_json("an actor", &self.actor)?,
                self.at.as_millis(),
            ),
        )?;
        Ok(())
    }

    /// Records that a fetch has failed once more and is due again at `next_at`; without that it is given up, and `reason` says why.
    /// Nothing happens when something else was asked for meanwhile.
    pub fn fetch_failed(
        &mut self,
        row: &FetchRow,
        next_at: Option<Timestamp>,
        reason: &str,
    ) -> Result<(), StoreError> {
        let Some(next_at) = next_at else {
            if self.forget_fetch(row)? {
                let (project, reference) = (row.project.clone(), row.reference.clone());
                self.tell_source(Event::FetchFailed { project, reference, reason: reason.to_owned() })?;
            }
            return Ok(());
        };
        row::run(
            self.connection,
            "UPDATE fetches SET tries = ?5, next_at = ?6 \
             WHERE project = ?1 AND reference = ?2 AND asked_at = ?3 AND wanted IS ?4",
            (
                row.project.as_str(),
                row.reference.as_str(),
                row.asked_at.as_millis(),
                row.wanted.as_ref().map(CommitId::as_str),
                row.tries.saturating_add(1),
                next_at.as_millis(),
            ),
        )?;
        Ok(())
    }

    /// Forgets a fetch that was done. One that was asked for meanwhile stays.
    pub fn fetch_done(&mut self, row: &FetchRow) -> Result<(), StoreError> {
        self.forget_fetch(row).map(drop)
    }

    /// Whether it was still the one that is asked for.
    fn forget_fetch(&mut self, row: &FetchRow) -> Result<bool, StoreError> {
        let forgotten = row::run(
            self.connection,
            "DELETE FROM fetches WHERE project = ?1 AND reference = ?2 AND asked_at = ?3 AND wanted IS ?4",
            (
                row.project.as_str(),
                row.reference.as_str(),
                row.asked_at.as_millis(),
                row.wanted.as_ref().map(CommitId::as_str),
            ),
        )?;
        Ok(forgotten > 0)
    }

    /// Appends an event about a remote repository or a webhook.
    pub(crate) fn tell_source(&mut self, event: Event) -> Result<(), StoreError> {
        self.append(Subject::Node, EventKind::Pipeline(event))?;
        Ok(())
    }
}
