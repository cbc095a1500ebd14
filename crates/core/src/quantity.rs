//! Quantities with human units: `512MB`, `0.5`, `30s`. JSON form is the same text. Tests at the end of the file.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use crate::text::text_json;

/// Text that is not a quantity of the kind asked for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not {expected}")]
pub struct QuantityError {
    text: String,
    expected: &'static str,
}

fn error(text: &str, expected: &'static str) -> QuantityError {
    QuantityError { text: text.chars().take(32).collect(), expected }
}

/// Splits `512MB` into `512` and `MB`; digits and at most one dot first.
fn split(text: &str) -> (&str, &str) {
    text.split_at(text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len()))
}

/// A whole number from decimal text of a unit, `None` when it is not exact or too large.
fn scale(number: &str, unit: u64) -> Option<u64> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if whole.is_empty() || fraction.len() > 6 || (number.contains('.') && fraction.is_empty()) {
        return None;
    }
    let mut value = whole.parse::<u64>().ok()?.checked_mul(unit)?;
    if !fraction.is_empty() {
        let parts = fraction.parse::<u64>().ok()?.checked_mul(unit)?;
        let divisor = 10_u64.pow(u32::try_from(fraction.len()).ok()?);
        if parts % divisor != 0 {
            return None;
        }
        value = value.checked_add(parts / divisor)?;
    }
    Some(value)
}

/// A number of bytes. `KB`, `MB`, `GB` and `TB` are powers of 1024, as in Docker and everyday use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ByteSize(u64);

impl ByteSize {
    /// From bytes.
    pub const fn bytes(bytes: u64) -> Self {
        Self(bytes)
    }

    /// From units of 1024 x 1024 bytes.
    pub const fn mebibytes(count: u64) -> Self {
        Self(count * 1024 * 1024)
    }

    /// Number of bytes.
    pub const fn as_bytes(self) -> u64 {
        self.0
    }
}

const SIZE_UNITS: [(&str, u64); 5] =
    [("TB", 1 << 40), ("GB", 1 << 30), ("MB", 1 << 20), ("KB", 1 << 10), ("B", 1)];

impl FromStr for ByteSize {
    type Err = QuantityError;

    fn from_str(text: &str) -> Result<Self, QuantityError> {
        let expected = "a size: a number and one of B, KB, MB, GB, TB, such as 512MB";
        let (number, unit) = split(text);
        SIZE_UNITS
            .iter()
            .find(|(name, _)| *name == unit)
            .and_then(|(_, factor)| scale(number, *factor))
            .map(Self)
            .ok_or_else(|| error(text, expected))
    }
}

impl fmt::Display for ByteSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (name, factor) = SIZE_UNITS
            .into_iter()
            .find(|(_, factor)| self.0 >= *factor && self.0.is_multiple_of(*factor))
            .unwrap_or(("B", 1));
        write!(f, "{}{name}", self.0 / factor)
    }
}

/// A share of processor time in thousandths of a core; text form is cores, such as `0.5`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Cpus(u64);

impl Cpus {
    /// From thousandths of a core.
    pub const fn millis(millis: u64) -> Self {
        Self(millis)
    }

    /// Thousandths of a core.
    pub const fn as_millis(self) -> u64 {
        self.0
    }
}

impl FromStr for Cpus {
    type Err = QuantityError;

    fn from_str(text: &str) -> Result<Self, QuantityError> {
        match scale(text, 1000) {
            Some(millis) if (10..=1_024_000).contains(&millis) => Ok(Self(millis)),
            _ => Err(error(text, "a number of cores between 0.01 and 1024, such as 0.5")),
        }
    }
}

impl fmt::Display for Cpus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = format!("{}.{:03}", self.0 / 1000, self.0 % 1000);
        f.write_str(text.trim_end_matches('0').trim_end_matches('.'))
    }
}

/// A length of time; text form is `30s`, `250ms`, `10m`, `12h` or `7d`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Span(u64);

impl Span {
    /// From milliseconds.
    pub const fn millis(millis: u64) -> Self {
        Self(millis)
    }

    /// From seconds.
    pub const fn seconds(seconds: u64) -> Self {
        Self(seconds * 1000)
    }

    /// Number of milliseconds.
    pub const fn as_millis(self) -> u64 {
        self.0
    }

    /// As the type the standard library uses.
    pub const fn duration(self) -> Duration {
        Duration::from_millis(self.0)
    }
}

const SPAN_UNITS: [(&str, u64); 5] =
    [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1000), ("ms", 1)];

impl FromStr for Span {
    type Err = QuantityError;

    fn from_str(text: &str) -> Result<Self, QuantityError> {
        let (number, unit) = split(text);
        SPAN_UNITS
            .iter()
            .find(|(name, _)| *name == unit)
            .and_then(|(_, factor)| scale(number, *factor))
            .filter(|millis| *millis <= 366 * 86_400_000)
            .map(Self)
            .ok_or_else(|| error(text, "a length of time: a number and one of ms, s, m, h, d, such as 30s"))
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0 == 0 {
            return f.write_str("0s");
        }
        let (name, factor) =
            SPAN_UNITS.into_iter().find(|(_, factor)| self.0.is_multiple_of(*factor)).unwrap_or(("ms", 1));
        write!(f, "{}{name}", self.0 / factor)
    }
}

text_json! { ByteSize Cpus Span }

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes() {
        assert_eq!("512MB".parse(), Ok(ByteSize::mebibytes(512)));
        assert_eq!("1.5GB".parse(), Ok(ByteSize::mebibytes(1536)));
        assert_eq!(ByteSize::mebibytes(1536).to_string(), "1536MB");
        for wrong in ["512", "512Mb", "512 MB", "-1MB", "", "MB", "1.MB", "99999999999TB", "0x1MB"] {
            assert!(wrong.parse::<ByteSize>().is_err(), "{wrong:?} must not parse");
        }
    }

    #[test]
    fn cores() {
        assert_eq!("0.5".parse(), Ok(Cpus::millis(500)));
        assert_eq!(Cpus::millis(1500).to_string(), "1.5");
        assert_eq!(Cpus::millis(2000).to_string(), "2");
        for wrong in ["0", "0.0001", "2000", "half", "1e3", ""] {
            assert!(wrong.parse::<Cpus>().is_err(), "{wrong:?} must not parse");
        }
    }

    #[test]
    fn lengths_of_time() {
        assert_eq!("30s".parse(), Ok(Span::seconds(30)));
        assert_eq!("250ms".parse(), Ok(Span::millis(250)));
        assert_eq!(Span::seconds(90).to_string(), "90s");
        assert_eq!(Span::seconds(120).to_string(), "2m");
        for wrong in ["30", "30sec", "s", "-1s", "1y", "400d", "30 s"] {
            assert!(wrong.parse::<Span>().is_err(), "{wrong:?} must not parse");
        }
    }
}
