//! Parses and judges request heads. What comes out has one meaning only; what could have two is refused.
//! It does not route and does not wait. Tests: `tests/it/raw_requests.rs` and
//! `tests/it/differential.rs` of the edge.

use httparse::{Header, ParserConfig, Status};

use crate::trace;

use super::{Connection, Field, Framing, MOST_LINES, Refusal, Scratch, has_plain_spaces, length};

/// A valid request head. Slices point into the bytes that were parsed.
#[derive(Debug)]
pub struct RequestHead<'b, 's> {
    /// Method: capital letters, `-` and `_`.
    pub method: &'b str,
    /// Path and query in origin form, or `*`. Empty stands for `/` (an absolute target without a path).
    pub target: &'b str,
    /// Host name without port, as sent; empty when HTTP/1.0 named none.
    pub host: &'b str,
    /// Host and port as sent; what `Host` says to the upstream.
    pub authority: &'b str,
    /// HTTP/1.0.
    pub is_http10: bool,
    /// Where the body ends.
    pub framing: Framing,
    /// The client can send another request on this connection.
    pub keep_alive: bool,
    /// The client waits for 100 before it sends the body.
    pub expects_continue: bool,
    /// The client asks to turn the connection into a WebSocket.
    pub upgrade: bool,
    /// `X-Request-Id` as sent.
    pub request_id: Option<&'b [u8]>,
    /// `Havre-Probe` as sent.
    pub probe: Option<&'b [u8]>,
    /// It carries a valid trace context, which is passed on. A wrong one is dropped whole.
    pub has_trace: bool,
    /// `Accept` as sent.
    pub accept: Option<&'b [u8]>,
    /// `Accept-Encoding`, where it is text.
    pub accept_encoding: Option<&'b str>,
    /// `If-Modified-Since`, where it is text.
    pub if_modified_since: Option<&'b str>,
    /// `If-None-Match`, where it is text.
    pub if_none_match: Option<&'b str>,
    /// `Range`, where it is text.
    pub range: Option<&'b str>,
    /// `If-Range`, where it is text.
    pub if_range: Option<&'b str>,
    head: &'b [u8],
    headers: &'s [Header<'b>],
    fields: &'s [Field],
    connection: Connection<'b>,
}

/// Parses `head`, which ends with its empty line as [`super::head_end`] found it.
///
/// # Errors
/// Anything section 10.1 of the edge's rules refuses.
pub fn parse<'b, 's>(
    head: &'b [u8],
    most_lines: usize,
    scratch: &'s mut Scratch<'b>,
) -> Result<RequestHead<'b, 's>, Refusal> {
    let mut request = httparse::Request::new(&mut []);
    let lines = &mut scratch.headers[..most_lines.min(MOST_LINES)];
    match ParserConfig::default().parse_request_with_uninit_headers(&mut request, head, lines) {
        Ok(Status::Complete(length)) if length == head.len() => {}
        Ok(_) => return Err(Refusal::Syntax),
        Err(problem) => return Err(refusal_of(problem, head)),
    }
    let (Some(method), Some(target), Some(version)) = (request.method, request.path, request.version) else {
        return Err(Refusal::Syntax);
    };
    let headers: &'s [Header<'b>] = request.headers;
    let mut parsed = RequestHead {
        method: method_of(method)?,
        target,
        host: "",
        authority: "",
        is_http10: version == 0,
        framing: Framing::Empty,
        keep_alive: version == 1,
        expects_continue: false,
        upgrade: false,
        request_id: None,
        probe: None,
        has_trace: false,
        accept: None,
        accept_encoding: None,
        if_modified_since: None,
        if_none_match: None,
        range: None,
        if_range: None,
        head,
        headers,
        fields: &[],
        connection: Connection::new(),
    };
    let seen = parsed.read_lines(&mut scratch.fields)?;
    parsed.fields = &scratch.fields[..headers.len()];
    parsed.judge_body(&seen)?;
    parsed.judge_target(seen.host)?;
    parsed.judge_connection(&seen);
    Ok(parsed)
}

/// Lines that are judged together once all are read.
#[derive(Default)]
struct Seen<'b> {
    host: Option<&'b [u8]>,
    length: Option<u64>,
    is_chunked: bool,
    upgrade: Option<&'b [u8]>,
    traces: Traces<'b>,
}

/// Lines of trace context.
#[derive(Default)]
struct Traces<'b> {
    parents: u32,
    parent: &'b [u8],
    any: bool,
}

impl<'b> RequestHead<'b, '_> {
    fn read_lines(&mut self, fields: &mut [Field; MOST_LINES]) -> Result<Seen<'b>, Refusal> {
        let mut seen = Seen::default();
        for (header, field) in self.headers.iter().zip(fields.iter_mut()) {
            *field = Field::of(header.name);
            match field {
                Field::Host if seen.host.is_some() => return Err(Refusal::TwoHosts),
                Field::Host => seen.host = Some(header.value),
                Field::ContentLength if seen.length.is_some() => return Err(Refusal::TwoLengths),
                Field::ContentLength => seen.length = Some(self.length_of(header)?),
                Field::TransferEncoding if seen.is_chunked => return Err(Refusal::TwoEncodings),
                Field::TransferEncoding => seen.is_chunked = self.is_chunked(header)?,
                Field::Connection if !self.connection.read(header.value) => {
                    return Err(Refusal::ConnectionNames);
                }
                Field::Expect if !header.value.eq_ignore_ascii_case(b"100-continue") => {
                    return Err(Refusal::Expectation);
                }
                Field::Expect => self.expects_continue = !self.is_http10,
                Field::Upgrade => seen.upgrade = Some(header.value),
                Field::RequestId => self.request_id = Some(header.value),
                Field::Probe => self.probe = Some(header.value),
                Field::Accept => self.accept = Some(header.value),
                Field::AcceptEncoding => self.accept_encoding = std::str::from_utf8(header.value).ok(),
                Field::IfModifiedSince => self.if_modified_since = std::str::from_utf8(header.value).ok(),
                Field::IfNoneMatch => self.if_none_match = std::str::from_utf8(header.value).ok(),
                Field::Range => self.range = std::str::from_utf8(header.value).ok(),
                Field::IfRange => self.if_range = std::str::from_utf8(header.value).ok(),
                Field::Traceparent => {
                    seen.traces.any = true;
                    seen.traces.parents += 1;
                    seen.traces.parent = header.value;
                }
                Field::Tracestate => seen.traces.any = true,
                Field::Connection | Field::Dropped | Field::Other => {}
            }
        }
        if seen.traces.any {
            self.has_trace = seen.traces.parents == 1 && trace::is_valid(seen.traces.parent);
            let is_trace = |field: &Field| matches!(field, Field::Traceparent | Field::Tracestate);
            for field in
                fields[..self.headers.len()].iter_mut().filter(|field| is_trace(field) && !self.has_trace)
            {
                *field = Field::Dropped;
            }
        }
        Ok(seen)
    }

    fn length_of(&self, header: &Header<'_>) -> Result<u64, Refusal> {
        length(header.value).filter(|_| has_plain_spaces(header, self.head)).ok_or(Refusal::Length)
    }

    fn is_chunked(&self, header: &Header<'_>) -> Result<bool, Refusal> {
        if header.value == b"chunked" && has_plain_spaces(header, self.head) {
            Ok(true)
        } else {
            Err(Refusal::Encoding)
        }
    }

    fn judge_body(&mut self, seen: &Seen<'_>) -> Result<(), Refusal> {
        self.framing = match (seen.length, seen.is_chunked) {
            (Some(_), true) => return Err(Refusal::LengthAndEncoding),
            (None, true) if self.is_http10 => return Err(Refusal::EncodingOn10),
            (None, true) => Framing::Chunked,
            (None | Some(0), false) => Framing::Empty,
            (Some(length), false) => Framing::Length(length),
        };
        Ok(())
    }

    fn judge_target(&mut self, host: Option<&'b [u8]>) -> Result<(), Refusal> {
        if let Some(host) = host {
            (self.host, _) = authority(host).ok_or(Refusal::Host)?;
            self.authority = std::str::from_utf8(host).map_err(|_| Refusal::Host)?;
        } else if !self.is_http10 {
            return Err(Refusal::NoHost);
        }
        if !is_target(self.target) {
            return Err(Refusal::Target);
        }
        if self.target.starts_with('/') || (self.target == "*" && self.method == "OPTIONS") {
            return Ok(());
        }
        let Some((scheme, rest)) = self.target.split_once("://") else { return Err(Refusal::Target) };
        if !scheme.eq_ignore_ascii_case("http") {
            return Err(Refusal::Target);
        }
        let end = rest.find(['/', '?']).unwrap_or(rest.len());
        let (named, path) = rest.split_at(end);
        let (name, port) = authority(named.as_bytes()).ok_or(Refusal::Target)?;
        if let Some(host) = host {
            let (same_name, same_port) = authority(host).ok_or(Refusal::Host)?;
            if !name.eq_ignore_ascii_case(same_name) || port.unwrap_or(80) != same_port.unwrap_or(80) {
                return Err(Refusal::HostMismatch);
            }
        } else {
            (self.host, self.authority) = (name, named);
        }
        if path.starts_with('?') {
            // `http://host?query` has no path to forward; nobody sends it.
            return Err(Refusal::Target);
        }
        self.target = path;
        Ok(())
    }

    fn judge_connection(&mut self, seen: &Seen<'_>) {
        if self.connection.close {
            self.keep_alive = false;
        } else if self.is_http10 {
            self.keep_alive = self.connection.keep_alive;
        }
        // Other protocols, h2c above all, would carry requests past every rule of this file.
        self.upgrade = !self.is_http10
            && self.method == "GET"
            && self.framing == Framing::Empty
            && self.connection.upgrade
            && seen.upgrade.is_some_and(|protocol| protocol.eq_ignore_ascii_case(b"websocket"));
    }

    /// Path without the query, for routing.
    pub fn path(&self) -> &'b str {
        match self.target.split_once('?') {
            Some((path, _)) => path,
            None if self.target.is_empty() => "/",
            None => self.target,
        }
    }

    /// Target for the request line of the upstream.
    pub fn origin_form(&self) -> &'b str {
        if self.target.is_empty() { "/" } else { self.target }
    }

    /// RFC 9110: the same request twice means the same as once.
    pub fn is_idempotent(&self) -> bool {
        matches!(self.method, "GET" | "HEAD" | "OPTIONS" | "PUT" | "DELETE")
    }

    /// Values of all lines with this name, in order.
    pub fn values<'h>(&'h self, name: &'h str) -> impl Iterator<Item = &'b [u8]> + 'h {
        let is_it = move |header: &&Header<'b>| header.name.eq_ignore_ascii_case(name);
        self.headers.iter().filter(is_it).map(|header| header.value)
    }

    /// Appends the lines that go to the upstream as they came, each with its line end. `Host`, framing and
    /// everything the edge itself says are not among them.
    pub fn pass_lines(&self, out: &mut Vec<u8>) {
        super::pass_lines(self.head, (self.headers, self.fields), &self.connection, |_| false, out);
    }

    /// The same without the lines that `drops` names.
    pub fn pass_lines_without(&self, drops: impl Fn(&str) -> bool, out: &mut Vec<u8>) {
        super::pass_lines(self.head, (self.headers, self.fields), &self.connection, drops, out);
    }

    /// Value of the first line of this name, in any case.
    pub fn line(&self, name: &str) -> Option<&'b [u8]> {
        self.headers.iter().find(|header| header.name.eq_ignore_ascii_case(name)).map(|header| header.value)
    }

    /// Bytes of the head.
    pub fn size(&self) -> u64 {
        self.head.len() as u64
    }
}

/// Methods are case-sensitive, and no registered one has a small letter.
fn method_of(method: &str) -> Result<&str, Refusal> {
    let is_plain = method.bytes().all(|byte| byte.is_ascii_uppercase() || byte == b'-' || byte == b'_');
    match method {
        "CONNECT" | "TRACE" => Err(Refusal::MethodNotServed),
        _ if method.len() <= 32 && is_plain => Ok(method),
        _ => Err(Refusal::Method),
    }
}

/// Visible ASCII without the bytes that no browser sends unencoded and on which parsers disagree. A backtick is
/// left as it is in queries by browsers, in paths it is not.
fn is_target(target: &str) -> bool {
    let mut is_query = false;
    target.bytes().all(|byte| match byte {
        b'#' | b'<' | b'>' | b'"' => false,
        b'`' => is_query,
        b'?' => {
            is_query = true;
            true
        }
        byte => byte.is_ascii_graphic(),
    })
}

/// Splits `host:port` and refuses everything that is no plain host name or address.
fn authority(text: &[u8]) -> Option<(&str, Option<u16>)> {
    let text = std::str::from_utf8(text).ok()?;
    let (host, port) = if text.starts_with('[') {
        let end = text.find(']')? + 1;
        let is_address = |byte: u8| byte.is_ascii_hexdigit() || byte == b':' || byte == b'.';
        if end < 4 || !text[1..end - 1].bytes().all(is_address) {
            return None;
        }
        (&text[..end], &text[end..])
    } else {
        let end = text.find(':').unwrap_or(text.len());
        let is_name = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_');
        if end == 0 || !text[..end].bytes().all(is_name) {
            return None;
        }
        text.split_at(end)
    };
    if host.len() > 255 {
        return None;
    }
    match port.strip_prefix(':') {
        None if port.is_empty() => Some((host, None)),
        Some(digits) if digits.bytes().all(|digit| digit.is_ascii_digit()) => {
            digits.parse().ok().map(|port| (host, Some(port)))
        }
        _ => None,
    }
}

fn refusal_of(problem: httparse::Error, head: &[u8]) -> Refusal {
    match problem {
        httparse::Error::TooManyHeaders => Refusal::ManyLines,
        // A space in the target also leaves something else where the version should be.
        httparse::Error::Version => {
            let line = head.split(|byte| *byte == b'\r').next().unwrap_or(head);
            let mut words = line.split(|byte| *byte == b' ').skip(2);
            match (words.next(), words.next()) {
                (Some(version), None) if version.starts_with(b"HTTP/") => Refusal::Version,
                _ => Refusal::Syntax,
            }
        }
        _ => Refusal::Syntax,
    }
}
