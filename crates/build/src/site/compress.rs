//! Makes smaller encodings of a file, once, when it is published. Which files are worth it and how hard to try is decided
//! here, by names and sizes only, so that the same site is always made the same way. Tests: `tests/it/site.rs`.

use std::io::{self, Write as _};

use havre_site::document::Encoding;

/// Smaller files fit into one packet as they are.
const LEAST: u64 = 512;
/// Larger files are left as they are: nobody waits for minutes.
const MOST: u64 = 32 * 1024 * 1024;
/// Bytes of one site, its smallest files first, that are compressed as well as can be: about a megabyte a second.
const FINE: u64 = 4 * 1024 * 1024;
/// Bytes of one site that are compressed at all: about ten megabytes a second.
const ALL: u64 = 128 * 1024 * 1024;

/// How hard to try.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Effort {
    Fine,
    Fast,
}

/// What is left of the time for one site, counted in bytes.
#[derive(Debug)]
pub(super) struct Allowance {
    fine: u64,
    all: u64,
}

impl Allowance {
    pub(super) fn new() -> Self {
        Self { fine: FINE, all: ALL }
    }

    /// Takes a file of this size from what is left; `None` leaves it as it is.
    pub(super) fn take(&mut self, path: &str, size: u64) -> Option<Effort> {
        if size > self.all {
            return None;
        }
        self.all -= size;
        // Source maps are large, and only developers ask for them.
        if size > self.fine || path.ends_with(".map") {
            return Some(Effort::Fast);
        }
        self.fine -= size;
        Some(Effort::Fine)
    }
}

/// Whether a file of this name and size may become smaller.
pub(super) fn is_worth_it(path: &str, size: u64) -> bool {
    let extension = path.rsplit('/').next().and_then(|name| name.rsplit_once('.')).map_or("", |(_, end)| end);
    let is_text = matches!(
        extension.to_ascii_lowercase().as_str(),
        "html"
            | "htm"
            | "js"
            | "mjs"
            | "cjs"
            | "css"
            | "json"
            | "map"
            | "svg"
            | "xml"
            | "txt"
            | "md"
            | "csv"
            | "wasm"
            | "webmanifest"
            | "rss"
            | "atom"
            | "vtt"
            | "ics"
            | "ttf"
            | "otf"
            | "ico"
            | "bmp"
            | "geojson"
            | "jsonld"
            | "yaml"
            | "yml"
            | "tsv"
            | "xhtml"
            | "glsl"
            | "gltf"
            | "obj"
    );
    is_text && (LEAST..=MOST).contains(&size)
}

/// The bytes in another encoding; `None` where that saves less than a twentieth.
pub(super) fn encode(bytes: &[u8], encoding: Encoding, effort: Effort) -> io::Result<Option<Vec<u8>>> {
    let out = match encoding {
        Encoding::Br => brotli(bytes, effort)?,
        Encoding::Zstd => zstd::bulk::compress(bytes, if effort == Effort::Fine { 19 } else { 9 })?,
        Encoding::Gzip => {
            let level = flate2::Compression::new(if effort == Effort::Fine { 9 } else { 6 });
            let mut encoder = flate2::write::GzEncoder::new(Vec::new(), level);
            encoder.write_all(bytes)?;
            encoder.finish()?
        }
    };
    Ok((out.len() < bytes.len() - bytes.len() / 20).then_some(out))
}

fn brotli(bytes: &[u8], effort: Effort) -> io::Result<Vec<u8>> {
    let quality = if effort == Effort::Fine { 11 } else { 6 };
    let params = brotli::enc::BrotliEncoderParams { quality, size_hint: bytes.len(), ..Default::default() };
    let mut out = Vec::new();
    brotli::BrotliCompress(&mut io::Cursor::new(bytes), &mut out, &params)?;
    Ok(out)
}
