//! The mask of one column, as `privacy.toml` writes it. What it does to a value is in `crate::mask`. Tests: `tests/it/policy.rs`.

use havre_core::quantity::Span;
use havre_core::suggest::nearest;

use crate::mask::{JsonRule, JsonStep, Mask};
use crate::name::is_name;
use crate::policy::keys;
use crate::policy::problem::Code;
use crate::policy::read::{Reader, Value, shown};

/// Most characters of a constant.
const CONSTANT_MAX: usize = 1000;
/// Most characters that `partial` leaves at one end.
const KEEP_MAX: u64 = 8;
/// Most steps of a path into JSON.
const STEPS_MAX: usize = 32;
const DAY_MS: u64 = 86_400_000;

/// Reads a mask: a word, or a table with one key.
pub(super) fn read(reader: &mut Reader<'_>, value: &Value<'_>) -> Option<Mask> {
    if value.is_text() {
        return read_word(reader, value);
    }
    let fields = reader.table(&keys::MASK, value)?;
    let entries = fields.all();
    let [(key, inner)] = entries.as_slice() else {
        let message = format!("`{}` needs exactly one mask", value.path);
        reader.report(Code::WrongValue, value.at(), message, "such as { constant = \"free\" }");
        return None;
    };
    match key.as_str() {
        "constant" => {
            let text = reader.text(inner, "text in quotes")?;
            if text.chars().count() > CONSTANT_MAX || text.contains('\0') {
                let message =
                    format!("`{}` has more than {CONSTANT_MAX} characters, or one that is zero", inner.path);
                reader.report(Code::WrongValue, inner.at(), message, "");
                return None;
            }
            Some(Mask::Constant(text.to_owned()))
        }
        "dates_shifted" => read_shift(reader, inner),
        "json" => read_json(reader, inner),
        "partial" => read_partial(reader, inner),
        // Reported already.
        _ => None,
    }
}

fn read_word(reader: &mut Reader<'_>, value: &Value<'_>) -> Option<Mask> {
    let word = reader.text(value, "a mask")?;
    let mask = match word {
        "keep" => Mask::Keep,
        "null" => Mask::Null,
        "email" => Mask::Email,
        "name" => Mask::Name,
        "first_name" => Mask::FirstName,
        "last_name" => Mask::LastName,
        "phone" => Mask::Phone,
        "hash" => Mask::Hash,
        "digits" => Mask::Digits,
        "ip" => Mask::Ip,
        other => {
            let meant = keys::MASKS_MEANT.iter().find(|(theirs, _)| *theirs == other).map(|(_, ours)| *ours);
            let hint = match meant.or_else(|| nearest(other, &keys::MASKS)) {
                Some(near) => format!("did you mean \"{near}\"?"),
                None => format!(
                    "masks are: {}; or a table such as {{ partial = {{ keep_last = 4 }} }}",
                    keys::MASKS.join(", ")
                ),
            };
            let message = format!("`{}`: \"{}\" is not a mask", value.path, shown(other));
            reader.report(Code::UnknownMask, value.at(), message, hint);
            return None;
        }
    };
    Some(mask)
}

fn read_shift(reader: &mut Reader<'_>, value: &Value<'_>) -> Option<Mask> {
    if value.is_text() {
        return Some(Mask::DatesShifted { days: read_days(reader, value)?, by: None });
    }
    let fields = reader.table(&keys::SHIFT, value)?;
    let Some(within) = fields.find("within") else {
        let message = format!("`{}` needs `within`", value.path);
        reader.report(Code::MissingKey, value.at(), message, "such as within = \"30d\"");
        return None;
    };
    let days = read_days(reader, &within)?;
    let by = match fields.find("by") {
        None => None,
        Some(value) => Some(read_column(reader, &value)?),
    };
    Some(Mask::DatesShifted { days, by })
}

/// The name of a column.
pub(super) fn read_column(reader: &mut Reader<'_>, value: &Value<'_>) -> Option<String> {
    let name = reader.text(value, "the name of a column in quotes")?;
    if !is_name(name) {
        let message = format!("`{}`: `{}` is not the name of a column", value.path, shown(name));
        reader.report(Code::WrongValue, value.at(), message, "");
        return None;
    }
    Some(name.to_owned())
}

fn read_days(reader: &mut Reader<'_>, value: &Value<'_>) -> Option<u16> {
    let span: Span = reader.parsed(value, "whole days in quotes, such as \"30d\"")?;
    let days = u16::try_from(span.as_millis() / DAY_MS).unwrap_or(0);
    if !(1..=365).contains(&days) || !span.as_millis().is_multiple_of(DAY_MS) {
        let message = format!("`{}` must be whole days between 1d and 365d", value.path);
        reader.report(Code::WrongValue, value.at(), message, "");
        return None;
    }
    Some(days)
}

fn read_partial(reader: &mut Reader<'_>, value: &Value<'_>) -> Option<Mask> {
    let fields = reader.table(&keys::PARTIAL, value)?;
    let mut kept = [0_usize; 2];
    for (kept, key) in kept.iter_mut().zip(["keep_first", "keep_last"]) {
        if let Some(value) = fields.find(key) {
            *kept = usize::try_from(reader.whole(&value, 0..=KEEP_MAX)?).unwrap_or(0);
        }
    }
    let [first, last] = kept;
    if first + last == 0 {
        let message = format!("`{}` keeps nothing", value.path);
        reader.report(Code::WrongValue, value.at(), message, "such as { keep_last = 4 }, or another mask");
        return None;
    }
    Some(Mask::Partial { first, last })
}

fn read_json(reader: &mut Reader<'_>, value: &Value<'_>) -> Option<Mask> {
    let mut rules = Vec::new();
    for (path, value) in reader.entries(value)? {
        let Some(steps) = read_path(&path) else {
            let message = format!("`{}` is not a path into JSON", shown(&path));
            let hint = "write \"/address/city\", and `*` for every element of a list: \"/contacts/*/email\"";
            reader.report(Code::WrongValue, value.key_at.clone(), message, hint);
            continue;
        };
        let Some(mask) = read(reader, &value) else { continue };
        if matches!(mask, Mask::Json(_) | Mask::DatesShifted { by: Some(_), .. }) {
            let message = format!("`{}` cannot stand inside of JSON", value.path);
            reader.report(Code::WrongValue, value.at(), message, "");
            continue;
        }
        rules.push(JsonRule { steps, mask });
    }
    Some(Mask::Json(rules))
}

/// RFC 6901, with `*` for every element of a list.
fn read_path(path: &str) -> Option<Vec<JsonStep>> {
    let steps: Vec<JsonStep> = path
        .strip_prefix('/')?
        .split('/')
        .map(|step| match step {
            "*" => JsonStep::Element,
            key => JsonStep::Key(key.replace("~1", "/").replace("~0", "~")),
        })
        .collect();
    (steps.len() <= STEPS_MAX).then_some(steps)
}
