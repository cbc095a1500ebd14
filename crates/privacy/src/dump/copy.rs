//! One row of `COPY ... FROM stdin` in PostgreSQL's text format: fields between tabs, `\N` for NULL, escapes with a backslash.
//! Tests: at the end, and `tests/it/property.rs`.

use std::borrow::Cow;

/// How NULL is written.
pub(crate) const NULL: &[u8] = b"\\N";

/// A field that ends in the middle of an escape.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OpenEscape;

/// What a field stands for; `None` is NULL.
///
/// # Errors
/// It ends with a backslash that escapes nothing.
pub fn unescape(field: &[u8]) -> Result<Option<Cow<'_, [u8]>>, OpenEscape> {
    if field == NULL {
        return Ok(None);
    }
    if !field.contains(&b'\\') {
        return Ok(Some(Cow::Borrowed(field)));
    }
    let mut value = Vec::with_capacity(field.len());
    let mut at = 0;
    while at < field.len() {
        if field[at] != b'\\' {
            value.push(field[at]);
            at += 1;
            continue;
        }
        let escaped = *field.get(at + 1).ok_or(OpenEscape)?;
        at += 2;
        match escaped {
            b'b' => value.push(8),
            b't' => value.push(b'\t'),
            b'n' => value.push(b'\n'),
            b'v' => value.push(11),
            b'f' => value.push(12),
            b'r' => value.push(b'\r'),
            b'0'..=b'7' => {
                let (number, length) = digits(&field[at - 1..], 3, 8);
                value.push(number);
                at += length - 1;
            }
            b'x' => {
                let (number, length) = digits(&field[at..], 2, 16);
                value.push(if length == 0 { b'x' } else { number });
                at += length;
            }
            other => value.push(other),
        }
    }
    Ok(Some(Cow::Owned(value)))
}

/// The number at the beginning, of at most so many digits, and how many there were. Above 255 its lowest byte counts, as in PostgreSQL.
fn digits(bytes: &[u8], most: usize, base: u32) -> (u8, usize) {
    let mut number: u32 = 0;
    let mut length = 0;
    for byte in bytes.iter().take(most) {
        let Some(digit) = char::from(*byte).to_digit(base) else { break };
        number = number * base + digit;
        length += 1;
    }
    (number.to_le_bytes()[0], length)
}

/// Writes a value that is not NULL as PostgreSQL itself does.
pub fn escape(value: &[u8], out: &mut Vec<u8>) {
    for byte in value {
        let letter = match byte {
            b'\\' => b'\\',
            8 => b'b',
            b'\t' => b't',
            b'\n' => b'n',
            11 => b'v',
            12 => b'f',
            b'\r' => b'r',
            plain => {
                out.push(*plain);
                continue;
            }
        };
        out.extend_from_slice(&[b'\\', letter]);
    }
}

/// Whether a field ends with a backslash that escapes what follows the field.
pub(crate) fn is_open(field: &[u8]) -> bool {
    field.iter().rev().take_while(|byte| **byte == b'\\').count() % 2 == 1
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(field: &str) -> Option<Vec<u8>> {
        unescape(field.as_bytes()).unwrap().map(Cow::into_owned)
    }

    #[test]
    fn escapes_are_those_of_postgresql() {
        assert_eq!(read("\\N"), None);
        assert_eq!(read(""), Some(Vec::new()));
        assert_eq!(read("\\\\N"), Some(b"\\N".to_vec()));
        assert_eq!(read("a\\tb\\nc\\rd\\\\e\\b\\f\\v"), Some(b"a\tb\nc\rd\\e\x08\x0c\x0b".to_vec()));
        assert_eq!(read("\\101\\60x"), Some(b"A0x".to_vec()));
        assert_eq!(read("\\x41\\x4g\\xg"), Some(b"A\x04gxg".to_vec()));
        assert_eq!(read("\\N."), Some(b"N.".to_vec()));
        assert_eq!(unescape(b"a\\"), Err(OpenEscape));
    }

    #[test]
    fn an_open_end_is_seen() {
        assert!(is_open(b"a\\"));
        assert!(!is_open(b"a\\\\"));
        assert!(is_open(b"\\\\\\"));
        assert!(!is_open(b""));
    }
}
