//! `havre backup status`: copies, ages, and what is missing. Ends with 6 when anything is. Tests at the end of the file.

use std::time::Duration;

use havre_api::backup::{BackupAccount, BackupCopy, BackupStatus, CopyStanding, DrillAccount};
use havre_core::time::Timestamp;

use crate::exit::{CliError, Exit};
use crate::invocation::Invocation;
use crate::output::{self, printable, table, time};

pub(crate) async fn run(invocation: &Invocation) -> Result<Exit, CliError> {
    let status: BackupStatus = invocation.client()?.get("/v1/backup-status").await?;
    if invocation.global.json {
        output::json(&status)?;
    } else {
        output::data(&render(&status, time::now()))?;
    }
    Ok(if status.is_met { Exit::Ok } else { Exit::Found })
}

fn render(status: &BackupStatus, now: Timestamp) -> String {
    let mut text = String::new();
    for account in &status.accounts {
        text.push_str(&render_account(account, now));
    }
    if !status.gaps.is_empty() {
        text.push_str("targets\n");
        push_gaps(&mut text, &status.gaps);
    }
    text
}

fn push_gaps(text: &mut String, gaps: &[String]) {
    for gap in gaps {
        text.push_str(&format!("    missing   {}\n", printable(gap)));
    }
}

fn render_account(account: &BackupAccount, now: Timestamp) -> String {
    let Some(promised) = account.rpo_target_ms else {
        return format!("{}  is not backed up, as havre.toml says\n", account.name);
    };
    let measured = account.rpo_measured_ms.map_or_else(|| "everything".to_owned(), length);
    let mut text = format!("{}\n", account.name);
    text.push_str(&format!("    lost now  {measured}; promised: at most {}\n", length(promised)));
    let rows: Vec<Vec<String>> = account.copies.iter().map(|copy| row(copy, now)).collect();
    for line in table::columns(&rows).lines() {
        text.push_str(&format!("    copy      {line}\n"));
    }
    if let Some(drill) = &account.drill {
        text.push_str(&format!("    drill     {}\n", drilled(drill, now)));
    }
    push_gaps(&mut text, &account.gaps);
    text
}

/// What the newest drill came to: how long it takes, and what is lost.
fn drilled(drill: &DrillAccount, now: Timestamp) -> String {
    let (id, ago, lost) = (drill.drill, time::ago(drill.at, now), length(drill.rpo_measured_ms));
    match drill.rto_measured_ms {
        Some(took) => format!("{id} passed {ago}: whole after {}, {lost} would have been lost", length(took)),
        None => format!("{id} failed {ago}: {}", printable(&drill.failure)),
    }
}

fn row(copy: &BackupCopy, now: Timestamp) -> Vec<String> {
    let age = match (copy.standing, copy.age_ms) {
        (CopyStanding::Missing, _) | (_, None) => "none".to_owned(),
        (_, Some(0)) => "now".to_owned(),
        (CopyStanding::Current, Some(age)) => format!("{} old", length(age)),
        (CopyStanding::Stale, Some(age)) => format!("{} old, does not count", length(age)),
    };
    let next = match copy.next_at {
        Some(at) if at > now => format!("next in {}", length(millis(at.since(now)))),
        Some(_) => "next is due".to_owned(),
        None => String::new(),
    };
    let run = copy.run.map_or_else(String::new, |run| run.to_string());
    let place = if copy.is_offsite { "off-site" } else { "" };
    table::row([copy.target.as_str(), copy.medium.as_str(), place, &age, &run, &next])
}

fn length(millis: u64) -> String {
    time::length(Duration::from_millis(millis))
}

fn millis(length: Duration) -> u64 {
    u64::try_from(length.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_there_is_and_what_is_missing() {
        let status: BackupStatus = serde_json::from_value(json!({
            "is_met": false, "gaps": ["bucket cannot be used: access denied"],
            "accounts": [
                { "what": { "kind": "platform" }, "name": "platform", "rpo_target_ms": 7_200_000, "rpo_measured_ms": 600_000,
                  "policy": { "every": "1h", "keep": { "hourly": 24 } }, "gaps": ["bucket: it has no verified snapshot"],
                  "copies": [
                    { "target": "live", "medium": "disk", "is_offsite": false, "standing": "current", "age_ms": 0, "run": null,
                      "next_at": null },
                    { "target": "disk-two", "medium": "disk-two", "is_offsite": false, "standing": "current", "age_ms": 600_000,
                      "run": "u7", "next_at": "2026-11-24T12:50:00.000Z" },
                    { "target": "bucket", "medium": "bucket", "is_offsite": true, "standing": "missing", "age_ms": null,
                      "run": null, "next_at": "2026-11-24T12:00:00.000Z" },
                  ] },
                { "what": { "kind": "base", "project": "shop", "environment": "production", "database": "db" },
                  "name": "base of database shop/production/db", "rpo_target_ms": 90_000_000, "rpo_measured_ms": 3_600_000,
                  "policy": { "every": "1d", "keep": { "last": 5 } }, "copies": [], "gaps": [],
                  "drill": { "drill": "x7", "at": "2026-11-24T10:00:00.000Z", "rto_measured_ms": 64_000, "rpo_measured_ms": 25_000,
                    "failure": "" } },
                { "what": { "kind": "database", "project": "shop", "environment": "production", "database": "db" },
                  "name": "database shop/production/db", "rpo_target_ms": 90_000_000, "rpo_measured_ms": 3_600_000,
                  "policy": { "every": "1d", "keep": { "last": 5 } }, "copies": [], "gaps": [],
                  "drill": { "drill": "x6", "at": "2026-11-24T10:00:00.000Z", "rto_measured_ms": null, "rpo_measured_ms": 3_600_000,
                    "failure": "1 tables differ" } },
                { "what": { "kind": "database", "project": "shop", "environment": "production", "database": "cache" },
                  "name": "database shop/production/cache", "policy": null, "copies": [], "rpo_target_ms": null,
                  "rpo_measured_ms": null, "gaps": [] },
            ],
        }))
        .expect("is a body");
        let now = Timestamp::parse("2026-11-24T12:00:00Z").expect("an instant");
        insta::assert_snapshot!(render(&status, now), @r"
        platform
            lost now  10m00s; promised: at most 2h00m
            copy      live      disk                now
            copy      disk-two  disk-two            10m00s old  u7  next in 50m00s
            copy      bucket    bucket    off-site  none            next is due
            missing   bucket: it has no verified snapshot
        base of database shop/production/db
            lost now  1h00m; promised: at most 1d01h
            drill     x7 passed 2h ago: whole after 1m04s, 25.0s would have been lost
        database shop/production/db
            lost now  1h00m; promised: at most 1d01h
            drill     x6 failed 2h ago: 1 tables differ
        database shop/production/cache  is not backed up, as havre.toml says
        targets
            missing   bucket cannot be used: access denied
        ");
    }
}
