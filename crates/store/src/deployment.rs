//! Deployments: their states, the switch and its way back. Tests: `tests/it/deployment.rs`.

use havre_core::deployment::event::Event;
use havre_core::deployment::state::State;
use havre_core::deployment::{Deployment, Kind};
use havre_core::event::EventKind;
use havre_core::id::{DeploymentId, ReleaseId, ServiceId};
use havre_core::service;
use havre_core::time::Timestamp;
use havre_decide::deployment::plan::replicas_after;
use rusqlite::Row;

use crate::error::StoreError;
use crate::release::NewRelease;
use crate::row::{self, Origin};
use crate::view::{Tx, View};

const SELECT: &str = "SELECT id, service, release, previous, kind, state, cancel_requested, created_at \
    FROM deployments WHERE";

fn read(row: &Row<'_>) -> Result<Deployment, StoreError> {
    let origin = Origin::of("deployments", row)?;
    Ok(Deployment {
        id: DeploymentId::new(origin.id),
        service: ServiceId::new(row.get("service")?),
        release: ReleaseId::new(row.get("release")?),
        previous: row.get::<_, Option<i64>>("previous")?.map(ReleaseId::new),
        kind: origin.variant(row, "kind")?,
        state: origin.json(row, "state")?,
        cancel_requested: row.get("cancel_requested")?,
        created_at: row::instant(row, "created_at")?,
    })
}

/// What the switch of a deployment has changed.
struct Switch {
    went_live: bool,
    replicas_before: Option<u32>,
}

impl View<'_> {
    /// One deployment.
    pub fn get_deployment(&self, id: DeploymentId) -> Result<Deployment, StoreError> {
        row::find(self.connection, &format!("{SELECT} id = ?1"), [id.row()], read)?
            .ok_or_else(|| StoreError::not_found("deployment", id))
    }

    /// At most `limit` deployments of a service, newest first.
    pub fn list_deployments(&self, service: ServiceId, limit: u32) -> Result<Vec<Deployment>, StoreError> {
        let sql = format!("{SELECT} service = ?1 ORDER BY id DESC LIMIT ?2");
        row::list(self.connection, &sql, (service.row(), limit), read)
    }

    /// Every deployment that has not ended, oldest first.
    pub fn list_open_deployments(&self) -> Result<Vec<Deployment>, StoreError> {
        row::list(self.connection, &format!("{SELECT} is_open = 1 ORDER BY id"), [], read)
    }

    /// The deployments of a service that have not ended, oldest first.
    pub fn open_deployments(&self, service: ServiceId) -> Result<Vec<Deployment>, StoreError> {
        let sql = format!("{SELECT} service = ?1 AND is_open = 1 ORDER BY id");
        row::list(self.connection, &sql, [service.row()], read)
    }

    fn get_switch(&self, id: DeploymentId) -> Result<Switch, StoreError> {
        let sql = "SELECT went_live, replicas_before FROM deployments WHERE id = ?1";
        row::find(self.connection, sql, [id.row()], |row| {
            Ok(Switch { went_live: row.get(0)?, replicas_before: row.get(1)? })
        })?
        .ok_or_else(|| StoreError::not_found("deployment", id))
    }
}

impl Tx<'_> {
    /// Records that somebody wants `release` live.
    ///
    /// # Errors
    /// `BeingDestroyed`; `NotFound` for a release that is not the service's own.
    pub fn create_deployment(
        &mut self,
        service: ServiceId,
        release: ReleaseId,
        kind: Kind,
    ) -> Result<Deployment, StoreError> {
        self.get_lasting_service(service)?;
        if self.get_release(release)?.service != service {
            return Err(StoreError::not_found("release of this service named", release));
        }
        row::run(
            self.connection,
            "INSERT INTO deployments (service, release, kind, state, is_open, created_at) \
             VALUES (?1, ?2, ?3, ?4, 1, ?5)",
            (
                service.row(),
                release.row(),
                kind.name(),
                row::to_json("a state", &State::Pending)?,
                self.at.as_millis(),
            ),
        )?;
        let deployment = DeploymentId::new(self.connection.last_insert_rowid());
        self.tell(service, EventKind::Deployment(Event::Requested { deployment, release, kind }))?;
        self.get_deployment(deployment)
    }

    /// Records that what is live of a service should be deployed again as it is; nothing where nothing is live.
    pub fn redeploy(&mut self, service: &service::Service) -> Result<Option<DeploymentId>, StoreError> {
        let Some(live) = service.live.filter(|_| service.destroyed_at.is_none()) else { return Ok(None) };
        let live = self.get_release(live)?;
        let release = self.create_release(NewRelease {
            service: service.id,
            artifact: live.artifact,
            spec: live.spec,
            revision: live.revision,
            build: live.build,
            commit: live.commit,
        })?;
        Ok(Some(self.create_deployment(service.id, release.id, Kind::Restart)?.id))
    }

    /// Replaces the state `from` by `to`; nothing happens when they are the same.
    ///
    /// # Errors
    /// `Conflict` when the deployment is not in `from` any more: plan again.
    pub fn set_deployment_state(
        &mut self,
        id: DeploymentId,
        from: &State,
        to: State,
    ) -> Result<(), StoreError> {
        let deployment = self.get_deployment(id)?;
        if deployment.state != *from {
            let (expected, found) = (from.name(), deployment.state.name());
            return Err(StoreError::Conflict { id: id.to_string(), expected, found });
        }
        if deployment.state == to {
            return Ok(());
        }
        row::run(
            self.connection,
            "UPDATE deployments SET state = ?2, is_open = ?3 WHERE id = ?1",
            (id.row(), row::to_json("a state", &to)?, !to.is_final()),
        )?;
        if to.is_final() {
            self.set_waiting("deployment", id.row(), "")?;
        }
        self.tell(deployment.service, EventKind::Deployment(Event::StateChanged { deployment: id, to }))?;
        Ok(())
    }

    /// Asks for a deployment to be cancelled; nothing happens when it has ended or was asked before.
    pub fn request_cancel(&mut self, id: DeploymentId) -> Result<(), StoreError> {
        let deployment = self.get_deployment(id)?;
        if deployment.cancel_requested || deployment.state.is_final() {
            return Ok(());
        }
        row::run(self.connection, "UPDATE deployments SET cancel_requested = 1 WHERE id = ?1", [id.row()])?;
        let event = Event::CancelRequested { deployment: id };
        self.tell(deployment.service, EventKind::Deployment(event))?;
        Ok(())
    }

    /// Makes the deployment's release the one users get, and calls its running tasks proven since `now`. Remembers
    /// the release that was live before. A deployment goes live once: later calls change nothing, so that a late
    /// repeated step undoes neither a way back nor a newer deployment.
    ///
    /// The wanted number of tasks becomes the release's own, unless the number specified did not change (then a
    /// scale survives) or this is a restart.
    pub fn go_live(&mut self, id: DeploymentId, now: Timestamp) -> Result<(), StoreError> {
        if self.get_switch(id)?.went_live {
            return Ok(());
        }
        let deployment = self.get_deployment(id)?;
        let release = self.get_release(deployment.release)?;
        let service = self.get_service(deployment.service)?;
        let live = service.live.map(|live| self.get_release(live)).transpose()?;
        let replicas = replicas_after(&service, live.as_ref(), &release, deployment.kind);
        let replicas_before = (service.replicas != replicas).then_some(service.replicas);
        row::run(
            self.connection,
            "UPDATE deployments SET went_live = 1, previous = ?2, replicas_before = ?3 WHERE id = ?1",
            (id.row(), service.live.map(ReleaseId::row), replicas_before),
        )?;
        if replicas_before.is_some() {
            self.set_replicas(&service, replicas)?;
        }
        row::run(
            self.connection,
            "UPDATE services SET live = ?2, failures = 0, last_failure_at = NULL WHERE id = ?1",
            (service.id.row(), release.id.row()),
        )?;
        self.record_switch(service.live, Some(release.id))?;
        let event =
            service::event::Event::WentLive { release: release.id, previous: service.live, deployment: id };
        self.tell(service.id, EventKind::Service(event))?;
        self.prove_tasks_of(release.id, now)
    }

    /// Makes the release live again that was live before this deployment, and the wanted number of tasks with it
    /// unless somebody scaled since; its running tasks are proven. Nothing happens when the deployment never went
    /// live or its release is not live any more. After a first deployment no release is live.
    pub fn revert_live(&mut self, id: DeploymentId) -> Result<(), StoreError> {
        let switch = self.get_switch(id)?;
        let deployment = self.get_deployment(id)?;
        let service = self.get_service(deployment.service)?;
        let is_live = service.live == Some(deployment.release);
        if !switch.went_live || !is_live || deployment.previous == service.live {
            return Ok(());
        }
        let release = self.get_release(deployment.release)?;
        if let Some(before) = switch.replicas_before
            && service.replicas == release.spec.replicas()
        {
            self.set_replicas(&service, before)?;
        }
        row::run(
            self.connection,
            "UPDATE services SET live = ?2 WHERE id = ?1",
            (service.id.row(), deployment.previous.map(ReleaseId::row)),
        )?;
        self.record_switch(service.live, deployment.previous)?;
        // With nothing to go back to there is no release to name; the deployment's own `Reverting` tells it.
        if let Some(previous) = deployment.previous {
            let event =
                service::event::Event::WentLive { release: previous, previous: service.live, deployment: id };
            self.tell(service.id, EventKind::Service(event))?;
            // Users get them from now on; those started again for this had not been proven before.
            self.prove_tasks_of(previous, self.at)?;
        }
        Ok(())
    }
}
