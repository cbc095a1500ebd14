//! Heads as the edge writes them: for upstreams and for clients. Synchronous; the only place where header lines
//! of our own are formed. Tests: `tests/it/raw_requests.rs`, `tests/it/answers.rs`.

use std::net::IpAddr;
use std::rc::Rc;

use havre_api::route_table::Limits;

use crate::table::{Hsts, Service};
use havre_http::h1::Framing;
use havre_http::h1::request::RequestHead;
use havre_http::h1::response::ResponseHead;
use havre_http::policy::{Edits, Pass};
use havre_http::trace;

/// Longest request id that is kept.
const ID_LENGTH: usize = 64;

/// Id of a request: the client's own where it is harmless, else one of ours.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RequestId {
    text: [u8; ID_LENGTH],
    length: u8,
}

impl RequestId {
    /// Keeps what the client sent if it is 1 to 64 of `A-Za-z0-9._-`.
    pub(crate) fn kept(sent: &[u8]) -> Option<Self> {
        let is_plain = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
        if sent.is_empty() || sent.len() > ID_LENGTH || !sent.iter().all(is_plain) {
            return None;
        }
        let mut text = [0; ID_LENGTH];
        text[..sent.len()].copy_from_slice(sent);
        Some(Self { text, length: u8::try_from(sent.len()).unwrap_or(0) })
    }

    /// 32 hex digits of a number.
    pub(crate) fn of(number: u128) -> Self {
        let mut text = [0; ID_LENGTH];
        for (place, byte) in text[..32].iter_mut().enumerate() {
            let digit = (number >> (124 - 4 * place)) & 15;
            *byte = b"0123456789abcdef"[usize::try_from(digit).unwrap_or(0)];
        }
        Self { text, length: 32 }
    }

    /// The number it is, where it is 32 hex digits.
    pub(crate) fn number(&self) -> Option<u128> {
        let text = Some(self.as_str()).filter(|text| text.len() == 32)?;
        u128::from_str_radix(text, 16).ok()
    }

    pub(crate) fn as_str(&self) -> &str {
        std::str::from_utf8(&self.text[..usize::from(self.length)]).unwrap_or("")
    }
}

/// What every answer to a request depends on.
#[derive(Debug, Clone)]
pub(crate) struct Ask {
    /// `HEAD`: no body in the answer.
    pub(crate) is_head: bool,
    /// HTTP/1.0: no chunks, no interim answers.
    pub(crate) is_http10: bool,
    /// A stream of HTTP/2: bodies end with it, and it takes one request.
    pub(crate) is_h2: bool,
    /// The client can send another request after this one.
    pub(crate) keep_alive: bool,
    /// The client understands pages.
    pub(crate) as_page: bool,
    /// The client waits for 100.
    pub(crate) expects_continue: bool,
    /// Add `Havre-Release`.
    pub(crate) show_release: bool,
    /// Control asks, with its key.
    pub(crate) is_probe: bool,
    /// Framing of the request.
    pub(crate) framing: Framing,
    /// Id of the request.
    pub(crate) id: RequestId,
    /// What answers over HTTPS say of the future.
    pub(crate) hsts: Option<Hsts>,
    /// What the policy of the route wants of request and answer; none where there is no policy.
    pub(crate) pass: Option<Rc<Pass>>,
}

impl Ask {
    /// Sizes and times of the route, else those of its service.
    pub(crate) fn limits<'l>(&'l self, service: &'l Service) -> &'l Limits {
        self.pass.as_ref().map_or(&service.limits, |pass| &pass.policy().limits)
    }
}

impl Ask {
    /// The client understands chunks; else a body without a length ends with the connection or stream.
    pub(crate) fn takes_chunks(&self) -> bool {
        !self.is_http10 && !self.is_h2
    }
}

/// Appends a number in decimal digits.
pub(crate) fn number(out: &mut Vec<u8>, mut value: u64) {
    let mut digits = [0; 20];
    let mut start = digits.len();
    loop {
        start -= 1;
        digits[start] = b'0' + u8::try_from(value % 10).unwrap_or(0);
        value /= 10;
        if value == 0 {
            return out.extend_from_slice(&digits[start..]);
        }
    }
}

fn line(out: &mut Vec<u8>, name: &str, value: &str) {
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b": ");
    out.extend_from_slice(value.as_bytes());
    out.extend_from_slice(b"\r\n");
}

/// The head for the upstream. `client` is the address of the client as text.
/// `trace` is the `traceparent` of a request that came without one.
pub(crate) fn request(
    out: &mut Vec<u8>,
    head: &RequestHead<'_, '_>,
    ask: &Ask,
    client: &ClientName,
    trace: Option<&[u8; trace::LENGTH]>,
) {
    out.extend_from_slice(head.method.as_bytes());
    out.push(b' ');
    let pass = ask.pass.as_deref();
    let target = pass.and_then(|pass| pass.target.as_deref()).unwrap_or(head.origin_form());
    out.extend_from_slice(target.as_bytes());
    out.extend_from_slice(b" HTTP/1.1\r\n");
    line(out, "Host", head.authority);
    match pass {
        None => head.pass_lines(out),
        Some(pass) => {
            head.pass_lines_without(|name| pass.drops_from_request(name), out);
            pass.request_lines().for_each(|(name, value)| line(out, name, value));
        }
    }
    match head.framing {
        Framing::Length(length) => {
            out.extend_from_slice(b"Content-Length: ");
            number(out, length);
            out.extend_from_slice(b"\r\n");
        }
        Framing::Chunked => line(out, "Transfer-Encoding", "chunked"),
        // Some servers refuse a POST that says nothing of its body.
        Framing::Empty if matches!(head.method, "POST" | "PUT" | "PATCH") => line(out, "Content-Length", "0"),
        Framing::Empty | Framing::UntilClose => {}
    }
    if ask.expects_continue && head.framing != Framing::Empty {
        line(out, "Expect", "100-continue");
    }
    if head.upgrade {
        out.extend_from_slice(b"Connection: Upgrade\r\nUpgrade: websocket\r\n");
    }
    forwarded(out, head.authority, client);
    line(out, "X-Request-Id", ask.id.as_str());
    if let Some(trace) = trace {
        out.extend_from_slice(b"traceparent: ");
        out.extend_from_slice(trace);
        out.extend_from_slice(b"\r\n");
    }
    out.extend_from_slice(b"\r\n");
}

/// What the edge knows of the client. Nothing the client itself said about that is kept; the word of trusted proxies
/// has already become `client`.
fn forwarded(out: &mut Vec<u8>, authority: &str, client: &ClientName) {
    line(out, "X-Forwarded-For", &client.plain);
    line(out, "X-Forwarded-Proto", client.scheme());
    line(out, "X-Forwarded-Host", authority);
    out.extend_from_slice(b"Forwarded: for=");
    out.extend_from_slice(client.quoted().as_bytes());
    out.extend_from_slice(b";host=");
    // RFC 7239: a value that is no token stands in quotes.
    let quote: &[u8] = if authority.contains([':', '[']) { b"\"" } else { b"" };
    out.extend_from_slice(quote);
    out.extend_from_slice(authority.as_bytes());
    out.extend_from_slice(quote);
    out.extend_from_slice(b";proto=");
    out.extend_from_slice(client.scheme().as_bytes());
    out.extend_from_slice(b"\r\n");
}

/// What headers say of a client: its address in two forms, and the scheme it speaks.
#[derive(Debug)]
pub(crate) struct ClientName {
    pub(crate) address: IpAddr,
    plain: Box<str>,
    quoted: Option<Box<str>>,
    is_https: bool,
}

impl ClientName {
    pub(crate) fn of(address: IpAddr, is_https: bool) -> Self {
        Self {
            address,
            is_https,
            plain: address.to_string().into(),
            quoted: address.is_ipv6().then(|| format!("\"[{address}]\"").into()),
        }
    }

    /// Whether it speaks HTTPS.
    pub(crate) fn is_https(&self) -> bool {
        self.is_https
    }

    /// What it speaks.
    pub(crate) fn scheme(&self) -> &'static str {
        if self.is_https { "https" } else { "http" }
    }

    fn quoted(&self) -> &str {
        self.quoted.as_deref().unwrap_or(&self.plain)
    }
}

/// An interim answer (100, 103) for the client.
pub(crate) fn interim(out: &mut Vec<u8>, head: &ResponseHead<'_, '_>) {
    status_line(out, head.status, head.reason);
    head.pass_lines(out);
    out.extend_from_slice(b"\r\n");
}

/// The head of an upstream's final answer, or of its 101, for the client, with what its policy changes.
pub(crate) fn answer(
    out: &mut Vec<u8>,
    head: &ResponseHead<'_, '_>,
    ask: &Ask,
    edits: Option<&Edits<'_>>,
    (release, keep_alive): (&str, bool),
) {
    status_line(out, head.status, head.reason);
    match edits {
        None => head.pass_lines(out),
        Some(edits) => {
            head.pass_lines_without(|name| edits.drops(name), out);
            edit_lines(out, edits);
        }
    }
    match (head.framing, head.length) {
        _ if edits.is_some_and(|edits| edits.coding.is_some()) => line(out, "Transfer-Encoding", "chunked"),
        (_, Some(length)) => {
            out.extend_from_slice(b"Content-Length: ");
            number(out, length);
            out.extend_from_slice(b"\r\n");
        }
        (Framing::Chunked | Framing::UntilClose, None) if ask.takes_chunks() => {
            line(out, "Transfer-Encoding", "chunked");
        }
        _ => {}
    }
    if ask.show_release {
        line(out, "Havre-Release", release);
    }
    line(out, "X-Request-Id", ask.id.as_str());
    hsts(out, ask);
    if head.status == 101 {
        out.extend_from_slice(b"Connection: Upgrade\r\nUpgrade: websocket\r\n");
    } else {
        connection(out, ask, keep_alive);
    }
    out.extend_from_slice(b"\r\n");
}

/// `HTTP/1.1 200 OK` and its end.
pub(crate) fn status_line(out: &mut Vec<u8>, status: u16, reason: &str) {
    out.extend_from_slice(b"HTTP/1.1 ");
    number(out, u64::from(status));
    out.push(b' ');
    out.extend_from_slice(reason.as_bytes());
    out.extend_from_slice(b"\r\n");
}

/// Lines of our own (each with its end) without those that `drops` names.
pub(crate) fn lines_without(out: &mut Vec<u8>, lines: &[u8], drops: impl Fn(&str) -> bool) {
    for line in lines.split_inclusive(|byte| *byte == b'\n') {
        let name = line.split(|byte| *byte == b':').next().unwrap_or(line);
        if !std::str::from_utf8(name).is_ok_and(&drops) {
            out.extend_from_slice(line);
        }
    }
}

/// Lines a policy adds to an answer.
pub(crate) fn edit_lines(out: &mut Vec<u8>, edits: &Edits<'_>) {
    edits.lines().for_each(|(name, value)| line(out, name, value));
}

/// The lines about the connection and the request that end a head of our own, without the empty line.
pub(crate) fn closing_lines(out: &mut Vec<u8>, ask: &Ask, release: &str, keep_alive: bool, date: &[u8]) {
    out.extend_from_slice(b"Date: ");
    out.extend_from_slice(date);
    out.extend_from_slice(b"\r\n");
    if ask.show_release && !release.is_empty() {
        line(out, "Havre-Release", release);
    }
    line(out, "X-Request-Id", ask.id.as_str());
    hsts(out, ask);
    connection(out, ask, keep_alive);
}

/// Behind what an application says itself: browsers obey the first.
fn hsts(out: &mut Vec<u8>, ask: &Ask) {
    if let Some(hsts) = ask.hsts {
        out.extend_from_slice(b"Strict-Transport-Security: ");
        hsts.write(out);
        out.extend_from_slice(b"\r\n");
    }
}

fn connection(out: &mut Vec<u8>, ask: &Ask, keep_alive: bool) {
    if !keep_alive {
        line(out, "Connection", "close");
    } else if ask.is_http10 {
        line(out, "Connection", "keep-alive");
    }
}
