//! `POST /v1/backup-runs`: runs now, whatever is due; the loop does them, one after the other at each target. Tests: `tests/it/backup.rs`.

use axum::Json;
use axum::extract::State;
use havre_api::backup::{BackupRunList, CreateBackupRunsRequest};
use havre_api::error::ErrorBody;
use havre_core::backup::What;
use havre_core::backup::policy::{self, BackupPolicy};
use havre_core::backup::target::BackupTarget;
use havre_core::database::Database;
use havre_core::name::{DatabaseName, TargetName};
use havre_core::service::Place;
use havre_rescue::line::base_policy;
use havre_rescue::volume::{has_volume, saved_of, what_of};
use havre_store::{StoreError, View};
use http::StatusCode;

use crate::access::gate::Caller;
use crate::backup::wire_run;
use crate::error::{Code, Refusal};
use crate::extract::{DatabasePath, Input};
use crate::state::AppState;
use crate::{lookup, transaction};

/// Back something up now. The answer has every run that is asked for and not over, also those that were asked for before.
#[utoipa::path(post, path = "/v1/backup-runs", tag = "backup", operation_id = "create_backup_runs",
    request_body = CreateBackupRunsRequest,
    responses(
        (status = 202, body = BackupRunList),
        (status = 404, body = ErrorBody,
            description = "`environment_not_found`, `database_not_found`, `service_not_found` or `backup_target_not_found`"),
        (status = 409, body = ErrorBody,
            description = "`backup_running`, `no_backup_target`, `nothing_live` or `being_destroyed`"),
        (status = 422, body = ErrorBody, description = "`backup_unsupported`"),
    ))]
pub(crate) async fn create(
    State(state): State<AppState>,
    Caller(actor): Caller,
    Input(request): Input<CreateBackupRunsRequest>,
) -> Result<(StatusCode, Json<BackupRunList>), Refusal> {
    let CreateBackupRunsRequest { what, target } = request;
    let answer = transaction::write(&state, actor, move |tx| {
        let targets = tx.list_backup_targets()?;
        if targets.is_empty() {
            return Err(Refusal::new(Code::NoBackupTarget, "there is no backup target").hint(
                "set one on the server with `havre backup target set NAME --folder PATH --medium MEDIUM`",
            ));
        }
        if let Some(name) = &target {
            tx.get_backup_target(name)?;
        }
        let is_named = what.is_some();
        let wanted = match what {
            Some(what) => {
                let policy = promised(tx, &what)?;
                vec![(what, policy)]
            }
            None => everything(tx)?,
        };
        let mut runs = Vec::new();
        let (mut busy, mut is_new) = (None, false);
        for (what, policy) in wanted {
            for target in chosen(&policy, &targets, target.as_ref()) {
                let open = tx.find_unfinished_backup_run(&what, &target)?;
                let run = match open {
                    Some(open) => {
                        busy = Some(StoreError::BackupRunning {
                            what: Box::new(what.clone()),
                            target,
                            run: open.id,
                        });
                        open
                    }
                    None => {
                        is_new = true;
                        tx.create_backup_run(&what, &target)?
                    }
                };
                runs.push(run);
            }
        }
        match busy {
            // Nothing was asked for that is not under way already.
            Some(busy) if is_named && !is_new => Err(busy.into()),
            _ => Ok(BackupRunList { runs: runs.into_iter().map(wire_run).collect() }),
        }
    });
    Ok((StatusCode::ACCEPTED, Json(answer.await?)))
}

/// Targets a run goes to: the one that was named, else those of the policy that there are.
fn chosen(policy: &BackupPolicy, targets: &[BackupTarget], only: Option<&TargetName>) -> Vec<TargetName> {
    if let Some(only) = only {
        return vec![only.clone()];
    }
    let names = targets.iter().map(|target| target.spec.name.clone());
    names.filter(|name| policy.goes_to(name)).collect()
}

/// The policy of what was named; a database without one may be saved by hand, to every target.
fn promised(view: &View<'_>, what: &What) -> Result<BackupPolicy, Refusal> {
    match what {
        What::Platform => Ok(BackupPolicy::of_platform()),
        What::Volume { project, environment, service, volume } => {
            let (project, environment, service) = (project.clone(), environment.clone(), service.clone());
            let service = lookup::usable_service(view, &Place { project, environment, service })?;
            let live = lookup::live(view, &service)?;
            if !has_volume(&live.spec, volume) {
                let text = format!("no task of {} has the volume {volume}", service.place);
                return Err(Refusal::new(Code::BackupUnsupported, text)
                    .hint("`volumes` of the service names those it has; one that is new is there once it is deployed"));
            }
            let policy = saved_of(&service).into_iter().find(|(name, _)| name == volume);
            Ok(policy.map_or_else(BackupPolicy::of_postgres, |(_, backup)| backup.policy))
        }
        What::Database { project, environment, database } => {
            let (project, environment) = (project.clone(), environment.clone());
            let path =
                DatabasePath { project, environment, database: database.as_str().parse::<DatabaseName>()? };
            let row = there(view, &path)?;
            Ok(policy::of_database(&row).cloned().unwrap_or_else(BackupPolicy::of_postgres))
        }
        What::Base { project, environment, database } => {
            let (project, environment) = (project.clone(), environment.clone());
            let path =
                DatabasePath { project, environment, database: database.as_str().parse::<DatabaseName>()? };
            let row = there(view, &path)?;
            policy::of_database(&row).and_then(base_policy).ok_or_else(|| {
                Refusal::new(Code::BackupUnsupported, format!("the WAL of {} is not kept", row.spec.name))
                    .hint("`backup = { point_in_time = true }` of a postgres keeps it")
            })
        }
    }
}

fn there(view: &View<'_>, path: &DatabasePath) -> Result<Database, Refusal> {
    let row = lookup::database(view, path)?;
    if row.state.is_destroying() {
        return Err(StoreError::BeingDestroyed { place: row.place() }.into());
    }
    Ok(row)
}

/// The platform, and every database and volume with a policy.
fn everything(view: &View<'_>) -> Result<Vec<(What, BackupPolicy)>, Refusal> {
    let mut all = vec![(What::Platform, BackupPolicy::of_platform())];
    for row in view.list_databases()? {
        if let Some(policy) = policy::of_database(&row) {
            all.push((policy::what_of(&row), policy.clone()));
        }
    }
    for service in view.list_services()? {
        let Some(live) = service.live else { continue };
        let live = view.get_release(live)?;
        let volumes = saved_of(&service).into_iter().filter(|(name, _)| has_volume(&live.spec, name));
        all.extend(volumes.map(|(name, backup)| (what_of(&service.place, &name), backup.policy)));
    }
    Ok(all)
}
