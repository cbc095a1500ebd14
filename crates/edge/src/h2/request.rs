//! From the fields of a stream to the head of an HTTP/1.1 request. What RFC 9113 section 8 forbids and what could
//! mean something else as text is refused here; everything that is the same in both protocols is left to
//! `h1::request`, which reads the result. It waits for nothing. Tests: at the end of the file,
//! `tests/it/h2_answers.rs`, `tests/it/h2_conformance.rs`.

use h2::ext::Protocol;
use http::{Method, header, request::Parts};

use havre_http::h1::Refusal;

/// Writes the head into `out`. `has_body` says that the stream does not end with its fields; `key` is what a
/// WebSocket server wants to hear from its client, which HTTP/2 does not send.
///
/// # Errors
/// The fields break a rule.
pub fn write(out: &mut Vec<u8>, parts: &Parts, has_body: bool, key: u128) -> Result<(), Refusal> {
    let is_websocket = is_websocket(parts)?;
    out.extend_from_slice(if is_websocket { b"GET" } else { parts.method.as_str().as_bytes() });
    out.push(b' ');
    out.extend_from_slice(target(parts)?.as_bytes());
    out.extend_from_slice(b" HTTP/1.1\r\nHost: ");
    out.extend_from_slice(authority(parts)?);
    out.extend_from_slice(b"\r\n");
    fields(out, parts, is_websocket)?;
    if !has_body && parts.headers.get(header::CONTENT_LENGTH).is_some_and(|length| length != "0") {
        return Err(Refusal::Length);
    }
    if is_websocket {
        out.extend_from_slice(b"Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: ");
        base64(out, key);
        out.extend_from_slice(b"\r\n");
    } else if has_body && !parts.headers.contains_key(header::CONTENT_LENGTH) {
        out.extend_from_slice(b"Transfer-Encoding: chunked\r\n");
    }
    out.extend_from_slice(b"\r\n");
    Ok(())
}

/// Whether it is the extended CONNECT of RFC 8441; any other CONNECT is refused.
fn is_websocket(parts: &Parts) -> Result<bool, Refusal> {
    match parts.extensions.get::<Protocol>() {
        Some(protocol) if parts.method == Method::CONNECT && protocol.as_str() == "websocket" => Ok(true),
        Some(_) => Err(Refusal::MethodNotServed),
        None if parts.method == Method::CONNECT => Err(Refusal::MethodNotServed),
        None => Ok(false),
    }
}

fn target(parts: &Parts) -> Result<&str, Refusal> {
    let target = parts.uri.path_and_query().map_or("", |target| target.as_str());
    // A space or a line end in it would end the request line early; anything else is judged as text.
    let is_form = target.starts_with('/') || (target == "*" && parts.method == Method::OPTIONS);
    if !is_form || !target.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(Refusal::Target);
    }
    Ok(target)
}

/// `:authority`, or `Host` where there is none; both must say the same.
fn authority(parts: &Parts) -> Result<&[u8], Refusal> {
    let mut hosts = parts.headers.get_all(header::HOST).iter();
    let host = hosts.next().map(http::HeaderValue::as_bytes);
    if hosts.next().is_some() {
        return Err(Refusal::TwoHosts);
    }
    match (parts.uri.authority(), host) {
        (Some(authority), Some(host)) if !authority.as_str().as_bytes().eq_ignore_ascii_case(host) => {
            Err(Refusal::HostMismatch)
        }
        (Some(authority), _) => Ok(authority.as_str().as_bytes()),
        (None, Some(host)) => Ok(host),
        (None, None) => Err(Refusal::NoHost),
    }
}

fn fields(out: &mut Vec<u8>, parts: &Parts, is_websocket: bool) -> Result<(), Refusal> {
    let mut has_cookie = false;
    for (name, value) in &parts.headers {
        let value = value.as_bytes();
        if has_edge_space(value) {
            return Err(Refusal::Syntax);
        }
        match *name {
            header::HOST => continue,
            // Together below: HTTP/2 lets a client split what HTTP/1.1 has in one line.
            header::COOKIE => {
                has_cookie = true;
                continue;
            }
            header::SEC_WEBSOCKET_KEY if is_websocket => continue,
            // The `h2` crate refuses these as malformed; a head of two meanings must not depend on that.
            header::CONNECTION | header::TRANSFER_ENCODING | header::UPGRADE => return Err(Refusal::Syntax),
            header::TE if !value.eq_ignore_ascii_case(b"trailers") => return Err(Refusal::Syntax),
            _ => {}
        }
        out.extend_from_slice(name.as_str().as_bytes());
        out.extend_from_slice(b": ");
        out.extend_from_slice(value);
        out.extend_from_slice(b"\r\n");
    }
    if has_cookie {
        let mut before: &[u8] = b"cookie: ";
        for crumb in parts.headers.get_all(header::COOKIE) {
            out.extend_from_slice(before);
            out.extend_from_slice(crumb.as_bytes());
            before = b"; ";
        }
        out.extend_from_slice(b"\r\n");
    }
    Ok(())
}

/// RFC 9113, 8.2.1: such a field is malformed; HTTP/1.1 would lose the space.
fn has_edge_space(value: &[u8]) -> bool {
    let is_space = |byte: Option<&u8>| matches!(byte, Some(b' ' | b'\t'));
    is_space(value.first()) || is_space(value.last())
}

fn base64(out: &mut Vec<u8>, number: u128) {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    for place in 0..22_u32 {
        let shift = 122_i64 - 6 * i64::from(place);
        let digit = if shift < 0 { number << -shift } else { number >> shift };
        out.push(DIGITS[usize::try_from(digit & 63).unwrap_or(0)]);
    }
    out.extend_from_slice(b"==");
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(request: http::request::Builder, has_body: bool) -> Result<String, Refusal> {
        let (parts, ()) = request.body(()).unwrap().into_parts();
        let mut out = Vec::new();
        write(&mut out, &parts, has_body, 1).map(|()| String::from_utf8(out).unwrap())
    }

    #[test]
    fn fields_become_lines_and_crumbs_one_cookie() {
        let request = http::Request::post("https://app.example/a?b=1")
            .header("cookie", "a=1")
            .header("x-one", "1")
            .header("cookie", "b=2")
            .header("te", "trailers");
        assert_eq!(
            written(request, true).unwrap(),
            "POST /a?b=1 HTTP/1.1\r\nHost: app.example\r\nx-one: 1\r\nte: trailers\r\ncookie: a=1; b=2\r\n\
             Transfer-Encoding: chunked\r\n\r\n"
        );
    }

    #[test]
    fn what_could_mean_two_things_is_refused() {
        let get = || http::Request::get("https://app.example/");
        for (request, refusal) in [
            (get().header("host", "other.example"), Refusal::HostMismatch),
            (get().header("host", "app.example").header("host", "app.example"), Refusal::TwoHosts),
            (get().header("x", " a"), Refusal::Syntax),
            (get().header("x", "a\t"), Refusal::Syntax),
            (get().header("connection", "close"), Refusal::Syntax),
            (get().header("transfer-encoding", "chunked"), Refusal::Syntax),
            (get().header("upgrade", "websocket"), Refusal::Syntax),
            (get().header("te", "gzip"), Refusal::Syntax),
            (http::Request::get("/"), Refusal::NoHost),
            (http::Request::builder().method("CONNECT").uri("app.example:443"), Refusal::MethodNotServed),
        ] {
            assert_eq!(written(request, false), Err(refusal));
        }
        assert!(written(get().header("host", "APP.example"), false).is_ok());
    }

    #[test]
    fn a_websocket_is_the_get_it_is_in_http1() {
        let request = http::Request::builder()
            .method("CONNECT")
            .uri("https://app.example/chat")
            .header("sec-websocket-version", "13")
            .header("sec-websocket-key", "sent by the client")
            .extension(Protocol::from_static("websocket"));
        assert_eq!(
            written(request, true).unwrap(),
            "GET /chat HTTP/1.1\r\nHost: app.example\r\nsec-websocket-version: 13\r\nConnection: Upgrade\r\n\
             Upgrade: websocket\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAQ==\r\n\r\n"
        );
    }
}
