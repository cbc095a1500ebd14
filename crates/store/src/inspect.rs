//! A look into a store that somebody else has open, or nobody: without its lock, and without writing anything. For whoever has to see how things
//! stand while control does not run. Tests: `tests/it/inspect.rs`.

use std::path::Path;

use crate::error::StoreError;
use crate::migration::{is_foreign, versions};
use crate::open;
use crate::view::{self, View};

/// Runs `f` on one consistent snapshot of the store at `path`. Nothing that is sealed in it can be read. Blocks.
///
/// # Errors
/// There is no store, or it is of another version of havred: control brings it up to date when it starts. Those of `f`.
pub fn inspect<T>(path: &Path, f: impl FnOnce(&View<'_>) -> Result<T, StoreError>) -> Result<T, StoreError> {
    let mut connection = open::open_reader(path)?;
    if is_foreign(&connection)? {
        return Err(StoreError::NotAStore { path: path.to_owned() });
    }
    match versions(&connection)? {
        (found, known) if found > known => Err(StoreError::NewerSchema { found, known }),
        (found, known) if found < known => Err(StoreError::OlderSchema { found, known }),
        _ => view::read(&mut connection, None, f),
    }
}
