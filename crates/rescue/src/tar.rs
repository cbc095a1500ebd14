//! A tar on its way: which files are in it, how each begins and ends. Only what programs of ours make is read (`tar`, `pg_basebackup`): plain
//! headers, each with its sum. Nothing is kept but the file that is under way. Tests at the end of the file.

/// Bytes of a block.
const BLOCK: usize = 512;
/// Bytes that are kept of the beginning of each file, and of its end.
pub const KEPT: usize = 1024;

/// One file.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Entry {
    /// Its name, as it stands there.
    pub name: String,
    /// How many bytes it has.
    pub size: u64,
    /// How it begins.
    pub head: Vec<u8>,
    /// How it ends.
    pub tail: Vec<u8>,
}

/// What has come so far.
#[derive(Debug, Clone, Default)]
pub struct Watch {
    /// The beginning of a header that is not whole.
    header: Vec<u8>,
    entry: Option<Entry>,
    /// Bytes of the present file that are to come.
    left: u64,
    /// Bytes behind it that fill its last block.
    fill: u64,
    /// The mark of the end has come.
    is_over: bool,
}

impl Watch {
    /// The next bytes; `each` gets every file that is whole.
    ///
    /// # Errors
    /// It is no tar.
    pub fn push(&mut self, mut bytes: &[u8], mut each: impl FnMut(Entry)) -> Result<(), String> {
        while !bytes.is_empty() && !self.is_over {
            if self.left > 0 {
                let count = shorter(self.left, bytes.len());
                self.keep(&bytes[..count]);
                self.left -= count as u64;
                bytes = &bytes[count..];
            } else if self.entry.is_none() && self.fill > 0 {
                let count = shorter(self.fill, bytes.len());
                self.fill -= count as u64;
                bytes = &bytes[count..];
            } else if self.entry.is_none() {
                let count = (BLOCK - self.header.len()).min(bytes.len());
                self.header.extend_from_slice(&bytes[..count]);
                bytes = &bytes[count..];
                if self.header.len() == BLOCK {
                    self.begin()?;
                }
            }
            if self.left == 0
                && let Some(entry) = self.entry.take()
            {
                each(entry);
            }
        }
        Ok(())
    }

    /// Whether all of it has come: the last file, and the mark of the end.
    pub const fn is_whole(&self) -> bool {
        self.is_over
    }

    fn begin(&mut self) -> Result<(), String> {
        let header = std::mem::take(&mut self.header);
        if header.iter().all(|byte| *byte == 0) {
            self.is_over = true;
            return Ok(());
        }
        let spaces = 148..156;
        let sum: u64 = header
            .iter()
            .enumerate()
            .map(|(at, byte)| if spaces.contains(&at) { u64::from(b' ') } else { u64::from(*byte) })
            .sum();
        if number(&header[spaces]) != Some(sum) {
            return Err("what came is no tar: a header does not add up".to_owned());
        }
        let size = number(&header[124..136]).ok_or("what came is no tar: a size is no number")?;
        let name = header[..100].split(|byte| *byte == 0).next().unwrap_or_default();
        let name = String::from_utf8_lossy(name).into_owned();
        self.entry = Some(Entry { name, size, ..Entry::default() });
        self.left = size;
        self.fill = (BLOCK as u64 - size % BLOCK as u64) % BLOCK as u64;
        Ok(())
    }

    fn keep(&mut self, bytes: &[u8]) {
        let Some(entry) = &mut self.entry else { return };
        let room = KEPT.saturating_sub(entry.head.len()).min(bytes.len());
        entry.head.extend_from_slice(&bytes[..room]);
        let end = &bytes[bytes.len().saturating_sub(KEPT)..];
        let surplus = (entry.tail.len() + end.len()).saturating_sub(KEPT);
        entry.tail.drain(..surplus.min(entry.tail.len()));
        entry.tail.extend_from_slice(end);
    }
}

fn shorter(left: u64, length: usize) -> usize {
    usize::try_from(left).unwrap_or(usize::MAX).min(length)
}

/// A number of a header: octal digits, or for large ones the bytes of the number itself.
pub(super) fn number(field: &[u8]) -> Option<u64> {
    if field.first().is_some_and(|byte| byte & 0x80 != 0) {
        let bytes = &field[field.len().saturating_sub(8)..];
        return Some(bytes.iter().fold(0, |all, byte| all << 8 | u64::from(*byte)));
    }
    let text = std::str::from_utf8(field).ok()?;
    u64::from_str_radix(text.trim_matches(['\0', ' ']), 8).ok()
}

#[cfg(test)]
pub(crate) mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A tar of these files, as the program makes one.
    pub(crate) fn tar(files: &[(&str, Vec<u8>)]) -> Vec<u8> {
        let mut all = Vec::new();
        for (name, content) in files {
            let mut header = vec![0; BLOCK];
            header[..name.len()].copy_from_slice(name.as_bytes());
            header[124..135].copy_from_slice(format!("{:011o}", content.len()).as_bytes());
            header[148..156].fill(b' ');
            header[156] = b'0';
            header[257..265].copy_from_slice(b"ustar  \0");
            let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
            header[148..155].copy_from_slice(format!("{sum:06o}\0").as_bytes());
            all.extend(header);
            all.extend(content);
            all.resize(all.len().next_multiple_of(BLOCK), 0);
        }
        all.resize((all.len() + 2 * BLOCK).next_multiple_of(20 * BLOCK), 0);
        all
    }

    fn read(bytes: &[u8], piece: usize) -> (Vec<Entry>, Result<bool, String>) {
        let (mut watch, mut found) = (Watch::default(), Vec::new());
        for part in bytes.chunks(piece) {
            if let Err(error) = watch.push(part, |entry| found.push(entry)) {
                return (found, Err(error));
            }
        }
        (found, Ok(watch.is_whole()))
    }

    #[test]
    fn what_is_cut_off_is_not_whole() {
        let whole = tar(&[("a", vec![1; 700]), ("empty", Vec::new()), ("b", vec![2; 512])]);
        let (found, end) = read(&whole, 100);
        let said: Vec<(&str, u64)> = found.iter().map(|one| (one.name.as_str(), one.size)).collect();
        assert_eq!((said, end), (vec![("a", 700), ("empty", 0), ("b", 512)], Ok(true)));
        for cut in [0, 511, 512, 1211, 1536, 2559] {
            assert_eq!(read(&whole[..cut], 100).1, Ok(false), "{cut}");
        }
        assert!(read(b"PGDMP", 1).1.is_ok_and(|is_whole| !is_whole));
        assert!(read(&[b'x'; 512], 512).1.is_err());
    }

    #[test]
    fn large_numbers_are_written_as_they_are() {
        let mut field = [0; 12];
        field[0] = 0x80;
        field[7] = 3;
        assert_eq!(number(&field), Some(3 << 32));
        assert_eq!(number(b"00000000017\0"), Some(15));
        assert_eq!(number(b"0000000001x\0"), None);
    }

    proptest! {
        #[test]
        fn pieces_do_not_matter(
            files in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..3000), 0..5),
            piece in 1_usize..2000,
        ) {
            let names = ["a", "b", "c", "d", "e"];
            let named: Vec<(&str, Vec<u8>)> = names.into_iter().zip(files).collect();
            let (found, end) = read(&tar(&named), piece);
            prop_assert_eq!(end, Ok(true));
            prop_assert_eq!(found.len(), named.len());
            for (entry, (name, content)) in found.iter().zip(&named) {
                prop_assert_eq!(&entry.name, name);
                prop_assert_eq!(entry.size, content.len() as u64);
                prop_assert!(content.starts_with(&entry.head) && content.ends_with(&entry.tail));
                prop_assert_eq!(entry.head.len(), content.len().min(KEPT));
                prop_assert_eq!(entry.tail.len(), content.len().min(KEPT));
            }
        }
    }
}
