//! `havre restore list`: points in time on a line, and one on each line. Tests at the end of the file.

use havre_api::restore::{Restore, RestoreInterval, RestoreList, RestorePoint, RestorePointList};
use havre_core::time::Timestamp;

use super::volume;
use crate::backup::saved::Saved;
use crate::exit::{CliError, Exit};
use crate::invocation::Invocation;
use crate::output::{self, printable, table, time};

/// Characters of the line.
const WIDTH: u128 = 60;

#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Database that was saved, or volume of a service such as api/uploads; it may be gone
    #[arg(value_name = "DATABASE or SERVICE/VOLUME")]
    database: Saved,
    /// Restores of before, in place of what can be brought back
    #[arg(long)]
    done: bool,
}

pub(crate) async fn run(invocation: &Invocation, options: Options) -> Result<Exit, CliError> {
    let scope = invocation.scope()?;
    let client = invocation.client()?;
    let json = invocation.global.json;
    let is_volume = matches!(options.database, Saved::Volume { .. });
    if options.done && is_volume {
        return volume::list(invocation, &options.database).await;
    }
    if options.done {
        let list: RestoreList = client.get(&options.database.path(&scope, "/restores")).await?;
        if json {
            output::json(&list)?;
        } else {
            output::data(&render_restores(&list.restores, time::now()))?;
        }
        return Ok(Exit::Ok);
    }
    let list: RestorePointList = client.get(&options.database.path(&scope, "/points")).await?;
    if json {
        output::json(&list)?;
        return Ok(Exit::Ok);
    }
    if !list.line.is_empty() {
        output::data(&render_line(&list.line))?;
    }
    if list.points.is_empty() {
        output::say("there is no good backup of it yet; `havre backup run` makes one");
    } else if is_volume {
        let now = time::now();
        output::data(&format!("{}\n{}", line(&list.points, now), volume::render_points(&list.points, now)))?;
    } else {
        output::data(&render(&list.points, time::now()))?;
    }
    Ok(Exit::Ok)
}

fn render(points: &[RestorePoint], now: Timestamp) -> String {
    let mut rows = vec![table::row(["SNAPSHOT", "OF", "AGE", "TARGET", "BYTES", "TABLES", "ROWS", "SERVER"])];
    for point in points {
        rows.push(table::row([
            point.snapshot.short(),
            &point.at.to_string(),
            &time::ago(point.at, now),
            point.target.as_str(),
            &time::size(point.bytes),
            &point.tables.to_string(),
            &point.rows.to_string(),
            &printable(&point.source_version),
        ]));
    }
    format!("{}\n{}", line(points, now), table::columns(&rows))
}

/// Time of which every second can be brought back. What is missing between two of them was never stored.
fn render_line(line: &[RestoreInterval]) -> String {
    let said = line.iter().map(|one| format!("every second from {} until {}\n", one.from, one.until));
    said.collect()
}

/// The points between the oldest one and now, each at its place.
fn line(points: &[RestorePoint], now: Timestamp) -> String {
    let Some(oldest) = points.iter().map(|point| point.at).min() else { return String::new() };
    let whole = now.since(oldest).as_millis().max(1);
    let mut marks = vec!['─'; usize::try_from(WIDTH).unwrap_or(0)];
    for point in points {
        let place = point.at.since(oldest).as_millis().min(whole) * (WIDTH - 1) / whole;
        if let Some(mark) = usize::try_from(place).ok().and_then(|place| marks.get_mut(place)) {
            *mark = '●';
        }
    }
    format!("{} {} now\n", time::ago(oldest, now), marks.into_iter().collect::<String>())
}

fn render_restores(restores: &[Restore], now: Timestamp) -> String {
    let mut rows = vec![table::row(["RESTORE", "DATABASE", "STATE", "OF", "ASKED FOR", "TOOK", "WHY"])];
    for restore in restores {
        let took = restore.ended_at.unwrap_or(now).since(restore.created_at);
        rows.push(table::row([
            &restore.id.to_string(),
            restore.database.as_str(),
            &restore.status,
            &restore.at.to_string(),
            &time::ago(restore.created_at, now),
            &time::length(took),
            &printable(&restore.failure),
        ]));
    }
    table::columns(&rows)
}

#[cfg(test)]
pub(super) mod tests {
    use serde_json::{Value, json};

    use super::*;

    pub(crate) fn restore(more: Value) -> Restore {
        let at = "2026-11-24T10:00:00.000Z";
        let mut body = json!({
            "id": "v3", "project": "dropit", "environment": "production", "source": "db", "database": "db-restored-1",
            "target": "disk-two", "snapshot": "1".repeat(64), "at": at,
            "state": { "state": "working", "progress": { "step": "loading", "since": at } }, "status": "loading",
            "is_final": false, "failure": "", "created_at": at, "ended_at": null,
        });
        for (key, value) in more.as_object().expect("is a table") {
            body[key] = value.clone();
        }
        serde_json::from_value(body).expect("is a body")
    }

    fn point(digit: char, at: &str) -> RestorePoint {
        serde_json::from_value(json!({
            "at": at, "snapshot": digit.to_string().repeat(64), "target": "disk-two", "run": "u1", "bytes": 1536,
            "sha256": "a".repeat(64), "tables": 2, "rows": 7, "source_version": "PostgreSQL 16.14", "verified_at": at,
        }))
        .expect("is a body")
    }

    #[test]
    fn points_on_a_line_and_in_a_table() {
        let points = [point('2', "2026-11-24T11:00:00.000Z"), point('1', "2026-11-24T02:00:00.000Z")];
        let now = Timestamp::parse("2026-11-24T12:00:00Z").expect("an instant");
        insta::assert_snapshot!(render(&points, now), @r"
        10h ago ●────────────────────────────────────────────────────●────── now

        SNAPSHOT  OF                        AGE      TARGET    BYTES   TABLES  ROWS  SERVER
        22222222  2026-11-24T11:00:00.000Z  1h ago   disk-two  1.5 KB  2       7     PostgreSQL 16.14
        11111111  2026-11-24T02:00:00.000Z  10h ago  disk-two  1.5 KB  2       7     PostgreSQL 16.14
        ");
    }

    #[test]
    fn a_gap_in_the_line_is_seen() {
        let at = |text: &str| Timestamp::parse(text).expect("an instant");
        let line = [
            RestoreInterval { from: at("2026-11-24T02:00:00Z"), until: at("2026-11-24T03:00:00Z") },
            RestoreInterval { from: at("2026-11-24T05:00:00Z"), until: at("2026-11-24T06:00:00Z") },
        ];
        assert_eq!(
            render_line(&line),
            "every second from 2026-11-24T02:00:00.000Z until 2026-11-24T03:00:00.000Z\n\
             every second from 2026-11-24T05:00:00.000Z until 2026-11-24T06:00:00.000Z\n"
        );
    }

    #[test]
    fn restores_of_before() {
        let failed =
            restore(json!({ "status": "failed", "is_final": true, "failure": "Havre ended while it ran",
            "ended_at": "2026-11-24T10:01:05.000Z" }));
        let now = Timestamp::parse("2026-11-24T12:00:00Z").expect("an instant");
        insta::assert_snapshot!(render_restores(&[failed], now), @r"
        RESTORE  DATABASE       STATE   OF                        ASKED FOR  TOOK   WHY
        v3       db-restored-1  failed  2026-11-24T10:00:00.000Z  2h ago     1m05s  Havre ended while it ran
        ");
    }
}
