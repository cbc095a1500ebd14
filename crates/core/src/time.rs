//! Instants and lengths of time as data. No clock: `now` is always a parameter. Tests at the end of the file.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// An instant in milliseconds since 1970-01-01T00:00:00Z; JSON and text form are RFC 3339 in UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct Timestamp(i64);

impl Timestamp {
    /// From milliseconds since the Unix epoch.
    pub const fn from_millis(millis: i64) -> Self {
        Self(millis)
    }

    /// Milliseconds since the Unix epoch.
    pub const fn as_millis(self) -> i64 {
        self.0
    }

    /// This instant plus `length`, at most the end of time.
    #[must_use]
    pub fn after(self, length: Duration) -> Self {
        Self(self.0.saturating_add(i64::try_from(length.as_millis()).unwrap_or(i64::MAX)))
    }

    /// Time passed since `earlier`; zero when the clock has jumped back behind it.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }

    /// Parses RFC 3339 text.
    ///
    /// # Errors
    /// Says what is wrong with the text.
    pub fn parse(text: &str) -> Result<Self, TimestampError> {
        let instant: jiff::Timestamp =
            text.parse().map_err(|_| TimestampError { text: text.chars().take(40).collect() })?;
        Ok(Self(instant.as_millisecond()))
    }
}

/// Text that is not an RFC 3339 instant.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not an instant such as 2026-11-24T10:00:00Z")]
pub struct TimestampError {
    text: String,
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match jiff::Timestamp::from_millisecond(self.0) {
            Ok(instant) => write!(f, "{instant:.3}"),
            Err(_) => write!(f, "{} ms since 1970", self.0),
        }
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
        Self::parse(&text).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_round_trips() {
        let instant = Timestamp::from_millis(1_763_978_400_123);
        assert_eq!(instant.to_string(), "2025-11-24T10:00:00.123Z");
        assert_eq!(Timestamp::parse("2025-11-24T10:00:00.123Z"), Ok(instant));
        assert!(Timestamp::parse("yesterday").is_err());
    }

    #[test]
    fn a_clock_that_jumps_back_gives_zero() {
        let later = Timestamp::from_millis(5_000);
        assert_eq!(Timestamp::from_millis(4_000).since(later), Duration::ZERO);
    }
}
