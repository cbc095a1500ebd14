//! Redis and Valkey: what is said inside of a task so that a snapshot lies where the next server reads it, and what the answers mean. These
//! servers take a snapshot in when they start, and never while they run; one that is told to keep a log of all writes (`appendonly`) does not
//! even look at it. So while a database is filled its server keeps nothing and drops nothing, and only what was compared gets the settings
//! it shall have. Words and texts only; who runs them is the loop. Tests at the end of the file.

use crate::load::first_line;
use crate::producer::{parse_redis_info, redis_client, words};
use crate::proof::{Failure, Findings, Keys, Structure};
use havre_core::backup::Content;
use havre_core::database::spec::{DatabaseSpec, Kind, Persistence};
use havre_decide::database::tuning::redis_settings;

/// Where a snapshot lies until it has been looked at: on the volume, which has room for the data, under a name that the server does not read.
const ARRIVED: &str = "/data/.havre-restore.rdb";
/// What a server reads when it starts.
const DUMP: &str = "/data/dump.rdb";
/// The one setting by which a server lets go of keys that nobody took away.
const POLICY: &str = "maxmemory-policy";

const fn inspector(kind: Kind) -> &'static str {
    match kind {
        Kind::Postgres | Kind::Mariadb | Kind::Redis => "redis-check-rdb",
        Kind::Valkey => "valkey-check-rdb",
    }
}

/// The command that writes its standard input to the volume, and ends with 0 only when all of it is on the disk.
pub fn arrive() -> Vec<String> {
    words(&["dd", &format!("of={ARRIVED}"), "bs=65536", "conv=fsync"])
}

/// The command that says which SHA-256 the file has.
pub fn digest() -> Vec<String> {
    words(&["sha256sum", ARRIVED])
}

/// Whether what lies on the volume is what was given.
///
/// # Errors
/// It is not, or nobody could say so.
pub fn judge_digest(code: i64, said: &str, given: &Content) -> Result<(), Failure> {
    let found = said.split_whitespace().next();
    if code != 0 || found.is_none() {
        return Err(Failure::Loader { reason: format!("sha256sum: {}", first_line(said, code)) });
    }
    if found == Some(given.sha256.hex()) {
        return Ok(());
    }
    Err(Failure::Loader { reason: "the file on the volume is not what was written to it".to_owned() })
}

/// The command that reads a snapshot to its end as the server would, and compares its checksum.
pub fn inspect(kind: Kind) -> Vec<String> {
    words(&[inspector(kind), ARRIVED])
}

/// What a snapshot holds, by what that command said.
///
/// # Errors
/// `Structure` for one that is damaged, `Unsupported` where the image has no such program: without it nobody knows what should be there.
pub fn judge_inspection(kind: Kind, code: i64, said: &str) -> Result<Keys, Failure> {
    match code {
        0 => {}
        126 | 127 => {
            let reason = format!("its image has no {}", inspector(kind));
            return Err(Failure::Unsupported { reason });
        }
        _ => return Err(Failure::Structure { reason: complaint(said, code) }),
    }
    let unreadable = || {
        let reason = format!("{} did not say how many keys there are", inspector(kind));
        Failure::Unreadable { reason }
    };
    let saved = count(said, "keys read").ok_or_else(unreadable)?;
    let expiring = count(said, "expires").ok_or_else(unreadable)?;
    // Since Redis 7.4 parts of a key may end by themselves, and with the last one the key.
    let parts = count(said, "subexpires").unwrap_or_default();
    Ok(Keys { expiring: expiring.saturating_add(parts), saved })
}

/// The number in `[info] 12 keys read`.
fn count(said: &str, what: &str) -> Option<u64> {
    said.lines().find_map(|line| {
        let (number, rest) = line.trim().strip_prefix("[info] ")?.split_once(' ')?;
        if rest == what { number.parse().ok() } else { None }
    })
}

/// What is wrong: the last thing that was said about a place in the file.
fn complaint(said: &str, code: i64) -> String {
    let place = said.lines().rev().find(|line| line.starts_with("[offset "));
    first_line(place.and_then(|line| line.split_once("] ")).map_or(said, |(_, text)| text), code)
}

/// The command that puts a snapshot where the next server reads it.
pub fn put_in_place() -> Vec<String> {
    words(&["mv", "-f", ARRIVED, DUMP])
}

/// The command that takes it away again.
pub fn discard() -> Vec<String> {
    words(&["rm", "-f", DUMP])
}

/// What a server is while its database is filled: it writes nothing, so that nothing but the snapshot is read by the next one, and it lets go
/// of nothing. PostgreSQL and MariaDB are what they always are.
pub fn filling(spec: &DatabaseSpec) -> DatabaseSpec {
    let mut spec = spec.clone();
    match spec.engine {
        Kind::Postgres | Kind::Mariadb => {}
        Kind::Redis | Kind::Valkey => {
            spec.persistence = Persistence::None;
            spec.settings.retain(|name, _| name.as_str() != POLICY);
        }
    }
    spec
}

/// Commands that make such a server what it shall be. Each is answered by `OK`.
pub fn settle(spec: &DatabaseSpec) -> Vec<Vec<String>> {
    let filling = filling(spec);
    let now = redis_settings(&filling);
    let wanted = redis_settings(spec).into_iter().filter(|(name, value)| now.get(name) != Some(value));
    wanted
        .map(|(name, value)| words(&[redis_client(spec.engine), "CONFIG", "SET", name, &value.join(" ")]))
        .collect()
}

/// Whether a server that was told so has done it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Settled {
    /// Whatever it shall keep is on its disk.
    Yes,
    /// It is still written.
    NotYet,
    /// It could not be written.
    Failed,
}

/// Reads that from what it says of itself: a log of all writes begins with everything there is, which takes a while.
pub fn settled(spec: &DatabaseSpec, info: &str) -> Settled {
    if spec.persistence != Persistence::Aof {
        return Settled::Yes;
    }
    let is = |name: &str, value: &str| field(info, name) == Some(value);
    // One that answers and does not say whether it keeps a log would be waited for in vain.
    let is_silent = field(info, "loading").is_some() && field(info, "aof_enabled").is_none();
    if is_silent || is("aof_last_bgrewrite_status", "err") || is("aof_last_write_status", "err") {
        return Settled::Failed;
    }
    let has_begun = is("aof_enabled", "1") && is("aof_rewrite_scheduled", "0");
    if has_begun && is("aof_rewrite_in_progress", "0") { Settled::Yes } else { Settled::NotYet }
}

/// Whether the snapshot is needed no more once the server is what it shall be. One that keeps snapshots keeps this one until its next; one
/// that keeps nothing must not find it when it starts again.
pub fn is_discarded(spec: &DatabaseSpec) -> bool {
    spec.persistence != Persistence::Rdb
}

fn field<'a>(info: &'a str, name: &str) -> Option<&'a str> {
    let mut pairs = info.lines().filter_map(|line| line.trim().split_once(':'));
    pairs.find(|(key, _)| *key == name).map(|(_, value)| value)
}

/// What is in a server, by what it says of itself. What it was read from was inspected before.
///
/// # Errors
/// It says something else.
pub fn findings(kind: Kind, info: &str) -> Result<Findings, Failure> {
    let (version, rows) = parse_redis_info(kind, info);
    if version.ends_with('?') || field(info, "loading") != Some("0") {
        let reason = format!("the server does not say what is in it: {}", first_line(info, 0));
        return Err(Failure::Unreadable { reason });
    }
    Ok(Findings { rows, structure: Structure::Sound, ..Findings::default() })
}

#[cfg(test)]
mod tests {
    use super::super::proof::tests::content;
    use super::*;

    /// As redis-check-rdb 7.0.15 says it.
    const WHOLE: &str = "[offset 0] Checking RDB file /data/.havre-restore.rdb\n[offset 27] AUX FIELD redis-ver = '7.0.15'\n\
        [offset 165] Selecting DB ID 0\n[offset 4624] Checksum OK\n[offset 4624] \\o/ RDB looks OK! \\o/\n\
        [info] 203 keys read\n[info] 2 expires\n[info] 1 already expired\n";

    fn spec(more: &serde_json::Value) -> DatabaseSpec {
        let mut json = serde_json::json!({"name": "db", "engine": "redis", "version": 7, "memory": "128MB", "cpus": "1"});
        for (key, value) in more.as_object().expect("is a table") {
            json[key] = value.clone();
        }
        serde_json::from_value(json).expect("is a specification")
    }

    #[test]
    fn a_snapshot_says_how_much_it_holds() {
        assert_eq!(judge_inspection(Kind::Redis, 0, WHOLE), Ok(Keys { expiring: 2, saved: 203 }));
        let newer = format!("{WHOLE}[info] 3 subexpires\n");
        assert_eq!(judge_inspection(Kind::Valkey, 0, &newer), Ok(Keys { expiring: 5, saved: 203 }));
        let silent = judge_inspection(Kind::Redis, 0, "[info] x keys read\n[info] 2 expires\n");
        assert!(matches!(silent, Err(Failure::Unreadable { .. })), "{silent:?}");
        let missing = judge_inspection(Kind::Valkey, 127, "OCI runtime exec failed");
        let reason = "its image has no valkey-check-rdb".to_owned();
        assert_eq!(missing, Err(Failure::Unsupported { reason }));
    }

    #[test]
    fn damage_is_named() {
        let cut = "[offset 165] Selecting DB ID 0\n--- RDB ERROR DETECTED ---\n[offset 992] Unexpected EOF reading RDB file\n\
            [additional info] While doing: read-object-value\n[info] 38 keys read\n[info] 0 expires\n";
        let flipped = "[offset 4603] Selecting DB ID 3\n--- RDB ERROR DETECTED ---\n[offset 4624] RDB CRC error\n\
            [additional info] While doing: check-sum\n[info] 203 keys read\n[info] 1 expires\n";
        for (said, reason) in
            [(cut, "Unexpected EOF reading RDB file"), (flipped, "RDB CRC error"), ("killed\n", "killed")]
        {
            let reason = reason.to_owned();
            assert_eq!(judge_inspection(Kind::Redis, 1, said), Err(Failure::Structure { reason }));
        }
        let silent = judge_inspection(Kind::Redis, 1, "");
        assert_eq!(
            silent.expect_err("it ended with 1").to_string(),
            "its structure is damaged: it ended with code 1 and said nothing"
        );
    }

    #[test]
    fn the_file_on_the_volume_is_the_one_that_was_given() {
        let given = content(10, 'a');
        let line = format!("{}  {ARRIVED}\n", "a".repeat(64));
        assert_eq!(judge_digest(0, &line, &given), Ok(()));
        for (code, said) in [
            (0, line.replace('a', "b")),
            (0, String::new()),
            (1, line.clone()),
            (127, "OCI runtime exec failed".to_owned()),
        ] {
            let judged = judge_digest(code, &said, &given);
            assert!(matches!(judged, Err(Failure::Loader { .. })), "{code} {said:?}: {judged:?}");
        }
    }

    #[test]
    fn a_server_that_is_filled_keeps_nothing_and_drops_nothing() {
        let cache =
            spec(&serde_json::json!({"settings": {"maxmemory-policy": "allkeys-lru", "databases": "32"}}));
        let while_filled = filling(&cache);
        let line = |settings: std::collections::BTreeMap<&str, Vec<String>>| {
            let each = settings.into_iter().map(|(name, value)| format!("{name}={}", value.join(" ")));
            each.collect::<Vec<String>>().join(" ")
        };
        assert_eq!(
            line(redis_settings(&while_filled)),
            "appendonly=no databases=32 dir=/data maxmemory=100663296 maxmemory-policy=noeviction save="
        );
        let said =
            |spec: &DatabaseSpec| settle(spec).iter().map(|one| one.join(" ")).collect::<Vec<String>>();
        assert_eq!(
            said(&cache),
            ["redis-cli CONFIG SET appendonly yes", "redis-cli CONFIG SET maxmemory-policy allkeys-lru"]
        );
        let snapshots = spec(&serde_json::json!({"persistence": "rdb"}));
        assert_eq!(said(&snapshots), ["redis-cli CONFIG SET save 3600 1 300 100 60 10000"]);
        assert_eq!(settle(&snapshots)[0].len(), 5, "the value is one word");
        let nothing = spec(&serde_json::json!({"persistence": "none", "engine": "valkey", "version": 8}));
        assert!(said(&nothing).is_empty());
        assert_eq!([&cache, &snapshots, &nothing].map(is_discarded), [true, false, true]);
        let postgres = spec(&serde_json::json!({"engine": "postgres", "version": 16}));
        assert_eq!(filling(&postgres), postgres);
        let mariadb = spec(&serde_json::json!({"engine": "mariadb", "version": 11}));
        assert_eq!(filling(&mariadb), mariadb);
    }

    #[test]
    fn a_log_of_all_writes_has_begun_when_everything_is_in_it() {
        let (log, snapshots) =
            (spec(&serde_json::json!({})), spec(&serde_json::json!({"persistence": "rdb"})));
        let info = |enabled: u8, scheduled: u8, running: u8, status: &str| {
            format!(
                "aof_enabled:{enabled}\r\naof_rewrite_in_progress:{running}\r\naof_rewrite_scheduled:{scheduled}\r\n\
                 aof_last_bgrewrite_status:{status}\r\n"
            )
        };
        assert_eq!(settled(&log, &info(1, 0, 0, "ok")), Settled::Yes);
        for other in [info(0, 0, 0, "ok"), info(1, 1, 0, "ok"), info(1, 0, 1, "ok"), String::new()] {
            assert_eq!(settled(&log, &other), Settled::NotYet, "{other}");
        }
        for never in [info(1, 0, 0, "err"), "loading:0\r\n".to_owned()] {
            assert_eq!(settled(&log, &never), Settled::Failed, "{never}");
        }
        assert_eq!(settled(&snapshots, ""), Settled::Yes);
    }

    #[test]
    fn a_server_says_what_is_in_it() {
        let info = "redis_version:7.0.15\r\nloading:0\r\ndb0:keys=202,expires=1,avg_ttl=0\r\ndb3:keys=1,expires=0\r\n";
        let found = findings(Kind::Redis, info).expect("it says so");
        assert_eq!((found.rows["db0"], found.rows["db3"], found.structure), (202, 1, Structure::Sound));
        let empty = findings(Kind::Redis, "redis_version:7.0.15\r\nloading:0\r\n").expect("it is empty");
        assert!(empty.rows.is_empty());
        for other in ["", "NOAUTH Authentication required.\n", "redis_version:7.0.15\r\nloading:1\r\n"] {
            assert!(matches!(findings(Kind::Redis, other), Err(Failure::Unreadable { .. })), "{other:?}");
        }
    }
}
