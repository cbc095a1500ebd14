//! Reads `[databases.<name>]`, `uses` of services and `databases` of their tests. Tests: `tests/it/manifest_database.rs`.

use std::collections::BTreeMap;
use std::ops::Range;

use havre_core::suggest::nearest;

use crate::problem::Code;
use crate::read::{Fields, Reader, Value};
use crate::service::{read_cpus, read_memory, read_or};
use crate::site::read_word;
use crate::test::FoundTest;
use crate::{Found, Kind, Services, backup, named, schema};
use havre_core::build::test::TestSpec;
use havre_core::database::setting::{self, SettingName, SettingValue};
use havre_core::database::spec::{CPUS, DATABASES_MAX, DatabaseSpec, Kind as Server, Persistence};
use havre_core::name::{DatabaseName, ServiceName};
use havre_core::quantity::ByteSize;
use havre_decide::database::variable;

/// Every database, by name: absent where one has problems that leave no whole specification, so that these cause no more.
pub(super) type Databases = BTreeMap<DatabaseName, Option<DatabaseSpec>>;

/// Reads all of them, and looks whether services use what is there.
pub(super) fn read_all(reader: &mut Reader<'_>, services: &Services, value: Option<Value<'_>>) -> Databases {
    let mut databases = Databases::new();
    for (text, value) in named(reader, value) {
        let Some(name) = reader.parsed_key::<DatabaseName>(&text, &value) else { continue };
        check_name(reader, &services.names, &name, &value);
        let spec = read_database(reader, name.clone(), &value);
        databases.insert(name, spec);
    }
    if databases.len() > DATABASES_MAX {
        let message = format!("{} databases are too many: at most {DATABASES_MAX}", databases.len());
        reader.report(Code::TooLarge, 0..0, message, "split the project");
    }
    for found in &services.found {
        check_uses(reader, found, &databases);
        check_test(reader, found, &databases);
    }
    databases
}

/// The specifications of the databases a test names, in its order; those that are not there have been reported.
pub(super) fn resolve_test(found: FoundTest, databases: &Databases) -> TestSpec {
    let FoundTest { mut spec, uses } = found;
    spec.databases = uses.iter().filter_map(|(name, _)| databases.get(name)?.clone()).collect();
    spec
}

/// Both are names on the network of an environment.
fn check_name(
    reader: &mut Reader<'_>,
    services: &BTreeMap<ServiceName, Kind>,
    name: &DatabaseName,
    value: &Value<'_>,
) {
    if schema::is_reserved(name.as_str()) {
        let message = format!("`{name}` is a name Havre uses itself");
        reader.report(Code::WrongName, value.key_at.clone(), message, "choose another name");
    }
    // What a server has by itself has these names.
    if matches!(name.as_str(), "postgres" | "template0" | "template1") {
        let message = format!("`{name}` is a database that every PostgreSQL server has by itself");
        reader.report(Code::WrongName, value.key_at.clone(), message, "choose another name, such as `db`");
    }
    if services.contains_key(&ServiceName::from(name)) {
        let message = format!("`{name}` is a database and a service or site: each needs a name of its own");
        reader.report(Code::Conflict, value.key_at.clone(), message, "rename one of them");
    }
}

fn read_database(reader: &mut Reader<'_>, name: DatabaseName, value: &Value<'_>) -> Option<DatabaseSpec> {
    let fields = reader.table(&schema::DATABASE, value)?;
    let engines = [Server::Postgres, Server::Mariadb, Server::Redis, Server::Valkey];
    let engines = engines.map(|server| (server.as_str(), server));
    if fields.find("engine").is_none() {
        let message = format!("`{}` does not say which server it is", fields.path);
        let hint = "add engine = \"postgres\", \"mariadb\", \"redis\" or \"valkey\"";
        reader.report(Code::MissingKey, fields.at.clone(), message, hint);
    }
    let engine = read_word(reader, &fields, "engine", &engines)?;
    if engine == Server::Mariadb && matches!(name.as_str(), "mysql" | "sys") {
        let message = format!("`{name}` is a database that every MariaDB server has by itself");
        reader.report(Code::WrongName, value.key_at.clone(), message, "choose another name, such as `db`");
    }
    let version = match fields.find("version") {
        Some(version) => read_version(reader, engine, &version)?,
        None => *engine.versions().last().expect("every server has a version"),
    };
    let image = match fields.find("image") {
        Some(image) => Some(reader.parsed(&image)?),
        None => None,
    };
    let words = [("aof", Persistence::Aof), ("rdb", Persistence::Rdb), ("none", Persistence::None)];
    let persistence = read_word(reader, &fields, "persistence", &words).unwrap_or_default();
    let memory = match fields.find("memory") {
        Some(memory) => read_server_memory(reader, engine, &memory)?,
        None => engine.memory_default(),
    };
    let cpus = read_or(reader, &fields, "cpus", CPUS, read_cpus);
    let settings = read_settings(reader, engine, &fields);
    if let Some(value) = fields.find("persistence").filter(|_| !engine.has_persistence()) {
        let message = format!("`{}` is for redis and valkey: {engine} always keeps everything", value.path);
        reader.report(Code::Conflict, value.key_at, message, "remove it");
    }
    let backup = backup::read(reader, &fields, engine);
    Some(DatabaseSpec { name, engine, version, image, memory, cpus, persistence, settings, backup })
}

/// A major version, with or without quotes; or what its maker calls it: `10.11` of MariaDB.
fn read_version(reader: &mut Reader<'_>, engine: Server, value: &Value<'_>) -> Option<u8> {
    let text = reader.number_text(value, "a major version, such as \"16\"")?;
    let is_meant = |version: &u8| text == version.to_string() || text == engine.release(*version);
    let found = engine.versions().iter().copied().find(is_meant);
    if found.is_none() {
        let known = engine.versions().iter().map(|version| format!("\"{}\"", engine.release(*version)));
        let known: Vec<String> = known.collect();
        let shown: String = text.chars().take(16).flat_map(char::escape_debug).collect();
        let message = format!("`{}`: Havre knows no {engine} {shown}", value.path);
        let hint = format!("major versions are: {}; `image` names an exact one", known.join(", "));
        reader.report(Code::WrongValue, value.at(), message, hint);
    }
    found
}

fn read_server_memory(reader: &mut Reader<'_>, engine: Server, value: &Value<'_>) -> Option<ByteSize> {
    let memory = read_memory(reader, value)?;
    if memory < engine.memory_min() {
        let message =
            format!("`{}` is {memory}, the least of {engine} is {}", value.path, engine.memory_min());
        reader.report(Code::WrongValue, value.at(), message, "");
        return None;
    }
    Some(memory)
}

fn read_settings(
    reader: &mut Reader<'_>,
    engine: Server,
    fields: &Fields<'_>,
) -> BTreeMap<SettingName, SettingValue> {
    let mut settings = BTreeMap::new();
    let Some(value) = fields.find("settings") else { return settings };
    for (text, entry) in reader.entries(&value).unwrap_or_default() {
        let name = text.parse::<SettingName>().ok().filter(|name| name.is_of(engine));
        let Some(name) = name else {
            let hint = match nearest(&text, setting::known(engine)) {
                Some(near) => format!("did you mean `{near}`?"),
                None => format!("settings are: {}", setting::known(engine).join(", ")),
            };
            let message = format!("`{}` is not a setting of {engine} that may be set", entry.path);
            reader.report(Code::UnknownKey, entry.key_at, message, hint);
            continue;
        };
        if let Some(value) = read_setting(reader, &entry) {
            settings.insert(name, value);
        }
    }
    settings
}

/// Text, a number, or `true` and `false`, which servers call `on` and `off`.
fn read_setting(reader: &mut Reader<'_>, value: &Value<'_>) -> Option<SettingValue> {
    if value.is_boolean() {
        let text = if reader.boolean(value)? { "on" } else { "off" };
        return text.parse().ok();
    }
    let text = reader.number_text(value, "text, a number, or true or false")?;
    reader.parsed_text(text, value)
}

/// Reads a list of names of databases under this key, with the place of each name.
pub(super) fn read_names(
    reader: &mut Reader<'_>,
    fields: &Fields<'_>,
    key: &str,
) -> Vec<(DatabaseName, Range<usize>)> {
    let mut uses: Vec<(DatabaseName, Range<usize>)> = Vec::new();
    let Some(value) = fields.find(key) else { return uses };
    for entry in reader.list(&value, "a list of names of databases, such as [\"db\"]").unwrap_or_default() {
        let Some(name) = reader.parsed::<DatabaseName>(&entry) else { continue };
        if uses.iter().any(|(known, _)| *known == name) {
            let message = format!("`{}`: {name} is named twice", value.path);
            reader.report(Code::Conflict, entry.at(), message, "remove one of them");
            continue;
        }
        uses.push((name, entry.at()));
    }
    uses
}

/// Databases that a service uses are there, and it does not set itself what they say.
fn check_uses(reader: &mut Reader<'_>, found: &Found, databases: &Databases) {
    let known = check_names(reader, &found.uses, databases);
    let (Some(work), Some((_, at))) = (found.spec.tasks(), found.uses.first()) else { return };
    for key in variable::names(&known).iter().filter(|key| work.env.contains_key(*key)) {
        let message = format!("`{}` sets {key} itself, which a database it uses gives it", found.spec.name);
        let hint = "remove the variable from `env`, or the database from `uses`";
        reader.report(Code::Conflict, at.clone(), message, hint);
    }
}

/// The same for the throw-away databases of its tests.
fn check_test(reader: &mut Reader<'_>, found: &Found, databases: &Databases) {
    let Some(test) = &found.test else { return };
    let known = check_names(reader, &test.uses, databases);
    let Some((_, at)) = test.uses.first() else { return };
    for key in variable::names(&known).iter().filter(|key| test.spec.env.contains_key(*key)) {
        let message = format!(
            "`services.{}.test` sets {key} itself, which one of its databases gives it",
            found.spec.name
        );
        let hint = "remove the variable from `env`, or the database from `databases`";
        reader.report(Code::Conflict, at.clone(), message, hint);
    }
}

/// Reports names that stand for no database of the file; the others, with their servers.
fn check_names(
    reader: &mut Reader<'_>,
    uses: &[(DatabaseName, Range<usize>)],
    databases: &Databases,
) -> Vec<(DatabaseName, Server)> {
    let mut known = Vec::new();
    for (name, at) in uses {
        match databases.get(name) {
            Some(Some(spec)) => known.push((name.clone(), spec.engine)),
            Some(None) => {}
            None => {
                let names: Vec<&str> = databases.keys().map(DatabaseName::as_str).collect();
                let hint = match nearest(name.as_str(), &names) {
                    Some(near) => format!("did you mean \"{near}\"?"),
                    None => format!("add [databases.{name}] with engine = \"postgres\""),
                };
                let message = format!("`{name}` is no database of this file");
                reader.report(Code::UnknownDatabase, at.clone(), message, hint);
            }
        }
    }
    known
}

/// Reads `databases` of an environment: what differs there.
pub(super) fn read_overrides(
    reader: &mut Reader<'_>,
    databases: &Databases,
    value: &Value<'_>,
) -> BTreeMap<DatabaseName, ByteSize> {
    let mut memory = BTreeMap::new();
    for (text, entry) in reader.entries(value).unwrap_or_default() {
        let Some((name, spec)) = databases.iter().find(|(name, _)| name.as_str() == text) else {
            let names: Vec<&str> = databases.keys().map(DatabaseName::as_str).collect();
            let hint = match nearest(&text, &names) {
                Some(near) => format!("did you mean `{near}`?"),
                None if names.is_empty() => "there are no databases; add [databases.<name>]".to_owned(),
                None => format!("there are: {}", names.join(", ")),
            };
            let message = format!("`{}` names no database of this file", entry.path);
            reader.report(Code::UnknownDatabase, entry.key_at, message, hint);
            continue;
        };
        let Some(fields) = reader.table(&schema::ENVIRONMENT_DATABASE, &entry) else { continue };
        let (Some(spec), Some(value)) = (spec, fields.find("memory")) else { continue };
        memory.extend(read_server_memory(reader, spec.engine, &value).map(|size| (name.clone(), size)));
    }
    memory
}
