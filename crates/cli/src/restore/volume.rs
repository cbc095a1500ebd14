//! `havre restore SERVICE/VOLUME`: a new volume out of a snapshot, followed to its end by asking. It belongs to the server: leaving does not stop
//! it. Tests at the end of the file, and in `tests/it/restore.rs`.

use havre_api::restore::RestorePoint;
use havre_api::volume::{
    CreateVolumeRestoreRequest, CreateVolumeRestoreResponse, VolumeRestore, VolumeRestoreList,
};
use havre_core::name::VolumeName;
use havre_core::time::Timestamp;
use hyper::Method;

use super::{At, Options};
use crate::backup::saved::Saved;
use crate::exit::{CliError, Exit};
use crate::http::{Client, ending};
use crate::invocation::Invocation;
use crate::output::{self, printable, table, time};

pub(super) async fn run(invocation: &Invocation, saved: &Saved, options: Options) -> Result<Exit, CliError> {
    let json = invocation.global.json;
    let scope = invocation.scope()?;
    let client = invocation.client()?;
    let Options { snapshot, at, name, dry_run, detach, .. } = options;
    let at = match at {
        None => None,
        Some(At::Instant(at)) => Some(at),
        Some(At::Latest) => {
            return Err(CliError::usage("a volume comes back as it was when it was saved")
                .hint("leave --at out for the newest snapshot"));
        }
    };
    // Both kinds of names are labels.
    let name = name.map(|name| name.as_str().parse::<VolumeName>()).transpose();
    let name = name.map_err(|error| CliError::usage(error.to_string()))?;
    let request = CreateVolumeRestoreRequest { snapshot, at, name, dry_run };
    let asked: CreateVolumeRestoreResponse =
        client.call(Method::POST, &saved.path(&scope, "/restores"), &request).await?;
    let plan = plan(saved, &asked);
    let begun = asked.restore.clone().filter(|_| !dry_run).map(|restore| (restore.id.to_string(), restore));
    let Some(restore) = super::show(json, &asked, &plan, begun, detach)? else { return Ok(Exit::Ok) };
    tokio::select! {
        result = follow(&client, restore, json) => result,
        _ = tokio::signal::ctrl_c() => {
            output::say(&format!("it goes on; `havre restore list {saved} --done` shows it"));
            Ok(Exit::Interrupted)
        }
    }
}

/// What comes back, and into what.
fn plan(saved: &Saved, asked: &CreateVolumeRestoreResponse) -> String {
    let point = &asked.point;
    format!(
        "+ {}\n    a new volume, with {saved} as it was at {} (snapshot {} in {}, {}, {} entries)\n= {saved}\n    stays as it is\n",
        asked.volume,
        point.at,
        point.snapshot.short(),
        point.target,
        time::size(point.bytes),
        point.rows,
    )
}

/// Says how it goes on, until it is over. With `--json`, only how it ended.
async fn follow(client: &Client, asked: VolumeRestore, json: bool) -> Result<Exit, CliError> {
    let path = format!("/v1/volume-restores/{}", asked.id);
    let progress = |found: &VolumeRestore| format!("{} is {}", found.id, found.status);
    ended(&ending::last(client, &path, |found: &VolumeRestore| found.is_final, progress).await?, json)
}

fn ended(found: &VolumeRestore, json: bool) -> Result<Exit, CliError> {
    if json {
        output::json(found)?;
    }
    let (service, volume) = (&found.service, &found.volume);
    if !found.failure.is_empty() {
        let text = format!("{} {}", found.id, printable(&found.failure));
        return Err(CliError::new(Exit::Failed, text).hint(format!(
            "{service}/{} was not touched, and what was made of {volume} goes",
            found.source
        )));
    }
    let took = found
        .ended_at
        .map_or_else(String::new, |at| format!(" in {}", time::length(at.since(found.created_at))));
    output::say(&format!("{volume} is what {service}/{} was at {}{took}", found.source, found.at));
    output::say(&format!(
        "{service} uses it once its `volumes` in havre.toml has {volume} at that path, in place of {}, and it is deployed",
        found.source
    ));
    Ok(Exit::Ok)
}

/// Restores of before.
pub(super) async fn list(invocation: &Invocation, saved: &Saved) -> Result<Exit, CliError> {
    let path = saved.path(&invocation.scope()?, "/restores");
    let list: VolumeRestoreList = invocation.client()?.get(&path).await?;
    if invocation.global.json {
        output::json(&list)?;
    } else {
        output::data(&render(&list.restores, time::now()))?;
    }
    Ok(Exit::Ok)
}

fn render(restores: &[VolumeRestore], now: Timestamp) -> String {
    let mut rows = vec![table::row(["RESTORE", "VOLUME", "STATE", "OF", "ASKED FOR", "TOOK", "WHY"])];
    for restore in restores {
        let took = restore.ended_at.unwrap_or(now).since(restore.created_at);
        rows.push(table::row([
            &restore.id.to_string(),
            restore.volume.as_str(),
            &restore.status,
            &restore.at.to_string(),
            &time::ago(restore.created_at, now),
            &time::length(took),
            &printable(&restore.failure),
        ]));
    }
    table::columns(&rows)
}

/// Points of a volume: how many entries it had, and how still it was.
pub(super) fn render_points(points: &[RestorePoint], now: Timestamp) -> String {
    let mut rows = vec![table::row(["SNAPSHOT", "OF", "AGE", "TARGET", "BYTES", "ENTRIES", "HOW"])];
    for point in points {
        rows.push(table::row([
            point.snapshot.short(),
            &point.at.to_string(),
            &time::ago(point.at, now),
            point.target.as_str(),
            &time::size(point.bytes),
            &point.rows.to_string(),
            &printable(&point.source_version),
        ]));
    }
    table::columns(&rows)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    const AT: &str = "2026-11-24T10:00:00.000Z";

    fn restore(status: &str, failure: &str) -> Value {
        json!({
            "id": "f3", "project": "shop", "environment": "production", "service": "api", "source": "uploads",
            "volume": "uploads-restored-1", "target": "disk-two", "snapshot": "1".repeat(64), "at": AT,
            "state": { "state": "waiting", "since": AT }, "status": status, "is_final": true, "failure": failure,
            "created_at": AT, "ended_at": "2026-11-24T10:01:05.000Z",
        })
    }

    fn point() -> Value {
        json!({ "at": AT, "snapshot": "1".repeat(64), "target": "disk-two", "run": "u1", "bytes": 1536,
            "sha256": "a".repeat(64), "tables": 4, "rows": 7, "source_version": "volume (plain)", "verified_at": AT })
    }

    #[test]
    fn a_plan_names_what_is_new_and_what_stays() {
        let asked: CreateVolumeRestoreResponse = serde_json::from_value(
            json!({ "dry_run": true, "volume": "uploads-restored-1", "point": point() }),
        )
        .expect("is a body");
        insta::assert_snapshot!(plan(&"api/uploads".parse().expect("is one"), &asked), @r"
        + uploads-restored-1
            a new volume, with api/uploads as it was at 2026-11-24T10:00:00.000Z (snapshot 11111111 in disk-two, 1.5 KB, 7 entries)
        = api/uploads
            stays as it is
        ");
    }

    #[test]
    fn one_that_failed_ends_with_an_error() {
        let failed = restore("failed", "failed while loading: the disk is full");
        let failed: VolumeRestore = serde_json::from_value(failed).expect("is a body");
        let error = ended(&failed, false).expect_err("it failed");
        assert_eq!(
            (error.exit, error.message.as_str()),
            (Exit::Failed, "f3 failed while loading: the disk is full")
        );
    }

    #[test]
    fn points_and_restores_of_before() {
        let now = Timestamp::parse("2026-11-24T12:00:00Z").expect("an instant");
        let ready: VolumeRestore = serde_json::from_value(restore("ready", "")).expect("is a body");
        insta::assert_snapshot!(render(&[ready], now), @r"
        RESTORE  VOLUME              STATE  OF                        ASKED FOR  TOOK   WHY
        f3       uploads-restored-1  ready  2026-11-24T10:00:00.000Z  2h ago     1m05s
        ");
        let point: RestorePoint = serde_json::from_value(point()).expect("is a body");
        insta::assert_snapshot!(render_points(&[point], now), @r"
        SNAPSHOT  OF                        AGE     TARGET    BYTES   ENTRIES  HOW
        11111111  2026-11-24T10:00:00.000Z  2h ago  disk-two  1.5 KB  7        volume (plain)
        ");
    }
}
