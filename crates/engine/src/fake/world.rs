//! State of the fake: what exists, what was done, what is planned to fail. No locking and no async here.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::net::Ipv4Addr;

use bytes::Bytes;
use havre_core::artifact::{Digest, ImageRef};
use havre_core::task::spec::{EDGE_NETWORK, Purpose, TaskSpec};
use havre_core::task::{EngineState, Healthcheck};
use havre_core::time::Timestamp;
use tokio::sync::broadcast;

use crate::error::EngineError;
use crate::event::EngineEvent;
use crate::fake::knobs::{Done, Operation, VolumeOverlap};
use crate::fake::script::{Script, Start, Stop};
use crate::image::BuiltImage;
use crate::log::{LogLine, LogSource, bound_line};
use crate::network::{NetworkSpec, VolumeSpec};
use crate::task::EngineTask;

/// Instant the fake starts at; any will do.
const START: Timestamp = Timestamp::from_millis(1_767_225_600_000);
/// Events a slow reader may lag behind before it gets a reset instead.
const EVENTS: usize = 1024;

pub(super) struct World {
    pub(super) is_reachable: bool,
    pub(super) now: Timestamp,
    pub(super) images: HashMap<Digest, Image>,
    pub(super) names: HashMap<ImageRef, Result<Digest, EngineError>>,
    pub(super) present: HashMap<ImageRef, Digest>,
    pub(super) pulls: Vec<(ImageRef, Option<String>)>,
    pub(super) networks: BTreeMap<String, Option<NetworkSpec>>,
    pub(super) volumes: BTreeMap<String, Option<VolumeSpec>>,
    /// The tar of each volume that has files.
    pub(super) files: BTreeMap<String, Bytes>,
    /// Tasks that are paused.
    pub(super) paused: BTreeSet<String>,
    pub(super) containers: BTreeMap<String, Container>,
    pub(super) done: Vec<Done>,
    /// What programs that read their standard input were sent, with their command in one line.
    pub(super) inputs: Vec<(String, Vec<u8>)>,
    pub(super) overlaps: Vec<VolumeOverlap>,
    pub(super) planned: HashMap<Operation, VecDeque<Planned>>,
    pub(super) events: broadcast::Sender<EngineEvent>,
}

/// A failure a test has planned.
pub(super) enum Planned {
    Before(EngineError),
    After(EngineError),
}

pub(super) struct Image {
    pub(super) pull: Option<ImageRef>,
    pub(super) built: Option<BuiltImage>,
    pub(super) script: Script,
}

pub(super) enum Container {
    Ours(Box<Ours>),
    Foreign,
}

pub(super) struct Ours {
    pub(super) spec: TaskSpec,
    pub(super) state: EngineState,
    pub(super) lines: Vec<LogLine>,
    pub(super) script: Script,
    pub(super) started_at: Option<Timestamp>,
    pub(super) exited_at: Option<Timestamp>,
    pub(super) private_address: Ipv4Addr,
}

impl Ours {
    pub(super) const fn is_running(&self) -> bool {
        matches!(self.state, EngineState::Running { .. })
    }
}

impl World {
    pub(super) fn new() -> Self {
        Self {
            is_reachable: true,
            now: START,
            images: HashMap::new(),
            names: HashMap::new(),
            present: HashMap::new(),
            pulls: Vec::new(),
            networks: BTreeMap::new(),
            volumes: BTreeMap::new(),
            files: BTreeMap::new(),
            paused: BTreeSet::new(),
            containers: BTreeMap::new(),
            done: Vec::new(),
            inputs: Vec::new(),
            overlaps: Vec::new(),
            planned: HashMap::new(),
            events: broadcast::Sender::new(EVENTS),
        }
    }

    pub(super) fn tick(&mut self) -> Timestamp {
        self.now = Timestamp::from_millis(self.now.as_millis() + 1);
        self.now
    }

    pub(super) fn emit(&self, event: EngineEvent) {
        // Nobody listening is fine: events are only hints.
        let _ = self.events.send(event);
    }

    /// Our task of that name, `None` when absent.
    pub(super) fn find_ours(&mut self, name: &str) -> Result<Option<&mut Ours>, EngineError> {
        match self.containers.get_mut(name) {
            Some(Container::Ours(ours)) => Ok(Some(ours)),
            Some(Container::Foreign) => Err(EngineError::foreign("container", name)),
            None => Ok(None),
        }
    }

    pub(super) fn get_ours(&mut self, name: &str) -> Result<&mut Ours, EngineError> {
        self.find_ours(name)?.ok_or_else(|| EngineError::not_found("task", name))
    }

    pub(super) fn ensure_task(&mut self, spec: &TaskSpec) -> Result<(), EngineError> {
        if let Some(existing) = self.find_ours(&spec.name)? {
            if existing.spec.purpose != spec.purpose
                || existing.spec.edge_address != spec.edge_address
                || existing.spec.image != spec.image
            {
                return Err(EngineError::Conflict {
                    what: format!("run task `{}`", spec.name),
                    message: "another task of ours has that name".to_owned(),
                });
            }
            if existing.state != EngineState::Created {
                return Ok(());
            }
        } else {
            self.make(spec)?;
        }
        self.start(&spec.name)
    }

    /// Makes a task without starting it.
    pub(super) fn make(&mut self, spec: &TaskSpec) -> Result<(), EngineError> {
        let script = self.check_needs(spec)?;
        let private_address = self.free_private_address(spec);
        let ours = Ours {
            spec: spec.clone(),
            state: EngineState::Created,
            lines: Vec::new(),
            script,
            started_at: None,
            exited_at: None,
            private_address,
        };
        self.containers.insert(spec.name.clone(), Container::Ours(Box::new(ours)));
        Ok(())
    }

    /// Everything the task needs exists and is ours.
    fn check_needs(&self, spec: &TaskSpec) -> Result<Script, EngineError> {
        let Some(image) = self.images.get(&spec.image) else {
            return Err(EngineError::not_found("image", &spec.image.to_string()));
        };
        let edge = spec.edge_address.map(|_| EDGE_NETWORK.to_owned());
        for network in edge.into_iter().chain(spec.private_network()) {
            match self.networks.get(&network) {
                Some(Some(_)) => {}
                Some(None) => return Err(EngineError::foreign("network", &network)),
                None => return Err(EngineError::not_found("network", &network)),
            }
        }
        for (volume, _) in &spec.volumes {
            match self.volumes.get(volume) {
                Some(Some(_)) => {}
                Some(None) => return Err(EngineError::foreign("volume", volume)),
                None => return Err(EngineError::not_found("volume", volume)),
            }
        }
        Ok(image.script.clone())
    }

    /// The lowest address of 172.31.0.0/16 that no other task has; the tenth is the first, as `.1` is a gateway.
    fn free_private_address(&self, spec: &TaskSpec) -> Ipv4Addr {
        let taken = |address: Ipv4Addr| {
            self.ours().any(|(_, o)| o.spec.environment == spec.environment && o.private_address == address)
        };
        let base = u32::from(Ipv4Addr::new(172, 31, 0, 10));
        (base..).map(Ipv4Addr::from).find(|address| !taken(*address)).expect("fewer than 2^32 tasks")
    }

    pub(super) fn ours(&self) -> impl Iterator<Item = (&String, &Ours)> {
        self.containers.iter().filter_map(|(name, container)| match container {
            Container::Ours(ours) => Some((name, ours.as_ref())),
            Container::Foreign => None,
        })
    }

    fn start(&mut self, name: &str) -> Result<(), EngineError> {
        let spec = self.get_ours(name)?.spec.clone();
        if let Some(address) = spec.edge_address
            && self.ours().any(|(_, o)| o.is_running() && o.spec.edge_address == Some(address))
        {
            return Err(EngineError::AddressInUse { name: name.to_owned(), address });
        }
        self.note_overlaps(name, &spec);
        let at = self.tick();
        let ours = self.get_ours(name)?;
        if let Start::CannotStart(message) = &ours.script.start {
            return Err(EngineError::CannotStart { name: name.to_owned(), message: message.clone() });
        }
        ours.state = EngineState::Running { healthcheck: ours.script.healthcheck };
        ours.started_at = Some(at);
        let script = ours.script.clone();
        self.emit(EngineEvent::TaskStarted { name: name.to_owned(), purpose: spec.purpose, at });
        for (stream, line) in &script.lines {
            self.print(name, *stream, line)?;
        }
        match script.start {
            Start::Exits(code) => self.end(name, code, false),
            Start::RunsOutOfMemory => self.end(name, 137, true),
            Start::Runs | Start::CannotStart(_) => Ok(()),
        }
    }

    fn note_overlaps(&mut self, name: &str, spec: &TaskSpec) {
        let mut found = Vec::new();
        for (volume, _) in &spec.volumes {
            let writers = self.ours().filter(|(_, o)| o.is_running());
            for (other, _) in writers.filter(|(_, o)| o.spec.volumes.iter().any(|(v, _)| v == volume)) {
                found.push(VolumeOverlap {
                    volume: volume.clone(),
                    running: other.clone(),
                    started: name.to_owned(),
                });
            }
        }
        self.overlaps.extend(found);
    }

    pub(super) fn print(&mut self, name: &str, stream: LogSource, line: &str) -> Result<(), EngineError> {
        let at = self.tick();
        let (line, is_cut) = bound_line(line.as_bytes());
        self.get_ours(name)?.lines.push(LogLine { at, stream, line, is_cut });
        Ok(())
    }

    /// Ends a running task; nothing for any other.
    pub(super) fn end(&mut self, name: &str, code: i64, out_of_memory: bool) -> Result<(), EngineError> {
        let at = self.tick();
        let ours = self.get_ours(name)?;
        if !ours.is_running() {
            return Ok(());
        }
        ours.state = EngineState::Exited { code, out_of_memory };
        self.paused.remove(name);
        let ours = self.get_ours(name)?;
        ours.exited_at = Some(at);
        let purpose = ours.spec.purpose;
        self.emit(EngineEvent::TaskExited { name: name.to_owned(), purpose, code, at });
        Ok(())
    }

    pub(super) fn stop(&mut self, name: &str) -> Result<(), EngineError> {
        let Some(ours) = self.find_ours(name)? else { return Ok(()) };
        let code = match ours.script.stop {
            Stop::Exits(code) => code,
            Stop::Ignored => 137,
        };
        self.end(name, code, false)
    }

    pub(super) fn remove(&mut self, name: &str) -> Result<(), EngineError> {
        let Some(ours) = self.find_ours(name)? else { return Ok(()) };
        let purpose = ours.spec.purpose;
        self.end(name, 137, false)?;
        self.containers.remove(name);
        let at = self.tick();
        self.emit(EngineEvent::TaskRemoved { name: name.to_owned(), purpose, at });
        Ok(())
    }

    pub(super) fn set_healthcheck(&mut self, name: &str, health: Healthcheck) -> Result<(), EngineError> {
        let at = self.tick();
        let ours = self.get_ours(name)?;
        if !ours.is_running() {
            return Ok(());
        }
        ours.state = EngineState::Running { healthcheck: health };
        let purpose: Purpose = ours.spec.purpose;
        self.emit(EngineEvent::HealthChanged { name: name.to_owned(), purpose, health, at });
        Ok(())
    }

    pub(super) fn list_tasks(&self) -> Vec<EngineTask> {
        self.ours().map(|(name, ours)| describe(name, ours)).collect()
    }

    pub(super) fn ensure_network(&mut self, spec: &NetworkSpec) -> Result<(), EngineError> {
        let what = || format!("make network `{}`", spec.name);
        match self.networks.get(&spec.name) {
            Some(None) => return Err(EngineError::foreign("network", &spec.name)),
            Some(Some(existing)) => {
                let is_same = existing.subnet == spec.subnet
                    && existing.gateway == spec.gateway
                    && existing.isolated == spec.isolated;
                let message = "it exists with another subnet, gateway or isolation".to_owned();
                return if is_same { Ok(()) } else { Err(EngineError::Conflict { what: what(), message }) };
            }
            None => {}
        }
        if self.networks.values().flatten().any(|other| other.subnet == spec.subnet) {
            let message = format!("subnet {} overlaps another network", spec.subnet);
            return Err(EngineError::Conflict { what: what(), message });
        }
        self.networks.insert(spec.name.clone(), Some(spec.clone()));
        Ok(())
    }

    pub(super) fn remove_network(&mut self, name: &str) -> Result<(), EngineError> {
        if let Some(None) = self.networks.get(name) {
            return Err(EngineError::foreign("network", name));
        }
        let is_on_it = |spec: &TaskSpec| {
            spec.private_network().is_some_and(|network| network == name)
                || (name == EDGE_NETWORK && spec.edge_address.is_some())
        };
        if self.ours().any(|(_, o)| o.is_running() && is_on_it(&o.spec)) {
            return Err(EngineError::Conflict {
                what: format!("remove network `{name}`"),
                message: "tasks are on it".to_owned(),
            });
        }
        self.networks.remove(name);
        Ok(())
    }

    pub(super) fn ensure_volume(&mut self, spec: &VolumeSpec) -> Result<(), EngineError> {
        match self.volumes.get(&spec.name) {
            Some(None) => return Err(EngineError::foreign("volume", &spec.name)),
            Some(Some(existing)) if existing.service != spec.service => {
                return Err(EngineError::Conflict {
                    what: format!("make volume `{}`", spec.name),
                    message: format!("it belongs to service {}", existing.service),
                });
            }
            Some(Some(_)) => {}
            None => drop(self.volumes.insert(spec.name.clone(), Some(spec.clone()))),
        }
        Ok(())
    }

    pub(super) fn remove_volume(&mut self, name: &str) -> Result<(), EngineError> {
        if let Some(None) = self.volumes.get(name) {
            return Err(EngineError::foreign("volume", name));
        }
        let has_it = |spec: &TaskSpec| spec.volumes.iter().any(|(volume, _)| volume == name);
        if let Some((task, _)) = self.ours().find(|(_, o)| has_it(&o.spec)) {
            return Err(EngineError::Conflict {
                what: format!("remove volume `{name}`"),
                message: format!("task `{task}` has it"),
            });
        }
        self.volumes.remove(name);
        self.files.remove(name);
        Ok(())
    }

    pub(super) fn remove_image(&mut self, id: &Digest) -> Result<(), EngineError> {
        let Some(image) = self.images.get(id) else { return Ok(()) };
        if image.built.is_none() {
            return Err(EngineError::foreign("image", &id.to_string()));
        }
        if let Some((task, _)) = self.ours().find(|(_, o)| o.spec.image == *id) {
            return Err(EngineError::Conflict {
                what: format!("remove image {}", id.short()),
                message: format!("task `{task}` uses it"),
            });
        }
        self.images.remove(id);
        let at = self.tick();
        self.emit(EngineEvent::ImageRemoved { id: id.clone(), at });
        Ok(())
    }
}

fn describe(name: &str, ours: &Ours) -> EngineTask {
    let mut addresses = BTreeMap::new();
    if let Some(address) = ours.spec.edge_address {
        addresses.insert(EDGE_NETWORK.to_owned(), address);
    }
    if let Some(network) = ours.spec.private_network().filter(|_| ours.is_running()) {
        addresses.insert(network, ours.private_address);
    }
    EngineTask {
        name: name.to_owned(),
        purpose: ours.spec.purpose,
        service: ours.spec.service,
        release: ours.spec.release,
        environment: ours.spec.environment,
        image: ours.spec.image.clone(),
        state: ours.state.clone(),
        started_at: ours.started_at,
        exited_at: ours.exited_at,
        addresses,
    }
}
