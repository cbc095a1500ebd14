//! Numbers that keep their length: a permutation under the salt, so that two numbers never become one. Not strong encryption: a number
//! of one digit has ten values, and who sees enough pairs learns them. Tests: at the end.

use crate::salt::Salt;

/// Rounds of the network. The smallest domains mix well after ten.
const ROUNDS: u8 = 10;
/// Most digits that are permuted as one number; longer ones in parts.
const PART_MAX: usize = 36;
/// The ends of the types of whole numbers: a number stays on its side of each, whatever type its column has.
const ENDS: [u128; 3] = [32_767, 2_147_483_647, 9_223_372_036_854_775_807];

/// Permutes the digits of a value; everything between them stays where it is.
pub(super) fn digits(salt: &Salt, value: &str) -> String {
    let found: String = value.chars().filter(char::is_ascii_digit).collect();
    replace(value, &permute(salt, "digits", &found, value.starts_with('-')))
}

/// Permutes the digits of a number of the telephone, but for the code of its country.
pub(super) fn phone(salt: &Salt, value: &str) -> String {
    let found: String = value.chars().filter(char::is_ascii_digit).collect();
    let trimmed = value.trim_start();
    let kept = if trimmed.starts_with('+') {
        country(&found)
    } else if trimmed.starts_with("00") {
        2 + country(&found[2..])
    } else {
        0
    };
    let (code, number) = found.split_at(kept.min(found.len()));
    replace(value, &format!("{code}{}", permute(salt, "phone", number, false)))
}

/// How many digits the code of a country has (ITU E.164).
fn country(digits: &str) -> usize {
    let two = [
        "20", "27", "28", "30", "31", "32", "33", "34", "36", "39", "40", "41", "43", "44", "45", "46", "47",
        "48", "49", "51", "52", "53", "54", "55", "56", "57", "58", "60", "61", "62", "63", "64", "65", "66",
        "81", "82", "84", "86", "90", "91", "92", "93", "94", "95", "98",
    ];
    if digits.starts_with(['1', '7']) {
        1
    } else if two.iter().any(|code| digits.starts_with(code)) {
        2
    } else {
        3
    }
}

/// Puts digits where digits were.
fn replace(value: &str, digits: &str) -> String {
    let mut digits = digits.chars();
    let put = |old: char| if old.is_ascii_digit() { digits.next().unwrap_or(old) } else { old };
    value.chars().map(put).collect()
}

/// A text of as many digits. One that begins with 0 still does, and one that does not still does not.
fn permute(salt: &Salt, kind: &str, digits: &str, is_negative: bool) -> String {
    if digits.len() <= PART_MAX {
        return permute_part(salt, kind, digits, is_negative);
    }
    let (first, rest) = digits.split_at(PART_MAX);
    format!("{}{}", permute_part(salt, kind, first, is_negative), permute(salt, kind, rest, false))
}

fn permute_part(salt: &Salt, kind: &str, digits: &str, is_negative: bool) -> String {
    let length = digits.len();
    if length == 0 {
        return String::new();
    }
    let number: u128 = digits.parse().unwrap_or(0);
    let power = |exponent: usize| 10_u128.pow(u32::try_from(exponent).unwrap_or(0));
    let (mut least, mut most) = match (length, digits.starts_with('0')) {
        (1, _) => (0, 9),
        (_, true) => (0, power(length - 1) - 1),
        (_, false) => (power(length - 1), power(length) - 1),
    };
    for end in ENDS {
        // The least number of a type is one further away from zero than its greatest.
        let end = end + u128::from(is_negative);
        if number <= end {
            most = most.min(end);
        } else {
            least = least.max(end + 1);
        }
    }
    let permuted = least + walk(salt, kind, number - least, most - least + 1);
    format!("{permuted:0length$}")
}

/// A permutation of the numbers below `size`: one of a slightly larger domain, again and again until the result lies inside.
fn walk(salt: &Salt, kind: &str, number: u128, size: u128) -> u128 {
    if size < 2 {
        return number;
    }
    let mut at = number;
    loop {
        at = network(salt, kind, at, size);
        if at < size {
            return at;
        }
    }
}

/// Two halves, each moved in turn by what the other says. `left * right` is at least `size`.
fn network(salt: &Salt, kind: &str, number: u128, size: u128) -> u128 {
    let left_size = (size - 1).isqrt() + 1;
    let right_size = size.div_ceil(left_size);
    let (mut left, mut right) = (number % left_size, number / left_size);
    for round in 0..ROUNDS {
        let mut message = [0_u8; 33];
        message[0] = round;
        message[1..17].copy_from_slice(&size.to_be_bytes());
        let other = if round % 2 == 0 { right } else { left };
        message[17..].copy_from_slice(&other.to_be_bytes());
        let moved = u128::from(salt.number(kind, &message));
        if round % 2 == 0 {
            left = (left + moved) % left_size;
        } else {
            right = (right + moved) % right_size;
        }
    }
    right * left_size + left
}

#[cfg(test)]
mod tests {
    use super::*;
    use havre_core::secret::Secret;
    use std::collections::BTreeSet;

    fn salt() -> Salt {
        Salt::new(&Secret::from("correct horse battery staple")).unwrap()
    }

    #[test]
    fn it_is_a_permutation_of_each_length() {
        let salt = salt();
        for range in [0..10, 10..100, 100..1000] {
            let all: BTreeSet<String> = range.map(|number: u32| number.to_string()).collect();
            let painted: BTreeSet<String> = all.iter().map(|number| digits(&salt, number)).collect();
            assert_eq!(painted, all);
        }
        let zeros: BTreeSet<String> = (0..100).map(|number| format!("0{number:02}")).collect();
        assert_eq!(zeros.iter().map(|number| digits(&salt, number)).collect::<BTreeSet<_>>(), zeros);
    }

    #[test]
    fn numbers_stay_in_their_type() {
        let salt = salt();
        for number in 0..200_i32 {
            digits(&salt, &(i32::MAX - number).to_string()).parse::<i32>().unwrap();
            digits(&salt, &(i32::MIN + number).to_string()).parse::<i32>().unwrap();
            digits(&salt, &(i64::MAX - i64::from(number)).to_string()).parse::<i64>().unwrap();
            digits(&salt, &(i64::MIN + i64::from(number)).to_string()).parse::<i64>().unwrap();
            digits(&salt, &(i16::MIN + i16::try_from(number).unwrap()).to_string()).parse::<i16>().unwrap();
        }
    }

    #[test]
    fn shapes_stay() {
        let salt = salt();
        let shape = |text: &str| text.replace(|digit: char| digit.is_ascii_digit(), "0");
        for text in ["4111 1111-1111 1111", "-12.50", "FR76 3000", "", "no digits", &"9".repeat(100)] {
            let painted = digits(&salt, text);
            assert_eq!(shape(&painted), shape(text));
        }
        for (text, code) in [
            ("+33 6 12 34 56 78", "+33 "),
            ("+1 (555) 010-9999", "+1 ("),
            ("+352 621 123 456", "+352 "),
            ("0033612345678", "0033"),
            ("06 12 34 56 78", "0"),
            ("+", "+"),
            ("00", "00"),
        ] {
            let painted = phone(&salt, text);
            assert!(painted.starts_with(code), "{text} {painted}");
            assert_eq!(shape(&painted), shape(text));
        }
        assert_ne!(phone(&salt, "+33 6 12 34 56 78"), "+33 6 12 34 56 78");
    }
}
