//! Pointers of Git LFS as its specification has them ("The Pointer"): what one says, and which contents those of a context ask for
//! together. Which files are pointers at all is told by `havre_core::source::lfs`. Tests at the end of the file.

use std::collections::BTreeMap;
use std::fmt;

use havre_core::artifact::Digest;
use havre_core::quantity::ByteSize;
use havre_core::source::lfs::POINTER_MAX;

/// Most contents of one context.
pub const OBJECTS_MAX: usize = 2000;

/// Most bytes of what one pipeline fetches for all its contexts.
pub const BYTES_MAX: ByteSize = ByteSize::mebibytes(4096);

const VERSION: &str = "version https://git-lfs.github.com/spec/v1\n";

/// What stands in a repository in place of a content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pointer {
    oid: Digest,
    size: u64,
}

/// Why a pointer is of no use, for people.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PointerError {
    /// It does not begin as version 1 does.
    #[error("it is no pointer of version 1, which begins with `version https://git-lfs.github.com/spec/v1`")]
    Version,
    /// Something else than a key and a value, or in another order.
    #[error(
        "line {line} is not what `git lfs` writes there: `oid sha256:` and 64 of 0-9 and a-f, then `size` and a number, each line with its \
         end"
    )]
    Line {
        /// Number of the line, from 1.
        line: usize,
    },
    /// A program that changes the content would have to run.
    #[error("it names the extension {name}, a program that Havre does not run")]
    Extension {
        /// How it is called.
        name: String,
    },
    /// A line is missing.
    #[error("it does not say both the content (`oid`) and its size")]
    Incomplete,
}

impl Pointer {
    /// Reads the text of a pointer, exactly as `git lfs` writes it.
    ///
    /// # Errors
    /// See [`PointerError`]: what is not understood is refused, not guessed.
    pub fn parse(content: &[u8]) -> Result<Self, PointerError> {
        let text = std::str::from_utf8(content).map_err(|_| PointerError::Version)?;
        let rest = text.strip_prefix(VERSION).ok_or(PointerError::Version)?;
        if text.len() as u64 >= POINTER_MAX {
            return Err(PointerError::Version);
        }
        let (mut oid, mut size, mut before) = (None, None, "");
        for (index, line) in rest.split_inclusive('\n').enumerate() {
            let wrong = PointerError::Line { line: index + 2 };
            let Some((key, value)) = line.strip_suffix('\n').and_then(|line| line.split_once(' ')) else {
                return Err(wrong);
            };
            // In the order of the alphabet, none twice.
            if key <= before {
                return Err(wrong);
            }
            before = key;
            match key {
                "oid" => oid = Some(parse_oid(value).ok_or(wrong)?),
                "size" => size = Some(parse_size(value).ok_or(wrong)?),
                _ => return Err(extension(key).map_or(wrong, |name| PointerError::Extension { name })),
            }
        }
        match (oid, size) {
            (Some(oid), Some(size)) => Ok(Self { oid, size }),
            _ => Err(PointerError::Incomplete),
        }
    }

    /// The SHA-256 of the content.
    pub fn oid(&self) -> &Digest {
        &self.oid
    }

    /// Bytes of the content.
    pub fn size(&self) -> u64 {
        self.size
    }
}

/// As `git lfs` writes it.
impl fmt::Display for Pointer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{VERSION}oid {}\nsize {}\n", self.oid, self.size)
    }
}

fn parse_oid(value: &str) -> Option<Digest> {
    // A digest may be written without it.
    if value.starts_with("sha256:") { value.parse().ok() } else { None }
}

fn parse_size(value: &str) -> Option<u64> {
    let is_number =
        value.bytes().all(|byte| byte.is_ascii_digit()) && (value == "0" || !value.starts_with('0'));
    if is_number { value.parse().ok() } else { None }
}

/// The name of an extension: `ext-0-name`.
fn extension(key: &str) -> Option<String> {
    let (_, name) = key.strip_prefix("ext-")?.split_once('-')?;
    Some(name.chars().take(40).flat_map(char::escape_debug).collect())
}

/// A content to fetch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// What it is.
    pub pointer: Pointer,
    /// Where it goes, or one of the places.
    pub path: String,
}

/// Why the pointers of a context are refused together.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ChooseError {
    /// More than a pipeline fetches.
    #[error(
        "{count} contents of Git LFS would be fetched, more than {}; leave some out with a .dockerignore",
        OBJECTS_MAX
    )]
    TooMany {
        /// How many.
        count: usize,
    },
    /// More than a pipeline may fetch.
    #[error(
        "with this one, the contexts of the commit would hold more than {} of Git LFS; leave some out with a .dockerignore",
        BYTES_MAX
    )]
    TooLarge,
    /// One content cannot have two sizes.
    #[error(
        "the pointers {one} and {other} of Git LFS name the same content with two sizes: at least one of them is wrong"
    )]
    Sizes {
        /// A path.
        one: String,
        /// Another.
        other: String,
    },
}

/// Which contents these pointers, by path, ask for: each once.
///
/// # Errors
/// See [`ChooseError`].
pub fn choose(pointers: &BTreeMap<String, Pointer>) -> Result<Vec<Wanted>, ChooseError> {
    let mut chosen: BTreeMap<&Digest, (&String, &Pointer)> = BTreeMap::new();
    for (path, pointer) in pointers {
        let (one, first) = *chosen.entry(&pointer.oid).or_insert((path, pointer));
        if first.size != pointer.size {
            return Err(ChooseError::Sizes { one: one.clone(), other: path.clone() });
        }
    }
    if chosen.len() > OBJECTS_MAX {
        return Err(ChooseError::TooMany { count: chosen.len() });
    }
    let wanted =
        |(path, pointer): (&String, &Pointer)| Wanted { pointer: pointer.clone(), path: path.clone() };
    Ok(chosen.into_values().map(wanted).collect())
}

/// Bytes that a pipeline has fetched once it has these as well.
///
/// # Errors
/// [`ChooseError::TooLarge`].
pub fn add_up(fetched: u64, wanted: &[Wanted]) -> Result<u64, ChooseError> {
    let sizes = wanted.iter().map(|one| one.pointer.size);
    let all = sizes.fold(fetched, u64::saturating_add);
    if all > BYTES_MAX.as_bytes() { Err(ChooseError::TooLarge) } else { Ok(all) }
}

#[cfg(test)]
mod tests {
    use havre_core::source::lfs::is_pointer;

    use super::*;

    /// Of `hello`, as `git lfs` 3.3.0 writes it.
    const OID: &str = "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824";

    fn pointer(digit: char, size: u64) -> Pointer {
        Pointer { oid: digit.to_string().repeat(64).parse().expect("is a digest"), size }
    }

    #[test]
    fn a_pointer_as_git_lfs_writes_it() {
        let text = format!("version https://git-lfs.github.com/spec/v1\noid sha256:{OID}\nsize 12345\n");
        let read = Pointer::parse(text.as_bytes()).expect("is one");
        assert_eq!((read.oid().hex(), read.size()), (OID, 12345));
        assert_eq!(read.to_string(), text);
        assert!(is_pointer(text.as_bytes()));
        let largest = text.replace("12345", &u64::MAX.to_string());
        assert_eq!(Pointer::parse(largest.as_bytes()).expect("is one").size(), u64::MAX);
        assert_eq!(Pointer::parse(text.replace("12345", "0").as_bytes()).expect("is one").size(), 0);
    }

    #[test]
    fn what_is_none_is_refused() {
        let version = "version https://git-lfs.github.com/spec/v1\n";
        let upper = OID.to_uppercase();
        let line = |line| PointerError::Line { line };
        for (rest, expected) in [
            (String::new(), PointerError::Incomplete),
            (format!("oid sha256:{OID}\n"), PointerError::Incomplete),
            ("size 1\n".to_owned(), PointerError::Incomplete),
            (format!("oid sha256:{OID}\nsize 1"), line(3)),
            (format!("oid sha256:{OID}\r\nsize 1\r\n"), line(2)),
            (format!("size 1\noid sha256:{OID}\n"), line(3)),
            (format!("oid sha256:{OID}\noid sha256:{OID}\nsize 1\n"), line(3)),
            (format!("oid  sha256:{OID}\nsize 1\n"), line(2)),
            (format!("oid {OID}\nsize 1\n"), line(2)),
            (format!("oid sha256:sha256:{OID}\nsize 1\n"), line(2)),
            (format!("oid sha256:{upper}\nsize 1\n"), line(2)),
            (format!("oid sha256:{}\nsize 1\n", &OID[1..]), line(2)),
            (format!("oid sha256:../{}\nsize 1\n", &OID[3..]), line(2)),
            (format!("oid sha512:{OID}\nsize 1\n"), line(2)),
            (format!("oid sha256:{OID}\nsize -1\n"), line(3)),
            (format!("oid sha256:{OID}\nsize +1\n"), line(3)),
            (format!("oid sha256:{OID}\nsize 01\n"), line(3)),
            (format!("oid sha256:{OID}\nsize \n"), line(3)),
            (format!("oid sha256:{OID}\nsize 18446744073709551616\n"), line(3)),
            (format!("oid sha256:{OID}\nsize 1\n\n"), line(4)),
            (format!("oid sha256:{OID}\nsize 1\nz x\n"), line(4)),
            (
                format!("ext-0-case sha256:{OID}\noid sha256:{OID}\nsize 1\n"),
                PointerError::Extension { name: "case".to_owned() },
            ),
        ] {
            let text = format!("{version}{rest}");
            assert_eq!(Pointer::parse(text.as_bytes()), Err(expected), "{rest:?}");
        }
        for other in [
            "",
            "version https://git-lfs.github.com/spec/v2\n",
            "version https://hawser.github.com/spec/v1\n",
        ] {
            let text = format!("{other}oid sha256:{OID}\nsize 1\n");
            assert_eq!(Pointer::parse(text.as_bytes()), Err(PointerError::Version), "{other:?}");
        }
        assert_eq!(Pointer::parse(b"\xff"), Err(PointerError::Version));
    }

    #[test]
    fn each_content_is_chosen_once() {
        let pointers = [
            ("b".to_owned(), pointer('1', 5)),
            ("a".to_owned(), pointer('2', 7)),
            ("c".to_owned(), pointer('1', 5)),
        ];
        let chosen = choose(&BTreeMap::from(pointers)).expect("is well");
        let seen: Vec<(&str, u64)> =
            chosen.iter().map(|one| (one.path.as_str(), one.pointer.size())).collect();
        assert_eq!(seen, [("b", 5), ("a", 7)]);
        let pointers = [("b".to_owned(), pointer('1', 5)), ("c".to_owned(), pointer('1', 6))];
        let error = choose(&BTreeMap::from(pointers)).expect_err("one of them is wrong");
        assert_eq!(error, ChooseError::Sizes { one: "b".to_owned(), other: "c".to_owned() });
    }

    #[test]
    fn there_are_not_too_many() {
        let many = |count: usize| -> BTreeMap<String, Pointer> {
            let oid = |number: usize| format!("{number:064x}").parse().expect("is a digest");
            (0..count).map(|number| (number.to_string(), Pointer { oid: oid(number), size: 1 })).collect()
        };
        assert_eq!(choose(&many(OBJECTS_MAX)).map(|chosen| chosen.len()), Ok(OBJECTS_MAX));
        assert_eq!(choose(&many(OBJECTS_MAX + 1)), Err(ChooseError::TooMany { count: OBJECTS_MAX + 1 }));
    }

    #[test]
    fn a_pipeline_fetches_so_much_and_no_more() {
        let wanted = |size: u64| Wanted { pointer: pointer('1', size), path: "a".to_owned() };
        let most = BYTES_MAX.as_bytes();
        assert_eq!(add_up(5, &[wanted(1), wanted(2)]), Ok(8));
        assert_eq!(add_up(most - 3, &[wanted(1), wanted(2)]), Ok(most));
        assert_eq!(add_up(most - 2, &[wanted(1), wanted(2)]), Err(ChooseError::TooLarge));
        assert_eq!(add_up(1, &[wanted(u64::MAX)]), Err(ChooseError::TooLarge));
    }

    proptest::proptest! {
        #[test]
        fn what_is_written_is_read_again(oid in "[0-9a-f]{64}", size in proptest::num::u64::ANY) {
            let pointer = Pointer { oid: oid.parse().expect("is a digest"), size };
            proptest::prop_assert_eq!(Pointer::parse(pointer.to_string().as_bytes()), Ok(pointer));
        }

        #[test]
        fn what_is_read_is_what_is_written(
            lines in proptest::collection::vec("(oid|size|ext-0-a|z)? ?(sha256:)?[0-9a-f]{0,66}\r?", 0..4),
            end in "\n?",
        ) {
            let text = format!("{VERSION}{}{end}", lines.join("\n"));
            if let Ok(pointer) = Pointer::parse(text.as_bytes()) {
                proptest::prop_assert_eq!(pointer.to_string(), text);
            }
        }

        #[test]
        fn a_byte_that_is_changed_is_seen(at in 0_usize..131, bit in 0_u8..8) {
            let mut bytes = pointer('a', 12345).to_string().into_bytes();
            let whole = bytes.clone();
            proptest::prop_assume!(at < bytes.len());
            bytes[at] ^= 1 << bit;
            if let Ok(pointer) = Pointer::parse(&bytes) {
                // Another pointer, but never the same.
                proptest::prop_assert_ne!(pointer.to_string().into_bytes(), whole);
                proptest::prop_assert_eq!(pointer.to_string().into_bytes(), bytes);
            }
        }
    }
}
