//! The files in a tar on its way, counted and reduced to one digest: two tars of the same files have the same, in whatever order they come and
//! whenever they were made. Nothing is kept but the entry that is under way. Read are headers of POSIX with their extensions, as Docker writes
//! them; when something was changed or read counts for nothing. Tests at the end of the file.

use std::collections::BTreeMap;

use havre_core::artifact::Digest;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::tar::number;

/// Bytes of a block.
const BLOCK: usize = 512;
/// Largest extension of a header: names, and attributes of a file.
const EXTENSION_MAX: u64 = 1024 * 1024;
/// Attributes of a file that are part of it.
const ATTRIBUTE: &str = "SCHILY.xattr.";

/// What is in a volume.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tree {
    /// Files, each further name of one included.
    pub files: u64,
    /// Folders, the volume itself included.
    pub folders: u64,
    /// Symbolic links.
    pub links: u64,
    /// Anything else: pipes and devices.
    pub others: u64,
    /// Bytes in all files.
    pub bytes: u64,
    /// Over path, kind, mode, owner, size and content of each entry; the order of entries is no part of it.
    pub digest: Digest,
}

impl Tree {
    /// How many entries of each kind there are, for a manifest.
    pub fn rows(&self) -> BTreeMap<String, u64> {
        let counts = [
            ("files", self.files),
            ("folders", self.folders),
            ("links", self.links),
            ("others", self.others),
        ];
        counts.into_iter().map(|(kind, count)| (kind.to_owned(), count)).collect()
    }

    /// All entries.
    pub const fn entries(&self) -> u64 {
        self.files + self.folders + self.links + self.others
    }
}

impl std::fmt::Display for Tree {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} entries with {} bytes ({})", self.entries(), self.bytes, self.digest.short())
    }
}

/// What a header says.
#[derive(Debug, Clone, Default)]
struct Header {
    kind: u8,
    path: Vec<u8>,
    link: Vec<u8>,
    mode: u64,
    uid: u64,
    gid: u64,
    size: u64,
    device: Vec<u8>,
    attributes: BTreeMap<Vec<u8>, Vec<u8>>,
}

/// What the bytes behind a header are.
#[derive(Debug, Clone)]
enum Part {
    /// The content of an entry.
    Entry { header: Box<Header>, content: Sha256 },
    /// What the header of the next entry had no room for.
    Extension { bytes: Vec<u8>, is_global: bool },
}

/// An eye on a tar.
#[derive(Debug, Clone, Default)]
pub struct Walk {
    block: Vec<u8>,
    part: Option<Part>,
    /// Bytes of the part that are to come.
    left: u64,
    /// Bytes behind it that fill its last block.
    fill: u64,
    /// What the extension of the next entry says.
    said: BTreeMap<Vec<u8>, Vec<u8>>,
    counts: [u64; 4],
    bytes: u64,
    /// The digests of all entries, added up.
    sum: [u8; 32],
    is_over: bool,
    wrong: Option<String>,
}

impl Walk {
    /// The next bytes.
    pub fn push(&mut self, bytes: &[u8]) {
        if self.wrong.is_none()
            && let Err(reason) = self.read(bytes)
        {
            self.wrong = Some(reason);
        }
    }

    /// What was in there.
    ///
    /// # Errors
    /// It is not whole, or no tar; in words.
    pub fn finish(self) -> Result<Tree, String> {
        if let Some(reason) = self.wrong {
            return Err(reason);
        }
        if !self.is_over {
            return Err("the end of the tar did not come".to_owned());
        }
        let [files, folders, links, others] = self.counts;
        let digest = hex(&Sha256::digest(self.sum));
        Ok(Tree { files, folders, links, others, bytes: self.bytes, digest })
    }

    fn read(&mut self, mut bytes: &[u8]) -> Result<(), String> {
        while !bytes.is_empty() && !self.is_over {
            let rest = if self.left > 0 {
                let (now, rest) = bytes.split_at(shorter(self.left, bytes.len()));
                self.left -= now.len() as u64;
                match &mut self.part {
                    Some(Part::Entry { content, .. }) => content.update(now),
                    Some(Part::Extension { bytes, .. }) => bytes.extend_from_slice(now),
                    None => {}
                }
                rest
            } else if self.fill > 0 {
                let count = shorter(self.fill, bytes.len());
                self.fill -= count as u64;
                &bytes[count..]
            } else {
                let count = (BLOCK - self.block.len()).min(bytes.len());
                self.block.extend_from_slice(&bytes[..count]);
                if self.block.len() == BLOCK {
                    self.begin()?;
                }
                &bytes[count..]
            };
            bytes = rest;
            if self.left == 0
                && let Some(part) = self.part.take()
            {
                self.end(part)?;
            }
        }
        Ok(())
    }

    /// A header is whole.
    fn begin(&mut self) -> Result<(), String> {
        let block = std::mem::take(&mut self.block);
        if block.iter().all(|byte| *byte == 0) {
            self.is_over = true;
            return Ok(());
        }
        check_sum(&block)?;
        let kind = block[156];
        let size = field(&block, 124..136)?;
        let is_global = kind == b'g';
        if is_global || kind == b'x' {
            if size > EXTENSION_MAX {
                return Err(format!("a header in the tar has {size} bytes, the most is {EXTENSION_MAX}"));
            }
            self.measure(size);
            self.part = Some(Part::Extension { bytes: Vec::new(), is_global });
            return Ok(());
        }
        let header = self.header(&block, size)?;
        self.measure(header.size);
        self.part = Some(Part::Entry { header: Box::new(header), content: Sha256::new() });
        Ok(())
    }

    fn measure(&mut self, size: u64) {
        self.left = size;
        self.fill = (BLOCK as u64 - size % BLOCK as u64) % BLOCK as u64;
    }

    /// The header of an entry, with what its extension says in place of what has no room in it.
    fn header(&mut self, block: &[u8], size: u64) -> Result<Header, String> {
        let mut said = std::mem::take(&mut self.said);
        let mut path = text(&block[..100]).to_vec();
        let prefix = text(&block[345..500]);
        if block[257..263] == *b"ustar\0" && !prefix.is_empty() {
            path = [prefix, b"/", path.as_slice()].concat();
        }
        let kind = if block[156] == 0 { b'0' } else { block[156] };
        let mut number_of = |key: &[u8], found: u64| match said.remove(key) {
            None => Ok(found),
            Some(digits) => std::str::from_utf8(&digits)
                .ok()
                .and_then(|digits| digits.parse().ok())
                .ok_or_else(|| "an extension in the tar has no number where one belongs".to_owned()),
        };
        let size = number_of(b"size", size)?;
        let uid = number_of(b"uid", field(block, 108..116)?)?;
        let gid = number_of(b"gid", field(block, 116..124)?)?;
        let path = said.remove(b"path".as_slice()).unwrap_or(path);
        let link = said.remove(b"linkpath".as_slice()).unwrap_or_else(|| text(&block[157..257]).to_vec());
        said.retain(|key, _| key.starts_with(ATTRIBUTE.as_bytes()));
        Ok(Header {
            // Only a file has bytes behind its header.
            size: if kind == b'0' { size } else { 0 },
            kind,
            path,
            link,
            mode: field(block, 100..108)? & 0o7777,
            uid,
            gid,
            device: if matches!(kind, b'3' | b'4') { block[329..345].to_vec() } else { Vec::new() },
            attributes: said,
        })
    }

    /// All bytes of a part have come.
    fn end(&mut self, part: Part) -> Result<(), String> {
        let (header, content) = match part {
            // What is said of all entries is no part of any.
            Part::Extension { is_global: true, .. } => return Ok(()),
            Part::Extension { bytes, .. } => {
                self.said = parse_extension(&bytes)?;
                return Ok(());
            }
            Part::Entry { header, content } => (header, content),
        };
        let slot = match header.kind {
            b'0' | b'1' => 0,
            b'5' => 1,
            b'2' => 2,
            b'3' | b'4' | b'6' => 3,
            other => {
                return Err(format!("the tar holds an entry of the unknown kind {}", other.escape_ascii()));
            }
        };
        self.counts[slot] += 1;
        self.bytes = self.bytes.saturating_add(header.size);
        add(&mut self.sum, &digest(&header, content));
        Ok(())
    }
}

fn digest(header: &Header, content: Sha256) -> [u8; 32] {
    let mut hasher = Sha256::new();
    let Header { kind, path, link, mode, uid, gid, size, device, attributes } = header;
    hasher.update([*kind]);
    for number in [*mode, *uid, *gid, *size] {
        hasher.update(number.to_be_bytes());
    }
    let attributes = attributes.iter().flat_map(|(key, value)| [key, value]);
    for bytes in [path, link, device].into_iter().chain(attributes) {
        hasher.update((bytes.len() as u64).to_be_bytes());
        hasher.update(bytes);
    }
    hasher.update(content.finalize());
    hasher.finalize().into()
}

/// Adds two numbers of 256 bits; what does not fit is dropped.
fn add(sum: &mut [u8; 32], more: &[u8; 32]) {
    let mut carry = 0_u16;
    for (to, from) in sum.iter_mut().zip(more).rev() {
        let all = u16::from(*to) + u16::from(*from) + carry;
        *to = all.to_be_bytes()[1];
        carry = all >> 8;
    }
}

fn hex(bytes: &[u8]) -> Digest {
    let digits: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    digits.parse().expect("64 hex digits are a digest")
}

fn shorter(left: u64, length: usize) -> usize {
    usize::try_from(left).unwrap_or(usize::MAX).min(length)
}

/// Up to the first zero.
fn text(field: &[u8]) -> &[u8] {
    field.split(|byte| *byte == 0).next().unwrap_or_default()
}

/// A number of a header; one that is left empty is zero.
fn field(block: &[u8], at: std::ops::Range<usize>) -> Result<u64, String> {
    let bytes = &block[at];
    if bytes.iter().all(|byte| matches!(byte, 0 | b' ')) {
        return Ok(0);
    }
    number(bytes).ok_or_else(|| "what came is no tar: a number of a header is none".to_owned())
}

fn check_sum(block: &[u8]) -> Result<(), String> {
    let own = 148..156;
    let sum: u64 = block
        .iter()
        .enumerate()
        .map(|(at, byte)| u64::from(if own.contains(&at) { b' ' } else { *byte }))
        .sum();
    if number(&block[own]) == Some(sum) {
        return Ok(());
    }
    Err("what came is no tar: a header does not add up".to_owned())
}

/// Records such as `12 path=abc` with the length of each before it.
fn parse_extension(mut bytes: &[u8]) -> Result<BTreeMap<Vec<u8>, Vec<u8>>, String> {
    let broken = || "an extension in the tar cannot be read".to_owned();
    let mut said = BTreeMap::new();
    while !bytes.is_empty() {
        let space = bytes.iter().position(|byte| *byte == b' ').ok_or_else(broken)?;
        let length: usize = std::str::from_utf8(&bytes[..space])
            .ok()
            .and_then(|text| text.parse().ok())
            .ok_or_else(broken)?;
        if length <= space + 1 || length > bytes.len() || bytes[length - 1] != b'\n' {
            return Err(broken());
        }
        let record = &bytes[space + 1..length - 1];
        let equals = record.iter().position(|byte| *byte == b'=').ok_or_else(broken)?;
        said.insert(record[..equals].to_vec(), record[equals + 1..].to_vec());
        bytes = &bytes[length..];
    }
    Ok(said)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A header of POSIX as Docker writes it.
    fn header(kind: u8, name: &str, size: usize, (mode, uid): (u32, u32)) -> Vec<u8> {
        let mut block = vec![0; BLOCK];
        block[..name.len()].copy_from_slice(name.as_bytes());
        block[100..107].copy_from_slice(format!("{mode:07o}").as_bytes());
        block[108..115].copy_from_slice(format!("{uid:07o}").as_bytes());
        block[116..123].copy_from_slice(b"0000000");
        block[124..135].copy_from_slice(format!("{size:011o}").as_bytes());
        block[148..156].fill(b' ');
        block[156] = kind;
        block[257..265].copy_from_slice(b"ustar\x0000");
        let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
        block[148..155].copy_from_slice(format!("{sum:06o}\0").as_bytes());
        block
    }

    fn entry(kind: u8, name: &str, content: &[u8], owner: (u32, u32)) -> Vec<u8> {
        let mut bytes = header(kind, name, content.len(), owner);
        bytes.extend(content);
        bytes.resize(bytes.len().next_multiple_of(BLOCK), 0);
        bytes
    }

    fn extended(records: &str, entry: &[u8]) -> Vec<u8> {
        let mut bytes = self::entry(b'x', "PaxHeaders.0/x", records.as_bytes(), (0o644, 0));
        bytes.extend(entry);
        bytes
    }

    fn tar(entries: &[Vec<u8>]) -> Vec<u8> {
        let mut bytes = entries.concat();
        bytes.resize(bytes.len() + 2 * BLOCK, 0);
        bytes
    }

    fn walk(bytes: &[u8], piece: usize) -> Result<Tree, String> {
        let mut walk = Walk::default();
        bytes.chunks(piece).for_each(|part| walk.push(part));
        walk.finish()
    }

    fn sample() -> Vec<Vec<u8>> {
        vec![
            entry(b'5', "havre-volume/", b"", (0o40750, 1001)),
            entry(b'0', "havre-volume/a", &[7; 700], (0o100640, 1001)),
            entry(b'0', "havre-volume/empty", b"", (0o100644, 0)),
            entry(b'2', "havre-volume/link", b"", (0o777, 0)),
            entry(b'6', "havre-volume/pipe", b"", (0o644, 0)),
        ]
    }

    #[test]
    fn entries_are_counted_in_whatever_order_they_come() {
        let tree = walk(&tar(&sample()), 100).expect("is whole");
        assert_eq!((tree.files, tree.folders, tree.links, tree.others, tree.bytes), (2, 1, 1, 1, 700));
        assert_eq!((tree.entries(), tree.rows().values().sum::<u64>()), (5, 5));
        let mut other = sample();
        other.reverse();
        assert_eq!(walk(&tar(&other), 4096), Ok(tree));
    }

    #[test]
    fn whatever_is_different_has_another_digest() {
        let same = walk(&tar(&sample()), 512).expect("is whole");
        let owner = (0o100640, 1001);
        let mut changed = [7; 700];
        changed[699] = 8;
        let others = [
            entry(b'0', "havre-volume/b", &[7; 700], owner),
            entry(b'0', "havre-volume/a", &changed, owner),
            entry(b'0', "havre-volume/a", &[7; 701], owner),
            entry(b'0', "havre-volume/a", &[7; 700], (0o100641, 1001)),
            entry(b'0', "havre-volume/a", &[7; 700], (0o100640, 1002)),
            extended("31 SCHILY.xattr.user.a=value01\n", &entry(b'0', "havre-volume/a", &[7; 700], owner)),
        ];
        for (number, other) in others.into_iter().enumerate() {
            let mut all = sample();
            all[1] = other;
            let tree = walk(&tar(&all), 512).expect("is whole");
            assert_ne!(tree.digest, same.digest, "{number}");
        }
    }

    #[test]
    fn an_extension_says_what_has_no_room() {
        let long = format!("havre-volume/{}", "x".repeat(150));
        let record = format!("{} path={long}\n", long.len() + 10);
        let plain = entry(b'0', "havre-volume/short", b"abc", (0o644, 0));
        let tree = walk(&tar(&[extended(&record, &plain)]), 77).expect("is whole");
        assert_eq!((tree.files, tree.bytes), (1, 3));
        assert_ne!(tree.digest, walk(&tar(std::slice::from_ref(&plain)), 77).expect("is whole").digest);
        // When it was changed is no part of it; a size is, and the header of a large file says none.
        let same = extended("20 mtime=1.00000000\n", &plain);
        assert_eq!(walk(&tar(&[same]), 77), walk(&tar(&[plain]), 77));
        let mut sized = extended("10 size=3\n", &header(b'0', "havre-volume/short", 0, (0o644, 0)));
        sized.extend(b"abc");
        sized.resize(sized.len().next_multiple_of(BLOCK), 0);
        let plain = entry(b'0', "havre-volume/short", b"abc", (0o644, 0));
        assert_eq!(walk(&tar(&[sized]), 77), walk(&tar(&[plain]), 77));
    }

    #[test]
    fn what_is_cut_off_or_no_tar_is_refused() {
        let whole = tar(&sample());
        for cut in [0, 511, 512, 1100, 2048, whole.len() - 2 * BLOCK] {
            assert!(walk(&whole[..cut], 100).is_err(), "{cut}");
        }
        assert!(walk(&[b'x'; 1024], 512).is_err());
        assert!(walk(&tar(&[entry(b'S', "sparse", b"", (0o644, 0))]), 512).is_err());
        assert!(walk(&tar(&[extended("99 path=x\n", &sample()[0])]), 512).is_err());
        assert!(walk(&tar(&[extended("10 size=x\n", &sample()[1])]), 512).is_err());
    }

    proptest! {
        #[test]
        fn pieces_do_not_matter(sizes in prop::collection::vec(0_usize..2000, 1..5), piece in 1_usize..1500) {
            let entries: Vec<Vec<u8>> = sizes
                .iter()
                .enumerate()
                .map(|(at, size)| entry(b'0', &format!("havre-volume/{at}"), &vec![1; *size], (0o644, 0)))
                .collect();
            let bytes = tar(&entries);
            let tree = walk(&bytes, piece);
            prop_assert_eq!(&tree, &walk(&bytes, bytes.len()));
            prop_assert_eq!(tree.map(|tree| tree.bytes), Ok(sizes.iter().sum::<usize>() as u64));
        }
    }
}
