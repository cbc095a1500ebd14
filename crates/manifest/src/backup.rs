//! Reads `backup` of a database and of a volume: how often, what is kept, how often a restore is tried, and where to. Tests:
//! `tests/it/manifest_database.rs`, `tests/it/manifest_volume.rs`.

use std::collections::BTreeSet;

use havre_schedule::Zone;

use crate::job::read_zone;
use crate::problem::Code;
use crate::read::{Fields, Reader, Value};
use crate::schema;
use crate::service::read_or;
use havre_core::backup::policy::{
    BackupPolicy, DRILL_MIN, EVERY_MAX, EVERY_MIN, VolumeBackup, VolumeMode, WINDOW, assertion_problems,
};
use havre_core::backup::retention::Keep;
use havre_core::database::spec::Kind;
use havre_core::name::TargetName;
use havre_core::quantity::Span;

/// Most snapshots of one kind.
const KEEP_MOST: u32 = 1000;
/// Time of which every second can be brought back, where that is wanted and nothing else is said.
const WINDOW_USUAL: Span = Span::seconds(7 * 86_400);

/// What is promised for a volume; `None` for nothing, and where it has a problem.
pub(super) fn read_volume(reader: &mut Reader<'_>, value: &Value<'_>) -> Option<VolumeBackup> {
    let usual = BackupPolicy::of_postgres();
    if value.is_boolean() {
        let mode = VolumeMode::default();
        return reader.boolean(value)?.then_some(VolumeBackup { mode, policy: usual });
    }
    let fields = reader.table(&schema::VOLUME_BACKUP, value)?;
    let mode = match fields.find("mode") {
        Some(mode) => read_mode(reader, &mode)?,
        None => VolumeMode::default(),
    };
    let every = read_or(reader, &fields, "every", usual.every, |reader, value| {
        reader.span(value, EVERY_MIN..=EVERY_MAX)
    });
    let keep = match fields.find("keep") {
        Some(keep) => read_keep(reader, &keep)?,
        None => usual.keep.clone(),
    };
    let targets = read_targets(reader, &fields);
    Some(VolumeBackup { mode, policy: BackupPolicy { every, keep, targets, ..usual } })
}

fn read_mode(reader: &mut Reader<'_>, value: &Value<'_>) -> Option<VolumeMode> {
    let text = reader.text(value, "\"plain\" or \"pause\"")?;
    let (message, hint) = match text {
        "plain" => return Some(VolumeMode::Plain),
        "pause" => return Some(VolumeMode::Pause),
        "stop" => (
            format!("`{}`: Havre does not stop a service to save its volume yet", value.path),
            "mode = \"pause\" holds its tasks still while it is read: what a power cut would leave",
        ),
        _ => {
            let shown: String = text.chars().take(32).flat_map(char::escape_debug).collect();
            (format!("`{}`: `{shown}` is no way to read a volume", value.path), "ways are: plain, pause")
        }
    };
    reader.report(Code::WrongValue, value.at(), message, hint);
    None
}

/// The policy of a database: the usual one of its server where nothing is said; `None` for none, and where it has a problem.
pub(super) fn read(reader: &mut Reader<'_>, database: &Fields<'_>, engine: Kind) -> Option<BackupPolicy> {
    let Some(value) = database.find("backup") else { return BackupPolicy::of_kind(engine) };
    if value.is_boolean() {
        return reader.boolean(&value)?.then(BackupPolicy::of_postgres);
    }
    let usual = BackupPolicy::of_postgres();
    let fields = reader.table(&schema::BACKUP, &value)?;
    let every = read_or(reader, &fields, "every", usual.every, |reader, value| {
        reader.span(value, EVERY_MIN..=EVERY_MAX)
    });
    let keep = match fields.find("keep") {
        Some(keep) => read_keep(reader, &keep)?,
        None => usual.keep,
    };
    let drill = match fields.find("drill") {
        Some(drill) => Some(reader.span(&drill, DRILL_MIN..=EVERY_MAX)?),
        None => None,
    };
    let point_in_time = match fields.find("point_in_time") {
        Some(value) => read_window(reader, &value, engine)?,
        None => None,
    };
    if let Some(value) = fields.find("assert").filter(|_| !engine.speaks_sql()) {
        let message = format!("`{}` is SQL, which {engine} does not speak", value.path);
        let hint = "remove it: a drill compares the keys by itself";
        reader.report(Code::Conflict, value.key_at, message, hint);
    }
    let assertions = read_assertions(reader, &fields);
    let targets = read_targets(reader, &fields);
    Some(BackupPolicy { every, keep, drill, point_in_time, assertions, targets })
}

/// `true`, `false`, or how far back every second can be brought back. `None` where it has a problem.
fn read_window(reader: &mut Reader<'_>, value: &Value<'_>, engine: Kind) -> Option<Option<Span>> {
    let window = match value.is_boolean() {
        true => reader.boolean(value)?.then_some(WINDOW_USUAL),
        false => Some(reader.span(value, WINDOW)?),
    };
    if window.is_some() && engine != Kind::Postgres {
        let message = format!("`{}`: {engine} keeps no log of every change", value.path);
        reader.report(Code::WrongValue, value.at(), message, "leave it out: it is for postgres");
        return None;
    }
    Some(window)
}

/// Statements that must be true of a copy. What they mean only a server knows, so only their form is looked at.
fn read_assertions(reader: &mut Reader<'_>, fields: &Fields<'_>) -> Vec<String> {
    let expected = "a list of SQL statements, such as [\"select count(*) > 0 from users\"]";
    let Some(value) = fields.find("assert") else { return Vec::new() };
    let entries = reader.list(&value, expected).unwrap_or_default();
    let texts = entries.iter().filter_map(|entry| reader.text(entry, expected).map(str::to_owned));
    let assertions: Vec<String> = texts.collect();
    for problem in assertion_problems(&assertions) {
        let message = format!("`{}`: {problem}", value.path);
        reader.report(Code::WrongValue, value.at(), message, expected);
    }
    assertions
}

fn read_keep(reader: &mut Reader<'_>, value: &Value<'_>) -> Option<Keep> {
    let fields = reader.table(&schema::BACKUP_KEEP, value)?;
    let zone = match fields.find("timezone") {
        Some(zone) => read_zone(reader, &zone)?,
        None => Zone::default(),
    };
    let mut count =
        |key: &str| read_or(reader, &fields, key, 0, |reader, value| reader.integer(value, 0..=KEEP_MOST));
    let keep = Keep {
        last: count("last"),
        hourly: count("hourly"),
        daily: count("daily"),
        weekly: count("weekly"),
        monthly: count("monthly"),
        yearly: count("yearly"),
        zone,
    };
    let nothing = Keep { zone: keep.zone.clone(), ..Keep::default() };
    if keep == nothing {
        let message = format!("`{}` keeps nothing", value.path);
        let hint = "say at least one of its numbers, such as daily = 7; backup = false makes no backups";
        reader.report(Code::WrongValue, value.at(), message, hint);
        return None;
    }
    Some(keep)
}

fn read_targets(reader: &mut Reader<'_>, fields: &Fields<'_>) -> BTreeSet<TargetName> {
    let mut targets = BTreeSet::new();
    let Some(value) = fields.find("targets") else { return targets };
    let entries = reader.list(&value, "a list of names of backup targets, such as [\"disk-two\"]");
    let entries = entries.unwrap_or_default();
    if entries.is_empty() && value.is_list() {
        let message = format!("`{}` names no target", value.path);
        let hint = "leave it out for every target there is; backup = false makes no backups";
        reader.report(Code::WrongValue, value.at(), message, hint);
    }
    for entry in entries {
        let Some(name) = reader.parsed::<TargetName>(&entry) else { continue };
        if !targets.insert(name.clone()) {
            let message = format!("`{}`: {name} is named twice", value.path);
            reader.report(Code::Conflict, entry.at(), message, "remove one of them");
        }
    }
    targets
}
