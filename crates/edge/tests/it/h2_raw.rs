//! HTTP/2 frame by frame: a client that sends exactly what a test says, valid or not, and reads what comes back.
//! Blocks; every read gives up after ten seconds. HPACK is written without tables and read only as far as `:status`.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};

use havre_edge::listen::Transport;

use crate::rig::{PATIENCE, RigOver, Way};
use crate::tls_relay::Relay;

/// Clients speak HTTP/2 from the first byte.
pub(crate) struct H2;

impl Way for H2 {
    const TRANSPORT: Transport = Transport::PlainH2;

    fn open(edge: SocketAddr) -> (SocketAddr, Option<Relay>) {
        (edge, None)
    }
}

/// Clients speak HTTP/2 over TLS, agreed on in the handshake.
pub(crate) struct H2OverTls;

impl Way for H2OverTls {
    const TRANSPORT: Transport = Transport::Tls;

    fn open(edge: SocketAddr) -> (SocketAddr, Option<Relay>) {
        let relay = Relay::start(edge, "h2");
        (relay.address, Some(relay))
    }
}

/// An edge with one worker whose clients speak HTTP/2.
pub(crate) type H2Rig = RigOver<H2>;

pub(crate) const DATA: u8 = 0;
pub(crate) const HEADERS: u8 = 1;
pub(crate) const PRIORITY: u8 = 2;
pub(crate) const RST_STREAM: u8 = 3;
pub(crate) const SETTINGS: u8 = 4;
pub(crate) const PUSH_PROMISE: u8 = 5;
pub(crate) const PING: u8 = 6;
pub(crate) const GOAWAY: u8 = 7;
pub(crate) const WINDOW_UPDATE: u8 = 8;
pub(crate) const CONTINUATION: u8 = 9;

pub(crate) const ACK: u8 = 1;
pub(crate) const END_STREAM: u8 = 1;
pub(crate) const END_HEADERS: u8 = 4;
pub(crate) const PADDED: u8 = 8;
pub(crate) const PRIORITIZED: u8 = 32;

pub(crate) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// One frame as bytes.
pub(crate) fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let mut bytes = vec![length[1], length[2], length[3], kind, flags];
    bytes.extend_from_slice(&stream.to_be_bytes());
    bytes.extend_from_slice(payload);
    bytes
}

/// A header block of literal fields.
pub(crate) fn block(fields: &[(&str, &str)]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (name, value) in fields {
        bytes.push(0);
        for text in [name, value] {
            number(&mut bytes, 0x7f, text.len());
            bytes.extend_from_slice(text.as_bytes());
        }
    }
    bytes
}

fn number(bytes: &mut Vec<u8>, most: usize, value: usize) {
    if value < most {
        return bytes.push(u8::try_from(value).unwrap());
    }
    bytes.push(u8::try_from(most).unwrap());
    let mut rest = value - most;
    while rest >= 128 {
        bytes.push(u8::try_from(rest % 128).unwrap() | 0x80);
        rest /= 128;
    }
    bytes.push(u8::try_from(rest).unwrap());
}

/// The fields of a request to `app.example`, and more.
pub(crate) fn fields<'f>(
    method: &'f str,
    path: &'f str,
    more: &[(&'f str, &'f str)],
) -> Vec<(&'f str, &'f str)> {
    let mut fields =
        vec![(":method", method), (":scheme", "http"), (":authority", "app.example"), (":path", path)];
    fields.extend_from_slice(more);
    fields
}

/// A whole GET as one frame.
pub(crate) fn get(stream: u32, path: &str) -> Vec<u8> {
    frame(HEADERS, END_STREAM | END_HEADERS, stream, &block(&fields("GET", path, &[])))
}

/// Fields of a POST whose body follows.
pub(crate) fn post(stream: u32, more: &[(&str, &str)]) -> Vec<u8> {
    frame(HEADERS, END_HEADERS, stream, &block(&fields("POST", "/", more)))
}

/// A frame that came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Frame {
    pub(crate) kind: u8,
    pub(crate) flags: u8,
    pub(crate) stream: u32,
    pub(crate) payload: Vec<u8>,
}

impl Frame {
    /// The error code of RST_STREAM and GOAWAY.
    pub(crate) fn code(&self) -> u32 {
        let at = if self.kind == GOAWAY { 4 } else { 0 };
        u32::from_be_bytes(self.payload[at..at + 4].try_into().unwrap())
    }

    /// `:status` of a header block.
    pub(crate) fn status(&self) -> u16 {
        match self.payload.first() {
            Some(0x88) => 200,
            Some(0x89) => 204,
            Some(0x8a) => 206,
            Some(0x8b) => 304,
            Some(0x8c) => 400,
            Some(0x8d) => 404,
            Some(0x8e) => 500,
            // A literal with or without its name in the table; the value is Huffman-coded digits.
            Some(0x08 | 0x48) => huffman_status(&self.payload[2..]),
            _ => 0,
        }
    }
}

/// Three digits in HPACK's Huffman code: 0 to 2 have five bits, 3 to 9 six.
fn huffman_status(bytes: &[u8]) -> u16 {
    let mut four = [0xff; 4];
    four[..bytes.len().min(3)].copy_from_slice(&bytes[..bytes.len().min(3)]);
    let mut bits = u32::from_be_bytes(four);
    let mut status = 0;
    for _ in 0..3 {
        let five = bits >> 27;
        let (digit, length) = if five < 3 { (five, 5) } else { ((bits >> 26) - 0x19 + 3, 6) };
        status = status * 10 + digit;
        bits <<= length;
    }
    u16::try_from(status).unwrap()
}

/// A connection.
pub(crate) struct Raw {
    pub(crate) stream: TcpStream,
    pending: Vec<u8>,
}

impl Raw {
    /// Connects and says nothing.
    pub(crate) fn silent(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_nodelay(true).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        Self { stream, pending: Vec::new() }
    }

    /// Connects, greets with these settings and waits for the edge's own.
    pub(crate) fn greeted(address: SocketAddr, settings: &[(u16, u32)]) -> Self {
        let mut raw = Self::silent(address);
        let mut payload = Vec::new();
        for (name, value) in settings {
            payload.extend_from_slice(&name.to_be_bytes());
            payload.extend_from_slice(&value.to_be_bytes());
        }
        raw.send(PREFACE);
        raw.send(&frame(SETTINGS, 0, 0, &payload));
        let first = raw.next().expect("settings");
        assert_eq!((first.kind, first.flags & ACK), (SETTINGS, 0));
        raw.send(&frame(SETTINGS, ACK, 0, b""));
        raw
    }

    pub(crate) fn connect(address: SocketAddr) -> Self {
        Self::greeted(address, &[])
    }

    /// Sends all of it; a peer that has closed is noticed when reading.
    pub(crate) fn send(&mut self, bytes: &[u8]) -> bool {
        self.stream.write_all(bytes).is_ok()
    }

    fn fill(&mut self, count: usize) -> bool {
        let mut space = [0; 16 * 1024];
        while self.pending.len() < count {
            match self.stream.read(&mut space) {
                Ok(0) => return false,
                Ok(read) => self.pending.extend_from_slice(&space[..read]),
                Err(problem) if matches!(problem.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                    panic!("nothing came for ten seconds")
                }
                Err(_) => return false,
            }
        }
        true
    }

    /// The next frame; none when the connection has ended.
    pub(crate) fn next(&mut self) -> Option<Frame> {
        if !self.fill(9) {
            return None;
        }
        let length = u32::from_be_bytes([0, self.pending[0], self.pending[1], self.pending[2]]) as usize;
        if !self.fill(9 + length) {
            return None;
        }
        let bytes: Vec<u8> = self.pending.drain(..9 + length).collect();
        let stream = u32::from_be_bytes(bytes[5..9].try_into().unwrap());
        Some(Frame { kind: bytes[3], flags: bytes[4], stream, payload: bytes[9..].to_vec() })
    }

    /// The next frame of a kind; none when the connection ends before it.
    pub(crate) fn until(&mut self, kind: u8) -> Option<Frame> {
        loop {
            let frame = self.next()?;
            if frame.kind == kind {
                return Some(frame);
            }
        }
    }

    /// Waits until the edge has read everything sent so far.
    pub(crate) fn settle(&mut self) {
        self.send(&frame(PING, 0, 0, b"settled?"));
        while let Some(frame) = self.next() {
            if frame.kind == PING && frame.flags & ACK != 0 {
                return;
            }
        }
    }

    /// The status of the answer on a stream, and its body.
    pub(crate) fn answer(&mut self, stream: u32) -> (u16, Vec<u8>) {
        let (mut status, mut body) = (0, Vec::new());
        while let Some(frame) = self.next() {
            if frame.stream != stream {
                continue;
            }
            match frame.kind {
                HEADERS => status = frame.status(),
                DATA => body.extend_from_slice(&frame.payload),
                RST_STREAM => return (0, body),
                _ => {}
            }
            if matches!(frame.kind, HEADERS | DATA) && frame.flags & END_STREAM != 0 {
                return (status, body);
            }
        }
        (0, body)
    }
}

#[test]
fn statuses_are_read() {
    assert_eq!(Frame { kind: HEADERS, flags: 0, stream: 1, payload: vec![0x88] }.status(), 200);
    // 421 in Huffman: 4 = 011010, 2 = 00010, 1 = 00001, padded with ones.
    assert_eq!(huffman_status(&[0b0110_1000, 0b0100_0001]), 421);
}
