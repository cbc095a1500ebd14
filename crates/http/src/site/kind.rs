//! What the name of a file says: its media type, and whether its content can never change.
//! It never looks into files. Tests: the edge's `tests/it/site.rs`.

/// For names that carry a hash of their content.
pub const IMMUTABLE: &str = "public, max-age=31536000, immutable";
/// For everything else: keep it, but ask each time whether it is still the same.
pub const REVALIDATE: &str = "no-cache";

/// Media type by the extension of `name`.
pub fn content_type(name: &str) -> &'static str {
    let extension = match name.rsplit_once('.') {
        Some((_, extension)) => extension.to_ascii_lowercase(),
        None => return "application/octet-stream",
    };
    match extension.as_str() {
        "html" | "htm" => "text/html; charset=utf-8",
        "js" | "mjs" => "text/javascript; charset=utf-8",
        "css" => "text/css; charset=utf-8",
        "txt" => "text/plain; charset=utf-8",
        "md" => "text/markdown; charset=utf-8",
        "csv" => "text/csv; charset=utf-8",
        "ics" => "text/calendar; charset=utf-8",
        "vtt" => "text/vtt; charset=utf-8",
        "xml" => "text/xml; charset=utf-8",
        "json" | "map" => "application/json",
        "webmanifest" => "application/manifest+json",
        "rss" => "application/rss+xml",
        "atom" => "application/atom+xml",
        "wasm" => "application/wasm",
        "pdf" => "application/pdf",
        "zip" => "application/zip",
        "gz" => "application/gzip",
        "svg" => "image/svg+xml",
        "png" => "image/png",
        "jpg" | "jpeg" => "image/jpeg",
        "gif" => "image/gif",
        "webp" => "image/webp",
        "avif" => "image/avif",
        "ico" => "image/x-icon",
        "bmp" => "image/bmp",
        "woff" => "font/woff",
        "woff2" => "font/woff2",
        "ttf" => "font/ttf",
        "otf" => "font/otf",
        "mp4" | "m4v" => "video/mp4",
        "webm" => "video/webm",
        "mp3" => "audio/mpeg",
        "m4a" => "audio/mp4",
        "ogg" | "oga" => "audio/ogg",
        "wav" => "audio/wav",
        _ => "application/octet-stream",
    }
}

/// `Cache-Control` for `name`.
pub fn cache_control(name: &str) -> &'static str {
    if is_immutable(name) { IMMUTABLE } else { REVALIDATE }
}

/// Whether it is a page: what people have open, not what pages are made of.
pub fn is_page(name: &str) -> bool {
    let extension = name.rsplit_once('.').map_or("", |(_, extension)| extension);
    extension.eq_ignore_ascii_case("html") || extension.eq_ignore_ascii_case("htm")
}

/// Whether a bundler has put a hash of the content into `name`, as `index-DiwrgTda.js` or `main-3fa4b2c190.css`.
/// Doubt means no: a wrong yes shows an old file for a year, a wrong no costs one short question.
pub fn is_immutable(name: &str) -> bool {
    if is_page(name) {
        return false;
    }
    let mut parts = name.split('.');
    parts.next_back();
    parts.any(|part| ends_with_base64_hash(part) || ends_with_hex_hash(part))
}

/// `-` and exactly eight URL-safe base64 characters, Rollup's and Vite's default. A word (`-document`,
/// `-Settings`) and a date (`-20261124`) have the same shape, so there must be a digit or a capital after the
/// first letter, and a letter.
fn ends_with_base64_hash(part: &str) -> bool {
    let Some((head, hash)) = part.len().checked_sub(8).and_then(|at| part.split_at_checked(at)) else {
        return false;
    };
    let has_letter = hash.bytes().any(|byte| byte.is_ascii_alphabetic());
    let has_mark = hash.bytes().skip(1).any(|byte| byte.is_ascii_digit() || byte.is_ascii_uppercase());
    let is_alphabet = hash.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-');
    let is_word = hash.bytes().all(|byte| byte.is_ascii_uppercase() || byte == b'_' || byte == b'-');
    head.ends_with('-') && is_alphabet && has_letter && has_mark && !is_word
}

/// `-` and 8 to 64 lower-case hex digits, letters and digits both.
fn ends_with_hex_hash(part: &str) -> bool {
    let Some((_, hash)) = part.rsplit_once('-') else { return false };
    (8..=64).contains(&hash.len())
        && hash.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte))
        && hash.bytes().any(|byte| byte.is_ascii_digit())
        && hash.bytes().any(|byte| byte.is_ascii_alphabetic())
}
