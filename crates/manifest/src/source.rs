//! Reads what services and sites share: a Dockerfile with its context, and tables of variables.
//! Tests: `tests/it/manifest.rs`.

use std::collections::{BTreeMap, BTreeSet};

use crate::ENV_BYTES_MAX;
use crate::problem::Code;
use crate::read::{Fields, Reader, Value};
use havre_core::name::{BuildSecretName, EnvKey, RelativePath};
use havre_core::service::spec::DockerfileSource;
use havre_core::task::spec::is_own_variable;
use havre_decide::secret::provider::reference;

/// Reads the keys that belong to a Dockerfile, whose own value is given. `None` when one has a problem.
pub(super) fn read_dockerfile(
    reader: &mut Reader<'_>,
    fields: &Fields<'_>,
    dockerfile: &Value<'_>,
) -> Option<DockerfileSource> {
    let dockerfile_path: Option<RelativePath> = read_path(reader, dockerfile);
    let context = match fields.find("context") {
        Some(value) => read_path(reader, &value),
        None => Some(RelativePath::here()),
    };
    let target = match fields.find("target") {
        Some(value) => Some(reader.parsed(&value)?),
        None => None,
    };
    let args = match fields.find("args") {
        Some(value) => read_variables(reader, &value),
        None => BTreeMap::new(),
    };
    let secrets = read_build_secrets(reader, fields);
    let dockerfile_path = dockerfile_path?;
    if dockerfile_path.as_str() == "." {
        let message = format!("`{}` names a folder", dockerfile.path);
        reader.report(Code::WrongValue, dockerfile.at(), message, "name the file, such as \"Dockerfile\"");
        return None;
    }
    let context = context?;
    Some(DockerfileSource { context, dockerfile: dockerfile_path, target, args, written_for: None, secrets })
}

/// Reads the keys of a program or site whose Dockerfile nobody named; `root` is its folder. Keys that mean nothing without
/// a name are `refused`. `None` when one has a problem.
pub(super) fn read_written(
    reader: &mut Reader<'_>,
    fields: &Fields<'_>,
    refused: &[&str],
) -> Option<DockerfileSource> {
    for key in refused {
        if let Some(value) = fields.find(key) {
            let message =
                format!("`{}` belongs to `dockerfile`, and Havre writes that itself here", value.path);
            reader.report(Code::Conflict, value.key_at.clone(), message, "remove it, or name a `dockerfile`");
        }
    }
    let context = match fields.find("context") {
        Some(value) => read_path(reader, &value),
        None => Some(RelativePath::here()),
    };
    let args = match fields.find("args") {
        Some(value) => read_variables(reader, &value),
        None => BTreeMap::new(),
    };
    // The folder may hold a Dockerfile of its own, and that may ask for them.
    let secrets = read_build_secrets(reader, fields);
    let Some(root) = fields.find("root") else {
        let context = context?;
        let source = DockerfileSource::written(context.clone(), context, args);
        return Some(DockerfileSource { secrets, ..source });
    };
    let folder = read_path(reader, &root)?;
    let source = DockerfileSource { secrets, ..DockerfileSource::written(context?, folder, args) };
    if source.root_in_context().is_none() {
        let message = format!("`{}` lies outside of `context`, which is all that the build sees", root.path);
        let hint = "leave `context` out, or name one that holds it";
        reader.report(Code::Conflict, root.at(), message, hint);
        return None;
    }
    Some(source)
}

/// Names of secrets that steps may mount; leaves out what has problems.
fn read_build_secrets(reader: &mut Reader<'_>, fields: &Fields<'_>) -> BTreeSet<BuildSecretName> {
    let mut secrets = BTreeSet::new();
    let Some(value) = fields.find("build_secrets") else { return secrets };
    for name in reader.list(&value, "a list of names such as [\"NPM_TOKEN\"]").unwrap_or_default() {
        let Some(parsed) = reader.parsed::<BuildSecretName>(&name) else { continue };
        if secrets.contains(&parsed) {
            let message = format!("`{}` names {parsed} a second time", name.path);
            reader.report(Code::Conflict, name.at(), message, "remove one of them");
        }
        secrets.insert(parsed);
    }
    secrets
}

/// A path inside the repository; `./x` and `x/` are written by people and mean `x`.
pub(super) fn read_path(reader: &mut Reader<'_>, value: &Value<'_>) -> Option<RelativePath> {
    let text = reader.text(value, "a path in quotes")?;
    let mut plain = text;
    while let Some(rest) = plain.strip_prefix("./") {
        plain = rest;
    }
    let plain = plain.strip_suffix('/').unwrap_or(plain);
    let is_here = plain.is_empty() && text.starts_with('.');
    reader.parsed_text(if is_here { "." } else { plain }, value)
}

/// Refuses keys that mean nothing without a Dockerfile.
pub(super) fn refuse_build_keys(reader: &mut Reader<'_>, fields: &Fields<'_>, keys: &[&str], other: &str) {
    for key in keys {
        if let Some(value) = fields.find(key) {
            let message = format!("`{}` belongs to `dockerfile`, and `{other}` needs no build", value.path);
            reader.report(Code::Conflict, value.key_at.clone(), message, "remove one of them");
        }
    }
}

/// Environment variables or build arguments; leaves out what has problems.
pub(super) fn read_variables(reader: &mut Reader<'_>, value: &Value<'_>) -> BTreeMap<EnvKey, String> {
    let mut variables = BTreeMap::new();
    for (key, value) in reader.entries(value).unwrap_or_default() {
        let Some(key) = reader.parsed_key::<EnvKey>(&key, &value) else { continue };
        let Some(text) = reader.text(&value, "text in quotes: variables are always text") else { continue };
        if text.contains('\0') {
            let message = format!("`{}` holds a NUL byte, which no variable can", value.path);
            reader.report(Code::WrongValue, value.at(), message, "");
            continue;
        }
        variables.insert(key, text.to_owned());
    }
    variables
}

/// Environment variables of a task: the ones Havre sets itself are refused.
pub(super) fn read_env(reader: &mut Reader<'_>, value: &Value<'_>) -> BTreeMap<EnvKey, String> {
    let variables = read_variables(reader, value);
    for key in variables.keys().filter(|key| is_own_variable(key.as_str())) {
        let hint = match key.as_str() {
            "PORT" => "set `port` of the service instead",
            _ => "every task has it; remove it here",
        };
        let message = format!("`{}.{key}`: Havre sets this variable itself", value.path);
        reader.report(Code::Conflict, value.key_of(key.as_str()), message, hint);
    }
    for (key, _) in variables.iter().filter(|(_, text)| reference::is_broken(text)) {
        let message = format!("`{}.{key}` begins a reference to a secret and names none", value.path);
        let hint = "write it as ${secrets.NAME}, or as ${secrets.PROVIDER:PLACE} for a value of a provider";
        reader.report(Code::WrongValue, value.key_of(key.as_str()), message, hint);
    }
    let bytes: usize = variables.iter().map(|(key, text)| key.as_str().len() + text.len() + 2).sum();
    if bytes > ENV_BYTES_MAX {
        let message = format!("`{}` has {bytes} bytes, more than {ENV_BYTES_MAX}", value.path);
        reader.report(Code::TooLarge, value.key_at.clone(), message, "put large data into a file");
    }
    variables
}
