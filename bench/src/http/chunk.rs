//! Decodes a chunked body, strictly: no extensions, no trailers, exact line ends. Tests: `answer.rs`.

use super::answer::Malformed;

/// Most hex digits of a chunk size: 2^48 bytes is more than anybody sends.
const MAX_DIGITS: u8 = 12;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum At {
    Size { digits: u8 },
    SizeLineFeed,
    Data,
    DataReturn,
    DataLineFeed,
    EndReturn,
    EndLineFeed,
    Done,
}

/// Where a decoder is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Chunks {
    at: At,
    left: u64,
}

impl Default for Chunks {
    fn default() -> Self {
        Self { at: At::Size { digits: 0 }, left: 0 }
    }
}

impl Chunks {
    pub(crate) fn is_done(&self) -> bool {
        self.at == At::Done
    }

    /// Takes `bytes` up to the end of the body, gives data to `keep`, returns how many it took.
    ///
    /// # Errors
    /// The framing is not legal.
    pub(crate) fn feed(&mut self, bytes: &[u8], mut keep: impl FnMut(&[u8])) -> Result<usize, Malformed> {
        let mut position = 0;
        while position < bytes.len() && self.at != At::Done {
            if self.at == At::Data {
                let rest = &bytes[position..];
                let taken = rest.len().min(usize::try_from(self.left).unwrap_or(usize::MAX));
                keep(&rest[..taken]);
                position += taken;
                self.left -= taken as u64;
                if self.left == 0 {
                    self.at = At::DataReturn;
                }
                continue;
            }
            self.step(bytes[position])?;
            position += 1;
        }
        Ok(position)
    }

    fn step(&mut self, byte: u8) -> Result<(), Malformed> {
        self.at = match (self.at, byte) {
            (At::Size { digits: 1.. }, b'\r') => At::SizeLineFeed,
            (At::Size { digits }, _) => {
                let value = char::from(byte).to_digit(16).ok_or("chunk size")?;
                if digits == MAX_DIGITS {
                    return Err("chunk size");
                }
                self.left = self.left * 16 + u64::from(value);
                At::Size { digits: digits + 1 }
            }
            (At::SizeLineFeed, b'\n') if self.left == 0 => At::EndReturn,
            (At::SizeLineFeed, b'\n') => At::Data,
            (At::SizeLineFeed, _) => return Err("chunk size"),
            (At::DataReturn, b'\r') => At::DataLineFeed,
            (At::DataLineFeed, b'\n') => At::Size { digits: 0 },
            (At::DataReturn | At::DataLineFeed, _) => return Err("chunk end"),
            (At::EndReturn, b'\r') => At::EndLineFeed,
            (At::EndLineFeed, b'\n') => At::Done,
            (At::EndReturn | At::EndLineFeed, _) => return Err("trailer"),
            (At::Data | At::Done, _) => self.at,
        };
        Ok(())
    }
}
