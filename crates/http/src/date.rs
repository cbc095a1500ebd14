//! Dates as text, without allocation: for the `Date` header and for lines of the access log.
//! Tests at the end of the file.

/// Length of [`http()`].
pub const HTTP_LENGTH: usize = 29;
/// Length of [`second`].
pub const SECOND_LENGTH: usize = 19;

/// Year, month and day of a day since 1970-01-01, in the Gregorian calendar.
fn civil(days: u64) -> (u64, u64, u64) {
    // Days since 0000-03-01, so that a leap day is the last one of its year.
    let days = days + 719_468;
    let era = days / 146_097;
    let of_era = days % 146_097;
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * of_year + 2) / 153;
    let day = of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    (year_of_era + era * 400 + u64::from(month <= 2), month, day)
}

fn put(text: &mut [u8], value: u64) {
    let mut value = value;
    for byte in text.iter_mut().rev() {
        *byte = b'0' + u8::try_from(value % 10).unwrap_or(0);
        value /= 10;
    }
}

/// `Sun, 06 Nov 1994 08:49:37 GMT` (RFC 9110, 5.6.7), of seconds since 1970.
pub fn http(seconds: u64) -> [u8; HTTP_LENGTH] {
    const DAYS: &[u8] = b"ThuFriSatSunMonTueWed";
    const MONTHS: &[u8] = b"JanFebMarAprMayJunJulAugSepOctNovDec";
    let (year, month, day) = civil(seconds / 86_400);
    let mut text = *b"Thu, 01 Jan 1970 00:00:00 GMT";
    let weekday = usize::try_from(seconds / 86_400 % 7).unwrap_or(0) * 3;
    let name = usize::try_from(month - 1).unwrap_or(0) * 3;
    text[..3].copy_from_slice(&DAYS[weekday..weekday + 3]);
    put(&mut text[5..7], day);
    text[8..11].copy_from_slice(&MONTHS[name..name + 3]);
    put(&mut text[12..16], year);
    put(&mut text[17..19], seconds / 3600 % 24);
    put(&mut text[20..22], seconds / 60 % 60);
    put(&mut text[23..25], seconds % 60);
    text
}

/// `1994-11-06T08:49:37`, of seconds since 1970.
pub fn second(seconds: u64) -> [u8; SECOND_LENGTH] {
    let (year, month, day) = civil(seconds / 86_400);
    let mut text = *b"1970-01-01T00:00:00";
    put(&mut text[..4], year);
    put(&mut text[5..7], month);
    put(&mut text[8..10], day);
    put(&mut text[11..13], seconds / 3600 % 24);
    put(&mut text[14..16], seconds / 60 % 60);
    put(&mut text[17..19], seconds % 60);
    text
}

#[cfg(test)]
mod tests {
    use havre_core::time::Timestamp;
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn known_dates() {
        for (seconds, text) in [
            (0, "Thu, 01 Jan 1970 00:00:00 GMT"),
            (784_111_777, "Sun, 06 Nov 1994 08:49:37 GMT"),
            (951_782_400, "Tue, 29 Feb 2000 00:00:00 GMT"),
            (4_102_444_799, "Thu, 31 Dec 2099 23:59:59 GMT"),
        ] {
            assert_eq!(String::from_utf8_lossy(&http(seconds)), text);
        }
    }

    proptest! {
        #[test]
        fn agrees_with_the_calendar_of_the_rest_of_the_program(seconds in 0_u32..=4_102_444_799) {
            let text = format!("{}Z", String::from_utf8_lossy(&second(seconds.into())));
            let millis = Timestamp::parse(&text).map(Timestamp::as_millis);
            prop_assert_eq!(millis, Ok(i64::from(seconds) * 1000));
        }
    }
}
