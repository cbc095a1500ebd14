//! The stage around the fake.

use std::net::Ipv4Addr;
use std::sync::Mutex;

use async_trait::async_trait;
use bytes::Bytes;
use havre_core::artifact::{Digest, ImageRef};
use havre_core::id::{EnvironmentId, ServiceId};
use havre_core::task::spec::TaskSpec;
use havre_engine::Engine;
use havre_engine::exec::ExecOutput;
use havre_engine::fake::FakeEngine;
use havre_engine::fake::script::{Program, Script, Stop};
use havre_engine::log::LogSource;

use crate::world::{Act, Kind, World};

pub(crate) struct FakeWorld {
    fake: FakeEngine,
    images: Mutex<u64>,
}

impl FakeWorld {
    /// The same fake, for its knobs.
    pub(crate) fn fake(&self) -> FakeEngine {
        self.fake.clone()
    }

    fn next_digest(&self) -> Digest {
        let mut count = self.images.lock().expect("not poisoned");
        *count += 1;
        format!("{:064x}", *count).parse().expect("64 hex digits")
    }
}

fn script(act: Act) -> Script {
    let mut script = match act {
        Act::Runs => Script::runs(),
        Act::Exits(code, lines) => Script::exits(code, &lines),
        Act::ObeysUsr1 => Script { stop: Stop::Exits(7), ..Script::runs() },
        Act::IgnoresStop => Script::ignores_stop(),
        Act::TakesAllMemory => Script::runs_out_of_memory(),
        Act::WritesLongLine(bytes) => Script::exits(0, &[&"x".repeat(bytes)]),
    };
    let error = ExecOutput { stream: LogSource::Stderr, bytes: Bytes::from_static(b"oops\n") };
    let shell = Program { output: vec![error], echoes: true, reads: false, code: 3 };
    script.programs.push(("/bin/sh".to_owned(), shell));
    script
}

#[async_trait]
impl World for FakeWorld {
    async fn start() -> Self {
        let world = Self { fake: FakeEngine::new(), images: Mutex::new(0) };
        let (id, name) = world.base_image().await;
        world.fake.add_image(&id, None, Script::runs());
        world.fake.name_image(&name, Ok(id));
        world
    }

    async fn clean(self) {}

    fn engine(&self) -> &dyn Engine {
        &self.fake
    }

    fn environment(&self) -> EnvironmentId {
        EnvironmentId::new(1)
    }

    fn subnets(&self) -> (Ipv4Addr, Ipv4Addr) {
        (Ipv4Addr::new(10, 231, 0, 0), Ipv4Addr::new(10, 231, 1, 0))
    }

    async fn direct(&self, task: &mut TaskSpec, act: Act) {
        task.image = self.next_digest();
        self.fake.add_image(&task.image, None, script(act));
    }

    async fn say(&self, task: &str, line: &str) {
        self.fake.print(task, LogSource::Stdout, line);
    }

    async fn add_foreign(&self, kind: Kind, name: &str) {
        match kind {
            Kind::Container => self.fake.add_foreign_container(name),
            Kind::Network => self.fake.add_foreign_network(name),
            Kind::Volume => self.fake.add_foreign_volume(name),
        }
    }

    async fn has_foreign(&self, kind: Kind, name: &str) -> bool {
        match kind {
            Kind::Container => self.fake.has_foreign_container(name),
            Kind::Network => self.fake.network_names().iter().any(|found| found == name),
            Kind::Volume => self.fake.volume_names().iter().any(|found| found == name),
        }
    }

    async fn add_of_other_installation(&self, name: &str) {
        self.fake.add_foreign_container(name);
    }

    async fn leave_half_made(&self, task: &TaskSpec) {
        self.fake.add_half_made(task);
    }

    async fn build_image(&self, service: ServiceId) -> Digest {
        let id = self.next_digest();
        self.fake.add_built_image(&id, service, Script::runs());
        id
    }

    async fn base_image(&self) -> (Digest, ImageRef) {
        ("f".repeat(64).parse().expect("64 hex digits"), "havre-test/engine:1".parse().expect("valid"))
    }
}
