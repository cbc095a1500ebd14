//! The client's half of WebSocket frames (RFC 6455): whole frames only, no extensions. Tests at the end of the file.

/// Key of the handshake and the answer that RFC 6455 (section 1.3) gives for it. A client that is not a browser has
/// no need of a random key, and so we need no SHA-1.
pub(super) const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
pub(super) const ACCEPT: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";
pub(super) const TEXT: u8 = 1;
pub(super) const CLOSE: u8 = 8;
pub(super) const PING: u8 = 9;
pub(super) const PONG: u8 = 10;
/// Largest message that is accepted.
const MAX: u64 = 1024 * 1024;

/// One frame of the server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Frame {
    pub(super) opcode: u8,
    pub(super) payload: Vec<u8>,
}

/// A whole frame of the client, masked as clients must.
pub(super) fn encode(opcode: u8, payload: &[u8], mask: [u8; 4]) -> Vec<u8> {
    let mut frame = vec![0x80 | opcode];
    match payload.len() {
        length @ 0..126 => frame.push(0x80 | length as u8),
        length @ 126..65_536 => {
            frame.push(0x80 | 126);
            frame.extend_from_slice(&(length as u16).to_be_bytes());
        }
        length => {
            frame.push(0x80 | 127);
            frame.extend_from_slice(&(length as u64).to_be_bytes());
        }
    }
    frame.extend_from_slice(&mask);
    frame.extend(payload.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask));
    frame
}

/// The first frame of `bytes` and its length there; `None` while it is incomplete.
///
/// # Errors
/// A server must not send this.
pub(super) fn decode(bytes: &[u8]) -> Result<Option<(Frame, usize)>, &'static str> {
    let [first, second, ..] = *bytes else { return Ok(None) };
    if first & 0x70 != 0 {
        return Err("reserved bits are set");
    }
    if first & 0x80 == 0 || first & 0x0f == 0 {
        return Err("message in fragments");
    }
    if second & 0x80 != 0 {
        return Err("masked by the server");
    }
    let (length, start) = match second {
        126 => match bytes.get(2..4) {
            Some(&[high, low]) => (u64::from(u16::from_be_bytes([high, low])), 4),
            _ => return Ok(None),
        },
        127 => match bytes.get(2..10).and_then(|bytes| <[u8; 8]>::try_from(bytes).ok()) {
            Some(bytes) => (u64::from_be_bytes(bytes), 10),
            None => return Ok(None),
        },
        length => (u64::from(length), 2),
    };
    if length > MAX {
        return Err("message too large");
    }
    let end = start + length as usize;
    let Some(payload) = bytes.get(start..end) else { return Ok(None) };
    Ok(Some((Frame { opcode: first & 0x0f, payload: payload.to_vec() }, end)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_of_the_standard_section_5_7() {
        let masked = [0x81, 0x85, 0x37, 0xfa, 0x21, 0x3d, 0x7f, 0x9f, 0x4d, 0x51, 0x58];
        assert_eq!(encode(TEXT, b"Hello", [0x37, 0xfa, 0x21, 0x3d]), masked);
        let hello = [0x81, 0x05, 0x48, 0x65, 0x6c, 0x6c, 0x6f];
        let frame = Frame { opcode: TEXT, payload: b"Hello".to_vec() };
        assert_eq!(decode(&hello), Ok(Some((frame, 7))));
    }

    #[test]
    fn every_length_form_goes_through_when_unmasked_and_no_shorter_piece_does() {
        for length in [0, 125, 126, 65_535, 65_536] {
            let payload = vec![7; length];
            let mut frame = encode(TEXT, &payload, [0; 4]);
            let head = frame.len() - length;
            frame.drain(head - 4..head);
            frame[1] &= 0x7f;
            let used = frame.len();
            frame.push(0x81);
            assert_eq!(decode(&frame), Ok(Some((Frame { opcode: TEXT, payload }, used))));
            for end in (0..used).step_by(1 + used / 50) {
                assert_eq!(decode(&frame[..end]), Ok(None));
            }
        }
    }

    #[test]
    fn what_a_server_must_not_send_is_refused() {
        assert_eq!(decode(&[0xc1, 0]), Err("reserved bits are set"));
        assert_eq!(decode(&[0x01, 0]), Err("message in fragments"));
        assert_eq!(decode(&[0x81, 0x80]), Err("masked by the server"));
        assert_eq!(decode(&[0x82, 127, 0, 0, 0, 1, 0, 0, 0, 0]), Err("message too large"));
    }
}
