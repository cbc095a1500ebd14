//! Reads `https` and `hsts` of services and sites. Tests: `tests/it/manifest.rs`.

use crate::problem::Code;
use crate::read::{Fields, Reader, Value};
use havre_core::route::https::Hsts;
use havre_core::service::spec::{HttpsMode, HttpsSpec};

/// Reads both keys; what has a problem is reported and left at its default.
pub(super) fn read(reader: &mut Reader<'_>, fields: &Fields<'_>) -> HttpsSpec {
    let modes = [("redirect", HttpsMode::Redirect), ("both", HttpsMode::Both), ("off", HttpsMode::Off)];
    let presets = [
        ("off", None),
        ("short", Some(Hsts::Short)),
        ("year", Some(Hsts::Year)),
        ("subdomains", Some(Hsts::Subdomains)),
        ("preload", Some(Hsts::Preload)),
    ];
    let mode = fields.find("https").and_then(|value| read_word(reader, &value, &modes)).unwrap_or_default();
    let value = fields.find("hsts");
    let hsts = value.as_ref().and_then(|value| read_word(reader, value, &presets)).flatten();
    if let (Some(value), Some(_), HttpsMode::Off) = (value, hsts, mode) {
        let message = format!("`{}` tells browsers to insist on HTTPS, but https = \"off\"", value.path);
        reader.report(Code::Conflict, value.at(), message, "remove one of them");
    }
    HttpsSpec { mode, hsts }
}

fn read_word<T: Copy>(reader: &mut Reader<'_>, value: &Value<'_>, words: &[(&str, T)]) -> Option<T> {
    let names: Vec<String> = words.iter().map(|(word, _)| format!("\"{word}\"")).collect();
    let text = reader.text(value, &format!("one of {}", names.join(", ")))?;
    let found = words.iter().find(|(word, _)| *word == text).map(|(_, meaning)| *meaning);
    if found.is_none() {
        let shown: String = text.chars().take(32).flat_map(char::escape_debug).collect();
        let message = format!("`{}`: `{shown}` is not known", value.path);
        reader.report(Code::WrongValue, value.at(), message, format!("it is one of {}", names.join(", ")));
    }
    found
}
