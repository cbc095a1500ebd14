//! Facts of Redis and Valkey: what `INFO` says, and of the slow log the names of commands. The server itself leaves their arguments out, by the script in
//! `redis.txt`: those are what somebody has stored.

use std::collections::BTreeMap;

use havre_core::time::Timestamp;
use serde::{Deserialize, Serialize};

use super::{LIST_MAX, NAME_MAX, bounded};

/// Longest name of a command that is shown.
const COMMAND_MAX: usize = 32;

/// What Redis or Valkey says about itself.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RedisFacts {
    /// The version that runs.
    pub version: String,
    /// Bytes of what is stored and of all that goes with it.
    pub used_bytes: u64,
    /// The most there have been since it started.
    pub peak_bytes: u64,
    /// Most bytes; 0 for as many as there are.
    pub limit_bytes: u64,
    /// What happens at the limit.
    pub policy: String,
    /// Connections there are.
    pub clients: u64,
    /// Most connections at once.
    pub clients_max: u64,
    /// Connections that wait for something to come.
    pub clients_blocked: u64,
    /// Connections that were refused since it started.
    pub refused: u64,
    /// Keys of all its databases.
    pub keys: u64,
    /// Keys that go by themselves.
    pub keys_expiring: u64,
    /// Keys that were asked for and were there, since it started.
    pub hits: u64,
    /// Keys that were asked for and were not.
    pub misses: u64,
    /// Keys that went for want of memory, since it started.
    pub evicted: u64,
    /// Whether the last snapshot and the last write to its log were put onto the disk.
    pub is_saved: bool,
    /// Servers that receive what is written.
    pub replicas: u64,
    /// The newest slow commands, the newest first.
    pub slow: Vec<SlowCommand>,
}

/// A command that took long.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SlowCommand {
    /// When it ran.
    pub at: Timestamp,
    /// How long it took.
    pub took_us: u64,
    /// Its name, without arguments.
    pub command: String,
}

/// Facts, where the server said who it is; and what could not be read.
pub(super) fn read(answer: &str) -> (Option<RedisFacts>, Vec<String>) {
    let (mut info, mut slow, mut missing) = (BTreeMap::new(), Vec::new(), Vec::new());
    for line in answer.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#')) {
        if let Some(entry) = line.strip_prefix("slow ") {
            match slow_command(entry) {
                Some(entry) if slow.len() < LIST_MAX => slow.push(entry),
                Some(_) => {}
                None => missing.push("an entry of its slow log".to_owned()),
            }
        } else if let Some((name, value)) = field(line) {
            info.insert(name, value);
        } else {
            // What it refuses it says in words.
            missing.push(bounded(line, NAME_MAX));
        }
    }
    missing.truncate(LIST_MAX);
    (facts(&info, slow), missing)
}

/// A line such as `used_memory:1070632`.
fn field(line: &str) -> Option<(&str, &str)> {
    let (name, value) = line.split_once(':')?;
    let is_name = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.'));
    is_name.then_some((name, value))
}

/// An entry such as `1795791534 775994 EVAL`.
fn slow_command(entry: &str) -> Option<SlowCommand> {
    let mut words = entry.splitn(3, ' ');
    let seconds: i64 = words.next()?.parse().ok()?;
    let took_us = words.next()?.parse().ok()?;
    // A name is one word of letters; anything else is no name.
    let command = words.next()?.split(' ').next()?.to_ascii_uppercase();
    let is_name =
        command.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-'));
    let command = if is_name { bounded(&command, COMMAND_MAX) } else { "?".to_owned() };
    Some(SlowCommand { at: Timestamp::from_millis(seconds.saturating_mul(1000)), took_us, command })
}

fn facts(info: &BTreeMap<&str, &str>, slow: Vec<SlowCommand>) -> Option<RedisFacts> {
    let number = |name: &str| info.get(name).and_then(|value| value.parse::<u64>().ok());
    let text = |name: &str| bounded(info.get(name).unwrap_or(&""), NAME_MAX);
    let count = |name: &str| number(name).unwrap_or(0);
    let is_ok = |name: &str| info.get(name).is_none_or(|value| *value == "ok");
    // Valkey says as well which Redis it is compatible with.
    let version = info.get("valkey_version").or_else(|| info.get("redis_version"))?;
    let (keys, keys_expiring) = keyspace(info);
    Some(RedisFacts {
        version: bounded(version, NAME_MAX),
        used_bytes: number("used_memory")?,
        peak_bytes: count("used_memory_peak"),
        limit_bytes: count("maxmemory"),
        policy: text("maxmemory_policy"),
        clients: count("connected_clients"),
        clients_max: count("maxclients"),
        clients_blocked: count("blocked_clients"),
        refused: count("rejected_connections"),
        keys,
        keys_expiring,
        hits: count("keyspace_hits"),
        misses: count("keyspace_misses"),
        evicted: count("evicted_keys"),
        is_saved: is_ok("rdb_last_bgsave_status") && is_ok("aof_last_write_status"),
        replicas: count("connected_slaves"),
        slow,
    })
}

/// Keys of all databases, and those that go by themselves, out of lines such as `db0:keys=7,expires=6,avg_ttl=997423`.
fn keyspace(info: &BTreeMap<&str, &str>) -> (u64, u64) {
    let (mut keys, mut expiring) = (0_u64, 0_u64);
    for (_, value) in info.iter().filter(|(name, _)| is_database(name)) {
        for (what, count) in value.split(',').filter_map(|part| part.split_once('=')) {
            let count = count.parse::<u64>().unwrap_or(0);
            match what {
                "keys" => keys = keys.saturating_add(count),
                "expires" => expiring = expiring.saturating_add(count),
                _ => {}
            }
        }
    }
    (keys, expiring)
}

fn is_database(name: &str) -> bool {
    let number = name.strip_prefix("db").unwrap_or_default();
    !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit())
}
