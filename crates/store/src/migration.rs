//! Ordered migrations, embedded, each applied once in a transaction of its own and remembered with its checksum.
//! There is no way down: an upgrade keeps a copy of the file. Tests at the end of the file.

use rusqlite::{Connection, TransactionBehavior};
use sha2::{Digest, Sha256};

use crate::error::StoreError;
use crate::row;

/// One step from an older schema to a newer one.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Migration {
    number: i64,
    name: &'static str,
    sql: &'static str,
}

/// All of them, numbered from 1 without gaps.
pub(crate) const MIGRATIONS: &[Migration] = &[
    Migration { number: 1, name: "first", sql: include_str!("../migrations/0001_first.sql") },
    Migration { number: 2, name: "maintenance", sql: include_str!("../migrations/0002_maintenance.sql") },
    Migration { number: 3, name: "site_releases", sql: include_str!("../migrations/0003_site_releases.sql") },
    Migration { number: 4, name: "certificate", sql: include_str!("../migrations/0004_certificate.sql") },
    Migration { number: 5, name: "purge", sql: include_str!("../migrations/0005_purge.sql") },
    Migration { number: 6, name: "pipeline", sql: include_str!("../migrations/0006_pipeline.sql") },
    Migration { number: 7, name: "job", sql: include_str!("../migrations/0007_job.sql") },
    Migration { number: 8, name: "remote", sql: include_str!("../migrations/0008_remote.sql") },
    Migration { number: 9, name: "ssh_key", sql: include_str!("../migrations/0009_ssh_key.sql") },
    Migration { number: 10, name: "test", sql: include_str!("../migrations/0010_test.sql") },
    Migration { number: 11, name: "image_size", sql: include_str!("../migrations/0011_image_size.sql") },
    Migration { number: 12, name: "forge", sql: include_str!("../migrations/0012_forge.sql") },
    Migration { number: 13, name: "preview", sql: include_str!("../migrations/0013_preview.sql") },
    Migration { number: 14, name: "build_secret", sql: include_str!("../migrations/0014_build_secret.sql") },
    Migration { number: 15, name: "registry", sql: include_str!("../migrations/0015_registry.sql") },
    Migration { number: 16, name: "secret", sql: include_str!("../migrations/0016_secret.sql") },
    Migration { number: 17, name: "database", sql: include_str!("../migrations/0017_database.sql") },
    Migration { number: 18, name: "backup", sql: include_str!("../migrations/0018_backup.sql") },
    Migration { number: 19, name: "drill", sql: include_str!("../migrations/0019_drill.sql") },
    Migration { number: 20, name: "copy", sql: include_str!("../migrations/0020_copy.sql") },
    Migration { number: 21, name: "comment", sql: include_str!("../migrations/0021_comment.sql") },
    Migration {
        number: 22,
        name: "test_database",
        sql: include_str!("../migrations/0022_test_database.sql"),
    },
    Migration { number: 23, name: "deploy_key", sql: include_str!("../migrations/0023_deploy_key.sql") },
    Migration { number: 24, name: "wal", sql: include_str!("../migrations/0024_wal.sql") },
    Migration { number: 25, name: "swap", sql: include_str!("../migrations/0025_swap.sql") },
    Migration { number: 26, name: "volume", sql: include_str!("../migrations/0026_volume.sql") },
    Migration { number: 27, name: "rebuild", sql: include_str!("../migrations/0027_rebuild.sql") },
    Migration { number: 28, name: "provider", sql: include_str!("../migrations/0028_provider.sql") },
    Migration {
        number: 29,
        name: "drill_to_a_second",
        sql: include_str!("../migrations/0029_drill_to_a_second.sql"),
    },
];

struct Applied {
    number: i64,
    name: String,
    checksum: String,
}

/// Whether the file holds tables but was not made by a store.
pub(crate) fn is_foreign(connection: &Connection) -> Result<bool, StoreError> {
    let sql =
        "SELECT count(*), coalesce(sum(name = 'migrations'), 0) FROM sqlite_schema WHERE type = 'table'";
    let (tables, ours): (i64, i64) = connection.query_row(sql, [], |row| Ok((row.get(0)?, row.get(1)?)))?;
    Ok(tables > 0 && ours == 0)
}

/// Number of the newest migration in a store, and of the newest that this program has.
pub(crate) fn versions(connection: &Connection) -> Result<(i64, i64), StoreError> {
    let sql = "SELECT coalesce(max(number), 0) FROM migrations";
    let found = connection.query_row(sql, [], |row| row.get(0))?;
    Ok((found, MIGRATIONS.last().map_or(0, |migration| migration.number)))
}

/// Brings the schema up to the newest of `migrations`, or refuses a file that another program has shaped.
pub(crate) fn migrate(connection: &mut Connection, migrations: &[Migration]) -> Result<(), StoreError> {
    connection.execute_batch(
        "CREATE TABLE IF NOT EXISTS migrations (
            number INTEGER PRIMARY KEY, name TEXT NOT NULL, checksum TEXT NOT NULL
        ) STRICT",
    )?;
    let sql = "SELECT number, name, checksum FROM migrations ORDER BY number";
    let applied = row::list(connection, sql, [], |row| {
        Ok(Applied { number: row.get(0)?, name: row.get(1)?, checksum: row.get(2)? })
    })?;
    let known = migrations.last().map_or(0, |migration| migration.number);
    if let Some(newest) = applied.last().filter(|newest| newest.number > known) {
        return Err(StoreError::NewerSchema { found: newest.number, known });
    }
    for (found, expected) in applied.iter().zip(migrations) {
        if found.number != expected.number || found.checksum != checksum(expected) {
            return Err(StoreError::ChangedMigration { number: found.number, name: found.name.clone() });
        }
    }
    for migration in &migrations[applied.len()..] {
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        transaction.execute_batch(migration.sql)?;
        transaction.execute(
            "INSERT INTO migrations (number, name, checksum) VALUES (?1, ?2, ?3)",
            (migration.number, migration.name, checksum(migration)),
        )?;
        transaction.commit()?;
    }
    Ok(())
}

fn checksum(migration: &Migration) -> String {
    Sha256::digest(migration.sql).iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIRST: Migration = Migration { number: 1, name: "one", sql: "CREATE TABLE a (x INTEGER) STRICT" };
    const SECOND: Migration = Migration { number: 2, name: "two", sql: "ALTER TABLE a ADD COLUMN y INTEGER" };
    const BROKEN: Migration = Migration {
        number: 2,
        name: "two",
        sql: "CREATE TABLE b (x INTEGER) STRICT; CREATE TABLE a (x INTEGER)",
    };

    fn schema(connection: &Connection) -> Vec<String> {
        let sql =
            "SELECT sql FROM sqlite_schema WHERE name <> 'migrations' AND sql IS NOT NULL ORDER BY name";
        row::list(connection, sql, [], |row| Ok(row.get(0)?)).unwrap()
    }

    #[test]
    fn embedded_ones_are_numbered_without_gaps_and_apply() {
        let numbers: Vec<_> = MIGRATIONS.iter().map(|migration| migration.number).collect();
        assert_eq!(numbers, (1..=MIGRATIONS.len() as i64).collect::<Vec<_>>());
        let mut connection = Connection::open_in_memory().unwrap();
        migrate(&mut connection, MIGRATIONS).unwrap();
        let before = schema(&connection);
        migrate(&mut connection, MIGRATIONS).unwrap();
        assert_eq!(schema(&connection), before);
    }

    #[test]
    fn every_table_is_strict() {
        let mut connection = Connection::open_in_memory().unwrap();
        migrate(&mut connection, MIGRATIONS).unwrap();
        let sql = "SELECT name FROM pragma_table_list \
            WHERE schema = 'main' AND type = 'table' AND name NOT LIKE 'sqlite_%' AND strict = 0";
        let loose: Vec<String> = row::list(&connection, sql, [], |row| Ok(row.get(0)?)).unwrap();
        assert_eq!(loose, Vec::<String>::new());
    }

    #[test]
    fn step_by_step_equals_at_once() {
        let mut at_once = Connection::open_in_memory().unwrap();
        migrate(&mut at_once, &[FIRST, SECOND]).unwrap();
        let mut stepwise = Connection::open_in_memory().unwrap();
        migrate(&mut stepwise, &[FIRST]).unwrap();
        migrate(&mut stepwise, &[FIRST, SECOND]).unwrap();
        assert_eq!(schema(&at_once), schema(&stepwise));
    }

    #[test]
    fn a_changed_one_is_refused() {
        let mut connection = Connection::open_in_memory().unwrap();
        migrate(&mut connection, &[FIRST]).unwrap();
        let changed = Migration { sql: "CREATE TABLE a (x TEXT) STRICT", ..FIRST };
        let error = migrate(&mut connection, &[changed, SECOND]).unwrap_err();
        assert_eq!(
            error.to_string(),
            "could not open the store: migration 1 (one) in it is not the one of this havred; \
             it was written by a different or modified build"
        );
        assert_eq!(schema(&connection), ["CREATE TABLE a (x INTEGER) STRICT"]);
    }

    #[test]
    fn a_newer_one_is_refused() {
        let mut connection = Connection::open_in_memory().unwrap();
        migrate(&mut connection, &[FIRST, SECOND]).unwrap();
        let error = migrate(&mut connection, &[FIRST]).unwrap_err();
        assert!(matches!(error, StoreError::NewerSchema { found: 2, known: 1 }), "{error}");
    }

    #[test]
    fn one_that_fails_leaves_nothing() {
        let mut connection = Connection::open_in_memory().unwrap();
        migrate(&mut connection, &[FIRST]).unwrap();
        let before = schema(&connection);
        assert!(migrate(&mut connection, &[FIRST, BROKEN]).is_err());
        assert_eq!(schema(&connection), before);
        migrate(&mut connection, &[FIRST, SECOND]).unwrap();
    }

    #[test]
    fn a_database_of_something_else_is_foreign() {
        let mut connection = Connection::open_in_memory().unwrap();
        assert!(!is_foreign(&connection).unwrap());
        connection.execute_batch("CREATE TABLE theirs (x)").unwrap();
        assert!(is_foreign(&connection).unwrap());
        let mut ours = Connection::open_in_memory().unwrap();
        migrate(&mut ours, MIGRATIONS).unwrap();
        assert!(!is_foreign(&ours).unwrap());
        migrate(&mut connection, &[]).unwrap();
    }
}
