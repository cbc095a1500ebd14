//! Sample rows, and specifications beside those of `core`.

use havre_core::artifact::Artifact;
use havre_core::id::{EnvironmentId, ReleaseId, ServiceId};
use havre_core::name::AbsolutePath;
use havre_core::release::Release;
use havre_core::service::spec::{Argv, ServiceSpec, TaskWork, VolumeSpec};
use havre_core::service::{Place, Service};
use havre_core::time::Timestamp;

#[path = "../../../core/tests/it/sample.rs"]
mod specification;

pub(crate) use specification::{spec, work};

pub(crate) fn with_volume(mut work: TaskWork) -> TaskWork {
    let path: AbsolutePath = "/data".parse().expect("is a path");
    work.volumes = vec![VolumeSpec { name: "data".parse().expect("is a name"), path, backup: None }];
    work.replicas = 1;
    work
}

pub(crate) fn with_release_command(mut work: TaskWork) -> TaskWork {
    work.release_command = Some(Argv::try_from(vec!["migrate".to_owned()]).expect("is a command"));
    work
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
