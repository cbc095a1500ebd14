//! W3C trace context (`traceparent`): which values are passed on, and the one the edge makes where there is none.
//! The edge has no spans of its own, so a valid value goes on as it came, with its `tracestate`.
//! Tests at the end of the file.

/// Length of a value of version 00.
pub const LENGTH: usize = 55;

/// Whether `value` may be passed on: version 00 exactly, or a later version that begins like it.
pub fn is_valid(value: &[u8]) -> bool {
    let Some(start) = value.get(..LENGTH) else { return false };
    let is_hex = |range: std::ops::Range<usize>| {
        start[range].iter().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(byte))
    };
    let is_zero = |range: std::ops::Range<usize>| start[range].iter().all(|byte| *byte == b'0');
    let has_form = [2, 35, 52].into_iter().all(|at| start[at] == b'-')
        && is_hex(0..2)
        && is_hex(3..35)
        && is_hex(36..52)
        && is_hex(53..55)
        && !is_zero(3..35)
        && !is_zero(36..52);
    let has_end = match &start[..2] {
        b"00" => value.len() == LENGTH,
        b"ff" => false,
        _ => value.len() == LENGTH || value[LENGTH] == b'-',
    };
    has_form && has_end
}

/// A new value: a trace of this number, which must not be zero, and its first span. Marked as sampled, because
/// most tracers follow that mark and would otherwise keep nothing of any request that came through here.
pub fn fresh(number: u128) -> [u8; LENGTH] {
    let mut value = *b"00-00000000000000000000000000000000-0000000000000000-01";
    hex(&mut value[3..35], number);
    // Odd, therefore not zero.
    hex(&mut value[36..52], mix(number) | 1);
    value
}

/// Spreads the bits of a number: tracers that keep a share of traces look at a part of it.
pub fn mix(number: u128) -> u128 {
    let mut bits = number ^ (number >> 64);
    bits = bits.wrapping_mul(0x9E37_79B9_7F4A_7C15_BF58_476D_1CE4_E5B9);
    bits ^= bits >> 59;
    bits = bits.wrapping_mul(0x94D0_49BB_1331_11EB_D6E8_FEB8_6659_FD93);
    bits ^ (bits >> 67)
}

fn hex(text: &mut [u8], number: u128) {
    for (place, byte) in text.iter_mut().rev().enumerate() {
        let digit = (number >> (4 * place)) & 15;
        *byte = b"0123456789abcdef"[usize::try_from(digit).unwrap_or(0)];
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_rules_of_the_recommendation() {
        let good = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        let rows = [
            (good.to_owned(), true),
            (good.replace("00-4b", "01-4b"), true),
            (format!("{}-what-comes-later", good.replace("00-4b", "cc-4b")), true),
            (format!("{}.x", good.replace("00-4b", "cc-4b")), false),
            (format!("{good}-more"), false),
            (good.replace("00-4b", "ff-4b"), false),
            (good.to_ascii_uppercase(), false),
            (good.replace("4bf92f3577b34da6a3ce929d0e0e4736", &"0".repeat(32)), false),
            (good.replace("00f067aa0ba902b7", &"0".repeat(16)), false),
            (good.replace('-', "_"), false),
            (good[1..].to_owned(), false),
            (String::new(), false),
        ];
        for (value, expected) in rows {
            assert_eq!(is_valid(value.as_bytes()), expected, "{value}");
        }
    }

    proptest! {
        #[test]
        fn what_is_made_here_is_valid_and_distinct(number in 1_u128.., other in 1_u128..) {
            prop_assert!(is_valid(&fresh(number)));
            prop_assert_eq!(number == other, fresh(number) == fresh(other));
        }

        #[test]
        fn garbage_is_judged_without_a_panic(value in proptest::collection::vec(any::<u8>(), 0..80)) {
            is_valid(&value);
        }
    }
}
