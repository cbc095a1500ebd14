//! The master key: made by `havred key create`, read at the start of control. Tests: those of `havre_store::seal`, and at the
//! end of the file.

use std::path::Path;

use havre_store::{KeyError, MasterKey};

/// `havred key create`.
pub(crate) fn create(path: &Path) -> anyhow::Result<()> {
    let key = MasterKey::create(path)?;
    println!("master key {} written to {}", key.name(), path.display());
    println!(
        "Keep a copy of it away from this machine and from backups of its store: without it, what it sealed is lost."
    );
    Ok(())
}

/// The key, where there is one. A missing file is none: the store refuses by itself if it holds what a key has sealed. Any
/// other trouble with the file is an error, because going on without the key would hide it.
pub(crate) fn load(path: &Path) -> anyhow::Result<Option<MasterKey>> {
    match MasterKey::load(path) {
        Ok(key) => Ok(Some(key)),
        Err(error @ KeyError::Missing { .. }) => {
            tracing::warn!(%error, "no certificates can be ordered or uploaded until there is one");
            Ok(None)
        }
        Err(error) => Err(error.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_key_is_none_and_a_broken_one_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("master.key");
        assert!(load(&path).unwrap().is_none());
        std::fs::write(&path, "nonsense").unwrap();
        assert!(load(&path).is_err());
        std::fs::remove_file(&path).unwrap();
        create(&path).unwrap();
        assert!(load(&path).unwrap().is_some());
        assert!(create(&path).is_err());
    }
}
