//! Time zones by name, out of the database that is compiled in: both sides of a wire know the same ones.

use std::fmt;
use std::str::FromStr;

use jiff::tz::{TimeZone, TimeZoneDatabase};

/// Name of a time zone. Its grammar is all that is checked when it is read, so that a zone another version does not know any more
/// makes no stored text unreadable; whether there is such a zone is asked with [`Zone::is_known`].
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Zone(String);

/// The hour, day, week, month and year of an instant in one zone, each as its text: two instants share one when the texts are equal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Periods {
    /// `2026-10-25T02+02`: with the distance to UTC, so that the hour that comes twice is two.
    pub hour: String,
    /// `2026-10-25`.
    pub day: String,
    /// `2026-W43`, of ISO 8601: from Monday to Sunday, and with the year that the week belongs to.
    pub week: String,
    /// `2026-10`.
    pub month: String,
    /// `2026`.
    pub year: String,
}

/// Text that cannot name a time zone.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{text}` is not the name of a time zone, such as Europe/Paris or UTC: 1 to 64 of the characters A-Z, a-z, 0-9, _, +, - \
     and /, starting with a letter"
)]
pub struct ZoneError {
    text: String,
}

impl FromStr for Zone {
    type Err = ZoneError;

    fn from_str(text: &str) -> Result<Self, ZoneError> {
        let is_ok = (1..=64).contains(&text.len())
            && text.as_bytes()[0].is_ascii_alphabetic()
            && text
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'+' | b'-' | b'/'));
        if is_ok {
            return Ok(Self(text.to_owned()));
        }
        Err(ZoneError { text: text.chars().take(48).flat_map(char::escape_default).collect() })
    }
}

impl fmt::Display for Zone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Default for Zone {
    fn default() -> Self {
        Self("UTC".to_owned())
    }
}

impl Zone {
    /// The usual one, which is left out where it is stored.
    pub fn is_utc(&self) -> bool {
        self.0 == "UTC"
    }

    /// Whether the database has it.
    pub fn is_known(&self) -> bool {
        self.find().is_some()
    }

    /// The zone a person most likely meant.
    pub fn nearest(&self) -> Option<String> {
        let wanted = self.0.to_lowercase();
        let database = TimeZoneDatabase::bundled();
        let names = database.available().map(|name| name.as_str().to_owned());
        names
            .map(|name| (strsim::damerau_levenshtein(&wanted, &name.to_lowercase()), name))
            .filter(|(distance, _)| *distance <= 2)
            .min()
            .map(|(_, name)| name)
    }

    /// Where an instant, in milliseconds since the Unix epoch, lies in the calendar of this zone; nothing for a zone that the
    /// database does not know, and for times outside of the calendar.
    pub fn periods(&self, millis: i64) -> Option<Periods> {
        let local = jiff::Timestamp::from_millisecond(millis).ok()?.to_zoned(self.find()?);
        let date = local.date();
        let week = date.iso_week_date();
        Some(Periods {
            hour: format!("{date}T{:02}{}", local.hour(), local.offset()),
            day: date.to_string(),
            week: format!("{:04}-W{:02}", week.year(), week.week()),
            month: format!("{:04}-{:02}", date.year(), date.month()),
            year: format!("{:04}", date.year()),
        })
    }

    pub(crate) fn find(&self) -> Option<TimeZone> {
        if self.is_utc() {
            return Some(TimeZone::UTC);
        }
        TimeZoneDatabase::bundled().get(&self.0).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn periods(zone: &str, at: &str) -> Periods {
        let at: jiff::Timestamp = at.parse().expect("is an instant");
        zone.parse::<Zone>().expect("is a zone").periods(at.as_millisecond()).expect("is in the calendar")
    }

    #[test]
    fn periods_are_those_of_the_zone() {
        let found = periods("Europe/Paris", "2025-12-31T23:30:00Z");
        assert_eq!(found.hour, "2026-01-01T00+01");
        assert_eq!((found.day.as_str(), found.week.as_str()), ("2026-01-01", "2026-W01"));
        assert_eq!((found.month.as_str(), found.year.as_str()), ("2026-01", "2026"));
        // A week belongs to the year that has its Thursday.
        assert_eq!(periods("UTC", "2027-01-03T12:00:00Z").week, "2026-W53");
    }

    #[test]
    fn a_zone_nobody_knows_has_no_calendar() {
        assert_eq!("Mars/Olympus".parse::<Zone>().expect("has the grammar").periods(0), None);
        assert_eq!(Zone::default().periods(i64::MAX), None);
    }
}
