//! Names of people who do not exist, chosen by the salt. Tests: at the end.

use crate::mask::Mask;
use crate::mask::names::{FIRST, LAST};
use crate::salt::Salt;

/// A first name, a last name, or both; one of the two for a value of one word. Never the value itself.
pub(super) fn name(salt: &Salt, mask: &Mask, value: &[u8]) -> String {
    let tag = salt.tag("name", value);
    let [a, b, c, d, e, f, g, h, ..] = tag;
    let first = u32::from_be_bytes([a, b, c, d]);
    let last = u32::from_be_bytes([e, f, g, h]);
    let is_whole = matches!(mask, Mask::Name) && value.iter().any(u8::is_ascii_whitespace);
    let make = |nth: u32| match mask {
        Mask::LastName => pick(&LAST, last.wrapping_add(nth)).to_owned(),
        _ if is_whole => format!("{} {}", pick(&FIRST, first.wrapping_add(nth)), pick(&LAST, last)),
        _ => pick(&FIRST, first.wrapping_add(nth)).to_owned(),
    };
    let made = make(0);
    if made.as_bytes() == value { make(1) } else { made }
}

fn pick(list: &[&'static str], number: u32) -> &'static str {
    let length = u32::try_from(list.len()).unwrap_or(1);
    usize::try_from(number % length).map_or("", |at| list[at])
}

/// Whether a text could be one that was made here: each of its words is in the lists.
pub(crate) fn is_listed(value: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(value) else { return false };
    let is_known = |word: &str| FIRST.binary_search(&word).is_ok() || LAST.binary_search(&word).is_ok();
    text.split_ascii_whitespace().all(is_known)
}

#[cfg(test)]
mod tests {
    use super::*;
    use havre_core::secret::Secret;

    #[test]
    fn nobody_keeps_their_name() {
        let salt = Salt::new(&Secret::from("correct horse battery staple")).unwrap();
        for (mask, list) in [(Mask::FirstName, &FIRST[..]), (Mask::LastName, &LAST[..])] {
            for value in list {
                let made = name(&salt, &mask, value.as_bytes());
                assert_ne!(&made, value);
                assert!(list.contains(&made.as_str()));
            }
        }
        let whole = name(&salt, &Mask::Name, b"Marie Curie");
        assert_eq!(whole.split(' ').count(), 2);
        assert!(is_listed(whole.as_bytes()) && !is_listed(b"Marie Curie-Joliot"));
    }

    #[test]
    fn the_lists_are_in_order() {
        assert!(FIRST.is_sorted() && LAST.is_sorted());
        assert!(FIRST.len() >= 200 && LAST.len() >= 200);
    }
}
