//! Opening: folder, file, settings with read-back, schema, the installation's own values.
//! Tests: `tests/it/open.rs`.

use std::fs;
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags};

use crate::error::StoreError;
use crate::migration::{MIGRATIONS, is_foreign, migrate};
use crate::row;
use crate::seal::{ID, MasterKey, SEALED};

/// Longest wait for somebody else's lock, such as a person looking with the sqlite3 program.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);
/// Room for every statement of the store, so that each is compiled once.
const STATEMENT_CACHE: usize = 128;

/// Values made once for each store.
#[derive(Debug)]
pub(crate) struct Identity {
    pub(crate) installation: String,
    pub(crate) probe_key: String,
}

/// Makes the folder, for its owner only. One that exists stays as the administrator made it.
pub(crate) fn ensure_folder(path: &Path) -> Result<(), StoreError> {
    let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) else { return Ok(()) };
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(folder)
        .map_err(|source| file_error("make the folder", folder, source))
}

/// The write connection, with the newest schema.
pub(crate) fn open_writer(path: &Path) -> Result<Connection, StoreError> {
    ensure_private_file(path)?;
    let mut connection = connect(path)?;
    if is_foreign(&connection)? {
        return Err(StoreError::NotAStore { path: path.to_owned() });
    }
    set(&connection, "journal_mode", "wal", "wal")?;
    set(&connection, "synchronous", "full", "2")?;
    // Gives the space of a burst of writes back to the disk.
    connection.pragma_update(None, "journal_size_limit", 16 * 1024 * 1024)?;
    migrate(&mut connection, MIGRATIONS)?;
    Ok(connection)
}

/// A connection that can only read.
pub(crate) fn open_reader(path: &Path) -> Result<Connection, StoreError> {
    let connection = connect(path)?;
    set(&connection, "query_only", "on", "1")?;
    Ok(connection)
}

/// The installation's values; those given are kept only when the store has none yet.
pub(crate) fn ensure_identity(connection: &Connection, given: &Identity) -> Result<Identity, StoreError> {
    row::run(
        connection,
        "INSERT INTO installation (id, name, probe_key) VALUES (1, ?1, ?2) ON CONFLICT DO NOTHING",
        (&given.installation, &given.probe_key),
    )?;
    let sql = "SELECT name, probe_key FROM installation";
    row::find(connection, sql, [], |row| Ok(Identity { installation: row.get(0)?, probe_key: row.get(1)? }))?
        .ok_or_else(|| StoreError::not_found("row of", "installation"))
}

/// Refuses to start without the key that sealed what is in the store: half of it would be of no use, and somebody might
/// make a new key over the old one.
pub(crate) fn check_master_key(connection: &Connection, key: Option<&MasterKey>) -> Result<(), StoreError> {
    let id = key.map(MasterKey::id).unwrap_or_default();
    for (table, column) in SEALED {
        let sql = format!(
            "SELECT substr({column}, 1, {ID}) FROM {table} WHERE {column} IS NOT NULL AND substr({column}, 1, {ID}) IS NOT ?1 \
             LIMIT 1"
        );
        let other: Option<Vec<u8>> = row::find(connection, &sql, [id.as_slice()], |row| Ok(row.get(0)?))?;
        if let Some(other) = other {
            let wanted = other.iter().map(|byte| format!("{byte:02x}")).collect();
            return Err(StoreError::WrongMasterKey { wanted, found: key.map(MasterKey::name) });
        }
    }
    Ok(())
}

fn connect(path: &Path) -> Result<Connection, StoreError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(BUSY_TIMEOUT)?;
    connection.set_prepared_statement_cache_capacity(STATEMENT_CACHE);
    // Without it SQLite plans a cached statement again for each new value that is bound to it: a quarter of what an idle
    // control costs.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    check(&connection, "busy_timeout", "5000")?;
    set(&connection, "foreign_keys", "on", "1")?;
    set(&connection, "trusted_schema", "off", "0")?;
    Ok(connection)
}

/// SQLite makes its own files (`-wal`, `-shm`) with the permissions of this one.
fn ensure_private_file(path: &Path) -> Result<(), StoreError> {
    let file = fs::OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(path)
        .map_err(|source| file_error("open the store", path, source))?;
    let mode = file.metadata().map_err(|source| file_error("look at the store", path, source))?.permissions();
    if mode.mode() & 0o777 != 0o600 {
        file.set_permissions(fs::Permissions::from_mode(0o600))
            .map_err(|source| file_error("set the permissions of the store", path, source))?;
    }
    Ok(())
}

fn set(
    connection: &Connection,
    name: &'static str,
    value: &str,
    wanted: &'static str,
) -> Result<(), StoreError> {
    if name == "journal_mode" {
        // The only one of ours that answers with a row.
        connection.pragma_update_and_check(None, name, value, |_| Ok(()))?;
    } else {
        connection.pragma_update(None, name, value)?;
    }
    check(connection, name, wanted)
}

/// A pragma that SQLite does not know or will not change is silently ignored, so each is read back.
fn check(connection: &Connection, name: &'static str, wanted: &'static str) -> Result<(), StoreError> {
    let got = connection.pragma_query_value(None, name, |row| {
        Ok(match row.get_ref(0)? {
            rusqlite::types::ValueRef::Integer(number) => number.to_string(),
            other => other.as_str().unwrap_or_default().to_owned(),
        })
    })?;
    if got == wanted { Ok(()) } else { Err(StoreError::Setting { name, wanted, got }) }
}

fn file_error(doing: &'static str, path: &Path, source: io::Error) -> StoreError {
    StoreError::File { doing, path: path.to_owned(), source }
}
