//! Schedules: five fields of cron and a time zone, and the instants that follow from them. Pure: opens no file, reads no clock.
//!
//! A crate of its own because it isolates a heavy dependency: croner with its macros, and the database of time zones, which
//! is compiled in. It knows nothing of jobs; those are `havre_core::job`. Tests: `tests/it`.

mod cron;
mod zone;

pub use cron::{Occurrences, Schedule, ScheduleError};
pub use zone::{Periods, Zone, ZoneError};

/// Makes types with `Display` and `FromStr` read and write as their text.
macro_rules! text_json {
    ($($name:ident)*) => {$(
        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = <std::borrow::Cow<'de, str> as serde::Deserialize<'de>>::deserialize(deserializer)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }
    )*};
}

text_json! { Schedule Zone }
