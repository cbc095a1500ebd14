//! Compression of dynamic answers: which answers, which coding, and the encoders, one for each answer under way. What
//! is compressed is flushed with every piece that comes, so nobody waits for a full block; windows are small, so that
//! an answer costs at most about 1 MB while it passes. Tests at the end of the file and in `tests/it/policy.rs` of the
//! edge.

use std::io::{self, Write};

/// Answers shorter than this are sent as they are: a head costs as much.
const LEAST: u64 = 1024;

/// A way to compress, in the order of preference.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Coding {
    /// RFC 7932.
    Brotli,
    /// RFC 8878.
    Zstd,
    /// RFC 1952.
    Gzip,
}

impl Coding {
    /// Its name in `Content-Encoding`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Brotli => "br",
            Self::Zstd => "zstd",
            Self::Gzip => "gzip",
        }
    }
}

/// The best coding a client takes (RFC 9110, 12.5.3): what it weighs highest, zstd before brotli before gzip where it
/// does not care, because zstd costs a worker least.
pub fn accepted(header: Option<&[u8]>) -> Option<Coding> {
    let text = std::str::from_utf8(header?).ok()?;
    let weight_of = |wanted: &str| {
        let mut any = None;
        for part in text.split(',') {
            let mut words = part.split(';').map(str::trim);
            let name = words.next().unwrap_or("");
            let weight = words.find_map(|word| word.strip_prefix("q=")).map_or(Some(1000), weight);
            if name.eq_ignore_ascii_case(wanted) {
                return weight;
            }
            if name == "*" {
                any = weight;
            }
        }
        any
    };
    let mut best = None;
    for coding in [Coding::Zstd, Coding::Brotli, Coding::Gzip] {
        let weight = weight_of(coding.name()).unwrap_or(0);
        if weight > best.map_or(0, |(_, best)| best) {
            best = Some((coding, weight));
        }
    }
    best.map(|(coding, _)| coding)
}

/// A weight in thousandths; a wrong one counts as 0.
fn weight(text: &str) -> Option<u32> {
    let (whole, part) = text.split_once('.').unwrap_or((text, ""));
    if part.len() > 3 || !part.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let part = format!("{part:0<3}").parse::<u32>().ok()?;
    match whole {
        "0" => Some(part),
        "1" if part == 0 => Some(1000),
        _ => None,
    }
}

/// Whether a type of content gets shorter; what is compressed already does not, and events must not wait.
pub(super) fn is_compressible(content_type: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(content_type) else { return false };
    let kind = text.split(';').next().unwrap_or("").trim().to_ascii_lowercase();
    let is_text = kind.starts_with("text/") && kind != "text/event-stream";
    let is_known = matches!(
        kind.as_str(),
        "application/json"
            | "application/javascript"
            | "application/x-javascript"
            | "application/xml"
            | "application/wasm"
            | "application/x-ndjson"
            | "application/manifest+json"
            | "application/graphql-response+json"
            | "application/vnd.ms-fontobject"
            | "image/svg+xml"
            | "image/x-icon"
            | "image/bmp"
            | "font/ttf"
            | "font/otf"
    );
    is_text || is_known || kind.ends_with("+json") || kind.ends_with("+xml")
}

/// Whether an answer of this length is worth it; streams without a length are.
pub(super) fn is_worth_it(length: Option<u64>) -> bool {
    length.is_none_or(|length| length >= LEAST)
}

/// Compresses one answer.
pub struct Encoder(Kind);

enum Kind {
    Brotli(Box<brotli::CompressorWriter<Vec<u8>>>),
    Zstd(Box<zstd::stream::write::Encoder<'static, Vec<u8>>>),
    Gzip(Box<flate2::write::GzEncoder<Vec<u8>>>),
}

impl std::fmt::Debug for Encoder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Encoder")
    }
}

impl Encoder {
    /// An encoder with a small window and a level that keeps up with the network.
    pub fn new(coding: Coding) -> io::Result<Self> {
        Ok(Self(match coding {
            Coding::Brotli => Kind::Brotli(Box::new(brotli::CompressorWriter::new(Vec::new(), 4096, 4, 18))),
            Coding::Zstd => {
                let mut encoder = zstd::stream::write::Encoder::new(Vec::new(), 3)?;
                encoder.window_log(18)?;
                Kind::Zstd(Box::new(encoder))
            }
            Coding::Gzip => {
                Kind::Gzip(Box::new(flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::new(5))))
            }
        }))
    }

    /// What the client gets for `data`, all of it.
    pub fn encode(&mut self, data: &[u8]) -> io::Result<Vec<u8>> {
        fn pass(writer: &mut impl Write, data: &[u8]) -> io::Result<()> {
            writer.write_all(data)?;
            writer.flush()
        }
        Ok(match &mut self.0 {
            Kind::Brotli(encoder) => {
                pass(encoder, data)?;
                std::mem::take(encoder.get_mut())
            }
            Kind::Zstd(encoder) => {
                pass(encoder, data)?;
                std::mem::take(encoder.get_mut())
            }
            Kind::Gzip(encoder) => {
                pass(encoder, data)?;
                std::mem::take(encoder.get_mut())
            }
        })
    }

    /// What ends the answer.
    pub fn finish(self) -> io::Result<Vec<u8>> {
        match self.0 {
            Kind::Brotli(encoder) => Ok(encoder.into_inner()),
            Kind::Zstd(encoder) => encoder.finish(),
            Kind::Gzip(encoder) => encoder.finish(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    fn decode(coding: Coding, bytes: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        match coding {
            Coding::Brotli => brotli::Decompressor::new(bytes, 4096).read_to_end(&mut out).unwrap(),
            Coding::Zstd => zstd::stream::read::Decoder::new(bytes).unwrap().read_to_end(&mut out).unwrap(),
            Coding::Gzip => flate2::read::GzDecoder::new(bytes).read_to_end(&mut out).unwrap(),
        };
        out
    }

    #[test]
    fn every_piece_can_be_read_before_the_next_comes() {
        for coding in [Coding::Brotli, Coding::Zstd, Coding::Gzip] {
            let mut encoder = Encoder::new(coding).unwrap();
            let mut sent = Vec::new();
            let mut plain = Vec::new();
            for piece in ["one ".repeat(300), "two".to_owned(), String::new(), "three".repeat(50_000)] {
                plain.extend_from_slice(piece.as_bytes());
                let out = encoder.encode(piece.as_bytes()).unwrap();
                assert!(piece.is_empty() || !out.is_empty(), "{coding:?}");
                sent.extend(out);
            }
            sent.extend(encoder.finish().unwrap());
            assert!(sent.len() < plain.len() / 20, "{coding:?}: {}", sent.len());
            assert_eq!(decode(coding, &sent), plain, "{coding:?}");
        }
    }

    #[test]
    fn what_clients_accept() {
        let best = |text: &str| accepted(Some(text.as_bytes())).map_or("none", Coding::name);
        let table = [
            ("gzip, deflate, br, zstd", "zstd"),
            ("gzip, deflate, br", "br"),
            ("gzip", "gzip"),
            ("br;q=0.5, gzip;q=0.8", "gzip"),
            ("br;q=0, *", "zstd"),
            ("*;q=0", "none"),
            ("identity", "none"),
            ("gzip;q=2", "none"),
            ("GZIP;q=0.001", "gzip"),
            ("", "none"),
        ];
        for (text, name) in table {
            assert_eq!(best(text), name, "{text}");
        }
        assert_eq!(accepted(None), None);
    }

    #[test]
    fn what_gets_shorter() {
        for kind in ["text/html; charset=utf-8", "application/json", "image/svg+xml", "application/ld+json"] {
            assert!(is_compressible(kind.as_bytes()), "{kind}");
        }
        for kind in ["text/event-stream", "image/png", "application/octet-stream", "application/grpc", ""] {
            assert!(!is_compressible(kind.as_bytes()), "{kind}");
        }
        assert!(is_worth_it(None) && is_worth_it(Some(1024)) && !is_worth_it(Some(1023)));
    }
}
