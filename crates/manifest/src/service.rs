//! Reads `[services.<name>]`. Tests: `tests/it/manifest.rs`.

use std::collections::BTreeMap;
use std::num::NonZeroU16;
use std::ops::RangeInclusive;

use crate::problem::Code;
use crate::read::{Fields, Reader, Value};
use crate::{
    Found, Kind, backup, balance, canary, database, edge, https, paths, route, schema, secret, source, test,
    tls,
};
use havre_core::artifact::ImageRef;
use havre_core::backup::policy::VolumeBackup;
use havre_core::name::{AbsolutePath, ProbeTarget, ServiceName, VolumeName};
use havre_core::quantity::{ByteSize, Cpus, Span};
use havre_core::service::spec::{
    CheckSpec, HealthSpec, ImageSource, Protocol, SPEC_VERSION, ServiceSpec, StopSignal, TaskWork,
    VolumeSpec, Work, defaults,
};

const HOUR: Span = Span::seconds(3600);
const DAY: Span = Span::seconds(86_400);
const NOTHING: Span = Span::seconds(0);
const SECOND: Span = Span::seconds(1);
/// Most processes a Linux kernel can number.
const PIDS_MAX: u32 = 4_194_304;
/// Longest text a check looks for.
const CONTAINS_MAX: usize = 4096;

/// Reads one service; `None` when it has problems that leave no whole specification.
pub(super) fn read(reader: &mut Reader<'_>, name: ServiceName, value: &Value<'_>) -> (Kind, Option<Found>) {
    let Some(fields) = reader.table(&schema::SERVICE, value) else { return (Kind::Service, None) };
    let mut routes = match fields.find("hosts") {
        Some(hosts) => route::read_hosts(reader, &hosts),
        None => Vec::new(),
    };
    let edge = edge::read(reader, &fields, &mut routes);
    let expose_release = read_or(reader, &fields, "expose_release", true, Reader::boolean);
    let replicas_at = fields.find("replicas").map_or(value.key_at.clone(), |replicas| replicas.at());
    let https = https::read(reader, &fields);
    let source = read_source(reader, &fields);
    let test = test::read(reader, &fields, source.as_ref());
    let paths = paths::read(reader, &fields);
    let uses = database::read_names(reader, &fields, "uses");
    let mut work = read_work(reader, &fields, &name, source);
    if let Some(work) = &mut work {
        work.uses = uses.iter().map(|(name, _)| name.clone()).collect();
    }
    if work.as_ref().is_some_and(|work| work.port.is_none()) {
        check_no_port(reader, &fields);
    }
    let found = work.map(|work| Found {
        spec: ServiceSpec {
            version: SPEC_VERSION,
            name,
            routes: routes.iter().map(|route| route.spec.clone()).collect(),
            expose_release,
            edge,
            https,
            work: Work::Tasks(Box::new(work)),
            jobs: BTreeMap::new(),
        },
        test,
        paths,
        uses,
        routes,
        at: value.key_at.clone(),
        replicas_at,
    });
    (Kind::Service, found)
}

/// A key's value, its default when it is left out or has a problem.
pub(super) fn read_or<'t, T>(
    reader: &mut Reader<'t>,
    fields: &Fields<'_>,
    key: &str,
    default: T,
    read: impl FnOnce(&mut Reader<'t>, &Value<'_>) -> Option<T>,
) -> T {
    fields.find(key).and_then(|value| read(reader, &value)).unwrap_or(default)
}

/// A Dockerfile, an image, or, when neither is named, a folder for which Havre writes the Dockerfile.
fn read_source(reader: &mut Reader<'_>, fields: &Fields<'_>) -> Option<ImageSource> {
    let (dockerfile, image) = (fields.find("dockerfile"), fields.find("image"));
    if let (Some(_), Some(image)) = (&dockerfile, &image) {
        let message = format!("`{}` has both `dockerfile` and `image`", fields.path);
        reader.report(Code::Conflict, image.key_at.clone(), message, "keep the one that should run");
        return None;
    }
    if let Some(root) = fields.find("root").filter(|_| dockerfile.is_some() || image.is_some()) {
        let other = if image.is_some() { "image" } else { "dockerfile" };
        let message =
            format!("`{}` is for a program whose Dockerfile Havre writes, and here is `{other}`", root.path);
        let hint = "remove one of them; the folder that is uploaded for a Dockerfile is `context`";
        reader.report(Code::Conflict, root.key_at.clone(), message, hint);
        return None;
    }
    if let Some(image) = image {
        source::refuse_build_keys(reader, fields, &["context", "target", "args", "build_secrets"], "image");
        let reference: ImageRef = reader.parsed(&image)?;
        return Some(ImageSource::Image { reference });
    }
    let source = match dockerfile {
        Some(dockerfile) => source::read_dockerfile(reader, fields, &dockerfile),
        None => source::read_written(reader, fields, &["target"]),
    };
    source.map(ImageSource::Dockerfile)
}

fn read_work(
    reader: &mut Reader<'_>,
    fields: &Fields<'_>,
    name: &ServiceName,
    source: Option<ImageSource>,
) -> Option<TaskWork> {
    let port = fields.find("port").map(|value| read_port(reader, &value));
    let health = read_health(reader, fields.find("health"));
    let checks = read_checks(reader, fields.find("checks"));
    let volumes = read_volumes(reader, fields.find("volumes"));
    let (env, secrets) = secret::read(reader, fields);
    let mut command = |key| fields.find(key).map(|value| reader.argv(&value));
    let (command, release_command) = (command("command"), command("release"));
    let mut span = |key, default, range: RangeInclusive<Span>| {
        read_or(reader, fields, key, default, |reader, value| reader.span(value, range))
    };
    let stop_grace = span("stop_grace", defaults::STOP_GRACE, NOTHING..=HOUR);
    let drain = span("drain", defaults::DRAIN, NOTHING..=DAY);
    let start_timeout = span("start_timeout", defaults::START_TIMEOUT, SECOND..=HOUR);
    let release_timeout = span("release_timeout", defaults::RELEASE_TIMEOUT, SECOND..=DAY);
    let bake = span("bake", NOTHING, NOTHING..=DAY);
    let replicas = read_or(reader, fields, "replicas", 1, |reader, value| {
        reader.integer(value, 0..=defaults::REPLICAS_MAX)
    });
    let pids =
        read_or(reader, fields, "pids", defaults::PIDS, |reader, value| reader.integer(value, 1..=PIDS_MAX));
    let memory = read_or(reader, fields, "memory", defaults::MEMORY, read_memory);
    let cpus = read_or(reader, fields, "cpus", defaults::CPUS, read_cpus);
    let protocol =
        fields.find("protocol").map_or(Some(Protocol::Http1), |value| read_protocol(reader, &value));
    let tls = protocol.and_then(|protocol| tls::read(reader, fields, name, protocol));
    let stop_signal = read_or(reader, fields, "stop_signal", StopSignal::Sigterm, read_signal);
    let canary = canary::read(reader, fields.find("canary"), &volumes);
    Some(TaskWork {
        source: source?,
        port: whole(port)?,
        protocol: protocol.unwrap_or_default(),
        tls,
        health: health?,
        checks,
        command: whole(command)?,
        release_command: whole(release_command)?,
        env,
        secrets,
        uses: Vec::new(),
        replicas,
        memory,
        cpus,
        pids,
        volumes,
        stop_signal,
        stop_grace,
        drain,
        start_timeout,
        release_timeout,
        canary,
        bake,
        balance: balance::read(reader, fields.find("balance")),
    })
}

/// A key that was left out is fine; one that has a problem leaves no whole specification.
pub(super) fn whole<T>(read: Option<Option<T>>) -> Option<Option<T>> {
    match read {
        None => Some(None),
        Some(value) => value.map(Some),
    }
}

fn read_port(reader: &mut Reader<'_>, value: &Value<'_>) -> Option<NonZeroU16> {
    let port = reader.integer(value, 1..=65_535)?;
    NonZeroU16::new(u16::try_from(port).ok()?)
}

fn read_health(reader: &mut Reader<'_>, value: Option<Value<'_>>) -> Option<HealthSpec> {
    let mut health = HealthSpec {
        path: ProbeTarget::root(),
        is_default: true,
        timeout: defaults::HEALTH_TIMEOUT,
        interval: defaults::HEALTH_INTERVAL,
    };
    let Some(value) = value else { return Some(health) };
    if value.is_text() {
        health.path = reader.parsed(&value)?;
        health.is_default = false;
        return Some(health);
    }
    if !value.is_table() {
        // Reports text or table, whichever was meant.
        reader.text(&value, "a path such as \"/health\", or a table with `path`, `timeout` and `interval`");
        return None;
    }
    let fields = reader.table(&schema::HEALTH, &value)?;
    if let Some(path) = fields.find("path") {
        health.path = reader.parsed(&path)?;
        health.is_default = false;
    }
    health.timeout = read_or(reader, &fields, "timeout", health.timeout, |reader, value| {
        reader.span(value, Span::millis(100)..=Span::seconds(60))
    });
    health.interval = read_or(reader, &fields, "interval", health.interval, |reader, value| {
        reader.span(value, SECOND..=Span::seconds(600))
    });
    Some(health)
}

fn read_checks(reader: &mut Reader<'_>, value: Option<Value<'_>>) -> Vec<CheckSpec> {
    let Some(value) = value else { return Vec::new() };
    let list = reader.list(&value, "a list of tables such as [{ path = \"/\", status = 200 }]");
    list.unwrap_or_default().iter().filter_map(|check| read_check(reader, check)).collect()
}

fn read_check(reader: &mut Reader<'_>, value: &Value<'_>) -> Option<CheckSpec> {
    let fields = reader.table(&schema::CHECK, value)?;
    let status = read_or(reader, &fields, "status", 200, |reader, value| reader.integer(value, 100..=599));
    let contains = match fields.find("contains") {
        Some(value) => reader.text(&value, "text in quotes")?.to_owned(),
        None => String::new(),
    };
    if contains.len() > CONTAINS_MAX {
        let message = format!("`{}.contains` has more than {CONTAINS_MAX} bytes", value.path);
        reader.report(Code::TooLarge, value.at(), message, "");
    }
    let Some(path) = fields.find("path") else {
        let message = format!("`{}` has no `path`", value.path);
        reader.report(Code::MissingKey, value.at(), message, "add path = \"/\"");
        return None;
    };
    Some(CheckSpec { path: reader.parsed(&path)?, status: u16::try_from(status).ok()?, contains })
}

fn read_volumes(reader: &mut Reader<'_>, value: Option<Value<'_>>) -> Vec<VolumeSpec> {
    let Some(value) = value else { return Vec::new() };
    let mut volumes: Vec<VolumeSpec> = Vec::new();
    for (name, entry) in reader.entries(&value).unwrap_or_default() {
        let Some(name) = reader.parsed_key::<VolumeName>(&name, &entry) else { continue };
        let Some((entry, backup)) = read_volume_table(reader, entry) else { continue };
        let Some(path) = reader.parsed::<AbsolutePath>(&entry) else { continue };
        let first = path.as_str().split('/').nth(1).unwrap_or_default();
        if matches!(first, "" | "proc" | "sys" | "dev") {
            let message = format!("`{}`: `{path}` belongs to the system of every task", entry.path);
            reader.report(
                Code::WrongValue,
                entry.at(),
                message,
                "choose a folder of its own, such as \"/data\"",
            );
        }
        if let Some(other) = volumes.iter().find(|other| other.path == path) {
            let message = format!("`{}`: the volume `{}` is at {path} already", entry.path, other.name);
            reader.report(Code::Conflict, entry.at(), message, "give each volume its own path");
        }
        volumes.push(VolumeSpec { name, path, backup });
    }
    volumes
}

/// The path of a volume, and what is promised for it: both in a table, or the path alone.
fn read_volume_table<'a>(
    reader: &mut Reader<'_>,
    entry: Value<'a>,
) -> Option<(Value<'a>, Option<VolumeBackup>)> {
    if !entry.is_table() {
        return Some((entry, None));
    }
    let fields = reader.table(&schema::VOLUME, &entry)?;
    let backup = fields.find("backup").and_then(|value| backup::read_volume(reader, &value));
    let Some(path) = fields.find("path") else {
        let message = format!("`{}` has no `path`", entry.path);
        reader.report(Code::MissingKey, entry.at(), message, "add path = \"/data\", where tasks see it");
        return None;
    };
    Some((path, backup))
}

/// Most memory of a task.
pub(super) fn read_memory(reader: &mut Reader<'_>, value: &Value<'_>) -> Option<ByteSize> {
    let text = reader.text(value, "a size in quotes, such as \"512MB\"")?;
    let memory: ByteSize = reader.parsed_text(text, value)?;
    if memory < defaults::MEMORY_MIN {
        let message = format!("`{}` is {memory}, the least is {}", value.path, defaults::MEMORY_MIN);
        reader.report(Code::WrongValue, value.at(), message, "");
        return None;
    }
    Some(memory)
}

/// Most processor time of a task.
pub(super) fn read_cpus(reader: &mut Reader<'_>, value: &Value<'_>) -> Option<Cpus> {
    let text = reader.number_text(value, "a number of cores such as 0.5")?;
    reader.parsed_text(text, value)
}

fn read_protocol(reader: &mut Reader<'_>, value: &Value<'_>) -> Option<Protocol> {
    let text = reader.text(value, "a protocol, such as \"h2c\"")?;
    let all = [Protocol::Http1, Protocol::Https, Protocol::H2c, Protocol::H2];
    let found = all.into_iter().find(|protocol| protocol.as_str() == text);
    if found.is_none() {
        let shown: String = text.chars().take(32).flat_map(char::escape_debug).collect();
        let message = format!("`{}`: `{shown}` is not a protocol the edge speaks to services", value.path);
        let hint = "protocols are: http1, https (the same over TLS), h2c (HTTP/2 without TLS, for gRPC), \
                    h2 (HTTP/2 over TLS)";
        reader.report(Code::WrongValue, value.at(), message, hint);
    }
    found
}

fn read_signal(reader: &mut Reader<'_>, value: &Value<'_>) -> Option<StopSignal> {
    const SIGNALS: [StopSignal; 4] =
        [StopSignal::Sigterm, StopSignal::Sigint, StopSignal::Sigquit, StopSignal::Sigusr1];
    let text = reader.text(value, "the name of a signal, such as \"SIGTERM\"")?;
    let found = SIGNALS.into_iter().find(|signal| signal.as_str() == text);
    if found.is_none() {
        let names = SIGNALS.map(StopSignal::as_str);
        let shown: String = text.chars().take(32).flat_map(char::escape_debug).collect();
        let message = format!("`{}`: `{shown}` is not a signal that may ask a task to stop", value.path);
        let candidate = format!("SIG{}", text.trim_start_matches("SIG")).to_ascii_uppercase();
        let hint = match names.iter().find(|name| **name == candidate) {
            Some(near) => format!("did you mean \"{near}\"?"),
            None => format!("signals are: {}", names.join(", ")),
        };
        reader.report(Code::WrongValue, value.at(), message, hint);
    }
    found
}

/// Nothing can be asked of a task that listens on nothing.
fn check_no_port(reader: &mut Reader<'_>, fields: &Fields<'_>) {
    for key in ["hosts", "tls", "health", "checks", "balance", "canary"] {
        if let Some(value) = fields.find(key) {
            let message = format!("`{}` needs to know the port the program listens on", value.path);
            let hint = "add `port`, such as port = 3000; Havre passes it to the program as PORT";
            reader.report(Code::MissingKey, value.key_at.clone(), message, hint);
        }
    }
}
