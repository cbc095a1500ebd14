//! What is wrong with a database, in sentences: of what its server says about itself only that which somebody should do something about.
//! Tests at the end of the file.

use std::time::Duration;

use havre_core::release::size::about;
use havre_core::time::Timestamp;

use super::Facts;
use super::redis::RedisFacts;
use super::sql::{SqlFacts, Table};

/// Share of the connections from which on it is said, in percent.
const CONNECTIONS_NOTABLE: u64 = 80;
/// Share of blocks found in memory below which it is said, in percent.
const HITS_LEAST: u64 = 90;
/// Fewer reads than these say nothing about memory.
const READS_NOTABLE: u64 = 10_000;
/// How long a transaction may be open.
const TRANSACTION_MAX: Duration = Duration::from_secs(3600);
/// Fewer dead rows than these are everyday work.
const DEAD_NOTABLE: u64 = 10_000;
/// Share of dead rows from which on it is said, in percent.
const DEAD_SHARE: u64 = 20;
/// How long a table with dead rows may go without a vacuum.
const VACUUM_MAX: Duration = Duration::from_secs(7 * 86_400);
/// Transaction numbers there are.
const NUMBERS: u64 = 2_147_483_647;
/// Share of them from which on it is said, in percent. A server begins to vacuum for this at a tenth.
const NUMBERS_NOTABLE: u64 = 25;
/// WAL that may be kept for somebody who is not there.
const KEPT_MAX: u64 = 1 << 30;
/// Share of the memory of Redis or Valkey from which on it is said, in percent.
const MEMORY_NOTABLE: u64 = 90;

/// What is wrong, the most urgent first; nothing where nothing is.
pub fn hints(facts: &Facts, now: Timestamp) -> Vec<String> {
    match facts {
        Facts::Sql(facts) => sql(facts, now),
        Facts::Redis(facts) => redis(facts),
    }
}

/// A part in percent of the whole, rounded down; `None` of nothing.
pub fn percent(part: u64, whole: u64) -> Option<u64> {
    let percent = (u128::from(part) * 100).checked_div(u128::from(whole))?;
    u64::try_from(percent).ok()
}

fn reaches(part: u64, whole: u64, least: u64) -> Option<u64> {
    percent(part, whole).filter(|share| *share >= least)
}

fn sql(facts: &SqlFacts, now: Timestamp) -> Vec<String> {
    let mut hints = Vec::new();
    if let Some(share) = facts.oldest_number.and_then(|age| reaches(age, NUMBERS, NUMBERS_NOTABLE)) {
        hints.push(format!(
            "transaction numbers are used up to {share} %, and at 100 % nothing can be written: let `VACUUM FREEZE` run, and end old transactions"
        ));
    }
    hints.extend(connections(facts.connected(), facts.connections_max, "`settings.max_connections`"));
    if let Some(open) = &facts.oldest_transaction {
        let age = Duration::from_millis(open.age_ms);
        if age >= TRANSACTION_MAX {
            hints.push(format!(
                "a transaction of {} has been open for {} ({}): until it ends, no dead row goes that is newer",
                open.role,
                length(age),
                open.state
            ));
        }
    }
    if let Some(archive) = &facts.archive
        && let Some(failed) = archive.failed_at.filter(|at| archive.archived_at.is_none_or(|good| good < *at))
    {
        hints.push(format!(
            "finished WAL cannot be handed out, last tried {} ago: it stays on the volume until it can, see `havre db logs`",
            length(now.since(failed))
        ));
    }
    for slot in facts.slots.iter().filter(|slot| !slot.is_active) {
        if let Some(kept) = slot.kept_bytes.filter(|kept| *kept >= KEPT_MAX) {
            hints.push(format!(
                "slot {} keeps {} of WAL for somebody who is not there: `pg_drop_replication_slot` lets it go",
                slot.name,
                about(kept)
            ));
        }
    }
    hints.extend(facts.tables.iter().filter_map(|table| dead_rows(table, now)));
    let asked = facts.hits.saturating_add(facts.reads);
    if let Some(share) = percent(facts.hits, asked).filter(|share| *share < HITS_LEAST)
        && facts.reads >= READS_NOTABLE
    {
        hints.push(format!("only {share} % of blocks were found in memory: more `memory` may help"));
    }
    hints
}

fn connections(count: u64, most: u64, setting: &str) -> Option<String> {
    let share = reaches(count, most, CONNECTIONS_NOTABLE)?;
    Some(format!("connections at {share} %: {count} of {most}, see {setting}"))
}

/// A table whose dead rows nobody takes away.
fn dead_rows(table: &Table, now: Timestamp) -> Option<String> {
    if table.dead < DEAD_NOTABLE {
        return None;
    }
    let place = about(table.dead_bytes);
    let dead = format!("{} dead rows, about {place}", table.dead);
    let share = reaches(table.dead, table.live.saturating_add(table.dead), DEAD_SHARE);
    match (table.vacuumed_at.map(|at| now.since(at)), share) {
        (Some(age), _) if age >= VACUUM_MAX => {
            Some(format!("table {} has not been vacuumed for {}: {dead}", table.name, length(age)))
        }
        (None, Some(share)) => {
            Some(format!("table {} has never been vacuumed, and {share} % of it are {dead}", table.name))
        }
        (Some(_), Some(share)) => Some(format!("table {}: {share} % of it are {dead}", table.name)),
        (Some(_) | None, None) => None,
    }
}

fn redis(facts: &RedisFacts) -> Vec<String> {
    let mut hints = Vec::new();
    if !facts.is_saved {
        hints.push(
            "what is stored could not be written to the disk: see `havre db logs`, and the room on the disk"
                .to_owned(),
        );
    }
    if let Some(share) = reaches(facts.used_bytes, facts.limit_bytes, MEMORY_NOTABLE) {
        let then = match facts.policy.as_str() {
            "noeviction" => "beyond it, writes are refused".to_owned(),
            policy => format!("beyond it, keys go by `{policy}`"),
        };
        let (used, limit) = (about(facts.used_bytes), about(facts.limit_bytes));
        hints.push(format!("memory at {share} %: {used} of {limit}; {then}"));
    }
    if facts.evicted > 0 {
        hints.push(format!("{} keys went for want of memory since it started", facts.evicted));
    }
    hints.extend(connections(facts.clients, facts.clients_max, "`settings.maxclients`"));
    if facts.refused > 0 {
        hints.push(format!("{} connections were refused since it started", facts.refused));
    }
    hints
}

/// A length of time for people, in its largest unit.
fn length(length: Duration) -> String {
    let minutes = length.as_secs() / 60;
    let (count, unit) = match minutes {
        0..60 => (minutes, "minute"),
        60..1440 => (minutes / 60, "hour"),
        _ => (minutes / 1440, "day"),
    };
    format!("{count} {unit}{}", if count == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::sql::{Archive, Connections, Slot, Transaction};
    use super::*;

    const DAY: i64 = 86_400_000;

    fn now() -> Timestamp {
        Timestamp::from_millis(100 * DAY)
    }

    fn days_ago(days: i64) -> Timestamp {
        Timestamp::from_millis((100 - days) * DAY)
    }

    fn table(live: u64, dead: u64, vacuumed_at: Option<Timestamp>) -> Table {
        Table {
            name: "orders".to_owned(),
            live,
            dead,
            dead_bytes: dead * 100,
            vacuumed_at,
            analyzed_at: None,
        }
    }

    fn of(change: impl FnOnce(&mut SqlFacts)) -> Vec<String> {
        let mut facts = SqlFacts { connections_max: 100, ..SqlFacts::default() };
        change(&mut facts);
        hints(&Facts::Sql(Box::new(facts)), now())
    }

    #[test]
    fn connections_near_their_limit() {
        let with =
            |count| of(|facts| facts.connections = vec![Connections { state: "idle".to_owned(), count }]);
        assert_eq!(with(79), [""; 0]);
        assert_eq!(with(92), ["connections at 92 %: 92 of 100, see `settings.max_connections`"]);
    }

    #[test]
    fn tables_that_nobody_vacuums() {
        let with = |table| of(|facts| facts.tables = vec![table]);
        assert_eq!(
            with(table(1_000_000, 20_000, Some(days_ago(9)))),
            ["table orders has not been vacuumed for 9 days: 20000 dead rows, about 1.9 MB"]
        );
        assert_eq!(
            with(table(20_000, 20_000, Some(days_ago(1)))),
            ["table orders: 50 % of it are 20000 dead rows, about 1.9 MB"]
        );
        assert_eq!(
            with(table(0, 10_000, None)),
            ["table orders has never been vacuumed, and 100 % of it are 10000 dead rows, about 976.5 KB"]
        );
        for quiet in [
            table(0, 9_999, None),
            table(1_000_000, 20_000, Some(days_ago(6))),
            table(1_000_000, 20_000, None),
        ] {
            assert_eq!(with(quiet.clone()), [""; 0], "{quiet:?}");
        }
    }

    #[test]
    fn what_stands_in_the_way() {
        let open = |age_ms| {
            let (role, state) = ("api_a".to_owned(), "idle in transaction".to_owned());
            of(|facts| facts.oldest_transaction = Some(Transaction { role, state, age_ms }))
        };
        assert_eq!(open(3_599_999), [""; 0]);
        assert_eq!(
            open(3 * 3_600_000),
            [
                "a transaction of api_a has been open for 3 hours (idle in transaction): until it ends, no dead row goes that is newer"
            ]
        );
        let slot = |is_active| {
            let slot = Slot { name: "gone".to_owned(), is_active, kept_bytes: Some(3 << 30) };
            of(|facts| facts.slots = vec![slot])
        };
        assert_eq!(slot(true), [""; 0]);
        assert_eq!(
            slot(false),
            [
                "slot gone keeps 3.0 GB of WAL for somebody who is not there: `pg_drop_replication_slot` lets it go"
            ]
        );
        assert_eq!(of(|facts| facts.oldest_number = Some(200_000_000)), [""; 0]);
        assert!(of(|facts| facts.oldest_number = Some(1_000_000_000))[0].contains("used up to 46 %"));
    }

    #[test]
    fn wal_that_is_not_handed_out() {
        let with = |archived: Option<i64>, failed: Option<i64>| {
            let (archived_at, failed_at) = (archived.map(days_ago), failed.map(days_ago));
            of(|facts| facts.archive = Some(Archive { files: 1, failures: 1, archived_at, failed_at }))
        };
        assert_eq!(with(Some(1), Some(2)), [""; 0], "it has worked since");
        assert_eq!(with(Some(1), None), [""; 0]);
        for (archived, failed) in [(Some(3), Some(2)), (None, Some(2))] {
            let hints = with(archived, failed);
            assert!(
                hints[0].starts_with("finished WAL cannot be handed out, last tried 2 days ago"),
                "{hints:?}"
            );
        }
    }

    #[test]
    fn memory() {
        let low = of(|facts| (facts.hits, facts.reads) = (80_000, 20_000));
        assert_eq!(low, ["only 80 % of blocks were found in memory: more `memory` may help"]);
        assert_eq!(of(|facts| (facts.hits, facts.reads) = (10, 9_999)), [""; 0], "it has only begun");
        let facts = RedisFacts {
            used_bytes: 95 << 20,
            limit_bytes: 100 << 20,
            policy: "noeviction".to_owned(),
            evicted: 3,
            ..RedisFacts::default()
        };
        assert_eq!(
            hints(&Facts::Redis(facts), now()),
            [
                "what is stored could not be written to the disk: see `havre db logs`, and the room on the disk",
                "memory at 95 %: 95.0 MB of 100.0 MB; beyond it, writes are refused",
                "3 keys went for want of memory since it started",
            ]
        );
    }

    proptest! {
        #[test]
        fn no_number_is_too_large(numbers in proptest::array::uniform8(any::<u64>()), at in any::<i64>()) {
            let [max, count, hits, reads, live, dead, dead_bytes, age_ms] = numbers;
            let vacuumed_at = Some(Timestamp::from_millis(at));
            let named = table(0, 0, None);
            let table = Table { live, dead, dead_bytes, vacuumed_at, ..named };
            let facts = SqlFacts {
                connections_max: max,
                connections: vec![Connections { state: String::new(), count }],
                hits,
                reads,
                oldest_number: Some(age_ms),
                tables: vec![table],
                ..SqlFacts::default()
            };
            hints(&Facts::Sql(Box::new(facts)), now());
        }
    }
}
