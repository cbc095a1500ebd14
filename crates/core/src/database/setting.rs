//! Settings of servers that a user may set: a closed list for each server, so that a typing error is said here and not by a server that does
//! not start, and so that none of them reaches a file, a program or an address. Tests at the end of the file.

use std::fmt;
use std::str::FromStr;

use crate::database::spec::Kind;
use crate::text::text_json;

/// Of PostgreSQL: memory, connections, planner, write-ahead log, vacuum, logging, limits. Nothing that names a file, runs a program, listens
/// somewhere or changes who may connect; and nothing that would lose what was committed.
pub const POSTGRES: &[&str] = &[
    "autovacuum_analyze_scale_factor",
    "autovacuum_max_workers",
    "autovacuum_naptime",
    "autovacuum_vacuum_cost_limit",
    "autovacuum_vacuum_scale_factor",
    "checkpoint_completion_target",
    "checkpoint_timeout",
    "deadlock_timeout",
    "default_statistics_target",
    "effective_cache_size",
    "effective_io_concurrency",
    "idle_in_transaction_session_timeout",
    "jit",
    "lock_timeout",
    "log_lock_waits",
    "log_min_duration_statement",
    "log_statement",
    "log_temp_files",
    "maintenance_work_mem",
    "max_connections",
    "max_locks_per_transaction",
    "max_parallel_maintenance_workers",
    "max_parallel_workers",
    "max_parallel_workers_per_gather",
    "max_wal_size",
    "max_worker_processes",
    "min_wal_size",
    "random_page_cost",
    "shared_buffers",
    "shared_preload_libraries",
    "statement_timeout",
    "temp_buffers",
    "temp_file_limit",
    "timezone",
    "track_activity_query_size",
    "track_io_timing",
    "wal_buffers",
    "wal_compression",
    "work_mem",
];

/// Of MariaDB, by the same rule. Not the largest packet, which backups need to be as large as it goes, and not the scheduler of events, since
/// a copy that is being restored must not change by itself.
pub const MARIADB: &[&str] = &[
    "character_set_server",
    "collation_server",
    "default_time_zone",
    "group_concat_max_len",
    "idle_transaction_timeout",
    "innodb_buffer_pool_size",
    "innodb_ft_min_token_size",
    "innodb_io_capacity",
    "innodb_lock_wait_timeout",
    "innodb_log_file_size",
    "interactive_timeout",
    "join_buffer_size",
    "key_buffer_size",
    "local_infile",
    "lock_wait_timeout",
    "max_connections",
    "max_heap_table_size",
    "max_statement_time",
    "performance_schema",
    "sort_buffer_size",
    "sql_mode",
    "table_definition_cache",
    "table_open_cache",
    "thread_handling",
    "tmp_table_size",
    "transaction_isolation",
    "wait_timeout",
];

/// Of Redis and Valkey.
pub const REDIS: &[&str] = &[
    "appendfsync",
    "databases",
    "io-threads",
    "latency-monitor-threshold",
    "maxclients",
    "maxmemory",
    "maxmemory-policy",
    "notify-keyspace-events",
    "slowlog-log-slower-than",
    "slowlog-max-len",
    "tcp-keepalive",
    "timeout",
];

/// Longest value.
const VALUE_MAX: usize = 100;

/// A setting of some server that may be set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SettingName(&'static str);

/// Text that is not such a setting.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a setting of a database that may be set")]
pub struct SettingNameError(String);

impl SettingName {
    /// The text.
    pub const fn as_str(self) -> &'static str {
        self.0
    }

    /// Whether this server has it.
    pub fn is_of(self, kind: Kind) -> bool {
        known(kind).contains(&self.0)
    }
}

/// Every setting of a server that may be set.
pub const fn known(kind: Kind) -> &'static [&'static str] {
    match kind {
        Kind::Postgres => POSTGRES,
        Kind::Mariadb => MARIADB,
        Kind::Redis | Kind::Valkey => REDIS,
    }
}

impl FromStr for SettingName {
    type Err = SettingNameError;

    fn from_str(text: &str) -> Result<Self, SettingNameError> {
        let found = POSTGRES.iter().chain(MARIADB).chain(REDIS).find(|known| **known == text);
        found
            .map(|known| Self(known))
            .ok_or_else(|| SettingNameError(text.chars().take(48).flat_map(char::escape_default).collect()))
    }
}

impl fmt::Display for SettingName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

/// Value of a setting, as it stands in an argument of the server.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct SettingValue(String);

/// Text that is no value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "a setting is 1 to 100 of the characters A-Z, a-z, 0-9, space and _ . , : / + -, and does not start with -- or a space"
)]
pub struct SettingValueError;

impl SettingValue {
    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for SettingValue {
    type Err = SettingValueError;

    fn from_str(text: &str) -> Result<Self, SettingValueError> {
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b" _.,:/+-".contains(&byte);
        let is_ok = (1..=VALUE_MAX).contains(&text.len())
            && text.bytes().all(is_plain)
            && !text.starts_with("--")
            && !text.starts_with(' ');
        if is_ok { Ok(Self(text.to_owned())) } else { Err(SettingValueError) }
    }
}

impl fmt::Display for SettingValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

text_json! { SettingName SettingValue }

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_the_list() {
        let name: SettingName = "work_mem".parse().unwrap();
        assert!(name.is_of(Kind::Postgres) && !name.is_of(Kind::Redis));
        let shared: SettingName = "max_connections".parse().unwrap();
        assert!(shared.is_of(Kind::Postgres) && shared.is_of(Kind::Mariadb) && !shared.is_of(Kind::Valkey));
        for wrong in [
            "",
            "archive_command",
            "hba_file",
            "listen_addresses",
            "fsync",
            "dir",
            "secure_file_priv",
            "work_mem ",
        ] {
            assert!(wrong.parse::<SettingName>().is_err(), "{wrong:?} must not be set");
        }
    }

    #[test]
    fn lists_are_in_order_without_doubles() {
        for list in [POSTGRES, MARIADB, REDIS] {
            assert!(list.windows(2).all(|pair| pair[0] < pair[1]), "{list:?}");
        }
    }

    #[test]
    fn values_are_plain() {
        for right in ["200", "64MB", "-1", "pg_stat_statements,auto_explain", "Europe/Paris", "AKE"] {
            assert!(right.parse::<SettingValue>().is_ok(), "{right:?} must be a value");
        }
        for wrong in ["", "--x", " 1", "a\nb", "a;b", "$(id)", "'", "\"", "a\0", &"1".repeat(101)] {
            assert!(wrong.parse::<SettingValue>().is_err(), "{wrong:?} must not be a value");
        }
    }
}
