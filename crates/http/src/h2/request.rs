//! From the head of an HTTP/1.1 request, as the edge writes it for applications, to the request of a stream. It sends
//! nothing. Tests at the end of the file.

use std::mem::MaybeUninit;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Uri, header};
use httparse::{ParserConfig, Status};

use super::{MOST_LINES, value};

/// How a request's body ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Body {
    /// There is none.
    None,
    /// After this many bytes.
    Length(u64),
    /// With the stream.
    Open,
}

/// The head of a request.
#[derive(Debug)]
pub struct Head {
    /// Method, target and fields.
    pub request: Request<()>,
    /// Bytes of the text it stood in.
    pub size: usize,
    /// Whether a body follows.
    pub body: Body,
}

/// Reads the head at the start of `text`, as the edge writes it for applications; none if that is no head of a request.
pub fn read(text: &[u8], scheme: &str) -> Option<Head> {
    let mut lines = [const { MaybeUninit::uninit() }; MOST_LINES];
    let mut parsed = httparse::Request::new(&mut []);
    let outcome = ParserConfig::default().parse_request_with_uninit_headers(&mut parsed, text, &mut lines);
    let Ok(Status::Complete(size)) = outcome else { return None };
    let owned = Bytes::copy_from_slice(&text[..size]);
    let mut fields = HeaderMap::with_capacity(parsed.headers.len());
    let (mut authority, mut body) = (&b""[..], Body::None);
    for line in parsed.headers.iter() {
        let name = HeaderName::from_bytes(line.name.as_bytes()).ok()?;
        match name {
            header::HOST => {
                authority = line.value;
                continue;
            }
            header::TRANSFER_ENCODING => {
                body = Body::Open;
                continue;
            }
            header::CONTENT_LENGTH => {
                let length = std::str::from_utf8(line.value).ok()?.parse().ok()?;
                body = if length == 0 { Body::None } else { Body::Length(length) };
            }
            header::CONNECTION | header::UPGRADE | header::TE => continue,
            _ => {}
        }
        fields.append(name, value(&owned, text, line.value)?);
    }
    // The edge takes trailers; gRPC asks for this field.
    fields.insert(header::TE, HeaderValue::from_static("trailers"));
    let mut request = Request::new(());
    *request.method_mut() = Method::from_bytes(parsed.method?.as_bytes()).ok()?;
    *request.uri_mut() =
        Uri::builder().scheme(scheme).authority(authority).path_and_query(parsed.path?).build().ok()?;
    *request.headers_mut() = fields;
    Some(Head { request, size, body })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_become_fields() {
        let text = b"POST /a?b HTTP/1.1\r\nHost: app.example:81\r\nTransfer-Encoding: chunked\r\nX-A: 1\r\nx-e: \r\n\r\nrest";
        let head = read(text, "http").unwrap();
        assert_eq!((head.size, head.body), (text.len() - 4, Body::Open));
        assert_eq!(head.request.uri(), "http://app.example:81/a?b");
        let fields: Vec<_> =
            head.request.headers().iter().map(|(name, value)| (name.as_str(), value)).collect();
        let value = HeaderValue::from_static;
        assert_eq!(fields, [("x-a", &value("1")), ("x-e", &value("")), ("te", &value("trailers"))]);
    }
}
