//! Time zones by name, out of the database that is compiled in: both sides of a wire know the same ones.

use std::fmt;
use std::str::FromStr;

use jiff::tz::{TimeZone, TimeZoneDatabase};

/// Name of a time zone. Its grammar is all that is checked when it is read, so that a zone another version does not know any more
/// makes no stored text unreadable; whether there is such a zone is asked with [`Zone::is_known`].
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Zone(String);

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

    pub(crate) fn find(&self) -> Option<TimeZone> {
        if self.is_utc() {
            return Some(TimeZone::UTC);
        }
        TimeZoneDatabase::bundled().get(&self.0).ok()
    }
}
