//! Reads one answer from the bytes of a connection, however they are cut, and refuses what no careful server sends:
//! a benchmark that accepts a broken answer would call it a success. It does no I/O. Tests at the end of the file.

use super::chunk::Chunks;

/// Largest head; more than any server under test sends.
const MAX_HEAD: usize = 32 * 1024;
/// Most header lines.
const MAX_LINES: usize = 64;
/// Most interim answers (100 to 199) before the final one.
const MAX_INTERIM: u8 = 8;

/// What is wrong with an answer; a word or two for a report.
pub(crate) type Malformed = &'static str;

/// The head of a final answer and how much body followed it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Answer {
    /// Status code; 101 only where the reader expects an upgrade.
    pub(crate) status: u16,
    /// The header `Havre-Release`, if the reader was told to keep it.
    pub(crate) release: Option<Box<str>>,
    /// The server said `Connection: close`.
    pub(crate) is_last: bool,
    /// Bytes of the body without framing.
    pub(crate) body_bytes: u64,
    /// The body, as much of it as the reader keeps.
    pub(crate) body: Vec<u8>,
    /// The header `Sec-WebSocket-Accept`, for an upgrade.
    pub(crate) websocket_accept: Option<Box<str>>,
}

/// Which parts of an answer somebody wants to see.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Wanted {
    /// Keep `Havre-Release`.
    pub(crate) release: bool,
    /// Keep so many bytes of the body.
    pub(crate) body: usize,
    /// Take 101 for an answer instead of an error.
    pub(crate) upgrade: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum State {
    Head,
    Length(u64),
    Chunked(Chunks),
    Done,
}

/// Reads one answer after the other from one connection.
#[derive(Debug, Clone)]
pub(crate) struct Reader {
    wanted: Wanted,
    state: State,
    /// Start of a head that did not arrive in one piece.
    head: Vec<u8>,
    interim: u8,
    has_bytes: bool,
    answer: Answer,
}

/// How a body is delimited.
enum Framing {
    Interim,
    Body(State),
}

impl Reader {
    /// A reader at the start of an answer.
    pub(crate) fn new(wanted: Wanted) -> Self {
        Self {
            wanted,
            state: State::Head,
            head: Vec::new(),
            interim: 0,
            has_bytes: false,
            answer: Answer::default(),
        }
    }

    /// Prepares for the next answer on the same connection.
    pub(crate) fn restart(&mut self) {
        self.state = State::Head;
        self.head.clear();
        self.interim = 0;
        self.has_bytes = false;
        self.answer = Answer::default();
    }

    /// Whether a byte of the answer has arrived.
    pub(crate) fn has_bytes(&self) -> bool {
        self.has_bytes
    }

    /// What is known so far; complete once [`Reader::feed`] returned a number.
    pub(crate) fn answer(&self) -> &Answer {
        &self.answer
    }

    /// Whether the head of the final answer is complete.
    pub(crate) fn has_head(&self) -> bool {
        self.state != State::Head
    }

    /// Takes `bytes`. `Some(used)` when the answer ended after `used` of them, `None` when more must come.
    ///
    /// # Errors
    /// The answer is not legal; the connection is of no more use.
    pub(crate) fn feed(&mut self, bytes: &[u8]) -> Result<Option<usize>, Malformed> {
        self.has_bytes |= !bytes.is_empty();
        let mut used = 0;
        loop {
            let rest = &bytes[used..];
            match &mut self.state {
                State::Done => return Ok(Some(used)),
                State::Head => match self.feed_head(rest)? {
                    Some(more) => used += more,
                    None => return Ok(None),
                },
                State::Length(left) => {
                    let taken = rest.len().min(usize::try_from(*left).unwrap_or(usize::MAX));
                    *left -= taken as u64;
                    if *left == 0 {
                        self.state = State::Done;
                    }
                    self.keep(&rest[..taken]);
                    used += taken;
                    if self.state != State::Done {
                        return Ok(None);
                    }
                }
                State::Chunked(chunks) => {
                    let mut decoder = *chunks;
                    used += decoder.feed(rest, |data| self.keep(data))?;
                    if !decoder.is_done() {
                        self.state = State::Chunked(decoder);
                        return Ok(None);
                    }
                    self.state = State::Done;
                }
            }
        }
    }

    fn keep(&mut self, data: &[u8]) {
        self.answer.body_bytes += data.len() as u64;
        let room = self.wanted.body.saturating_sub(self.answer.body.len());
        self.answer.body.extend_from_slice(&data[..data.len().min(room)]);
    }

    /// Returns how many of `bytes` belong to the head once it is complete. In the usual case the head lies whole in
    /// `bytes` and is not copied.
    fn feed_head(&mut self, bytes: &[u8]) -> Result<Option<usize>, Malformed> {
        if self.head.is_empty() {
            if let Some(end) = find_end(bytes)? {
                self.take_head(&bytes[..end])?;
                return Ok(Some(end));
            }
            self.head.extend_from_slice(bytes);
        } else {
            let before = self.head.len();
            self.head.extend_from_slice(bytes);
            if let Some(end) = find_end(&self.head)? {
                let head = std::mem::take(&mut self.head);
                self.take_head(&head[..end])?;
                return Ok(Some(end - before));
            }
        }
        if self.head.len() > MAX_HEAD {
            return Err("head too large");
        }
        Ok(None)
    }

    fn take_head(&mut self, head: &[u8]) -> Result<(), Malformed> {
        let mut lines = [httparse::EMPTY_HEADER; MAX_LINES];
        let mut parsed = httparse::Response::new(&mut lines);
        match parsed.parse(head) {
            Ok(httparse::Status::Complete(length)) if length == head.len() => {}
            Ok(_) => return Err("head"),
            Err(_) => return Err("head"),
        }
        if parsed.version != Some(1) {
            return Err("version");
        }
        let status = parsed.code.ok_or("status")?;
        match self.framing(status, parsed.headers)? {
            Framing::Interim => {
                self.interim += 1;
                if self.interim > MAX_INTERIM {
                    return Err("too many interim answers");
                }
            }
            Framing::Body(state) => {
                self.answer.status = status;
                self.state = state;
            }
        }
        Ok(())
    }

    fn framing(&mut self, status: u16, headers: &[httparse::Header<'_>]) -> Result<Framing, Malformed> {
        let mut length = None;
        let mut is_chunked = false;
        for header in headers {
            let (name, value) = (header.name, header.value.trim_ascii());
            if name.eq_ignore_ascii_case("content-length") {
                if length.is_some() {
                    return Err("content-length twice");
                }
                length = Some(parse_length(value)?);
            } else if name.eq_ignore_ascii_case("transfer-encoding") {
                if is_chunked || !value.eq_ignore_ascii_case(b"chunked") {
                    return Err("transfer-encoding");
                }
                is_chunked = true;
            } else if name.eq_ignore_ascii_case("connection") {
                let closes = |token: &[u8]| token.trim_ascii().eq_ignore_ascii_case(b"close");
                self.answer.is_last |= value.split(|byte| *byte == b',').any(closes);
            } else if self.wanted.release && name.eq_ignore_ascii_case("havre-release") {
                self.answer.release = Some(String::from_utf8_lossy(value).into());
            } else if self.wanted.upgrade && name.eq_ignore_ascii_case("sec-websocket-accept") {
                self.answer.websocket_accept = Some(String::from_utf8_lossy(value).into());
            }
        }
        if is_chunked && length.is_some() {
            return Err("content-length with transfer-encoding");
        }
        let is_framed = is_chunked || length.is_some();
        match status {
            101 if self.wanted.upgrade && !is_framed => Ok(Framing::Body(State::Done)),
            101 => Err("unasked upgrade"),
            100..200 if is_framed => Err("body with an interim answer"),
            100..200 => Ok(Framing::Interim),
            204 if is_framed => Err("body with 204"),
            204 | 304 => Ok(Framing::Body(State::Done)),
            200..600 if is_chunked => Ok(Framing::Body(State::Chunked(Chunks::default()))),
            // Legal, but nobody can tell its end from a cut, which is what we are here to tell.
            200..600 => match length.ok_or("body without a length")? {
                0 => Ok(Framing::Body(State::Done)),
                length => Ok(Framing::Body(State::Length(length))),
            },
            _ => Err("status"),
        }
    }
}

fn parse_length(value: &[u8]) -> Result<u64, Malformed> {
    if value.is_empty() || value.len() > 18 || !value.iter().all(u8::is_ascii_digit) {
        return Err("content-length");
    }
    Ok(value.iter().fold(0, |sum, digit| sum * 10 + u64::from(digit - b'0')))
}

/// Position after the empty line that ends a head; refuses lines that end without a carriage return.
fn find_end(bytes: &[u8]) -> Result<Option<usize>, Malformed> {
    let mut line_start = 0;
    for (position, byte) in bytes.iter().enumerate() {
        if *byte != b'\n' {
            continue;
        }
        if position == line_start || bytes[position - 1] != b'\r' {
            return Err("bare line feed");
        }
        if position == line_start + 1 {
            return Ok(Some(position + 1));
        }
        line_start = position + 1;
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: Wanted = Wanted { release: true, body: 100, upgrade: false };

    /// The answer and how many bytes were left over, fed in pieces of `size`.
    fn read(text: &str, size: usize) -> Result<Option<(Answer, usize)>, Malformed> {
        let mut reader = Reader::new(ALL);
        let mut before = 0;
        for piece in text.as_bytes().chunks(size) {
            if let Some(used) = reader.feed(piece)? {
                return Ok(Some((reader.answer().clone(), text.len() - before - used)));
            }
            before += piece.len();
        }
        Ok(None)
    }

    fn ok(status: u16, body: &str) -> Answer {
        Answer { status, body_bytes: body.len() as u64, body: body.into(), ..Answer::default() }
    }

    #[test]
    fn legal_answers_read_the_same_however_they_are_cut() {
        let release = |answer: Answer| Answer { release: Some("r7".into()), ..answer };
        let last = |answer: Answer| Answer { is_last: true, ..answer };
        let cases = [
            ("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc", ok(200, "abc"), 0),
            (
                "HTTP/1.1 200 OK\r\nHavre-Release: r7\r\nContent-Length: 3\r\n\r\nabcdef",
                release(ok(200, "abc")),
                3,
            ),
            (
                "HTTP/1.1 200 OK\r\ntransfer-encoding: Chunked\r\n\r\n2\r\nab\r\n1\r\nc\r\n0\r\n\r\n",
                ok(200, "abc"),
                0,
            ),
            ("HTTP/1.1 503 No\r\nConnection: x, Close\r\nContent-Length: 0\r\n\r\n", last(ok(503, "")), 0),
            ("HTTP/1.1 100 Go on\r\n\r\nHTTP/1.1 204 \r\n\r\n", ok(204, ""), 0),
            ("HTTP/1.1 304 Same\r\nContent-Length: 9\r\n\r\nHTTP", ok(304, ""), 4),
        ];
        for (text, answer, left) in cases {
            for size in 1..=text.len() {
                let (found, over) = read(text, size).unwrap().unwrap();
                assert_eq!(found, answer, "{text:?} in pieces of {size}");
                // Left over is what was not taken, counted over the whole text.
                assert_eq!(over, left, "{text:?} in pieces of {size}");
            }
        }
    }

    #[test]
    fn illegal_answers_are_named() {
        let cases = [
            ("HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n", "version"),
            ("HTTP/1.1 200 OK\nContent-Length: 0\n\n", "bare line feed"),
            ("\nHTTP/1.1 200 OK\r\n", "bare line feed"),
            ("SSH-2.0-x\r\n\r\n", "head"),
            ("HTTP/1.1 200 OK\r\n\r\n", "body without a length"),
            ("HTTP/1.1 200 OK\r\nContent-Length: 0\r\nContent-Length: 0\r\n\r\n", "content-length twice"),
            ("HTTP/1.1 200 OK\r\nContent-Length: +1\r\n\r\n", "content-length"),
            (
                "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nTransfer-Encoding: chunked\r\n\r\n",
                "content-length with transfer-encoding",
            ),
            ("HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n", "transfer-encoding"),
            ("HTTP/1.1 101 Go\r\nUpgrade: x\r\n\r\n", "unasked upgrade"),
            ("HTTP/1.1 204 No\r\nContent-Length: 1\r\n\r\n", "body with 204"),
            ("HTTP/1.1 700 No\r\nContent-Length: 1\r\n\r\n", "status"),
            ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1;x=y\r\na\r\n0\r\n\r\n", "chunk size"),
            ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nab\r\n0\r\n\r\n", "chunk end"),
            ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nX: y\r\n\r\n", "trailer"),
        ];
        for (text, problem) in cases {
            for size in 1..=text.len() {
                assert_eq!(read(text, size), Err(problem), "{text:?} in pieces of {size}");
            }
        }
    }

    #[test]
    fn an_answer_without_its_end_is_never_complete() {
        let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n0\r\n\r\n";
        let sized = "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc";
        for text in [chunked, sized] {
            for end in 1..text.len() {
                assert_eq!(read(&text[..end], 7), Ok(None), "{:?}", &text[..end]);
            }
        }
    }

    #[test]
    fn one_reader_reads_many_answers() {
        let mut reader = Reader::new(ALL);
        for status in [200, 404, 200] {
            assert!(!reader.has_bytes());
            let text = format!("HTTP/1.1 {status} X\r\nContent-Length: 1\r\n\r\na");
            assert_eq!(reader.feed(text.as_bytes()), Ok(Some(text.len())));
            assert_eq!(reader.answer(), &ok(status, "a"));
            reader.restart();
        }
    }
}
