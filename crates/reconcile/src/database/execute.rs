//! Executes the steps of one database and stores what follows. Short, idempotent, no choices; whatever decides something is in
//! `havre_core::database`.

use havre_core::backup::policy;
use havre_core::database::role::RoleName;
use havre_core::database::spec::{DatabaseSpec, STOP_GRACE};
use havre_core::database::state::State;
use havre_core::database::task::{
    NO_SERVICE, database_container, database_volume, derive_database, stop_signal,
};
use havre_core::database::{Database, Image, RoleState};
use havre_core::event::Actor;
use havre_core::id::EnvironmentId;
use havre_core::task::EngineState;
use havre_core::task::spec::environment_network;
use havre_decide::database::plan::{Next, Plan, Seen, Step, not_started};
use havre_decide::database::tuning;
use havre_decide::secret::redact::Redactor;
use havre_engine::image::PullPolicy;
use havre_engine::network::VolumeSpec;
use havre_rescue::keys::filling;
use havre_store::{Environment, StoreError, Tx};

use super::client;
use crate::deployment::chain;
use crate::execute::Fault;
use crate::service::record_waiting;
use crate::world::World;
use crate::{prepare, registry, task_log};

/// Last lines that are told of a task that ended by itself.
const LINES: u32 = 20;

/// Does all of it; what went wrong in words, where it is worth another try.
pub(super) async fn execute(
    world: &World,
    environment: &Environment,
    seen: &Seen,
    plan: Plan,
) -> Result<(), String> {
    let executor = Executor { world, environment, seen };
    for step in &plan.steps {
        if let Err(fault) = executor.run(step).await {
            return executor.fail(step, fault).await;
        }
    }
    let (id, from) = (seen.database.id, seen.database.state.clone());
    match plan.next {
        None => Ok(()),
        Some(Next::Begin { failures }) => {
            store(world, move |tx| tx.begin_database_task(id, &from, failures)).await
        }
        Some(Next::State { state }) => store(world, move |tx| tx.set_database_state(id, &from, state)).await,
    }
}

async fn store(
    world: &World,
    write: impl FnOnce(&mut Tx<'_>) -> Result<(), StoreError> + Send + 'static,
) -> Result<(), String> {
    match world.store.write(world.now(), Actor::Havre, write).await {
        // Somebody changed the row meanwhile, or took it away; the next round plans from what is there now.
        Ok(()) | Err(StoreError::Conflict { .. } | StoreError::NotFound { .. }) => Ok(()),
        Err(error) => Err(chain(&error)),
    }
}

struct Executor<'a> {
    world: &'a World,
    environment: &'a Environment,
    seen: &'a Seen,
}

impl Executor<'_> {
    async fn run(&self, step: &Step) -> Result<(), Fault> {
        match step {
            Step::StartTask => self.start_task().await,
            Step::StopTask => self.stop_task(self.seen.database.task).await,
            Step::RemoveTask => self.remove_task().await,
            Step::RemoveOther { task } => {
                self.stop_task(*task).await?;
                self.world.engine.remove_task(&self.container(*task)).await?;
                self.world.forget_engine();
                Ok(())
            }
            Step::AddRole { service } => {
                let (database, service) = (self.seen.database.clone(), service.clone());
                self.write(move |tx| tx.add_database_role(&database, &service).map(|_| ())).await
            }
            Step::MakeRole { role } => self.make_role(role).await,
            Step::LockRole { role } => {
                client::lock_role(self.world, &self.seen.database, role).await?;
                let (database, role) = (self.seen.database.clone(), role.clone());
                self.write(move |tx| tx.remove_database_role(&database, &role)).await
            }
            Step::Dismantle => self.dismantle().await,
        }
    }

    fn container(&self, task: u32) -> String {
        database_container(&self.seen.database.place(), self.seen.database.id, task)
    }

    async fn write(
        &self,
        write: impl FnOnce(&mut Tx<'_>) -> Result<(), StoreError> + Send + 'static,
    ) -> Result<(), Fault> {
        Ok(self.world.store.write(self.world.now(), Actor::Havre, write).await?)
    }

    async fn start_task(&self) -> Result<(), Fault> {
        let (world, database) = (self.world, &self.seen.database);
        prepare::networks(world, self.environment).await?;
        let image = self.image().await?;
        let volume =
            VolumeSpec { name: database_volume(database.id), service: NO_SERVICE, place: database.place() };
        world.engine.ensure_volume(&volume).await?;
        let row = database.clone();
        let read = world.store.read(move |view| {
            let is_filled = view.list_databases_being_filled()?.contains(&row.id);
            let spec = if is_filled { filling(&row.spec) } else { row.spec.clone() };
            // Nobody collects the WAL of a preview, so it hands none out.
            let spec = DatabaseSpec { backup: policy::of_database(&row).cloned(), ..spec };
            let (superuser, logins) =
                (view.get_database_superuser(&row)?, view.list_database_logins(row.id)?);
            Ok((Database { spec, ..row }, superuser, logins))
        });
        let (database, superuser, logins) = read.await?;
        let command = tuning::command(&database.spec, &superuser.digest, &logins);
        let spec = derive_database(&database, &image, &superuser, command);
        let started = world.engine.ensure_task(&spec).await;
        world.forget_engine();
        Ok(started?)
    }

    /// The image of the present task, on this machine: the one it had before, else what its name stands for now.
    async fn image(&self) -> Result<Image, Fault> {
        let (world, database) = (self.world, &self.seen.database);
        if let Some(image) = &database.image
            && world.engine.find_image(&image.id).await?.is_some()
        {
            return Ok(image.clone());
        }
        let (reference, is_new) = match &database.image {
            Some(Image { pull: Some(pull), .. }) => (pull.clone(), false),
            Some(Image { id, pull: None }) => {
                let message = format!(
                    "image {} is gone, and nobody else has it; `image` of the database names another one",
                    id.short()
                );
                return Err(Fault::Impossible(message));
            }
            None => (database.spec.reference(), true),
        };
        let credentials = registry::credentials(world, &reference).await?;
        let found =
            world.engine.resolve_image(&reference, PullPolicy::IfMissing, credentials.as_ref(), None).await?;
        let image = Image { id: found.id, pull: found.pull };
        if is_new {
            let (id, row) = (database.id, image.clone());
            self.write(move |tx| tx.set_database_image(id, &row)).await?;
        }
        Ok(image)
    }

    /// Returns once the task has ended.
    async fn stop_task(&self, task: u32) -> Result<(), Fault> {
        let signal = stop_signal(self.seen.database.spec.engine);
        let stopped = self.world.engine.stop_task(&self.container(task), signal, STOP_GRACE.duration()).await;
        self.world.forget_engine();
        Ok(stopped?)
    }

    /// What ended by itself says so with its last lines.
    async fn remove_task(&self) -> Result<(), Fault> {
        let database = &self.seen.database;
        let container = self.container(database.task);
        let was_asked = !matches!(database.state, State::Starting { .. } | State::Ready { .. });
        if matches!(self.seen.task, EngineState::Exited { .. }) && !was_asked {
            // Servers are told passwords in a way that keeps them out of their logs (`core::database::role`).
            let lines =
                task_log::last_lines_without(self.world, &container, &Redactor::default(), LINES).await;
            let row = database.clone();
            self.write(move |tx| tx.tell_database_end(&row, lines)).await?;
        }
        self.world.engine.remove_task(&container).await?;
        self.world.forget_engine();
        Ok(())
    }

    async fn make_role(&self, role: &RoleName) -> Result<(), Fault> {
        let id = self.seen.database.id;
        let logins = self.world.store.read(move |view| view.list_database_logins(id)).await?;
        let login = logins.into_iter().find(|login| login.role == *role);
        let login = login.ok_or_else(|| Fault::Impossible(format!("there is no role {role}")))?;
        client::make_role(self.world, &self.seen.database, &login).await?;
        let (database, name) = (self.seen.database.clone(), role.clone());
        let (world, now) = (self.world, self.world.now());
        if world.store.write(now, Actor::Havre, move |tx| made(tx, &database, &name)).await? {
            return Ok(());
        }
        let text = format!(
            "deployments of {} have not ended, and it gets its new password after them",
            role.service
        );
        Err(Fault::NotYet(text))
    }

    async fn dismantle(&self) -> Result<(), Fault> {
        let (world, id) = (self.world, self.seen.database.id);
        world.engine.remove_volume(&database_volume(id)).await?;
        let environment = self.environment.id;
        let remove = world.store.write(world.now(), Actor::Havre, move |tx| {
            tx.remove_database(id)?;
            is_empty(tx, environment)
        });
        if remove.await? {
            remove_environment(world, environment).await?;
        }
        Ok(())
    }

    /// Gives the start up where nothing else helps; else says why it waits.
    async fn fail(&self, step: &Step, fault: Fault) -> Result<(), String> {
        let (is_permanent, message) = match fault {
            Fault::Engine(error) => (error.is_permanent(), chain(&error)),
            Fault::Store(error) => (false, chain(&error)),
            Fault::Impossible(message) => (true, message),
            Fault::NotYet(message) => (false, message),
        };
        let database = &self.seen.database;
        if *step == Step::StartTask
            && let Some(next) = not_started(self.seen, message.clone(), is_permanent, self.world.now())
        {
            let (id, from) = (database.id, database.state.clone());
            return store(self.world, move |tx| tx.set_database_state(id, &from, next)).await;
        }
        let text = format!("could not {step}: {message}; trying again");
        record_waiting(self.world, "database", database.id.row(), text)
            .await
            .map_err(|error| chain(&error))?;
        Err(message)
    }
}

/// The server knows the role: tasks that start from now on get it. One that takes the place of another is for tasks of a new deployment of what
/// is live; nothing happens, and the answer is `false`, while another deployment is under way, which that would supersede.
fn made(tx: &mut Tx<'_>, database: &Database, role: &RoleName) -> Result<bool, StoreError> {
    let roles = tx.list_database_roles(database.id)?;
    let is_next = roles.iter().any(|row| row.name == role.other() && row.state == RoleState::Made);
    let services = tx.list_environment_services(database.environment)?;
    let service = services.into_iter().find(|service| service.place.service == role.service);
    let Some(service) = service.filter(|_| is_next) else {
        tx.set_role_made(database, role)?;
        return Ok(true);
    };
    if !tx.open_deployments(service.id)?.is_empty() {
        return Ok(false);
    }
    tx.set_role_made(database, role)?;
    tx.redeploy(&service)?;
    Ok(true)
}

/// Whether nothing is left in an environment.
pub(crate) fn is_empty(tx: &Tx<'_>, environment: EnvironmentId) -> Result<bool, StoreError> {
    Ok(tx.list_environment_services(environment)?.is_empty()
        && tx.list_environment_databases(environment)?.is_empty())
}

/// Removes an environment in which nothing is left, with its network.
pub(crate) async fn remove_environment(world: &World, environment: EnvironmentId) -> Result<(), Fault> {
    world.engine.remove_network(&environment_network(environment)).await?;
    let remove = world.store.write(world.now(), Actor::Havre, move |tx| tx.remove_environment(environment));
    match remove.await {
        // The preview it belonged to was taken down meanwhile, or somebody has applied something to it again.
        Ok(()) | Err(StoreError::NotFound { .. } | StoreError::NotEmpty { .. }) => Ok(()),
        Err(error) => Err(error.into()),
    }
}
