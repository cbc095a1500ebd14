//! Contexts: the servers this user knows, in one file that nobody else may read. Tests at the end of the file and in
//! `tests/it/context.rs`.

pub(crate) mod add;
pub(crate) mod list;
pub(crate) mod remove;
pub(crate) mod select;

use std::collections::BTreeMap;
use std::fs::OpenOptions;
use std::io::{ErrorKind, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::exit::CliError;

/// Largest contexts file.
const FILE_MAX: u64 = 1024 * 1024;

/// Content of the file.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Contexts {
    /// The one that is used when nothing else is said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) current: Option<String>,
    /// By name.
    pub(crate) contexts: BTreeMap<String, Stored>,
}

/// One server. Its `Debug` form hides the token.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Stored {
    /// TCP address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) url: Option<String>,
    /// Path of a socket.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) socket: Option<PathBuf>,
    /// Access token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) token: Option<String>,
}

impl std::fmt::Debug for Stored {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Stored").field("url", &self.url).field("socket", &self.socket).finish_non_exhaustive()
    }
}

impl Stored {
    /// Where it is, for people.
    pub(crate) fn address(&self) -> String {
        match (&self.url, &self.socket) {
            (Some(url), _) => url.clone(),
            (None, Some(socket)) => socket.display().to_string(),
            (None, None) => "nowhere".to_owned(),
        }
    }
}

/// Where the file is.
pub(crate) fn path() -> Result<PathBuf, CliError> {
    let folder = |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let config = folder("XDG_CONFIG_HOME").or_else(|| folder("HOME").map(|home| home.join(".config")));
    let config = config.ok_or_else(|| CliError::usage("neither HOME nor XDG_CONFIG_HOME is set"))?;
    Ok(config.join("havre").join("contexts.toml"))
}

/// Reads the file; one that does not exist is empty.
pub(crate) fn load(path: &Path) -> Result<Contexts, CliError> {
    let failed = |error: std::io::Error| CliError::io(format!("read {}", path.display()), &error);
    let file = match std::fs::File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Contexts::default()),
        Err(error) => return Err(failed(error)),
    };
    if file.metadata().map_err(failed)?.mode() & 0o077 != 0 {
        return Err(CliError::usage(format!(
            "{} holds access tokens and others may read it",
            path.display()
        ))
        .hint(format!("chmod 600 {}", path.display())));
    }
    let mut text = String::new();
    file.take(FILE_MAX).read_to_string(&mut text).map_err(failed)?;
    // The parser's own message would show the line, and with it perhaps a token.
    toml::from_str(&text).map_err(|error| {
        let line = error.span().map_or(0, |span| text[..span.start].matches('\n').count() + 1);
        CliError::usage(format!("{} is damaged at line {line}: {}", path.display(), error.message()))
            .hint("repair it, or move it away and add your contexts again")
    })
}

/// Writes the file whole or not at all.
pub(crate) fn save(path: &Path, contexts: &Contexts) -> Result<(), CliError> {
    let failed = |error: std::io::Error| CliError::io(format!("write {}", path.display()), &error);
    let folder = path.parent().expect("the path has a folder");
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(failed)?;
    let text = toml::to_string(contexts).expect("contexts are always TOML");
    let temporary = folder.join(format!(".contexts.{}.tmp", std::process::id()));
    let write = || -> std::io::Result<()> {
        let mut file =
            OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&temporary)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        std::fs::rename(&temporary, path)
    };
    write().map_err(|error| {
        // Best effort: the error that matters is the first.
        let _ = std::fs::remove_file(&temporary);
        failed(error)
    })
}

/// The context of that name.
pub(crate) fn find<'c>(contexts: &'c Contexts, name: &str) -> Result<&'c Stored, CliError> {
    contexts.contexts.get(name).ok_or_else(|| unknown(contexts, name))
}

/// There is no context of that name.
pub(crate) fn unknown(contexts: &Contexts, name: &str) -> CliError {
    let names: Vec<&str> = contexts.contexts.keys().map(String::as_str).collect();
    let hint = if names.is_empty() {
        "there are none; add one with `havre context add`".to_owned()
    } else {
        format!("there are: {}", names.join(", "))
    };
    CliError::usage(format!("there is no context `{}`", crate::output::printable(name))).hint(hint)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn round_trip_and_mode() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("havre/contexts.toml");
        let mut contexts = Contexts { current: Some("prod".to_owned()), ..Contexts::default() };
        let stored = Stored {
            url: Some("http://127.0.0.1:7080".to_owned()),
            socket: None,
            token: Some("havre_secret".to_owned()),
        };
        assert!(!format!("{stored:?}").contains("secret"));
        contexts.contexts.insert("prod".to_owned(), stored);
        save(&path, &contexts).expect("is written");
        assert_eq!(load(&path).expect("is read"), contexts);
        assert_eq!(std::fs::metadata(&path).expect("is there").mode() & 0o777, 0o600);
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).expect("is ours");
        let error = load(&path).expect_err("others may read it");
        assert!(error.hint.starts_with("chmod 600 "), "{error}");
    }

    #[test]
    fn a_damaged_file_shows_no_token() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("contexts.toml");
        std::fs::write(&path, "[contexts.a]\ntoken = havre_secret\n").expect("is written");
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).expect("is ours");
        let text = load(&path).expect_err("is damaged").to_string();
        assert!(text.contains("line 2") && !text.contains("secret"), "{text}");
    }
}
