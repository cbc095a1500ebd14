//! The leak test: does an original value of a masked column still stand in a copy? Remembers hashes of originals while a dump is masked, and
//! searches any text for them afterwards.
//!
//! What it finds: values of six bytes and more, as whole words, byte for byte as they stood in the dump; of long values the first 64 bytes.
//! What it does not find: shorter values; values in another case, spelling or encoding, or inside of other words; dates and small numbers,
//! which stand everywhere by chance; names that are in the lists of names; values inside of masked JSON; and, where a database has more
//! values than it may remember, those outside of its sample. An empty list proves nothing; an entry always is worth a look.
//! Tests: at the end, and `tests/it/leak.rs`.

use std::collections::BTreeMap;

use crate::mask::{Mask, fake};
use crate::name::TableName;
use crate::salt::Salt;

/// Shortest value that is remembered, in bytes.
pub const VALUE_MIN: usize = 6;
/// Fewest digits of a number that is remembered: shorter ones are among the masks of others.
const DIGITS_MIN: usize = 10;
/// Most bytes of one value that count.
const WINDOW: usize = 64;
/// Bits of the table that tells most places apart from a value at once.
const BITS: u32 = 18;

/// One value that was remembered.
#[derive(Debug, Clone)]
struct Original {
    /// Which of the columns it is of.
    column: usize,
    /// How many bytes count.
    counted: usize,
    /// How long it is, in characters.
    length: usize,
    first: char,
    /// The hash of its first bytes.
    begin: u64,
}

/// Original values of masked columns, as hashes.
#[derive(Debug, Clone)]
pub struct Leak {
    salt: Salt,
    most: usize,
    /// Of the values, those are in the sample whose hash ends with so many zeros.
    zeros: u32,
    originals: BTreeMap<u64, Original>,
    columns: Vec<(TableName, String)>,
}

/// A column whose values stand in a copy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// The table of the column.
    pub table: TableName,
    /// The column whose original value was found.
    pub column: String,
    /// The first value found, masked: `m*** (20 characters)`.
    pub shown: String,
    /// The line where it was found, from 1.
    pub line: u64,
    /// How often values of the column were found.
    pub times: u64,
}

impl Leak {
    /// Remembers at most so many values, as a sample of all when there are more.
    pub fn new(salt: Salt, most: usize) -> Self {
        Self { salt, most: most.max(1), zeros: 0, originals: BTreeMap::new(), columns: Vec::new() }
    }

    /// How many values are remembered.
    pub fn remembered(&self) -> usize {
        self.originals.len()
    }

    /// The number of a column.
    pub(crate) fn column(&mut self, table: &TableName, column: &str) -> usize {
        let known = self.columns.iter().position(|(other, name)| other == table && name == column);
        known.unwrap_or_else(|| {
            self.columns.push((table.clone(), column.to_owned()));
            self.columns.len() - 1
        })
    }

    /// Remembers a value as it stands in the dump, where it is one that can be told from others.
    pub(crate) fn remember(&mut self, column: usize, mask: &Mask, value: &[u8]) {
        let is_number = matches!(mask, Mask::Phone | Mask::Digits);
        let digits = value.iter().filter(|byte| byte.is_ascii_digit()).count();
        let is_name = matches!(mask, Mask::Name | Mask::FirstName | Mask::LastName);
        if value.len() < VALUE_MIN
            || matches!(mask, Mask::Keep | Mask::DatesShifted { .. } | Mask::Json(_))
            || (is_number && digits < DIGITS_MIN)
            || (is_name && fake::is_listed(value))
        {
            return;
        }
        let counted = &value[..value.len().min(WINDOW)];
        let tag = self.salt.number("leak", counted);
        if tag.trailing_zeros() < self.zeros {
            return;
        }
        let text = String::from_utf8_lossy(value);
        let original = Original {
            column,
            counted: counted.len(),
            length: text.chars().count(),
            first: text.chars().next().unwrap_or('*'),
            begin: begin(&counted[..VALUE_MIN]),
        };
        self.originals.insert(tag, original);
        while self.originals.len() > self.most {
            self.zeros += 1;
            let zeros = self.zeros;
            self.originals.retain(|tag, _| tag.trailing_zeros() >= zeros);
        }
    }

    /// Begins to search a text for them.
    pub fn search(self) -> Search {
        let mut by_begin: BTreeMap<u64, Vec<u64>> = BTreeMap::new();
        let mut bits = vec![0_u64; 1 << (BITS - 6)];
        for (tag, original) in &self.originals {
            by_begin.entry(original.begin).or_default().push(*tag);
            let (word, bit) = place(original.begin);
            bits[word] |= bit;
        }
        Search {
            leak: self,
            by_begin,
            bits,
            text: Vec::new(),
            previous: b'\n',
            line: 1,
            found: BTreeMap::new(),
        }
    }
}

/// The first bytes of a value, mixed.
fn begin(bytes: &[u8]) -> u64 {
    let number = bytes.iter().fold(0_u64, |number, byte| (number << 8) | u64::from(*byte));
    let mixed = number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    mixed ^ (mixed >> 29)
}

/// Where in the table of bits something lies.
fn place(begin: u64) -> (usize, u64) {
    let at = begin.wrapping_mul(0xbf58_476d_1ce4_e5b9) >> (64 - BITS);
    (usize::try_from(at / 64).unwrap_or(0), 1 << (at % 64))
}

/// Searches a text that arrives in chunks.
#[derive(Debug)]
pub struct Search {
    leak: Leak,
    by_begin: BTreeMap<u64, Vec<u64>>,
    bits: Vec<u64>,
    /// What has not been decided yet.
    text: Vec<u8>,
    /// The byte before it.
    previous: u8,
    line: u64,
    found: BTreeMap<usize, Found>,
}

impl Search {
    /// Takes the next bytes of the text.
    pub fn push(&mut self, chunk: &[u8]) {
        self.text.extend_from_slice(chunk);
        // A value and the byte behind it have to be there.
        let decided = self.text.len().saturating_sub(WINDOW);
        self.decide(decided);
    }

    /// The text has ended: every column of which something was found.
    pub fn finish(mut self) -> Vec<Found> {
        self.decide(self.text.len());
        self.found.into_values().collect()
    }

    fn decide(&mut self, until: usize) {
        let text = std::mem::take(&mut self.text);
        for (at, byte) in text[..until].iter().enumerate() {
            if !is_word(self.previous) {
                self.look(&text[at..]);
            }
            self.previous = *byte;
            self.line += u64::from(*byte == b'\n');
        }
        self.text = text;
        self.text.drain(..until);
    }

    /// Whether a value begins here.
    fn look(&mut self, text: &[u8]) {
        if text.len() < VALUE_MIN {
            return;
        }
        let begin = begin(&text[..VALUE_MIN]);
        let (word, bit) = place(begin);
        if self.bits[word] & bit == 0 {
            return;
        }
        for tag in self.by_begin.get(&begin).into_iter().flatten() {
            let Some(original) = self.leak.originals.get(tag) else { continue };
            let counted = original.counted;
            let ends = counted == WINDOW || text.get(counted).is_none_or(|next| !is_word(*next));
            if text.len() < counted || !ends || self.leak.salt.number("leak", &text[..counted]) != *tag {
                continue;
            }
            let (table, column) = &self.leak.columns[original.column];
            let found = self.found.entry(original.column).or_insert_with(|| Found {
                table: table.clone(),
                column: column.clone(),
                shown: format!("{}*** ({} characters)", original.first.escape_debug(), original.length),
                line: self.line,
                times: 0,
            });
            found.times += 1;
            return;
        }
    }
}

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte >= 0x80
}

#[cfg(test)]
mod tests {
    use super::*;
    use havre_core::secret::Secret;

    fn leak(most: usize) -> Leak {
        Leak::new(Salt::new(&Secret::from("correct horse battery staple")).unwrap(), most)
    }

    fn search(leak: &Leak, text: &str, size: usize) -> Vec<Found> {
        let mut search = leak.clone().search();
        for chunk in text.as_bytes().chunks(size) {
            search.push(chunk);
        }
        search.finish()
    }

    #[test]
    fn values_are_found_as_whole_words_whatever_the_chunks() {
        let mut leak = leak(100);
        let table: TableName = "public.users".parse().unwrap();
        let column = leak.column(&table, "email");
        leak.remember(column, &Mask::Email, b"marie@dropit.example");
        let long = "x".repeat(100);
        leak.remember(column, &Mask::Hash, long.as_bytes());
        leak.remember(column, &Mask::Hash, b"short");
        assert_eq!(leak.remembered(), 2);
        let text = format!("nothing\nhere\tmarie@dropit.example\tand xmarie@dropit.example\n{long}");
        for size in [1, 7, 64, 65, 1000] {
            let found = search(&leak, &text, size);
            assert_eq!(found.len(), 1);
            assert_eq!((found[0].line, found[0].times), (2, 2), "{size}");
            assert_eq!(found[0].shown, "m*** (20 characters)");
        }
        assert!(search(&leak, "marie@dropit.exampleX, marie@dropit", 5).is_empty());
    }

    #[test]
    fn what_stands_everywhere_is_not_remembered() {
        let mut leak = leak(100);
        leak.remember(0, &Mask::DatesShifted { days: 3, by: None }, b"1984-02-29");
        leak.remember(0, &Mask::Digits, b"123456");
        leak.remember(0, &Mask::Name, b"Marie Dubois");
        leak.remember(0, &Mask::Keep, b"whatever it is");
        assert_eq!(leak.remembered(), 0);
        leak.remember(0, &Mask::Phone, b"+33612345678");
        leak.remember(0, &Mask::Name, b"Zoltan Xanthopoulos");
        assert_eq!(leak.remembered(), 2);
    }

    #[test]
    fn memory_is_bounded() {
        let mut leak = leak(50);
        for number in 0..10_000 {
            leak.remember(0, &Mask::Hash, format!("value {number}").as_bytes());
        }
        assert!((1..=50).contains(&leak.remembered()));
    }
}
