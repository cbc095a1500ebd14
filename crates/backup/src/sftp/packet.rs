//! The words of SFTP, version 3 (draft-ietf-secsh-filexfer-02), with three extensions of OpenSSH: a rename that replaces, bringing a file
//! to the disk, and how much room there is. Bytes in and out, nothing else. What comes from a server is read with every length checked.
//! Tests at the end of the file.

use std::fmt;

use bytes::{BufMut as _, Bytes, BytesMut};

/// The version that every server speaks.
const VERSION: u32 = 3;
/// Longest packet that is taken. OpenSSH sends 256 KiB at most.
pub(super) const PACKET_MAX: usize = 300 * 1024;
/// Longest text of a server that is shown.
const WORDS_MAX: usize = 200;

const REPLACE: &str = "posix-rename@openssh.com";
const SYNC: &str = "fsync@openssh.com";
const ROOM: &str = "statvfs@openssh.com";

/// What a server calls an open file or folder.
pub(super) type Handle = Bytes;

/// What a server does beyond version 3.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Extensions {
    /// Renames over what is there, in one step.
    pub(super) can_replace: bool,
    /// Brings a file to the disk.
    pub(super) can_sync: bool,
    /// Says how much room there is.
    pub(super) can_tell_room: bool,
}

/// What is asked of a server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Ask {
    /// Open a file for reading.
    Open {
        path: String,
    },
    /// Make a file that is not there and open it for writing, for nobody else.
    Create {
        path: String,
    },
    Close {
        handle: Handle,
    },
    Read {
        handle: Handle,
        offset: u64,
        length: u32,
    },
    Write {
        handle: Handle,
        offset: u64,
        content: Bytes,
    },
    /// What an open file is.
    Measure {
        handle: Handle,
    },
    /// What a path leads to.
    Stat {
        path: String,
    },
    OpenFolder {
        path: String,
    },
    /// The next entries of an open folder.
    ReadFolder {
        handle: Handle,
    },
    Remove {
        path: String,
    },
    /// Make a folder, for nobody else.
    MakeFolder {
        path: String,
    },
    /// Rename to what is not there.
    Rename {
        from: String,
        to: String,
    },
    /// Rename over what is there: [`Extensions::can_replace`].
    Replace {
        from: String,
        to: String,
    },
    /// Bring an open file to the disk: [`Extensions::can_sync`].
    Sync {
        handle: Handle,
    },
    /// How much room there is: [`Extensions::can_tell_room`].
    Room {
        path: String,
    },
}

const OPEN_READ: u32 = 0x01;
/// Write, create, and only where nothing is.
const OPEN_NEW: u32 = 0x02 | 0x08 | 0x20;
const WITH_SIZE: u32 = 0x01;
const WITH_OWNER: u32 = 0x02;
const WITH_MODE: u32 = 0x04;
const WITH_TIMES: u32 = 0x08;
const WITH_MORE: u32 = 0x8000_0000;

/// The first packet of all.
pub(super) fn hello() -> Bytes {
    let mut out = BytesMut::new();
    out.put_u32(5);
    out.put_u8(1);
    out.put_u32(VERSION);
    out.freeze()
}

fn text(out: &mut BytesMut, text: &[u8]) {
    out.put_u32(u32::try_from(text.len()).unwrap_or(u32::MAX));
    out.put_slice(text);
}

/// Permissions of what is made.
fn mode(out: &mut BytesMut, mode: u32) {
    out.put_u32(WITH_MODE);
    out.put_u32(mode);
}

impl Ask {
    /// As bytes; what a write holds comes besides, so that it is not copied.
    pub(super) fn encode(self, id: u32) -> (Bytes, Option<Bytes>) {
        let mut out = BytesMut::new();
        out.put_u32(0);
        out.put_u8(self.kind());
        out.put_u32(id);
        let mut besides = None;
        match self {
            Self::Open { path } => {
                text(&mut out, path.as_bytes());
                out.put_u32(OPEN_READ);
                out.put_u32(0);
            }
            Self::Create { path } => {
                text(&mut out, path.as_bytes());
                out.put_u32(OPEN_NEW);
                mode(&mut out, 0o600);
            }
            Self::MakeFolder { path } => {
                text(&mut out, path.as_bytes());
                mode(&mut out, 0o700);
            }
            Self::Close { handle } | Self::Measure { handle } | Self::ReadFolder { handle } => {
                text(&mut out, &handle);
            }
            Self::Read { handle, offset, length } => {
                text(&mut out, &handle);
                out.put_u64(offset);
                out.put_u32(length);
            }
            Self::Write { handle, offset, content } => {
                text(&mut out, &handle);
                out.put_u64(offset);
                out.put_u32(u32::try_from(content.len()).unwrap_or(u32::MAX));
                besides = Some(content);
            }
            Self::Stat { path } | Self::OpenFolder { path } | Self::Remove { path } => {
                text(&mut out, path.as_bytes());
            }
            Self::Rename { from, to } => {
                text(&mut out, from.as_bytes());
                text(&mut out, to.as_bytes());
            }
            Self::Replace { from, to } => {
                text(&mut out, REPLACE.as_bytes());
                text(&mut out, from.as_bytes());
                text(&mut out, to.as_bytes());
            }
            Self::Sync { handle } => {
                text(&mut out, SYNC.as_bytes());
                text(&mut out, &handle);
            }
            Self::Room { path } => {
                text(&mut out, ROOM.as_bytes());
                text(&mut out, path.as_bytes());
            }
        }
        let length = out.len() - 4 + besides.as_ref().map_or(0, Bytes::len);
        out[..4].copy_from_slice(&u32::try_from(length).unwrap_or(u32::MAX).to_be_bytes());
        (out.freeze(), besides)
    }

    const fn kind(&self) -> u8 {
        match self {
            Self::Open { .. } | Self::Create { .. } => 3,
            Self::Close { .. } => 4,
            Self::Read { .. } => 5,
            Self::Write { .. } => 6,
            Self::Measure { .. } => 8,
            Self::OpenFolder { .. } => 11,
            Self::ReadFolder { .. } => 12,
            Self::Remove { .. } => 13,
            Self::MakeFolder { .. } => 14,
            Self::Stat { .. } => 17,
            Self::Rename { .. } => 18,
            Self::Replace { .. } | Self::Sync { .. } | Self::Room { .. } => 200,
        }
    }
}

/// What a server says of a request that brings nothing else.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Status {
    code: u32,
    words: String,
}

impl Status {
    pub(super) const fn is_fine(&self) -> bool {
        self.code == 0
    }

    /// The end of a file or of a folder.
    pub(super) const fn is_end(&self) -> bool {
        self.code == 1
    }

    pub(super) const fn is_missing(&self) -> bool {
        self.code == 2
    }

    pub(super) const fn is_denied(&self) -> bool {
        self.code == 3
    }

    /// What servers say of everything that has no number of its own: no room, something is there already, a disk that is broken.
    pub(super) const fn is_failure(&self) -> bool {
        self.code == 4
    }

    /// The server itself has lost what it works with.
    pub(super) const fn is_lost(&self) -> bool {
        matches!(self.code, 6 | 7)
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.words.is_empty() {
            return write!(f, "status {}", self.code);
        }
        write!(f, "{} (status {})", self.words, self.code)
    }
}

/// What a file is, as far as the server says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Attributes {
    pub(super) size: Option<u64>,
    mode: Option<u32>,
}

impl Attributes {
    fn is_of(&self, kind: u32) -> bool {
        self.mode.is_some_and(|mode| mode & 0o170_000 == kind)
    }

    pub(super) fn is_folder(&self) -> bool {
        self.is_of(0o040_000)
    }

    /// Whether it is a file, and how long is known.
    pub(super) fn is_measured_file(&self) -> bool {
        self.is_of(0o100_000) && self.size.is_some()
    }

    /// Whether the server says what it is at all.
    pub(super) const fn is_known(&self) -> bool {
        self.mode.is_some()
    }
}

/// One entry of a folder. The attributes are of itself, not of what a link leads to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) name: String,
    pub(super) attributes: Attributes,
}

/// Room on the disk that a path lies on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Room {
    pub(super) bytes: u64,
    pub(super) files: u64,
    pub(super) is_read_only: bool,
}

/// What a server answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Answer {
    Status(Status),
    Handle(Handle),
    Data(Bytes),
    Entries(Vec<Entry>),
    Attributes(Attributes),
    /// The answer of an extension.
    Extended(Bytes),
}

/// Text of a server, for people.
pub(super) fn printable(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    text.trim().chars().take(WORDS_MAX).map(|one| if one.is_control() { ' ' } else { one }).collect()
}

/// A packet that ends before it should.
fn short() -> String {
    "a packet ends early".to_owned()
}

/// Takes a packet apart.
struct Reader(Bytes);

impl Reader {
    fn bytes(&mut self, length: usize) -> Result<Bytes, String> {
        if self.0.len() < length {
            return Err(short());
        }
        Ok(self.0.split_to(length))
    }

    fn u8(&mut self) -> Result<u8, String> {
        self.bytes(1)?.first().copied().ok_or_else(short)
    }

    fn u32(&mut self) -> Result<u32, String> {
        let bytes = self.bytes(4)?;
        <[u8; 4]>::try_from(&bytes[..]).map(u32::from_be_bytes).map_err(|_| short())
    }

    fn u64(&mut self) -> Result<u64, String> {
        let bytes = self.bytes(8)?;
        <[u8; 8]>::try_from(&bytes[..]).map(u64::from_be_bytes).map_err(|_| short())
    }

    fn text(&mut self) -> Result<Bytes, String> {
        let length = self.u32()? as usize;
        self.bytes(length)
    }

    fn attributes(&mut self) -> Result<Attributes, String> {
        let with = self.u32()?;
        let mut found = Attributes::default();
        if with & WITH_SIZE != 0 {
            found.size = Some(self.u64()?);
        }
        if with & WITH_OWNER != 0 {
            self.bytes(8)?;
        }
        if with & WITH_MODE != 0 {
            found.mode = Some(self.u32()?);
        }
        if with & WITH_TIMES != 0 {
            self.bytes(8)?;
        }
        if with & WITH_MORE != 0 {
            for _ in 0..self.u32()? {
                self.text()?;
                self.text()?;
            }
        }
        Ok(found)
    }

    fn entries(&mut self) -> Result<Vec<Entry>, String> {
        let mut found = Vec::new();
        for _ in 0..self.u32()? {
            let name = String::from_utf8_lossy(&self.text()?).into_owned();
            // The same once more, as `ls -l` shows it.
            self.text()?;
            found.push(Entry { name, attributes: self.attributes()? });
        }
        Ok(found)
    }
}

/// Which request a packet answers, and what it says.
///
/// # Errors
/// It is no answer of SFTP.
pub(super) fn decode(packet: Bytes) -> Result<(u32, Answer), String> {
    let mut reader = Reader(packet);
    let kind = reader.u8()?;
    let id = reader.u32()?;
    let answer = match kind {
        101 => {
            let code = reader.u32()?;
            // Some servers leave the words out.
            let words = reader.text().unwrap_or_default();
            Answer::Status(Status { code, words: printable(&words) })
        }
        102 => Answer::Handle(reader.text()?),
        103 => Answer::Data(reader.text()?),
        104 => Answer::Entries(reader.entries()?),
        105 => Answer::Attributes(reader.attributes()?),
        201 => Answer::Extended(reader.0),
        other => return Err(format!("a packet is of the kind {other}")),
    };
    Ok((id, answer))
}

/// What the server says to [`hello`].
///
/// # Errors
/// It is no answer of SFTP, or of another version.
pub(super) fn decode_hello(packet: Bytes) -> Result<Extensions, String> {
    let mut reader = Reader(packet);
    let kind = reader.u8()?;
    if kind != 2 {
        return Err(format!("the first packet is of the kind {kind}"));
    }
    let version = reader.u32()?;
    if version != VERSION {
        return Err(format!("it speaks version {version} of SFTP"));
    }
    let mut found = Extensions::default();
    while !reader.0.is_empty() {
        let (name, data) = (reader.text()?, reader.text()?);
        match (&name[..], &data[..]) {
            (name, b"1") if name == REPLACE.as_bytes() => found.can_replace = true,
            (name, b"1") if name == SYNC.as_bytes() => found.can_sync = true,
            (name, b"2") if name == ROOM.as_bytes() => found.can_tell_room = true,
            _ => {}
        }
    }
    Ok(found)
}

/// What a server says to [`Ask::Room`].
///
/// # Errors
/// It ends early.
pub(super) fn decode_room(answer: Bytes) -> Result<Room, String> {
    let mut reader = Reader(answer);
    let _block_bytes = reader.u64()?;
    let fragment_bytes = reader.u64()?;
    reader.bytes(16)?;
    let free_fragments = reader.u64()?;
    reader.bytes(16)?;
    let files = reader.u64()?;
    reader.bytes(8)?;
    let flags = reader.u64()?;
    Ok(Room { bytes: fragment_bytes.saturating_mul(free_fragments), files, is_read_only: flags & 1 != 0 })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A packet without its length.
    fn packet(kind: u8, numbers: &[u32], texts: &[&[u8]]) -> Bytes {
        let mut out = BytesMut::new();
        out.put_u8(kind);
        for number in numbers {
            out.put_u32(*number);
        }
        for one in texts {
            text(&mut out, one);
        }
        out.freeze()
    }

    #[test]
    fn requests_are_those_of_the_draft() {
        let (head, besides) = Ask::Stat { path: "/a".to_owned() }.encode(7);
        assert_eq!(&head[..], b"\0\0\0\x0b\x11\0\0\0\x07\0\0\0\x02/a");
        assert_eq!(besides, None);
        let handle = Bytes::from_static(b"h");
        let write = Ask::Write { handle: handle.clone(), offset: 1, content: Bytes::from_static(b"xyz") };
        let (head, besides) = write.encode(1);
        assert_eq!(&head[..], b"\0\0\0\x19\x06\0\0\0\x01\0\0\0\x01h\0\0\0\0\0\0\0\x01\0\0\0\x03");
        assert_eq!(besides.as_deref(), Some(&b"xyz"[..]), "which the length counts");
        let (head, _) = Ask::Create { path: "/a".to_owned() }.encode(0);
        assert_eq!(&head[9..], b"\0\0\0\x02/a\0\0\0\x2a\0\0\0\x04\0\0\x01\x80");
        let (head, _) = Ask::Sync { handle }.encode(0);
        assert_eq!(&head[4..9], b"\xc8\0\0\0\0");
        assert_eq!(&head[9..], b"\0\0\0\x11fsync@openssh.com\0\0\0\x01h");
        assert_eq!(&hello()[..], b"\0\0\0\x05\x01\0\0\0\x03");
    }

    #[test]
    fn a_server_says_what_it_can() {
        let said = [&b"posix-rename@openssh.com"[..], b"1", b"statvfs@openssh.com", b"2", b"x", b"y"];
        let found = decode_hello(packet(2, &[3], &said)).expect("is one");
        assert_eq!(found, Extensions { can_replace: true, can_sync: false, can_tell_room: true });
        let other = [&b"fsync@openssh.com"[..], b"2"];
        assert_eq!(decode_hello(packet(2, &[3], &other)), Ok(Extensions::default()));
        assert!(decode_hello(packet(2, &[6], &[])).is_err());
        assert!(decode_hello(packet(101, &[3], &[])).is_err());
    }

    #[test]
    fn answers_are_read_and_cut_ones_are_not() {
        let status = packet(101, &[9, 3], &[b"Permission denied", b""]);
        let (id, answer) = decode(status).expect("is one");
        let Answer::Status(status) = answer else { panic!("is a status: {answer:?}") };
        assert!(id == 9 && status.is_denied() && !status.is_fine());
        assert_eq!(status.to_string(), "Permission denied (status 3)");
        let bare = decode(packet(101, &[9, 4], &[])).expect("is one").1;
        assert!(matches!(&bare, Answer::Status(status) if status.to_string() == "status 4"), "{bare:?}");

        let mut entries = BytesMut::from(&packet(104, &[1, 1], &[b"config", b"-rw-------"])[..]);
        entries.put_slice(&[0, 0, 0, 0x0f]);
        entries.put_u64(155);
        entries.put_u64(0);
        entries.put_u32(0o100_600);
        entries.put_u64(0);
        let entries = entries.freeze();
        let (_, answer) = decode(entries.clone()).expect("is one");
        let Answer::Entries(found) = answer else { panic!("is a list: {answer:?}") };
        assert_eq!((found.len(), found[0].name.as_str()), (1, "config"));
        assert!(found[0].attributes.is_measured_file() && found[0].attributes.size == Some(155));
        for length in 0..entries.len() {
            assert!(decode(entries.slice(..length)).is_err(), "{length}");
        }
        assert!(decode(packet(99, &[1], &[])).is_err());
    }

    #[test]
    fn room_is_what_is_left_for_everybody() {
        let mut answer = BytesMut::new();
        for number in [4096_u64, 512, 100, 50, 40, 10, 6, 5, 77, 1, 255] {
            answer.put_u64(number);
        }
        let room = decode_room(answer.freeze()).expect("is one");
        assert_eq!(room, Room { bytes: 40 * 512, files: 5, is_read_only: true });
    }

    #[test]
    fn words_of_a_server_are_one_short_line() {
        assert_eq!(printable(b" a\nb\x1b[1m\n"), "a b [1m");
        assert_eq!(printable(&[b'x'; 1000]).len(), WORDS_MAX);
    }
}
