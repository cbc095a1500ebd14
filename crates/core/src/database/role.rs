//! Roles: how services prove who they are. Each service has its own, so that one can be taken away without the others; what they make belongs
//! to one group, so that migrations of any service work. Texts for servers are made here, of closed names only, and go to the standard input
//! of a client inside the server's own task: never into an argument. Tests at the end of the file.

use std::fmt;
use std::str::FromStr;

use crate::name::{DatabaseName, ServiceName};
use crate::route::settings::auth::SecretDigest;
use crate::secret::Secret;
use crate::text::text_json;

/// Name of the superuser of a PostgreSQL server.
pub const SUPERUSER: &str = "postgres";

/// The group that owns everything in a PostgreSQL database. No role of a service has this name: theirs hold a `_`.
pub const GROUP: &str = "app";

/// Which of the two roles of a service: a password is changed by making the other one, so that connections go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Slot {
    /// The first one.
    A,
    /// The other one.
    B,
}

impl Slot {
    /// The one that is not this one.
    #[must_use]
    pub const fn other(self) -> Self {
        match self {
            Self::A => Self::B,
            Self::B => Self::A,
        }
    }
}

/// Name of a role: that of its service, `_`, and which of the two it is: `api_a`. A service's name holds no `_`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RoleName {
    /// Whose role it is.
    pub service: ServiceName,
    /// Which of the two.
    pub slot: Slot,
}

/// Text that is no name of a role.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a role is named after its service, with _a or _b behind it")]
pub struct RoleNameError;

impl RoleName {
    /// The first role of a service.
    pub const fn first(service: ServiceName) -> Self {
        Self { service, slot: Slot::A }
    }

    /// The other role of the same service.
    #[must_use]
    pub fn other(&self) -> Self {
        Self { service: self.service.clone(), slot: self.slot.other() }
    }
}

impl fmt::Display for RoleName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let slot = match self.slot {
            Slot::A => 'a',
            Slot::B => 'b',
        };
        write!(f, "{}_{slot}", self.service)
    }
}

impl FromStr for RoleName {
    type Err = RoleNameError;

    fn from_str(text: &str) -> Result<Self, RoleNameError> {
        let (service, slot) = text.rsplit_once('_').ok_or(RoleNameError)?;
        let slot = match slot {
            "a" => Slot::A,
            "b" => Slot::B,
            _ => return Err(RoleNameError),
        };
        Ok(Self { service: service.parse().map_err(|_| RoleNameError)?, slot })
    }
}

text_json! { RoleName }

/// A role of Redis or Valkey with what its password must hash to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Login {
    /// Its name.
    pub role: RoleName,
    /// SHA-256 of its password.
    pub digest: SecretDigest,
}

/// A password of 256 random bits: 43 characters that need no quoting in SQL, in a URL or in a shell.
pub fn password(bytes: &[u8; 32]) -> Secret {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let mut text = Vec::with_capacity(43);
    for chunk in bytes.chunks(3) {
        let mut bits = [0_u8; 3];
        bits[..chunk.len()].copy_from_slice(chunk);
        let group = u32::from_be_bytes([0, bits[0], bits[1], bits[2]]);
        for index in 0..=chunk.len() {
            let six = (group >> (18 - 6 * index)) & 0x3f;
            text.push(ALPHABET[six as usize]);
        }
    }
    Secret::new(text)
}

/// Whether a text may stand between single quotes of SQL as it is: every password of ours may.
pub fn is_plain(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
}

/// What keeps a password out of the server's log and statistics, whatever the settings say.
pub const UNSEEN: &str = "SET client_min_messages = warning;\n\
    SET log_statement = 'none';\n\
    SET log_min_duration_statement = -1;\n\
    SET log_min_error_statement = 'panic';\n\
    SET pg_stat_statements.track_utility = 'off';\n";

/// SQL that makes a role be there with this password and what a service may do; done twice, it changes nothing. `None` for a password that is
/// not one of ours.
///
/// The role acts as the group from its first statement, so that what one service makes another one may change.
pub fn postgres_make(database: &DatabaseName, role: &RoleName, password: &Secret) -> Option<Secret> {
    let password = password.expose_text().filter(|text| is_plain(text))?;
    let sql = format!(
        "{UNSEEN}BEGIN;\n\
         DO $havre$\nBEGIN\n\
         IF NOT EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = '{GROUP}') THEN CREATE ROLE \"{GROUP}\" NOLOGIN; END IF;\n\
         IF NOT EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = '{role}') THEN CREATE ROLE \"{role}\" NOLOGIN; END IF;\n\
         END\n$havre$;\n\
         ALTER ROLE \"{role}\" WITH LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS PASSWORD '{password}';\n\
         GRANT \"{GROUP}\" TO \"{role}\";\n\
         ALTER ROLE \"{role}\" SET role TO '{GROUP}';\n\
         REVOKE ALL ON DATABASE \"{database}\", \"postgres\", \"template1\" FROM PUBLIC;\n\
         GRANT CONNECT, CREATE, TEMPORARY ON DATABASE \"{database}\" TO \"{GROUP}\";\n\
         ALTER SCHEMA public OWNER TO \"{GROUP}\";\n\
         COMMIT;\n"
    );
    Some(Secret::from(sql))
}

/// SQL that makes everybody be there whom a dump may name as an owner, without letting any of them in: the group, and roles of services.
pub fn postgres_owners(roles: &[RoleName]) -> String {
    let mut sql = format!("{UNSEEN}DO $havre$\nBEGIN\n");
    for name in std::iter::once(GROUP.to_owned()).chain(roles.iter().map(RoleName::to_string)) {
        sql.push_str(&format!(
            "IF NOT EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = '{name}') THEN CREATE ROLE \"{name}\" NOLOGIN; END IF;\n"
        ));
    }
    sql.push_str("END\n$havre$;\n");
    sql
}

/// SQL that makes the files of another database be this one: its name, its superuser's password, and nobody gets in who had a password there.
/// Said to the database `postgres`; done twice, it changes nothing. `None` for a password that is not one of ours.
pub fn postgres_adopt(old: &DatabaseName, new: &DatabaseName, password: &Secret) -> Option<Secret> {
    let password = password.expose_text().filter(|text| is_plain(text))?;
    Some(Secret::from(format!(
        "{UNSEEN}BEGIN;\n\
         DO $havre$\nDECLARE login record;\nBEGIN\n\
         FOR login IN SELECT rolname FROM pg_catalog.pg_roles WHERE rolcanlogin AND rolname <> '{SUPERUSER}' LOOP\n\
         EXECUTE pg_catalog.format('ALTER ROLE %I WITH NOLOGIN PASSWORD NULL', login.rolname);\nEND LOOP;\n\
         IF '{old}' <> '{new}' AND EXISTS (SELECT FROM pg_catalog.pg_database WHERE datname = '{old}') THEN \
         ALTER DATABASE \"{old}\" RENAME TO \"{new}\"; END IF;\n\
         END\n$havre$;\n\
         ALTER ROLE \"{SUPERUSER}\" WITH LOGIN PASSWORD '{password}';\n\
         COMMIT;\n"
    )))
}

/// SQL that takes a role away: it may not connect any more, and connections it has end. The role itself stays, for what may still name it.
pub fn postgres_lock(role: &RoleName) -> String {
    format!(
        "{UNSEEN}DO $havre$\nBEGIN\n\
         IF EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = '{role}') THEN ALTER ROLE \"{role}\" WITH NOLOGIN PASSWORD NULL; END IF;\n\
         END\n$havre$;\n\
         SELECT count(pg_catalog.pg_terminate_backend(pid)) FROM pg_catalog.pg_stat_activity WHERE usename = '{role}';\n"
    )
}

/// Rules of a user of Redis or Valkey: it may do everything but run the server. Libraries of queues list clients. Only the hash of a password
/// stands in them.
pub fn redis_rules(digest: &SecretDigest) -> String {
    format!("on #{} ~* &* +@all -@admin +client|list", hex(digest))
}

/// The same for the user that may do everything.
pub fn redis_superuser_rules(digest: &SecretDigest) -> String {
    format!("on #{} ~* &* +@all", hex(digest))
}

/// A command that makes a role be there; done twice, it changes nothing.
pub fn redis_make(login: &Login) -> String {
    format!("ACL SETUSER {} reset {}\n", login.role, redis_rules(&login.digest))
}

/// A command that takes a role away, with its connections.
pub fn redis_lock(role: &RoleName) -> String {
    format!("ACL DELUSER {role}\n")
}

fn hex(digest: &SecretDigest) -> String {
    digest.bytes().iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn role(text: &str) -> RoleName {
        text.parse().expect("is a role")
    }

    #[test]
    fn names_of_roles_are_those_of_services() {
        assert_eq!(role("my-api_b").to_string(), "my-api_b");
        assert_eq!(role("api_a").other(), role("api_b"));
        for wrong in ["", "api", "api_c", "_a", "a_b_a", "api_A", "postgres", "app", "a\"_a"] {
            assert!(wrong.parse::<RoleName>().is_err(), "{wrong:?} must be no role");
        }
    }

    #[test]
    fn passwords_are_base64url_without_padding() {
        let text = |bytes: [u8; 32]| password(&bytes).expose_text().expect("is text").to_owned();
        assert_eq!(text([0; 32]), "A".repeat(43));
        assert_eq!(text([0xff; 32]), format!("{}8", "_".repeat(42)));
        let mut counted = [0; 32];
        for (index, byte) in (0_u8..).zip(counted.iter_mut()) {
            *byte = index;
        }
        assert_eq!(text(counted), "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8");
    }

    #[test]
    fn a_password_that_is_not_ours_reaches_no_statement() {
        let database: DatabaseName = "db".parse().expect("is a name");
        for wrong in ["", "it's", "a\nb", "a\\b", "$$"] {
            assert!(postgres_make(&database, &role("api_a"), &Secret::from(wrong)).is_none(), "{wrong:?}");
        }
    }

    #[test]
    fn statements() {
        let made =
            postgres_make(&"my-db".parse().expect("is a name"), &role("api_a"), &Secret::from("s3cret"));
        let made = made.expect("is ours");
        insta::assert_snapshot!(made.expose_text().expect("is text"), @r#"
        SET client_min_messages = warning;
        SET log_statement = 'none';
        SET log_min_duration_statement = -1;
        SET log_min_error_statement = 'panic';
        SET pg_stat_statements.track_utility = 'off';
        BEGIN;
        DO $havre$
        BEGIN
        IF NOT EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = 'app') THEN CREATE ROLE "app" NOLOGIN; END IF;
        IF NOT EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = 'api_a') THEN CREATE ROLE "api_a" NOLOGIN; END IF;
        END
        $havre$;
        ALTER ROLE "api_a" WITH LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS PASSWORD 's3cret';
        GRANT "app" TO "api_a";
        ALTER ROLE "api_a" SET role TO 'app';
        REVOKE ALL ON DATABASE "my-db", "postgres", "template1" FROM PUBLIC;
        GRANT CONNECT, CREATE, TEMPORARY ON DATABASE "my-db" TO "app";
        ALTER SCHEMA public OWNER TO "app";
        COMMIT;
        "#);
        let owners = postgres_owners(&[role("api_b")]);
        assert_eq!(owners.matches("CREATE ROLE").count(), 2);
        assert!(
            owners.contains("CREATE ROLE \"app\" NOLOGIN")
                && owners.contains("CREATE ROLE \"api_b\" NOLOGIN")
        );
        assert!(!owners.contains("PASSWORD"));
        let login = Login { role: role("api_a"), digest: SecretDigest::new([0xab; 32]) };
        assert_eq!(
            redis_make(&login),
            format!("ACL SETUSER api_a reset on #{} ~* &* +@all -@admin +client|list\n", "ab".repeat(32))
        );
        assert_eq!(redis_lock(&role("api_a")), "ACL DELUSER api_a\n");
    }
}
