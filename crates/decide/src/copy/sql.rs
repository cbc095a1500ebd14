//! What servers are told about copies, made of closed names only: the fresh database, the role that fills it, and how it takes its place. It goes
//! to the standard input of `psql` inside the server's own task. Tests at the end of the file.
//!
//! Nobody gets into a fresh database before it has taken its place: services may not connect to it. The role that fills it is no superuser,
//! because what a dump says runs there as SQL. It has no password, so that it gets in inside of the task and nowhere else.

use havre_core::id::CopyId;
use havre_core::name::DatabaseName;

/// The database that every server has, from which others are made and renamed.
pub const MAINTENANCE: &str = "postgres";

/// The role that fills fresh databases. No role of a service has this name: theirs end with `_a` or `_b`.
pub const LOADER: &str = "havre_load";

/// As in `database::role`: owns everything in a database.
const GROUP: &str = "app";

/// What ends the programs of a copy, should control be gone: they say this name to the server.
pub fn application(id: CopyId) -> String {
    format!("havre_copy_{id}")
}

/// Names of the databases one copy is about. Ours hold a `_` and those of users never do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Names {
    /// The one services get.
    pub database: String,
    /// The one that is filled.
    pub fresh: String,
    /// The one that was there before, afterwards.
    pub before: String,
    /// What the fresh one becomes.
    pub becomes: String,
}

impl Names {
    /// Of the copy with this id.
    pub fn new(database: &DatabaseName, id: CopyId, beside: Option<&DatabaseName>) -> Self {
        let number = id.row();
        Self {
            database: database.to_string(),
            fresh: format!("{database}_copy_{number}"),
            before: format!("{database}_before_{number}"),
            becomes: beside.unwrap_or(database).to_string(),
        }
    }

    /// It becomes another database than the one services get.
    fn is_beside(&self) -> bool {
        self.becomes != self.database
    }
}

/// Every database of the server, one in a line.
pub const LIST: &str = "SELECT datname FROM pg_catalog.pg_database ORDER BY 1;\n";

/// How many tables, views, types and functions of users there are.
pub const COUNT_OWN: &str = "SELECT count(*) FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
    WHERE n.nspname NOT LIKE 'pg\\_%' AND n.nspname <> 'information_schema' \
    AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend d WHERE d.classid = 'pg_catalog.pg_class'::regclass AND d.objid = c.oid \
    AND d.deptype = 'e');\n";

/// Ends what an earlier attempt of this copy left running, on the server rows come from.
pub fn stop(id: CopyId) -> String {
    let application = application(id);
    format!(
        "SELECT count(pg_catalog.pg_terminate_backend(pid)) FROM pg_catalog.pg_stat_activity \
         WHERE application_name = '{application}' AND pid <> pg_catalog.pg_backend_pid();\n"
    )
}

/// Makes a fresh database, in place of one that an earlier attempt left. Said to [`MAINTENANCE`].
pub fn prepare(names: &Names, id: CopyId) -> String {
    let (fresh, stop) = (&names.fresh, stop(id));
    format!(
        "SET client_min_messages = warning;\n\
         {stop}\
         DROP DATABASE IF EXISTS \"{fresh}\" WITH (FORCE);\n\
         DO $havre$\nBEGIN\n\
         IF NOT EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = '{GROUP}') THEN CREATE ROLE \"{GROUP}\" NOLOGIN; END IF;\n\
         IF NOT EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = '{LOADER}') THEN CREATE ROLE \"{LOADER}\" NOLOGIN; END IF;\n\
         END\n$havre$;\n\
         ALTER ROLE \"{LOADER}\" WITH LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS PASSWORD NULL;\n\
         GRANT \"{GROUP}\" TO \"{LOADER}\";\n\
         ALTER ROLE \"{LOADER}\" SET role TO '{GROUP}';\n\
         CREATE DATABASE \"{fresh}\" TEMPLATE template0;\n\
         REVOKE ALL ON DATABASE \"{fresh}\" FROM PUBLIC;\n\
         GRANT CREATE, TEMPORARY ON DATABASE \"{fresh}\" TO \"{GROUP}\";\n\
         GRANT CONNECT ON DATABASE \"{fresh}\" TO \"{LOADER}\";\n"
    )
}

/// Gives a fresh database the owner that the first one has. Said to the fresh database itself.
pub fn own() -> String {
    format!("ALTER SCHEMA public OWNER TO \"{GROUP}\";\n")
}

/// Puts the fresh database into its place. Said to [`MAINTENANCE`], in one piece: connections are refused first, then both are renamed in one
/// transaction. Where something fails in between, [`reopen`] lets connections in again.
pub fn swap(names: &Names) -> String {
    let Names { database, fresh, before, becomes } = names;
    let mut closed = vec![fresh];
    let mut renames = String::new();
    if !names.is_beside() {
        closed.push(database);
        renames.push_str(&format!("ALTER DATABASE \"{database}\" RENAME TO \"{before}\";\n"));
        renames.push_str(&format!("ALTER DATABASE \"{before}\" WITH ALLOW_CONNECTIONS true;\n"));
    }
    let mut text = "SET client_min_messages = warning;\n".to_owned();
    for name in &closed {
        text.push_str(&format!("ALTER DATABASE \"{name}\" WITH ALLOW_CONNECTIONS false;\n"));
    }
    let quoted: Vec<String> = closed.iter().map(|name| format!("'{name}'")).collect();
    let quoted = quoted.join(", ");
    text.push_str(&format!(
        "SELECT count(pg_catalog.pg_terminate_backend(pid)) FROM pg_catalog.pg_stat_activity WHERE datname IN ({quoted});\n\
         BEGIN;\n\
         REVOKE ALL ON DATABASE \"{fresh}\" FROM \"{LOADER}\";\n\
         GRANT CONNECT, CREATE, TEMPORARY ON DATABASE \"{fresh}\" TO \"{GROUP}\";\n\
         {renames}\
         ALTER DATABASE \"{fresh}\" RENAME TO \"{becomes}\";\n\
         ALTER DATABASE \"{becomes}\" WITH ALLOW_CONNECTIONS true;\n\
         ALTER ROLE \"{LOADER}\" WITH NOLOGIN;\n\
         COMMIT;\n"
    ));
    text
}

/// Lets connections into the database of services, as they always should be. Said to [`MAINTENANCE`].
pub fn reopen(names: &Names) -> String {
    format!("ALTER DATABASE \"{}\" WITH ALLOW_CONNECTIONS true;\n", names.database)
}

/// Takes away what was there before. Said to [`MAINTENANCE`].
pub fn drop_before(names: &Names) -> String {
    format!("DROP DATABASE IF EXISTS \"{}\" WITH (FORCE);\n", names.before)
}

/// Takes the fresh database away, with the programs that fill it. Said to [`MAINTENANCE`].
pub fn undo(names: &Names, id: CopyId) -> String {
    let (fresh, stop) = (&names.fresh, stop(id));
    format!(
        "SET client_min_messages = warning;\n\
         {stop}\
         DROP DATABASE IF EXISTS \"{fresh}\" WITH (FORCE);\n\
         DO $havre$\nBEGIN\n\
         IF EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = '{LOADER}') THEN ALTER ROLE \"{LOADER}\" WITH NOLOGIN; END IF;\n\
         END\n$havre$;\n"
    )
}

/// Says which state of the database both passes of a copy see: on standard error, which `psql` writes at once. It holds until the session
/// ends, which is when its standard input does.
pub const SNAPSHOT: &str = "SET idle_in_transaction_session_timeout = 0;\n\
    BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY;\n\
    SELECT pg_catalog.pg_export_snapshot() AS snapshot \\gset\n\
    \\warn havre snapshot :snapshot\n";

/// The snapshot that was said; `None` while it was not.
pub fn read_snapshot(said: &str) -> Option<&str> {
    let line = said.lines().find_map(|line| line.trim().strip_prefix("havre snapshot "))?;
    let is_plain = |byte: u8| byte.is_ascii_hexdigit() || byte == b'-';
    (!line.is_empty() && line.len() <= 64 && line.bytes().all(is_plain)).then_some(line)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(beside: Option<&str>) -> Names {
        let beside: Option<DatabaseName> = beside.map(|name| name.parse().expect("a name"));
        Names::new(&"my-db".parse().expect("a name"), CopyId::new(7), beside.as_ref())
    }

    #[test]
    fn a_swap_is_one_transaction() {
        insta::assert_snapshot!(swap(&names(None)), @r#"
        SET client_min_messages = warning;
        ALTER DATABASE "my-db_copy_7" WITH ALLOW_CONNECTIONS false;
        ALTER DATABASE "my-db" WITH ALLOW_CONNECTIONS false;
        SELECT count(pg_catalog.pg_terminate_backend(pid)) FROM pg_catalog.pg_stat_activity WHERE datname IN ('my-db_copy_7', 'my-db');
        BEGIN;
        REVOKE ALL ON DATABASE "my-db_copy_7" FROM "havre_load";
        GRANT CONNECT, CREATE, TEMPORARY ON DATABASE "my-db_copy_7" TO "app";
        ALTER DATABASE "my-db" RENAME TO "my-db_before_7";
        ALTER DATABASE "my-db_before_7" WITH ALLOW_CONNECTIONS true;
        ALTER DATABASE "my-db_copy_7" RENAME TO "my-db";
        ALTER DATABASE "my-db" WITH ALLOW_CONNECTIONS true;
        ALTER ROLE "havre_load" WITH NOLOGIN;
        COMMIT;
        "#);
        let beside = swap(&names(Some("old")));
        assert!(beside.contains("RENAME TO \"old\""), "{beside}");
        assert!(!beside.contains("\"my-db\""), "the database of services is left alone: {beside}");
    }

    #[test]
    fn nobody_but_the_loader_gets_into_a_fresh_one() {
        let text = prepare(&names(None), CopyId::new(7));
        assert!(text.contains("REVOKE ALL ON DATABASE \"my-db_copy_7\" FROM PUBLIC;"), "{text}");
        assert!(text.contains("GRANT CONNECT ON DATABASE \"my-db_copy_7\" TO \"havre_load\";"), "{text}");
        assert!(!text.contains("CONNECT, CREATE"), "{text}");
        assert!(text.contains("NOSUPERUSER"), "{text}");
        assert!(text.contains("application_name = 'havre_copy_q7'"), "{text}");
        assert!(
            undo(&names(None), CopyId::new(7))
                .contains("DROP DATABASE IF EXISTS \"my-db_copy_7\" WITH (FORCE);")
        );
    }

    #[test]
    fn a_snapshot_is_plain() {
        assert_eq!(read_snapshot("havre snapshot 00000003-0000001B-1\n"), Some("00000003-0000001B-1"));
        assert_eq!(read_snapshot("psql: warning: x\nhavre snapshot 0-1\nmore"), Some("0-1"));
        for wrong in
            ["", "havre snapshot", "havre snapshot ", "havre snapshot a b", "havre snapshot --file=x"]
        {
            assert_eq!(read_snapshot(wrong), None, "{wrong:?}");
        }
    }
}
