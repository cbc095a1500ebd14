//! Rules a whole environment must obey. Names, quantities and commands are parsed types already; here is what types
//! cannot say. The client checks `havre.toml` with better positions; this is for whoever sends something else.
//! Tests: `tests/it/environment.rs`.

use std::collections::BTreeMap;

use havre_api::environment::{Action, ApplyRequest, Change};
use havre_core::job::spec::{JOBS_MAX, JobSpec, KEEP_MAX, RETRIES_MAX, TIMEOUT_MAX, TIMEOUT_MIN};
use havre_core::name::{EnvironmentName, JobName};
use havre_core::service::spec::{SPEC_VERSION, ServiceSpec, TaskWork, Work, defaults};
use havre_rescue::volume::problems;

use crate::database;
use crate::error::{Code, Refusal};

/// Most services of one environment; with every limit of one service this bounds what an apply may cost.
const SERVICES_MAX: usize = 200;
/// Most routes, checks, volumes, variables or build arguments of one service.
const ENTRIES_MAX: usize = 256;
/// Most bytes of all environment variables of one service; the kernel refuses to start a process with much more.
const ENV_BYTES_MAX: usize = 64 * 1024;

/// Refuses the environment of a preview: what is in it is said by a pull request and its base branch.
pub(crate) fn check_name(environment: &EnvironmentName) -> Result<(), Refusal> {
    let Some(number) = environment.pull() else { return Ok(()) };
    let message = format!("{environment} is the environment of the preview of pull request {number}");
    Err(Refusal::new(Code::SpecInvalid, message)
        .hint("choose another name; `havre preview` lists, opens and closes previews"))
}

/// Refuses specifications that break a rule; names every broken one.
pub(crate) fn check(request: &ApplyRequest) -> Result<(), Refusal> {
    let services = request.services.as_slice();
    let mut broken = database::change::broken(request);
    if services.len() > SERVICES_MAX {
        broken.push(format!("{} services are too many: at most {SERVICES_MAX}", services.len()));
    }
    let mut names = BTreeMap::new();
    let mut routes = BTreeMap::new();
    let mut jobs = BTreeMap::new();
    for spec in services {
        for job in spec.jobs.keys() {
            if let Some(other) = jobs.insert(job, &spec.name) {
                broken.push(format!("the job {job} is claimed by {other} and by {}", spec.name));
            }
        }
        if names.insert(&spec.name, ()).is_some() {
            broken.push(format!("the service {} is named twice", spec.name));
        }
        for route in &spec.routes {
            if let Some(other) = routes.insert(route, &spec.name) {
                broken.push(format!("the route {route} is claimed by {other} and by {}", spec.name));
            }
        }
        let mut own = Vec::new();
        check_spec(spec, &mut own);
        broken.extend(own.into_iter().map(|text| format!("{}: {text}", spec.name)));
    }
    if jobs.len() > JOBS_MAX {
        broken.push(format!("{} jobs are too many: at most {JOBS_MAX}", jobs.len()));
    }
    if broken.is_empty() {
        return Ok(());
    }
    Err(Refusal::new(Code::SpecInvalid, broken.join("; "))
        .hint("change the configuration and apply it again; nothing was changed")
        .details(serde_json::json!({ "broken": broken })))
}

fn check_spec(spec: &ServiceSpec, broken: &mut Vec<String>) {
    if spec.version != SPEC_VERSION {
        broken.push(format!(
            "specification version {} is unknown, this server knows {SPEC_VERSION}",
            spec.version
        ));
    }
    if spec.routes.len() > ENTRIES_MAX {
        broken.push(format!("at most {ENTRIES_MAX} routes"));
    }
    match &spec.work {
        Work::Site(_) if spec.routes.is_empty() => broken.push("a site needs at least one host".to_owned()),
        Work::Site(_) => {}
        Work::Tasks(work) => {
            check_tasks(spec, work, broken);
            check_volumes(work, broken);
        }
    }
    if spec.tasks().is_none() && !spec.jobs.is_empty() {
        broken.push("a site runs no tasks, so it has no jobs".to_owned());
    }
    for (name, job) in &spec.jobs {
        check_job(name, job, broken);
    }
}

fn check_volumes(work: &TaskWork, broken: &mut Vec<String>) {
    for volume in &work.volumes {
        let problems = volume.backup.as_ref().map(problems).unwrap_or_default();
        broken
            .extend(problems.into_iter().map(|text| format!("backup of the volume {}: {text}", volume.name)));
    }
}

fn check_job(name: &JobName, job: &JobSpec, broken: &mut Vec<String>) {
    let mut must = |is_met: bool, text: String| {
        if !is_met {
            broken.push(format!("job {name}: {text}"));
        }
    };
    must(job.timezone.is_known(), format!("there is no time zone {}", job.timezone));
    must(
        (TIMEOUT_MIN..=TIMEOUT_MAX).contains(&job.timeout),
        format!("its timeout is between {TIMEOUT_MIN} and {TIMEOUT_MAX}"),
    );
    must(job.retries <= RETRIES_MAX, format!("at most {RETRIES_MAX} retries"));
    must((1..=KEEP_MAX).contains(&job.keep), format!("it keeps between 1 and {KEEP_MAX} runs"));
}

fn check_tasks(spec: &ServiceSpec, work: &TaskWork, broken: &mut Vec<String>) {
    let mut must = |is_met: bool, text: String| {
        if !is_met {
            broken.push(text);
        }
    };
    must(
        work.port.is_some() || (spec.routes.is_empty() && work.checks.is_empty()),
        "a service with hosts or checks needs a port".to_owned(),
    );
    must(work.replicas <= defaults::REPLICAS_MAX, format!("at most {} replicas", defaults::REPLICAS_MAX));
    must(
        work.volumes.is_empty() || work.replicas <= 1,
        "a service with a volume has at most one replica: two writers would damage it".to_owned(),
    );
    must(work.memory >= defaults::MEMORY_MIN, format!("memory is at least {}", defaults::MEMORY_MIN));
    must(work.pids >= 1, "pids is at least 1".to_owned());
    must(
        work.checks.iter().all(|check| (100..=599).contains(&check.status)),
        "the status of a check is between 100 and 599".to_owned(),
    );
    must(
        work.checks.iter().all(|check| check.contains.len() <= 4096),
        "the text a check looks for has at most 4096 bytes".to_owned(),
    );
    let lists = [work.checks.len(), work.volumes.len(), work.env.len()];
    must(
        lists.iter().all(|length| *length <= ENTRIES_MAX),
        format!("at most {ENTRIES_MAX} checks, volumes and variables each"),
    );
    let bytes: usize = work.env.iter().map(|(key, value)| key.as_str().len() + value.len() + 2).sum();
    must(bytes <= ENV_BYTES_MAX, format!("environment variables have at most {ENV_BYTES_MAX} bytes in all"));
    must(
        work.env.values().all(|value| !value.contains('\0')),
        "environment variables cannot hold a NUL byte".to_owned(),
    );
    let mut names: Vec<_> = work.volumes.iter().map(|volume| &volume.name).collect();
    let mut paths: Vec<_> = work.volumes.iter().map(|volume| &volume.path).collect();
    names.sort();
    names.dedup();
    paths.sort();
    paths.dedup();
    must(
        names.len() == work.volumes.len() && paths.len() == work.volumes.len(),
        "each volume has its own name and its own path".to_owned(),
    );
}

/// What is allowed but worth knowing.
pub(crate) fn warnings(request: &ApplyRequest, changes: &[Change]) -> Vec<String> {
    let mut warnings = Vec::new();
    for spec in &request.services {
        let Some(work) = spec.tasks() else { continue };
        if work.port.is_some() && work.health.is_default {
            warnings.push(format!(
                "{}: no health path is named, so `{}` must answer 2xx or 3xx",
                spec.name,
                work.health.path.as_str()
            ));
        }
        if !work.volumes.is_empty() {
            warnings.push(format!(
                "{}: it has a volume, so a deployment stops the old task before the new one starts",
                spec.name
            ));
        }
    }
    for change in changes {
        match change.action {
            Action::NotNamed => warnings.push(format!(
                "{}: it exists but is not named here; it stays (prune destroys it)",
                change.service
            )),
            Action::Destroyed => warnings
                .push(format!("{}: it is destroyed with its volumes, releases and routes", change.service)),
            _ => {}
        }
    }
    warnings
}
