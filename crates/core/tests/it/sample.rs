//! Sample specifications and rows.

use std::collections::BTreeMap;
use std::num::NonZeroU16;

use havre_core::artifact::Artifact;
use havre_core::id::{EnvironmentId, ReleaseId, ServiceId};
use havre_core::name::{AbsolutePath, ProbeTarget};
use havre_core::quantity::Span;
use havre_core::release::Release;
use havre_core::service::spec::{
    Argv, HealthSpec, ImageSource, RouteSpec, SPEC_VERSION, ServiceSpec, StopSignal, TaskWork, VolumeSpec,
    Work, defaults,
};
use havre_core::service::{Place, Service};
use havre_core::time::Timestamp;

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

pub(crate) fn with_volume(mut work: TaskWork) -> TaskWork {
    let path: AbsolutePath = "/data".parse().expect("is a path");
    work.volumes = vec![VolumeSpec { name: "data".parse().expect("is a name"), path }];
    work.replicas = 1;
    work
}

pub(crate) fn with_release_command(mut work: TaskWork) -> TaskWork {
    work.release_command = Some(Argv::try_from(vec!["migrate".to_owned()]).expect("is a command"));
    work
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

pub(crate) fn place() -> Place {
    Place {
        project: "dropit".parse().expect("is a name"),
        environment: "production".parse().expect("is a name"),
        service: "api".parse().expect("is a name"),
    }
}

pub(crate) fn service(spec: ServiceSpec) -> Service {
    Service {
        id: ServiceId::new(1),
        environment: EnvironmentId::new(1),
        place: place(),
        replicas: spec.replicas(),
        spec,
        revision: 1,
        live: None,
        maintenance: None,
        destroyed_at: None,
    }
}

pub(crate) fn release(id: i64, spec: ServiceSpec) -> Release {
    Release {
        id: ReleaseId::new(id),
        service: ServiceId::new(1),
        artifact: Artifact::Image { id: "a".repeat(64).parse().expect("is a digest"), pull: None },
        spec,
        revision: 1,
        build: None,
        commit: String::new(),
        promoted_from: None,
        size: None,
        created_at: Timestamp::from_millis(0),
    }
}
