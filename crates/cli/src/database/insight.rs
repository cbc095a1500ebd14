//! The part of `havre db info` that the server of a database says about itself. Tests at the end of the file.

use std::time::Duration;

use havre_api::database::DatabaseInsight;
use havre_core::time::Timestamp;
use havre_decide::database::insight::Facts;
use havre_decide::database::insight::hint::percent;
use havre_decide::database::insight::redis::RedisFacts;
use havre_decide::database::insight::sql::SqlFacts;

use crate::output::{printable, table, time};

/// In place of statements.
const NO_ACCOUNT: &str = "\nno account of statements is kept: `shared_preload_libraries` of PostgreSQL or \
    `performance_schema` of MariaDB begins one\n";

/// Everything but what the database is: that stands above it.
pub(super) fn render(insight: &DatabaseInsight) -> String {
    let mut text = String::new();
    for hint in &insight.hints {
        push(&mut text, "wrong", hint.clone());
    }
    for part in &insight.missing {
        push(&mut text, "not told", part.clone());
    }
    match &insight.facts {
        Facts::Sql(facts) => sql(&mut text, facts, insight.at),
        Facts::Redis(facts) => redis(&mut text, facts, insight.at),
    }
    text
}

fn push(text: &mut String, name: &str, value: String) {
    if !value.is_empty() {
        text.push_str(&format!("    {name:<9} {}\n", printable(&value)));
    }
}

/// A table of its own, where there is anything in it.
fn push_table(text: &mut String, rows: &[Vec<String>]) {
    if rows.len() > 1 {
        text.push('\n');
        text.push_str(&table::columns(rows));
    }
}

/// `99 % of blocks`, where anything was asked for.
fn share(hits: u64, others: u64, of: &str) -> String {
    let share = percent(hits, hits.saturating_add(others));
    share.map_or_else(String::new, |share| format!("{share} % of {of}"))
}

fn sql(text: &mut String, facts: &SqlFacts, now: Timestamp) {
    push(text, "runs", facts.version.clone());
    push(text, "size", facts.size_bytes.map_or_else(String::new, time::size));
    let mut connected = format!("{} of {}", facts.connected(), facts.connections_max);
    for state in &facts.connections {
        connected.push_str(&format!(", {} {}", state.count, state.state));
    }
    push(text, "connected", connected);
    push(text, "in memory", share(facts.hits, facts.reads, "blocks that were read"));
    if let Some(open) = &facts.oldest_transaction {
        let age = time::length(Duration::from_millis(open.age_ms));
        push(text, "oldest", format!("transaction of {}, open for {age}: {}", open.role, open.state));
    }
    let counted = |count: Option<u64>| {
        count.filter(|count| *count > 0).map_or_else(String::new, |count| count.to_string())
    };
    push(text, "deadlocks", counted(facts.deadlocks));
    push(text, "slow", counted(facts.slow));
    wal(text, facts, now);
    let mut rows = vec![table::row(["LARGEST", "WHAT", "SIZE"])];
    for one in &facts.largest {
        rows.push(table::row([&one.name, one.kind.as_str(), &time::size(one.bytes)]));
    }
    push_table(text, &rows);
    let mut rows = vec![table::row(["TABLE", "ROWS", "DEAD", "DEAD SIZE", "VACUUMED", "ANALYZED"])];
    let when = |at: Option<Timestamp>| at.map_or_else(|| "never".to_owned(), |at| time::ago(at, now));
    for one in &facts.tables {
        let (live, dead, place) = (one.live.to_string(), one.dead.to_string(), time::size(one.dead_bytes));
        let (vacuumed, analyzed) = (when(one.vacuumed_at), when(one.analyzed_at));
        rows.push(table::row([&one.name, &live, &dead, &place, &vacuumed, &analyzed]));
    }
    push_table(text, &rows);
    let Some(statements) = &facts.statements else {
        text.push_str(NO_ACCOUNT);
        return;
    };
    let mut rows = vec![table::row(["TIME", "RUNS", "EACH", "ROWS", "STATEMENT"])];
    for one in statements {
        let (all, each) = (took(one.total_us), took(one.mean_us()));
        rows.push(table::row([&all, &one.calls.to_string(), &each, &one.rows.to_string(), &one.text]));
    }
    push_table(text, &rows);
}

/// What becomes of the WAL.
fn wal(text: &mut String, facts: &SqlFacts, now: Timestamp) {
    if let Some(archive) = &facts.archive {
        let last =
            archive.archived_at.map_or_else(String::new, |at| format!(", the last {}", time::ago(at, now)));
        let files = format!("{} files handed out{last}, {} attempts failed", archive.files, archive.failures);
        push(text, "WAL", files);
    }
    for one in &facts.standbys {
        let behind =
            one.behind_bytes.map_or_else(String::new, |bytes| format!(", {} behind", time::size(bytes)));
        push(text, "standby", format!("{}: {}{behind}", one.name, one.state));
    }
    for one in &facts.slots {
        let state = if one.is_active { "in use" } else { "nobody is there" };
        let kept = one.kept_bytes.map_or_else(String::new, |bytes| format!(", keeps {}", time::size(bytes)));
        push(text, "slot", format!("{}: {state}{kept}", one.name));
    }
}

fn redis(text: &mut String, facts: &RedisFacts, now: Timestamp) {
    push(text, "runs", facts.version.clone());
    let limit = match facts.limit_bytes {
        0 => "without a limit".to_owned(),
        limit => format!("of {}", time::size(limit)),
    };
    let (used, peak) = (time::size(facts.used_bytes), time::size(facts.peak_bytes));
    push(text, "size", format!("{used} {limit}, at most {peak}; {}", facts.policy));
    let (clients, blocked) = (facts.clients, facts.clients_blocked);
    push(text, "connected", format!("{clients} of {}, {blocked} blocked", facts.clients_max));
    push(text, "keys", format!("{}, of which {} expire", facts.keys, facts.keys_expiring));
    push(text, "found", share(facts.hits, facts.misses, "keys that were asked for"));
    push(text, "evicted", format!("{} keys", facts.evicted));
    if facts.replicas > 0 {
        push(text, "replicas", facts.replicas.to_string());
    }
    let mut rows = vec![table::row(["SLOW", "TOOK", "COMMAND"])];
    for one in &facts.slow {
        rows.push(table::row([&time::ago(one.at, now), &took(one.took_us), &one.command]));
    }
    push_table(text, &rows);
}

/// `0.02 ms`, `12.3 ms`, `1.2s`, `2h05m`.
fn took(us: u64) -> String {
    match us {
        0..1000 => format!("0.{:02} ms", us / 10),
        1000..1_000_000 => format!("{}.{} ms", us / 1000, us % 1000 / 100),
        _ => time::length(Duration::from_micros(us)),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn insight(facts: Value) -> DatabaseInsight {
        let body = json!({"at": "2026-11-27T15:00:00.000Z", "facts": facts, "missing": [],
            "hints": ["table orders has not been vacuumed for 9 days: 20000 dead rows, about 1.9 MB"]});
        serde_json::from_value(body).expect("is a body")
    }

    fn postgres() -> Value {
        json!({"kind": "sql", "version": "16.4", "size_bytes": 23215463, "connections_max": 100,
            "largest": [{"kind": "table", "name": "orders", "bytes": 9486336},
                {"kind": "index", "name": "orders_pkey", "bytes": 1589248}],
            "connections": [{"state": "idle", "count": 3}, {"state": "active", "count": 1}], "hits": 990, "reads": 10,
            "oldest_transaction": {"role": "api_a", "state": "idle in transaction", "age_ms": 198597},
            "statements": [{"text": "SELECT \u{1b}[1m$1", "calls": 4, "rows": 8, "total_us": 540223}],
            "slow": null, "deadlocks": 2, "oldest_number": 37,
            "tables": [{"name": "orders", "live": 49001, "dead": 20000, "dead_bytes": 2000000,
                "vacuumed_at": "2026-11-18T14:00:00.000Z", "analyzed_at": null}],
            "archive": {"files": 7, "failures": 0, "archived_at": "2026-11-27T14:59:00.000Z", "failed_at": null},
            "standbys": [], "slots": [{"name": "gone", "is_active": false, "kept_bytes": 28796608}]})
    }

    #[test]
    fn of_a_postgres() {
        insta::assert_snapshot!(format!("db\n{}", render(&insight(postgres()))), @r"
        db
            wrong     table orders has not been vacuumed for 9 days: 20000 dead rows, about 1.9 MB
            runs      16.4
            size      22.1 MB
            connected 4 of 100, 3 idle, 1 active
            in memory 99 % of blocks that were read
            oldest    transaction of api_a, open for 3m18s: idle in transaction
            deadlocks 2
            WAL       7 files handed out, the last 1m ago, 0 attempts failed
            slot      gone: nobody is there, keeps 27.4 MB

        LARGEST      WHAT   SIZE
        orders       table  9.0 MB
        orders_pkey  index  1.5 MB

        TABLE   ROWS   DEAD   DEAD SIZE  VACUUMED  ANALYZED
        orders  49001  20000  1.9 MB     9d ago    never

        TIME      RUNS  EACH      ROWS  STATEMENT
        540.2 ms  4     135.0 ms  8     SELECT �[1m$1
        ");
    }

    #[test]
    fn of_one_that_keeps_no_account_and_did_not_tell_everything() {
        let mut facts = postgres();
        for (key, value) in [("statements", Value::Null), ("size_bytes", Value::Null), ("largest", json!([]))]
        {
            facts[key] = value;
        }
        let mut insight = insight(facts);
        insight.missing.push("ERROR:  canceling statement due to statement timeout".to_owned());
        let text = render(&insight);
        assert!(
            text.contains("    not told  ERROR:  canceling statement due to statement timeout\n"),
            "{text}"
        );
        assert!(text.ends_with(NO_ACCOUNT), "{text}");
        assert!(!text.contains("    size ") && !text.contains("LARGEST"), "{text}");
    }

    #[test]
    fn of_a_redis() {
        let facts = json!({"kind": "redis", "version": "7.0.15", "used_bytes": 27896616, "peak_bytes": 27896616,
            "limit_bytes": 20000000, "policy": "noeviction", "clients": 3, "clients_max": 10000, "clients_blocked": 1,
            "refused": 0, "keys": 100001, "keys_expiring": 100000, "hits": 3, "misses": 1, "evicted": 0, "is_saved": true,
            "replicas": 0, "slow": [{"at": "2026-11-27T14:58:54.000Z", "took_us": 775994, "command": "EVAL"},
                {"at": "2026-11-27T14:58:54.000Z", "took_us": 25, "command": "GET"}]});
        insta::assert_snapshot!(format!("db\n{}", render(&insight(facts))), @r"
        db
            wrong     table orders has not been vacuumed for 9 days: 20000 dead rows, about 1.9 MB
            runs      7.0.15
            size      26.6 MB of 19.0 MB, at most 26.6 MB; noeviction
            connected 3 of 10000, 1 blocked
            keys      100001, of which 100000 expire
            found     75 % of keys that were asked for
            evicted   0 keys

        SLOW    TOOK      COMMAND
        1m ago  775.9 ms  EVAL
        1m ago  0.02 ms   GET
        ");
    }
}
