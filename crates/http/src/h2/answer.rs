//! From the head of an HTTP/1.1 answer, as the edge writes it, to the fields of a stream, and from the fields of an
//! application's answer to the text that the strict parser reads. It sends nothing.
//! Tests at the end of the file.

use std::mem::MaybeUninit;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, Response, StatusCode, header};
use httparse::{ParserConfig, Status};

use super::{MOST_LINES, value};

/// The head of an answer.
#[derive(Debug)]
pub struct Head {
    /// Status and fields, without those that belong to a connection.
    pub response: Response<()>,
    /// Bytes of the text it stood in.
    pub size: usize,
    /// `Content-Length`.
    pub length: Option<u64>,
    /// 100 to 199, but not 101: another head follows.
    pub is_interim: bool,
    /// 101 as text: the stream is a tunnel now.
    pub is_tunnel: bool,
}

/// Reads the head at the start of `text`; none if that is no head of an answer.
pub fn read(text: &[u8]) -> Option<Head> {
    let mut lines = [const { MaybeUninit::uninit() }; MOST_LINES];
    let mut response = httparse::Response::new(&mut []);
    let parsed = ParserConfig::default().parse_response_with_uninit_headers(&mut response, text, &mut lines);
    let Ok(Status::Complete(size)) = parsed else { return None };
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
        fields.append(name, value(&owned, text, line.value)?);
    }
    let mut head = Response::new(());
    *head.status_mut() = if is_tunnel { StatusCode::OK } else { StatusCode::from_u16(status).ok()? };
    *head.headers_mut() = fields;
    Some(Head { response: head, size, length, is_interim: status < 200 && !is_tunnel, is_tunnel })
}

/// The head of an answer as text. Without a length it ends with the stream, which is the same as with the connection.
pub fn write(head: &Response<()>, is_whole: bool) -> Bytes {
    let mut text = Vec::with_capacity(256);
    text.extend_from_slice(b"HTTP/1.1 ");
    text.extend_from_slice(head.status().as_str().as_bytes());
    text.extend_from_slice(b" \r\n");
    for (name, value) in head.headers() {
        text.extend_from_slice(name.as_str().as_bytes());
        text.extend_from_slice(b": ");
        text.extend_from_slice(value.as_bytes());
        text.extend_from_slice(b"\r\n");
    }
    if is_whole && !head.headers().contains_key(header::CONTENT_LENGTH) {
        text.extend_from_slice(b"content-length: 0\r\n");
    }
    text.extend_from_slice(b"\r\n");
    text.into()
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

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

    #[test]
    fn fields_become_lines() {
        let answer = Response::builder().status(404).header("grpc-status", "5").body(()).unwrap();
        assert_eq!(write(&answer, true), "HTTP/1.1 404 \r\ngrpc-status: 5\r\ncontent-length: 0\r\n\r\n");
        assert_eq!(write(&answer, false), "HTTP/1.1 404 \r\ngrpc-status: 5\r\n\r\n");
    }
}
