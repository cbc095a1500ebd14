//! `GET /v1/backup-status`: what there is and what is missing, measured now. The account itself is taken in `havre_core::backup`.
//! Tests: `tests/it/backup.rs`.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::State;
use havre_api::backup::{BackupAccount, BackupCopy, BackupStatus, CopyStanding, DrillAccount};
use havre_core::backup::What;
use havre_core::backup::account::Standing;
use havre_core::backup::policy::{self, BackupPolicy};
use havre_core::backup::run::BackupRun;
use havre_core::backup::target::BackupTarget;
use havre_core::name::TargetName;
use havre_core::time::Timestamp;
use havre_rescue::drill::{Method, State as DrillState};
use havre_rescue::line::{base_of, base_policy, saved_in};
use havre_rescue::stock::{LIVE_MEDIUM, Stock, take_stock, target_gaps};
use havre_rescue::volume::what_of as volume_what;
use havre_store::View;

use crate::error::Refusal;
use crate::restore::rto_measured_ms;
use crate::state::AppState;
use crate::transaction;

/// Show the copies of everything that is saved, how old they are, and what is missing.
#[utoipa::path(get, path = "/v1/backup-status", tag = "backup", operation_id = "get_backup_status",
    responses((status = 200, body = BackupStatus)))]
pub(crate) async fn status(State(state): State<AppState>) -> Result<Json<BackupStatus>, Refusal> {
    let now = state.now();
    let answer = transaction::read(&state, move |view| {
        let targets = view.list_backup_targets()?;
        let platform = BackupPolicy::of_platform();
        let mut accounts = vec![take(view, What::Platform, Some(&platform), &targets, now)?];
        let mut databases = view.list_databases()?;
        databases.retain(|row| row.environment_name.pull().is_none() && !row.state.is_destroying());
        databases.sort_by_cached_key(|row| row.place().to_string());
        for row in &databases {
            let promised = policy::of_database(row);
            accounts.push(take(view, policy::what_of(row), promised, &targets, now)?);
            if let Some(promised) = promised.and_then(base_policy) {
                let mut account = take(view, base_of(row), Some(&promised), &targets, now)?;
                account.gaps.extend(view.find_wal_trouble(row.id)?.map(|text| format!("WAL: {text}")));
                accounts.push(account);
            }
        }
        accounts.extend(volumes(view, &targets, now)?);
        let gaps = target_gaps(&targets);
        let is_met = gaps.is_empty() && accounts.iter().all(|account| account.gaps.is_empty());
        Ok(BackupStatus { is_met, gaps, accounts })
    });
    Ok(Json(answer.await?))
}

/// Volumes of services that run; those about which nothing is said are shown as well.
fn volumes(view: &View<'_>, targets: &[BackupTarget], now: Timestamp) -> Result<Vec<BackupAccount>, Refusal> {
    let mut services = view.list_services()?;
    services.retain(|row| row.live.is_some() && row.destroyed_at.is_none());
    services.retain(|row| row.place.environment.pull().is_none());
    services.sort_by_cached_key(|row| row.place.to_string());
    let mut accounts = Vec::new();
    for service in &services {
        for volume in service.spec.tasks().iter().flat_map(|work| &work.volumes) {
            let policy = volume.backup.as_ref().map(|backup| &backup.policy);
            accounts.push(take(view, volume_what(&service.place, &volume.name), policy, targets, now)?);
        }
    }
    Ok(accounts)
}

fn millis(length: std::time::Duration) -> u64 {
    u64::try_from(length.as_millis()).unwrap_or(u64::MAX)
}

fn take(
    view: &View<'_>,
    what: What,
    policy: Option<&BackupPolicy>,
    targets: &[BackupTarget],
    now: Timestamp,
) -> Result<BackupAccount, Refusal> {
    let name = what.to_string();
    let Some(policy) = policy else {
        return Ok(BackupAccount {
            what,
            name,
            policy: None,
            copies: Vec::new(),
            rpo_target_ms: None,
            rpo_measured_ms: None,
            drill: None,
            gaps: Vec::new(),
        });
    };
    let drill = find_drill(view, &what)?;
    let mut newest = BTreeMap::new();
    let mut begun = BTreeMap::new();
    for target in targets {
        let at = &target.spec.name;
        if let Some(run) = view.newest_good_backup_run(&what, at)? {
            newest.insert(at.clone(), run);
        }
        if let Some(last) = view.last_backup_begun(&what, at)? {
            begun.insert(at.clone(), last);
        }
    }
    let ages: BTreeMap<TargetName, Timestamp> =
        newest.iter().map(|(name, run)| (name.clone(), run.begun_at.unwrap_or(run.created_at))).collect();
    let Stock { account, gaps } = take_stock(policy, targets, &ages, now);
    let copies = account.copies.iter().map(|(name, standing)| {
        let target = targets.iter().find(|target| target.spec.name == *name);
        let next_at = target.map(|_| policy.due_at(begun.get(name).copied(), now));
        copy((name, standing), target, newest.get(name), next_at)
    });
    Ok(BackupAccount {
        copies: copies.collect(),
        what,
        name,
        policy: Some(policy.clone()),
        rpo_target_ms: Some(policy.rpo_target().as_millis()),
        rpo_measured_ms: account.rpo_measured.map(millis),
        drill,
        gaps,
    })
}

/// What the newest drill came to that brought this back.
fn find_drill(view: &View<'_>, what: &What) -> Result<Option<DrillAccount>, Refusal> {
    let method = match what {
        What::Base { .. } => Method::PointInTime,
        What::Database { .. } | What::Volume { .. } | What::Platform => Method::Dump,
    };
    let Some(row) = view.find_ended_drill(&saved_in(what).key(), method)? else { return Ok(None) };
    let failure = match &row.state {
        DrillState::Failed { reason, .. } => reason.to_string(),
        DrillState::Working { .. } | DrillState::Cleaning { .. } | DrillState::Passed { .. } => String::new(),
    };
    Ok(Some(DrillAccount {
        drill: row.id,
        at: row.ended_at.unwrap_or(row.created_at),
        failure,
        rto_measured_ms: rto_measured_ms(&row),
        rpo_measured_ms: row.rpo_measured_ms(),
    }))
}

fn copy(
    (name, standing): (&TargetName, &Standing),
    target: Option<&BackupTarget>,
    run: Option<&BackupRun>,
    next_at: Option<Timestamp>,
) -> BackupCopy {
    let (standing, age_ms) = match standing {
        Standing::Current { age } => (CopyStanding::Current, Some(millis(*age))),
        Standing::Stale { age } => (CopyStanding::Stale, Some(millis(*age))),
        Standing::Missing => (CopyStanding::Missing, None),
    };
    let medium = match target {
        Some(target) => target.spec.medium.clone(),
        None => LIVE_MEDIUM.parse().expect("a label"),
    };
    BackupCopy {
        target: name.clone(),
        medium,
        is_offsite: target.is_some_and(|target| target.spec.is_offsite),
        standing,
        age_ms,
        run: run.map(|run| run.id),
        next_at,
    }
}
