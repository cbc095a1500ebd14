//! Reads `paths` and `paths_ignore`: which paths of the repository matter to a service or site. Tests: `tests/it/manifest_test.rs`.

use crate::problem::Code;
use crate::read::{Fields, Reader};
use havre_core::glob::{Glob, Paths};

/// Reads both; `None` where there are none, so that every push matters.
pub(super) fn read(reader: &mut Reader<'_>, fields: &Fields<'_>) -> Option<Paths> {
    let mut globs = |key: &str| -> Vec<Glob> {
        let Some(value) = fields.find(key) else { return Vec::new() };
        let list = reader.list(&value, "a list of patterns such as [\"apps/api/**\", \"packages/**\"]");
        let Some(list) = list else { return Vec::new() };
        if list.is_empty() {
            let message = format!("`{}` names no path", value.path);
            let hint = "remove it: where none is named, every path matters";
            reader.report(Code::WrongValue, value.at(), message, hint);
        }
        list.iter().filter_map(|pattern| reader.parsed::<Glob>(pattern)).collect()
    };
    let paths = Paths { include: globs("paths"), exclude: globs("paths_ignore") };
    if paths.is_empty() { None } else { Some(paths) }
}
