//! From the head of an HTTP/1.1 answer, as the edge writes it, to the fields of a stream. It sends nothing.
//! Tests at the end of the file.

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode, header};

/// Most lines of a head of our own: those of an upstream, which are bounded, and ours.
const MOST_LINES: usize = 300;

/// The head of an answer.
#[derive(Debug)]
pub(super) struct Head {
    pub(super) response: Response<()>,
    /// Bytes of the text it stood in.
    pub(super) size: usize,
    /// `Content-Length`.
    pub(super) length: Option<u64>,
    /// 100 to 199, but not 101: another head follows.
    pub(super) is_interim: bool,
    /// 101 as text: the stream is a tunnel now.
    pub(super) is_tunnel: bool,
}

/// Reads the head at the start of `text`; none if that is no head of an answer.
pub(super) fn read(text: &[u8]) -> Option<Head> {
    let mut lines = [httparse::EMPTY_HEADER; MOST_LINES];
    let mut response = httparse::Response::new(&mut lines);
    let Ok(httparse::Status::Complete(size)) = response.parse(text) else { return None };
    let status = response.code?;
    let is_tunnel = status == 101;
    let mut fields = HeaderMap::with_capacity(response.headers.len());
    // One copy for all values.
    let owned = Bytes::copy_from_slice(&text[..size]);
    let mut length = None;
    for line in response.headers {
        let name = HeaderName::from_bytes(line.name.as_bytes()).ok()?;
        match name {
            header::CONNECTION | header::TRANSFER_ENCODING | header::UPGRADE => continue,
            header::SEC_WEBSOCKET_ACCEPT if is_tunnel => continue,
            header::CONTENT_LENGTH => length = std::str::from_utf8(line.value).ok()?.parse().ok(),
            _ if matches!(name.as_str(), "keep-alive" | "proxy-connection") => continue,
            _ => {}
        }
        let start = line.value.as_ptr() as usize - text.as_ptr() as usize;
        let value = if line.value.is_empty() {
            HeaderValue::from_static("")
        } else {
            HeaderValue::from_maybe_shared(owned.slice(start..start + line.value.len())).ok()?
        };
        fields.append(name, value);
    }
    let mut head = Response::new(());
    *head.status_mut() = if is_tunnel { StatusCode::OK } else { StatusCode::from_u16(status).ok()? };
    *head.headers_mut() = fields;
    Some(Head { response: head, size, length, is_interim: status < 200 && !is_tunnel, is_tunnel })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_become_fields_without_what_belongs_to_a_connection() {
        let text =
            b"HTTP/1.1 200 OK\r\nX-A: 1\r\nContent-Length: 2\r\nSet-Cookie: a\r\nset-cookie: b\r\nX-E: \r\n\
                     Keep-Alive: 5\r\nConnection: close\r\n\r\nok";
        let head = read(text).unwrap();
        assert_eq!((head.size, head.length, head.is_interim), (text.len() - 2, Some(2), false));
        let fields: Vec<_> =
            head.response.headers().iter().map(|(name, value)| (name.as_str(), value)).collect();
        assert_eq!(
            fields,
            [
                ("x-a", &HeaderValue::from_static("1")),
                ("content-length", &HeaderValue::from_static("2")),
                ("set-cookie", &HeaderValue::from_static("a")),
                ("set-cookie", &HeaderValue::from_static("b")),
                ("x-e", &HeaderValue::from_static("")),
            ]
        );
        let tunnel =
            read(b"HTTP/1.1 101 S\r\nSec-WebSocket-Accept: x\r\nUpgrade: websocket\r\n\r\n").unwrap();
        assert!(tunnel.is_tunnel && tunnel.response.status() == 200 && tunnel.response.headers().is_empty());
        assert!(read(b"HTTP/1.1 103 Early\r\n\r\n").unwrap().is_interim);
        assert!(read(b"HTTP/1.1 200 OK\r\nX: 1\r\n").is_none());
    }
}
