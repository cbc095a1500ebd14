//! What tests turn and read on the fake.

use std::collections::BTreeMap;

use havre_core::artifact::{Digest, ImageRef};
use havre_core::id::ServiceId;
use havre_core::quantity::ByteSize;
use havre_core::secret::Secret;
use havre_core::task::Healthcheck;
use havre_core::task::spec::TaskSpec;
use havre_core::time::Timestamp;

use crate::error::EngineError;
use crate::event::EngineEvent;
use crate::fake::FakeEngine;
use crate::fake::script::{Program, Script};
use crate::fake::world::{Container, Image, Planned};
use crate::image::BuiltImage;
use crate::log::LogSource;

/// A method of the engine, for planned failures and for the list of what was done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Operation {
    /// `info`
    Info,
    /// `ensure_network`
    EnsureNetwork,
    /// `remove_network`
    RemoveNetwork,
    /// `ensure_volume`
    EnsureVolume,
    /// `remove_volume`
    RemoveVolume,
    /// `archive`
    Archive,
    /// `extract`
    Extract,
    /// `pause`
    Pause,
    /// `unpause`
    Unpause,
    /// `find_image`
    FindImage,
    /// `resolve_image`
    ResolveImage,
    /// `list_built_images`
    ListBuiltImages,
    /// `remove_image`
    RemoveImage,
    /// `ensure_task`
    EnsureTask,
    /// `stop_task`
    StopTask,
    /// `remove_task`
    RemoveTask,
    /// `list_tasks`
    ListTasks,
    /// `logs`
    Logs,
    /// `exec`
    Exec,
}

impl Operation {
    /// Whether it changes the world; only such calls are recorded.
    pub const fn is_change(self) -> bool {
        !matches!(
            self,
            Self::Info
                | Self::Archive
                | Self::FindImage
                | Self::ListBuiltImages
                | Self::ListTasks
                | Self::Logs
        )
    }
}

/// One call that was asked to change the world.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Done {
    /// The method.
    pub operation: Operation,
    /// Name or id of what it was done to.
    pub subject: String,
    /// Whether it answered `Ok`.
    pub is_ok: bool,
}

/// Two tasks that ran on one volume at the same time: a broken law.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VolumeOverlap {
    /// The volume.
    pub volume: String,
    /// The task that ran already.
    pub running: String,
    /// The task that was started beside it.
    pub started: String,
}

impl FakeEngine {
    /// The next call of that method answers this error and does nothing. Several wait in order.
    pub fn fail_next(&self, operation: Operation, error: EngineError) {
        self.world().planned.entry(operation).or_default().push_back(Planned::Before(error));
    }

    /// The next call of that method does its work and then answers this error: a lost answer.
    pub fn lose_next_answer(&self, operation: Operation, error: EngineError) {
        self.world().planned.entry(operation).or_default().push_back(Planned::After(error));
    }

    /// Stops or starts the engine itself; tasks keep running meanwhile. Back again, event streams get a reset.
    pub fn set_reachable(&self, is_reachable: bool) {
        self.change(|world| {
            let was_away = !world.is_reachable;
            world.is_reachable = is_reachable;
            if was_away && is_reachable {
                world.emit(EngineEvent::Reset);
            }
        });
    }

    /// An image that is here, with its behaviour. `pull` is where it came from, `None` for one built here.
    pub fn add_image(&self, id: &Digest, pull: Option<ImageRef>, script: Script) {
        self.change(|world| world.images.insert(id.clone(), Image { pull, built: None, script }));
    }

    /// An image this installation has built.
    pub fn add_built_image(&self, id: &Digest, service: ServiceId, script: Script) {
        self.change(|world| {
            let created_at = world.tick();
            let size = ByteSize::mebibytes(1);
            let built = BuiltImage { id: id.clone(), service: Some(service), build: None, created_at, size };
            world.images.insert(id.clone(), Image { pull: None, built: Some(built), script });
        });
    }

    /// What a registry or the engine answers for a name; unknown names answer `NotFound`. A digest must be added too.
    pub fn name_image(&self, name: &ImageRef, answer: Result<Digest, EngineError>) {
        self.change(|world| world.names.insert(name.clone(), answer));
    }

    /// The image that name means here, whatever a registry answers for it. A digest must be added too.
    pub fn hold_image(&self, name: &ImageRef, id: &Digest) {
        self.change(|world| world.present.insert(name.clone(), id.clone()));
    }

    /// Every pull so far, with the user whose credentials came along.
    pub fn pulls(&self) -> Vec<(ImageRef, Option<String>)> {
        self.world().pulls.clone()
    }

    /// Someone removes an image behind our back.
    pub fn lose_image(&self, id: &Digest) {
        self.change(|world| {
            if world.images.remove(id).is_some() {
                let at = world.tick();
                world.emit(EngineEvent::ImageRemoved { id: id.clone(), at });
            }
        });
    }

    /// A running task ends by itself.
    ///
    /// # Panics
    /// When there is no such task of ours.
    pub fn exit_task(&self, name: &str, code: i64) {
        self.change(|world| world.end(name, code, false)).expect("the test names a task of ours");
    }

    /// A running task is killed for using more memory than its limit.
    ///
    /// # Panics
    /// When there is no such task of ours.
    pub fn kill_out_of_memory(&self, name: &str) {
        self.change(|world| world.end(name, 137, true)).expect("the test names a task of ours");
    }

    /// Someone removes a task behind our back.
    ///
    /// # Panics
    /// When there is no such task of ours.
    pub fn lose_task(&self, name: &str) {
        self.change(|world| world.remove(name)).expect("the test names a task of ours");
    }

    /// All tasks end with code 137, as after a power cut or a restart of the engine without live-restore.
    pub fn lose_power(&self) {
        self.change(|world| {
            let names: Vec<String> = world.ours().map(|(name, _)| name.clone()).collect();
            for name in names {
                world.end(&name, 137, false).expect("the names are those of tasks of ours");
            }
            world.emit(EngineEvent::Reset);
        });
    }

    /// The image's own health check comes to a result.
    ///
    /// # Panics
    /// When there is no such task of ours.
    pub fn set_healthcheck(&self, name: &str, health: Healthcheck) {
        self.change(|world| world.set_healthcheck(name, health)).expect("the test names a task of ours");
    }

    /// What a program inside a running task does from now on, by the first word of its command.
    ///
    /// # Panics
    /// When there is no such task of ours.
    pub fn set_program(&self, name: &str, word: &str, program: Program) {
        let set = self.change(|world| {
            let programs = &mut world.get_ours(name)?.script.programs;
            programs.retain(|(other, _)| other != word);
            programs.push((word.to_owned(), program));
            Ok::<(), EngineError>(())
        });
        set.expect("the test names a task of ours");
    }

    /// A task writes a line.
    ///
    /// # Panics
    /// When there is no such task of ours.
    pub fn print(&self, name: &str, stream: LogSource, line: &str) {
        self.change(|world| world.print(name, stream, line)).expect("the test names a task of ours");
    }

    /// Environment variables of a task, those nobody should see included; `None` when there is no such task of ours.
    pub fn variables(&self, name: &str) -> Option<BTreeMap<String, String>> {
        let world = self.world();
        let (_, ours) = world.ours().find(|(other, _)| *other == name)?;
        let plain = ours.spec.env.iter().map(|(key, value)| (key.to_string(), value.clone()));
        let text = |value: &Secret| String::from_utf8_lossy(value.expose()).into_owned();
        let secret = ours.spec.secrets.iter().map(|(key, value)| (key.to_string(), text(value)));
        Some(plain.chain(secret).collect())
    }

    /// A task that was made and never started, as a control that is killed in between leaves it.
    pub fn add_half_made(&self, task: &TaskSpec) {
        self.change(|world| world.make(task)).expect("what the task needs is there");
    }

    /// A container that is not ours takes a name.
    pub fn add_foreign_container(&self, name: &str) {
        self.change(|world| world.containers.insert(name.to_owned(), Container::Foreign));
    }

    /// Whether a container that is not ours still has that name.
    pub fn has_foreign_container(&self, name: &str) -> bool {
        matches!(self.world().containers.get(name), Some(Container::Foreign))
    }

    /// A network that is not ours takes a name.
    pub fn add_foreign_network(&self, name: &str) {
        self.change(|world| world.networks.insert(name.to_owned(), None));
    }

    /// A volume that is not ours takes a name.
    pub fn add_foreign_volume(&self, name: &str) {
        self.change(|world| world.volumes.insert(name.to_owned(), None));
    }

    /// Sets the engine's clock; it goes on from there by a millisecond at each thing that happens.
    pub fn set_now(&self, now: Timestamp) {
        self.change(|world| world.now = now);
    }

    /// What a task of ours was asked to be, if there is one of that name.
    pub fn task_spec(&self, name: &str) -> Option<TaskSpec> {
        match self.world().containers.get(name)? {
            Container::Ours(ours) => Some(ours.spec.clone()),
            Container::Foreign => None,
        }
    }

    /// Calls that were asked to change the world, in order, failed ones included.
    pub fn done(&self) -> Vec<Done> {
        self.world().done.clone()
    }

    /// What programs that read their standard input to the end were sent, with their command in one line, in order of their end.
    pub fn inputs(&self) -> Vec<(String, Vec<u8>)> {
        self.world().inputs.clone()
    }

    /// How often a method that changes the world was called.
    pub fn count(&self, operation: Operation) -> usize {
        self.world().done.iter().filter(|done| done.operation == operation).count()
    }

    /// Every time two tasks ran on one volume at once; must be empty at the end of every test.
    pub fn volume_overlaps(&self) -> Vec<VolumeOverlap> {
        self.world().overlaps.clone()
    }

    /// Names of networks that exist, foreign ones included.
    pub fn network_names(&self) -> Vec<String> {
        self.world().networks.keys().cloned().collect()
    }

    /// Names of volumes that exist, foreign ones included.
    pub fn volume_names(&self) -> Vec<String> {
        self.world().volumes.keys().cloned().collect()
    }
}
