//! Specifications of the service the tests deploy: one of the behaviours of `examples/faults`.

use std::collections::BTreeMap;

use havre_core::quantity::{ByteSize, Span};
use havre_core::service::spec::{
    Argv, HealthSpec, ImageSource, RouteSpec, SPEC_VERSION, ServiceSpec, StopSignal, TaskWork, Work, defaults,
};

use super::docker::IMAGE;

/// Where users reach it.
pub(crate) const HOST: &str = "app.example.org";

/// A `havre.toml` of the service, built from its own Dockerfile; `rest` goes on with its table.
pub(crate) fn manifest(rest: &str) -> String {
    format!(
        r#"project = "e2e"

[services.app]
dockerfile = "Dockerfile"
port = 3000
health = "/health"
hosts = ["{HOST}"]
https = "off"
memory = "256MB"
stop_grace = "5s"
{rest}"#
    )
}

/// One task of a behaviour, in a version the answers name.
pub(crate) fn faults(behaviour: &str, version: &str) -> ServiceSpec {
    let env = [("BEHAVIOUR", behaviour), ("APP_VERSION", version)];
    let env: BTreeMap<_, _> =
        env.map(|(key, value)| (key.parse().expect("a name"), value.to_owned())).into_iter().collect();
    let work = TaskWork {
        source: ImageSource::Image { reference: IMAGE.parse().expect("an image") },
        port: 3000.try_into().ok(),
        protocol: Default::default(),
        tls: None,
        health: HealthSpec {
            path: "/health".parse().expect("a path"),
            is_default: false,
            timeout: Span::seconds(1),
            interval: defaults::HEALTH_INTERVAL,
        },
        checks: Vec::new(),
        command: None,
        release_command: None,
        env,
        secrets: Default::default(),
        uses: Vec::new(),
        replicas: 1,
        memory: ByteSize::mebibytes(256),
        cpus: defaults::CPUS,
        pids: 128,
        volumes: Vec::new(),
        stop_signal: StopSignal::Sigterm,
        stop_grace: Span::seconds(5),
        drain: defaults::DRAIN,
        start_timeout: Span::seconds(30),
        release_timeout: Span::seconds(30),
        canary: None,
        bake: Span::seconds(0),
        balance: havre_core::service::balance::BalanceSpec::default(),
    };
    ServiceSpec {
        version: SPEC_VERSION,
        name: "app".parse().expect("a name"),
        routes: vec![RouteSpec { host: HOST.parse().expect("a host"), path: "/".parse().expect("a path") }],
        expose_release: true,
        edge: Default::default(),
        https: Default::default(),
        work: Work::Tasks(Box::new(work)),
        jobs: Default::default(),
    }
}

/// The same with something changed.
pub(crate) fn with(mut spec: ServiceSpec, change: impl FnOnce(&mut TaskWork)) -> ServiceSpec {
    let Work::Tasks(work) = &mut spec.work else { panic!("the tests deploy no sites here") };
    change(work);
    spec
}

/// A command.
pub(crate) fn argv(words: &[&str]) -> Argv {
    let words: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
    words.try_into().expect("a command")
}
