//! Reads `[services.<name>.test]`: what must pass before a push is built and deployed. Tests: `tests/it/manifest_test.rs`.

use std::ops::Range;

use crate::problem::Code;
use crate::read::{Fields, Reader};
use crate::service::{read_memory, read_or, whole};
use crate::{database, schema, secret, source};
use havre_core::build::test::{MEMORY, TIMEOUT, TIMEOUT_MAX, TIMEOUT_MIN, TestSpec};
use havre_core::name::DatabaseName;
use havre_core::service::spec::ImageSource;
use havre_decide::database::throw_away::THROW_AWAY_MAX;

/// The tests of a service before its databases are known.
#[derive(Debug)]
pub(super) struct FoundTest {
    /// Without databases.
    pub(super) spec: TestSpec,
    /// Databases it names, and where each is written.
    pub(super) uses: Vec<(DatabaseName, Range<usize>)>,
}

/// Reads it; `None` where there is none, or one with problems. `from` is where the image of the service comes from, where that has
/// no problem.
pub(super) fn read(
    reader: &mut Reader<'_>,
    service: &Fields<'_>,
    from: Option<&ImageSource>,
) -> Option<FoundTest> {
    let value = service.find("test")?;
    let fields = reader.table(&schema::TEST, &value)?;
    if matches!(from, Some(ImageSource::Image { .. })) {
        let message =
            format!("`{}` is for a service that is built, and this one runs a finished image", value.path);
        reader.report(Code::Conflict, value.key_at.clone(), message, "remove it, or name a `dockerfile`");
        return None;
    }
    let target = fields.find("target");
    if let (Some(target), Some(ImageSource::Dockerfile(dockerfile))) = (&target, from)
        && dockerfile.written_for.is_some()
    {
        let message =
            format!("`{}` is a stage of a Dockerfile, and Havre writes that itself here", target.path);
        let hint = "name a `dockerfile`, or use `command`, which runs in the finished image";
        reader.report(Code::Conflict, target.key_at.clone(), message, hint);
        return None;
    }
    let target = target.map(|target| reader.parsed(&target));
    let command = fields.find("command").map(|command| reader.argv(&command));
    if target.is_none() && command.is_none() {
        let message = format!("`{}` does not say what is run", fields.path);
        let hint = "add target = \"test\", a stage of the Dockerfile whose steps are the tests, or command = [\"npm\", \"test\"]";
        reader.report(Code::MissingKey, fields.at.clone(), message, hint);
        return None;
    }
    if command.is_none() {
        refuse_without_command(reader, &fields);
    }
    let env = fields.find("env").map(|env| {
        let variables = source::read_env(reader, &env);
        secret::refuse_references(reader, &env, &variables);
        variables
    });
    let timeout = read_or(reader, &fields, "timeout", TIMEOUT, |reader, value| {
        reader.span(value, TIMEOUT_MIN..=TIMEOUT_MAX)
    });
    let memory = read_or(reader, &fields, "memory", MEMORY, read_memory);
    let uses = read_databases(reader, &fields);
    let spec = TestSpec {
        target: whole(target)?,
        command: whole(command)?,
        env: env.unwrap_or_default(),
        databases: Vec::new(),
        timeout,
        memory,
    };
    Some(FoundTest { spec, uses })
}

/// Names of databases; whether there are such is looked at when all tables have been read.
fn read_databases(reader: &mut Reader<'_>, fields: &Fields<'_>) -> Vec<(DatabaseName, Range<usize>)> {
    let uses = database::read_names(reader, fields, "databases");
    if let Some((_, at)) = uses.get(THROW_AWAY_MAX) {
        let message = format!("`{}.databases` names more than {THROW_AWAY_MAX} databases", fields.path);
        reader.report(Code::TooLarge, at.clone(), message, "name those that the tests need");
    }
    uses
}

/// These say how a command is run.
fn refuse_without_command(reader: &mut Reader<'_>, fields: &Fields<'_>) {
    for key in ["env", "memory"] {
        let Some(value) = fields.find(key) else { continue };
        let message = format!("`{}` is about `command`, and here is none", value.path);
        let hint = "remove it, or add command = [\"npm\", \"test\"]; a stage of a Dockerfile says itself what it needs";
        reader.report(Code::Conflict, value.key_at, message, hint);
    }
    let Some(value) = fields.find("databases") else { return };
    let message = format!(
        "`{}` is for `command`: the steps of a stage run inside of the build, where no database can be reached",
        value.path
    );
    let hint = "add command = [\"npm\", \"test\"], which runs in a task of the image that the stage makes";
    reader.report(Code::Conflict, value.key_at, message, hint);
}
