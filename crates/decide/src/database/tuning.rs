//! Settings derived from what a database is given, and the command its server is started with. No password stands in it: an argument is seen by
//! everybody on the machine. Tests at the end of the file.
//!
//! PostgreSQL: a quarter of the memory for `shared_buffers` and three quarters as `effective_cache_size` are what its own documentation
//! advises (Resource Consumption, Query Planning); the rest is shared out so that all connections sorting at once stay inside the limit,
//! beyond which the kernel would end the whole server. Redis and Valkey: a quarter of the memory stays free, for writes while a snapshot is
//! taken (Redis administration, memory); a full one refuses writes and never drops what somebody has stored (`noeviction`). MariaDB: half of
//! the memory for the buffer pool, an eighth of the rest for all connections sorting at once, and little for engines nobody should use.

use std::collections::BTreeMap;

use havre_core::database::role::{Login, redis_rules, redis_superuser_rules};
use havre_core::database::spec::{DatabaseSpec, Kind, Persistence};
use havre_core::route::settings::auth::SecretDigest;
use havre_core::service::spec::Argv;

use super::mariadb::SOCKET;

/// Connections to PostgreSQL or MariaDB, when nothing is said; PostgreSQL's own default.
const CONNECTIONS: u64 = 100;
/// Hands a finished file of the WAL out: into a folder on the volume, whole and on the disk before it has its name, so that the server forgets
/// only what is safe there. What is there is never replaced by something else. PostgreSQL has a shell run it; only names of its own are put in.
const ARCHIVE: &str = "d=/var/lib/postgresql/havre-wal; mkdir -p $d && if test -e $d/%f; then cmp -s %p $d/%f; \
    else dd if=%p of=$d/.%f.part bs=1M conv=fsync status=none && mv $d/.%f.part $d/%f && sync $d; fi";
/// Keeps an account of statements, without their values; part of the official image.
const STATEMENTS: &str = "pg_stat_statements";
const KIB: u64 = 1024;
const MIB: u64 = 1024 * KIB;

/// Settings of a PostgreSQL server: those that are derived, and those of the user in their place.
pub fn postgres_settings(spec: &DatabaseSpec) -> BTreeMap<&'static str, String> {
    let (memory, connections) = (spec.memory.as_bytes(), connections(spec));
    let shared = memory / 4;
    // Half of what is left: a query may sort more than once, and the kernel's cache wants its part.
    let each = (memory - shared) / 2 / connections;
    let max_wal = (memory * 2).clamp(512 * MIB, 4096 * MIB);
    let mut settings = BTreeMap::from([
        ("listen_addresses", "*".to_owned()),
        ("password_encryption", "scram-sha-256".to_owned()),
        ("max_connections", connections.to_string()),
        ("shared_buffers", kilobytes(shared)),
        ("effective_cache_size", kilobytes(memory / 4 * 3)),
        ("maintenance_work_mem", kilobytes((memory / 16).clamp(16 * MIB, 2048 * MIB))),
        ("work_mem", kilobytes(each.clamp(MIB, 64 * MIB))),
        ("min_wal_size", kilobytes(max_wal / 4)),
        ("max_wal_size", kilobytes(max_wal)),
        ("wal_compression", "on".to_owned()),
        ("checkpoint_completion_target", "0.9".to_owned()),
        // Servers of our users have solid-state disks: a page here or there costs nearly the same.
        ("random_page_cost", "1.1".to_owned()),
        ("log_min_duration_statement", "1000".to_owned()),
        ("log_lock_waits", "on".to_owned()),
    ]);
    // Of another image nobody knows whether it has the library, and it may load one of its own in this place.
    if spec.image.is_none() {
        settings.extend([
            ("shared_preload_libraries", STATEMENTS.to_owned()),
            // Of these PostgreSQL keeps the text with its values.
            ("pg_stat_statements.track_utility", "off".to_owned()),
        ]);
    }
    settings.extend(spec.settings.iter().map(|(name, value)| (name.as_str(), value.as_str().to_owned())));
    if spec.keeps_wal() {
        let archive = [("archive_mode", "on"), ("archive_timeout", "60"), ("archive_command", ARCHIVE)];
        settings.extend(archive.map(|(name, value)| (name, value.to_owned())));
    }
    settings
}

/// Connections a server takes: as its user says, in a whole number.
fn connections(spec: &DatabaseSpec) -> u64 {
    let found = spec.settings.iter().find(|(name, _)| name.as_str() == "max_connections");
    found.and_then(|(_, value)| value.as_str().parse::<u64>().ok()).unwrap_or(CONNECTIONS).max(1)
}

/// Settings of a MariaDB server: those that are derived, and those of the user in their place.
pub fn mariadb_settings(spec: &DatabaseSpec) -> BTreeMap<&'static str, String> {
    let (memory, connections) = (spec.memory.as_bytes(), connections(spec));
    let pool = memory / 2;
    // A query may sort more than once, and temporary tables and threads want their part.
    let each = (memory - pool) / 8 / connections;
    let temporary = (memory / 64).clamp(MIB, 64 * MIB).to_string();
    let mut settings = BTreeMap::from([
        ("bind_address", "*".to_owned()),
        ("socket", SOCKET.to_owned()),
        // Names of hosts are never asked for: a role is let in by its password alone, from its private network.
        ("skip_name_resolve", "ON".to_owned()),
        ("character_set_server", "utf8mb4".to_owned()),
        ("event_scheduler", "OFF".to_owned()),
        ("max_connections", connections.to_string()),
        ("innodb_buffer_pool_size", pool.to_string()),
        ("innodb_log_file_size", (memory / 4).clamp(64 * MIB, 1024 * MIB).to_string()),
        ("sort_buffer_size", each.clamp(64 * KIB, 2 * MIB).to_string()),
        ("tmp_table_size", temporary.clone()),
        ("max_heap_table_size", temporary),
        // Caches of MyISAM, and of Aria, in which temporary tables lie that are too large: by themselves 128 MB each.
        ("key_buffer_size", (8 * MIB).to_string()),
        ("aria_pagecache_buffer_size", (memory / 32).clamp(8 * MIB, 128 * MIB).to_string()),
        // As large as it goes: a row in a dump may be twice as long as the same row was, and a copy must take it.
        ("max_allowed_packet", (1024 * MIB).to_string()),
        // Whoever reads a dump may be as slow as the place it goes to: the wait for a producer, in seconds.
        ("net_write_timeout", "3600".to_owned()),
    ]);
    settings.extend(spec.settings.iter().map(|(name, value)| (name.as_str(), value.as_str().to_owned())));
    settings
}

/// Settings of a Redis or Valkey server, each with its words.
pub fn redis_settings(spec: &DatabaseSpec) -> BTreeMap<&'static str, Vec<String>> {
    let words = |text: &str| text.split(' ').map(str::to_owned).collect::<Vec<String>>();
    let (appendonly, save) = match spec.persistence {
        Persistence::Aof => ("yes", Vec::new()),
        Persistence::Rdb => ("no", words("3600 1 300 100 60 10000")),
        Persistence::None => ("no", Vec::new()),
    };
    let mut settings = BTreeMap::from([
        ("dir", words("/data")),
        ("maxmemory", words(&(spec.memory.as_bytes() / 4 * 3).to_string())),
        ("maxmemory-policy", words("noeviction")),
        ("appendonly", words(appendonly)),
        // An empty word says that nothing is to be saved.
        ("save", if save.is_empty() { vec![String::new()] } else { save }),
    ]);
    settings
        .extend(spec.settings.iter().map(|(name, value)| (name.as_str(), vec![value.as_str().to_owned()])));
    settings
}

/// The command of a server. Redis and Valkey know whom to let in from its first moment: by hashes of passwords with 256 random bits, from which
/// nobody finds the password.
pub fn command(spec: &DatabaseSpec, superuser: &SecretDigest, logins: &[Login]) -> Argv {
    let words = match spec.engine {
        Kind::Postgres => {
            let mut words = vec!["postgres".to_owned()];
            for (name, value) in postgres_settings(spec) {
                words.extend(["-c".to_owned(), format!("{name}={value}")]);
            }
            words
        }
        Kind::Mariadb => {
            let settings = mariadb_settings(spec);
            let words = settings.into_iter().map(|(name, value)| format!("--{name}={value}"));
            std::iter::once("mariadbd".to_owned()).chain(words).collect()
        }
        Kind::Redis => redis_words("redis-server", spec, superuser, logins),
        Kind::Valkey => redis_words("valkey-server", spec, superuser, logins),
    };
    Argv::try_from(words)
        .expect("settings and roles of one environment are far fewer than a command may have")
}

fn redis_words(
    program: &str,
    spec: &DatabaseSpec,
    superuser: &SecretDigest,
    logins: &[Login],
) -> Vec<String> {
    let mut words = vec![program.to_owned()];
    for (name, values) in redis_settings(spec) {
        words.push(format!("--{name}"));
        words.extend(values);
    }
    // One word each, which the server reads as a line of its configuration: a command has at most 256 words.
    words.push(format!("--user default {}", redis_superuser_rules(superuser)));
    words.extend(logins.iter().map(|login| format!("--user {} {}", login.role, redis_rules(&login.digest))));
    words
}

/// PostgreSQL reads whole kilobytes.
fn kilobytes(bytes: u64) -> String {
    format!("{}kB", bytes / KIB)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(engine: &str, memory: &str, more: serde_json::Value) -> DatabaseSpec {
        let mut json = serde_json::json!({"name": "db", "engine": engine, "version": 16, "memory": memory,
            "cpus": "1"});
        for (key, value) in more.as_object().expect("is a table") {
            json[key] = value.clone();
        }
        serde_json::from_value(json).expect("is a specification")
    }

    fn line(spec: &DatabaseSpec, logins: &[Login]) -> String {
        command(spec, &SecretDigest::new([1; 32]), logins).words().join(" ")
    }

    #[test]
    fn postgres_by_its_memory() {
        let half_a_gigabyte = spec("postgres", "512MB", serde_json::json!({}));
        insta::assert_snapshot!(line(&half_a_gigabyte, &[]).replace(" -c ", "\n"), @r"
        postgres
        checkpoint_completion_target=0.9
        effective_cache_size=393216kB
        listen_addresses=*
        log_lock_waits=on
        log_min_duration_statement=1000
        maintenance_work_mem=32768kB
        max_connections=100
        max_wal_size=1048576kB
        min_wal_size=262144kB
        password_encryption=scram-sha-256
        pg_stat_statements.track_utility=off
        random_page_cost=1.1
        shared_buffers=131072kB
        shared_preload_libraries=pg_stat_statements
        wal_compression=on
        work_mem=1966kB
        ");
    }

    #[test]
    fn wal_is_handed_out_where_every_second_counts() {
        let backup = serde_json::json!({"every": "1d", "keep": {"daily": 7}, "point_in_time": "7d"});
        let kept = spec("postgres", "512MB", serde_json::json!({"backup": backup}));
        let settings = postgres_settings(&kept);
        assert_eq!((settings["archive_mode"].as_str(), settings["archive_timeout"].as_str()), ("on", "60"));
        assert_eq!(
            settings["archive_command"],
            "d=/var/lib/postgresql/havre-wal; mkdir -p $d && if test -e $d/%f; then cmp -s %p $d/%f; else dd if=%p \
             of=$d/.%f.part bs=1M conv=fsync status=none && mv $d/.%f.part $d/%f && sync $d; fi"
        );
        let usual = spec("postgres", "512MB", serde_json::json!({}));
        assert!(!postgres_settings(&usual).contains_key("archive_mode"));
        assert!(!kept.is_same_server(&usual), "it has to start again");
    }

    #[test]
    fn what_the_user_says_counts_and_the_rest_follows_from_it() {
        let more =
            serde_json::json!({"settings": {"max_connections": "400", "log_min_duration_statement": "-1"}});
        let settings = postgres_settings(&spec("postgres", "4GB", more));
        let of = |name: &str| settings[name].clone();
        assert_eq!(of("max_connections"), "400");
        assert_eq!(of("log_min_duration_statement"), "-1");
        assert_eq!(of("work_mem"), "3932kB");
        assert_eq!(of("maintenance_work_mem"), "262144kB");
    }

    #[test]
    fn an_account_of_statements_is_kept_where_the_image_is_known_to_have_the_library() {
        let loaded =
            |more| postgres_settings(&spec("postgres", "512MB", more)).remove("shared_preload_libraries");
        assert_eq!(loaded(serde_json::json!({})).as_deref(), Some("pg_stat_statements"));
        assert_eq!(loaded(serde_json::json!({"image": "example/postgres:16"})), None);
        let own = serde_json::json!({"settings": {"shared_preload_libraries": "auto_explain"}});
        assert_eq!(loaded(own).as_deref(), Some("auto_explain"));
    }

    #[test]
    fn all_connections_sorting_at_once_stay_inside_of_the_memory() {
        for (memory, connections) in [("512MB", 100_u64), ("1GB", 100), ("8GB", 200), ("64GB", 1000)] {
            let more = serde_json::json!({"settings": {"max_connections": connections.to_string()}});
            let spec = spec("postgres", memory, more);
            let settings = postgres_settings(&spec);
            let bytes = |name: &str| settings[name].trim_end_matches("kB").parse::<u64>().unwrap() * KIB;
            let used = bytes("shared_buffers") + bytes("work_mem") * connections;
            assert!(used <= spec.memory.as_bytes(), "{memory} with {connections}: {used}");
        }
    }

    #[test]
    fn mariadb_by_its_memory() {
        let more = serde_json::json!({"settings": {"sql_mode": "ANSI"}});
        insta::assert_snapshot!(line(&spec("mariadb", "512MB", more), &[]).replace(" --", "\n"), @r"
        mariadbd
        aria_pagecache_buffer_size=16777216
        bind_address=*
        character_set_server=utf8mb4
        event_scheduler=OFF
        innodb_buffer_pool_size=268435456
        innodb_log_file_size=134217728
        key_buffer_size=8388608
        max_allowed_packet=1073741824
        max_connections=100
        max_heap_table_size=8388608
        net_write_timeout=3600
        skip_name_resolve=ON
        socket=/run/mysqld/mysqld.sock
        sort_buffer_size=335544
        sql_mode=ANSI
        tmp_table_size=8388608
        ");
    }

    #[test]
    fn a_mariadb_stays_inside_of_its_memory() {
        for (memory, connections) in
            [("128MB", 50_u64), ("512MB", 100), ("1GB", 100), ("8GB", 200), ("64GB", 1000)]
        {
            let more = serde_json::json!({"settings": {"max_connections": connections.to_string()}});
            let spec = spec("mariadb", memory, more);
            let settings = mariadb_settings(&spec);
            let bytes = |name: &str| settings[name].parse::<u64>().unwrap();
            let caches = bytes("innodb_buffer_pool_size")
                + bytes("key_buffer_size")
                + bytes("aria_pagecache_buffer_size");
            let used = caches + bytes("sort_buffer_size") * connections;
            assert!(used <= spec.memory.as_bytes(), "{memory} with {connections}: {used}");
        }
    }

    #[test]
    fn redis_by_its_memory_and_persistence() {
        let login = Login { role: "api_a".parse().unwrap(), digest: SecretDigest::new([2; 32]) };
        let cache =
            spec("redis", "128MB", serde_json::json!({"settings": {"maxmemory-policy": "allkeys-lru"}}));
        assert_eq!(
            line(&cache, &[login]),
            format!(
                "redis-server --appendonly yes --dir /data --maxmemory 100663296 --maxmemory-policy allkeys-lru --save  \
                 --user default on #{} ~* &* +@all --user api_a on #{} ~* &* +@all -@admin +client|list",
                "01".repeat(32),
                "02".repeat(32)
            )
        );
        let rdb = line(&spec("valkey", "128MB", serde_json::json!({"persistence": "rdb"})), &[]);
        assert!(
            rdb.starts_with("valkey-server --appendonly no ") && rdb.contains("--save 3600 1 300"),
            "{rdb}"
        );
    }

    #[test]
    fn a_command_is_never_too_long() {
        let login = |index: usize| Login {
            role: format!("service-{index}_a").parse().unwrap(),
            digest: SecretDigest::new([2; 32]),
        };
        // Every service of an environment, and again while their passwords are changed one after the other.
        let logins: Vec<Login> = (0..201).map(login).collect();
        assert!(line(&spec("redis", "128MB", serde_json::json!({})), &logins).len() < 32_768);
    }
}
