//! Finds rows by the names people use; what is not there is answered with the names that are near.
//! Tests: `tests/it/refusal.rs`.

use havre_core::database::Database;
use havre_core::id::{BuildId, DeploymentId, JobRunId, ReleaseId};
use havre_core::job::JobRun;
use havre_core::name::{EnvironmentName, JobName, ProjectName};
use havre_core::release::Release;
use havre_core::service::{Place, Service};
use havre_store::{Environment, StoreError, View};

use crate::error::{Code, Refusal};
use crate::extract::DatabasePath;

/// An environment that exists.
pub(crate) fn environment(
    view: &View<'_>,
    project: &ProjectName,
    name: &EnvironmentName,
) -> Result<Environment, Refusal> {
    if let Some(found) = view.find_environment(project, name)? {
        return Ok(found);
    }
    let all = view.list_environments()?;
    let wanted = format!("{project}/{name}");
    let known: Vec<String> = all.iter().map(|e| format!("{}/{}", e.project_name, e.name)).collect();
    let message = match nearest(&wanted, &known) {
        Some(near) => format!("there is no environment `{wanted}`; did you mean `{near}`?"),
        None => format!("there is no environment `{wanted}`"),
    };
    Err(Refusal::new(Code::EnvironmentNotFound, message)
        .hint("GET /v1/projects lists every environment; an apply makes a new one"))
}

/// A service that exists; it may be on its way out.
pub(crate) fn service(view: &View<'_>, place: &Place) -> Result<Service, Refusal> {
    if let Some(found) = view.find_service(place)? {
        return Ok(found);
    }
    let environment = environment(view, &place.project, &place.environment)?;
    let all = view.list_environment_services(environment.id)?;
    let known: Vec<String> = all.iter().map(|service| service.place.service.to_string()).collect();
    let at = format!("{}/{}", place.project, place.environment);
    let message = match nearest(place.service.as_str(), &known) {
        Some(near) => format!("there is no service `{}` in {at}; did you mean `{near}`?", place.service),
        None => format!("there is no service `{}` in {at}", place.service),
    };
    let hint = match known.is_empty() {
        true => "this environment has no services yet; apply its configuration first".to_owned(),
        false => format!("its services are: {}", known.join(", ")),
    };
    Err(Refusal::new(Code::ServiceNotFound, message).hint(hint))
}

/// A database that exists; it may be on its way out.
pub(crate) fn database(view: &View<'_>, path: &DatabasePath) -> Result<Database, Refusal> {
    if let Some(found) = view.find_database(&path.project, &path.environment, &path.database)? {
        return Ok(found);
    }
    let environment = environment(view, &path.project, &path.environment)?;
    let all = view.list_environment_databases(environment.id)?;
    let known: Vec<String> = all.iter().map(|row| row.spec.name.to_string()).collect();
    let at = format!("{}/{}", path.project, path.environment);
    let message = match nearest(path.database.as_str(), &known) {
        Some(near) => format!("there is no database `{}` in {at}; did you mean `{near}`?", path.database),
        None => format!("there is no database `{}` in {at}", path.database),
    };
    let hint = match known.is_empty() {
        true => "add [databases.<name>] to havre.toml, then `havre apply`".to_owned(),
        false => format!("its databases are: {}", known.join(", ")),
    };
    Err(Refusal::new(Code::DatabaseNotFound, message).hint(hint))
}

/// A service that may be changed.
pub(crate) fn usable_service(view: &View<'_>, place: &Place) -> Result<Service, Refusal> {
    let service = service(view, place)?;
    if service.destroyed_at.is_some() {
        return Err(StoreError::BeingDestroyed { place: service.place }.into());
    }
    Ok(service)
}

/// A release of this very service.
pub(crate) fn release(view: &View<'_>, service: &Service, id: ReleaseId) -> Result<Release, Refusal> {
    match view.get_release(id) {
        Ok(release) if release.service == service.id => Ok(release),
        Ok(_) | Err(StoreError::NotFound { .. }) => {
            Err(Refusal::new(Code::ReleaseNotFound, format!("{} has no release {id}", service.place))
                .hint("`havre releases` lists those it has"))
        }
        Err(error) => Err(error.into()),
    }
}

/// The live release, where there has to be one.
pub(crate) fn live(view: &View<'_>, service: &Service) -> Result<Release, Refusal> {
    let Some(id) = service.live else {
        return Err(Refusal::new(Code::NothingLive, format!("{} has no live release yet", service.place))
            .hint("deploy it first: `havre deploy`"));
    };
    Ok(view.get_release(id)?)
}

/// A deployment and where it belongs.
pub(crate) fn deployment(
    view: &View<'_>,
    id: DeploymentId,
) -> Result<(havre_core::deployment::Deployment, Place), Refusal> {
    let row = view.get_deployment(id)?;
    let place = view.get_service(row.service)?.place;
    Ok((row, place))
}

/// A build and where it belongs.
pub(crate) fn build(view: &View<'_>, id: BuildId) -> Result<(havre_core::build::Build, Place), Refusal> {
    let row = view.get_build(id)?;
    let place = view.get_service(row.service)?.place;
    Ok((row, place))
}

/// A run of a job and where it belongs.
pub(crate) fn job_run(view: &View<'_>, id: JobRunId) -> Result<(JobRun, Place), Refusal> {
    let row = view.get_job_run(id)?;
    let place = view.get_service(row.service)?.place;
    Ok((row, place))
}

/// The live release of the service has this job.
pub(crate) fn job(view: &View<'_>, service: &Service, job: &JobName) -> Result<(), Refusal> {
    let live = view.find_live_jobs(service.id)?;
    let known: Vec<String> = live.iter().flat_map(|live| live.jobs.keys()).map(ToString::to_string).collect();
    if known.iter().any(|name| name == job.as_str()) {
        return Ok(());
    }
    let message = match nearest(job.as_str(), &known) {
        Some(near) => {
            format!("the live release of {} has no job `{job}`; did you mean `{near}`?", service.place)
        }
        None => format!("the live release of {} has no job `{job}`", service.place),
    };
    let hint = match known.is_empty() {
        true => {
            "jobs come with a deployment: add [jobs.<name>] to havre.toml, then `havre deploy`".to_owned()
        }
        false => format!("its jobs are: {}", known.join(", ")),
    };
    Err(Refusal::new(Code::JobNotFound, message).hint(hint))
}

/// The known name that was probably meant.
fn nearest<'k>(wanted: &str, known: &'k [String]) -> Option<&'k str> {
    known
        .iter()
        .map(|name| (strsim::damerau_levenshtein(wanted, name), name))
        // A third of the letters wrong is a typing error; more is another name.
        .filter(|(distance, name)| *distance <= 1 + wanted.len().max(name.len()) / 3)
        .min()
        .map(|(_, name)| name.as_str())
}
