//! Projects and environments, and the network each environment gets. They have no events of their own: an
//! environment comes with its first service or database and goes with its last. Tests: `tests/it/environment.rs`.

use havre_core::id::{EnvironmentId, ProjectId};
use havre_core::name::{EnvironmentName, ProjectName};
use rusqlite::{OptionalExtension, Row};

use crate::error::StoreError;
use crate::row::{self, Origin};
use crate::view::{Tx, View};

/// A named copy of a project.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Environment {
    /// Its id; names its network.
    pub id: EnvironmentId,
    /// Its project.
    pub project: ProjectId,
    /// The project's name.
    pub project_name: ProjectName,
    /// Its own name.
    pub name: EnvironmentName,
    /// Its private network, a /24 such as `10.89.3.0/24`; reused only after the environment is removed.
    pub subnet: String,
}

const SELECT: &str = "SELECT environments.id, project, projects.name AS project_name, environments.name, subnet \
    FROM environments JOIN projects ON projects.id = project";

fn read(row: &Row<'_>) -> Result<Environment, StoreError> {
    let origin = Origin::of("environments", row)?;
    Ok(Environment {
        id: EnvironmentId::new(origin.id),
        project: ProjectId::new(row.get("project")?),
        project_name: origin.text(row, "project_name")?,
        name: origin.text(row, "name")?,
        subnet: row.get("subnet")?,
    })
}

impl View<'_> {
    /// All environments, by project and name.
    pub fn list_environments(&self) -> Result<Vec<Environment>, StoreError> {
        let sql = format!("{SELECT} ORDER BY projects.name, environments.name");
        row::list(self.connection, &sql, [], read)
    }

    /// The environment with these names, if there is one.
    pub fn find_environment(
        &self,
        project: &ProjectName,
        name: &EnvironmentName,
    ) -> Result<Option<Environment>, StoreError> {
        let sql = format!("{SELECT} WHERE projects.name = ?1 AND environments.name = ?2");
        row::find(self.connection, &sql, (project.as_str(), name.as_str()), read)
    }

    /// One environment.
    pub fn get_environment(&self, id: EnvironmentId) -> Result<Environment, StoreError> {
        let sql = format!("{SELECT} WHERE environments.id = ?1");
        row::find(self.connection, &sql, [id.row()], read)?
            .ok_or_else(|| StoreError::not_found("environment", id))
    }
}

impl Tx<'_> {
    /// The environment with these names, made with its project and the lowest free network when absent.
    ///
    /// # Errors
    /// `PoolExhausted` when every network is in use.
    pub fn ensure_environment(
        &mut self,
        project: ProjectName,
        name: EnvironmentName,
    ) -> Result<Environment, StoreError> {
        if let Some(found) = self.find_environment(&project, &name)? {
            return Ok(found);
        }
        let taken = self.list_taken_subnets()?;
        let pool = self.pools.environment;
        let subnet = pool.next_subnet(&taken).ok_or_else(|| StoreError::PoolExhausted {
            what: "network for an environment",
            pool: pool.to_string(),
        })?;
        let project = self.ensure_project(&project)?;
        row::run(
            self.connection,
            "INSERT INTO environments (project, name, subnet) VALUES (?1, ?2, ?3)",
            (project.row(), name.as_str(), subnet),
        )?;
        self.get_environment(EnvironmentId::new(self.connection.last_insert_rowid()))
    }

    fn ensure_project(&mut self, name: &ProjectName) -> Result<ProjectId, StoreError> {
        let found: Option<i64> = self
            .connection
            .query_row("SELECT id FROM projects WHERE name = ?1", [name.as_str()], |row| row.get(0))
            .optional()?;
        if let Some(id) = found {
            return Ok(ProjectId::new(id));
        }
        row::run(self.connection, "INSERT INTO projects (name) VALUES (?1)", [name.as_str()])?;
        Ok(ProjectId::new(self.connection.last_insert_rowid()))
    }

    /// Removes an environment without services and databases, frees its network, and removes its project when that is empty too.
    ///
    /// # Errors
    /// `NotEmpty` while it has services or databases, destroyed ones that are not gone yet included.
    pub fn remove_environment(&mut self, id: EnvironmentId) -> Result<(), StoreError> {
        let environment = self.get_environment(id)?;
        let services = self.count("SELECT count(*) FROM services WHERE environment = ?1", id.row())?;
        if services > 0 {
            let what = format!("environment {}/{}", environment.project_name, environment.name);
            return Err(StoreError::NotEmpty { what, count: services, dependents: "services" });
        }
        let databases = self.count("SELECT count(*) FROM databases WHERE environment = ?1", id.row())?;
        if databases > 0 {
            let what = format!("environment {}/{}", environment.project_name, environment.name);
            return Err(StoreError::NotEmpty { what, count: databases, dependents: "databases" });
        }
        self.forget_environment_secrets(&environment.project_name, &environment.name)?;
        row::run(self.connection, "DELETE FROM environments WHERE id = ?1", [id.row()])?;
        row::run(
            self.connection,
            "DELETE FROM projects WHERE id = ?1 AND NOT EXISTS (SELECT 1 FROM environments WHERE project = ?1)",
            [environment.project.row()],
        )?;
        Ok(())
    }

    /// Answer of a `SELECT count(*)` about one id.
    pub(crate) fn count(&self, sql: &str, id: i64) -> Result<u64, StoreError> {
        let count: i64 = self.connection.prepare_cached(sql)?.query_row([id], |row| row.get(0))?;
        Ok(u64::try_from(count).expect("SQLite counts from zero"))
    }
}
