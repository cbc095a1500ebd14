//! A tunnel: one person's way from elsewhere into a database, without an open port. It has a role of its own that nobody knows before and that
//! is gone afterwards. When it ends is decided here, and what servers are told of its role, of closed names only. Tests at the end of the file.

use havre_core::database::Database;
use havre_core::database::role::{GROUP, UNSEEN, is_plain, redis_rules};
use havre_core::id::{DatabaseId, TunnelId};
use havre_core::name::DatabaseName;
use havre_core::quantity::Span;
use havre_core::route::settings::auth::SecretDigest;
use havre_core::secret::Secret;
use havre_core::service::Place;
use havre_core::time::Timestamp;

use crate::database::mariadb;

/// How long a tunnel lasts, when nothing is said.
pub const LASTS: Span = Span::seconds(8 * 3600);
/// How long it lasts at most.
pub const LASTS_MAX: Span = Span::seconds(24 * 3600);
/// Tunnels of an installation at once: each is one of the streams its API has.
pub const TUNNELS_MAX: usize = 8;
/// Connections through one tunnel at once, for the same reason.
pub const CONNECTIONS_MAX: usize = 10;
/// A connection in which nothing moves for this long is given up.
pub const IDLE_MAX: Span = Span::seconds(3600);

/// A row: one tunnel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tunnel {
    /// Its id; names its role.
    pub id: TunnelId,
    /// The database it leads to.
    pub database: DatabaseId,
    /// The same by names, as they were when it was opened.
    pub place: Place,
    /// Number of the task of the database it leads to: another one is another server.
    pub task: u32,
    /// When it ends at the latest.
    pub until: Timestamp,
    /// When it was asked for.
    pub created_at: Timestamp,
}

/// Why a tunnel ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// Whoever opened it went away, or control did.
    Left,
    /// Its time is over.
    Expired,
    /// The server was stopped, and another one may run.
    Restarted,
    /// The database is gone, or on its way.
    Gone,
    /// The database gets another name.
    Swapped,
}

impl std::fmt::Display for End {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Left => "whoever opened it is gone",
            Self::Expired => "its time is over",
            Self::Restarted => "the server was stopped",
            Self::Gone => "the database is gone",
            Self::Swapped => "the database gets another name",
        })
    }
}

/// Everything that says whether a tunnel goes on.
#[derive(Debug, Clone)]
pub struct Seen<'a> {
    /// Its row.
    pub tunnel: &'a Tunnel,
    /// The database, where it is still there.
    pub database: Option<&'a Database>,
    /// A swap of it is under way.
    pub is_swapped: bool,
    /// Somebody holds it open.
    pub is_held: bool,
}

/// Why a tunnel has to end now; `None` while it goes on.
pub fn end(seen: &Seen<'_>, now: Timestamp) -> Option<End> {
    let Some(database) = seen.database.filter(|database| !database.state.is_destroying()) else {
        return Some(End::Gone);
    };
    if !seen.is_held {
        return Some(End::Left);
    }
    if now >= seen.tunnel.until {
        return Some(End::Expired);
    }
    if seen.is_swapped {
        return Some(End::Swapped);
    }
    (database.task != seen.tunnel.task).then_some(End::Restarted)
}

/// Name of the role. No service has one like it: theirs end with `_a` or `_b`.
pub fn role(id: TunnelId) -> String {
    format!("havre_{id}")
}

/// SQL that makes the role of a tunnel, with what a service may do; done twice, it changes nothing. The password is worth nothing after the end
/// of the tunnel, whatever becomes of Havre until then. `None` for a password that is not one of ours.
pub fn postgres_make(tunnel: &Tunnel, name: &DatabaseName, password: &Secret) -> Option<Secret> {
    let password = password.expose_text().filter(|text| is_plain(text))?;
    let (role, until) = (role(tunnel.id), tunnel.until);
    Some(Secret::from(format!(
        "{UNSEEN}BEGIN;\n\
         DO $havre$\nBEGIN\n\
         IF NOT EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = '{GROUP}') THEN CREATE ROLE \"{GROUP}\" NOLOGIN; END IF;\n\
         IF NOT EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = '{role}') THEN CREATE ROLE \"{role}\" NOLOGIN; END IF;\n\
         END\n$havre$;\n\
         ALTER ROLE \"{role}\" WITH LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS \
         CONNECTION LIMIT {CONNECTIONS_MAX} PASSWORD '{password}' VALID UNTIL '{until}';\n\
         GRANT \"{GROUP}\" TO \"{role}\";\n\
         ALTER ROLE \"{role}\" SET role TO '{GROUP}';\n\
         REVOKE ALL ON DATABASE \"{name}\", \"postgres\", \"template1\" FROM PUBLIC;\n\
         GRANT CONNECT, CREATE, TEMPORARY ON DATABASE \"{name}\" TO \"{GROUP}\";\n\
         ALTER SCHEMA public OWNER TO \"{GROUP}\";\n\
         COMMIT;\n"
    )))
}

/// SQL that takes the role away with its connections. What it made belongs to the group then. Where something still names it, it stays and lets
/// nobody in.
pub fn postgres_end(id: TunnelId) -> String {
    let role = role(id);
    format!(
        "{UNSEEN}DO $havre$\nBEGIN\n\
         IF EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = '{role}') THEN ALTER ROLE \"{role}\" WITH NOLOGIN PASSWORD NULL; END IF;\n\
         END\n$havre$;\n\
         SELECT count(pg_catalog.pg_terminate_backend(pid, 5000)) FROM pg_catalog.pg_stat_activity WHERE usename = '{role}';\n\
         DO $havre$\nBEGIN\n\
         IF EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = '{role}') THEN\n\
         REASSIGN OWNED BY \"{role}\" TO \"{GROUP}\"; DROP OWNED BY \"{role}\"; DROP ROLE \"{role}\";\n\
         END IF;\n\
         EXCEPTION WHEN OTHERS THEN NULL;\n\
         END\n$havre$;\n"
    )
}

/// A command that makes the role of a tunnel to Redis or Valkey, of which only the hash of its password is known.
pub fn redis_make(id: TunnelId, digest: &SecretDigest) -> String {
    format!("ACL SETUSER {} reset {}\n", role(id), redis_rules(digest))
}

/// SQL that makes the role of a tunnel in a MariaDB. `None` for a password that is not one of ours.
pub fn mariadb_make(id: TunnelId, name: &DatabaseName, password: &Secret) -> Option<Secret> {
    let (role, password) = (role(id), password.expose_text().filter(|text| is_plain(text))?);
    Some(Secret::from(format!(
        "{quiet}CREATE USER IF NOT EXISTS '{role}'@'%' ACCOUNT LOCK;\n\
         ALTER USER '{role}'@'%' IDENTIFIED BY '{password}' WITH MAX_USER_CONNECTIONS {CONNECTIONS_MAX} ACCOUNT UNLOCK;\n\
         GRANT ALL PRIVILEGES ON `{name}`.* TO '{role}'@'%';\n",
        quiet = mariadb::UNSEEN
    )))
}

/// SQL that ends its connections and lets nobody in. The role stays, locked: views and routines that it made name it.
pub fn mariadb_end(id: TunnelId) -> String {
    let role = role(id);
    format!(
        "{}ALTER USER IF EXISTS '{role}'@'%' ACCOUNT LOCK;\nKILL CONNECTION USER '{role}';\n",
        mariadb::UNSEEN
    )
}

/// A command that takes it away with its connections.
pub fn redis_end(id: TunnelId) -> String {
    format!("ACL DELUSER {}\n", role(id))
}

#[cfg(test)]
mod tests {
    use super::*;
    use havre_core::database::role::{RoleName, password};

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_millis(1_763_978_400_000 + seconds * 1000)
    }

    fn database(task: u32, state: serde_json::Value) -> Database {
        serde_json::from_value(serde_json::json!({
            "id": "m3", "environment": "e1", "project": "shop", "environment_name": "production",
            "spec": {"name": "db", "engine": "postgres", "version": 16, "memory": "512MB", "cpus": "1"},
            "revision": 1, "started_revision": 1, "task": task, "image": null, "ready_at": at(0), "state": state,
            "created_at": at(0),
        }))
        .expect("is a row")
    }

    fn tunnel() -> Tunnel {
        Tunnel {
            id: TunnelId::new(5),
            database: DatabaseId::new(3),
            place: database(2, serde_json::json!({"state": "ready", "since": at(0)})).place(),
            task: 2,
            until: at(60),
            created_at: at(0),
        }
    }

    #[test]
    fn it_lasts_no_longer_than_what_it_leads_to() {
        let ready = database(2, serde_json::json!({"state": "ready", "since": at(0)}));
        let going = database(2, serde_json::json!({"state": "destroying", "since": at(0)}));
        let (next, tunnel) = (Database { task: 3, ..ready.clone() }, tunnel());
        let seen = |database| Seen { tunnel: &tunnel, database, is_swapped: false, is_held: true };
        assert_eq!(end(&seen(Some(&ready)), at(59)), None);
        assert_eq!(end(&seen(Some(&ready)), at(60)), Some(End::Expired));
        assert_eq!(end(&seen(Some(&next)), at(1)), Some(End::Restarted));
        assert_eq!(end(&seen(Some(&going)), at(1)), Some(End::Gone));
        assert_eq!(end(&seen(None), at(1)), Some(End::Gone));
        assert_eq!(end(&Seen { is_held: false, ..seen(Some(&ready)) }, at(1)), Some(End::Left));
        assert_eq!(end(&Seen { is_swapped: true, ..seen(Some(&ready)) }, at(1)), Some(End::Swapped));
    }

    #[test]
    fn its_role_is_nobody_elses_and_ends_with_it() {
        let (tunnel, name) = (tunnel(), "my-db".parse().expect("a name"));
        assert!(role(tunnel.id).parse::<RoleName>().is_err(), "no role of a service is called so");
        let sql = postgres_make(&tunnel, &name, &password(&[7; 32])).expect("ours");
        let sql = sql.expose_text().expect("is text").to_owned();
        assert!(sql.contains("VALID UNTIL '2025-11-24T10:01:00.000Z'"), "{sql}");
        assert!(sql.contains("NOSUPERUSER") && sql.contains("CONNECTION LIMIT 10"), "{sql}");
        assert!(sql.contains("ALTER ROLE \"havre_n5\" SET role TO 'app';"), "{sql}");
        assert!(sql.contains("GRANT CONNECT, CREATE, TEMPORARY ON DATABASE \"my-db\" TO \"app\";"), "{sql}");
        for wrong in ["", "it's", "a\nb", "a\\b"] {
            assert!(postgres_make(&tunnel, &name, &Secret::from(wrong)).is_none(), "{wrong:?}");
        }
        let gone = postgres_end(tunnel.id);
        let (locked, ended) = (gone.find("NOLOGIN PASSWORD NULL"), gone.find("pg_terminate_backend"));
        assert!(locked.is_some() && locked < ended, "nobody comes back between the two: {gone}");
        assert!(gone.contains("DROP ROLE \"havre_n5\";"), "{gone}");
    }

    #[test]
    fn redis_knows_a_hash_only() {
        let told = redis_make(TunnelId::new(5), &SecretDigest::new([0xab; 32]));
        assert!(told.starts_with("ACL SETUSER havre_n5 reset on #abab"), "{told}");
        assert!(told.contains("-@admin") && !told.contains('>'), "{told}");
        assert_eq!(redis_end(TunnelId::new(5)), "ACL DELUSER havre_n5\n");
    }
}
