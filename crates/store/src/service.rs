//! Services, the routes they own, and how often their tasks fail. Tests: `tests/it/service.rs`.

use std::collections::BTreeSet;

use havre_core::event::EventKind;
use havre_core::id::{EnvironmentId, ReleaseId, ServiceId};
use havre_core::service::event::Event;
use havre_core::service::spec::{RouteSpec, ServiceSpec, Work};
use havre_core::service::{Maintenance, Place, Service};
use havre_core::time::Timestamp;
use rusqlite::Row;

use crate::error::StoreError;
use crate::row::{self, Origin, column};
use crate::view::{Tx, View};

/// What applying a specification did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Applied {
    /// The service is new.
    Created,
    /// Its specification changed.
    Changed,
    /// It was like that already.
    Unchanged,
}

const SELECT: &str = "SELECT services.id, environment, projects.name AS project_name, \
    environments.name AS environment_name, services.name, spec, revision, replicas, live, destroyed_at, \
    maintenance.since, maintenance.bypass FROM services LEFT JOIN maintenance ON maintenance.service = services.id JOIN environments ON environments.id = environment JOIN projects ON projects.id = project";

fn read(row: &Row<'_>) -> Result<Service, StoreError> {
    let origin = Origin::of("services", row)?;
    Ok(Service {
        id: ServiceId::new(origin.id),
        environment: EnvironmentId::new(row.get("environment")?),
        place: read_place(origin, row)?,
        spec: origin.json(row, "spec")?,
        revision: origin.count(row, "revision")?,
        replicas: row.get("replicas")?,
        live: row.get::<_, Option<i64>>("live")?.map(ReleaseId::new),
        maintenance: match row::instant_or_none(row, "since")? {
            Some(since) => Some(Maintenance { since, bypass: origin.text(row, "bypass")? }),
            None => None,
        },
        destroyed_at: row::instant_or_none(row, "destroyed_at")?,
    })
}

/// Where a service belongs, from columns of these names.
pub(crate) fn read_place(origin: Origin, row: &Row<'_>) -> Result<Place, StoreError> {
    Ok(Place {
        project: origin.text(row, "project_name")?,
        environment: origin.text(row, "environment_name")?,
        service: origin.text(row, "name")?,
    })
}

impl View<'_> {
    /// All services, those being destroyed included, by id.
    pub fn list_services(&self) -> Result<Vec<Service>, StoreError> {
        row::list(self.connection, &format!("{SELECT} ORDER BY services.id"), [], read)
    }

    /// The services of one environment, those being destroyed included, by name.
    pub fn list_environment_services(&self, id: EnvironmentId) -> Result<Vec<Service>, StoreError> {
        let sql = format!("{SELECT} WHERE environment = ?1 ORDER BY services.name");
        row::list(self.connection, &sql, [id.row()], read)
    }

    /// The service at `place`, if there is one; it may be on its way out.
    pub fn find_service(&self, place: &Place) -> Result<Option<Service>, StoreError> {
        let sql =
            format!("{SELECT} WHERE projects.name = ?1 AND environments.name = ?2 AND services.name = ?3");
        let names = (place.project.as_str(), place.environment.as_str(), place.service.as_str());
        row::find(self.connection, &sql, names, read)
    }

    /// One service.
    pub fn get_service(&self, id: ServiceId) -> Result<Service, StoreError> {
        row::find(self.connection, &format!("{SELECT} WHERE services.id = ?1"), [id.row()], read)?
            .ok_or_else(|| StoreError::not_found("service", id))
    }

    /// Whether there is such a service, on its way out or not.
    pub fn has_service(&self, id: ServiceId) -> Result<bool, StoreError> {
        let sql = "SELECT 1 FROM services WHERE id = ?1";
        Ok(row::find(self.connection, sql, [id.row()], |_| Ok(()))?.is_some())
    }

    /// The service that owns exactly this host and path.
    pub fn find_route_owner(&self, route: &RouteSpec) -> Result<Option<Place>, StoreError> {
        Ok(self.find_owner(route)?.map(|(_, place)| place))
    }

    fn find_owner(&self, route: &RouteSpec) -> Result<Option<(ServiceId, Place)>, StoreError> {
        let sql = "SELECT services.id, projects.name AS project_name, environments.name AS environment_name, \
            services.name FROM routes JOIN services ON services.id = routes.service \
            JOIN environments ON environments.id = environment JOIN projects ON projects.id = project \
            WHERE host = ?1 AND path = ?2";
        row::find(self.connection, sql, (route.host.as_str(), route.path.as_str()), |row| {
            let origin = Origin::of("services", row)?;
            Ok((ServiceId::new(origin.id), read_place(origin, row)?))
        })
    }
}

impl Tx<'_> {
    /// Makes the service of this name be as specified. A changed specification raises the revision; its number of
    /// tasks becomes the wanted one only where that number itself changed, so that a scale survives other changes.
    ///
    /// # Errors
    /// `RouteTaken`, `OtherKind` for a site that should become tasks or back, `NameTaken` where a database has the name, `BeingDestroyed`.
    pub fn apply_service(
        &mut self,
        environment: EnvironmentId,
        spec: ServiceSpec,
    ) -> Result<(Service, Applied), StoreError> {
        let Some(service) = self.find_named(environment, &spec)? else {
            return self.create_service(environment, &spec);
        };
        check_kind(&service, &spec)?;
        if service.destroyed_at.is_some() {
            return Err(StoreError::BeingDestroyed { place: service.place });
        }
        if service.spec == spec {
            return Ok((service, Applied::Unchanged));
        }
        self.check_routes(Some(service.id), &spec)?;
        let revision = service.revision + 1;
        row::run(
            self.connection,
            "UPDATE services SET spec = ?2, revision = ?3 WHERE id = ?1",
            (service.id.row(), row::to_json("a specification", &spec)?, column(revision)),
        )?;
        self.store_routes(service.id, &spec)?;
        self.tell(service.id, EventKind::Service(Event::Changed { revision }))?;
        if spec.replicas() != service.spec.replicas() {
            self.set_replicas(&service, spec.replicas())?;
        }
        Ok((self.get_service(service.id)?, Applied::Changed))
    }

    /// Applies several services of one environment as one change: a route may move between them in either order.
    /// Services not named stay as they are.
    ///
    /// # Errors
    /// Those of [`Tx::apply_service`].
    pub fn apply_services(
        &mut self,
        environment: EnvironmentId,
        specs: Vec<ServiceSpec>,
    ) -> Result<Vec<(Service, Applied)>, StoreError> {
        for spec in &specs {
            if let Some(service) = self.find_named(environment, spec)? {
                self.release_routes(&service, spec)?;
            }
        }
        specs.into_iter().map(|spec| self.apply_service(environment, spec)).collect()
    }

    fn find_named(
        &self,
        environment: EnvironmentId,
        spec: &ServiceSpec,
    ) -> Result<Option<Service>, StoreError> {
        let sql = format!("{SELECT} WHERE environment = ?1 AND services.name = ?2");
        row::find(self.connection, &sql, (environment.row(), spec.name.as_str()), read)
    }

    fn create_service(
        &mut self,
        environment: EnvironmentId,
        spec: &ServiceSpec,
    ) -> Result<(Service, Applied), StoreError> {
        self.get_environment(environment)?;
        let sql = "SELECT 1 FROM databases WHERE environment = ?1 AND name = ?2";
        if row::find(self.connection, sql, (environment.row(), spec.name.as_str()), |_| Ok(()))?.is_some() {
            return Err(StoreError::NameTaken { kind: "database", name: spec.name.to_string() });
        }
        self.check_routes(None, spec)?;
        row::run(
            self.connection,
            "INSERT INTO services (environment, name, spec, revision, replicas) VALUES (?1, ?2, ?3, 1, ?4)",
            (environment.row(), spec.name.as_str(), row::to_json("a specification", spec)?, spec.replicas()),
        )?;
        let id = ServiceId::new(self.connection.last_insert_rowid());
        self.store_routes(id, spec)?;
        self.tell(id, EventKind::Service(Event::Created))?;
        Ok((self.get_service(id)?, Applied::Created))
    }

    fn check_routes(&self, service: Option<ServiceId>, spec: &ServiceSpec) -> Result<(), StoreError> {
        for route in &spec.routes {
            match self.find_owner(route)? {
                Some((id, owner)) if Some(id) != service => {
                    return Err(StoreError::RouteTaken { route: route.clone(), owner });
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// Gives up the routes that `spec` does not name any more.
    fn release_routes(&mut self, service: &Service, spec: &ServiceSpec) -> Result<(), StoreError> {
        for route in service.spec.routes.iter().filter(|route| !spec.routes.contains(route)) {
            row::run(
                self.connection,
                "DELETE FROM routes WHERE host = ?1 AND path = ?2 AND service = ?3",
                (route.host.as_str(), route.path.as_str(), service.id.row()),
            )?;
        }
        Ok(())
    }

    fn store_routes(&mut self, id: ServiceId, spec: &ServiceSpec) -> Result<(), StoreError> {
        row::run(self.connection, "DELETE FROM routes WHERE service = ?1", [id.row()])?;
        // A route named twice in one specification is still one route.
        for route in spec.routes.iter().collect::<BTreeSet<_>>() {
            row::run(
                self.connection,
                "INSERT INTO routes (host, path, service) VALUES (?1, ?2, ?3)",
                (route.host.as_str(), route.path.as_str(), id.row()),
            )?;
        }
        Ok(())
    }

    /// Sets the wanted number of tasks.
    ///
    /// # Errors
    /// `NotScalable` for a site, `BeingDestroyed`.
    pub fn scale_service(&mut self, id: ServiceId, replicas: u32) -> Result<(), StoreError> {
        let service = self.get_service(id)?;
        if service.destroyed_at.is_some() {
            return Err(StoreError::BeingDestroyed { place: service.place });
        }
        if service.spec.tasks().is_none() {
            return Err(StoreError::NotScalable { place: service.place });
        }
        self.set_replicas(&service, replicas)
    }

    pub(crate) fn set_replicas(&mut self, service: &Service, to: u32) -> Result<(), StoreError> {
        let from = service.replicas;
        if from == to {
            return Ok(());
        }
        let sql = "UPDATE services SET replicas = ?2 WHERE id = ?1";
        row::run(self.connection, sql, (service.id.row(), to))?;
        self.tell(service.id, EventKind::Service(Event::Scaled { from, to }))?;
        Ok(())
    }

    /// Starts maintenance, or ends it. Starting it again changes the secret that passes.
    ///
    /// # Errors
    /// `BeingDestroyed`.
    pub fn set_maintenance(&mut self, id: ServiceId, wanted: Option<&Maintenance>) -> Result<(), StoreError> {
        let service = self.get_lasting_service(id)?;
        if service.maintenance.as_ref() == wanted {
            return Ok(());
        }
        row::run(self.connection, "DELETE FROM maintenance WHERE service = ?1", [id.row()])?;
        let event = match wanted {
            Some(Maintenance { since, bypass }) => {
                let bypass: String = bypass.bytes().iter().map(|byte| format!("{byte:02x}")).collect();
                let sql = "INSERT INTO maintenance (service, since, bypass) VALUES (?1, ?2, ?3)";
                row::run(self.connection, sql, (id.row(), since.as_millis(), bypass))?;
                Event::MaintenanceStarted
            }
            None => Event::MaintenanceEnded,
        };
        self.tell(id, EventKind::Service(event))?;
        Ok(())
    }

    /// Marks the service for destruction since `at` and frees its routes for others; nothing happens when it is
    /// marked already.
    pub fn request_destroy(&mut self, id: ServiceId, at: Timestamp) -> Result<(), StoreError> {
        if self.get_service(id)?.destroyed_at.is_some() {
            return Ok(());
        }
        let sql = "UPDATE services SET destroyed_at = ?2 WHERE id = ?1";
        row::run(self.connection, sql, (id.row(), at.as_millis()))?;
        row::run(self.connection, "DELETE FROM routes WHERE service = ?1", [id.row()])?;
        self.tell(id, EventKind::Service(Event::DestroyRequested))?;
        Ok(())
    }

    /// Removes a destroyed service with its builds, releases, deployments and runs of jobs. Its events stay.
    ///
    /// # Errors
    /// `NotDestroyed` when nobody asked for it, `NotEmpty` while it has tasks.
    pub fn remove_service(&mut self, id: ServiceId) -> Result<(), StoreError> {
        let service = self.get_service(id)?;
        if service.destroyed_at.is_none() {
            return Err(StoreError::NotDestroyed { place: service.place });
        }
        let tasks = self.count("SELECT count(*) FROM tasks WHERE service = ?1", id.row())?;
        if tasks > 0 {
            let what = service.place.to_string();
            return Err(StoreError::NotEmpty { what, count: tasks, dependents: "tasks" });
        }
        self.forget_waiting_of(id)?;
        for sql in [
            "DELETE FROM deployments WHERE service = ?1",
            "UPDATE services SET live = NULL WHERE id = ?1",
            "DELETE FROM purges WHERE service = ?1",
            "DELETE FROM jobs WHERE service = ?1",
            "DELETE FROM job_runs WHERE service = ?1",
            "DELETE FROM site_releases WHERE release IN (SELECT id FROM releases WHERE service = ?1)",
            "DELETE FROM release_secrets WHERE release IN (SELECT id FROM releases WHERE service = ?1)",
            "DELETE FROM release_values WHERE release IN (SELECT id FROM releases WHERE service = ?1)",
            "DELETE FROM releases WHERE service = ?1",
            "DELETE FROM builds WHERE service = ?1",
            "DELETE FROM services WHERE id = ?1",
        ] {
            row::run(self.connection, sql, [id.row()])?;
        }
        self.tell(id, EventKind::Service(Event::Destroyed))?;
        Ok(())
    }

    /// The service, unless it is on its way out.
    pub(crate) fn get_lasting_service(&self, id: ServiceId) -> Result<Service, StoreError> {
        let service = self.get_service(id)?;
        match service.destroyed_at {
            Some(_) => Err(StoreError::BeingDestroyed { place: service.place }),
            None => Ok(service),
        }
    }
}

fn kind(spec: &ServiceSpec) -> &'static str {
    match spec.work {
        Work::Tasks(_) => "service",
        Work::Site(_) => "site",
    }
}

fn check_kind(service: &Service, spec: &ServiceSpec) -> Result<(), StoreError> {
    let (is, wanted) = (kind(&service.spec), kind(spec));
    if is == wanted {
        return Ok(());
    }
    Err(StoreError::OtherKind { place: service.place.clone(), is, wanted })
}
