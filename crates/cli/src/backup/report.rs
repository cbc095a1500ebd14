//! `havre backup report`: drills, or what one found. Tests at the end of the file.

use std::time::Duration;

use havre_api::restore::{Drill, DrillList, DrillReport};
use havre_core::backup::manifest::Manifest;
use havre_core::id::DrillId;
use havre_core::time::Timestamp;
use havre_rescue::drill::Verdict;
use havre_rescue::proof::{Findings, Keys, Structure};
use havre_rescue::report::Report;

use super::drill::{behind, took, tried};
use crate::exit::{CliError, Exit};
use crate::http::path;
use crate::invocation::Invocation;
use crate::output::{self, printable, table, time};

#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Drill, such as x7; left out, a list of them
    drill: Option<DrillId>,
    /// Fail unless this installation wrote the report and nobody has changed it since
    #[arg(long, requires = "drill")]
    verify: bool,
    /// Most drills of the list
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=1000))]
    limit: u32,
}

pub(crate) async fn run(invocation: &Invocation, options: Options) -> Result<Exit, CliError> {
    let client = invocation.client()?;
    let json = invocation.global.json;
    let Some(id) = options.drill else {
        let list: DrillList =
            client.get(&path::query("/v1/drills", &[("limit", Some(&options.limit))])).await?;
        if json {
            output::json(&list)?;
        } else {
            output::data(&render_list(&list.drills, time::now()))?;
        }
        return Ok(Exit::Ok);
    };
    let report: DrillReport = client.get(&format!("/v1/drills/{id}/report")).await?;
    if json {
        output::json(&report)?;
    } else {
        output::data(&render(&report))?;
    }
    if options.verify && !report.is_signed {
        return Err(CliError::new(
            Exit::Failed,
            format!("the report of {id} is not the one that was signed"),
        )
        .hint("somebody has changed the store, or it was signed with another master key"));
    }
    Ok(Exit::Ok)
}

fn render_list(drills: &[Drill], now: Timestamp) -> String {
    let mut rows = vec![table::row([
        "DRILL",
        "DATABASE",
        "HOW",
        "STATE",
        "SNAPSHOT",
        "TARGET",
        "WHEN",
        "WHOLE AFTER",
        "LOST THEN",
        "WHY",
    ])];
    for drill in drills {
        let after = drill.rto_measured_ms.map_or_else(String::new, length);
        rows.push(table::row([
            &drill.id.to_string(),
            &format!("{}/{}/{}", drill.project, drill.environment, drill.database),
            drill.method.as_str(),
            &printable(&drill.status),
            drill.snapshot.short(),
            drill.target.as_str(),
            &time::ago(drill.created_at, now),
            &after,
            &length(drill.rpo_measured_ms),
            &printable(&drill.failure),
        ]));
    }
    table::columns(&rows)
}

fn length(millis: u64) -> String {
    time::length(Duration::from_millis(millis))
}

fn render(report: &DrillReport) -> String {
    let drill = &report.drill;
    let place = format!("{}/{}/{}", drill.project, drill.environment, drill.database);
    let mut text = format!("{}  {place}  {}\n", drill.id, printable(&drill.status));
    let mut item = |name: &str, value: &str| {
        if !value.is_empty() {
            text.push_str(&format!("    {name:<9} {value}\n"));
        }
    };
    item("why", &printable(&drill.failure));
    item("method", drill.method.as_str());
    item("tried", &tried(drill));
    item("time", &took(drill));
    item("loss", &behind(drill));
    match Report::parse(&report.text) {
        Ok(read) => {
            item("server", &printable(&read.server));
            if let Verdict::Passed { findings, .. } = &read.verdict {
                found(findings, &read.manifest, &mut item);
            }
        }
        Err(error) => item("report", &printable(&error.to_string())),
    }
    let signed =
        if report.is_signed { "of this installation" } else { "NOT of this installation, or changed" };
    item("signature", &format!("{} ({signed})", printable(report.signature.get(..16).unwrap_or_default())));
    text
}

fn found(findings: &Findings, manifest: &Manifest, item: &mut impl FnMut(&str, &str)) {
    let rows: u64 = findings.rows.values().sum();
    match findings.keys {
        // Where nobody counted, nobody compared.
        None if manifest.rows.is_empty() => {
            item("found", &format!("{} tables with {rows} rows", findings.rows.len()))
        }
        None => {
            item("found", &format!("{} tables with {rows} rows, as they were saved", findings.rows.len()))
        }
        Some(Keys { expiring, saved }) => {
            let ends =
                format!("{rows} of the {saved} keys in the snapshot, of which {expiring} end by themselves");
            item("found", &ends);
            let counted: u64 = manifest.rows.values().sum();
            item("counted", &format!("{counted} keys, a moment after it was saved: no proof of anything"));
        }
    }
    if !findings.files.is_not_asked() {
        item("files", said(&findings.files, "not checked: its image has no pg_verifybackup"));
    }
    item("structure", said(&findings.structure, "not checked: its image has no pg_amcheck"));
    for assertion in &findings.assertions {
        item("true", &printable(&assertion.sql));
    }
}

fn said<'a>(structure: &Structure, without: &'a str) -> &'a str {
    match structure {
        Structure::Sound => "sound",
        Structure::NotAvailable => without,
        Structure::NotAsked => "not checked",
        Structure::Damaged { .. } => "damaged",
    }
}

#[cfg(test)]
pub(super) mod tests {
    use serde_json::{Value, json};

    use super::*;

    const AT: &str = "2026-11-24T10:00:00.000Z";

    pub(crate) fn drill(more: Value) -> Drill {
        let mut body = json!({
            "id": "x7", "project": "dropit", "environment": "production", "database": "db", "target": "disk-two",
            "snapshot": "1".repeat(64), "at": AT, "state": { "state": "passed", "at": AT }, "status": "passed",
            "is_final": true, "failure": "", "method": "dump", "rto_measured_ms": null, "rpo_measured_ms": 25_000, "is_scheduled": true,
            "created_at": AT, "ended_at": AT,
        });
        for (key, value) in more.as_object().expect("is a table") {
            body[key] = value.clone();
        }
        serde_json::from_value(body).expect("is a body")
    }

    fn text() -> String {
        let (a, b, one) = ("a".repeat(64), "b".repeat(64), "1".repeat(64));
        let manifest = format!(
            r#"{{"content":{{"bytes":10,"sha256":"sha256:{a}"}},"form":1,"repository":"{b}","rows":{{"public.users":2}},"snapshot":"{one}","source_version":"PostgreSQL 16.14","started_at":"{AT}","verified_at":"{AT}","what":{{"kind":"database","project":"dropit","environment":"production","database":"db"}}}}"#
        );
        let findings = r#"{"assertions":[{"answer":"t","holds":true,"sql":"select true"}],"rows":{"public.users":2},"structure":{"structure":"sound"}}"#;
        format!(
            r#"{{"began_at":"{AT}","drill":"x7","ended_at":"{AT}","form":1,"manifest":{manifest},"server":"postgres 16","target":"disk-two","verdict":{{"verdict":"passed","findings":{findings},"rto_measured_ms":64000}}}}"#
        )
    }

    #[test]
    fn a_report_says_what_was_found() {
        let drill = drill(json!({ "rto_measured_ms": 64_000 }));
        let report = DrillReport { drill, text: text(), signature: "c".repeat(64), is_signed: true };
        insta::assert_snapshot!(render(&report), @r"
        x7  dropit/production/db  passed
            method    dump
            tried     snapshot 11111111 of 2026-11-24T10:00:00.000Z in disk-two
            time      the copy was whole after 1m04s
            loss      25.0s would have been lost then
            server    postgres 16
            found     1 tables with 2 rows, as they were saved
            structure sound
            true      select true
            signature cccccccccccccccc (of this installation)
        ");
        let findings = r#""rows":{"public.users":2},"structure""#;
        let keys = r#""keys":{"expiring":1,"saved":3},"rows":{"db0":2},"structure""#;
        let of_redis = DrillReport { text: text().replace(findings, keys), ..report.clone() };
        let of_redis = render(&of_redis);
        for line in [
            "    found     2 of the 3 keys in the snapshot, of which 1 end by themselves\n",
            "    counted   2 keys, a moment after it was saved: no proof of anything\n",
        ] {
            assert!(of_redis.contains(line), "{of_redis}");
        }
        let base = text().replace(r#"{"public.users":2},"snapshot""#, r#"{},"snapshot""#);
        let files = findings.replace(r#""rows""#, r#""files":{"structure":"sound"},"rows""#);
        let of_line = DrillReport { text: base.replace(findings, &files), ..report.clone() };
        let of_line = render(&of_line);
        for line in ["    found     1 tables with 2 rows\n", "    files     sound\n"] {
            assert!(of_line.contains(line), "{of_line}");
        }
        let changed = DrillReport { text: text().replace("64000", "6400"), is_signed: false, ..report };
        assert!(render(&changed).contains("(NOT of this installation, or changed)"));
    }

    #[test]
    fn a_list_of_drills() {
        let failed = drill(json!({ "status": "failed", "failure": "1 tables differ" }));
        let now = Timestamp::parse("2026-11-24T12:00:00Z").expect("an instant");
        insta::assert_snapshot!(render_list(&[failed], now), @r"
        DRILL  DATABASE              HOW   STATE   SNAPSHOT  TARGET    WHEN    WHOLE AFTER  LOST THEN  WHY
        x7     dropit/production/db  dump  failed  11111111  disk-two  2h ago               25.0s      1 tables differ
        ");
    }
}
