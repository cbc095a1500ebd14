//! The trait on the fake: planned failures and the list of what was done around each call.

use std::time::Duration;

use async_trait::async_trait;
use havre_core::artifact::{Digest, ImageRef};
use havre_core::quantity::ByteSize;
use havre_core::registry::Credentials;
use havre_core::service::spec::StopSignal;
use havre_core::task::spec::TaskSpec;

use crate::Engine;
use crate::error::EngineError;
use crate::event::EventStream;
use crate::exec::{ExecSession, ExecSpec};
use crate::fake::FakeEngine;
use crate::fake::knobs::{Done, Operation};
use crate::fake::world::{Planned, World};
use crate::files::{TarIn, TarOut, VolumeFiles};
use crate::image::{BuiltImage, ImageInfo, ProgressSender, PullPolicy, ResolvedImage};
use crate::info::EngineInfo;
use crate::log::{LogQuery, LogStream};
use crate::network::{NetworkSpec, VolumeSpec};
use crate::task::EngineTask;

impl FakeEngine {
    /// One call: unreachable engine, planned failure, the work, planned loss of its answer; recorded if it is a change.
    pub(super) fn call<T>(
        &self,
        operation: Operation,
        subject: &str,
        work: impl FnOnce(&mut World) -> Result<T, EngineError>,
    ) -> Result<T, EngineError> {
        let run = |world: &mut World| {
            if !world.is_reachable {
                return Err(EngineError::Unreachable {
                    address: "the fake".to_owned(),
                    message: "switched off by the test".to_owned(),
                });
            }
            match world.planned.get_mut(&operation).and_then(std::collections::VecDeque::pop_front) {
                Some(Planned::Before(error)) => Err(error),
                Some(Planned::After(error)) => work(world).and(Err(error)),
                None => work(world),
            }
        };
        self.change(|world| {
            let result = run(world);
            if operation.is_change() {
                let is_ok = result.is_ok();
                world.done.push(Done { operation, subject: subject.to_owned(), is_ok });
            }
            result
        })
    }
}

#[async_trait]
impl Engine for FakeEngine {
    async fn info(&self) -> Result<EngineInfo, EngineError> {
        self.call(Operation::Info, "", |_| {
            Ok(EngineInfo {
                kind: "fake".to_owned(),
                version: "1".to_owned(),
                api_version: "1.41".to_owned(),
                live_restore: true,
                warnings: Vec::new(),
            })
        })
    }

    async fn ensure_network(&self, network: &NetworkSpec) -> Result<(), EngineError> {
        self.call(Operation::EnsureNetwork, &network.name, |world| world.ensure_network(network))
    }

    async fn remove_network(&self, name: &str) -> Result<(), EngineError> {
        self.call(Operation::RemoveNetwork, name, |world| world.remove_network(name))
    }

    async fn ensure_volume(&self, volume: &VolumeSpec) -> Result<(), EngineError> {
        self.call(Operation::EnsureVolume, &volume.name, |world| world.ensure_volume(volume))
    }

    async fn remove_volume(&self, name: &str) -> Result<(), EngineError> {
        self.call(Operation::RemoveVolume, name, |world| world.remove_volume(name))
    }

    async fn archive(&self, files: &VolumeFiles) -> Result<TarOut, EngineError> {
        let tar = self.call(Operation::Archive, &files.volume, |world| world.read_volume(files))?;
        Ok(super::files::give_out(tar))
    }

    async fn extract(&self, files: &VolumeFiles, tar: TarIn) -> Result<(), EngineError> {
        let tar = super::files::collect(tar).await;
        self.call(Operation::Extract, &files.volume, |world| world.fill_volume(files, tar))
    }

    async fn pause(&self, name: &str) -> Result<(), EngineError> {
        self.call(Operation::Pause, name, |world| world.pause(name))
    }

    async fn unpause(&self, name: &str) -> Result<bool, EngineError> {
        self.call(Operation::Unpause, name, |world| world.unpause(name))
    }

    async fn find_image(&self, id: &Digest) -> Result<Option<ImageInfo>, EngineError> {
        self.call(Operation::FindImage, &id.to_string(), |world| {
            Ok(world.images.get(id).map(|image| ImageInfo {
                id: id.clone(),
                pull: image.pull.clone(),
                size: ByteSize::mebibytes(1),
            }))
        })
    }

    async fn resolve_image(
        &self,
        reference: &ImageRef,
        policy: PullPolicy,
        credentials: Option<&Credentials>,
        _progress: Option<ProgressSender>,
    ) -> Result<ResolvedImage, EngineError> {
        let credentials = credentials.and_then(|credentials| credentials.only_for(reference));
        self.call(Operation::ResolveImage, reference.as_str(), |world| {
            let missing = || EngineError::not_found("image", reference.as_str());
            let present = world.present.get(reference);
            if policy != PullPolicy::Always
                && let Some(id) = present
                && let Some(image) = world.images.get(id)
            {
                return Ok(ResolvedImage { pull: image.pull.clone(), id: id.clone() });
            }
            if policy == PullPolicy::Never {
                return Err(missing());
            }
            let proof = credentials.map(|credentials| credentials.user.to_string());
            world.pulls.push((reference.clone(), proof));
            let id = world.names.get(reference).cloned().ok_or_else(missing)??;
            let image = world.images.get(&id).ok_or_else(missing)?;
            Ok(ResolvedImage { pull: image.pull.clone(), id })
        })
    }

    async fn list_built_images(&self) -> Result<Vec<BuiltImage>, EngineError> {
        self.call(Operation::ListBuiltImages, "", |world| {
            let mut built: Vec<_> = world.images.values().filter_map(|image| image.built.clone()).collect();
            built.sort_by_key(|image| (image.created_at, image.id.clone()));
            Ok(built)
        })
    }

    async fn remove_image(&self, id: &Digest) -> Result<(), EngineError> {
        self.call(Operation::RemoveImage, &id.to_string(), |world| world.remove_image(id))
    }

    async fn ensure_task(&self, task: &TaskSpec) -> Result<(), EngineError> {
        self.call(Operation::EnsureTask, &task.name, |world| world.ensure_task(task))
    }

    async fn stop_task(&self, name: &str, _signal: StopSignal, _grace: Duration) -> Result<(), EngineError> {
        self.call(Operation::StopTask, name, |world| world.stop(name))
    }

    async fn remove_task(&self, name: &str) -> Result<(), EngineError> {
        self.call(Operation::RemoveTask, name, |world| world.remove(name))
    }

    async fn list_tasks(&self) -> Result<Vec<EngineTask>, EngineError> {
        self.call(Operation::ListTasks, "", |world| Ok(world.list_tasks()))
    }

    async fn logs(&self, name: &str, query: LogQuery) -> Result<LogStream, EngineError> {
        self.call(Operation::Logs, name, |world| world.get_ours(name).map(drop))?;
        Ok(self.log_stream(name, query))
    }

    async fn exec(&self, name: &str, exec: &ExecSpec) -> Result<ExecSession, EngineError> {
        let script = self.call(Operation::Exec, name, |world| {
            let ours = world.get_ours(name)?;
            if ours.is_running() {
                return Ok(ours.script.clone());
            }
            Err(EngineError::Conflict {
                what: format!("run a command in task `{name}`"),
                message: "it is not running".to_owned(),
            })
        })?;
        Ok(super::streams::run(self, &script, &exec.argv))
    }

    async fn events(&self) -> EventStream {
        self.event_stream()
    }
}
