//! Reads `[jobs.<name>]`: commands of services that run by a schedule or when somebody asks. Tests: `tests/it/manifest_job.rs`.

use havre_core::suggest::nearest;
use std::collections::{BTreeMap, BTreeSet};

use havre_schedule::{Schedule, Zone};

use crate::problem::Code;
use crate::read::{Fields, Reader, Value};
use crate::service::{read_or, whole};
use crate::site::read_word;
use crate::{Kind, Services, named, schema};
use havre_core::job::spec::{
    JOBS_MAX, JobSpec, KEEP, KEEP_MAX, Missed, RETRIES_MAX, TIMEOUT, TIMEOUT_MAX, TIMEOUT_MIN,
};
use havre_core::name::{JobName, ServiceName};

/// Reads every job into the specification of its service; the names of all of them, those with problems too.
pub(super) fn read_all(
    reader: &mut Reader<'_>,
    read: &mut Services,
    value: Option<Value<'_>>,
) -> BTreeSet<JobName> {
    let mut names = BTreeSet::new();
    for (text, value) in named(reader, value) {
        let Some(name) = reader.parsed_key::<JobName>(&text, &value) else { continue };
        names.insert(name.clone());
        let Some((service, spec)) = read_job(reader, &read.names, &value) else { continue };
        if let Some(found) = read.found.iter_mut().find(|found| found.spec.name == service) {
            found.spec.jobs.insert(name, spec);
        }
    }
    if names.len() > JOBS_MAX {
        let message = format!("{} jobs are too many: at most {JOBS_MAX}", names.len());
        reader.report(Code::TooLarge, 0..0, message, "split the project");
    }
    names
}

fn read_job(
    reader: &mut Reader<'_>,
    services: &BTreeMap<ServiceName, Kind>,
    value: &Value<'_>,
) -> Option<(ServiceName, JobSpec)> {
    let fields = reader.table(&schema::JOB, value)?;
    let service = read_service(reader, services, &fields);
    let command = match fields.find("command") {
        Some(command) => reader.argv(&command),
        None => {
            let message = format!("`{}` does not say what runs", fields.path);
            let hint = "add command = [\"node\", \"dist/cleanup.js\"]: a list of words, no shell reads it";
            reader.report(Code::MissingKey, fields.at.clone(), message, hint);
            None
        }
    };
    let schedule = fields.find("schedule").map(|schedule| read_schedule(reader, &schedule));
    let timezone = match fields.find("timezone") {
        Some(zone) => read_zone(reader, &zone),
        None => Some(Zone::default()),
    };
    if schedule.is_none() {
        refuse_without_schedule(reader, &fields);
    }
    let words = [("run_once", Missed::RunOnce), ("skip", Missed::Skip)];
    let missed = read_word(reader, &fields, "missed", &words).unwrap_or_default();
    let timeout = read_or(reader, &fields, "timeout", TIMEOUT, |reader, value| {
        reader.span(value, TIMEOUT_MIN..=TIMEOUT_MAX)
    });
    let retries =
        read_or(reader, &fields, "retries", 0, |reader, value| reader.integer(value, 0..=RETRIES_MAX));
    let keep = read_or(reader, &fields, "keep", KEEP, |reader, value| reader.integer(value, 1..=KEEP_MAX));
    let spec = JobSpec {
        schedule: whole(schedule)?,
        timezone: timezone?,
        command: command?,
        timeout,
        retries,
        missed,
        keep,
    };
    Some((service?, spec))
}

/// A service of this file that runs tasks.
fn read_service(
    reader: &mut Reader<'_>,
    services: &BTreeMap<ServiceName, Kind>,
    fields: &Fields<'_>,
) -> Option<ServiceName> {
    let run_tasks = services.iter().filter(|(_, kind)| **kind == Kind::Service);
    let known: Vec<&str> = run_tasks.map(|(name, _)| name.as_str()).collect();
    let there_are = match known.is_empty() {
        true => "add [services.<name>]".to_owned(),
        false => format!("services are: {}", known.join(", ")),
    };
    let Some(value) = fields.find("service") else {
        let message = format!("`{}` does not say of which service it is", fields.path);
        let hint =
            format!("add service = \"api\": it runs with the image and the variables of that; {there_are}");
        reader.report(Code::MissingKey, fields.at.clone(), message, hint);
        return None;
    };
    let text = reader.text(&value, "the name of a service in quotes")?;
    match services.iter().find(|(name, _)| name.as_str() == text) {
        Some((name, Kind::Service)) => Some(name.clone()),
        Some((name, Kind::Site)) => {
            let message = format!("`{}`: {name} is a site, which runs no tasks", value.path);
            reader.report(Code::Conflict, value.at(), message, there_are);
            None
        }
        None => {
            let shown: String = text.chars().take(48).flat_map(char::escape_debug).collect();
            let hint = match nearest(text, &known) {
                Some(near) => format!("did you mean \"{near}\"?"),
                None => there_are,
            };
            let message = format!("`{}`: `{shown}` is no service of this file", value.path);
            reader.report(Code::UnknownService, value.at(), message, hint);
            None
        }
    }
}

fn read_schedule(reader: &mut Reader<'_>, value: &Value<'_>) -> Option<Schedule> {
    let text = reader.text(value, "a schedule in quotes, such as \"0 3 * * *\" or \"@daily\"")?;
    match text.parse::<Schedule>() {
        Ok(schedule) => Some(schedule),
        Err(error) => {
            let at = reader.inside(value, error.at.clone());
            reader.report(Code::WrongValue, at, format!("`{}`: {error}", value.path), error.hint);
            None
        }
    }
}

pub(super) fn read_zone(reader: &mut Reader<'_>, value: &Value<'_>) -> Option<Zone> {
    let zone: Zone = reader.parsed(value)?;
    if zone.is_known() {
        return Some(zone);
    }
    let hint = match zone.nearest() {
        Some(near) => format!("did you mean \"{near}\"?"),
        None => "names are those of the IANA database, such as \"Europe/Paris\"".to_owned(),
    };
    reader.report(
        Code::WrongValue,
        value.at(),
        format!("`{}`: there is no time zone `{zone}`", value.path),
        hint,
    );
    None
}

/// These say how a schedule is read.
fn refuse_without_schedule(reader: &mut Reader<'_>, fields: &Fields<'_>) {
    for key in ["timezone", "missed"] {
        if let Some(value) = fields.find(key) {
            let message = format!("`{}` means nothing without `schedule`", value.path);
            let hint = "add schedule = \"0 3 * * *\", or remove it: without a schedule a job runs when somebody asks";
            reader.report(Code::Conflict, value.key_at.clone(), message, hint);
        }
    }
}
