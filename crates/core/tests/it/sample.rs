//! Sample specifications, for `decide` as well.

use std::collections::BTreeMap;
use std::num::NonZeroU16;

use havre_core::name::{AbsolutePath, ProbeTarget};
use havre_core::quantity::Span;
use havre_core::service::spec::{
    HealthSpec, ImageSource, RouteSpec, SPEC_VERSION, ServiceSpec, StopSignal, TaskWork, Work, defaults,
};

pub(crate) fn work() -> TaskWork {
    TaskWork {
        source: ImageSource::Image { reference: "api:1".parse().expect("is a reference") },
        port: NonZeroU16::new(3000),
        protocol: Default::default(),
        tls: None,
        health: HealthSpec {
            path: ProbeTarget::root(),
            is_default: true,
            timeout: defaults::HEALTH_TIMEOUT,
            interval: defaults::HEALTH_INTERVAL,
        },
        checks: Vec::new(),
        command: None,
        release_command: None,
        env: BTreeMap::new(),
        secrets: Default::default(),
        uses: Vec::new(),
        replicas: 2,
        memory: defaults::MEMORY,
        cpus: defaults::CPUS,
        pids: defaults::PIDS,
        volumes: Vec::new(),
        stop_signal: StopSignal::Sigterm,
        stop_grace: defaults::STOP_GRACE,
        drain: defaults::DRAIN,
        start_timeout: defaults::START_TIMEOUT,
        release_timeout: defaults::RELEASE_TIMEOUT,
        canary: None,
        bake: Span::seconds(0),
        balance: havre_core::service::balance::BalanceSpec::default(),
    }
}

pub(crate) fn spec(work: TaskWork) -> ServiceSpec {
    ServiceSpec {
        version: SPEC_VERSION,
        name: "api".parse().expect("is a name"),
        routes: vec![RouteSpec {
            host: "api.localhost".parse().expect("is a host"),
            path: AbsolutePath::root(),
        }],
        expose_release: true,
        edge: Default::default(),
        https: Default::default(),
        work: Work::Tasks(Box::new(work)),
        jobs: Default::default(),
    }
}
