//! Finds the end of a head without parsing it, so that a head that drips in byte by byte costs one look at each
//! byte. It refuses bare line feeds on the way. Tests at the end of the file.

use super::Refusal;

/// Index after the empty line that ends a head. `scanned` remembers how far earlier calls came; it starts at 0
/// and belongs to this head.
///
/// # Errors
/// A line ends with a line feed alone.
pub fn head_end(bytes: &[u8], scanned: &mut usize) -> Result<Option<usize>, Refusal> {
    while let Some(found) = memchr::memchr(b'\n', &bytes[*scanned..]) {
        let at = *scanned + found;
        if at == 0 || bytes[at - 1] != b'\r' {
            return Err(Refusal::BareLineFeed);
        }
        *scanned = at + 1;
        if at >= 3 && bytes[at - 2] == b'\n' {
            return Ok(Some(at + 1));
        }
    }
    *scanned = bytes.len();
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_the_end_in_one_piece_and_byte_by_byte() {
        let head = b"GET / HTTP/1.1\r\nhost: a\r\n\r\nrest";
        assert_eq!(head_end(head, &mut 0), Ok(Some(head.len() - 4)));
        let mut scanned = 0;
        for end in 0..head.len() - 4 {
            assert_eq!(head_end(&head[..end], &mut scanned), Ok(None));
        }
        assert_eq!(head_end(head, &mut scanned), Ok(Some(head.len() - 4)));
    }

    #[test]
    fn refuses_bare_line_feeds() {
        for head in [&b"GET / HTTP/1.1\n"[..], b"\n", b"GET / HTTP/1.1\r\nhost: a\n\r\n"] {
            assert_eq!(head_end(head, &mut 0), Err(Refusal::BareLineFeed));
        }
    }
}
