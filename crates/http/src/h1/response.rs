//! Parses and judges the heads of upstream answers, as strictly as requests: an answer that could be read in
//! two ways becomes a 502. It does not wait and does not write. Tests: `tests/it/answers.rs` of the edge.

use httparse::{Header, ParserConfig, Status};

use super::{Connection, Field, Framing, MOST_LINES, Refusal, Scratch, has_plain_spaces, length};

/// A valid head of an answer. Slices point into the bytes that were parsed.
#[derive(Debug)]
pub struct ResponseHead<'b, 's> {
    /// Status, 100 to 599.
    pub status: u16,
    /// Reason phrase, may be empty.
    pub reason: &'b str,
    /// Where the body ends.
    pub framing: Framing,
    /// `Content-Length` as sent; without a body (`HEAD`, 304) it still says something to the client.
    pub length: Option<u64>,
    /// The upstream keeps the connection open after this answer.
    pub keep_alive: bool,
    /// A 101 that agrees to a WebSocket.
    pub is_websocket: bool,
    head: &'b [u8],
    headers: &'s [Header<'b>],
    fields: &'s [Field],
    connection: Connection<'b>,
}

/// Parses `head`, which ends with its empty line; `is_head` says that the request was a `HEAD`.
///
/// # Errors
/// The head breaks a rule; the edge answers 502.
pub fn parse<'b, 's>(
    head: &'b [u8],
    is_head: bool,
    scratch: &'s mut Scratch<'b>,
) -> Result<ResponseHead<'b, 's>, Refusal> {
    let mut response = httparse::Response::new(&mut []);
    match ParserConfig::default().parse_response_with_uninit_headers(
        &mut response,
        head,
        &mut scratch.headers,
    ) {
        Ok(Status::Complete(length)) if length == head.len() => {}
        Err(httparse::Error::TooManyHeaders) => return Err(Refusal::ManyLines),
        Err(httparse::Error::Version) => return Err(Refusal::Version),
        _ => return Err(Refusal::Syntax),
    }
    let (Some(status), Some(version)) = (response.code, response.version) else {
        return Err(Refusal::Syntax);
    };
    if !(100..=599).contains(&status) {
        return Err(Refusal::Syntax);
    }
    let headers: &'s [Header<'b>] = response.headers;
    let mut parsed = ResponseHead {
        status,
        reason: response.reason.unwrap_or(""),
        framing: Framing::Empty,
        length: None,
        keep_alive: false,
        is_websocket: false,
        head,
        headers,
        fields: &[],
        connection: Connection::new(),
    };
    let is_chunked = parsed.read_lines(&mut scratch.fields)?;
    parsed.fields = &scratch.fields[..headers.len()];
    if is_chunked && version == 0 {
        return Err(Refusal::EncodingOn10);
    }
    parsed.judge_body(is_chunked, is_head)?;
    let is_open = if version == 0 { parsed.connection.keep_alive } else { !parsed.connection.close };
    parsed.keep_alive = is_open && parsed.framing != Framing::UntilClose;
    parsed.is_websocket = parsed.is_websocket && status == 101 && version == 1;
    Ok(parsed)
}

impl<'b> ResponseHead<'b, '_> {
    /// Returns whether the body comes in chunks.
    fn read_lines(&mut self, fields: &mut [Field; MOST_LINES]) -> Result<bool, Refusal> {
        let mut is_chunked = false;
        for (header, field) in self.headers.iter().zip(fields.iter_mut()) {
            *field = Field::of(header.name);
            match field {
                Field::ContentLength if self.length.is_some() => return Err(Refusal::TwoLengths),
                Field::ContentLength => {
                    let value = length(header.value).filter(|_| has_plain_spaces(header, self.head));
                    self.length = Some(value.ok_or(Refusal::Length)?);
                }
                Field::TransferEncoding if is_chunked => return Err(Refusal::TwoEncodings),
                Field::TransferEncoding => {
                    if !header.value.eq_ignore_ascii_case(b"chunked") || !has_plain_spaces(header, self.head)
                    {
                        return Err(Refusal::Encoding);
                    }
                    is_chunked = true;
                }
                Field::Connection if !self.connection.read(header.value) => {
                    return Err(Refusal::ConnectionNames);
                }
                Field::Upgrade => {
                    self.is_websocket = header.value.eq_ignore_ascii_case(b"websocket");
                }
                _ => {}
            }
        }
        Ok(is_chunked)
    }

    fn judge_body(&mut self, is_chunked: bool, is_head: bool) -> Result<(), Refusal> {
        if is_chunked && self.length.is_some() {
            return Err(Refusal::LengthAndEncoding);
        }
        let never = matches!(self.status, 100..=199 | 204);
        if never {
            self.length = None;
        }
        self.framing = match self.length {
            _ if never || is_head || self.status == 304 => Framing::Empty,
            _ if is_chunked => Framing::Chunked,
            Some(0) => Framing::Empty,
            Some(length) => Framing::Length(length),
            None => Framing::UntilClose,
        };
        Ok(())
    }

    /// Appends the lines that go to the client as they came, each with its line end.
    pub fn pass_lines(&self, out: &mut Vec<u8>) {
        super::pass_lines(self.head, (self.headers, self.fields), &self.connection, |_| false, out);
    }

    /// Value of the first line of this name, in any case.
    pub fn line(&self, name: &str) -> Option<&'b [u8]> {
        self.headers.iter().find(|header| header.name.eq_ignore_ascii_case(name)).map(|header| header.value)
    }

    /// The same without the lines that `drops` names.
    pub fn pass_lines_without(&self, drops: impl Fn(&str) -> bool, out: &mut Vec<u8>) {
        super::pass_lines(self.head, (self.headers, self.fields), &self.connection, drops, out);
    }
}
