//! Which of the encodings of a file a client gets: `Accept-Encoding` of RFC 9110, section 12.5.3. Purely text.
//! Tests at the end of the file.

use havre_site::document::Encoding;

/// The encoding to send, `None` for the file as it is. `sizes` are those of [`Encoding::ALL`], 0 for one that was not
/// made. Among what the client likes best the smallest wins.
pub fn choose(accept: Option<&str>, sizes: [u64; 3]) -> Option<Encoding> {
    let accept = accept.filter(|_| sizes != [0; 3])?;
    let weights = Weights::read(accept);
    let mut best: Option<(u16, u64, Encoding)> = None;
    for (place, encoding) in Encoding::ALL.into_iter().enumerate() {
        let weight = weights.named[place].or(weights.others).unwrap_or(0);
        let size = sizes[place];
        let is_better = best.is_none_or(|(most, least, _)| weight > most || (weight == most && size < least));
        if weight > 0 && size > 0 && is_better {
            best = Some((weight, size, encoding));
        }
    }
    let (weight, _, encoding) = best?;
    (weights.plain.unwrap_or(0) <= weight).then_some(encoding)
}

/// Weights in thousandths; `None` where the header says nothing.
#[derive(Default)]
struct Weights {
    named: [Option<u16>; 3],
    plain: Option<u16>,
    others: Option<u16>,
}

impl Weights {
    fn read(accept: &str) -> Self {
        let mut weights = Self::default();
        for item in accept.split(',') {
            let (name, rest) = item.split_once(';').map_or((item, ""), |(name, rest)| (name, rest));
            let name = name.trim();
            let weight = weight(rest);
            let is = |other: &str| name.eq_ignore_ascii_case(other);
            let place = Encoding::ALL.iter().position(|encoding| is(encoding.name()));
            if let Some(place) = place.or(is("x-gzip").then_some(2)) {
                weights.named[place] = Some(weight);
            } else if is("identity") {
                weights.plain = Some(weight);
            } else if name == "*" {
                weights.others = Some(weight);
            }
        }
        weights
    }
}

/// `q=0.5` as 500; 1000 without one, 0 for what is none.
fn weight(parameters: &str) -> u16 {
    let parameters = parameters.trim();
    if parameters.is_empty() {
        return 1000;
    }
    let Some(value) = parameters.strip_prefix("q=").or_else(|| parameters.strip_prefix("Q=")) else {
        return 0;
    };
    let value = value.trim();
    let (whole, part) = value.split_once('.').unwrap_or((value, ""));
    let is_digits = part.len() <= 3 && part.bytes().all(|byte| byte.is_ascii_digit());
    match whole {
        "1" if part.bytes().all(|byte| byte == b'0') => 1000,
        "0" if is_digits => format!("{part:0<3}").parse().unwrap_or(0),
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clients_get_what_they_like_and_what_is_small() {
        let all = [10, 12, 15];
        let rows: [(&str, [u64; 3], &str); 18] = [
            ("gzip, deflate, br, zstd", all, "br"),
            ("gzip, deflate, br, zstd", [20, 12, 15], "zstd"),
            ("gzip", all, "gzip"),
            ("x-gzip", all, "gzip"),
            ("GZIP", all, "gzip"),
            ("gzip", [10, 12, 0], "plain"),
            ("", all, "plain"),
            ("deflate", all, "plain"),
            ("*", all, "br"),
            ("*;q=0", all, "plain"),
            ("br;q=0, *", all, "zstd"),
            ("br;q=0.1, gzip;q=0.9", all, "gzip"),
            ("br;q=0.1, identity;q=0.9", all, "plain"),
            ("br;q=0.5, identity;q=0.5", all, "br"),
            ("br; q=0", all, "plain"),
            ("br;q=2", all, "plain"),
            ("br;q=1.000", all, "br"),
            ("br;level=5", all, "plain"),
        ];
        for (accept, sizes, expected) in rows {
            let chosen = choose(Some(accept), sizes).map_or("plain", Encoding::name);
            assert_eq!(chosen, expected, "{accept}");
        }
        assert_eq!(choose(None, all), None);
    }
}
