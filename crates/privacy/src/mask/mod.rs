//! What becomes of one value. The same value under the same salt becomes the same mask in every table, so that joins and foreign keys hold;
//! what stands for a value cannot be turned back without the salt. Which column gets which mask is `policy`'s. Tests: at the end of its
//! files, and `tests/it/property.rs`.

mod digits;
pub(crate) mod fake;
pub(crate) mod json;
mod names;

use std::collections::BTreeMap;
use std::net::IpAddr;

use jiff::civil::Date;
use jiff::{Span, ToSpan as _};

use crate::dump::table::ColumnType;
use crate::salt::{Salt, hex};

/// What stands behind the hash of an address of e-mail; no mail ever leaves for it (RFC 2606).
const EMAIL_END: &str = "@example.invalid";
/// Hex digits before it: 80 bits.
const EMAIL_DIGITS: usize = 20;
/// Hex digits of a hash: 128 bits.
const HASH_DIGITS: usize = 32;
/// Fewest hex digits that no two values of a table share: 64 bits.
pub(crate) const UNIQUE_DIGITS: usize = 16;
/// Fewest hex digits of an address that are taken to be one.
const EMAIL_DIGITS_MIN: usize = 6;

/// What becomes of the values of a column.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Mask {
    Keep,
    Null,
    Email,
    Name,
    FirstName,
    LastName,
    Phone,
    Hash,
    Digits,
    Ip,
    Constant(String),
    /// How many characters stay at each end.
    Partial {
        first: usize,
        last: usize,
    },
    /// By at most so many days, the same for all dates with one value in `by`, or for all.
    DatesShifted {
        days: u16,
        by: Option<String>,
    },
    Json(Vec<JsonRule>),
}

/// A mask for one place in JSON.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct JsonRule {
    pub(crate) steps: Vec<JsonStep>,
    pub(crate) mask: Mask,
}

/// One step into JSON.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum JsonStep {
    Key(String),
    /// Any element of a list.
    Element,
}

impl Mask {
    /// As `privacy.toml` calls it.
    pub(crate) const fn name(&self) -> &'static str {
        match self {
            Self::Keep => "keep",
            Self::Null => "null",
            Self::Email => "email",
            Self::Name => "name",
            Self::FirstName => "first_name",
            Self::LastName => "last_name",
            Self::Phone => "phone",
            Self::Hash => "hash",
            Self::Digits => "digits",
            Self::Ip => "ip",
            Self::Constant(_) => "constant",
            Self::Partial { .. } => "partial",
            Self::DatesShifted { .. } => "dates_shifted",
            Self::Json(_) => "json",
        }
    }

    /// Whether a column of this type can hold what the mask makes. Of types that are not known, the restore will tell.
    pub(crate) fn fits(&self, kind: &ColumnType) -> bool {
        if matches!(kind, ColumnType::Other) {
            return true;
        }
        match self {
            Self::Keep | Self::Null => true,
            Self::Constant(text) => kind.limit().is_none_or(|limit| text.chars().count() <= limit),
            Self::Email => match kind {
                ColumnType::Text { limit } => {
                    limit.is_none_or(|limit| limit >= EMAIL_DIGITS_MIN + EMAIL_END.len())
                }
                _ => false,
            },
            Self::Name | Self::FirstName | Self::LastName | Self::Phone | Self::Partial { .. } => {
                matches!(kind, ColumnType::Text { .. })
            }
            Self::Hash => matches!(kind, ColumnType::Text { .. } | ColumnType::Uuid | ColumnType::Bytes),
            Self::Digits => {
                matches!(kind, ColumnType::Text { .. } | ColumnType::Integer | ColumnType::Number)
            }
            Self::Ip => matches!(kind, ColumnType::Text { .. } | ColumnType::Address),
            Self::DatesShifted { .. } => matches!(kind, ColumnType::Text { .. } | ColumnType::Date),
            Self::Json(_) => matches!(kind, ColumnType::Text { .. } | ColumnType::Json),
        }
    }

    /// Whether two values of a column may get the same mask.
    pub(crate) fn may_collide(&self, kind: &ColumnType) -> bool {
        match self {
            // NULL is never equal to NULL; where it is refused, another check says so.
            Self::Keep | Self::Null | Self::Phone | Self::Digits => false,
            Self::Email => kind.limit().is_some_and(|limit| limit < UNIQUE_DIGITS + EMAIL_END.len()),
            Self::Hash => kind.limit().is_some_and(|limit| limit < UNIQUE_DIGITS),
            Self::DatesShifted { by, .. } => by.is_some(),
            Self::Name
            | Self::FirstName
            | Self::LastName
            | Self::Ip
            | Self::Constant(_)
            | Self::Partial { .. }
            | Self::Json(_) => true,
        }
    }
}

/// What a value becomes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Masked {
    Null,
    /// Stays as it is.
    Same,
    Text(String),
}

/// Why a value cannot be masked, for people; never says the value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Unmasked {
    #[error("is not UTF-8, and so cannot be masked this way")]
    NotUtf8,
    #[error("is not a date of the years 1 to 9999; use \"null\", or \"keep\" if it says nothing of a person")]
    NotADate,
    #[error("is not an address of the network")]
    NotAnAddress,
    #[error("is not valid JSON")]
    NotJson,
    #[error("is JSON nested deeper than 128 levels")]
    DeepJson,
}

/// Masks values under one salt.
#[derive(Debug, Clone)]
pub(crate) struct Painter {
    salt: Salt,
}

impl Painter {
    pub(crate) fn new(salt: Salt) -> Self {
        Self { salt }
    }

    pub(crate) fn salt(&self) -> &Salt {
        &self.salt
    }

    /// Masks a value that is not NULL. `key` is the value of the column that dates are shifted by. An empty text says nothing and stays.
    pub(crate) fn paint(
        &self,
        mask: &Mask,
        kind: &ColumnType,
        value: &[u8],
        key: Option<&[u8]>,
    ) -> Result<Masked, Unmasked> {
        match mask {
            Mask::Keep => return Ok(Masked::Same),
            Mask::Null => return Ok(Masked::Null),
            Mask::Constant(text) => return Ok(Masked::Text(text.clone())),
            _ if value.is_empty() => return Ok(Masked::Same),
            _ => {}
        }
        let painted = match mask {
            Mask::Email => self.email(kind, value),
            Mask::Hash => self.hash(kind, value),
            Mask::Name | Mask::FirstName | Mask::LastName => {
                cut(fake::name(&self.salt, mask, value), kind.limit())
            }
            Mask::Phone => digits::phone(&self.salt, text(value)?),
            Mask::Digits => digits::digits(&self.salt, text(value)?),
            Mask::Ip => self.address(text(value)?)?,
            Mask::Partial { first, last } => partial(text(value)?, *first, *last),
            Mask::DatesShifted { days, .. } => self.shift(*days, text(value)?, key)?,
            Mask::Json(rules) => json::mask(self, rules, text(value)?, &mut BTreeMap::new())?,
            Mask::Keep | Mask::Null | Mask::Constant(_) => return Ok(Masked::Same),
        };
        Ok(Masked::Text(painted))
    }

    fn email(&self, kind: &ColumnType, value: &[u8]) -> String {
        let room = kind.limit().map_or(EMAIL_DIGITS, |limit| limit.saturating_sub(EMAIL_END.len()));
        let local = hex(&self.salt.tag("email", value), EMAIL_DIGITS.min(room));
        format!("{local}{EMAIL_END}")
    }

    fn hash(&self, kind: &ColumnType, value: &[u8]) -> String {
        let tag = self.salt.tag("hash", value);
        let digits = hex(&tag, HASH_DIGITS.min(kind.limit().unwrap_or(HASH_DIGITS)));
        match kind {
            ColumnType::Uuid => {
                let parts = [&digits[..8], &digits[8..12], &digits[12..16], &digits[16..20], &digits[20..]];
                parts.join("-")
            }
            ColumnType::Bytes => format!("\\x{digits}"),
            _ => digits,
        }
    }

    /// An address that belongs to nobody outside: of 10.0.0.0/8, or of fd00::/8. What stands behind a slash stays.
    fn address(&self, value: &str) -> Result<String, Unmasked> {
        let (address, end) = value.split_at(value.find('/').unwrap_or(value.len()));
        let address: IpAddr = address.parse().map_err(|_| Unmasked::NotAnAddress)?;
        let mut tag = self.salt.tag("ip", address.to_string().as_bytes());
        let painted = match address {
            IpAddr::V4(_) => IpAddr::from([10, tag[1], tag[2], tag[3]]),
            IpAddr::V6(_) => {
                tag[0] = 0xfd;
                let mut bytes = [0_u8; 16];
                bytes.copy_from_slice(&tag[..16]);
                IpAddr::from(bytes)
            }
        };
        Ok(format!("{painted}{end}"))
    }

    /// Shifts the date at the beginning by whole days, never by none; the time of day stays.
    fn shift(&self, days: u16, value: &str, key: Option<&[u8]>) -> Result<String, Unmasked> {
        if matches!(value, "infinity" | "-infinity") {
            return Ok(value.to_owned());
        }
        let (date, time) = value.split_at_checked(10).ok_or(Unmasked::NotADate)?;
        let is_time = time.is_empty() || time.starts_with([' ', 'T']);
        if !is_time || time.ends_with("BC") {
            return Err(Unmasked::NotADate);
        }
        let date = read_date(date).ok_or(Unmasked::NotADate)?;
        let number = self.salt.number("dates_shifted", key.unwrap_or_default());
        let distance = 1 + i64::try_from((number >> 1) % u64::from(days.max(1))).unwrap_or(0);
        let offset: Span = if number & 1 == 0 { distance.days() } else { (-distance).days() };
        let shifted = date.checked_add(offset).map_err(|_| Unmasked::NotADate)?;
        if shifted.year() < 1 {
            return Err(Unmasked::NotADate);
        }
        Ok(format!("{:04}-{:02}-{:02}{time}", shifted.year(), shifted.month(), shifted.day()))
    }
}

/// `1984-02-29`, and nothing else.
fn read_date(text: &str) -> Option<Date> {
    let bytes = text.as_bytes();
    let is_shape = bytes.len() == 10
        && bytes.iter().enumerate().all(|(at, byte)| match at {
            4 | 7 => *byte == b'-',
            _ => byte.is_ascii_digit(),
        });
    if !is_shape {
        return None;
    }
    Date::new(text[..4].parse().ok()?, text[5..7].parse().ok()?, text[8..].parse().ok()?).ok()
}

fn text(value: &[u8]) -> Result<&str, Unmasked> {
    std::str::from_utf8(value).map_err(|_| Unmasked::NotUtf8)
}

/// The first characters.
fn cut(text: String, limit: Option<usize>) -> String {
    match limit {
        Some(limit) if text.chars().count() > limit => text.chars().take(limit).collect(),
        _ => text,
    }
}

/// Hides every character but white space and the ends. A value that would be shown by half or more is hidden whole.
fn partial(value: &str, first: usize, last: usize) -> String {
    let length = value.chars().count();
    let (first, last) = if length <= 2 * (first + last) { (0, 0) } else { (first, last) };
    let hidden = first..length - last;
    let painted = value.chars().enumerate().map(|(at, character)| {
        if hidden.contains(&at) && !character.is_ascii_whitespace() { '*' } else { character }
    });
    painted.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use havre_core::secret::Secret;

    const TEXT: ColumnType = ColumnType::Text { limit: None };

    fn painter() -> Painter {
        Painter::new(Salt::new(&Secret::from("correct horse battery staple")).unwrap())
    }

    fn paint(mask: &Mask, kind: &ColumnType, value: &str) -> String {
        match painter().paint(mask, kind, value.as_bytes(), None).unwrap() {
            Masked::Null => "NULL".to_owned(),
            Masked::Same => value.to_owned(),
            Masked::Text(text) => text,
        }
    }

    #[test]
    fn addresses_of_mail_lead_nowhere() {
        let painted = paint(&Mask::Email, &TEXT, "marie@dropit.example");
        assert!(painted.ends_with("@example.invalid") && painted.len() == 36, "{painted}");
        assert_eq!(painted, paint(&Mask::Email, &TEXT, "marie@dropit.example"));
        assert_ne!(painted, paint(&Mask::Email, &TEXT, "Marie@dropit.example"));
        let short = ColumnType::Text { limit: Some(30) };
        assert_eq!(paint(&Mask::Email, &short, "marie@dropit.example").len(), 30);
        assert_eq!(paint(&Mask::Email, &TEXT, ""), "");
    }

    #[test]
    fn hashes_fit_their_column() {
        assert_eq!(paint(&Mask::Hash, &TEXT, "x").len(), 32);
        assert_eq!(paint(&Mask::Hash, &ColumnType::Text { limit: Some(8) }, "x").len(), 8);
        let uuid = paint(&Mask::Hash, &ColumnType::Uuid, "0190b6a1-0000-7000-8000-000000000000");
        assert_eq!(uuid.split('-').map(str::len).collect::<Vec<_>>(), [8, 4, 4, 4, 12]);
        assert!(paint(&Mask::Hash, &ColumnType::Bytes, "\\x00").starts_with("\\x"));
    }

    #[test]
    fn dates_move_together_and_keep_their_time() {
        let mask = Mask::DatesShifted { days: 30, by: None };
        let kind = ColumnType::Date;
        let painted = paint(&mask, &kind, "1984-02-29");
        assert_ne!(painted, "1984-02-29");
        assert_eq!(paint(&mask, &kind, "1984-02-29 12:30:00.5+01"), format!("{painted} 12:30:00.5+01"));
        let painter = painter();
        let by = |key: &[u8], date: &str| painter.paint(&mask, &kind, date.as_bytes(), Some(key)).unwrap();
        assert_eq!(by(b"7", "2000-01-31"), by(b"7", "2000-01-31"));
        let all: std::collections::BTreeSet<String> = (0..40_u8)
            .map(|key| match by(&[key], "2000-06-15") {
                Masked::Text(text) => text,
                other => panic!("{other:?}"),
            })
            .collect();
        assert!(all.len() > 10 && !all.contains("2000-06-15"), "{all:?}");
        assert!(all.iter().all(|date| date.as_str() >= "2000-05-16" && date.as_str() <= "2000-07-15"));
        assert_eq!(paint(&mask, &kind, "infinity"), "infinity");
        for wrong in ["0044-03-15 BC", "12000-01-01", "yesterday", "2000-13-01", "2000-01-1é"] {
            let found = painter.paint(&mask, &kind, wrong.as_bytes(), None);
            assert_eq!(found, Err(Unmasked::NotADate), "{wrong}");
        }
    }

    #[test]
    fn parts_are_kept_only_of_long_values() {
        let mask = Mask::Partial { first: 0, last: 4 };
        assert_eq!(paint(&mask, &TEXT, "FR76 3000 6000 0112"), "**** **** **** 0112");
        assert_eq!(paint(&mask, &TEXT, "12345678"), "********");
        assert_eq!(paint(&Mask::Partial { first: 2, last: 0 }, &TEXT, "éàüöß"), "éà***");
    }

    #[test]
    fn addresses_of_the_network_belong_to_nobody() {
        assert!(paint(&Mask::Ip, &TEXT, "203.0.113.7").starts_with("10."));
        assert!(paint(&Mask::Ip, &ColumnType::Address, "2001:db8::1/64").ends_with("/64"));
        assert!(painter().paint(&Mask::Ip, &TEXT, b"localhost", None).is_err());
    }

    #[test]
    fn names_are_cut_to_their_column() {
        let painted = paint(&Mask::Name, &ColumnType::Text { limit: Some(5) }, "Zoltán Xanthopoulos");
        assert_eq!(painted.chars().count(), 5);
        assert!(!paint(&Mask::Name, &TEXT, "Cher").contains(' '));
    }
}
