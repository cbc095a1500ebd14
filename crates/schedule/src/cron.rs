//! Five fields of cron, or a name such as `@daily`. The grammar is ours and closed, so that every error has a place and a way
//! out, and that no other version of a library makes a stored text unreadable. Which instants follow from it, also where a
//! clock is put forward or back, is croner's answer.

use std::fmt;
use std::ops::Range;
use std::str::FromStr;

use croner::Cron;
use jiff::tz::TimeZone;

use crate::zone::Zone;

/// Longest text, in bytes; a real one has about ten.
const TEXT_MAX: usize = 200;

/// When something runs.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Schedule {
    /// As it was written, with single spaces.
    text: String,
    /// Five fields of numbers.
    fields: String,
}

/// Text that is not a schedule.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not a schedule: {message}")]
pub struct ScheduleError {
    text: String,
    /// What is wrong, for people.
    pub message: String,
    /// What to do, for people.
    pub hint: String,
    /// Bytes of the text that are wrong.
    pub at: Range<usize>,
}

/// What is wrong with one place, before the whole text is added.
struct Wrong {
    at: Range<usize>,
    message: String,
    hint: String,
}

fn wrong<T>(at: Range<usize>, message: impl Into<String>, hint: impl Into<String>) -> Result<T, Wrong> {
    Err(Wrong { at, message: message.into(), hint: hint.into() })
}

struct Field {
    name: &'static str,
    least: u32,
    most: u32,
    /// Words for its values, from `first_word` on.
    words: &'static [&'static str],
    first_word: u32,
    example: &'static str,
}

const fn numbers(name: &'static str, least: u32, most: u32, example: &'static str) -> Field {
    Field { name, least, most, words: &[], first_word: 0, example }
}

const MONTHS: [&str; 12] =
    ["JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC"];
const DAYS: [&str; 7] = ["SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"];

const FIELDS: [Field; 5] = [
    numbers("minute", 0, 59, "*/15 or 0,30"),
    numbers("hour", 0, 23, "3 or 8-18"),
    numbers("day of the month", 1, 31, "1 or 1,15"),
    Field { words: &MONTHS, first_word: 1, ..numbers("month", 1, 12, "1-6 or JAN") },
    Field {
        words: &DAYS,
        first_word: 0,
        ..numbers("day of the week", 0, 7, "1-5 or MON-FRI; 0 and 7 are Sunday")
    },
];

/// Names, and what they stand for.
const NICKNAMES: [(&str, &str); 7] = [
    ("@hourly", "0 * * * *"),
    ("@daily", "0 0 * * *"),
    ("@midnight", "0 0 * * *"),
    ("@weekly", "0 0 * * 0"),
    ("@monthly", "0 0 1 * *"),
    ("@yearly", "0 0 1 1 *"),
    ("@annually", "0 0 1 1 *"),
];

/// Days of each month in the longest year.
const MONTH_LENGTHS: [u32; 12] = [31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];

impl FromStr for Schedule {
    type Err = ScheduleError;

    fn from_str(text: &str) -> Result<Self, ScheduleError> {
        parse(text).map_err(|Wrong { at, message, hint }| {
            let text = text.chars().take(48).flat_map(char::escape_default).collect();
            ScheduleError { text, message, hint, at }
        })
    }
}

impl fmt::Display for Schedule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Schedule {
    /// Its instants behind `after`, in order, for ever, in milliseconds since 1970; none at all in a zone nobody knows.
    pub fn occurrences(&self, zone: &Zone, after: i64) -> Occurrences {
        let parts = zone.find().and_then(|zone| Some((Cron::from_str(&self.fields).ok()?, zone)));
        Occurrences { parts, at: after }
    }
}

/// Instants of a schedule.
#[derive(Debug)]
pub struct Occurrences {
    parts: Option<(Cron, TimeZone)>,
    at: i64,
}

impl Iterator for Occurrences {
    type Item = i64;

    fn next(&mut self) -> Option<i64> {
        let (cron, zone) = self.parts.as_ref()?;
        let from = jiff::Timestamp::from_millisecond(self.at).ok()?.to_zoned(zone.clone());
        let found = cron.find_next_occurrence(&from, false).ok()?.timestamp().as_millisecond();
        // Whatever a library says: time goes forward, or a loop over it would not end.
        if found <= self.at {
            return None;
        }
        self.at = found;
        Some(found)
    }
}

fn parse(text: &str) -> Result<Schedule, Wrong> {
    if text.len() > TEXT_MAX {
        return wrong(0..0, format!("it has more than {TEXT_MAX} bytes"), "");
    }
    let words = words(text);
    let plain = words.iter().map(|at| &text[at.clone()]).collect::<Vec<_>>().join(" ");
    if plain.starts_with('@') {
        let lower = plain.to_ascii_lowercase();
        let Some((name, fields)) = NICKNAMES.into_iter().find(|(name, _)| *name == lower) else {
            let names = NICKNAMES.map(|(name, _)| name).join(", ");
            return wrong(0..text.len(), "there is no such name", format!("names are: {names}"));
        };
        return Ok(Schedule { text: name.to_owned(), fields: fields.to_owned() });
    }
    if words.len() != FIELDS.len() {
        let names = FIELDS.map(|field| field.name).join(", ");
        let message = format!("it has {} fields, not 5", words.len());
        return wrong(
            0..text.len(),
            message,
            format!("write {names}, such as \"0 3 * * *\" for every day at 3:00"),
        );
    }
    let mut sets = [0_u64; 5];
    let mut fields = Vec::new();
    for ((field, at), set) in FIELDS.iter().zip(&words).zip(&mut sets) {
        fields.push(parse_field(field, text, at.clone(), set)?);
    }
    if fields[4] == "*" {
        check_days(&sets, words[2].clone())?;
    }
    Ok(Schedule { text: plain, fields: fields.join(" ") })
}

/// Where the words are.
fn words(text: &str) -> Vec<Range<usize>> {
    let mut found = Vec::new();
    let mut start = None;
    for (at, character) in text.char_indices() {
        match (character.is_ascii_whitespace(), start) {
            (false, None) => start = Some(at),
            (true, Some(from)) => {
                found.push(from..at);
                start = None;
            }
            _ => {}
        }
    }
    found.extend(start.map(|from| from..text.len()));
    found
}

/// One field as numbers; its values become bits of `set`.
fn parse_field(field: &Field, text: &str, at: Range<usize>, set: &mut u64) -> Result<String, Wrong> {
    let mut parts = Vec::new();
    let mut start = at.start;
    for part in text[at].split(',') {
        let at = start..start + part.len();
        start = at.end + 1;
        parts.push(parse_part(field, part, at, set)?);
    }
    // Everything is everything, however it is written: two limited fields of days are alternatives, a star is not.
    if parts.iter().any(|part| part == "*") { Ok("*".to_owned()) } else { Ok(parts.join(",")) }
}

/// `*`, `*/5`, `3`, `1-5` or `1-5/2`.
fn parse_part(field: &Field, part: &str, at: Range<usize>, set: &mut u64) -> Result<String, Wrong> {
    let (range, step) = match part.split_once('/') {
        Some((range, step)) => (range, Some(step)),
        None => (part, None),
    };
    let (from, to, is_range) = match range.split_once('-') {
        _ if range == "*" => (field.least, field.most, true),
        Some((from, to)) => {
            let (from, to) = (parse_value(field, from, &at)?, parse_value(field, to, &at)?);
            // A week may be said to end on Sunday.
            let is_sunday = field.most == 7 && to == 0 && from > 0;
            (from, if is_sunday { 7 } else { to }, true)
        }
        None => {
            let value = parse_value(field, range, &at)?;
            (value, value, false)
        }
    };
    if from > to {
        return wrong(
            at,
            format!("`{range}` ends before it begins"),
            "write the smaller one first, or two ranges",
        );
    }
    let step_size = match step {
        None => 1,
        Some(_) if !is_range => {
            let hint = format!("write */{0} or {from}-{1}/{0}", step.unwrap_or_default(), field.most);
            return wrong(at, "a step needs a range", hint);
        }
        Some(step) => parse_step(field, step, &at)?,
    };
    for value in (from..=to).step_by(usize::try_from(step_size).unwrap_or(1)) {
        *set |= 1_u64 << value;
    }
    let text = match (range == "*", is_range, step_size) {
        (true, _, 1) => "*".to_owned(),
        (true, _, step) => format!("*/{step}"),
        (false, true, 1) => format!("{from}-{to}"),
        (false, true, step) => format!("{from}-{to}/{step}"),
        (false, false, _) => from.to_string(),
    };
    Ok(text)
}

fn parse_value(field: &Field, text: &str, at: &Range<usize>) -> Result<u32, Wrong> {
    let word = field.words.iter().position(|word| word.eq_ignore_ascii_case(text));
    if let Some(index) = word {
        return Ok(field.first_word + u32::try_from(index).unwrap_or_default());
    }
    let is_number = (1..=2).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
    let value = text.parse::<u32>().ok().filter(|_| is_number);
    match value {
        Some(value) if (field.least..=field.most).contains(&value) => Ok(value),
        Some(value) => {
            let message =
                format!("{value} is no {}: they go from {} to {}", field.name, field.least, field.most);
            wrong(at.clone(), message, format!("such as {}", field.example))
        }
        None => {
            let shown: String = text.chars().take(16).flat_map(char::escape_default).collect();
            wrong(at.clone(), format!("`{shown}` is no {}", field.name), format!("such as {}", field.example))
        }
    }
}

fn parse_step(field: &Field, text: &str, at: &Range<usize>) -> Result<u32, Wrong> {
    let is_number = (1..=2).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
    let step = text.parse::<u32>().ok().filter(|step| is_number && (1..=field.most).contains(step));
    match step {
        Some(step) => Ok(step),
        None => {
            let shown: String = text.chars().take(16).flat_map(char::escape_default).collect();
            let message =
                format!("`{shown}` is no step of the {}: they go from 1 to {}", field.name, field.most);
            wrong(at.clone(), message, format!("such as {}", field.example))
        }
    }
}

/// Some month of it must have one of its days: a schedule that never comes is a mistake.
fn check_days(sets: &[u64; 5], at: Range<usize>) -> Result<(), Wrong> {
    let (days, months) = (sets[2], sets[3]);
    let has_day = |(index, length): (u32, &u32)| {
        let of_month = (1_u64 << (length + 1)) - 1;
        (months & (1_u64 << (index + 1))) != 0 && (days & of_month) != 0
    };
    if (0..).zip(&MONTH_LENGTHS).any(has_day) {
        return Ok(());
    }
    wrong(
        at,
        "none of its months has such a day, so it would never run",
        "choose another day, or another month",
    )
}
