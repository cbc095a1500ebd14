//! Reads the usual alphabet of base64 with padding (RFC 4648, 4), in which public keys are written. Strict: one text for one value.
//! Tests at the end of the file.

/// What `text` stands for; `None` when it is not the one text of that value.
pub(super) fn decode(text: &str) -> Option<Vec<u8>> {
    let text = text.as_bytes();
    let padding = text.iter().rev().take_while(|byte| **byte == b'=').count();
    if !text.len().is_multiple_of(4) || padding > 2 {
        return None;
    }
    let mut bytes = Vec::with_capacity(text.len() / 4 * 3);
    for chunk in text[..text.len() - padding].chunks(4) {
        let mut group = 0_u32;
        for place in 0..4 {
            group = (group << 6) | chunk.get(place).map_or(Some(0), |digit| value(*digit))?;
        }
        // The first of the four bytes is always empty: a group has 24 bits.
        let group = group.to_be_bytes();
        let (whole, rest) = group.split_at(chunk.len());
        if rest.iter().any(|byte| *byte != 0) {
            return None;
        }
        bytes.extend_from_slice(&whole[1..]);
    }
    Some(bytes)
}

fn value(digit: u8) -> Option<u32> {
    let value = match digit {
        b'A'..=b'Z' => digit - b'A',
        b'a'..=b'z' => digit - b'a' + 26,
        b'0'..=b'9' => digit - b'0' + 52,
        b'+' => 62,
        b'/' => 63,
        _ => return None,
    };
    Some(u32::from(value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn vectors_of_the_standard() {
        for (plain, text) in [
            ("", ""),
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("foob", "Zm9vYg=="),
            ("fooba", "Zm9vYmE="),
            ("foobar", "Zm9vYmFy"),
        ] {
            assert_eq!(decode(text).as_deref(), Some(plain.as_bytes()), "{text}");
        }
        assert_eq!(decode("+/+/"), Some(vec![0xfb, 0xff, 0xbf]));
    }

    #[test]
    fn other_texts_of_the_same_value_are_refused() {
        for wrong in
            ["Zg", "Zg=", "Zh==", "Zm9=", "Zg==Zg==", "=", "====", "Z===", "Zm9v\n", "Zm-v", "Zm 9", "Zg=A"]
        {
            assert_eq!(decode(wrong), None, "{wrong:?}");
        }
    }

    proptest::proptest! {
        #[test]
        fn nothing_panics(text in "[A-Za-z0-9+/=é]{0,16}") {
            if let Some(bytes) = decode(&text) {
                proptest::prop_assert_eq!(bytes.len(), text.trim_end_matches('=').len() * 3 / 4);
            }
        }
    }
}
