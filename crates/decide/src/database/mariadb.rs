//! What is said to a MariaDB server, and what its answers mean. Its clients run inside the task of the server, over its socket, as the
//! superuser, whose password is a variable of the task; what they are told is on their standard input, of closed names only.
//! Tests at the end of the file; against a real server in `daemon/tests/it/mariadb.rs`.

use havre_core::database::role::{RoleName, is_plain};
use havre_core::name::DatabaseName;
use havre_core::secret::Secret;

/// Where the server listens inside of its task: told to it and to its clients, since images differ in what they would choose.
pub const SOCKET: &str = "/run/mysqld/mysqld.sock";

/// Name of the superuser; it comes from inside of the task only.
pub const SUPERUSER: &str = "root";

/// Whether the server lets others in. The first server of a new image, which only prepares the data, says 1.
pub const ASK: &str = "SELECT @@skip_networking;\n";

/// What keeps a password out of the general log, the slow log and the binary log, whatever somebody has set, and makes the server read our
/// text as we mean it.
pub const UNSEEN: &str = "SET SESSION sql_log_off = 1, SESSION slow_query_log = 0, SESSION sql_log_bin = 0, SESSION sql_mode = '';\n";

/// A client of the server, with nothing of the image's own settings. Its program comes first.
pub fn client(program: &str) -> Vec<String> {
    let words = [program, "--no-defaults", "--protocol=socket"].map(str::to_owned);
    words.into_iter().chain([format!("--socket={SOCKET}"), format!("--user={SUPERUSER}")]).collect()
}

/// A session that reads statements from its input and stops at the first one that fails. In the binary mode nothing of its input is a command
/// of the client but `DELIMITER`. A statement that fails is not repeated: a password may stand in it.
pub fn session(database: Option<&DatabaseName>) -> Vec<String> {
    let mut words = client("mariadb");
    let how =
        ["--batch", "--raw", "--skip-column-names", "--binary-mode", "--loose-skip-print-query-on-error"];
    words.extend(how.map(str::to_owned));
    words.push("--default-character-set=utf8mb4".to_owned());
    words.extend(database.map(|name| format!("--database={name}")));
    words
}

/// SQL that makes a role be there with this password and what a service may do: everything in its one database, and nothing of the server.
/// Done twice, it changes nothing. `None` for a password that is not one of ours.
pub fn make(database: &DatabaseName, role: &RoleName, password: &Secret) -> Option<Secret> {
    let password = password.expose_text().filter(|text| is_plain(text))?;
    let sql = format!(
        "{UNSEEN}\
         CREATE USER IF NOT EXISTS '{role}'@'%' ACCOUNT LOCK;\n\
         ALTER USER '{role}'@'%' IDENTIFIED BY '{password}' ACCOUNT UNLOCK;\n\
         GRANT ALL PRIVILEGES ON `{database}`.* TO '{role}'@'%';\n"
    );
    Some(Secret::from(sql))
}

/// SQL that makes somebody be there whom a dump names as the one who made a view, a routine, a trigger or an event, without letting anybody in.
/// One who is there stays as they are.
pub fn owner(database: &DatabaseName, role: &RoleName) -> String {
    format!(
        "{UNSEEN}\
         CREATE USER IF NOT EXISTS '{role}'@'%' ACCOUNT LOCK;\n\
         GRANT ALL PRIVILEGES ON `{database}`.* TO '{role}'@'%';\n"
    )
}

/// SQL that takes a role away: it may not connect any more, and connections it has end. The role itself stays, for what may still name it.
pub fn lock(role: &RoleName) -> String {
    format!(
        "{UNSEEN}\
         ALTER USER IF EXISTS '{role}'@'%' ACCOUNT LOCK;\n\
         KILL CONNECTION USER '{role}';\n"
    )
}

/// The last error in what a client or a program of MariaDB said, without the part of the statement that it repeats.
pub fn error(said: &str) -> String {
    let is_error = |line: &&str| line.starts_with("ERROR ") || line.starts_with("mariadb");
    let line = said.lines().map(str::trim).rfind(is_error).unwrap_or_default();
    let end = line.find(" near '").unwrap_or(line.len());
    line[..end].to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn role(text: &str) -> RoleName {
        text.parse().expect("is a role")
    }

    fn database() -> DatabaseName {
        "my-db".parse().expect("is a name")
    }

    #[test]
    fn statements() {
        let made = make(&database(), &role("api_a"), &Secret::from("s3cret")).expect("is ours");
        let made = made.expose_text().expect("is text").to_owned();
        let all = made + &owner(&database(), &role("api_b")) + &lock(&role("api_a"));
        insta::assert_snapshot!(all.replace(UNSEEN, "--\n"), @r"
        --
        CREATE USER IF NOT EXISTS 'api_a'@'%' ACCOUNT LOCK;
        ALTER USER 'api_a'@'%' IDENTIFIED BY 's3cret' ACCOUNT UNLOCK;
        GRANT ALL PRIVILEGES ON `my-db`.* TO 'api_a'@'%';
        --
        CREATE USER IF NOT EXISTS 'api_b'@'%' ACCOUNT LOCK;
        GRANT ALL PRIVILEGES ON `my-db`.* TO 'api_b'@'%';
        --
        ALTER USER IF EXISTS 'api_a'@'%' ACCOUNT LOCK;
        KILL CONNECTION USER 'api_a';
        ");
    }

    #[test]
    fn nothing_is_granted_beyond_one_database() {
        let made = make(&database(), &role("api_a"), &Secret::from("s3cret")).expect("is ours");
        let text = made.expose_text().expect("is text").to_owned() + &owner(&database(), &role("api_a"));
        assert!(!text.contains("*.*") && !text.contains("GRANT OPTION") && !text.contains("SUPER"), "{text}");
    }

    #[test]
    fn a_password_that_is_not_ours_reaches_no_statement() {
        for wrong in ["", "it's", "a\nb", "a\\b", "`"] {
            assert!(make(&database(), &role("api_a"), &Secret::from(wrong)).is_none(), "{wrong:?}");
        }
    }

    #[test]
    fn a_session_has_no_password_and_no_commands() {
        assert_eq!(
            session(Some(&database())).join(" "),
            "mariadb --no-defaults --protocol=socket --socket=/run/mysqld/mysqld.sock --user=root --batch --raw \
             --skip-column-names --binary-mode --loose-skip-print-query-on-error --default-character-set=utf8mb4 \
             --database=my-db"
        );
    }

    #[test]
    fn an_error_repeats_no_statement() {
        let said = "--------------\nCREATE USER x IDENTIFIED BY 's3cret' BROKEN\n--------------\n\n\
            ERROR 1064 (42000) at line 2: You have an error in your SQL syntax; check the manual for the right syntax to use \
            near ''s3cret' BROKEN' at line 1\n";
        let error = error(said);
        assert!(error.starts_with("ERROR 1064 (42000) at line 2: You have an error"), "{error}");
        assert!(!error.contains("s3cret"), "{error}");
        assert_eq!(super::error("INSERT INTO t VALUES ('ERROR 1')\n"), "");
        assert_eq!(
            super::error("mariadb-dump: Error 2013: Lost connection"),
            "mariadb-dump: Error 2013: Lost connection"
        );
    }
}
