//! Whether there is room for a build now: one that starts without any is killed half-way, or takes its neighbours along.
//! Tests at the end of the file.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Deserializer};

use havre_core::quantity::{ByteSize, QuantityError};
use havre_core::time::Timestamp;

/// Pause between two looks while there is no room.
pub const LOOK_AGAIN: Duration = Duration::from_secs(10);
/// Longest wait for room.
pub const WAIT_MAX: Duration = Duration::from_secs(3600);

/// What must be free before a build starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Floors {
    /// Memory.
    pub memory: ByteSize,
    /// Room on each disk that a build writes to.
    pub disk: DiskFloor,
}

/// A floor for disks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DiskFloor {
    /// So much.
    Bytes(ByteSize),
    /// So many percent of the whole.
    Percent(u8),
}

impl DiskFloor {
    fn of(self, disk: &Disk) -> ByteSize {
        match self {
            Self::Bytes(bytes) => bytes,
            Self::Percent(percent) => ByteSize::bytes(disk.size.as_bytes() / 100 * u64::from(percent)),
        }
    }
}

impl FromStr for DiskFloor {
    type Err = DiskFloorError;

    fn from_str(text: &str) -> Result<Self, DiskFloorError> {
        let Some(percent) = text.strip_suffix('%') else { return Ok(Self::Bytes(text.parse()?)) };
        match percent.trim().parse() {
            Ok(percent @ 0..=50) => Ok(Self::Percent(percent)),
            _ => Err(DiskFloorError::Percent),
        }
    }
}

impl fmt::Display for DiskFloor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bytes(bytes) => bytes.fmt(f),
            Self::Percent(percent) => write!(f, "{percent}%"),
        }
    }
}

impl<'de> Deserialize<'de> for DiskFloor {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// Why a text is no floor.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DiskFloorError {
    /// It is no size.
    #[error(transparent)]
    Size(#[from] QuantityError),
    /// It is no share.
    #[error("a share of a disk is a whole number of percent from 0% to 50%")]
    Percent,
}

/// How much room there is. What could not be found out is left out, and keeps nobody waiting.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Room {
    /// Memory that is free or can be freed at once (`MemAvailable`).
    pub memory: Option<ByteSize>,
    /// Disks that a build writes to.
    pub disks: Vec<Disk>,
}

/// A disk, as a folder on it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Disk {
    /// The folder.
    pub path: String,
    /// Room for processes that are not root's.
    pub free: ByteSize,
    /// The whole.
    pub size: ByteSize,
}

/// What to do with a build whose turn it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Admission {
    /// Start it.
    Start,
    /// Look again in [`LOOK_AGAIN`].
    Wait {
        /// Why, for people.
        reason: String,
    },
    /// Fail it: nobody has made room.
    GiveUp {
        /// Why, for people.
        reason: String,
    },
}

/// Decides about a build that has waited for room since `since`, where it has.
pub fn admit(room: &Room, floors: &Floors, since: Option<Timestamp>, now: Timestamp) -> Admission {
    let Some(lacks) = find_lack(room, floors) else { return Admission::Start };
    match since {
        Some(since) if now.since(since) >= WAIT_MAX => Admission::GiveUp {
            reason: format!(
                "there was no room for the build for {} minutes: {lacks}",
                WAIT_MAX.as_secs() / 60
            ),
        },
        _ => Admission::Wait { reason: lacks },
    }
}

fn find_lack(room: &Room, floors: &Floors) -> Option<String> {
    if let Some(free) = room.memory.filter(|free| *free < floors.memory) {
        return Some(format!(
            "{} of memory are free, and a build needs {} (havred.toml [build] min_free_memory); stop something, or give \
             the machine more",
            rounded(free),
            floors.memory
        ));
    }
    let full = room.disks.iter().find(|disk| disk.free < floors.disk.of(disk))?;
    Some(format!(
        "{} are free on the disk of {}, and a build needs {} (havred.toml [build] min_free_disk); make room, for example with \
         `docker builder prune`",
        rounded(full.free),
        full.path,
        floors.disk
    ))
}

/// In whole megabytes: nobody needs the rest.
fn rounded(size: ByteSize) -> ByteSize {
    ByteSize::mebibytes(size.as_bytes() >> 20)
}

#[cfg(test)]
mod tests {
    use super::*;

    const FLOORS: Floors =
        Floors { memory: ByteSize::mebibytes(256), disk: DiskFloor::Bytes(ByteSize::mebibytes(2048)) };

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_millis(seconds * 1000)
    }

    fn room(memory: u64, disk: u64) -> Room {
        let disk = Disk {
            path: "/var/lib/docker".to_owned(),
            free: ByteSize::bytes((disk << 20) + 5),
            size: ByteSize::mebibytes(100 * 1024),
        };
        Room { memory: Some(ByteSize::mebibytes(memory)), disks: vec![disk] }
    }

    #[test]
    fn room_is_needed_to_start() {
        assert_eq!(admit(&room(256, 2048), &FLOORS, None, at(0)), Admission::Start);
        assert_eq!(admit(&Room::default(), &FLOORS, None, at(0)), Admission::Start, "nothing is known");
        let Admission::Wait { reason } = admit(&room(4096, 800), &FLOORS, None, at(0)) else { panic!() };
        assert_eq!(
            reason,
            "800MB are free on the disk of /var/lib/docker, and a build needs 2GB (havred.toml [build] min_free_disk); \
             make room, for example with `docker builder prune`"
        );
        let Admission::Wait { reason } = admit(&room(100, 800), &FLOORS, None, at(0)) else { panic!() };
        assert!(reason.starts_with("100MB of memory are free, and a build needs 256MB"), "{reason}");
    }

    #[test]
    fn it_is_waited_for_an_hour() {
        let ask = |now| admit(&room(4096, 800), &FLOORS, Some(at(100)), at(now));
        assert!(matches!(ask(3699), Admission::Wait { .. }));
        let Admission::GiveUp { reason } = ask(3700) else { panic!() };
        assert!(
            reason.starts_with("there was no room for the build for 60 minutes: 800MB are free"),
            "{reason}"
        );
        assert_eq!(admit(&room(4096, 4096), &FLOORS, Some(at(100)), at(9000)), Admission::Start);
    }

    #[test]
    fn a_share_of_the_disk() {
        let floors = Floors { disk: DiskFloor::Percent(5), ..FLOORS };
        assert!(matches!(admit(&room(4096, 5119), &floors, None, at(0)), Admission::Wait { .. }));
        assert_eq!(admit(&room(4096, 5120), &floors, None, at(0)), Admission::Start);
    }

    #[test]
    fn floors_as_people_write_them() {
        assert_eq!("2GB".parse::<DiskFloor>(), Ok(DiskFloor::Bytes(ByteSize::mebibytes(2048))));
        assert_eq!("5%".parse::<DiskFloor>(), Ok(DiskFloor::Percent(5)));
        for wrong in ["", "5", "%", "51%", "-1%", "2 Gb", "five%"] {
            assert!(wrong.parse::<DiskFloor>().is_err(), "{wrong}");
        }
        assert_eq!(format!("{} {}", DiskFloor::Percent(5), FLOORS.disk), "5% 2GB");
    }
}
